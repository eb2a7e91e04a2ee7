//! From which file lines say that they are: the same through renames, copies, restarts and crashes, and another where
//! the file holds something else.

use super::super::InitialPosition;
use super::stage::Stage;
use crate::position::Mark;

/// A line with a number of its own all along, long enough for a whole head.
fn line(number: usize) -> String {
    format!("{number:04}").repeat(275) + "\n"
}

/// Of `log`, the first line is read and safe; then `act` happens. These lines came, each with its file: the first file
/// of which any came is 0, the next 1.
#[track_caller]
fn check(act: impl FnOnce(&mut Stage), expected: &[(usize, usize)]) {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &line(1))]);
    stage.read_all();
    stage.books.ack(usize::MAX);
    act(&mut stage);
    let mut marks: Vec<Mark> = Vec::new();
    let mut came = Vec::new();
    for it in &stage.came {
        let mark = it.place.0;
        let file = marks.iter().position(|known| *known == mark).unwrap_or(marks.len());
        if file == marks.len() {
            marks.push(mark);
        }
        came.push((it.text.get(..4).unwrap().parse::<usize>().unwrap(), file));
    }
    assert_eq!(came, expected, "{marks:?}");
}

fn crash(stage: &mut Stage) {
    let known = stage.known();
    stage.restart(known);
    stage.read_all();
}

#[test]
fn a_file_stays_the_same_through_renames_and_restarts() {
    let act = |stage: &mut Stage| {
        stage.rename("log", "log.1");
        stage.append("log.1", &line(2));
        stage.append("log", &line(3));
        stage.read_all();
        stage.stop_and_start();
        stage.append("log.1", &line(4));
        stage.read_all();
    };
    check(act, &[(1, 0), (2, 0), (3, 1), (4, 0)]);
}

#[test]
fn a_file_that_no_checkpoint_knows_is_the_same_after_a_crash() {
    let act = |stage: &mut Stage| {
        let known = stage.known();
        stage.append("log.new", &line(2));
        stage.read_all();
        stage.restart(known);
        stage.read_all();
    };
    check(act, &[(1, 0), (2, 1), (2, 1)]);
}

#[test]
fn what_was_written_after_a_truncation_is_another_file_and_the_same_after_a_crash() {
    let act = |stage: &mut Stage| {
        let known = stage.known();
        stage.rewrite("log", &line(2));
        stage.read_all();
        stage.restart(known);
        stage.read_all();
        crash(stage);
    };
    check(act, &[(1, 0), (2, 1), (2, 1), (2, 1)]);
}

#[test]
fn a_copy_is_what_its_original_was_also_after_a_crash() {
    let act = |stage: &mut Stage| {
        let known = stage.known();
        stage.append("log", &line(2));
        stage.copy("log", "log.1");
        stage.rewrite("log", &line(3));
        stage.read_all();
        stage.restart(known);
        stage.read_all();
    };
    check(act, &[(1, 0), (2, 0), (3, 1), (2, 0), (3, 1)]);
}

#[test]
fn a_file_that_begins_as_before_but_was_cut_is_another() {
    let act = |stage: &mut Stage| {
        stage.append("log", &line(2));
        stage.read_all();
        stage.books.ack(usize::MAX);
        let known = stage.known();
        stage.truncate("log", 1101);
        stage.append("log", &line(3));
        stage.read_all();
        stage.restart(known);
        stage.read_all();
        stage.truncate("log", 1101);
        stage.look();
        // Not a line of it was read, but a checkpoint knows that it was cut.
        stage.append("log", &line(4));
        crash(stage);
    };
    check(act, &[(1, 0), (2, 0), (1, 1), (3, 1), (1, 2), (3, 2), (1, 3), (4, 3)]);
}

#[test]
fn a_file_that_is_written_anew_with_the_same_first_line_is_another() {
    let act = |stage: &mut Stage| {
        stage.append("log", &line(2));
        stage.read_all();
        stage.rewrite("log", &line(1));
        stage.read_all();
        stage.append("log", &line(3));
        stage.read_all();
    };
    check(act, &[(1, 0), (2, 0), (1, 1), (3, 1)]);
}

/// The copy is read from where its original ends, and goes on otherwise than that.
#[test]
fn a_copy_of_which_the_original_went_on_is_another() {
    let act = |stage: &mut Stage| {
        stage.copy("log", "log.1");
        stage.append("log", &line(2));
        stage.remove("log");
        stage.read_all();
        stage.append("log.1", &line(3));
        stage.read_all();
    };
    check(act, &[(1, 0), (2, 0), (3, 1)]);
}
