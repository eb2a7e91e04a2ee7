//! What is counted of lines: of the golden records, of other producers' lines, and of any JSON.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::*;

/// The golden records, as the agent writes them with numbers and as the Java agent writes them with texts.
macro_rules! golden {
    ($($name:literal),+) => {
        [$((
            include_bytes!(concat!("../../../fixtures/records/", $name, ".native.jsonl")).as_slice(),
            include_bytes!(concat!("../../../fixtures/records/", $name, ".strings.jsonl")).as_slice(),
        )),+]
    };
}

const GOLDEN: [(&[u8], &[u8]); 13] = golden![
    "combined",
    "common",
    "crlf",
    "dates",
    "empty-values",
    "escapes",
    "extra-columns",
    "hosts",
    "invalid-utf8",
    "lone-backslashes",
    "requests",
    "users",
    "vhost"
];

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// What is counted of one line that is joined on `host`.
#[track_caller]
fn check(line: &Json, expected: Request<'_>) {
    assert_eq!(Fields::new("host").read(line.to_string().as_bytes()).unwrap(), expected, "{line}");
}

/// That a line is refused.
#[track_caller]
fn check_refused(line: &[u8]) {
    let refused = Fields::new("host").read(line).unwrap_err();
    assert_eq!(refused.reason(), Reason::NotJson, "{}", line.escape_ascii());
}

#[test]
fn a_line_of_the_agent_is_read_whole() {
    let line = json!({
        "vhost": "www.example.com:443", "host": "203.0.113.9", "authuser": null, "time": 1_612_321_506_789_i64,
        "response": 200, "bytes": 10701, "durationMicros": 1234, "agent": "curl/8.7.1",
        "@host": "web-1", "@file": "17", "@offset": 4096,
    });
    check(
        &line,
        Request {
            source: Some("203.0.113.9".into()),
            status: Some(200),
            bytes: Some(10701),
            duration_micros: Some(1234),
            time_millis: Some(1_612_321_506_789),
            position: Some(Position { host: "web-1".into(), file: "17".into(), offset: 4096 }),
        },
    );
}

#[test]
fn a_line_of_the_java_agent_is_read_whole() {
    let line = json!({
        "host": "203.0.113.9", "datetime": "03/Feb/2021:04:05:06 +0100", "response": "200", "bytes": "10701",
    });
    let expected = Request {
        source: Some("203.0.113.9".into()),
        status: Some(200),
        bytes: Some(10701),
        time_millis: Some(1_612_321_506_000),
        ..Request::default()
    };
    check(&line, expected);
}

/// The numbers were made by another reading of the same log lines, so this also judges how times are read.
#[test]
fn texts_say_what_numbers_say() {
    let fields = Fields::new("host");
    let mut compared = 0;
    for (native, strings) in GOLDEN {
        for (native, strings) in lines(native).zip(lines(strings)) {
            let mut native = fields.read(native).unwrap();
            let strings = fields.read(strings).unwrap();
            // The Java agent has no size where httpd writes `-` for 0, and leaves in the texts what httpd has escaped.
            native.bytes = native.bytes.filter(|bytes| *bytes > 0 || strings.bytes.is_some());
            if strings.source.as_ref().is_some_and(|source| source.contains(r"\x")) {
                native.source.clone_from(&strings.source);
            }
            assert_eq!(native, strings);
            compared += 1;
        }
    }
    assert_eq!(compared, 150);
}

#[test]
fn the_field_that_is_joined_on_is_a_choice() {
    let line =
        json!({"host": "192.0.2.1", "vhost": "WWW.example.com:443", "@host": "web-1", "response": "200"});
    for (join, expected) in [
        ("host", Some("192.0.2.1")),
        ("vhost", Some("www.example.com")),
        ("@host", Some("web-1")),
        ("response", Some("200")),
        ("absent", None),
    ] {
        let line = line.to_string();
        let request = Fields::new(join).read(line.as_bytes()).unwrap();
        assert_eq!((request.source.as_deref(), request.status), (expected, Some(200)), "{join}");
    }
}

