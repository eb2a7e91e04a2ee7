//! What the languages of other logs than httpd's access log say.

use super::*;
use crate::expression::Expression;

#[test]
fn the_default_error_log_leaves_out_what_it_does_not_have() {
    let new: Constructor = Template::of_error_log;
    let all = |client: Value, status: Value, source: Value, referer: Value, message: &str, thread: Value| {
        json!({
            "timestamp": "Wed Feb 03 04:05:06.789012 2021", "module": "core", "severity": "error", "processid": "12",
            "threadid": thread, "sourceFile": source, "status": status, "client": client, "peerAddress": null,
            "message": message, "referer": referer,
        })
    };
    let template = new(DEFAULT_ERROR_LOG, None, JsonTypes::Strings).unwrap();
    let cases = [
        (
            "[core:error] [pid 12:tid 34] [client 203.0.113.9:5555] AH00037: Symbolic link: /x, referer: http://y/",
            all(
                json!("203.0.113.9:5555"),
                Value::Null,
                Value::Null,
                json!("http://y/"),
                "AH00037: Symbolic link: /x",
                json!("34"),
            ),
        ),
        (
            "[core:error] [pid 12:tid 34] core.c(99): (13)Permission denied: [client ::1:5] denied, by: rule",
            all(
                json!("::1:5"),
                json!("(13)Permission denied"),
                json!("core.c(99)"),
                Value::Null,
                "denied, by: rule",
                json!("34"),
            ),
        ),
        (
            "[core:error] [pid 12] caught SIGTERM",
            all(Value::Null, Value::Null, Value::Null, Value::Null, "caught SIGTERM", Value::Null),
        ),
        (
            "[core:error] [pid 12] a.c(1) x",
            all(Value::Null, Value::Null, Value::Null, Value::Null, "a.c(1) x", Value::Null),
        ),
        ("[core:error] [pid 12] ", all(Value::Null, Value::Null, Value::Null, Value::Null, "", Value::Null)),
        (
            "[core:error] [pid 12] a, referer: b c, referer: d",
            all(Value::Null, Value::Null, Value::Null, json!("d"), "a, referer: b c", Value::Null),
        ),
        (
            "[core:error] [pid 12] a, referer: b \"c\"",
            all(Value::Null, Value::Null, Value::Null, json!("b \"c\""), "a", Value::Null),
        ),
    ];
    for (line, expected) in cases {
        let line = format!("[Wed Feb 03 04:05:06.789012 2021] {line}");
        let record: Value = serde_json::from_str(&convert(&template, line.as_bytes()).unwrap()).unwrap();
        assert_eq!(record, expected, "{line}");
    }
}

#[test]
fn an_error_log_may_begin_without_its_first_field() {
    check_both(
        Template::of_error_log,
        "[%F] [%l] %M",
        "[error] a",
        json!({ "sourceFile": null, "severity": "error", "message": "a" }),
        json!({ "sourceFile": null, "severity": "error", "message": "a" }),
    );
}

#[test]
fn what_a_layout_pads_is_trimmed() {
    check_both(
        Template::of_log4j,
        "[%-7p] [%8t] %m%n",
        "[INFO   ] [    main] hi",
        json!({ "level": "INFO", "thread": "main", "message": "hi", "stackTrace": null }),
        json!({ "level": "INFO", "thread": "main", "message": "hi", "stackTrace": null }),
    );
}

#[test]
fn an_error_log_has_the_fields_of_its_format() {
    check_both(
        Template::of_error_log,
        r"[%{cu}t] [%-m:%-l] %-a %-L %M [%{g}T]",
        "[2021-02-03 04:05:06.789012] [-:info] - YBo a [b] c [77]",
        json!({
            "timestamp": "2021-02-03 04:05:06.789012", "module": null, "severity": "info", "client": null, "logId": "YBo",
            "message": "a [b] c", "systemThreadId": "77",
        }),
        json!({
            "timestamp": "2021-02-03 04:05:06.789012", "time": null, "timeIso": "2021-02-03T04:05:06.789012",
            "module": null, "severity": "info", "client": null, "logId": "YBo", "message": "a [b] c",
            "systemThreadId": 77,
        }),
    );
}

