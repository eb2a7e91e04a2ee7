//! Truncation, rewriting and copies: what is gone is counted, what is left is read, and a copy is no new file.

use super::super::InitialPosition;
use super::simulated::Simulated;
use super::stage::Stage;
use crate::metrics::Metric;
use crate::position::Tail;

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
fn a_file_moved_to_another_file_system_is_read_on_where_its_writer_has_it_open() {
    let act = |stage: &mut Stage| {
        let writer = stage.open_to_write("log");
        stage.copy("log", "log.1");
        stage.remove("log");
        stage.look();
        stage.append_to(&*writer, &lines(100, 10));
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

/// Nothing tells it from another file with the same heading.
#[test]
fn a_copy_that_goes_on_otherwise_than_its_original_is_read_again_and_counted() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.look();
    stage.read(60);
    stage.copy("log", "log.1");
    stage.truncate("log", 1600);
    stage.append("log", &lines(100, 10));
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, 80) + &lines(100, 10) + &lines(0, 100));
    assert_eq!(stage.counted(Metric::FilesReread), 1);
}

/// A log of 100 lines is read and copied, and 5 more lines are written to it. After `before` these are read, the log is
/// emptied and 5 lines are written to it; after `behind`, each line has come once, and one truncation is counted.
#[track_caller]
fn check_short_copy(before: impl FnOnce(&mut Stage), behind: impl FnOnce(&mut Stage)) {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.read_all();
    stage.copy("log", "log.1");
    stage.append("log", &lines(100, 5));
    before(&mut stage);
    stage.look_at(&["log"]);
    stage.read(5);
    stage.rewrite("log", &lines(105, 5));
    behind(&mut stage);
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, 110));
    let counted = [Metric::FilesReread, Metric::FilesTruncated, Metric::BytesLost];
    assert_eq!(counted.map(|metric| stage.counted(metric)), [0, 1, 0]);
    stage.append("log.1", &lines(110, 1));
    stage.stop_and_start();
    stage.read_all();
    assert_eq!(stage.texts().concat(), lines(0, 111), "it is remembered, and read on where it grows");
}

#[test]
fn a_copy_that_ends_before_what_was_read_is_no_new_file() {
    check_short_copy(|_| {}, |_| {});
    check_short_copy(|stage| stage.look(), |_| {});
}

#[test]
fn a_copy_that_is_met_before_its_emptied_original_is_no_new_file() {
    check_short_copy(|_| {}, |stage| stage.look_at(&["log.1"]));
    check_short_copy(|stage| stage.look(), |stage| stage.look_at(&["log.1"]));
}

#[test]
fn a_copy_beside_its_original_is_remembered_through_a_restart() {
    let stop_and_start = |stage: &mut Stage| {
        stage.look();
        stage.stop_and_start();
    };
    check_short_copy(stop_and_start, |_| {});
    check_short_copy(stop_and_start, |stage| stage.stop_and_start());
    check_short_copy(|stage| stage.look(), |stage| stage.stop_and_start());
}

#[test]
fn a_copy_that_is_renamed_is_still_the_copy() {
    check_short_copy(
        |stage| {
            stage.look();
            stage.rename("log.1", "log.2");
            stage.look();
            stage.rename("log.2", "log.1");
        },
        |stage| stage.stop_and_start(),
    );
}

#[test]
fn a_truncation_is_counted_though_its_copy_is_met_first() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.look();
    stage.read(60);
    stage.copy("log", "log.1");
    stage.truncate("log", 0);
    stage.look_at(&["log.1"]);
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, 100));
    assert_eq!(stage.counted(Metric::FilesTruncated), 1);
}

#[test]
fn a_copy_that_was_just_begun_before_its_original_was_emptied_is_no_new_file() {
    let whole = lines(0, 100);
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &whole)]);
    stage.read_all();
    stage.append("log.1", "");
    stage.look();
    stage.append("log.1", &whole);
    stage.rewrite("log", &lines(100, 10));
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, 110));
}

/// However much of a copy is there when it is looked at, while it is being made.
#[test]
fn a_copy_that_is_being_made_is_left_alone() {
    let whole = lines(0, 100);
    for part in [0, 100, 1060, 1999] {
        let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &whole)]);
        stage.read_all();
        let (begun, rest) = whole.split_at(part);
        stage.append("log.1", begun);
        stage.look_at(&["log.1"]);
        stage.append("log.1", rest);
        stage.append("log", &lines(100, 10));
        stage.read_all();
        stage.rewrite("log", &lines(110, 10));
        stage.outwait();
        let repeated = if part == 100 { lines(0, 100) } else { String::new() };
        let mut came = stage.texts();
        came.sort_unstable();
        let mut expected: Vec<&str> = repeated.split_inclusive('\n').collect();
        let all = lines(0, 120);
        expected.extend(all.split_inclusive('\n'));
        expected.sort_unstable();
        assert_eq!(came, expected, "after {part} bytes");
    }
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

