//! Truncation, rewriting and copies: what is gone is counted, what is left is read, and a copy is no new file.

use super::super::InitialPosition;
use super::stage::Stage;
use crate::metrics::Metric;

/// `count` lines of 20 bytes, each with its number from `first` on.
fn lines(first: u32, count: u32) -> String {
    (first..first + count).map(|number| format!("line {number:014}\n")).collect()
}

/// Of `log`, which holds 100 lines, `read` are read and then `act` happens. Then the lines from `first` to 109 come,
/// and these bytes are lost.
#[track_caller]
fn check(pattern: &str, read: usize, act: impl FnOnce(&mut Stage), first: u32, lost: u64) {
    let mut stage = Stage::new(pattern, InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.look();
    if read > 0 {
        stage.read(read);
    }
    act(&mut stage);
    stage.outwait();
    let came: String = stage.came.split_off(read).into_iter().map(|came| came.text).collect();
    let mut came: Vec<&str> = came.split_inclusive('\n').collect();
    came.sort_unstable();
    assert_eq!(came.concat(), lines(first, 110 - first));
    assert_eq!(stage.counted(Metric::BytesLost), lost);
    assert_eq!(stage.counted(Metric::FilesReread), 0);
}

#[test]
fn a_file_that_was_emptied_is_read_from_its_beginning() {
    check("log", 100, |stage| stage.rewrite("log", &lines(100, 10)), 100, 0);
}

#[test]
fn a_file_that_was_rewritten_in_the_same_or_a_larger_size_is_read_from_its_beginning() {
    check("log", 100, |stage| stage.rewrite("log", &lines(10, 100)), 10, 0);
    check("log", 80, |stage| stage.rewrite("log", &lines(5, 105)), 5, 400);
}

#[test]
fn what_was_known_and_not_read_is_counted_when_it_is_cut_away() {
    check("log", 90, |stage| stage.rewrite("log", &lines(100, 10)), 100, 200);
    check("log", 0, |stage| stage.rewrite("log", &lines(100, 10)), 100, 2000);
}

#[test]
fn what_was_emptied_before_its_first_line_was_read_is_counted_though_nobody_looked() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", &lines(0, 3))]);
    stage.look();
    stage.rewrite("log", &lines(3, 1));
    stage.read(1);
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(3, 1));
    assert_eq!(stage.counted(Metric::BytesLost), 60);
}

#[test]
fn what_is_cut_away_behind_the_position_is_counted() {
    let act = |stage: &mut Stage| {
        stage.truncate("log", 1900);
        stage.look();
        stage.append("log", &lines(95, 15));
    };
    check("log", 90, act, 90, 100);
}

#[test]
fn a_copy_gives_what_its_original_lost() {
    let act = |stage: &mut Stage| {
        stage.copy("log", "log.1");
        stage.rewrite("log", &lines(100, 10));
    };
    check("log", 60, act, 60, 0);
    check("log*", 60, act, 60, 0);
    check("log*", 100, act, 100, 0);
}

#[test]
fn a_copy_that_sorts_before_its_original_is_a_copy() {
    let act = |stage: &mut Stage| {
        stage.copy("log", "a-log");
        stage.rewrite("log", &lines(100, 10));
    };
    check("*log", 60, act, 60, 0);
}

#[test]
fn a_copy_beside_its_original_is_left_until_that_is_emptied() {
    let act = |stage: &mut Stage| {
        stage.copy("log", "log.1");
        stage.append("log", &lines(100, 5));
        stage.look();
        stage.read(25);
        stage.rewrite("log", &lines(105, 5));
    };
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.look();
    stage.read(60);
    act(&mut stage);
    stage.outwait();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came.concat(), lines(0, 100) + &lines(105, 5), "only what the copy has not is missing");
    assert_eq!(stage.counted(Metric::BytesLost), 100);
}

#[test]
fn a_file_moved_to_another_file_system_is_read_on_there() {
    let act = |stage: &mut Stage| {
        stage.copy("log", "log.1");
        stage.remove("log");
        stage.look();
        stage.append("log.1", &lines(100, 10));
    };
    check("log*", 60, act, 60, 0);
}

#[test]
fn what_was_written_after_the_copy_and_before_the_removal_is_read() {
    let act = |stage: &mut Stage| {
        stage.copy("log", "log.1");
        stage.append("log", &lines(100, 10));
        stage.remove("log");
    };
    check("log*", 60, act, 60, 0);
}

#[test]
fn a_copy_that_holds_more_than_its_original_is_read() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.look();
    stage.read(60);
    stage.copy("log", "log.1");
    stage.truncate("log", 1600);
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, 60) + &lines(60, 20) + &lines(0, 100));
    assert_eq!(stage.counted(Metric::FilesReread), 1);
}

#[test]
fn a_copy_of_a_short_file_is_read_again_and_counted() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    stage.copy("log", "log.1");
    stage.truncate("log", 0);
    stage.read_all();
    assert_eq!(stage.texts(), ["one\n", "one\n"]);
    assert_eq!(stage.counted(Metric::FilesReread), 1);
}

#[test]
fn a_file_cut_in_the_middle_of_what_was_read_is_read_again_and_counted() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.read_all();
    stage.truncate("log", 1200);
    stage.read_all();
    assert_eq!(stage.came.len(), 160);
    assert_eq!(stage.counted(Metric::FilesReread), 1);
}

#[test]
fn nuls_before_a_line_are_skipped_and_counted() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.read_all();
    stage.truncate("log", 0);
    stage.truncate("log", 700_000);
    stage.append("log", "after\n");
    stage.read_all();
    assert_eq!(stage.texts().last(), Some(&"after\n"));
    assert_eq!(stage.counted(Metric::NulBytesSkipped), 700_000);
}
