//! Starting: for the first time, and where the last run left off.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::{InitialPosition, Resume};
use super::simulated::{Refusal, Simulated};
use super::stage::Stage;
use crate::metrics::Metric;

/// `log` with `one` is read and safe, and the agent is down; `act` happens, it starts again, and this comes.
#[track_caller]
fn check(pattern: &str, act: impl FnOnce(&mut Stage), expected: &[&str], lost: u64) {
    let mut stage = Stage::new(pattern, InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    act(&mut stage);
    stage.stop_and_start();
    stage.came.clear();
    stage.read_all();
    assert_eq!(stage.texts(), expected);
    assert_eq!(stage.counted(Metric::BytesLost), lost);
}

#[test]
fn at_the_first_start_the_initial_position_counts() {
    for (initial_position, expected) in [
        (InitialPosition::Start, &["one\n", "new\n", "two\n"][..]),
        (InitialPosition::End, &["new\n", "begun\n"]),
    ] {
        let mut stage = Stage::new("log*", initial_position, &[("log", "one\n")]);
        if initial_position == InitialPosition::End {
            stage = Stage::new("log*", initial_position, &[("log", "one\nbeg")]);
            stage.append("log", "un\n");
        } else {
            stage.append("log", "two\n");
        }
        stage.append("log.new", "new\n");
        stage.read_all();
        let mut came = stage.texts();
        came.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(came, expected);
    }
}

#[test]
fn after_that_every_file_that_appeared_is_read_from_its_beginning() {
    let mut stage = Stage::new("log*", InitialPosition::End, &[("log", "one\n")]);
    let known = stage.known();
    stage.append("log", "two\n");
    stage.append("log.new", "new\n");
    stage.restart(known);
    stage.read_all();
    assert_eq!(stage.texts(), ["two\n", "new\n"]);
    stage.restart_from(Resume::From(Vec::new()));
    stage.read_all();
    assert_eq!(stage.texts(), ["two\n", "new\n", "one\n", "two\n", "new\n"]);
}

#[test]
fn a_file_goes_on_where_it_was_safe() {
    check("log", |stage| stage.append("log", "two\n"), &["two\n"], 0);
}

#[test]
fn a_file_that_was_renamed_meanwhile_is_found_beside_its_old_name() {
    let act = |stage: &mut Stage| {
        stage.append("log", "two\n");
        stage.rename("log", "old-log");
        stage.append("log", "three\n");
    };
    check("log", act, &["two\n", "three\n"], 0);
}

#[test]
fn a_file_that_was_emptied_meanwhile_is_read_from_its_beginning() {
    check("log", |stage| stage.rewrite("log", "new\n"), &["new\n"], 0);
}

#[test]
fn what_went_unread_meanwhile_is_counted() {
    let act = |stage: &mut Stage| {
        stage.append("log", "two\n");
        stage.look();
        stage.remove("log");
    };
    check("log", act, &[], 4);
}

#[test]
fn what_cannot_be_read_at_the_start_is_neither_lost_nor_new_later() {
    let text = "line\n".repeat(300);
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", &text)]);
    stage.read_all();
    stage.append("log", "unread\n");
    stage.look();
    fs::create_dir(stage.path("away")).unwrap();
    stage.rename("log", "away/log");
    symlink("/proc/self/mem", stage.path("log")).unwrap();
    stage.stop_and_start();
    assert_eq!(stage.counted(Metric::BytesLost), 0);
    stage.remove("log");
    stage.rename("away/log", "log");
    stage.came.clear();
    stage.read_all();
    assert_eq!(stage.texts(), ["unread\n"]);
}

/// A file that cannot be opened at one start, nor at the next.
#[test]
fn what_cannot_be_read_stays_in_the_checkpoint() {
    for text in ["line\n".repeat(300), "line\n".to_owned()] {
        let disk = Simulated::new();
        let mut stage = Stage::simulated("log*", disk.clone());
        stage.append("log", &text);
        stage.read_all();
        stage.append("log", "unread\n");
        disk.set_refusal(&stage.path("log"), Some(Refusal::Open)).unwrap();
        stage.stop_and_start();
        stage.read_all();
        stage.rename("log", "log.1");
        stage.stop_and_start();
        stage.came.clear();
        stage.read_all();
        assert!(stage.came.is_empty());
        disk.mend();
        stage.read_all();
        assert_eq!(stage.texts(), ["unread\n"]);
        stage.append("log.1", "more\n");
        stage.read_all();
        assert_eq!(stage.texts(), ["unread\n", "more\n"]);
    }
}

#[test]
fn a_file_that_leaves_the_reach_before_it_can_be_read_is_gone_on_with() {
    let disk = Simulated::new();
    let mut stage = Stage::simulated("log", disk.clone());
    stage.append("log", &"line\n".repeat(300));
    stage.read_all();
    disk.set_refusal(&stage.path("log"), Some(Refusal::Read)).unwrap();
    stage.stop_and_start();
    stage.append("log", "unread\n");
    stage.rename("log", "log.1");
    stage.append("log", "new\n");
    disk.mend();
    stage.came.clear();
    stage.outwait();
    assert_eq!(stage.texts(), ["unread\n", "new\n"]);
}

#[test]
fn a_file_that_was_cut_in_the_middle_meanwhile_is_read_again_and_counted() {
    let first = "x".repeat(70) + "\n";
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", &(first.clone() + "two\nthree\n"))]);
    stage.read_all();
    stage.truncate("log", 75);
    stage.append("log", "four\n");
    stage.came.clear();
    stage.stop_and_start();
    stage.read_all();
    assert_eq!(stage.texts(), [&first, "two\n", "four\n"]);
    assert_eq!(stage.counted(Metric::FilesReread), 1);
}

#[test]
fn two_files_that_are_one_now_are_read_from_where_the_less_read_one_was() {
    let text = "line\n".repeat(300);
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &text)]);
    stage.look();
    stage.read(250);
    stage.books.ack(1);
    let early = stage.known();
    stage.read_all();
    stage.books.ack(1);
    let mut known = stage.known();
    known.extend(early);
    stage.copy("log", "log.1");
    stage.remove("log");
    stage.came.clear();
    stage.restart(known);
    stage.read_all();
    assert_eq!(stage.came.len(), 50);
}

