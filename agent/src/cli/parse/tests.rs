//! What is shown of lines, by a format and by a flow.

use std::path::Path;

use super::*;
use crate::batch::RECORD_BYTES;
use crate::config::Sources;

const LINE: &str = "::1 - - [03/Feb/2021:04:05:06 +0100] \"-\" 408 -\n";
const RECORD: &str = "{\"host\":\"::1\",\"ident\":null,\"authuser\":null,\"datetime\":\"03/Feb/2021:04:05:06 +0100\",\
                      \"request\":null,\"response\":\"408\",\"bytes\":null}\n";

fn log(types: JsonTypes) -> Subject {
    Subject::of_format(Format::Common, types)
}

/// What `input` gives: how it ends, what is shown and the reasons.
#[track_caller]
fn check(subject: Subject, shown: Shown, input: &str, expected: (Exit, &str, &str)) {
    let (mut records, mut reasons) = (Vec::new(), Vec::new());
    let outputs = (&mut records, &mut reasons);
    let exit = convert(subject, shown, "log", input.as_bytes(), outputs, &ProgressBar::hidden()).unwrap();
    assert_eq!((exit, str::from_utf8(&records).unwrap(), str::from_utf8(&reasons).unwrap()), expected);
}

#[track_caller]
fn check_records(input: &str, expected: (Exit, &str, &str)) {
    check(log(JsonTypes::Strings), Shown::Records, input, expected);
}

#[test]
fn every_line_becomes_a_record() {
    check_records("", (Exit::Done, "", ""));
    check_records(LINE, (Exit::Done, RECORD, ""));
    check_records(LINE.trim_end(), (Exit::Done, RECORD, ""));
    check_records(&LINE.repeat(20_000), (Exit::Done, &RECORD.repeat(20_000), ""));
}

#[test]
fn a_line_that_does_not_match_is_named_and_the_rest_goes_on() {
    let reason = "log:2: no ident at byte 2: expected a word, then a space\n";
    check_records(&format!("{LINE}x \n{LINE}"), (Exit::Failed, &RECORD.repeat(2), reason));
}

/// Fails every write as a closed pipe does.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let subject = log(JsonTypes::Strings);
    let outputs = (Closed, Vec::new());
    let exit = convert(subject, Shown::Records, "log", LINE.as_bytes(), outputs, &ProgressBar::hidden());
    assert!(matches!(exit, Ok(Exit::Done)), "{exit:?}");
}

/// A configuration with these flows.
fn config(flows: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let main = directory.path().join("agent.json");
    std::fs::write(&main, format!("{{ \"flows\": [{flows}] }}")).unwrap();
    config::load(&Sources { main, drop_ins: None, state_directory: None }).unwrap()
}

#[test]
fn a_flow_is_tried_as_it_is_configured() {
    let flow = r##"{ "filePattern": "/a/b", "kinesisStream": "s", "name": "n", "skipHeaderLines": 1,
                    "multiLineStartPattern": "\\d", "fileFooterPattern": "9 end" }"##;
    let subject = Subject::of_flow(&config(flow), Some("n")).unwrap();
    let input = "head\n1 a\n more\n2 b\n9 end\n3 c\n";
    check(subject, Shown::Records, input, (Exit::Done, "1 a\n more\n2 b\n", ""));
}

#[test]
fn the_flow_is_found_by_its_name_or_its_id_or_as_the_only_one() {
    let one = r#"{ "filePattern": "/a/b", "kinesisStream": "s", "name": "n" }"#;
    let two = format!("{one}, {{ \"filePattern\": \"/a/c\", \"kinesisStream\": \"s\" }}");
    for name in [None, Some("n"), Some("kinesis:s:/a/b")] {
        assert!(Subject::of_flow(&config(one), name).is_ok(), "{name:?}");
    }
    let told = |name| Subject::of_flow(&config(&two), name).map(drop).unwrap_err().to_string();
    let names = "`n`, `kinesis:s:/a/c`";
    assert_eq!(told(None), format!("there are several flows; name one with `--flow`: {names}"));
    assert_eq!(told(Some("x")), format!("there is no flow `x`; there are: {names}"));
}

#[test]
fn the_differences_to_the_java_agent_are_shown_and_counted() {
    // The Java agent knows no addresses of IPv6.
    let four = LINE.replace("::1", "192.0.2.1");
    let input = format!("{four}{LINE}{LINE}");
    let shown = format!(
        "log:2: the Java agent drops the line\n+ {RECORD}log:3: the Java agent drops the line\n+ {RECORD}         1  the same, or sent by neither\n         2  the Java agent drops the line\n"
    );
    check(log(JsonTypes::Strings), Shown::Differences, &input, (Exit::Done, &shown, ""));
}

#[test]
fn what_neither_sends_is_no_difference() {
    let reason = "log:1: no host at byte 0: expected a name or an address, then a space\n";
    let shown = "         1  the same, or sent by neither\n";
    check(log(JsonTypes::Strings), Shown::Differences, "x\n", (Exit::Failed, shown, reason));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = parse(log(JsonTypes::Strings), Shown::Records, Path::new("/nonexistent/log")).unwrap_err();
    assert_eq!(error.to_string(), "failed to open `/nonexistent/log`");
}