#[test]
fn a_pattern_of_log4j_reads_its_lines_and_the_trace_behind_them() {
    let trace = "java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\nCaused by: d\n\t... 1 more";
    let record = |message: &str, trace: Value| {
        json!({
            "timestamp": "2021-02-03 04:05:06,789", "level": "WARN", "thread": "http-nio 8080 [1]", "logger": "a.b.C",
            "message": message, "stackTrace": trace,
        })
    };
    let native = |message: &str, trace: Value| {
        let mut native = record(message, trace);
        native["time"] = Value::Null;
        native["timeIso"] = json!("2021-02-03T04:05:06.789");
        native
    };
    let pattern = "%d{ISO8601} %-5p [%t] %c - %m%n";
    let line = |message: &str| format!("2021-02-03 04:05:06,789 WARN  [http-nio 8080 [1]] a.b.C - {message}");
    for (text, message, trace) in [
        (r"C:\new - x".to_owned(), r"C:\new - x", Value::Null),
        ("-".to_owned(), "-", Value::Null),
        ("a\nb\n".to_owned(), "a\nb", Value::Null),
        (format!("it failed\n{trace}\n"), "it failed", json!(trace)),
        (format!("a\nb\n{trace}\n"), "a\nb", json!(trace)),
        ("x\n\tat a".to_owned(), "x", json!("\tat a")),
        ("x\na.B: c\n at [Source: d]\n\tat a".to_owned(), "x", json!("a.B: c\n at [Source: d]\n\tat a")),
        ("x\nB: c\n\tat a".to_owned(), "x", json!("B: c\n\tat a")),
        ("x\njava.lang.NullPointerException\n".to_owned(), "x", json!("java.lang.NullPointerException")),
        ("x\na.SomeError: y".to_owned(), "x", json!("a.SomeError: y")),
        ("x\na.SomeError was thrown".to_owned(), "x\na.SomeError was thrown", Value::Null),
        ("x\nexample.net: y".to_owned(), "x\nexample.net: y", Value::Null),
        ("x\na.SomeError: y\nCaused by: z".to_owned(), "x", json!("a.SomeError: y\nCaused by: z")),
        ("a.SomeError: y".to_owned(), "a.SomeError: y", Value::Null),
    ] {
        let line = line(&text);
        check_both(
            Template::of_log4j,
            pattern,
            &line,
            record(message, trace.clone()),
            native(message, trace),
        );
    }
}

#[test]
fn layouts_of_logback_and_log4j_2_are_read() {
    let check = |pattern: &str, line: &str, expected: Value| {
        let template = Template::of_log4j(pattern, None, JsonTypes::Native).unwrap();
        let record = convert(&template, line.as_bytes()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&record).unwrap(), expected, "{pattern}");
    };
    check(
        "%date{yyyy-MM-dd'T'HH:mm:ss.SSSXXX, UTC} [%-5level] %5r %logger{36}:%L %X{user:-none} %msg%n%ex",
        "2021-02-03T04:05:06.789Z [INFO ]   123 a.b.C:7  hello",
        json!({
            "timestamp": "2021-02-03T04:05:06.789Z", "time": 1_612_325_106_789_i64,
            "timeIso": "2021-02-03T04:05:06.789+00:00", "level": "INFO", "uptimeMillis": 123, "logger": "a.b.C",
            "line": 7, "mdc-user": "", "message": "hello", "stackTrace": null,
        }),
    );
    check(
        "%d{HH:mm:ss.SSS} [%thread] %-5level %logger{36} -%kvp- %msg%n".replace("%kvp", "").as_str(),
        "04:05:06.789 [main] INFO  a.B -- hi",
        json!({
            "timestamp": "04:05:06.789", "thread": "main", "level": "INFO", "logger": "a.B", "message": "hi",
            "stackTrace": null,
        }),
    );
    check(
        "%p %m [%X{id}]%n",
        "ERROR it is so [77]\njava.lang.Error\n\tat x",
        json!({ "level": "ERROR", "message": "it is so", "mdc-id": "77", "stackTrace": "java.lang.Error\n\tat x" }),
    );
}

