//! Reading a line and writing its record allocates nothing, whatever the format.
//!
//! Its own program, since counting allocations takes an allocator of its own.

use std::path::Path;
use std::time::Duration;

use allocation_counter::measure;
use kinetail::parse::{
    DEFAULT_ERROR_LOG, Format, JsonTypes, NGINX_COMBINED, Parser, Step, Surroundings, Template,
};
use kinetail::split::Line;

/// Parses every line of the fixture `log` that matches, over and over: once the buffer has its size, nothing may be
/// allocated any more.
#[track_caller]
fn check(step: Step, log: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(log);
    let bytes = std::fs::read(path).expect("the fixture is there");
    let (mut parser, around) = (Parser::new(vec![step]), Surroundings::at(Duration::ZERO));
    let mut buffer = Vec::new();
    // A line that does not match may cost what it takes to say why.
    let lines: Vec<_> = bytes
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| parser.parse(&Line::alone(line), &around, &mut buffer).is_ok())
        .collect();
    assert!(!lines.is_empty(), "no line of {log} matches");
    let records = buffer.clone();

    let allocations = measure(|| {
        buffer.clear();
        for line in &lines {
            parser.parse(&Line::alone(line), &around, &mut buffer).expect("every line of a fixture matches");
        }
    });
    assert_eq!(buffer, records);
    assert_eq!(allocations.count_total, 0, "{log}: {allocations:?}");
}

#[test]
fn formats_of_the_java_agent_allocate_nothing() {
    for types in [JsonTypes::Strings, JsonTypes::Native] {
        let logs = [
            (Format::Common, "logs/common.log"),
            (Format::Common, "logs/access.log"),
            (Format::Combined, "logs/access.log"),
            (Format::Combined, "logs/combined.log"),
            (Format::Combined, "logs/escapes.log"),
            (Format::Combined, "logs/invalid-utf8.log"),
            (Format::Combined, "logs/requests.log"),
            (Format::Combined, "logs/vhost.log"),
            (Format::ErrorLog, "logs/error-log.log"),
            (Format::ErrorLog, "httpd/error-default.log"),
            (Format::Syslog, "logs/syslog.log"),
            (Format::Rfc3339Syslog, "logs/rfc3339-syslog.log"),
        ];
        for (format, log) in logs {
            check(Step::Log { format, types }, log);
        }
    }
}

#[test]
fn compiled_formats_allocate_nothing() {
    let combined = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;
    for types in [JsonTypes::Strings, JsonTypes::Native] {
        let error_log = Template::of_error_log(DEFAULT_ERROR_LOG, None, types).unwrap();
        let logs = [
            (Template::of_access_log(combined, None, types).unwrap(), "logs/access.log"),
            (Template::of_access_log(combined, None, types).unwrap(), "logs/escapes.log"),
            (Template::of_nginx(NGINX_COMBINED, None, types).unwrap(), "logs/access.log"),
            (error_log.clone(), "httpd/error-default.log"),
            (error_log, "logs/error-log.log"),
            (Template::of_log4j("%d{ISO8601} %-5p [%t] %c - %m%n", None, types).unwrap(), "logs/log4j.log"),
        ];
        for (template, log) in logs {
            check(Step::Template(template), log);
        }
    }
}
