//! What the steps of `fixtures/config/good/every-step.json` make of a line.

use super::*;
use crate::parse::Surroundings;
use crate::split::Line;

/// What the flow of `fixtures/config/good/every-step.json` with this name makes of a line, at a time in 2021.
#[track_caller]
fn check_step(flow: &str, line: &str, expected: &str) {
    let config = load_fixture("good/every-step.json");
    let mut parser = config.flows.into_iter().find(|known| known.name == flow).unwrap().parser;
    let mut buffer = Vec::new();
    let around = Surroundings::at(Duration::from_millis(1_612_325_106_789));
    parser.parse(&Line::alone(line.as_bytes()), &around, &mut buffer).unwrap();
    assert_eq!(str::from_utf8(&buffer), Ok(expected));
}

#[test]
fn every_step_does_what_it_says() {
    check_step("joined", " a\n b\n", "{ a\\\\n b\n}");
    check_step("columns", "1\t\"a\tb\"\n", "{\n  \"id\" : \"1\",\n  \"name\" : \"a\\tb\"\n}\n");
    check_step(
        "told",
        "x\n",
        "{\"ts\":\"2021-02-03T04:05:06.789Z\",\"metadata\":{\"env\":\"qa\",\"n\":[1.1,100000.0,7,null,true]},\"data\":\"x\"}\n",
    );
    let line = "::1 - - [03/Feb/2021:04:05:06 +0100] \"-\" 408 -\n";
    let record = "{\"host\":\"::1\",\"ident\":null,\"authuser\":null,\"datetime\":\"03/Feb/2021:04:05:06 +0100\",\
                  \"time\":1612321506000,\"timeIso\":\"2021-02-03T04:05:06+01:00\",\"request\":null,\"method\":null,\
                  \"path\":null,\"query\":null,\"protocol\":null,\"response\":408,\"bytes\":0}\n";
    check_step("log", line, record);
    check_step(
        "renamed",
        "Feb  3 04:05:06 web1 sshd[812]: hello\n",
        "{\"when\":\"Feb  3 04:05:06\",\"where\":\"web1\",\"who\":\"sshd\",\"number\":\"812\",\"what\":\"hello\"}\n",
    );
    check_step("matched", "- INFO x\n", "{\"who\":null,\"level\":\"INFO\",\"what\":\"x\"}\n");
    check_step(
        "rfc3339",
        "2021-02-03T04:05:06Z web1 sshd: hello\n",
        "{\"timestamp\":\"2021-02-03T04:05:06Z\",\"hostname\":\"web1\",\"program\":\"sshd\",\"processid\":null,\"message\":\"hello\"}\n",
    );
}

#[test]
fn formats_of_the_operator_do_what_they_say() {
    check_step(
        "of httpd",
        "::1 404 17\n",
        "{\"host\":\"::1\",\"response\":\"404\",\"durationMicros\":\"17\"}\n",
    );
    check_step(
        "of httpd's errors",
        "[error] [pid 7] no\n",
        "{\"severity\":\"error\",\"processid\":\"7\",\"message\":\"no\"}\n",
    );
    check_step("of json", "{\"a\" : \"\\x41\"}\n", "{\"a\":\"A\"}\n");
    check_step(
        "of nginx",
        "::1 [03/Feb/2021:04:05:06 +0100] 200\n",
        "{\"host\":\"::1\",\"datetime\":\"03/Feb/2021:04:05:06 +0100\",\"response\":\"200\"}\n",
    );
    check_step(
        "of log4j",
        "2021-02-03 04:05:06,789 WARN  [main] a.B - x\n",
        "{\"timestamp\":\"2021-02-03 04:05:06,789\",\"level\":\"WARN\",\"thread\":\"main\",\"logger\":\"a.B\",\"message\":\"x\",\"stackTrace\":null}\n",
    );
}

#[test]
fn an_entry_of_log4j_begins_where_its_pattern_says() {
    let config = load_fixture("good/every-step.json");
    let begins = |name: &str| {
        let flow = config.flows.iter().find(|flow| flow.name == name).unwrap();
        match &flow.source.layout.records {
            Records::EachLine => None,
            Records::BeginningWith { pattern, idle } => Some((pattern.clone(), *idle)),
        }
    };
    let (pattern, idle) = begins("of log4j").unwrap();
    assert!(pattern.matches(b"2021-02-03 04:05:06,789 WARN  [main] a.B - x\n"));
    assert!(!pattern.matches(b"\tat a.B.c(B.java:7)\n"));
    assert_eq!(idle, Duration::from_millis(500));
    assert!(begins("of nginx").is_none());
}