/// What the first line of an entry looks like tells it from the lines behind it.
#[test]
fn the_first_line_of_an_entry_is_known_by_its_date_or_its_level() {
    let first = |pattern: &str| Template::first_line_of_log4j(pattern).unwrap();
    for (pattern, line) in [
        ("%d{ISO8601} %-5p [%t] %c - %m%n", "2021-02-03T04:05:06,789 WARN"),
        ("%-5p %d{dd MMM yyyy HH:mm:ss,SSS} %m", "WARN  03 Feb 2021 04:05:06,7"),
        ("[%p] (%t) %m%n", "[ERROR] (main) x"),
        ("%r [%t] %-5p %c %x - %m%n", "0 [main] INFO  a.B"),
    ] {
        let expression = Expression::at_start(&first(pattern).unwrap()).unwrap();
        assert!(expression.matches(line.as_bytes()), "{pattern}: {}", expression.as_text());
        for other in ["", "java.lang.Error: 2021", "\tat a.b.C(D.java:1)", "Caused by: x", "  WARNING"] {
            assert!(!expression.matches(other.as_bytes()), "{pattern}: {other}");
        }
    }
    assert_eq!(first("%m%n"), None);
    assert_eq!(first("%c %m%n"), None);
}

#[test]
fn the_combined_format_of_nginx_has_the_fields_of_httpds() {
    check_both(
        Template::of_nginx,
        NGINX_COMBINED,
        r#"192.0.2.1 - a b [03/Feb/2021:04:05:06 +0100] "GET /\x22 HTTP/1.1" 200 7 "-" "x\x5Cy""#,
        json!({
            "host": "192.0.2.1", "authuser": "a b", "datetime": "03/Feb/2021:04:05:06 +0100",
            "request": r"GET /\x22 HTTP/1.1", "response": "200", "bytes": "7", "referer": null, "agent": r"x\x5Cy",
        }),
        json!({
            "host": "192.0.2.1", "authuser": "a b", "datetime": "03/Feb/2021:04:05:06 +0100",
            "time": 1_612_321_506_000_i64, "timeIso": "2021-02-03T04:05:06+01:00", "request": "GET /\" HTTP/1.1",
            "method": "GET", "path": "/\"", "query": null, "protocol": "HTTP/1.1", "response": 200, "bytes": 7,
            "referer": null, "agent": r"x\y",
        }),
    );
}

#[test]
fn variables_of_nginx_are_values() {
    check_both(
        Template::of_nginx,
        r#"$time_iso8601 $msec ${request_time}s $status "$upstream_response_time" "$http_x_request_id" $host"#,
        r#"2021-02-03T04:05:06+01:00 1612321506.120 0.005s 200 "0.001, 0.002" "-" example.net"#,
        json!({
            "datetime": "2021-02-03T04:05:06+01:00", "epochSeconds": "1612321506.120", "durationSeconds": "0.005",
            "response": "200", "upstream_response_time": "0.001, 0.002", "x-request-id": null,
            "requestedName": "example.net",
        }),
        json!({
            "datetime": "2021-02-03T04:05:06+01:00", "time": 1_612_321_506_000_i64,
            "timeIso": "2021-02-03T04:05:06+01:00", "epochSeconds": 1_612_321_506.12, "durationSeconds": 0.005,
            "response": 200, "upstream_response_time": "0.001, 0.002", "x-request-id": null,
            "requestedName": "example.net",
        }),
    );
}
