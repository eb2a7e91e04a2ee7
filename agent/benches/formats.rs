//! How much of a log each format turns into records in a second, on real lines; and beside it how much the `regex` crate
//! does with the same pattern.
//!
//! `cargo bench --profile ci --bench formats`. The bytes counted are those of the log. `strings` and `native` are ours.
//! `matched_by_regex` only finds the values, into places that are reused, and writes nothing: less work than ours.
//! `written_by_regex` writes of them the record that `strings` writes, too, through `serde_json`: the same work, and it is
//! asserted that the records are the same bytes. These two are to be compared; `native` does more than either, since it
//! decodes escapes and works out dates and requests. Neither side has to look for the ends of lines in its own way: both
//! are given the same lines.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use kinetail::parse::{DEFAULT_ERROR_LOG, Format, JsonTypes, Parser, Step, Surroundings, Template};
use kinetail::split::Line;
use regex::bytes::{CaptureLocations, Regex};

/// How much of a log is read in one go: more than the caches of one core hold is no use, since the reader does not
/// either.
const LOG_BYTES: usize = 256 * 1024;

const COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;
const TIMED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D"#;
const LOG4J: &str = "%d{ISO8601} %-5p [%t] %c - %m%n";

/// A format, and lines in it.
#[derive(Clone, Copy, Debug)]
enum Sample {
    Common,
    Combined,
    ErrorLog,
    Syslog,
    Rfc3339Syslog,
    CombinedCompiled,
    TimedCompiled,
    ErrorLogCompiled,
    Log4jCompiled,
}

const ALL: [Sample; 9] = [
    Sample::Common,
    Sample::Combined,
    Sample::ErrorLog,
    Sample::Syslog,
    Sample::Rfc3339Syslog,
    Sample::CombinedCompiled,
    Sample::TimedCompiled,
    Sample::ErrorLogCompiled,
    Sample::Log4jCompiled,
];

fn main() {
    divan::main();
}

#[divan::bench(args = ALL)]
fn strings(bencher: Bencher<'_, '_>, log: Sample) {
    read(bencher, &log.lines(), log.step(JsonTypes::Strings));
}

#[divan::bench(args = ALL)]
fn native(bencher: Bencher<'_, '_>, log: Sample) {
    read(bencher, &log.lines(), log.step(JsonTypes::Native));
}

#[divan::bench]
fn json_log(bencher: Bencher<'_, '_>) {
    read(bencher, &repeated(&fixture("httpd/json.log")), Step::JsonLog);
}

#[divan::bench(args = ALL)]
fn matched_by_regex(bencher: Bencher<'_, '_>, log: Sample) {
    let (log_lines, expression) = (log.lines(), log.expression());
    let mut places = expression.capture_locations();
    bencher.counter(BytesCount::of_slice(&log_lines)).bench_local(|| {
        for line in lines(black_box(&log_lines)) {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            assert!(expression.captures_read(&mut places, line).is_some(), "the lines match");
            black_box(&places);
        }
    });
}

#[divan::bench(args = ALL)]
fn written_by_regex(bencher: Bencher<'_, '_>, log: Sample) {
    let (log_lines, expression, names) = (log.lines(), log.expression(), log.names());
    let mut places = expression.capture_locations();
    let mut buffer = Vec::with_capacity(LOG_BYTES * 4);
    let mut write_all = || {
        buffer.clear();
        for line in lines(black_box(&log_lines)) {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            assert!(expression.captures_read(&mut places, line).is_some(), "the lines match");
            write_captures(log, line, &places, &names, &mut buffer);
        }
        buffer.len()
    };
    write_all();
    let (mut parser, mut ours) = (Parser::new(vec![log.step(JsonTypes::Strings)]), Vec::new());
    parse_all(&mut parser, &log_lines, &mut ours);
    bencher.counter(BytesCount::of_slice(&log_lines)).bench_local(&mut write_all);
    assert!(ours == buffer, "the records of {log} differ");
}