#[test]
fn what_was_read_of_a_copied_file_and_not_safe_is_read_again_from_its_copy() {
    for read in [1, 250] {
        let text: String = (0..300).map(|number| format!("line {number}\n")).collect();
        let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &text)]);
        stage.look();
        stage.read(read);
        stage.copy("log", "log.1");
        stage.truncate("log", 0);
        stage.read_all();
        let known = stage.known();
        stage.came.clear();
        stage.restart(known);
        stage.read_all();
        assert_eq!(stage.texts().concat(), text, "nothing was acked");
    }
}

#[test]
fn what_can_be_read_again_is_gone_on_with_as_soon_as_it_is_heard_of() {
    let disk = Simulated::new();
    let mut stage = Stage::simulated("log", disk.clone());
    stage.append("log", &"line\n".repeat(300));
    stage.read_all();
    disk.set_refusal(&stage.path("log"), Some(Refusal::Open)).unwrap();
    stage.stop_and_start();
    stage.append("log", "unread\n");
    disk.mend();
    stage.came.clear();
    stage.look_at(&["log"]);
    while stage.read(usize::MAX) {}
    assert_eq!(stage.texts(), ["unread\n"]);
}

#[test]
fn what_was_rotated_after_a_file_that_could_not_be_read_is_read() {
    let disk = Simulated::new();
    let mut stage = Stage::simulated("log", disk.clone());
    stage.append("log", &"line\n".repeat(300));
    stage.read_all();
    stage.append("log", "unread\n");
    disk.set_refusal(&stage.path("log"), Some(Refusal::Open)).unwrap();
    stage.stop_and_start();
    stage.came.clear();
    stage.rename("log", "log.2");
    stage.append("log.1", "between\n");
    disk.mend();
    stage.outwait();
    assert_eq!(stage.texts(), ["unread\n", "between\n"]);
}

#[test]
fn a_copy_waits_for_its_original_that_cannot_be_read() {
    for refusal in [Refusal::Open, Refusal::Read] {
        let disk = Simulated::new();
        let mut stage = Stage::simulated("log*", disk.clone());
        stage.append("log", &"line\n".repeat(300));
        stage.copy("log", "log.1");
        stage.read_all();
        stage.append("log", "more\n");
        stage.read_all();
        disk.set_refusal(&stage.path("log"), Some(refusal)).unwrap();
        stage.stop_and_start();
        stage.came.clear();
        stage.read_all();
        disk.mend();
        stage.read_all();
        assert!(stage.came.is_empty(), "{refusal:?}");
        assert_eq!(stage.counted(Metric::FilesReread), 0, "{refusal:?}");
    }
}

#[test]
fn what_was_seen_and_not_read_is_counted_where_it_is_gone_after_a_restart() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", &"line\n".repeat(300))]);
    stage.look();
    stage.append("log", &"line\n".repeat(10));
    stage.look();
    let known = stage.known();
    stage.remove("log");
    stage.restart(known);
    stage.outwait();
    assert_eq!(stage.counted(Metric::BytesLost), 1550);
}
