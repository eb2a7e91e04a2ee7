//! G8: what the Java agent takes, we take, and write the same; what it drops becomes JSON or a mismatch.
//!
//! Each format on 220,000 lines: generated part by part, now and then with a part as only some writers have it or
//! broken, and real lines of the fixtures with bytes changed.

use std::cell::Cell;
use std::sync::Arc;

use proptest::test_runner::TestRunner;

use super::oracle::Oracle;
use super::*;

/// Five formats, and more than a million lines together.
const LINES: u32 = 220_000;

/// Compares the parsers of `format` with the Java agent on `lines`, of which it takes at least three in ten.
#[track_caller]
#[expect(
    clippy::print_stdout,
    reason = "whoever reads the test's output wants to know how many lines were compared"
)]
fn check(format: Format, lines: impl Strategy<Value = Vec<u8>>) {
    let oracle = Oracle::new(format);
    let java = JavaAgent::with_format(format);
    let [strings, native] = [JsonTypes::Strings, JsonTypes::Native].map(|types| apache(format, types));
    let accepted = Cell::new(0u32);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(LINES) };
    let result = TestRunner::new(config).run(&lines, |line| {
        let without_newline = line.strip_suffix(b"\n").unwrap_or(&line);
        let expected = oracle.record(without_newline);
        let mut told = Vec::new();
        let told = java.write(&line, &mut told).is_some().then_some(told);
        prop_assert_eq!(told.map(String::from_utf8).transpose()?, expected.clone(), "what we say of Java");

        let record = parse(&strings, &line).map(|(record, _)| record);
        if let Some(expected) = oracle.whole_record(without_newline) {
            accepted.set(accepted.get() + 1);
            prop_assert_eq!(String::from_utf8(record.clone()?)?, expected);
        }
        let native = parse(&native, &line).map(|(record, _)| record);
        prop_assert_eq!(native.as_ref().err(), record.as_ref().err());
        for record in [record, native].into_iter().flatten() {
            prop_assert_eq!(record.iter().position(|&byte| byte == b'\n'), Some(record.len() - 1));
            prop_assert!(serde_json::from_slice::<Value>(&record)?.is_object());
        }
        Ok(())
    });
    let share = 100 * u64::from(accepted.get()) / u64::from(LINES);
    println!("{}: the Java agent takes {share} of 100 lines", format.word());
    result.unwrap();
    assert!(share >= 30, "it takes only {share} of 100 lines");
}

/// A line of the fixtures with some bytes changed, inserted or cut out.
fn real(names: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<Arc<[u8]>> = names
        .iter()
        .flat_map(|name| {
            let log = fixture("logs", &format!("{name}.log"));
            log.split(|&byte| byte == b'\n').map(Arc::from).collect::<Vec<_>>()
        })
        .collect();
    let byte = prop_oneof![any::<u8>(), select(&b"\\\" -[]<>:.,09aF\n\r\xC3\xA9"[..])];
    let change = (any::<prop::sample::Index>(), 0..3u8, byte);
    (select(lines), vec(change, 0..4)).prop_map(|(line, changes)| {
        let mut line = line.to_vec();
        for (place, kind, byte) in changes {
            let at = place.index(line.len() + 1);
            match kind {
                0 => line.insert(at, byte),
                1 if at < line.len() => drop(line.remove(at)),
                _ => line.get_mut(at).into_iter().for_each(|old| *old = byte),
            }
        }
        line
    })
}

fn bytes(lines: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    lines.prop_map(String::into_bytes)
}

#[test]
fn common_access_logs() {
    check(Format::Common, prop_oneof![3 => bytes(line()), 1 => real(&["common", "hosts", "users", "dates"])]);
}

#[test]
fn combined_access_logs() {
    let real =
        real(&["combined", "requests", "escapes", "lone-backslashes", "extra-columns", "invalid-utf8"]);
    check(Format::Combined, prop_oneof![3 => bytes(line()), 1 => real]);
}

fn white() -> impl Strategy<Value = &'static str> {
    mostly(&[" ", "  "], &["", "\t", "\u{B}", "\r", "\n ", "\u{A0}"])
}

fn clock() -> impl Strategy<Value = String> {
    let hour = mostly(&["04", "4", "23", "00"], &["24", "004", ""]);
    let minute = mostly(&["05", "59"], &["5", "60", ""]);
    let second = mostly(&["06", "6", "60", "59.123456", "1,5", "07:123"], &["61", "006", "06."]);
    (hour, minute, second).prop_map(|(hour, minute, second)| format!("{hour}:{minute}:{second}"))
}

fn month_and_day() -> impl Strategy<Value = String> {
    let month =
        mostly(&["Feb", "February", "May", "June", "Sep", "December"], &["feb", "Sept", "Mayo", "02"]);
    let day = mostly(&["03", "3", "31", "29"], &["0", "00", "32", "003"]);
    (month, white(), day).prop_map(|(month, white, day)| format!("{month}{white}{day}"))
}