/// The flow `n` with these keys.
fn of_keys(keys: &str) -> Subject {
    let flow = format!(r#"{{ "filePattern": "/a/b", "kinesisStream": "s", "name": "n", {keys} }}"#);
    Subject::of_flow(&config(&flow), None).unwrap()
}

/// The difference to the Java agent that is told of the one line of `input`, where a flow has this step.
#[track_caller]
fn check_difference(step: &str, input: &str, expected: &str) {
    let subject = of_keys(&format!("\"dataProcessingOptions\": [{{ {step} }}]"));
    let (mut records, mut reasons) = (Vec::new(), Vec::new());
    let outputs = (&mut records, &mut reasons);
    convert(subject, Shown::Differences, "log", input.as_bytes(), outputs, &ProgressBar::hidden()).unwrap();
    let told = String::from_utf8(records).unwrap();
    let (same, differing) = told.split_once("  the same, or sent by neither\n").unwrap();
    assert_eq!((same.ends_with('0'), differing.trim_start()), (!expected.is_empty(), expected), "{told}");
}

#[test]
fn formats_that_the_java_agent_does_not_know_are_not_the_same() {
    let refused = "1  the Java agent refuses the configuration: it does not know this `logFormat`\n";
    for (format, input) in [
        (r#""logFormat": "APACHE", "apacheLogFormat": "%h %l %u %t \"%r\" %>s %b""#, LINE),
        (r#""logFormat": "APACHE", "apacheLogFormat": "%h %D""#, "::1 7\n"),
        (r#""logFormat": "APACHEERROR""#, "no entry\n"),
        (r#""logFormat": "LOG4J", "log4jPattern": "%p %m%n""#, "INFO x\n"),
        (r#""logFormat": "NGINX""#, "no entry\n"),
        (r#""logFormat": "JSON""#, "{\"a\":1}\n"),
    ] {
        check_difference(&format!(r#""optionName": "LOGTOJSON", {format}"#), input, refused);
    }
}

#[test]
fn keys_that_the_java_agent_does_not_know_make_a_difference() {
    let line = LINE.replace("::1", "192.0.2.1");
    let log = r#""optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG""#;
    check_difference(log, &line, "");
    let fields = "1  the Java agent writes other fields\n";
    check_difference(&format!(r#"{log}, "jsonTypes": "native""#), &line, fields);
    let csv = r#""optionName": "CSVTOJSON", "customFieldNames": ["a", "b"]"#;
    check_difference(csv, "\"x,y\"\n", "");
    let value = "1  the Java agent writes another value\n";
    check_difference(&format!(r#"{csv}, "quote": "\"""#), "\"x,y\"\n", value);
}

#[test]
fn what_does_not_match_is_shown_as_the_flow_sends_it() {
    let step = r#""dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "SYSLOG" }]"#;
    let reason = "log:1: no timestamp at byte 0: expected `Mon dd HH:MM:SS `";
    let raw = of_keys(&format!(r#"{step}, "onParseError": "raw""#));
    check(raw, Shown::Records, "x\n", (Exit::Failed, "x\n", &format!("{reason}; sent as it is\n")));
    let dropped = of_keys(&format!(r#"{step}, "onParseError": "drop""#));
    check(dropped, Shown::Records, "x\n", (Exit::Failed, "", &format!("{reason}\n")));
}

#[test]
fn what_the_stream_does_not_take_is_cut_as_it_is_sent() {
    let long = "x".repeat(RECORD_BYTES);
    for (key, room) in [("RANDOM", RECORD_BYTES - 13), ("DETERMINISTIC", RECORD_BYTES - 32)] {
        let keys = format!(r#""truncatedRecordTerminator": "…", "partitionKeyOption": "{key}""#);
        let reason = "log:1: is cut, as the stream takes no more in a record\n";
        let shown = format!("{}…", "x".repeat(room - "…".len()));
        check(of_keys(&keys), Shown::Records, &format!("{long}\n"), (Exit::Done, &shown, reason));
        let fits = &"x".repeat(room);
        check(of_keys(&keys), Shown::Records, fits, (Exit::Done, fits, ""));
    }
    // Steps are given no more of a line than a record has room for.
    let step = r#""dataProcessingOptions": [{ "optionName": "SINGLELINE" }, { "optionName": "LOGTOJSON", "logFormat": "SYSLOG",
        "matchPattern": ".*?(x?y|x)", "customFieldNames": ["end"] }]"#;
    let input = format!("{long}y\n");
    check(of_keys(step), Shown::Records, &input, (Exit::Done, "{\"end\":\"x\"}\n", ""));
}

#[test]
fn the_place_is_shown_as_far_as_it_is_known() {
    let host = crate::source::host_name().unwrap();
    let keys = r#""addPosition": true, "skipHeaderLines": 1,
        "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG" }]"#;
    let record = |offset| {
        let place =
            format!(r#","@host":"{host}","@file":"0000000000000000-0-00000000","@offset":{offset}}}"#);
        RECORD.replace("}\n", &format!("{place}\n"))
    };
    let input = format!("head\n{LINE}{LINE}");
    let shown = record(5) + &record(5 + LINE.len());
    let note =
        "log: note: `@file` is shown as zeros, as only a running agent knows the generation of a file\n";
    check(of_keys(keys), Shown::Records, &input, (Exit::Done, &shown, note));
}

#[test]
fn what_is_told_of_the_instance_is_shown_as_null() {
    let subject = of_keys(r#""dataProcessingOptions": [{ "optionName": "ADDEC2METADATA" }]"#);
    let (mut records, mut reasons) = (Vec::new(), Vec::new());
    let outputs = (&mut records, &mut reasons);
    convert(subject, Shown::Records, "log", "{\"a\":1}\n".as_bytes(), outputs, &ProgressBar::hidden())
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&records).unwrap();
    assert_eq!(
        (&shown["a"], shown.get("instanceId")),
        (&1.into(), Some(&serde_json::Value::Null)),
        "{shown}"
    );
    let note = "log: note: what `ADDEC2METADATA` adds is shown as null, as only a running agent knows its instance\n";
    assert_eq!(String::from_utf8(reasons).unwrap(), note);
}