#[test]
fn what_is_not_there_is_none() {
    check(&json!({}), Request::default());
    check(
        &json!({"host": "-", "response": "-", "bytes": "-", "durationMicros": "-", "time": null, "datetime": "-"}),
        Request::default(),
    );
}

#[test]
fn a_value_of_another_kind_is_none() {
    for value in
        [json!(null), json!(true), json!(1.5), json!(-1.5), json!([200]), json!({"a": [{}]}), json!("")]
    {
        check(
            &json!({
                "host": value, "response": value, "bytes": value, "bytesOut": value, "durationMicros": value,
                "time": value, "datetime": value, "@host": value, "@file": value, "@offset": value,
            }),
            Request::default(),
        );
    }
}

#[test]
fn a_status_has_three_digits() {
    for (status, expected) in [(99, None), (100, Some(100)), (999, Some(999)), (1000, None), (-200, None)] {
        check(&json!({ "response": status }), Request { status: expected, ..Request::default() });
    }
}

#[test]
fn either_spelling_of_the_referer_may_be_there() {
    for name in ["referer", "referrer"] {
        check(
            &json!({name: "https://www.example.com/", "bytes": 1}),
            Request { bytes: Some(1), ..Request::default() },
        );
    }
}

#[test]
fn the_bytes_sent_serve_where_the_size_is_not_known() {
    for (line, expected) in [
        (json!({"bytes": 5, "bytesOut": 400}), 5),
        (json!({"bytes": null, "bytesOut": 400}), 400),
        (json!({"bytesOut": "400", "bytes": "-"}), 400),
        (json!({"bytesOut": 400}), 400),
    ] {
        check(&line, Request { bytes: Some(expected), ..Request::default() });
    }
}

#[test]
fn the_time_as_a_number_goes_before_the_written_one() {
    let datetime = "01/Jan/1970:00:00:01 +0000";
    for (line, expected) in [
        (json!({"datetime": datetime, "time": 5}), 5),
        (json!({"datetime": datetime, "time": "-5"}), -5),
        (json!({"datetime": datetime, "time": null}), 1000),
        (json!({"datetime": datetime}), 1000),
    ] {
        check(&line, Request { time_millis: Some(expected), ..Request::default() });
    }
}

#[test]
fn a_position_is_whole_or_none() {
    let whole = json!({"@host": "a", "@file": "b", "@offset": "18446744073709551615"});
    let position = Position { host: "a".into(), file: "b".into(), offset: u64::MAX };
    check(&whole, Request { position: Some(position), ..Request::default() });
    for name in ["@host", "@file", "@offset"] {
        let mut line = whole.clone();
        line.as_object_mut().unwrap().remove(name);
        check(&line, Request::default());
    }
}

