//! The keys of one flow.

use std::path::Path;

use crate::batch::{self, Limits, PartitionKey, Terminator};
use crate::config::key::Holder;
use crate::config::keys::NO_PLUG_IN;
use crate::config::problem::Problem;
use crate::config::raw::{Object, Value};
use crate::config::section::Section;
use crate::expression::{Expression, ExpressionError};
use crate::layout::{Layout, Records};
use crate::parse::{Format, JsonTypes, Parser};
use crate::position::FlowId;
use crate::send::Waits;
use crate::source::{self, InitialPosition, Pattern, Share};

/// The least time between two looks at everything, so that asking for no time at all does not mean to do nothing
/// else.
const LEAST_RESCAN: std::time::Duration = std::time::Duration::from_millis(100);

/// Which files go to which stream, and how.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Whom positions belong to.
    pub id: FlowId,
    /// How commands name it.
    pub name: String,
    /// The stream.
    pub stream: String,
    /// Which files.
    pub source: source::Settings,
    /// What is made of a line.
    pub parser: Parser,
    /// Whether each record, which is JSON then, says where its line is from.
    pub adds_position: bool,
    /// How records are gathered.
    pub batch: batch::Settings,
    /// How long to wait before records are offered again.
    pub waits: Waits,
}

/// What one flow may have of what the agent has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// How many bytes one request may hold.
    pub(super) request_bytes: usize,
    /// How many files may be open.
    pub(super) open_files: usize,
}

/// Reads the flow that `object` in `file` describes, which may have `allowance` at most. Nothing comes of it if a part is
/// missing; what is wrong is noted in any case.
pub(super) fn flow(
    file: &Path,
    object: &Object,
    allowance: Allowance,
    problems: &mut Vec<Problem>,
) -> Option<Flow> {
    let mut section = Section::new(file, Holder::Flow, object);
    let steps = steps(file, &mut section, problems);
    let flow = assemble(&mut section, steps, allowance);
    problems.extend(section.into_problems());
    flow
}

fn assemble(section: &mut Section<'_>, parser: Option<Parser>, allowance: Allowance) -> Option<Flow> {
    // What is wrong with each part is to be told, so none may keep another from being read.
    let (source, stream) = (source(section, allowance.open_files), stream(section));
    let adds_position = adds_position(section, parser.as_ref());
    let (batch, waits) = (batch(section, allowance.request_bytes), waits(section));
    let name = section.text("name");
    let (source, stream) = (source?, stream?);
    let id = FlowId::new(&format!("kinesis:{stream}"), source.pattern.as_text());
    let name = name.unwrap_or_else(|| id.to_string());
    Some(Flow { id, name, stream, source, parser: parser?, adds_position, batch: batch?, waits: waits? })
}

fn source(section: &mut Section<'_>, open_files: usize) -> Option<source::Settings> {
    let initial_position = match section.text("initialPosition").as_deref() {
        Some("START_OF_FILE") => InitialPosition::Start,
        Some(_) | None => InitialPosition::End,
    };
    let rescan = section.millis("maxTimeBetweenFileTrackerRefreshMillis").max(LEAST_RESCAN);
    let grace = section.millis("rotationGraceMillis");
    // The table's range leaves no other.
    let share = u8::try_from(section.number("backlogShare")).ok().and_then(Share::of_hundred)?;
    let layout = layout(section);
    let text = section.required("filePattern")?;
    match Pattern::parse(&text) {
        Ok(pattern) => {
            let (backlog_share, layout) = (share, layout?);
            Some(source::Settings {
                pattern,
                initial_position,
                rescan,
                grace,
                backlog_share,
                layout,
                open_files,
            })
        }
        Err(error) => {
            section.error("filePattern", format!("`filePattern` is no pattern: {error}"));
            None
        }
    }
}

/// How the bytes of the files fall into records.
fn layout(section: &mut Section<'_>) -> Option<Layout> {
    let header_lines = u64::try_from(section.number("skipHeaderLines")).unwrap_or_default();
    let idle = section.millis("multiLineIdleMillis");
    let start = expression(section, "multiLineStartPattern", Expression::at_start);
    let footer = expression(section, "fileFooterPattern", Expression::whole);
    let records = start?.map_or(Records::EachLine, |pattern| Records::BeginningWith { pattern, idle });
    Some(Layout { header_lines, records, footer: footer? })
}

/// The expression of the key `name`, if it has one; nothing if that cannot be followed.
fn expression(
    section: &mut Section<'_>,
    name: &str,
    read: fn(&str) -> Result<Expression, ExpressionError>,
) -> Option<Option<Expression>> {
    match section.text(name).map(|text| read(&text)).transpose() {
        Ok(expression) => Some(expression),
        Err(error) => {
            section.error(name, format!("`{name}`: {error}"));
            None
        }
    }
}

fn stream(section: &mut Section<'_>) -> Option<String> {
    // A delivery stream has been refused already.
    if section.has("deliveryStream") && !section.has("kinesisStream") {
        return None;
    }
    let stream = section.required("kinesisStream")?;
    // https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html
    let letter = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    if stream.len() <= 128 && stream.chars().all(letter) {
        return Some(stream);
    }
    let must = "must be a name of up to 128 letters, digits, `_`, `.` and `-`";
    section.error("kinesisStream", format!("`kinesisStream` {must}, not `\"{stream}\"`"));
    None
}

