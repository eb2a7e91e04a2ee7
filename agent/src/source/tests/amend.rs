//! What an operator asks of files and decides on them: set, forgotten, explained; with and without an agent.

use std::fs;
use std::io::Write;

use super::super::{
    AmendError, Amended, Goal, InitialPosition, System, explain as explain_saved, forget as forget_saved,
    set as set_saved,
};
use super::stage::Stage;
use crate::metrics::Metric;
use crate::position::{Generation, Mark, Offset};

/// A stage whose one file `log` holds four lines, at 0, 3, 6 and 9, all read.
fn four_lines() -> Stage {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "aa\nbb\ncc\ndd\n")]);
    stage.read_all();
    stage
}

/// The lines that came, in order.
fn lines(stage: &Stage) -> Vec<&str> {
    stage.texts().into_iter().map(str::trim_end).collect()
}

fn at(offset: u64) -> Goal {
    Goal::At(Offset::from_raw(offset))
}

fn set(stage: &mut Stage, name: &str, goal: Goal) -> Result<Amended, AmendError> {
    let path = stage.path(name);
    let now = stage.now;
    let amended = stage.source().set(&path, goal, now);
    stage.hear();
    amended
}

fn forget(stage: &mut Stage, name: &str) -> Result<Amended, AmendError> {
    let path = stage.path(name);
    let now = stage.now;
    let amended = stage.source().forget(&path, now);
    stage.hear();
    amended
}

/// Setting `log`, all of whose four lines were read, to `goal` brings these lines again.
#[track_caller]
fn check_set(goal: Goal, again: &[&str], consequence: &str) {
    let mut stage = four_lines();
    assert_eq!(set(&mut stage, "log", goal).unwrap().consequence(), consequence);
    stage.came.clear();
    stage.append("log", "ee\n");
    stage.read_all();
    let expected: Vec<&str> = again.iter().copied().chain(["ee"]).collect();
    assert_eq!(lines(&stage), expected);

    // The same where no agent runs.
    let mut stage = four_lines();
    stage.books.ack(usize::MAX);
    let mut known = stage.known();
    let amended = set_saved(&stage.settings.pattern, &System, &mut known, &stage.path("log"), goal);
    assert_eq!(amended.unwrap().consequence(), consequence);
    let marks: Vec<Option<Mark>> = stage.known().into_iter().map(|known| known.mark).collect();
    stage.restart(known);
    stage.came.clear();
    stage.append("log", "ee\n");
    stage.read_all();
    assert_eq!(lines(&stage), expected);
    let is_old = |place: &(Mark, Offset)| marks.contains(&Some(place.0));
    assert!(again.is_empty() || !stage.came.iter().any(|came| is_old(&came.place)), "no mark is given twice");
}

#[test]
fn a_file_is_read_again_from_where_it_is_set_to() {
    check_set(at(6), &["cc", "dd"], ": 6 bytes are sent again");
    check_set(at(0), &["aa", "bb", "cc", "dd"], ": 12 bytes are sent again");
    check_set(at(12), &[], ": it was there before");
    check_set(Goal::LastNewline, &[], ": it was there before");
}

#[test]
fn lines_that_are_sent_again_do_not_have_the_mark_they_had() {
    let mut stage = four_lines();
    set(&mut stage, "log", at(6)).unwrap();
    stage.read_all();
    let (first, again) = (stage.came[2].place, stage.came[4].place);
    assert_eq!((first.1, lines(&stage)[2]), (again.1, "cc"));
    assert_ne!(first.0, again.0);
}

#[test]
fn what_lies_before_the_new_place_is_skipped() {
    let mut stage = four_lines();
    stage.append("log", "ee\nff\ngg\npart");
    stage.look();
    let amended = set(&mut stage, "log", Goal::LastNewline).unwrap();
    assert_eq!(amended.consequence(), ": 9 bytes are skipped and never sent");
    stage.append("log", " whole\n");
    stage.read_all();
    assert_eq!(lines(&stage), ["aa", "bb", "cc", "dd", "part whole"]);
}

/// What was read and not acked before a file is set comes again after a crash; what was set is not lost by it.
#[test]
fn a_crash_after_setting_skips_nothing() {
    for (goal, expected) in [(at(6), vec!["aa", "bb", "cc", "dd"]), (at(3), vec!["aa", "bb", "cc", "dd"])] {
        let mut stage = four_lines();
        set(&mut stage, "log", goal).unwrap();
        let known = stage.known();
        stage.restart(known);
        stage.came.clear();
        stage.read_all();
        assert_eq!(lines(&stage), expected);
    }
}

