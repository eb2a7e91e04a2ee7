//! Records of several lines, headers and footers: what comes does not depend on when it was written, on polls, or on
//! restarts.

use std::time::Duration;

use super::super::InitialPosition;
use super::stage::Stage;
use crate::expression::Expression;
use crate::layout::{Layout, Records};
use crate::metrics::Metric;

/// How long the last record is held: longer than some looks take.
const IDLE: Duration = Duration::from_secs(20);

/// Records that begin with a line that begins with `[`, the last held for `idle`.
fn brackets(idle: Duration) -> Layout {
    let pattern = Expression::at_start(r"\[").unwrap();
    Layout { records: Records::BeginningWith { pattern, idle }, ..Layout::default() }
}

/// `lines` lines of header, and a footer `#END`.
fn framed(lines: u64) -> Layout {
    let footer = Some(Expression::whole("#END").unwrap());
    Layout { header_lines: lines, footer, ..Layout::default() }
}

fn stage(layout: Layout, files: &[(&str, &str)]) -> Stage {
    Stage::with(layout, "log*", InitialPosition::Start, files)
}

/// `log` grows by each of `pieces`, with a look behind each that does `between`; then nothing more is written. These
/// records come.
#[track_caller]
fn check_pieces(idle: Duration, pieces: &[&str], mut between: impl FnMut(&mut Stage), expected: &[&str]) {
    let mut stage = stage(brackets(idle), &[]);
    for piece in pieces {
        stage.append("log", piece);
        stage.read_all();
        between(&mut stage);
    }
    stage.pass(idle);
    stage.read_all();
    assert_eq!(stage.texts(), expected);
}

const PIECES: [&str; 5] = ["[a\n at x\n", " at y\n", " at", " z\n[b", "\n[c\n at w\n"];
const WHOLE: [&str; 3] = ["[a\n at x\n at y\n at z\n", "[b\n", "[c\n at w\n"];

#[test]
fn lines_that_are_written_later_belong_to_their_record() {
    check_pieces(IDLE, &PIECES, |_| {}, &WHOLE);
}

#[test]
fn a_kill_between_them_does_not_tear_them_apart() {
    let kill = |stage: &mut Stage| {
        stage.books.ack(usize::MAX);
        let known = stage.known();
        stage.restart(known);
    };
    check_pieces(IDLE, &PIECES, kill, &WHOLE);
}

#[test]
fn a_record_counts_as_whole_when_nobody_has_written_for_the_idle_time() {
    let pause = |stage: &mut Stage| {
        stage.pass(IDLE);
        stage.read_all();
    };
    let torn = ["[a\n at x\n", " at y\n", " at z\n", "[b\n", "[c\n at w\n"];
    check_pieces(IDLE, &PIECES, pause, &torn);
}

/// What was written is seen when the time has passed, if not before, and then it counts anew.
#[test]
fn a_line_that_nobody_told_of_is_waited_for_like_others() {
    let second = Duration::from_secs(1);
    let mut stage = stage(brackets(second), &[]);
    stage.append("log", "[a\n");
    stage.read_all();
    stage.append("log", " at x\n");
    stage.glance(second);
    assert!(!stage.read(usize::MAX), "it grew");
    stage.glance(second);
    assert!(stage.read(usize::MAX));
    assert_eq!(stage.texts(), ["[a\n at x\n"]);
}

#[test]
fn without_an_idle_time_what_is_there_is_taken_as_by_the_java_agent() {
    check_pieces(Duration::ZERO, &["[2024-01] a\n", "  at x\n"], |_| {}, &["[2024-01] a\n", "  at x\n"]);
}

#[test]
fn the_last_record_of_a_finished_file_needs_nothing_behind_it() {
    let mut stage = stage(brackets(4 * super::stage::GRACE), &[("log", "[a\n at x")]);
    stage.read_all();
    stage.rename("log", "old");
    stage.outwait();
    assert_eq!(stage.texts(), ["[a\n at x"]);
    stage.look();
    assert_eq!(stage.counted(Metric::LagBytes), 0);
}

/// What is held is unread: a truncation that takes it away is told, and its copy has it.
#[test]
fn what_is_held_is_found_in_the_copy() {
    let text = format!("[a\n{}", " at x\n".repeat(300));
    let mut stage = stage(brackets(IDLE), &[("log", &format!("{text}[b\n at y\n"))]);
    stage.read_all();
    stage.copy("log", "log.1");
    stage.rewrite("log", "[c\n");
    stage.read_all();
    stage.pass(super::stage::GRACE);
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, [text.as_str(), "[b\n at y\n", "[c\n"]);
    assert_eq!(stage.counted(Metric::BytesLost), 0);
}

#[test]
fn a_header_is_left_out_however_slowly_it_is_written() {
    for restarts in [false, true] {
        let mut stage = stage(framed(3), &[("log", "h1\n")]);
        for piece in ["h", "2\nh3", "\na\n", "b\n"] {
            stage.read_all();
            if restarts {
                stage.stop_and_start();
            }
            stage.append("log", piece);
        }
        stage.read_all();
        assert_eq!(stage.texts(), ["a\n", "b\n"], "restarts: {restarts}");
    }
}

