//! Formats and lines of each language, and for random formats and values: what was written is what is read.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::parse::tests::escaped_for_log;

mod dates;
mod httpd;
mod languages;

type Constructor = fn(&str, Option<&[String]>, JsonTypes) -> Result<Template, TemplateError>;

/// The record of `line`, in the order of its fields.
fn convert(template: &Template, line: &[u8]) -> Result<String, Mismatch> {
    let mut buffer = b"before".to_vec();
    let result = template.convert(line, &mut buffer);
    let added = String::from_utf8(buffer.split_off(b"before".len())).unwrap();
    assert_eq!(buffer, b"before");
    match result {
        Ok(record) => {
            assert_eq!(record.len(), added.len());
            Ok(added.strip_suffix('\n').unwrap().to_owned())
        }
        Err(mismatch) => {
            assert_eq!(added, "", "a mismatch leaves nothing behind");
            Err(mismatch)
        }
    }
}

#[track_caller]
fn check_both(new: Constructor, format: &str, line: &str, strings: Value, native: Value) {
    for (types, expected) in [(JsonTypes::Strings, strings), (JsonTypes::Native, native)] {
        let record = convert(&new(format, None, types).unwrap(), line.as_bytes()).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record, expected, "{format}\n{line}");
    }
}

/// The strings of an access log's line.
#[track_caller]
fn check(format: &str, line: &str, expected: &str) {
    let template = Template::of_access_log(format, None, JsonTypes::Strings).unwrap();
    assert_eq!(convert(&template, line.as_bytes()).as_deref(), Ok(expected), "{format}");
}

#[track_caller]
fn check_mismatch(format: &str, line: &str, told: &str) {
    let template = Template::of_access_log(format, None, JsonTypes::Strings).unwrap();
    assert_eq!(convert(&template, line.as_bytes()).unwrap_err().to_string(), told, "{format}");
}

#[track_caller]
fn check_refused(new: Constructor, format: &str, told: &str) {
    assert_eq!(new(format, None, JsonTypes::Strings).unwrap_err().to_string(), told, "{format}");
}

#[test]
fn every_directive_gives_its_field() {
    for directive in ACCESS_DIRECTIVES {
        let template = Template::of_access_log(directive.text, None, JsonTypes::Native).unwrap();
        let text = match directive.native {
            "number" => "7",
            _ => "x",
        };
        let record: Value = serde_json::from_str(&convert(&template, text.as_bytes()).unwrap()).unwrap();
        let expected = match directive.text {
            // Neither of them is one.
            "%q" => Value::Null,
            _ if directive.native == "number" => json!(7),
            _ => json!("x"),
        };
        assert_eq!(record.get(directive.field), Some(&expected), "{}", directive.text);
    }
}

#[test]
fn values_mean_what_they_say() {
    check_both(
        Template::of_access_log,
        r#"%v:%p %a %{c}a [%t] "%r" %>s %b %D %{ms}T %I %O "%{X-Forwarded-For}i" %X %P"#,
        r#"www.example.net:443 2001:db8::1 192.0.2.7 [[03/Feb/2021:04:05:06 +0100]] "GET /a?b=%22 HTTP/1.1" 200 - 1234 1 78 - "1.2.3.4, \"x\" \xc3\xa9" + 99"#,
        json!({
            "serverName": "www.example.net", "port": "443", "clientAddress": "2001:db8::1", "peerAddress": "192.0.2.7",
            "datetime": "03/Feb/2021:04:05:06 +0100", "request": "GET /a?b=%22 HTTP/1.1", "response": "200",
            "bytes": null, "durationMicros": "1234", "durationMillis": "1", "bytesIn": "78", "bytesOut": null,
            "x-forwarded-for": r#"1.2.3.4, \"x\" \xc3\xa9"#, "connectionStatus": "+", "pid": "99",
        }),
        json!({
            "serverName": "www.example.net", "port": 443, "clientAddress": "2001:db8::1", "peerAddress": "192.0.2.7",
            "datetime": "03/Feb/2021:04:05:06 +0100", "time": 1_612_321_506_000_i64,
            "timeIso": "2021-02-03T04:05:06+01:00", "request": "GET /a?b=%22 HTTP/1.1", "method": "GET", "path": "/a",
            "query": "b=%22", "protocol": "HTTP/1.1", "response": 200, "bytes": 0, "durationMicros": 1234,
            "durationMillis": 1, "bytesIn": 78, "bytesOut": null, "x-forwarded-for": "1.2.3.4, \"x\" é",
            "connectionStatus": "+", "pid": 99,
        }),
    );
}