#[track_caller]
fn check_refused(name: &str, goal: Goal, expected: &str) {
    let mut stage = four_lines();
    stage.append("other", "xx\n");
    stage.append("log.gz", "xx\n");
    let error = set(&mut stage, name, goal).unwrap_err();
    assert_eq!(
        crate::chain::Chain(&error).to_string().replace(stage.path("").to_str().unwrap(), "/"),
        expected
    );
    stage.books.ack(usize::MAX);
    let (mut known, before) = (stage.known(), stage.known());
    assert!(set_saved(&stage.settings.pattern, &System, &mut known, &stage.path(name), goal).is_err());
    assert_eq!(known, before);
    stage.read_all();
    assert_eq!(lines(&stage), ["aa", "bb", "cc", "dd"]);
}

#[test]
fn a_place_that_is_no_line_is_refused_and_the_nearest_are_named() {
    check_refused("log", at(4), "no line begins at 4; the nearest that do begin at 3 and 6");
    check_refused("log", at(11), "no line begins at 11; the nearest that do begin at 9 and 12");
    check_refused("log", at(13), "it has 12 bytes, so 13 is behind its end");
}

#[test]
fn a_file_that_the_flow_does_not_read_is_refused() {
    check_refused("other", at(0), "the pattern `/log` does not match it");
    check_refused("log.gz", at(0), "it is compressed; name the file that it was made from");
    check_refused("none", at(0), "there is no such file");
}

#[test]
fn a_forgotten_file_is_read_from_its_beginning() {
    let mut stage = four_lines();
    let amended = forget(&mut stage, "log").unwrap();
    assert_eq!((amended.before, amended.now), (Some(Offset::from_raw(12)), Some(Offset::START)));
    stage.read_all();
    assert_eq!(lines(&stage), ["aa", "bb", "cc", "dd", "aa", "bb", "cc", "dd"]);
    assert_ne!(stage.came[0].place.0, stage.came[4].place.0);

    stage.books.ack(usize::MAX);
    let mut known = stage.known();
    forget_saved(&stage.settings.pattern, &System, &mut known, &stage.path("log")).unwrap();
    assert_eq!(known, []);
    stage.restart(known);
    stage.came.clear();
    stage.read_all();
    assert_eq!(lines(&stage), ["aa", "bb", "cc", "dd"]);
}

#[test]
fn what_was_never_known_cannot_be_forgotten() {
    let mut stage = four_lines();
    assert!(matches!(forget(&mut stage, "none"), Err(AmendError::Unknown)));
    let mut known = stage.known();
    let result = forget_saved(&stage.settings.pattern, &System, &mut known, &stage.path("none"));
    assert!(matches!(result, Err(AmendError::Unknown)));
}

/// A backup that is put back is taken for the file that was read, unless that is forgotten.
#[test]
fn a_file_that_is_put_back_is_read_anew_if_it_was_forgotten() {
    for is_forgotten in [false, true] {
        let text: String = (0..200).map(|number| format!("line {number:04}\n")).collect();
        let mut stage = Stage::new("log", InitialPosition::Start, &[("log", &text)]);
        stage.read_all();
        stage.copy("log", "backup");
        stage.remove("log");
        stage.outwait();
        if is_forgotten {
            let gone = forget(&mut stage, "log").unwrap();
            assert_eq!((gone.now, gone.consequence().as_str()), (None, ": it is not read any more"));
        }
        stage.came.clear();
        stage.rename("backup", "log");
        stage.read_all();
        assert_eq!(stage.came.len(), if is_forgotten { 200 } else { 0 });
    }
}

#[test]
fn a_rotated_file_that_is_set_stays_on_its_way_out() {
    let mut stage = four_lines();
    stage.rename("log", "log.1");
    stage.append("log", "new\n");
    stage.read_all();
    set(&mut stage, "log.1", at(9)).unwrap();
    stage.came.clear();
    stage.outwait();
    assert_eq!(lines(&stage), ["dd"]);
    assert_eq!(stage.counted(Metric::FilesRotated), 1, "its name was taken from it once");
    let files = stage.source().survey().files;
    assert_eq!(
        files.iter().map(|file| file.generation.path.clone()).collect::<Vec<_>>(),
        [stage.path("log")]
    );
}

