//! The keys of one flow.

use std::path::Path;

use crate::batch;
use crate::config::agent::detail;
use crate::config::gather::gather;
use crate::config::key::Holder;
use crate::config::problem::Problem;
use crate::config::raw::{Node, Object, Value};
use crate::config::section::Section;
use crate::config::step;
use crate::expression::{Expression, ExpressionError};
use crate::layout::{Layout, RECORD_BYTES, Records};
use crate::parse::Parser;
use crate::position::FlowId;
use crate::quarantine::OnMismatch;
use crate::report::java::{Detail, Processing};
use crate::send::{Destination, StreamArn, Waits};
use crate::source::{self, InitialPosition, Pattern, Share};
use crate::spool;

/// The least time between two looks at everything, so that asking for no time at all does not mean to do nothing
/// else.
const LEAST_RESCAN: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a removed segment of a spool stays open: nobody writes to it any more.
const SEGMENT_GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// Which files go to which stream, and how.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Whom positions belong to.
    pub id: FlowId,
    /// How commands name it.
    pub name: String,
    /// As it is written, but for what says nothing: spaces, comments, the order of keys. What has the same text is the same.
    pub text: String,
    /// The stream.
    pub destination: Destination,
    /// Which files.
    pub source: source::Settings,
    /// Who writes these files, if that is `kinetail pipe`.
    pub spool: Option<spool::Settings>,
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

impl Flow {
    /// Keeps records whole that are as large as the stream says it takes, if a request holds them.
    pub fn admit(&mut self, record_bytes: usize) {
        self.batch.admit(record_bytes);
        self.source.layout.record_bytes = self.batch.record_bytes.max(RECORD_BYTES);
    }
}

/// What one flow may have of what the agent has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance<'a> {
    /// Where it may have a spool.
    pub(super) state_directory: &'a Path,
    /// How many bytes one request may hold.
    pub(super) request_bytes: usize,
    /// How many files may be open.
    pub(super) open_files: usize,
    /// Whether Firehose is called in a region that was named.
    pub(super) names_firehose: bool,
    /// The region that the agent's keys name for Kinesis.
    pub(super) region: Option<&'a str>,
}