#[test]
fn pieces_of_one_time_are_one_date() {
    check_both(
        Template::of_access_log,
        "[%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t] %{end:%FT%T}t %{end:sec}t %{usec}t",
        "[03/Feb/2021:04:05:06.789 -0330] 2021-02-03T04:05:07 1612337707 1612337706789012",
        json!({
            "datetime": "03/Feb/2021:04:05:06.789 -0330", "endDatetime": "2021-02-03T04:05:07",
            "endEpochSeconds": "1612337707", "epochMicros": "1612337706789012",
        }),
        json!({
            "datetime": "03/Feb/2021:04:05:06.789 -0330", "time": 1_612_337_706_789_i64,
            "timeIso": "2021-02-03T04:05:06.789-03:30", "endDatetime": "2021-02-03T04:05:07", "endTime": null,
            "endTimeIso": "2021-02-03T04:05:07", "endEpochSeconds": 1_612_337_707,
            "epochMicros": 1_612_337_706_789_012_i64,
        }),
    );
    check_both(
        Template::of_access_log,
        "%{msec}t|%{%c %p %j}t|%h",
        "1612337706789|Wed Feb  3 04:05:06 2021 AM 034|h",
        json!({ "epochMillis": "1612337706789", "datetime": "Wed Feb  3 04:05:06 2021 AM 034", "host": "h" }),
        json!({
            "epochMillis": 1_612_337_706_789_i64, "time": 1_612_337_706_789_i64,
            "datetime": "Wed Feb  3 04:05:06 2021 AM 034", "host": "h",
        }),
    );
}

