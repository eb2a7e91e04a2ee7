//! What must come out, by programs in Python that share nothing with what they judge: the record of an access log line,
//! and the counts of the windows that the records fall into.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The records of all lines of `files`, in order, as the `strings` profile writes them, newlines included.
///
/// # Errors
/// If there is no Python, or it cannot read a line.
pub fn records(files: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Vec<Vec<u8>>> {
    let output = run(Command::new("python3").arg(script("read_access_log.py")).args(files))?;
    Ok(output.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
}

/// How many requests of one kind fell into one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The first moment of the window, in milliseconds since the epoch.
    pub start: u64,
    /// Application and contact; none for a host that is not in the reference.
    pub application: Option<(String, String)>,
    /// The status code.
    pub status: u64,
    /// The requests.
    pub count: u64,
}

/// The groups of `records`, a file with a line for each: when it arrived, in milliseconds since the epoch, a tab, and its
/// data. Hosts are joined with the CSV `reference`.
///
/// # Errors
/// If there is no Python, or it cannot read a file.
pub fn groups(records: &Path, reference: &Path, window: Duration) -> Result<Vec<Group>> {
    let script = script("count_windows.py");
    let seconds = window.as_secs().to_string();
    let output = run(Command::new("python3").arg(script).arg(records).arg(reference).arg(seconds))?;
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| group(line).context("a group that is none")).collect()
}

fn group(line: &[u8]) -> Option<Group> {
    let group: Value = serde_json::from_slice(line).ok()?;
    let text = |index: usize| group[index].as_str().map(str::to_owned);
    Some(Group {
        start: group[0].as_u64()?,
        application: text(1).zip(text(2)),
        status: group[3].as_u64()?,
        count: group[4].as_u64()?,
    })
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().context(
        "failed to run `python3`, which checks the results independently; `apt-get install python3` has it",
    )?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e").join(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check(line: &[u8], record: &str) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("access_log");
        fs::write(&file, [line, b"\n"].concat()).unwrap();
        let expected = vec![format!("{record}\n").into_bytes()];
        assert_eq!(records([file]).unwrap(), expected, "{}", line.escape_ascii());
    }

    #[test]
    fn dashes_are_null_and_escapes_stay() {
        check(
            br#"203.0.113.9 - frank [03/Feb/2021:04:05:06 +0100] "GET /a?b=\"1 HTTP/1.1" 304 - "-" "a\\ \x16""#,
            r#"{"host":"203.0.113.9","ident":null,"authuser":"frank","datetime":"03/Feb/2021:04:05:06 +0100","request":"GET /a?b=\\\"1 HTTP/1.1","response":"304","bytes":null,"referer":null,"agent":"a\\\\ \\x16"}"#,
        );
    }

    #[test]
    fn users_may_hold_spaces_and_values_may_be_empty() {
        check(
            br#"2001:db8::1 - a b@c [03/Feb/2021:04:05:06 +0100] "-" 408 0 "" "" 12 "more""#,
            r#"{"host":"2001:db8::1","ident":null,"authuser":"a b@c","datetime":"03/Feb/2021:04:05:06 +0100","request":null,"response":"408","bytes":"0","referer":"","agent":""}"#,
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced_and_controls_are_escaped_in_upper_case() {
        check(
            b"h - - [03/Feb/2021:04:05:06 +0100] \"\xff\xe2\x82\xac\" 200 1 \"\t\" \"\x1b\x7f/\"",
            "{\"host\":\"h\",\"ident\":null,\"authuser\":null,\"datetime\":\"03/Feb/2021:04:05:06 +0100\",\"request\":\"\u{fffd}€\",\"response\":\"200\",\"bytes\":\"1\",\"referer\":\"\\t\",\"agent\":\"\\u001B\x7f/\"}",
        );
    }

    #[test]
    fn a_line_that_is_no_access_log_line_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("access_log");
        fs::write(&file, "hello\n").unwrap();
        let error = records([file]).unwrap_err().to_string();
        assert!(error.contains("access_log:1: not an access log line: b'hello'"), "{error}");
    }

    #[test]
    fn requests_are_counted_by_window_and_joined_with_the_reference() {
        let dir = tempfile::tempdir().unwrap();
        let (records, reference) = (dir.path().join("records"), dir.path().join("reference.csv"));
        let record = |arrived: u64, host: &str, response: &str| {
            format!("{arrived}\t{{\"host\":\"{host}\",\"response\":{response}}}\n")
        };
        let lines = [
            record(9_999, "::1", "200"),
            record(10_000, "::1", "\"200\""),
            record(10_001, "::1", "404"),
            record(14_999, "::1", "200"),
            record(14_999, "192.0.2.1", "200"),
        ];
        fs::write(&records, lines.concat()).unwrap();
        fs::write(&reference, "Host,ApplicationName,Contact\n::1,\"a, b\",c@d\n").unwrap();
        let known = || Some(("a, b".to_owned(), "c@d".to_owned()));
        let expected = [
            Group { start: 5_000, application: known(), status: 200, count: 1 },
            Group { start: 10_000, application: None, status: 200, count: 1 },
            Group { start: 10_000, application: known(), status: 200, count: 2 },
            Group { start: 10_000, application: known(), status: 404, count: 1 },
        ];
        assert_eq!(groups(&records, &reference, Duration::from_secs(5)).unwrap(), expected);
    }
}
