//! The records of whole lines: against golden files, against the Java agent's own expressions, and for any bytes.
//!
//! The golden records in `fixtures/records` were made by a reading in another language that shares nothing with this
//! parser.

use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::*;
use crate::position::{Mark, Offset};

mod against_java;
mod examples;
mod oracle;
mod steps;

/// The names of the golden files, one for each kind of line.
const KINDS: [&str; 16] = [
    "common",
    "combined",
    "hosts",
    "users",
    "vhost",
    "dates",
    "requests",
    "empty-values",
    "escapes",
    "lone-backslashes",
    "extra-columns",
    "crlf",
    "invalid-utf8",
    "error-log",
    "syslog",
    "rfc3339-syslog",
];

const BEFORE_REQUEST: &str = "192.0.2.1 - - [03/Feb/2021:04:05:06 +0100] ";

fn apache(format: Format, types: JsonTypes) -> Parser {
    Parser::new(vec![Step::Log { format, types }])
}

/// The record of `line`, which must be exactly what was added to the buffer.
fn parse(parser: &Parser, line: &[u8]) -> Result<(Vec<u8>, bool), Mismatch> {
    let mut buffer = b"before".to_vec();
    let around = Surroundings::at(Duration::ZERO);
    let result = parser.clone().parse(&Line::alone(line), &around, &mut buffer);
    let added = buffer.strip_prefix(b"before").expect("what was in the buffer must stay").to_vec();
    match result {
        Ok(record) => {
            assert_eq!(record.len(), added.len());
            Ok((added, record.is_repaired()))
        }
        Err(mismatch) => {
            assert_eq!(added, b"", "a mismatch must leave the buffer as it was");
            Err(mismatch)
        }
    }
}

/// The field `name` of the native record of a combined line that ends in `rest`.
#[track_caller]
fn check(rest: &str, name: &str, expected: Value) {
    let line = format!("{BEFORE_REQUEST}{rest}\n");
    let (record, _) = parse(&apache(Format::Combined, JsonTypes::Native), line.as_bytes()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&record).unwrap().get(name), Some(&expected));
}

fn fixture(folder: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(folder).join(name);
    fs::read(path).unwrap()
}

#[track_caller]
fn check_golden(types: JsonTypes, profile: &str) {
    for kind in KINDS {
        let format = match kind {
            "common" => Format::Common,
            "error-log" => Format::ErrorLog,
            "syslog" => Format::Syslog,
            "rfc3339-syslog" => Format::Rfc3339Syslog,
            _ => Format::Combined,
        };
        let logs = fixture("logs", &format!("{kind}.log"));
        let records = fixture("records", &format!("{kind}.{profile}.jsonl"));
        let mut expected = records.split_inclusive(|&byte| byte == b'\n');
        for line in logs.split_inclusive(|&byte| byte == b'\n') {
            let (record, repaired) = parse(&apache(format, types), line).unwrap();
            let text = String::from_utf8(record).unwrap();
            assert_eq!(
                Ok(text.as_str()),
                str::from_utf8(expected.next().unwrap()),
                "{kind}: {}",
                line.escape_ascii()
            );
            assert_eq!(
                repaired,
                text.contains(char::REPLACEMENT_CHARACTER),
                "{kind}: {}",
                line.escape_ascii()
            );
        }
        assert_eq!(expected.next(), None, "{kind}: a record without a line");
    }
}

#[test]
fn strings_are_as_in_the_golden_records() {
    check_golden(JsonTypes::Strings, "strings");
}

#[test]
fn native_values_are_as_in_the_golden_records() {
    check_golden(JsonTypes::Native, "native");
}

const MARK: Mark = Mark { place: 0x8c1d_5a9e_03f7_b264, turn: 2, first: Some(0x5f0e_12ab) };

/// The record of the line at `offset` with its place.
fn parse_at(parser: &Parser, line: &[u8], stamp: &Stamp, offset: u64) -> Result<Vec<u8>, Mismatch> {
    let mut buffer = b"before".to_vec();
    let around = Surroundings::at(Duration::ZERO);
    let record = parser.clone().parse(&Line::alone(line), &around, &mut buffer)?;
    let repaired = record.is_repaired();
    let record = stamp.add(record, Offset::from_raw(offset), &mut buffer);
    let added = buffer.strip_prefix(b"before").expect("what was in the buffer must stay").to_vec();
    assert_eq!((record.len(), record.is_repaired()), (added.len(), repaired));
    Ok(added)
}

