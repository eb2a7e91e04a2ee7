//! Renaming, removing, linking: a name is not the file, and no byte is lost or repeated by it.

use std::fs;

use super::super::InitialPosition;
use super::stage::{GRACE, Stage};
use crate::metrics::Metric;

/// A file `log` is read to its end; then `act` happens without a look in between. What comes behind that is
/// `expected`.
#[track_caller]
fn check(pattern: &str, act: impl FnOnce(&mut Stage), expected: &[&str]) {
    let mut stage = Stage::new(pattern, InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    act(&mut stage);
    stage.read_all();
    assert_eq!(stage.texts(), [&["one\n"], expected].concat());
    assert_eq!(stage.counted(Metric::FilesReread), 0);
    assert_eq!(stage.counted(Metric::BytesLost), 0);
}

#[test]
fn a_renamed_file_is_read_on_and_the_new_one_from_its_beginning() {
    let act = |stage: &mut Stage| {
        stage.append("log", "two\n");
        stage.rename("log", "log.1");
        stage.append("log", "three\n");
        stage.append("log.1", "late\n");
    };
    check("log*", act, &["two\n", "late\n", "three\n"]);
    check("log", act, &["two\n", "late\n", "three\n"]);
}

#[test]
fn two_rotations_between_two_looks_repeat_nothing() {
    let act = |stage: &mut Stage| {
        stage.rename("log", "log.1");
        stage.append("log", "two\n");
        stage.rename("log.1", "log.2");
        stage.rename("log", "log.1");
        stage.append("log", "three\n");
    };
    check("log*", act, &["three\n", "two\n"]);
}

#[test]
fn a_removed_file_is_read_to_its_end() {
    let act = |stage: &mut Stage| {
        stage.append("log", "two\n");
        stage.remove("log");
    };
    check("log", act, &["two\n"]);
}

#[test]
fn a_file_that_is_removed_and_made_again_is_a_new_one() {
    let act = |stage: &mut Stage| {
        stage.remove("log");
        stage.append("log", "two\n");
    };
    check("log", act, &["two\n"]);
}

#[test]
fn a_second_name_is_no_second_file_and_no_rotation() {
    let act = |stage: &mut Stage| {
        fs::hard_link(stage.path("log"), stage.path("a-log")).unwrap();
        stage.look();
        stage.append("log", "two\n");
        assert_eq!(stage.counted(Metric::FilesRotated), 0);
    };
    check("*log", act, &["two\n"]);
}

#[test]
fn a_link_that_leads_elsewhere_is_another_file() {
    let act = |stage: &mut Stage| {
        stage.append("first", "one of first\n");
        stage.append("second", "one of second\n");
        std::os::unix::fs::symlink(stage.path("first"), stage.path("log.link")).unwrap();
        stage.read_all();
        stage.append("first", "two of first\n");
        stage.remove("log.link");
        std::os::unix::fs::symlink(stage.path("second"), stage.path("log.link")).unwrap();
    };
    check("log*", act, &["one of first\n", "two of first\n", "one of second\n"]);
}

#[test]
fn a_finished_file_that_comes_back_is_not_read_again() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &"line\n".repeat(300))]);
    stage.read_all();
    stage.rename("log", "gone");
    stage.outwait();
    stage.outwait();
    assert_eq!(stage.counted(Metric::OpenFiles), 0);
    stage.rename("gone", "log.1");
    stage.append("log.1", "new\n");
    stage.read_all();
    assert_eq!((stage.came.len(), stage.came.last().map(|came| came.text.as_str())), (301, Some("new\n")));
}

/// In the middle of a rotation a name has left one place and is not seen at the other.
#[test]
fn a_finished_file_that_one_look_misses_is_not_read_again() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    stage.rename("log", "log.1");
    stage.outwait();
    stage.rename("log.1", "hidden");
    stage.look();
    stage.rename("hidden", "log.2");
    stage.read_all();
    assert_eq!(stage.texts(), ["one\n"]);
    assert_eq!(stage.books.ended.len(), 0);
}

#[test]
fn a_begun_line_comes_when_its_file_is_finished_and_only_then() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "one\nbeg")]);
    stage.read_all();
    stage.rename("log", "log.1");
    stage.read_all();
    assert_eq!(stage.texts(), ["one\n"]);
    stage.outwait();
    assert_eq!(stage.texts(), ["one\n", "beg"]);
    stage.outwait();
    assert_eq!(stage.books.ended.len(), 1);
}

#[test]
fn a_line_is_not_torn_while_its_writer_writes() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    stage.rename("log", "log.1");
    stage.read_all();
    stage.pass(GRACE);
    stage.append("log.1", "beg");
    stage.read_all();
    stage.append("log.1", "un\n");
    stage.read_all();
    assert_eq!(stage.texts(), ["one\n", "begun\n"]);
}

#[test]
fn what_is_written_just_before_a_finished_file_goes_is_read() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    stage.rename("log", "log.1");
    stage.outwait();
    stage.append("log.1", "two\n");
    stage.remove("log.1");
    stage.outwait();
    assert_eq!(stage.texts(), ["one\n", "two\n"]);
}

/// Reading `/proc/self/mem` fails, for root as well.
#[test]
fn what_cannot_be_read_stops_nothing_else() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", "one\n")]);
    std::os::unix::fs::symlink("/proc/self/mem", stage.path("log.bad")).unwrap();
    fs::create_dir(stage.path("log.directory")).unwrap();
    nix::unistd::mkfifo(&stage.path("log.pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    stage.append("log.z", "z\n");
    stage.read_all();
    assert_eq!(stage.texts(), ["one\n", "z\n"]);
}

#[test]
fn names_that_are_not_utf_8_are_names() {
    use std::os::unix::ffi::OsStrExt;
    let mut stage = Stage::new("log*", InitialPosition::Start, &[]);
    fs::write(stage.path("").join(std::ffi::OsStr::from_bytes(b"log\xff")), "one\n").unwrap();
    stage.read_all();
    assert_eq!(stage.texts(), ["one\n"]);
}

#[test]
fn the_sum_of_what_is_behind_is_that_of_the_files() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", "one\ntwo\n"), ("log.1", "x\n")]);
    stage.look();
    assert_eq!(stage.counted(Metric::LagBytes), 10);
    stage.read(1);
    stage.look();
    assert_eq!(stage.counted(Metric::LagBytes), 6);
    stage.truncate("log.1", 0);
    stage.remove("log");
    stage.look();
    assert_eq!(stage.counted(Metric::LagBytes), 4);
    stage.outwait();
    assert_eq!(stage.counted(Metric::LagBytes), 0);
}
