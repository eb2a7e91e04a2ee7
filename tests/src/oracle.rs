//! What the record of an access log line must be, by a reading in Python that shares nothing with the agent's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The records of all lines of `files`, in order, as the `strings` profile writes them, newlines included.
///
/// # Errors
/// If there is no Python, or it cannot read a line.
pub fn records(files: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Vec<Vec<u8>>> {
    let output = Command::new("python3").arg(script()).args(files).output().context(
        "failed to run `python3`, which reads the access logs independently; `apt-get install python3` has it",
    )?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/read_access_log.py")
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
}