#[test]
fn the_place_of_a_line_is_as_in_the_golden_records() {
    let stamp = Stamp::new("web-1.example.net", MARK);
    let records = fixture("records", "combined.native.position.jsonl");
    let mut expected = records.split_inclusive(|&byte| byte == b'\n');
    let mut offset = 0;
    for line in fixture("logs", "combined.log").split_inclusive(|&byte| byte == b'\n') {
        let parser = apache(Format::Combined, JsonTypes::Native);
        let record = parse_at(&parser, line, &stamp, offset).unwrap();
        assert_eq!(str::from_utf8(&record), str::from_utf8(expected.next().unwrap()));
        offset += line.len() as u64;
    }
    assert_eq!(expected.next(), None, "a record without a line");
}

#[test]
fn a_line_that_does_not_match_says_where() {
    let reasons = String::from_utf8(fixture("records", "unmatched.txt")).unwrap();
    let mut reasons = reasons.lines();
    for line in fixture("logs", "unmatched.log").split_inclusive(|&byte| byte == b'\n') {
        for types in [JsonTypes::Strings, JsonTypes::Native] {
            let mismatch = parse(&apache(Format::Combined, types), line).unwrap_err();
            assert_eq!(
                reasons.clone().next(),
                Some(mismatch.to_string().as_str()),
                "{}",
                line.escape_ascii()
            );
        }
        reasons.next();
    }
    assert_eq!(reasons.next(), None, "a reason without a line");
}

#[test]
fn every_line_of_the_demo_matches() {
    let log = fixture("logs", "access.log");
    let lines: Vec<_> = log.split_inclusive(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), 2000);
    for line in lines {
        let result = parse(&apache(Format::Combined, JsonTypes::Strings), line);
        assert!(result.is_ok(), "{}: {}", result.unwrap_err(), line.escape_ascii());
    }
}

#[test]
fn a_raw_record_is_the_line() {
    for line in [&b"any \xFF bytes\r\n"[..], b"\n", b"the last one"] {
        assert_eq!(parse(&Parser::default(), line), Ok((line.to_vec(), false)));
    }
}

#[test]
fn one_newline_is_no_part_of_the_line() {
    let line = format!("{BEFORE_REQUEST}\"GET / HTTP/1.1\" 200 1");
    let parser = apache(Format::Common, JsonTypes::Strings);
    let record = parse(&parser, line.as_bytes());
    assert!(record.is_ok());
    assert_eq!(parse(&parser, format!("{line}\n").as_bytes()), record);
    assert_eq!(parse(&parser, format!("{line}\r\n").as_bytes()), record);
}

#[test]
fn a_number_that_others_find_too_large_is_a_text() {
    for (digits, written) in
        [("9".repeat(300), "9".repeat(300)), ("9".repeat(301), format!("\"{}\"", "9".repeat(301)))]
    {
        let line = format!("{BEFORE_REQUEST}\"-\" 200 {digits}");
        let (record, _) = parse(&apache(Format::Common, JsonTypes::Native), line.as_bytes()).unwrap();
        assert!(String::from_utf8(record.clone()).unwrap().ends_with(&format!("\"bytes\":{written}}}\n")));
        serde_json::from_slice::<serde_json::Value>(&record).unwrap();
    }
}

#[test]
fn a_number_that_no_integer_type_holds_keeps_its_digits() {
    let line = format!("{BEFORE_REQUEST}\"-\" -007 +00340282366920938463463374607431768211456");
    let (record, _) = parse(&apache(Format::Common, JsonTypes::Native), line.as_bytes()).unwrap();
    let text = String::from_utf8(record).unwrap();
    assert!(text.ends_with("\"response\":-7,\"bytes\":340282366920938463463374607431768211456}\n"), "{text}");
}

#[test]
fn an_escaped_quote_does_not_end_a_value() {
    check(r#""-" 200 1 "-" "Mozilla \"X\" 5""#, "agent", Value::from(r#"Mozilla "X" 5"#));
    check(r#""-" 200 1 "a\\" "b""#, "referer", Value::from(r"a\"));
    check(r#""-" 200 1 "a\" "b""#, "referer", Value::from(r"a\"));
}

/// A value as httpd writes it. Source: `ap_escape_logitem`,
/// <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#format-notes>.
pub(super) fn escaped_for_log(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'"' => r#"\""#.to_owned(),
            b'\\' => r"\\".to_owned(),
            0x08 => r"\b".to_owned(),
            b'\n' => r"\n".to_owned(),
            b'\r' => r"\r".to_owned(),
            b'\t' => r"\t".to_owned(),
            0x0B => r"\v".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            other => format!("\\x{other:02x}"),
        })
        .collect()
}

/// One of `usual`, or now and then one of `odd`.
fn mostly(
    usual: &'static [&'static str],
    odd: &'static [&'static str],
) -> impl Strategy<Value = &'static str> {
    prop_oneof![30 => select(usual), 1 => select(odd)]
}