/// Reads the flow that `object` in `file` describes, which may have `allowance` at most. Nothing comes of it if a part is
/// missing; what is wrong is noted in any case.
pub(super) fn flow(
    file: &Path,
    object: &Object,
    allowance: Allowance<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Flow> {
    let mut section = Section::new(file, Holder::Flow, object);
    let parser = step::parser(file, &mut section, problems);
    let flow = assemble(&mut section, parser, allowance, object.to_string());
    problems.extend(section.into_problems());
    flow
}

fn assemble(
    section: &mut Section<'_>,
    parser: Option<Parser>,
    allowance: Allowance<'_>,
    text: String,
) -> Option<Flow> {
    // What is wrong with each part is to be told, so none may keep another from being read.
    let name = section.text("name");
    let input = input(section, name.as_deref(), allowance.state_directory);
    let (source, destination) =
        (source(section, &input, allowance.open_files), destination(section, allowance));
    let (processing, on_mismatch, detail) = (processing(section), on_mismatch(section), detail(section));
    let adds_position = adds_position(section, parser.as_ref());
    let batch = gather(section, destination.as_ref(), allowance.request_bytes);
    let waits = waits(section);
    let (source, destination) = (source?, destination?);
    let id = FlowId::new(&destination.to_string(), source.pattern.as_text());
    let name = name.unwrap_or_else(|| id.to_string());
    let (parser, batch, waits) = (parser?, batch?, waits?);
    Some(Flow {
        id,
        name,
        text,
        destination,
        spool: input.into_settings(&source.layout.records),
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

/// What feeds a flow.
enum Input {
    /// Files of others.
    Files,
    /// `kinetail pipe`.
    Pipe(spool::Settings),
    /// What is missing to say so has been told.
    Unknown,
}

impl Input {
    fn into_settings(self, records: &Records) -> Option<spool::Settings> {
        match self {
            Input::Pipe(settings) => Some(spool::Settings { records: records.clone(), ..settings }),
            Input::Files | Input::Unknown => None,
        }
    }
}

/// Reads what feeds the flow. Its name names the directory of its spool.
fn input(section: &mut Section<'_>, name: Option<&str>, state_directory: &Path) -> Input {
    let bytes = u64::try_from(section.number("spoolBytes")).unwrap_or_default();
    let wait = section.millis("spoolWaitMillis");
    if section.text("input").as_deref() != Some("pipe") {
        for key in ["spoolBytes", "spoolWaitMillis"] {
            if section.is_given(key) {
                section.warn(key, format!("`{key}` has no effect without `\"input\": \"pipe\"`"));
            }
        }
        return Input::Files;
    }
    for key in ["filePattern", "skipHeaderLines", "fileFooterPattern"] {
        if section.is_given(key) {
            let what =
                "must be left out where `input` is `\"pipe\"`, which is no file with a beginning and an end";
            section.error(key, format!("`{key}` {what}"));
        }
    }
    let Some(name) = name else {
        section.error("input", "this flow needs `name`, which `kinetail pipe` calls it by");
        return Input::Unknown;
    };
    let letter = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.chars().all(letter) {
        let must = "must be up to 128 letters, digits, `_`, `.` and `-`, and not begin with `.`, as a directory is \
                    called so";
        section.error("name", format!("`name` {must}, not `\"{name}\"`"));
        return Input::Unknown;
    }
    let directory = spool::Settings::directory(state_directory, name);
    Input::Pipe(spool::Settings { directory, bytes, wait, records: Records::EachLine })
}

/// The pattern that means every segment in the spool of a flow.
fn segments(directory: &Path) -> String {
    let mut pattern = String::new();
    for char in directory.to_string_lossy().chars() {
        if "*?[]{}\\".contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern + "/*/*.log"
}

fn source(section: &mut Section<'_>, input: &Input, open_files: usize) -> Option<source::Settings> {
    let given = section.text("initialPosition");
    let rescan = section.millis("maxTimeBetweenFileTrackerRefreshMillis").max(LEAST_RESCAN);
    let rotation_grace = section.millis("rotationGraceMillis");
    let (initial_position, grace) = match input {
        // Whatever is in a spool was written for this flow, and what is removed from it is delivered.
        Input::Pipe(_) => (InitialPosition::Start, SEGMENT_GRACE),
        Input::Files | Input::Unknown if given.as_deref() == Some("START_OF_FILE") => {
            (InitialPosition::Start, rotation_grace)
        }
        Input::Files | Input::Unknown => (InitialPosition::End, rotation_grace),
    };
    // The table's range leaves no other.
    let share = u8::try_from(section.number("backlogShare")).ok().and_then(Share::of_hundred)?;
    let layout = layout(section);
    let text = match input {
        Input::Files => section.required("filePattern")?,
        Input::Pipe(settings) => segments(&settings.directory),
        Input::Unknown => return None,
    };
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
    Some(Layout { header_lines, records, footer: footer?, ..Layout::default() })
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

/// Where the records go. The Java agent takes a flow with both for one of Firehose.
fn destination(section: &mut Section<'_>, allowance: Allowance<'_>) -> Option<Destination> {
    if section.is_given("deliveryStream") {
        delivery_stream(section, allowance).map(Destination::Firehose)
    } else {
        stream(section, allowance.region).map(Destination::Kinesis)
    }
}

fn stream(section: &mut Section<'_>, region: Option<&str>) -> Option<String> {
    let stream = section.required("kinesisStream")?;
    if StreamArn::is_name(&stream) {
        return Some(stream);
    }
    match (StreamArn::parse(&stream), region) {
        (Some(arn), Some(region)) if arn.region != region => {
            let text = format!(
                "`kinesisStream` is a stream in {}, but `kinesis.region` or `kinesis.endpoint` names {region}: leave them out, or name the same region",
                arn.region
            );
            section.error("kinesisStream", text);
            None
        }
        (Some(_), _) => Some(stream),
        (None, _) => {
            let must = "must be a name of up to 128 letters, digits, `_`, `.` and `-`, or an ARN \
                         `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`";
            section.error("kinesisStream", format!("`kinesisStream` {must}, not `\"{stream}\"`"));
            None
        }
    }
}

fn delivery_stream(section: &mut Section<'_>, allowance: Allowance<'_>) -> Option<String> {
    let key = "deliveryStream";
    let name = section.required(key)?;
    // https://docs.aws.amazon.com/firehose/latest/APIReference/API_CreateDeliveryStream.html
    let letter = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    if name.len() > 64 || !name.chars().all(letter) {
        let must = "must be a name of up to 64 letters, digits, `_`, `.` and `-`";
        section.error(key, format!("`{key}` {must}, not `\"{name}\"`"));
        return None;
    }
    for other in ["kinesisStream", "partitionKeyOption"] {
        if section.is_given(other) {
            section.warn(other, format!("`{other}` has no effect beside `{key}`"));
        }
    }
    if !allowance.names_firehose {
        let text = "`deliveryStream` is looked for in us-east-1, as by the Java agent, whatever the region of this host; \
                    set `firehose.region`";
        section.warn(key, text);
    }
    Some(name)
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

        let allowance = Allowance {
            state_directory: Path::new("/state"),
            request_bytes: usize::MAX,
            open_files: usize::MAX,
            names_firehose: true,
            region: None,
        };
        let mut section = Section::new(file, Holder::Flow, &document.root);
        let parser = step::parser(file, &mut section, &mut Vec::new());
        assert!(assemble(&mut section, parser, allowance, String::new()).is_some());
        assert_eq!(section.unasked(), [""; 0]);
    }
}