fn batch(section: &mut Section<'_>, ceiling: usize) -> Option<batch::Settings> {
    let ours_or_java = |section: &mut Section<'_>, ours, java| {
        let is_javas = section.is_given(java) && !section.is_given(ours);
        if is_javas { java } else { ours }
    };
    let bytes = ours_or_java(section, "requestBytes", "maxBufferSizeBytes");
    let linger = ours_or_java(section, "lingerMillis", "maxBufferAgeMillis");
    let (linger, wanted) = (section.millis(linger), section.size(bytes));
    if wanted > ceiling && section.is_given("requestBytes") {
        let third = "a third of the flow's share of `maxMemoryBytes`";
        section.warn(
            "requestBytes",
            format!("`requestBytes` is more than {third}; requests hold {ceiling} bytes"),
        );
    }
    let limits = Limits::new(section.size("maxBufferSizeRecords"), wanted.min(ceiling));
    let key = match section.text("partitionKeyOption").as_deref() {
        Some("DETERMINISTIC") => PartitionKey::Deterministic,
        Some(_) | None => PartitionKey::Random,
    };
    let terminator = Terminator::new(&section.text("truncatedRecordTerminator").unwrap_or_default());
    if let Err(error) = &limits {
        section.error(bytes, error.to_string());
    }
    if let Err(error) = &terminator {
        section.error("truncatedRecordTerminator", format!("`truncatedRecordTerminator`: {error}"));
    }
    Some(batch::Settings { limits: limits.ok()?, linger, key, terminator: terminator.ok()? })
}

fn adds_position(section: &mut Section<'_>, parser: Option<&Parser>) -> bool {
    let adds = section.flag("addPosition");
    if adds && parser == Some(&Parser::Raw) {
        let needs = "`addPosition` needs records in JSON, and this flow sends lines as they are";
        let out = "add a step `LOGTOJSON` to `dataProcessingOptions`, or leave `addPosition` out";
        section.error("addPosition", format!("{needs}; {out}"));
    }
    adds
}

fn waits(section: &mut Section<'_>) -> Option<Waits> {
    let longest = section.millis("retryMaxBackoffMillis");
    // The first wait has a longest like every other.
    let first = section.millis("retryInitialBackoffMillis").min(longest);
    Waits::new(first, longest)
        .map_err(|error| section.error("retryInitialBackoffMillis", error.to_string()))
        .ok()
}

/// What `dataProcessingOptions` make of a line.
fn steps(file: &Path, flow: &mut Section<'_>, problems: &mut Vec<Problem>) -> Option<Parser> {
    let items = flow.list("dataProcessingOptions");
    let types = json_types(flow).unwrap_or(JsonTypes::Strings);
    let mut parsers = Vec::new();
    for item in items {
        let Value::Object(object) = &item.value else {
            let text = format!("`dataProcessingOptions` must hold objects, not {}", item.value.describe());
            problems.push(Problem::error(file, item.spot, text));
            continue;
        };
        let mut section = Section::new(file, Holder::Step, object);
        parsers.extend(step(&mut section, types));
        problems.extend(section.into_problems());
    }
    match (items, parsers.pop()) {
        ([], _) => Some(Parser::Raw),
        ([_], parser) => parser,
        (_, _) => {
            flow.error(
                "dataProcessingOptions",
                "`dataProcessingOptions` with more than one item are not supported yet by this version",
            );
            None
        }
    }
}

fn step(section: &mut Section<'_>, types: JsonTypes) -> Option<Parser> {
    let option = section.required("optionName");
    let types = json_types(section).unwrap_or(types);
    let not_yet = |key: &str, word: &str| format!("`{key}` `{word}` is not supported yet by this version");
    match option?.as_str() {
        "LOGTOJSON" => {}
        "USINGPLUGGIN" => {
            section.error("optionName", format!("`USINGPLUGGIN` cannot be supported: {NO_PLUG_IN}"));
            return None;
        }
        other => {
            section.error("optionName", not_yet("optionName", other));
            return None;
        }
    }
    let format = match section.required("logFormat")?.as_str() {
        "COMMONAPACHELOG" => Format::Common,
        "COMBINEDAPACHELOG" => Format::Combined,
        other => {
            section.error("logFormat", not_yet("logFormat", other));
            return None;
        }
    };
    Some(Parser::Log { format, types })
}

fn json_types(section: &mut Section<'_>) -> Option<JsonTypes> {
    let types = section.text("jsonTypes")?;
    Some(if types == "native" { JsonTypes::Native } else { JsonTypes::Strings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw;

    /// Every key that the table calls honoured is read by somebody.
    #[test]
    fn nobody_forgets_a_key_of_a_flow_or_a_step() {
        let file = Path::new("agent.json");
        let text = r#"{"filePattern": "/a/b", "kinesisStream": "s", "optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}"#;
        let document = raw::parse(file, text).unwrap();

        let allowance = Allowance { request_bytes: usize::MAX, open_files: usize::MAX };
        let mut section = Section::new(file, Holder::Flow, &document.root);
        let parser = steps(file, &mut section, &mut Vec::new());
        assert!(assemble(&mut section, parser, allowance).is_some());
        assert_eq!(section.unasked(), [""; 0]);

        let mut section = Section::new(file, Holder::Step, &document.root);
        assert!(step(&mut section, JsonTypes::Strings).is_some());
        assert_eq!(section.unasked(), [""; 0]);
    }
}