#[test]
fn each_new_file_and_each_truncated_one_has_its_header() {
    let mut stage = stage(framed(1), &[("log", "h\na\n")]);
    stage.read_all();
    stage.rename("log", "log.1");
    stage.append("log", "h\nb\n");
    stage.read_all();
    stage.append("log.1", "late\n");
    stage.rewrite("log", "h\n");
    stage.read_all();
    stage.append("log", "c\n");
    stage.read_all();
    assert_eq!(stage.texts(), ["a\n", "b\n", "late\n", "c\n"]);
}

#[test]
fn a_copy_that_is_read_on_has_its_header_behind_it() {
    let text = format!("h\n{}", "line\n".repeat(300));
    let mut stage = stage(framed(1), &[("log", &text)]);
    stage.read_all();
    stage.append("log", "rest\n");
    stage.copy("log", "log.1");
    stage.rewrite("log", "h\nnew\n");
    stage.came.clear();
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, ["new\n", "rest\n"]);
}

/// Files that all have the same header say other places, and after a kill the same as before.
#[test]
fn a_header_does_not_show_in_what_a_file_is_called() {
    let mut stage = stage(framed(1), &[("log", "h\na\n")]);
    let known = stage.known();
    stage.read_all();
    stage.rewrite("log", "h\nb\n");
    stage.read_all();
    let before: Vec<_> = stage.came.iter().map(|came| came.place).collect();
    assert_ne!(before[0], before[1]);
    assert_eq!(before[1].0.turn, 1, "counted, not drawn");
    stage.came.clear();
    stage.restart(known);
    stage.read_all();
    assert_eq!(stage.came[0].place.0.first, before[1].0.first);
}

#[test]
fn where_reading_begins_at_the_end_the_header_counts_too() {
    for (text, expected) in [("h\nh\nold\n", &["new\n", "more\n"][..]), ("h\n", &["more\n"]), ("", &[])] {
        let mut stage = Stage::with(framed(2), "log", InitialPosition::End, &[("log", text)]);
        stage.append("log", "new\nmore\n");
        stage.read_all();
        assert_eq!(stage.texts(), expected, "{text:?}");
    }
}

/// A file with its footer is read, `act` happens, and this comes beyond what stood before the footer.
#[track_caller]
fn check_footer(act: impl FnOnce(&mut Stage), expected: &[&str]) {
    let text = format!("h\n{}#END\nrest\n", "line\n".repeat(300));
    let mut stage = stage(framed(1), &[("log", &text)]);
    stage.read_all();
    assert_eq!(stage.texts().concat(), "line\n".repeat(300));
    stage.came.clear();
    act(&mut stage);
    stage.read_all();
    assert_eq!(stage.texts(), expected);
    stage.look();
    assert_eq!(stage.counted(Metric::LagBytes), 0, "what is left out is not waited for");
    assert_eq!(stage.counted(Metric::BytesLost), 0);
}

#[test]
fn behind_the_footer_nothing_comes_however_late_it_is_written() {
    check_footer(|stage| stage.append("log", "late\n#END\nlater\n"), &[]);
}

#[test]
fn nor_after_a_restart() {
    check_footer(
        |stage| {
            stage.stop_and_start();
            stage.append("log", "late\n");
        },
        &[],
    );
}

#[test]
fn nor_under_another_name_or_in_a_copy() {
    let moved = |stage: &mut Stage| {
        stage.rename("log", "log.1");
        stage.append("log.1", "late\n");
        stage.append("log", "h\nnew\n#END\nrest\n");
    };
    check_footer(moved, &["new\n"]);
    let copied = |stage: &mut Stage| {
        stage.append("log", "late\n");
        stage.copy("log", "log.1");
        stage.rewrite("log", "h\nnew\n#END\nrest\n");
    };
    check_footer(copied, &["new\n"]);
    let gone = |stage: &mut Stage| {
        stage.append("log", "late\n");
        stage.copy("log", "log.1");
        stage.remove("log");
        stage.stop_and_start();
    };
    check_footer(gone, &[]);
    let moved_by_copy = |stage: &mut Stage| {
        stage.append("log", "late\n");
        stage.copy("log", "log.1");
        stage.remove("log");
    };
    check_footer(moved_by_copy, &[]);
    let brought_back = |stage: &mut Stage| {
        stage.copy("log", "away");
        stage.remove("log");
        stage.outwait();
        stage.rename("away", "log.1");
        stage.append("log.1", "late\n");
    };
    check_footer(brought_back, &[]);
}

/// What stands behind a footer is not missed when it is gone unread, and what stands before it is.
#[test]
fn what_is_left_out_is_not_lost() {
    for (safe, lost) in [(usize::MAX, 0), (0, 2)] {
        let mut stage = stage(framed(0), &[("log", "a\n#END\nrest\n")]);
        stage.read_all();
        stage.append("log", "late\n");
        stage.look();
        stage.books.ack(safe);
        let known = stage.known();
        stage.remove("log");
        stage.restart(known);
        assert_eq!(stage.counted(Metric::BytesLost), lost);
    }
}

/// The footer is known before the lines before it are safe: they come again, and what follows it does not.
#[test]
fn a_kill_before_the_footer_is_safe_loses_nothing_before_it() {
    let mut stage = stage(framed(0), &[("log", "a\nb\n#END\nrest\n")]);
    stage.look();
    stage.read(1);
    stage.books.ack(1);
    stage.read_all();
    stage.append("log", "late\n");
    let known = stage.known();
    assert_eq!(known[0].footer.map(|footer| footer.to_raw()), Some(4));
    stage.came.clear();
    stage.restart(known);
    stage.read_all();
    assert_eq!(stage.texts(), ["b\n"]);
}
