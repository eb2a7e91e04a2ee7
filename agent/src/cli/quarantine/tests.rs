//! What a person reads of a quarantine that lies on the disk.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::arguments::{Clear, List, Replay, ShowKept};
use super::*;
use crate::cli::arguments::Configuration;
use crate::position::{Mark, Offset};
use crate::quarantine::{Journal, Stray};

/// A state directory with the flow `access` and one that is gone, a line of each, and what `command` says of it, which
/// gets the flow and the reason that are picked.
#[track_caller]
fn check(
    command: impl Fn(Configuration, Pick) -> Quarantine,
    flow: Option<&str>,
    reason: Option<Kept>,
    expected: &str,
    exit: Exit,
) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.json");
    let access = json!({"name": "access", "filePattern": "/a/b", "kinesisStream": "s"});
    fs::write(&file, json!({"stateDirectory": directory.path(), "flows": [access]}).to_string()).unwrap();
    let (mut journal, _) = Journal::open(directory.path(), 1 << 20);
    for (id, cause, bytes) in [
        ("kinesis:s:/a/b", Cause::Unmatched, b"a \x1b[31mline\n".as_slice()),
        ("kinesis:old:/a/b", Cause::Refused, b"\xff\n"),
    ] {
        let mark = Mark { place: 1, turn: 2, first: Some(3) };
        let (offset, lines, why) = (Offset::from_raw(40), 2, "no host at byte 0".to_owned());
        let stray = Stray { mark, offset, lines, cause, why, bytes: bytes.to_vec() };
        journal
            .keep(&FlowId::from_text(id.to_owned()), Path::new("/a/b"), 1_700_000_000_000, &stray)
            .unwrap();
    }
    let pick = Pick { flow: flow.map(str::to_owned), reason };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = run(&command(Configuration { file }, pick), &mut out, &mut err).unwrap();
    out.extend(err);
    let said = String::from_utf8(out).unwrap().replace(&directory.path().display().to_string(), "STATE");
    assert_eq!((said.as_str(), ended), (expected, exit));
}

#[test]
fn each_flow_and_reason_is_listed_with_times_and_files() {
    let list = |configuration, pick| Quarantine::List(List { configuration, pick });
    let access = "flow access, unmatched: 1 record of 2 lines\n  from 2023-11-14T22:13:20Z to 2023-11-14T22:13:20Z\n  /a/b\n";
    let old = "flow kinesis:old:/a/b, refused: 1 record of 2 lines\n  from 2023-11-14T22:13:20Z to 2023-11-14T22:13:20Z\n  /a/b\n";
    check(list, None, None, &format!("{old}{access}"), Exit::Done);
    // It has the same files, so that what is left of the other is its own, too.
    check(list, Some("access"), None, &format!("{old}{access}"), Exit::Done);
    check(list, Some("kinesis:s:/a/b"), None, &format!("{old}{access}"), Exit::Done);
    check(list, Some("kinesis:old:/a/b"), None, old, Exit::Done);
    check(list, Some("access"), Some(Kept::Unmatched), access, Exit::Done);
    check(list, None, Some(Kept::Refused), old, Exit::Done);
    check(list, Some("other"), None, "nothing is in the quarantine\n", Exit::Done);
}

#[test]
fn a_line_is_shown_with_its_place_and_without_what_a_terminal_obeys() {
    let show =
        |configuration, pick| Quarantine::Show(ShowKept { configuration, pick, limit: 1, json: false });
    let shown = "1  2023-11-14T22:13:20Z  flow access, unmatched: no host at byte 0\n  \
                 /a/b, generation 0000000000000001-2-00000003, offset 40\n  > a \\u{1b}[31mline\n";
    check(show, Some("access"), Some(Kept::Unmatched), shown, Exit::Done);
    let latest = "2  2023-11-14T22:13:20Z  flow kinesis:old:/a/b, refused: no host at byte 0\n  \
                  /a/b, generation 0000000000000001-2-00000003, offset 40\n  > \u{fffd}\n";
    check(show, None, None, latest, Exit::Done);
}

#[test]
fn programs_get_every_byte() {
    let show = |configuration, pick| Quarantine::Show(ShowKept { configuration, pick, limit: 9, json: true });
    let shown = r#"{"flow":"kinesis:old:/a/b","generation":"0000000000000001-2-00000003","lineBase64":"/wo=","lines":2,"number":2,"offset":40,"path":"/a/b","reason":"refused","timeMillis":1700000000000,"why":"no host at byte 0"}"#;
    check(show, None, Some(Kept::Refused), &format!("{shown}\n"), Exit::Done);
}

#[test]
fn without_an_agent_lines_are_cleared_and_not_sent() {
    let clear = |configuration, pick| Quarantine::Clear(Clear { configuration, pick });
    check(clear, Some("access"), None, "2 records of 4 lines removed\n", Exit::Done);
    check(clear, Some("access"), Some(Kept::Refused), "1 record of 2 lines removed\n", Exit::Done);
    check(clear, Some("other"), None, "0 records removed\n", Exit::Done);
    let replay = |configuration, pick| Quarantine::Replay(Replay { configuration, pick });
    let refused = "kinetail: nothing was sent: no kinetail runs with the state directory `STATE`; start it, and try again\n";
    check(replay, None, None, refused, Exit::Failed);
}
