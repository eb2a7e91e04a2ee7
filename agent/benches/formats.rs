//! How much of a log each format reads and writes in a second, on real lines; and beside it how much the `regex` crate
//! only matches with the same pattern, without writing anything.
//!
//! `cargo bench --profile ci --bench formats`. The bytes counted are those of the log.

use std::path::Path;
use std::time::Duration;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use kinetail::parse::{DEFAULT_ERROR_LOG, Format, JsonTypes, Parser, Step, Surroundings, Template};
use kinetail::split::Line;
use regex::bytes::Regex;

/// How much of a log is read in one go: more than the caches of one core hold is no use, since the reader does not
/// either.
const LOG_BYTES: usize = 256 * 1024;

const COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;
const TIMED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D"#;
const COMBINED_REGEX: &str = r#"^(\S+) (\S+) (.+?) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d+|-) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)""#;
const ERROR_REGEX: &str = r"^\[([^\]]+)\] \[(?:(\w*):)?(\w+)\] \[pid (\d+)(?::tid (\d+))?\] (?:([^ ():]+\(\d+\)): )?(?:(\(\d+\)[^:]+): )?(?:\[client ([^\]]+)\] )?(.*?)(?:, referer: (.*))?$";
const LOG4J: &str = "%d{ISO8601} %-5p [%t] %c - %m%n";
const LOG4J_REGEX: &str = r"(?s)^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d+) (\w+) +\[(.*?)\] (\S+) - (.*)$";

fn main() {
    divan::main();
}

#[divan::bench(args = [JsonTypes::Strings, JsonTypes::Native])]
fn combined(bencher: Bencher<'_, '_>, types: JsonTypes) {
    read(bencher, &access_log(""), Step::Log { format: Format::Combined, types });
}

#[divan::bench(args = [JsonTypes::Strings, JsonTypes::Native])]
fn combined_compiled(bencher: Bencher<'_, '_>, types: JsonTypes) {
    let template = Template::of_access_log(COMBINED, None, types).expect("the format can be followed");
    read(bencher, &access_log(""), Step::Template(template));
}

#[divan::bench(args = [JsonTypes::Strings, JsonTypes::Native])]
fn timed_compiled(bencher: Bencher<'_, '_>, types: JsonTypes) {
    let template = Template::of_access_log(TIMED, None, types).expect("the format can be followed");
    read(bencher, &access_log(" 1234"), Step::Template(template));
}

#[divan::bench]
fn combined_regex(bencher: Bencher<'_, '_>) {
    matched(bencher, &access_log(""), COMBINED_REGEX);
}

#[divan::bench(args = [JsonTypes::Strings, JsonTypes::Native])]
fn error_log_compiled(bencher: Bencher<'_, '_>, types: JsonTypes) {
    let template =
        Template::of_error_log(DEFAULT_ERROR_LOG, None, types).expect("the format can be followed");
    read(bencher, &repeated(&fixture("httpd/error-default.log")), Step::Template(template));
}

#[divan::bench]
fn error_log_regex(bencher: Bencher<'_, '_>) {
    matched(bencher, &repeated(&fixture("httpd/error-default.log")), ERROR_REGEX);
}

#[divan::bench]
fn json_log(bencher: Bencher<'_, '_>) {
    read(bencher, &repeated(&fixture("httpd/json.log")), Step::JsonLog);
}

#[divan::bench(args = [JsonTypes::Strings, JsonTypes::Native])]
fn log4j(bencher: Bencher<'_, '_>, types: JsonTypes) {
    let template = Template::of_log4j(LOG4J, None, types).expect("the pattern can be followed");
    read(bencher, &log4j_log(), Step::Template(template));
}

#[divan::bench]
fn log4j_regex(bencher: Bencher<'_, '_>) {
    matched(bencher, &log4j_log(), LOG4J_REGEX);
}

/// Reads each line of `log` into one buffer, as a reader does into its batch.
fn read(bencher: Bencher<'_, '_>, log: &[u8], step: Step) {
    let (mut parser, around) = (Parser::new(vec![step]), Surroundings::at(Duration::ZERO));
    let mut buffer = Vec::with_capacity(LOG_BYTES * 4);
    bencher.counter(BytesCount::of_slice(log)).bench_local(|| {
        buffer.clear();
        for line in lines(black_box(log)) {
            parser.parse(&Line::alone(line), &around, &mut buffer).expect("real lines match");
        }
        buffer.len()
    });
}

/// Matches each line of `log`.
fn matched(bencher: Bencher<'_, '_>, log: &[u8], pattern: &str) {
    let regex = Regex::new(pattern).expect("the expression is one");
    let mut places = regex.capture_locations();
    bencher.counter(BytesCount::of_slice(log)).bench_local(|| {
        for line in lines(black_box(log)) {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            assert!(regex.captures_read(&mut places, line).is_some(), "real lines match");
            black_box(&places);
        }
    });
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

/// The demo's access log with `column` at the end of each line.
fn access_log(column: &str) -> Vec<u8> {
    let log = fixture("logs/access.log");
    let lines =
        lines(&log).flat_map(|line| [line.strip_suffix(b"\n").unwrap_or(line), column.as_bytes(), b"\n"]);
    repeated(&lines.collect::<Vec<_>>().concat())
}

fn log4j_log() -> Vec<u8> {
    repeated(
        b"2026-11-22 10:00:00,123 INFO  [http-nio-8080-exec-1] com.example.shop.OrderController - order 4711 accepted in 12 ms\n\
          2026-11-22 10:00:00,456 WARN  [scheduler-3] com.example.shop.Stock - item 99 is low: 3 left\n",
    )
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