#[test]
fn of_a_field_that_is_there_twice_the_last_one_counts() {
    let fields = Fields::new("host");
    let status = |line: &str| fields.read(line.as_bytes()).unwrap().status;
    assert_eq!(status(r#"{"response":200,"response":404}"#), Some(404));
    assert_eq!(status(r#"{"response":200,"response":null}"#), None);
}

#[test]
fn escapes_are_read_in_names_and_values() {
    let fields = Fields::new("host");
    let request =
        fields.read(br#"{"h\u006fst":"\u0077ww\u002eexample.com","\u0072esponse":"2\u00300"}"#).unwrap();
    assert_eq!((request.source.as_deref(), request.status), (Some("www.example.com"), Some(200)));
}

#[test]
fn an_object_may_be_printed_over_several_lines() {
    let fields = Fields::new("host");
    assert_eq!(fields.read(b" {\n  \"response\" : \"200\"\r\n}\n").unwrap().status, Some(200));
}

/// Values are passed over without a call for each level, so that no line can exhaust the stack.
#[test]
fn a_value_may_be_nested_deeply() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for name in ["agent", "bytes", "host"] {
        let line = format!("{{\"{name}\":{deep},\"response\":200}}");
        assert_eq!(Fields::new("host").read(line.as_bytes()).unwrap().status, Some(200), "{name}");
    }
}

#[test]
fn a_number_that_no_double_holds_is_refused_where_it_is_counted() {
    assert!(Fields::new("host").read(b"{\"port\":1e999}").is_ok());
    check_refused(b"{\"bytes\":1e999}");
}

#[test]
fn what_is_not_one_object_is_refused() {
    for line in [
        "",
        "x",
        "1",
        "null",
        "\"a\"",
        "[]",
        "[{}]",
        "{",
        "{}x",
        "{}{}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{\"a\":\"\n\"}",
    ] {
        check_refused(line.as_bytes());
    }
    check_refused(b"{\"agent\":\"latin \xe9t\xe9\"}");
    check_refused(b"{\"\xff\":1}");
}

/// Any JSON of some depth, with the names of our fields among the others.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        r"\PC{0,8}|[+-]?[0-9]{1,21}".prop_map(Json::from),
    ];
    let name = prop_oneof![
        select(vec!["host", "response", "bytes", "time", "datetime", "@host", "@file", "@offset"])
            .prop_map(str::to_owned),
        r"\PC{0,4}",
    ];
    leaf.prop_recursive(3, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec((name.clone(), inner), 0..6).prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

/// A whole number by the slow definition: an integer, or a text that is one, or a double below 2^53 without a fraction.
fn number(value: Option<&Json>) -> Option<i128> {
    let text = match value? {
        Json::Number(number) if number.is_f64() => {
            let digits = format!("{:.0}", number.as_f64().unwrap());
            let exact = digits.parse::<f64>().is_ok_and(|whole| Some(whole) == number.as_f64());
            return digits.parse().ok().filter(|whole: &i128| exact && whole.abs() < 1 << 53);
        }
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[test]
fn numbers_may_be_written_as_fractions_and_with_exponents() {
    let line = br#"{"response":200.0,"bytes":1e3,"durationMicros":2.5e0,"time":9e300}"#;
    let request = Fields::new("host").read(line).unwrap();
    let expected = Request { status: Some(200), bytes: Some(1000), ..Request::default() };
    assert_eq!(request, expected);
}

proptest! {
    /// Of every object exactly the fields are read that a reading into a tree finds; nothing else is an object.
    #[test]
    fn any_json_is_read_as_a_tree_of_it_says(json in any_json()) {
        let text = json.to_string();
        let request = Fields::new("host").read(text.as_bytes());
        prop_assert_eq!(request.is_ok(), json.is_object());
        if let Ok(request) = request {
            let status = number(json.get("response")).filter(|status| (100..=999).contains(status));
            prop_assert_eq!(request.status.map(i128::from), status);
            let bytes = number(json.get("bytes")).and_then(|bytes| u64::try_from(bytes).ok());
            prop_assert_eq!(request.bytes, bytes);
            let has_position = json.get("@host").is_some_and(Json::is_string)
                && json.get("@file").is_some_and(Json::is_string)
                && number(json.get("@offset")).is_some_and(|offset| u64::try_from(offset).is_ok());
            prop_assert_eq!(request.position.is_some(), has_position);
        }
    }

    #[test]
    fn a_number_and_its_text_mean_the_same(bytes in any::<u64>(), time in any::<i64>(), response in any::<u16>()) {
        let numbers = json!({"bytes": bytes, "time": time, "response": response, "durationMicros": bytes}).to_string();
        let texts = json!({
            "bytes": bytes.to_string(), "time": time.to_string(), "response": response.to_string(),
            "durationMicros": bytes.to_string(),
        }).to_string();
        let fields = Fields::new("host");
        let request = fields.read(numbers.as_bytes()).unwrap();
        prop_assert_eq!(request.bytes, Some(bytes));
        prop_assert_eq!(request.time_millis, Some(time));
        prop_assert_eq!(request, fields.read(texts.as_bytes()).unwrap());
    }

    #[test]
    fn any_bytes_are_read_or_refused(line in vec(any::<u8>(), 0..60), text in r#"[{}\[\]":,\\a1\n]{0,40}"#) {
        for line in [&*line, text.as_bytes()] {
            let is_object = serde_json::from_slice::<serde_json::Map<String, Json>>(line).is_ok();
            prop_assert!(Fields::new("host").read(line).is_ok() || !is_object);
        }
    }
}