fn date() -> impl Strategy<Value = String> {
    let day = mostly(&["03", "3", "31", "29"], &["0", "00", "32", "003"]);
    let month =
        mostly(&["Feb", "February", "May", "June", "Sep", "December"], &["feb", "Sept", "Janu", "02", ""]);
    let year = mostly(&["2021", "1", "99999999999999999999"], &["0", "021", ""]);
    let hour = mostly(&["04", "4", "23", "00"], &["24", "004", ""]);
    let minute = mostly(&["05", "59"], &["5", "60", ""]);
    let second = mostly(&["06", "6", "60", "59.123", "1,5", "07:123"], &["61", "006", "06.", ""]);
    let space = mostly(&[" "], &["\t", "\u{B}", "\u{C}", "\r", "", "  ", "\u{A0}"]);
    let zone = mostly(&["+0100", "-0330", "+0000"], &["0100", "+1", "123456", "+", "CET", ""]);
    (day, month, year, hour, minute, second, space, zone).prop_map(
        |(day, month, year, hour, minute, second, space, zone)| {
            format!("{day}/{month}/{year}:{hour}:{minute}:{second}{space}{zone}")
        },
    )
}

/// What may stand between quotes, with its escapes.
fn quoted() -> impl Strategy<Value = &'static str> {
    mostly(
        &["-", "GET / HTTP/1.1", "GET /a?b=1", "https://example.com/", "curl/8.7.1", r"\x16\x03", r"a\\"],
        &[
            "",
            "a",
            r#"\""#,
            r#"x \"y\" z"#,
            r"x\",
            r"\",
            "\u{1}\u{8}\u{C}\t\u{7F}",
            "é€😀",
            "\u{85}\u{2028}",
            "a\nb",
        ],
    )
}