fn message() -> impl Strategy<Value = &'static str> {
    mostly(
        &[
            "File does not exist: /x",
            "-",
            "AH00128: a, referer: https://example.com/",
            "",
            "[x] (1)y: z",
            "é€😀",
        ],
        &["\"q\" \\ \t", "a\r", "a\u{85}", "\u{2028}", "a\nb", "\u{1}\u{7F}", "[client 192.0.2.1:1] x"],
    )
}

#[test]
fn error_logs() {
    let weekday = mostly(&["Wed", "Wednesday", "Sat", "Tuesday"], &["Weds", "wed", "Mit", ""]);
    let year = mostly(&["2021", "1", "99999999999999999999"], &["0", "021", ""]);
    let date = (weekday, white(), month_and_day(), white(), clock(), white(), year)
        .prop_map(|(weekday, a, day, b, clock, c, year)| format!("{weekday}{a}{day}{b}{clock}{c}{year}"));
    let level = mostly(
        &["core:error", "warn", "proxy_http:trace8"],
        &[":error", "a-b:warn", "-:info", "a:b:c", "", "core:", "x y"],
    );
    let process = mostly(
        &["[pid 12:tid 34] ", "[pid 0] ", "[pid 007:tid 139637676447488] "],
        &["", "[pid x] ", "[pid 1:tid ] ", "[pid 1]", "[pid -1] "],
    );
    let before =
        mostly(&[""], &["(13)Permission denied: ", "core.c(12): ", "core.c(12): (2)No: x: ", "(x)y: "]);
    let peer = mostly(
        &[
            "[client 203.0.113.9:5555] ",
            "[client web1] ",
            "[client a-b.c.:80] ",
            "[client -] ",
            "[client 1..2] ",
        ],
        &[
            "[client ::1:80] ",
            "[remote 10.0.0.1:80] ",
            "",
            "[client ] ",
            "[client a:0] ",
            "[client a:] ",
            "[client x]",
        ],
    );
    let separators =
        (mostly(&["["], &["", " ["]), mostly(&["] ["], &["]  [", "]["]), mostly(&["] "], &["]", "]  "]));
    let line = (separators, date, level, process, before, peer, message()).prop_map(
        |((a, b, c), date, level, process, before, peer, message)| {
            format!("{a}{date}{b}{level}{c}{process}{before}{peer}{message}")
        },
    );
    check(Format::ErrorLog, prop_oneof![3 => bytes(line), 1 => real(&["error-log"])]);
}

/// What follows the timestamp of syslog.
fn signed() -> impl Strategy<Value = String> {
    let facility = mostly(
        &["", "", "<4.6> ", "<134> "],
        &["<34> ", "<4> ", "<4 6> ", "<4é6> ", "<4>6> ", "<a> ", "<4.> ", "<4.6>", "<4..6> "],
    );
    let host = mostly(&["web1", "192.0.2.1", "a-b_c.d", "-"], &["", "fe80::1", "web1:", "ü", "<1>", "a b"]);
    let program = mostly(
        &["sshd", "postfix/smtpd", "a_b%c-d.e"],
        &["su(pam_unix)", "", "a b", "[x]", "http://x", "a[1]b", "a:"],
    );
    let process = mostly(&["", "[812]", "[1]"], &["[0]", "[007]", "[]", "[a.1]", "[1", "(1)", "[1][2]"]);
    let colon = mostly(&[": "], &[":", "", " : ", ":  "]);
    (facility, host, mostly(&[" "], &["  ", "\t"]), program, process, colon, message()).prop_map(
        |(facility, host, space, program, process, colon, message)| {
            format!("{facility}{host}{space}{program}{process}{colon}{message}")
        },
    )
}

#[test]
fn syslog() {
    let front = mostly(&[""], &["<34>", "<>", " "]);
    let line = (front, month_and_day(), white(), clock(), mostly(&[" "], &["", "  "]), signed()).prop_map(
        |(front, day, white, clock, space, rest)| format!("{front}{day}{white}{clock}{space}{rest}"),
    );
    check(Format::Syslog, prop_oneof![3 => bytes(line), 1 => real(&["syslog"])]);
}

#[test]
fn syslog_of_rfc3339() {
    let front = mostly(&[""], &["<34>", "<>", " "]);
    let date = mostly(&["2021-02-03", "9999-99-99"], &["21-02-03", "2021-2-03", "2021/02/03"]);
    let clock = mostly(&["04:05:06", "99:99:99"], &["4:05:06", "04:05", ""]);
    let fraction = mostly(&["", ".789", ".1234567890"], &[".", ",5"]);
    let zone = mostly(&["Z", "+01:00", "-99:99"], &["", "+0100", "z", "+1", "+01:0", "+01:000"]);
    let line = (
        front,
        date,
        mostly(&["T"], &["t", " "]),
        clock,
        fraction,
        zone,
        mostly(&[" "], &["", "  "]),
        signed(),
    )
        .prop_map(|(front, date, t, clock, fraction, zone, space, rest)| {
            format!("{front}{date}{t}{clock}{fraction}{zone}{space}{rest}")
        });
    check(Format::Rfc3339Syslog, prop_oneof![3 => bytes(line), 1 => real(&["rfc3339-syslog"])]);
}
