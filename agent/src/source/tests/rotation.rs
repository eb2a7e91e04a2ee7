//! Renaming, removing, linking: a name is not the file, and no byte is lost or repeated by it.

use std::fs;

use super::super::{InitialPosition, POLL};
use super::simulated::Simulated;
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

#[test]
fn a_file_that_moves_to_another_directory_in_reach_is_the_same() {
    let mut stage = Stage::new("**/log", InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    fs::create_dir(stage.path("old")).unwrap();
    stage.append("log", "two\n");
    stage.rename("log", "old/log");
    stage.append("log", "three\n");
    stage.read_all();
    stage.append("old/log", "four\n");
    stage.stop_and_start();
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, ["four\n", "one\n", "three\n", "two\n"]);
}

#[test]
fn a_new_name_each_period_with_a_link_to_it_is_one_file_after_the_other() {
    for pattern in ["log.*", "log*", "log"] {
        let mut stage = Stage::new(pattern, InitialPosition::Start, &[]);
        for period in 0..5 {
            let name = format!("log.{}", 1_763_800_000 + 300 * period);
            stage.append(&name, &format!("{period} first\n"));
            fs::remove_file(stage.path("log")).ok();
            fs::hard_link(stage.path(&name), stage.path("log")).unwrap();
            stage.read_all();
            stage.append("log", &format!("{period} second\n"));
            if period == 2 {
                stage.read_all();
                stage.stop_and_start();
            }
            // Just before the end of a period, unseen.
            stage.append(&name, &format!("{period} third\n"));
        }
        stage.read_all();
        let mut came = stage.texts();
        came.sort_unstable();
        let written =
            (0..5).flat_map(|period| ["first", "second", "third"].map(|line| format!("{period} {line}\n")));
        assert_eq!(came, written.collect::<Vec<_>>(), "{pattern}");
    }
}

/// A link is led on over several periods while nobody looks. Beside it are files of another log.
#[track_caller]
fn check_link_led_on(link: impl Fn(&mut Stage, &str), restarts: bool) {
    let mut stage = Stage::simulated("current", Simulated::new());
    for period in 0..6 {
        let name = format!("access_log.{}", 1_763_800_000 + 300 * period);
        stage.append(&format!("error_log.{}", 1_763_800_000 + 300 * period), "not of this log\n");
        stage.append(&name, &format!("{period} first\n"));
        if period > 0 {
            stage.remove("current");
        }
        link(&mut stage, &name);
        if period % 3 == 0 {
            stage.read_all();
        }
        stage.append(&name, &format!("{period} second\n"));
        if period % 3 == 0 && restarts {
            let known = stage.known();
            stage.kill();
            stage.restart(known);
        }
    }
    stage.read_all();
    let mut came: Vec<String> = stage.texts().into_iter().map(str::to_owned).collect();
    came.sort_unstable();
    came.dedup();
    let written = (0..6).flat_map(|period| ["first", "second"].map(|line| format!("{period} {line}\n")));
    assert_eq!(came, written.collect::<Vec<_>>());
}

#[test]
fn what_a_link_led_to_while_nobody_looked_is_read() {
    for restarts in [false, true] {
        check_link_led_on(|stage, name| stage.link(name, "current"), restarts);
        check_link_led_on(|stage, name| stage.symlink(name, "current"), restarts);
    }
}

#[test]
fn files_that_begin_alike_are_told_apart() {
    let head = "the same heading in each of them\n".repeat(100);
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log.a", &head)]);
    stage.read_all();
    stage.append("log.b", &head);
    stage.read_all();
    stage.append("log.a", "a\n");
    stage.append("log.b", "b\n");
    stage.read_all();
    stage.rename("log.a", "log.x");
    stage.rename("log.b", "log.a");
    stage.append("log.x", "a again\n");
    stage.append("log.a", "b again\n");
    stage.stop_and_start();
    stage.read_all();
    let mut came: Vec<&str> = stage.texts().into_iter().filter(|text| !head.contains(text)).collect();
    came.sort_unstable();
    assert_eq!((came, stage.came.len()), (vec!["a\n", "a again\n", "b\n", "b again\n"], 204));
}

#[test]
fn an_empty_file_is_a_file() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", ""), ("log.other", "")]);
    stage.read_all();
    stage.rename("log", "log.1");
    stage.append("log", "");
    stage.append("log.1", "one\n");
    stage.stop_and_start();
    stage.append("log", "two\n");
    stage.append("log.other", "three\n");
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, ["one\n", "three\n", "two\n"]);
}

#[test]
fn what_has_left_is_looked_at_the_less_often_the_longer_nobody_writes_to_it() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "a\n")]);
    stage.read_all();
    stage.rename("log", "away");
    stage.look();
    let mut looks = Vec::new();
    for second in 0..80 {
        let before = stage.source().files.table.iter().map(|(_, tailed)| tailed.polled).max();
        stage.glance(POLL);
        stage.read(usize::MAX);
        let after = stage.source().files.table.iter().map(|(_, tailed)| tailed.polled).max();
        if after > before {
            looks.push(second);
        }
    }
    let gaps: Vec<u64> = looks.windows(2).map(|looks| looks[1] - looks[0]).collect();
    assert!(gaps.is_sorted() && gaps.first() == Some(&1) && gaps.last() >= Some(&8), "{looks:?}");
    // Before anything is thought to be over, it is looked at once more.
    stage.append("away", "b\n");
    stage.outwait();
    assert_eq!(stage.texts(), ["a\n", "b\n"]);
}