#[test]
fn a_text_holds_what_divides_it_where_only_one_reading_fits() {
    check("%h %u %>s", "a b 1 2 200", r#"{"host":"a","authuser":"b 1 2","response":"200"}"#);
    check("%u %U %>s", "a /b 200", r#"{"authuser":"a","path":"/b","response":"200"}"#);
    check("%u|%U", r"a|/b", r#"{"authuser":"a","path":"/b"}"#);
    check(r#""%u" "%U""#, r#""a b" "/c \"d""#, r#"{"authuser":"a b","path":"/c \\\"d"}"#);
    check(r"%u\t%U\t%f", "a b\t/c  d\te", r#"{"authuser":"a b","path":"/c  d","file":"e"}"#);
    check(
        "%a:%p:%D %>s",
        "::1:80:7 200",
        r#"{"clientAddress":"::1","port":"80","durationMicros":"7","response":"200"}"#,
    );
    check("%h,%l,%>s", "a,b,200", r#"{"host":"a","ident":"b","response":"200"}"#);
    check(
        "%{X-Forwarded-For}i %l %u %t",
        "1.2.3.4, ::1 - x [03/Feb/2021:04:05:06 +0100]",
        r#"{"x-forwarded-for":"1.2.3.4, ::1","ident":null,"authuser":"x","datetime":"03/Feb/2021:04:05:06 +0100"}"#,
    );
}

#[test]
fn a_line_that_could_be_read_in_two_ways_does_not_match() {
    check_mismatch("%u %U %>s", "a /b c 200", "no response at byte 5: expected a number or `-`");
    check_mismatch("[%u] [%U] %f", "[a] [b] [c] d", "no file at byte 8: expected a text without `] `");
    check_mismatch("%u %U", "a /b c", "no path at byte 2: expected a text without ` `");
    check_mismatch("%h %>s", "a 200 x", "no end at byte 5: expected nothing more");
}

#[test]
fn a_mismatch_names_the_field_and_the_place() {
    check_mismatch("%h %>s", "a x", "no response at byte 2: expected a number or `-`");
    check_mismatch("%h:%p", ":80", "no host at byte 0: expected a text, then `:`");
    check_mismatch("%h|%>s", "a 2", "no host at byte 0: expected a text, then `|`");
    check_mismatch(r#"%h "%r""#, r#"a "GET"#, "unclosed request at byte 3: expected a text, then `\"`");
    check_mismatch("%h - %>s", "a 2", "no text of the format at byte 1: expected ` - `");
    check_mismatch("%t", "[Feb]", "no datetime at byte 1: expected a date as the format lays it out");
}

#[test]
fn what_a_path_and_its_query_are_divided_by_is_the_first_question_mark() {
    let format = r#""%m %U%q %H""#;
    check(
        format,
        r#""GET /a b?c?d HTTP/1.1""#,
        r#"{"method":"GET","path":"/a b","query":"?c?d","protocol":"HTTP/1.1"}"#,
    );
    check_both(
        Template::of_access_log,
        format,
        r#""GET /a HTTP/1.1""#,
        json!({ "method": "GET", "path": "/a", "query": "", "protocol": "HTTP/1.1" }),
        json!({ "method": "GET", "path": "/a", "query": null, "protocol": "HTTP/1.1" }),
    );
}

#[test]
fn an_empty_user_is_empty_wherever_it_stands() {
    check("%h %u %>s", "a \"\" 200", r#"{"host":"a","authuser":"","response":"200"}"#);
    check(r#"%h "%u" %>s"#, "a \"\"\"\" 200", r#"{"host":"a","authuser":"","response":"200"}"#);
    check(r"%u\t%>s", "\"\"\t200", r#"{"authuser":"","response":"200"}"#);
}

#[test]
fn a_raw_quote_in_a_text_does_not_break_the_record() {
    check("%h %u %>s", "a b\"c 200", r#"{"host":"a","authuser":"b\"c","response":"200"}"#);
    check(
        r#"%h %u "%m" %>s"#,
        "a b\"c \"GET\" 200",
        r#"{"host":"a","authuser":"b\"c","method":"GET","response":"200"}"#,
    );
}

#[test]
fn modifiers_change_when_a_value_is_there_and_not_what_it_is_called() {
    check(
        "%400,501{User-agent}i %!200,304,302{Referer}i %>s %!200t",
        "- http://x 200 -",
        r#"{"agent":null,"referer":"http://x","response":"200","datetime":null}"#,
    );
    check("%<s %>D %%", "200 7 %", r#"{"response":"200","durationMicros":"7"}"#);
}

#[test]
fn a_header_has_a_name_of_its_own() {
    check(
        "%{Host}i|%{Content-Type}o|%{SID}C|%{UNIQUE_ID}e|%{n}n|%{SSL_PROTOCOL}x|%{Grpc-Status}^to|",
        "h|t|s|u|n|TLSv1.3|0|",
        r#"{"header-host":"h","response-content-type":"t","cookie-SID":"s","env-UNIQUE_ID":"u","note-n":"n","ssl-ssl_protocol":"TLSv1.3","response-trailer-grpc-status":"0"}"#,
    );
}

#[test]
fn names_of_ones_own_take_the_place_of_all() {
    let names = ["a".to_owned(), "time".to_owned()];
    let template = Template::of_access_log("%s %t", Some(&names), JsonTypes::Native).unwrap();
    let record = convert(&template, b"200 [03/Feb/2021:04:05:06 +0100]");
    assert_eq!(record.as_deref(), Ok(r#"{"a":200,"time":"03/Feb/2021:04:05:06 +0100"}"#));
    let error = Template::of_access_log("%s %h %b", Some(&names), JsonTypes::Native).unwrap_err();
    let told = "`customFieldNames` holds 2 names, and the format has 3 values: `response`, `host`, `bytes`";
    assert_eq!(error.to_string(), told);
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_place() {
    let new = Template::of_access_log;
    check_refused(new, "%h %y", "`%y` cannot be read (character 4)");
    check_refused(new, "é %{x", "`%{` cannot be read (character 3)");
    check_refused(new, "%{%E}t", "`%{%E}t` cannot be read (character 1)");
    check_refused(new, "%{Host}T", "`%{Host}T` cannot be read (character 1)");
    check_refused(
        new,
        "%h%l",
        "nothing divides `host` from `ident`; put a space between them, or quotes around one",
    );
    check_refused(
        new,
        "%s %>s",
        "two values are called `response`; leave one out, or name all of them in `customFieldNames`",
    );
    check_refused(new, "text", "the format has no value");
    check_refused(new, &"%h ".repeat(49), "the format has 49 values, and no more than 48 can be read");
    check_refused(Template::of_error_log, "[%t] %q", "`%q` cannot be read (character 6)");
    check_refused(Template::of_log4j, "%d %highlight{%m}", "`%highlight{%m}` cannot be read (character 4)");
    check_refused(Template::of_nginx, "a $", "`$` without a name cannot be read (character 3)");
}

#[test]
fn the_formats_of_the_built_in_parsers_are_theirs() {
    assert_eq!(built_in(r#"%h %l %u %t \"%r\" %>s %b"#), Some(crate::parse::Format::Common));
    let combined = r#"%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i""#;
    assert_eq!(built_in(combined), Some(crate::parse::Format::Combined));
    assert_eq!(built_in("%h"), None);
}

/// A directive with a value that httpd may write for it, as it stands in the log.
fn written() -> impl Strategy<Value = (&'static str, String)> {
    let number = select(&["%D", "%I", "%>s", "%b", "%p", "%T"][..]);
    let text = select(&["%u", "%U", "%f", "%{A}i", "%{B}i", "%{C}o", "%{D}n", "%r"][..]);
    let word = select(&["%h", "%a", "%l", "%v"][..]);
    let any_text = prop_oneof![
        3 => "[a-c/ ]{1,8}",
        1 => "[\\] \\[|:, -\"\\\\\\t\u{e9}-]{0,6}",
        1 => any::<String>(),
    ];
    prop_oneof![
        (number, any::<u32>()).prop_map(|(text, number)| (text, number.to_string())),
        (text, any_text).prop_map(|(text, value)| {
            let value = escaped_for_log(&value);
            (text, if text == "%u" && value.is_empty() { "\"\"".to_owned() } else { value })
        }),
        (word, "[a-c.:]{1,6}").prop_map(|(text, value)| (text, value)),
        Just(("%t", "[03/Feb/2021:04:05:06 +0100]".to_owned())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    /// What a line of a format means is what went into it, or the line does not match: it is never misread.
    #[test]
    fn what_was_written_is_read_or_not_at_all(
        values in vec((written(), select(&[" ", " ", " ", "|", "] [", ":", "\" \"", "\t", " -- ", ", ", "||"][..])), 1..6),
        is_quoted: bool,
    ) {
        let (mut format, mut line) = (String::new(), String::new());
        for (index, ((directive, value), divider)) in values.iter().enumerate() {
            let quote = if is_quoted { "\"" } else { "" };
            let divider = if index == 0 { "" } else { divider };
            format.extend([divider, quote, *directive, quote]);
            line.extend([divider, quote, value, quote]);
        }
        let names: Vec<_> = (0..values.len()).map(|index| index.to_string()).collect();
        if let Ok(template) = Template::of_access_log(&format, Some(&names), JsonTypes::Strings)
            && let Ok(record) = convert(&template, line.as_bytes())
        {
            let record: Value = serde_json::from_str(&record)?;
            for (name, ((_, value), _)) in names.iter().zip(&values) {
                let expected = match value.as_str() {
                    "-" => Value::Null,
                    "\"\"" => json!(""),
                    value => json!(value.trim_start_matches("[03").strip_suffix(" +0100]").map_or_else(|| value.to_owned(), |rest| format!("03{rest} +0100"))),
                };
                prop_assert_eq!(record.get(name), Some(&expected), "{} in {:?} {:?}", name, format, line);
            }
        }
    }

    /// Between quotes every text is read, whatever it is.
    #[test]
    fn what_stands_between_quotes_is_always_read(values in vec(any::<String>(), 1..5)) {
        let format = vec!["\"%{A}i\""; values.len()].join(" ");
        let line: Vec<_> = values.iter().map(|value| format!("\"{}\"", escaped_for_log(value))).collect();
        let names: Vec<_> = (0..values.len()).map(|index| index.to_string()).collect();
        let template = Template::of_access_log(&format, Some(&names), JsonTypes::Native)?;
        let record: Value = serde_json::from_str(&convert(&template, line.join(" ").as_bytes())?)?;
        for (name, value) in names.iter().zip(&values) {
            let expected = if value == "-" { Value::Null } else { json!(value) };
            prop_assert_eq!(record.get(name), Some(&expected));
        }
    }

    /// Whatever comes in: one line of JSON from both profiles, or the same mismatch.
    #[test]
    fn any_bytes_give_a_line_of_json_or_a_mismatch(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..80),
            "[\\[\\]\"\\\\ :a(1)?,-]{0,40}".prop_map(String::into_bytes),
            "\\[Wed Feb 03 04:05:06.7 2021\\] [\\[\\]\"\\\\ :a(1)?,-]{0,30}".prop_map(String::into_bytes),
            "2021-02-03 04:05:06,7 INFO [\\[\\]\"\\\\ :a(1)?,\n\t-]{0,30}".prop_map(String::into_bytes),
        ],
        (new, format) in select(&[
            (Template::of_access_log as Constructor, "%u %U%q %>s [%{%F %T}t] %b"),
            (Template::of_access_log, "[%u] %f:%U \"%r\" %{A}i %{B}i"),
            (Template::of_access_log, "%u"),
            (Template::of_error_log, DEFAULT_ERROR_LOG),
            (Template::of_error_log, "%l %F: %E: %M% ,\\ %{A}i %{B}i"),
            (Template::of_log4j, "%d %-5p [%t] %c %m%n"),
            (Template::of_log4j, "%p %m [%X]%n"),
            (Template::of_nginx, "$msec $request_time $remote_user [$uri]"),
        ][..]),
    ) {
        let [strings, native] = [JsonTypes::Strings, JsonTypes::Native]
            .map(|types| convert(&new(format, None, types).unwrap(), &bytes));
        prop_assert_eq!(strings.as_ref().err(), native.as_ref().err());
        for record in [strings, native].into_iter().flatten() {
            prop_assert!(!record.contains('\n'));
            prop_assert!(serde_json::from_str::<Value>(&record)?.is_object());
        }
    }

    /// Whatever is asked for is followed or refused.
    #[test]
    fn any_format_is_followed_or_refused(format in "[%{}a-zA-Z!<>^,0-9\" \\\\$\\-.]{0,30}") {
        for new in [Template::of_access_log, Template::of_error_log, Template::of_log4j, Template::of_nginx] {
            if let Ok(template) = new(&format, None, JsonTypes::Native) {
                prop_assert!(template.names().count() > 0);
            }
        }
    }
}
