//! What the Java agent makes of a line, for those who want to see the difference.
//!
//! It tells every format by an expression and matches all of a line with it, so that its formats are patterns like
//! anyone's. How <https://github.com/awslabs/amazon-kinesis-agent> behaves, version 2.0.13; nothing here is used to
//! parse what is sent.

use super::pattern::Pattern;
use super::{Format, Record, Step};

/// The Java agent with one step, `LOGTOJSON`.
#[derive(Clone, Debug)]
pub struct JavaAgent {
    pattern: Pattern,
}

impl JavaAgent {
    /// With one of its formats.
    #[must_use]
    pub fn with_format(format: Format) -> JavaAgent {
        JavaAgent::with_names(format, format.names().iter().copied())
            .expect("its formats have as many groups as names")
    }

    /// With one of its formats, whose fields have other names; `None` if there is not one for each.
    #[must_use]
    pub fn with_names<'n>(format: Format, names: impl IntoIterator<Item = &'n str>) -> Option<JavaAgent> {
        Pattern::new(&expression(format), names, format).ok().map(JavaAgent::with_pattern)
    }

    /// With a `matchPattern`.
    #[must_use]
    pub fn with_pattern(pattern: Pattern) -> JavaAgent {
        JavaAgent { pattern }
    }

    /// Its step as one of ours, which does what it does.
    pub(super) fn into_step(self) -> Step {
        Step::Pattern(self.pattern)
    }

    /// Appends the record that it sends for `line`, which may have a newline at its end; `None` if it drops the line.
    pub fn write(&self, line: &[u8], out: &mut Vec<u8>) -> Option<Record> {
        self.pattern.write(line.strip_suffix(b"\n").unwrap_or(line), out).ok()
    }
}

/// The expression by which it tells `format`, in Java's language.
fn expression(format: Format) -> String {
    let int = "[+-]?[0-9]+";
    let user = "[a-zA-Z0-9._-]+";
    let hostname = r"[\w\-]+(?:\.[\w\-]+)*(?:\.?|\b)";
    let host = format!(r"(?:{hostname}|[\d\.]+)");
    let month_day = "(?:0[1-9]|[12][0-9]|3[01]|[1-9])";
    let month = concat!(
        r"\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|",
        r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b",
    );
    let day =
        "(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)";
    let year = r"[1-9]\d*";
    let time = r"(?:2[0-3]|[01]?[0-9]):[0-5][0-9]:(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?";
    let common = format!(
        r#"({host}) ({user}) ({user}) \[({month_day}/{month}/{year}:{time}\s{int})\] "([^"]+)" ({int}|-) ({int}|-)"#
    );
    let signed = format!(r"(?:<[0-9]+.[0-9]+> )?({user}) ([\w./%-]+)(?:\[([1-9][0-9]*)\])?: (.*)");
    match format {
        Format::Common => format!("{common}.*"),
        Format::Combined => format!(r#"{common} "([^"]+)" "([^"]+)".*"#),
        Format::ErrorLog => {
            let date = format!(r"{day}\s+{month}\s+{month_day}\s+{time}\s+{year}");
            let process = r"\[pid ([0-9]+)(?::tid ([0-9]+))?\]";
            let client = format!(r"\[client ({host}(?::[1-9][0-9]*)?)\]");
            format!(r"\[({date})\] \[(?:(\w+):)?(\w+)\] {process} {client} (.*)")
        }
        Format::Syslog => format!(r"({month}\s+{month_day}\s+{time}) {signed}"),
        Format::Rfc3339Syslog => {
            let date = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[-+]\d{2}:\d{2})";
            format!("({date}) {signed}")
        }
    }
}
