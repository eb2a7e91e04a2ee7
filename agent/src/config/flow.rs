//! The keys of one flow.

use std::path::Path;

use crate::batch::{self, Limits, PartitionKey, Terminator};
use crate::config::agent::detail;
use crate::config::key::Holder;
use crate::config::problem::Problem;
use crate::config::raw::{Node, Object, Value};
use crate::config::section::Section;
use crate::config::step;
use crate::expression::{Expression, ExpressionError};
use crate::layout::{Layout, Records};
use crate::parse::Parser;
use crate::position::FlowId;
use crate::quarantine::OnMismatch;
use crate::report::java::{Detail, Processing};
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
    /// Whether anything is made of a line.
    pub processing: Processing,
    /// What the log is told of the flow beside its progress.
    pub detail: Detail,
    /// What becomes of a line of which nothing can be made.
    pub on_mismatch: OnMismatch,
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
    let parser = step::parser(file, &mut section, problems);
    let flow = assemble(&mut section, parser, allowance);
    problems.extend(section.into_problems());
    flow
}

fn assemble(section: &mut Section<'_>, parser: Option<Parser>, allowance: Allowance) -> Option<Flow> {
    // What is wrong with each part is to be told, so none may keep another from being read.
    let (source, stream) = (source(section, allowance.open_files), stream(section));
    let (processing, on_mismatch, detail) = (processing(section), on_mismatch(section), detail(section));
    let adds_position = adds_position(section, parser.as_ref());
    let (batch, waits) = (batch(section, allowance.request_bytes), waits(section));
    let name = section.text("name");
    let (source, stream) = (source?, stream?);
    let id = FlowId::new(&format!("kinesis:{stream}"), source.pattern.as_text());
    let name = name.unwrap_or_else(|| id.to_string());
    let (parser, batch, waits) = (parser?, batch?, waits?);
    Some(Flow {
        id,
        name,
        stream,
        source,
        parser,
        processing,
        detail,
        on_mismatch,
        adds_position,
        batch,
        waits,
    })
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
    let start = start?.or_else(|| step::first_line(section));
    let records = start.map_or(Records::EachLine, |pattern| Records::BeginningWith { pattern, idle });
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
    if adds
        && let Some(parser) = parser
        && !parser.gives_objects()
    {
        let (has, out) = if parser.steps().is_empty() {
            ("sends lines as they are", "add a step `LOGTOJSON` to `dataProcessingOptions`")
        } else {
            ("ends in a step that gives another form", "put a step last that gives compact JSON")
        };
        let needs = format!("`addPosition` needs records in JSON, and this flow {has}");
        section.error("addPosition", format!("{needs}; {out}, or leave `addPosition` out"));
    }
    adds
}

fn processing(section: &mut Section<'_>) -> Processing {
    if section.list("dataProcessingOptions").is_empty() { Processing::None } else { Processing::Some }
}

/// What becomes of a line that does not match. A `matchPattern` is there to leave lines out.
fn on_mismatch(section: &mut Section<'_>) -> OnMismatch {
    let is_filter = |item: &Node| {
        let Value::Object(step) = &item.value else { return false };
        step.get("matchPattern").is_some()
    };
    if !section.is_given("onParseError") && section.list("dataProcessingOptions").iter().any(is_filter) {
        return OnMismatch::Drop;
    }
    match section.text("onParseError").as_deref() {
        Some("raw") => OnMismatch::SendRaw,
        Some("drop") => OnMismatch::Drop,
        Some(_) | None => OnMismatch::Keep,
    }
}

fn waits(section: &mut Section<'_>) -> Option<Waits> {
    let longest = section.millis("retryMaxBackoffMillis");
    // The first wait has a longest like every other.
    let first = section.millis("retryInitialBackoffMillis").min(longest);
    Waits::new(first, longest)
        .map_err(|error| section.error("retryInitialBackoffMillis", error.to_string()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw;

    /// Every key that the table calls honoured is read by somebody.
    #[test]
    fn nobody_forgets_a_key_of_a_flow() {
        let file = Path::new("agent.json");
        let text = r#"{"filePattern": "/a/b", "kinesisStream": "s"}"#;
        let document = raw::parse(file, text).unwrap();

        let allowance = Allowance { request_bytes: usize::MAX, open_files: usize::MAX };
        let mut section = Section::new(file, Holder::Flow, &document.root);
        let parser = step::parser(file, &mut section, &mut Vec::new());
        assert!(assemble(&mut section, parser, allowance).is_some());
        assert_eq!(section.unasked(), [""; 0]);
    }
}