impl Sample {
    fn step(self, types: JsonTypes) -> Step {
        let template = match self {
            Sample::Common => return Step::Log { format: Format::Common, types },
            Sample::Combined => return Step::Log { format: Format::Combined, types },
            Sample::ErrorLog => return Step::Log { format: Format::ErrorLog, types },
            Sample::Syslog => return Step::Log { format: Format::Syslog, types },
            Sample::Rfc3339Syslog => return Step::Log { format: Format::Rfc3339Syslog, types },
            Sample::CombinedCompiled => Template::of_access_log(COMBINED, None, types),
            Sample::TimedCompiled => Template::of_access_log(TIMED, None, types),
            Sample::ErrorLogCompiled => Template::of_error_log(DEFAULT_ERROR_LOG, None, types),
            Sample::Log4jCompiled => Template::of_log4j(LOG4J, None, types),
        };
        Step::Template(template.expect("the format can be followed"))
    }

    /// What the values are called in the `strings` profile.
    fn names(self) -> Vec<String> {
        let step = self.step(JsonTypes::Strings);
        let mut names: Vec<_> = if let Step::Log { format, .. } = step {
            format.names().iter().map(|&name| name.to_owned()).collect()
        } else if let Step::Template(template) = step {
            template.names().map(str::to_owned).collect()
        } else {
            unreachable!("no sample has another step")
        };
        if matches!(self, Sample::Log4jCompiled) {
            names.push("stackTrace".to_owned());
        }
        names
    }