/// It was seen when it was half of what it became, and ends before what was read of its original.
#[test]
fn a_copy_that_grew_is_remembered_to_its_end() {
    let whole = lines(0, 200);
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &whole)]);
    stage.append("log.1", &lines(0, 150));
    stage.read_all();
    stage.append("log.1", &lines(150, 50));
    stage.look();
    stage.append("log", &lines(200, 10));
    stage.read_all();
    stage.books.ack(usize::MAX);
    let known = stage.known();
    stage.kill();
    stage.truncate("log", 0);
    stage.restart(known);
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, 210));
    assert_eq!(stage.counted(Metric::FilesReread), 0);
}

#[test]
fn a_copy_that_is_gone_is_remembered_no_more() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &lines(0, 200))]);
    stage.copy("log", "log.1");
    stage.read_all();
    assert!(stage.known().iter().any(|known| known.beside));
    stage.remove("log.1");
    stage.look();
    assert!(!stage.known().iter().any(|known| known.beside));
}

/// Of two copies of a log that was not read before it was emptied, the later one is read. The pattern leads to none.
#[track_caller]
fn check_earlier_copy(more: u32, came_again: u32, reread: u64) {
    let mut stage = Stage::simulated("log", Simulated::new());
    stage.append("log", &lines(0, 200));
    stage.look();
    stage.copy("log", "log.2");
    stage.append("log", &lines(200, more));
    stage.copy("log", "log.1");
    stage.truncate("log", 0);
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, 200 + more));
    stage.came.clear();
    stage.remove("log");
    stage.outwait();
    assert_eq!(stage.texts().concat(), lines(0, came_again));
    assert_eq!(stage.counted(Metric::FilesReread), reread);
}

#[test]
fn an_earlier_copy_is_told_by_what_was_read_of_a_later_one() {
    check_earlier_copy(100, 0, 0);
}

/// Its end is more than can be proved behind what was read last.
#[test]
fn an_earlier_copy_that_cannot_be_told_is_read_again_and_counted() {
    check_earlier_copy(10_000, 200, 1);
}

/// What is read after a truncation that nobody has looked at is not taken for the rest of what was there, though its lines
/// end where others did, and like them.
#[test]
fn lines_that_end_alike_do_not_hide_a_truncation() {
    let lines = |first: usize, count: usize| -> Vec<String> {
        (first..first + count)
            .map(|number| format!("{number:05} {}\n", "-".repeat(2 * Tail::BYTES)))
            .collect()
    };
    let mut stage = Stage::simulated("log", Simulated::new());
    stage.append("log", &lines(0, 40).concat());
    stage.read_all();
    stage.append("log", &lines(40, 10).concat());
    stage.copy("log", "log.1");
    stage.rewrite("log", &lines(50, 60).concat());
    stage.look_where_told(usize::MAX);
    while stage.read(usize::MAX) {}
    stage.outwait();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, lines(0, 110));
    assert_eq!(stage.counted(Metric::BytesLost), 0);
}

/// Of a log that holds 100 lines, so many are seen. Then it is copied and emptied twice before anybody looks again.
#[track_caller]
fn check_unseen_copies(seen: u32, reread: u64) {
    let mut stage = Stage::simulated("log", Simulated::new());
    stage.append("log", &lines(0, seen));
    stage.read_all();
    stage.append("log", &lines(seen, 100 - seen));
    stage.copy("log", "log.2");
    stage.rewrite("log", &lines(100, 100));
    stage.copy("log", "log.1");
    stage.rewrite("log", &lines(200, 10));
    stage.outwait();
    let mut came = stage.texts();
    came.sort_unstable();
    came.dedup();
    assert_eq!(came.concat(), lines(0, 210));
    let again = u64::from(reread > 0) * u64::from(seen);
    assert_eq!(stage.came.len() as u64, 210 + again);
    assert_eq!(stage.counted(Metric::FilesReread), reread);
}

#[test]
fn what_was_copied_and_emptied_twice_unseen_is_read() {
    check_unseen_copies(60, 0);
}

#[test]
fn what_was_copied_before_enough_of_it_was_seen_is_read_again_and_counted() {
    check_unseen_copies(10, 1);
}