/// Whether `name` is read, why, and the row of the table.
#[track_caller]
fn check_why(stage: &mut Stage, name: &str, is_read: bool, why: &str, row: Option<&str>) {
    let path = stage.path(name);
    let explanation = stage.source().explain(&path);
    let told = (explanation.is_read, explanation.why.replace(stage.path("").to_str().unwrap(), "/"));
    assert_eq!(told, (is_read, why.to_owned()));
    let row = row.map(|row| (row, true));
    let kin = explanation.kin.map(|kin| kin.row);
    assert_eq!(
        kin.map(|kin| (row.map_or("", |(row, _)| row), row.is_some_and(|(row, _)| kin.contains(row)))),
        row,
        "{kin:?}"
    );
}

#[test]
fn each_file_has_its_reason() {
    let text: String = (0..200).map(|number| format!("line {number:04}\n")).collect();
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", &text)]);
    stage.read_all();
    check_why(&mut stage, "log", true, "it is open", Some("the same file"));
    stage.copy("log", "log.copy");
    let beside = "its lines are read from its original; it is looked at again when that changes";
    check_why(&mut stage, "log.copy", false, beside, Some("a copy beside its original"));
    stage.copy("log", "copy");
    check_why(
        &mut stage,
        "copy",
        false,
        "the flow's pattern `/log*` does not match it",
        Some("a copy beside"),
    );
    stage.append("log.new", "new\n");
    check_why(&mut stage, "log.new", true, "it is new and is read from its beginning", None);
    let mut archive = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    archive.write_all(b"of another file\n").unwrap();
    stage.write("log.gz", &archive.finish().unwrap());
    let compressed = "it is compressed, and is read only where a known file goes on in it";
    check_why(&mut stage, "log.gz", false, compressed, None);
    fs::create_dir(stage.path("log.d")).unwrap();
    check_why(&mut stage, "log.d", false, "it is not read: `/log.d` is not a regular file", None);
    check_why(&mut stage, "none", false, "there is no such file", None);
    stage.truncate("log", 9);
    let anew = "it is read from its beginning as soon as that is seen";
    check_why(&mut stage, "log", true, anew, Some("shorter than what was read"));
    stage.rewrite("log", &text.replace("line 0199", "LINE 0199"));
    check_why(&mut stage, "log", true, anew, Some("rewritten in place"));
    stage.rewrite("log", &text.replace("line", "LINE"));
    check_why(&mut stage, "log", true, anew, Some("another file that got the inode"));
    check_why(
        &mut stage,
        "log.copy",
        true,
        "it is read from where the known file was left",
        Some("its copy"),
    );
    stage.remove("log");
    check_why(
        &mut stage,
        "log",
        true,
        "its name is gone; it is open and read to its end",
        Some("under this name"),
    );
}

#[test]
fn what_counted_as_read_at_the_first_start_says_so() {
    let mut stage = Stage::new("log", InitialPosition::End, &[("log", "aa\nbb\n")]);
    let path = stage.path("log");
    let explanation = stage.source().explain(&path);
    assert!(explanation.why.contains("counted as read when the flow first started"), "{explanation:?}");
}

#[test]
fn a_flow_that_never_ran_tells_where_it_would_begin() {
    for (initial_position, expected) in [
        (InitialPosition::Start, "from its beginning at the first start"),
        (InitialPosition::End, "counts as read up to the last newline"),
    ] {
        let stage = Stage::new("log", initial_position, &[("log", "aa\n")]);
        let explanation = explain_saved(&stage.settings, &System, None, &stage.path("log"));
        assert!(explanation.why.contains(expected), "{explanation:?}");
        let explanation = explain_saved(&stage.settings, &System, Some(&[]), &stage.path("log"));
        assert_eq!(explanation.why, "it is new and is read from its beginning");
    }
}

/// A row for a file that is nowhere.
#[test]
fn a_row_whose_file_is_gone_can_be_forgotten() {
    let mut stage = four_lines();
    stage.books.ack(usize::MAX);
    let mut known: Vec<Generation> = stage.known();
    stage.remove("log");
    let amended = forget_saved(&stage.settings.pattern, &System, &mut known, &stage.path("log")).unwrap();
    assert_eq!((amended.now, amended.size, known.len()), (None, None, 0));
}
