//! Rotations that nobody saw: while the agent was down, or between two looks.

use super::super::InitialPosition;
use super::stage::Stage;
use crate::metrics::Metric;

/// Every name of the log moves one on; then it is written to anew.
fn rotate(stage: &mut Stage, rotations: usize, text: &str) {
    for number in (1..=rotations).rev() {
        stage.rename(&format!("log.{number}"), &format!("log.{}", number + 1));
    }
    stage.rename("log", "log.1");
    stage.append("log", text);
}

/// A stage with a log of which `one` was read, and with what was rotated before the agent ever ran.
fn stage(pattern: &str) -> Stage {
    let files = [("log.2", "older\n"), ("log.1", "old\n"), ("log", "one\n")];
    let mut stage = Stage::new(pattern, InitialPosition::End, &files);
    stage.append("log", "two\n");
    stage.read_all();
    assert_eq!(stage.texts(), ["two\n"]);
    stage.came.clear();
    stage
}

#[test]
fn all_that_was_rotated_while_the_agent_was_down_is_read_the_oldest_first() {
    for pattern in ["log", "log*"] {
        let mut stage = stage(pattern);
        stage.append("log", "three\n");
        rotate(&mut stage, 2, "four\n");
        rotate(&mut stage, 3, "five\n");
        rotate(&mut stage, 4, "six\n");
        stage.stop_and_start();
        stage.read_all();
        let mut came = stage.texts();
        // The live file is read beside the others.
        came.retain(|text| *text != "six\n");
        assert_eq!((came, stage.came.len()), (vec!["three\n", "four\n", "five\n"], 4), "{pattern}");
        assert_eq!(stage.counted(Metric::BytesLost), 0);
        stage.came.clear();
        stage.outwait();
        stage.stop_and_start();
        stage.outwait();
        assert_eq!(stage.texts(), [""; 0], "nothing comes again");
    }
}

#[test]
fn all_that_was_rotated_between_two_looks_is_read() {
    for pattern in ["log", "log*"] {
        let mut stage = stage(pattern);
        stage.append("log", "three\n");
        rotate(&mut stage, 2, "four\n");
        rotate(&mut stage, 3, "five\n");
        stage.read_all();
        let mut came = stage.texts();
        came.sort_unstable();
        assert_eq!(came, ["five\n", "four\n", "three\n"], "{pattern}");
        stage.came.clear();
        rotate(&mut stage, 4, "six\n");
        stage.outwait();
        rotate(&mut stage, 5, "seven\n");
        stage.outwait();
        assert_eq!(stage.texts(), ["six\n", "seven\n"], "{pattern}");
    }
}

#[test]
fn dates_tell_as_well_as_numbers() {
    let files = [("log-20261120", "old\n"), ("log", "one\n")];
    let mut stage = Stage::new("log", InitialPosition::Start, &files);
    stage.read_all();
    stage.came.clear();
    stage.rename("log", "log-20261121");
    stage.append("log", "two\n");
    stage.rename("log", "log-20261122");
    stage.append("log", "three\n");
    stage.stop_and_start();
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, ["three\n", "two\n"]);
}

#[test]
fn where_the_known_file_is_gone_its_time_tells_what_came_after_it() {
    let mut stage = stage("log");
    stage.remove("log.2");
    rotate(&mut stage, 1, "three\n");
    rotate(&mut stage, 2, "four\n");
    // What was known is `log.2` now, and what was there before is `log.3`.
    stage.remove("log.2");
    stage.stop_and_start();
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, ["four\n", "three\n"]);
}

#[test]
fn what_was_rotated_after_a_file_that_is_compressed_already_is_read() {
    for kept_in in ["", "old/"] {
        let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "one\n")]);
        stage.make_directory("old");
        stage.read_all();
        let old = |number: usize| format!("{kept_in}log.{number}");
        stage.rename("log", &old(1));
        stage.append("log", "two\n");
        // The server has not been told yet.
        stage.append(&old(1), "late\n");
        stage.rename(&old(1), &old(2));
        stage.rename("log", &old(1));
        stage.append("log", "three\n");
        stage.remove(&old(2));
        stage.read_all();
        let mut came = stage.texts();
        came.sort_unstable();
        assert_eq!(came, ["late\n", "one\n", "three\n", "two\n"], "rotations in `{kept_in}`");
    }
}

#[test]
fn what_came_and_was_rotated_after_a_look_that_found_no_log_is_read() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    // The server makes the next file by itself, in its own time.
    stage.rename("log", "log.1");
    stage.look();
    stage.append("log", "two\n");
    stage.rename("log.1", "log.2");
    stage.rename("log", "log.1");
    stage.append("log", "three\n");
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, ["one\n", "three\n", "two\n"]);
}

#[test]
fn another_log_of_the_same_name_further_down_is_not_read() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "one\n")]);
    stage.make_directory("site");
    stage.read_all();
    stage.rename("log", "gone");
    stage.append("log", "two\n");
    stage.append("site/log", "other\n");
    stage.append("site/log.1", "other\n");
    stage.remove("gone");
    stage.read_all();
    assert_eq!(stage.texts(), ["one\n", "two\n"]);
}

#[test]
fn other_logs_beside_it_are_not_read() {
    let mut stage = stage("log");
    rotate(&mut stage, 2, "three\n");
    stage.append("log2.1", "other\n");
    stage.append("log.bak", "other\n");
    stage.append("another-log.1", "other\n");
    stage.stop_and_start();
    stage.read_all();
    assert_eq!(stage.texts(), ["three\n"]);
}

#[test]
fn new_lines_flow_while_old_ones_are_caught_up_with() {
    let many = "a line of the backlog, and there are many of them\n".repeat(60_000);
    let mut stage = stage("log");
    stage.append("log", &many);
    rotate(&mut stage, 2, &"new\n".repeat(100_000));
    stage.stop_and_start();
    stage.look();
    // Four blocks of 256 KiB are two of each, though neither file is at its end.
    for _ in 0..4 {
        assert!(stage.read(usize::MAX));
    }
    let new = stage.texts().iter().filter(|text| **text == "new\n").count();
    assert!((65_536..=131_072).contains(&new), "{new} of {}", stage.came.len());
    assert!(new < stage.came.len());
    while stage.read(usize::MAX) {}
    assert_eq!(stage.came.len(), 160_000);
}

#[test]
fn a_file_that_was_leaving_is_leaving_after_a_restart() {
    let mut stage = stage("log*");
    stage.append("log", "begun");
    rotate(&mut stage, 2, "new\n");
    stage.read_all();
    stage.stop_and_start();
    stage.outwait();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, ["begun", "new\n"]);
}

#[test]
fn a_file_whose_old_name_has_another_now_is_found_beside_that() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "one\n")]);
    stage.look();
    stage.append("log", "two\n");
    stage.rename("log", "log.1");
    stage.append("log", "three\n");
    stage.stop_and_start();
    rotate(&mut stage, 1, "four\n");
    stage.read_all();
    stage.append("log.1", "five\n");
    stage.came.clear();
    stage.stop_and_start();
    stage.read_all();
    assert_eq!(stage.texts(), ["five\n"]);
}