/// Lines that mostly match, with every part now and then as only some writers have it, or broken.
fn line() -> impl Strategy<Value = String> {
    let host = mostly(
        &["192.0.2.1", "web1.example.net.", "a-b_c", "1.2.3", "-"],
        &["1..2", "..", ".a", "a..b", "::1", "fe80::1%eth0", "web:80", "web:80 192.0.2.1", "ü", ""],
    );
    let ident = mostly(&["-", "a.b-c_d"], &["", "a@b", "192.0.2.1 -", "\"\"", "[x]"]);
    let user = mostly(
        &["-", "frank"],
        &["", "a@b.org", "x y", "\"\"", "[x] y", r#"a\"b"#, "é", "[03/Feb/2021:04:05:06 +0100]"],
    );
    let number =
        || mostly(&["200", "0", "-", "12345"], &["+5", "-5", "-x", "+", "5x", "", "0005", "\u{663}"]);
    let separator = || mostly(&[" "], &["", "  ", "\t"]);
    let tail = mostly(&[""], &[" extra", "x", "\r", " \"a\" \"b\"", "\u{85}", " \u{2029}", "\n"]);
    let front = (
        host,
        separator(),
        ident,
        separator(),
        user,
        separator(),
        date(),
        mostly(&["] "], &["]", "]  ", ")"]),
    );
    let back = (
        quoted(),
        separator(),
        number(),
        separator(),
        number(),
        separator(),
        quoted(),
        separator(),
        quoted(),
        tail,
    );
    (front, back).prop_map(|((host, s1, ident, s2, user, s3, date, s4), (request, s5, response, s6, bytes, s7, referer, s8, agent, tail))| {
        format!(
            "{host}{s1}{ident}{s2}{user}{s3}[{date}{s4}\"{request}\"{s5}{response}{s6}{bytes}{s7}\"{referer}\"{s8}\"{agent}\"{tail}"
        )
    })
}

/// A line with some bytes changed, and now and then cut short.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), select(&b"\\\" -[]\n\xC3\xA9"[..])];
    let kept = prop_oneof![3 => Just(usize::MAX), 1 => 0..200usize];
    (line(), vec((0..200usize, byte), 0..4), kept).prop_map(|(line, changes, kept)| {
        let mut bytes = line.into_bytes();
        for (place, new) in changes {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = new;
            }
        }
        bytes.truncate(kept);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// A record with its place is the record without, and three fields behind its own.
    #[test]
    fn the_place_is_added_and_nothing_else_is_changed(
        line in line(),
        host in "\\PC{0,12}",
        (offset, turn) in any::<(u64, u32)>(),
        types in select(&[JsonTypes::Strings, JsonTypes::Native][..]),
    ) {
        let parser = apache(Format::Combined, types);
        let mark = Mark { turn, ..MARK };
        let with = parse_at(&parser, line.as_bytes(), &Stamp::new(&host, mark), offset);
        let without = parse(&parser, line.as_bytes()).map(|(record, _)| record);
        prop_assert_eq!(with.is_ok(), without.is_ok());
        if let (Ok(with), Ok(without)) = (with, without) {
            let fields = without.strip_suffix(b"}\n").unwrap();
            prop_assert!(with.starts_with(fields));
            prop_assert_eq!(with.last(), Some(&b'\n'));
            let mut object: serde_json::Map<String, Value> = serde_json::from_slice(&with).unwrap();
            prop_assert_eq!(object.remove("@host"), Some(Value::from(host)));
            prop_assert_eq!(object.remove("@file"), Some(Value::from(mark.to_string())));
            prop_assert_eq!(object.remove("@offset"), Some(Value::from(offset)));
            let expected: serde_json::Map<String, Value> = serde_json::from_slice(&without).unwrap();
            prop_assert_eq!(object, expected);
        }
    }


    /// Whatever comes in: no panic, the same answer from both profiles, and one line of JSON for a match.
    #[test]
    fn any_bytes_give_a_line_of_json_or_a_mismatch(bytes in prop_oneof![damaged(), vec(any::<u8>(), 0..200)], combined: bool) {
        let format = if combined { Format::Combined } else { Format::Common };
        let strings = parse(&apache(format, JsonTypes::Strings), &bytes);
        let native = parse(&apache(format, JsonTypes::Native), &bytes);
        prop_assert_eq!(strings.as_ref().err(), native.as_ref().err());
        for (record, repaired) in [strings, native].into_iter().flatten() {
            let text = String::from_utf8(record)?;
            prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
            let value: Value = serde_json::from_str(&text)?;
            prop_assert!(value.is_object());
            prop_assert!(!repaired || text.contains(char::REPLACEMENT_CHARACTER));
        }
    }

    /// What was in the request and its headers is what a reader of the stream gets.
    #[test]
    fn native_values_are_those_that_httpd_wrote(user: String, request: String, referer: String, agent: String) {
        let values = [("authuser", user), ("request", request), ("referer", referer), ("agent", agent)];
        prop_assume!(values.iter().all(|(_, value)| value != "-"));
        let [user, request, referer, agent] = values.each_ref().map(|(_, value)| escaped_for_log(value));
        let user = if user.is_empty() { "\"\"" } else { &user };
        let line = format!("::1 - {user} [03/Feb/2021:04:05:06 +0100] \"{request}\" 200 1 \"{referer}\" \"{agent}\"\n");
        let (record, repaired) = parse(&apache(Format::Combined, JsonTypes::Native), line.as_bytes())?;
        let record: Value = serde_json::from_slice(&record)?;
        for (key, value) in &values {
            prop_assert_eq!(record.get(key).and_then(Value::as_str), Some(value.as_str()));
        }
        prop_assert!(!repaired);
    }

    /// A value of any bytes becomes text as `String::from_utf8_lossy` does it, escaped or not.
    #[test]
    fn what_is_not_utf8_is_repaired_as_the_standard_library_does(bytes in vec(select(&b"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xFFa "[..]), 1..24), escape: bool) {
        let mut line = format!("{BEFORE_REQUEST}\"-\" 200 1 \"-\" \"").into_bytes();
        for byte in &bytes {
            match escape {
                true => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                false => line.push(*byte),
            }
        }
        line.push(b'"');
        let (record, repaired) = parse(&apache(Format::Combined, JsonTypes::Native), &line)?;
        let record: Value = serde_json::from_slice(&record)?;
        prop_assert_eq!(record.get("agent").and_then(Value::as_str), Some(&*String::from_utf8_lossy(&bytes)));
        prop_assert_eq!(repaired, str::from_utf8(&bytes).is_err());
    }
}