    /// What matches its lines; for the formats of the Java agent that know no other lines, its own expression.
    fn expression(self) -> Regex {
        let (quoted, number) = (r#""((?:[^"\\]|\\.)*)""#, r"(\d+|-)");
        let common = format!(r"^(\S+) (\S+) (.+?) \[([^\]]+)\] {quoted} {number} {number}");
        let month = r"\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|Jun(?:e)?|Jul(?:y)?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b";
        let clock = r"(?:2[0123]|[01]?[0-9]):[0-5][0-9]:(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?";
        let moment = format!(r"{month}\s+(?:0[1-9]|[12][0-9]|3[01]|[1-9])\s+{clock}");
        let signed = r"(?:<[0-9]+.[0-9]+> )?([a-zA-Z0-9._-]+) ([\w._/%-]+)(?:\[([1-9][0-9]*)\])?: (.*)$";
        let text = match self {
            Sample::Common => format!("{common}.*$"),
            Sample::Combined | Sample::CombinedCompiled => format!("{common} {quoted} {quoted}"),
            Sample::TimedCompiled => format!("{common} {quoted} {quoted} {number}$"),
            Sample::ErrorLog => {
                let day = "(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)";
                let host = r"(?:[\w-]+(?:\.[\w-]+)*(?:\.?|\b)|[0-9.]+)(?::[1-9][0-9]*)?";
                format!(
                    r"^\[({day}\s+{moment}\s+[1-9][0-9]*)\] \[(?:(\w+):)?(\w+)\] \[pid ([0-9]+)(?::tid ([0-9]+))?\] \[client ({host})\] (.*)$"
                )
            }
            Sample::Syslog => format!("^({moment}) {signed}"),
            Sample::Rfc3339Syslog => format!(
                r"^([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]+)?(?:Z|[-+][0-9]{{2}}:[0-9]{{2}})) {signed}"
            ),
            Sample::ErrorLogCompiled => r"^\[([^\]]+)\] \[(?:(\w*):)?(\w+)\] \[pid (\d+)(?::tid (\d+))?\] (?:([^ ():]+\(\d+\)): )?(?:(\(\d+\)[^:]+): )?(?:\[client ([^\]]+)\] )?(?:\[remote ([^\]]+)\] )?(.*?)(?:, referer: (.*))?$".to_owned(),
            Sample::Log4jCompiled => {
                r"(?s)^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d+) (\w+) +\[(.*?)\] (\S+) - ([^\n]*)(?:\n(.*))?$".to_owned()
            }
        };
        // In bytes, as we match, not in the classes of Unicode.
        Regex::new(&format!("(?-u){text}")).expect("the expression is one")
    }

    /// Real lines of it that the expression matches as well: the Java agent drops some that we take.
    fn lines(self) -> Vec<u8> {
        let log = match self {
            Sample::Combined | Sample::CombinedCompiled | Sample::Common => fixture("logs/access.log"),
            Sample::TimedCompiled => with_column(&fixture("logs/access.log"), " 1234"),
            Sample::ErrorLog | Sample::ErrorLogCompiled => fixture("httpd/error-default.log"),
            Sample::Syslog => fixture("logs/syslog.log"),
            Sample::Rfc3339Syslog => fixture("logs/rfc3339-syslog.log"),
            Sample::Log4jCompiled => fixture("logs/log4j.log"),
        };
        let expression = self.expression();
        let lines: Vec<_> = lines(&log)
            // A carriage return belongs to the end of the line for us, and to the message for the expression.
            .filter(|line| !line.contains(&b'\r'))
            .filter(|line| expression.is_match(line.strip_suffix(b"\n").unwrap_or(line)))
            .collect();
        assert!(!lines.is_empty(), "no line of {self} matches");
        repeated(&lines.concat())
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Reads each line of `log` into one buffer, as a reader does into its batch.
fn read(bencher: Bencher<'_, '_>, log: &[u8], step: Step) {
    let mut parser = Parser::new(vec![step]);
    let mut buffer = Vec::with_capacity(LOG_BYTES * 4);
    bencher.counter(BytesCount::of_slice(log)).bench_local(|| {
        buffer.clear();
        parse_all(&mut parser, black_box(log), &mut buffer);
        buffer.len()
    });
}

fn parse_all(parser: &mut Parser, log: &[u8], buffer: &mut Vec<u8>) {
    let around = Surroundings::at(Duration::ZERO);
    for line in lines(log) {
        parser.parse(&Line::alone(line), &around, buffer).expect("real lines match");
    }
}

/// Appends the record of what the groups of an expression matched in `line`.
fn write_captures(
    log: Sample,
    line: &[u8],
    places: &CaptureLocations,
    names: &[String],
    buffer: &mut Vec<u8>,
) {
    buffer.push(b'{');
    for (group, name) in (1..).zip(names) {
        if group > 1 {
            buffer.push(b',');
        }
        buffer.push(b'"');
        buffer.extend_from_slice(name.as_bytes());
        buffer.extend_from_slice(b"\":");
        let value = places.get(group).and_then(|(start, end)| line.get(start..end));
        match value.filter(|value| *value != b"-" || matches!(log, Sample::Syslog | Sample::Rfc3339Syslog)) {
            Some(value) => serde_json::to_writer(&mut *buffer, &String::from_utf8_lossy(value))
                .expect("memory takes every write"),
            None => buffer.extend_from_slice(b"null"),
        }
    }
    buffer.extend_from_slice(b"}\n");
}

/// The lines of `log`, each with its newline.
fn lines(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', log).filter_map(move |newline| {
        let line = log.get(start..=newline);
        start = newline + 1;
        line
    })
}

/// The lines of `log` with `column` at the end of each.
fn with_column(log: &[u8], column: &str) -> Vec<u8> {
    let lines =
        lines(log).flat_map(|line| [line.strip_suffix(b"\n").unwrap_or(line), column.as_bytes(), b"\n"]);
    lines.collect::<Vec<_>>().concat()
}

/// The lines of `log`, as often as makes [`LOG_BYTES`].
fn repeated(log: &[u8]) -> Vec<u8> {
    lines(log)
        .collect::<Vec<_>>()
        .into_iter()
        .cycle()
        .scan(0, |bytes, line| {
            *bytes += line.len();
            (*bytes <= LOG_BYTES).then_some(line)
        })
        .collect::<Vec<_>>()
        .concat()
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name);
    std::fs::read(path).expect("the fixture is there")
}
