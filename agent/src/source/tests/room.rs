//! More files than may be open: each is read to its end, once, whatever happens to it while it is closed.

use super::super::InitialPosition;
use super::stage::{GRACE, Stage};
use crate::metrics::Metric;
use crate::position::Head;

/// Files that may be open.
const OPEN: usize = 4;
/// Files there are.
const FILES: usize = 20;

fn names() -> Vec<String> {
    (0..FILES).map(|number| format!("log.{number:02}")).collect()
}

/// A stage with all files, each read to its end.
fn stage(pattern: &str) -> Stage {
    let texts: Vec<(String, String)> =
        names().into_iter().map(|name| (name.clone(), format!("{name} first\n"))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut stage = Stage::with_open_files(OPEN, pattern, InitialPosition::Start, &files);
    assert!(stage.open_files() <= OPEN);
    stage.read_all();
    assert_eq!(stage.came.len(), FILES);
    stage.came.clear();
    stage
}

/// Something happens to each file, all but a few of which are closed, and what comes of it is `expected` of each name.
#[track_caller]
fn check(act: impl Fn(&mut Stage, &str), expected: &[&str]) {
    for pattern in ["log.*", "log.[0-9][0-9]"] {
        let mut stage = stage(pattern);
        for name in names() {
            act(&mut stage, &name);
        }
        stage.read_all();
        assert!(stage.open_files() <= OPEN, "{} files are open", stage.open_files());
        let mut came: Vec<String> = stage.texts().into_iter().map(str::to_owned).collect();
        came.sort_unstable();
        let all = names()
            .into_iter()
            .flat_map(|name| expected.iter().map(move |text| format!("{name} {text}\n")).collect::<Vec<_>>());
        let mut all: Vec<String> = all.collect();
        all.sort_unstable();
        assert_eq!(came, all, "`{pattern}`");
        assert_eq!(stage.counted(Metric::BytesLost), 0);
        assert_eq!(stage.counted(Metric::FilesReread), 0);
    }
}

#[test]
fn what_is_written_to_a_closed_file_is_read() {
    let act = |stage: &mut Stage, name: &str| stage.append(name, &format!("{name} second\n"));
    check(act, &["second"]);
}

#[test]
fn the_rest_of_a_file_that_is_gone_is_read_from_its_copy() {
    let second = format!("second {}", "x".repeat(Head::BYTES));
    for is_all_at_once in [false, true] {
        let write = |stage: &mut Stage, name: &str| {
            stage.append(name, &format!("{name} {second}\n"));
            // It is heard of, and there is no time to read it.
            stage.look_at(&[name]);
        };
        let archive = |stage: &mut Stage, name: &str| {
            stage.copy(name, &format!("kept.{name}"));
            stage.remove(name);
        };
        let mut stage = stage("log.*");
        if is_all_at_once {
            names().iter().for_each(|name| write(&mut stage, name));
            names().iter().for_each(|name| archive(&mut stage, name));
        } else {
            names().iter().for_each(|name| {
                write(&mut stage, name);
                archive(&mut stage, name);
            });
        }
        stage.read_all();
        stage.read_all();
        assert!(stage.open_files() <= OPEN, "{} files are open", stage.open_files());
        let mut came: Vec<String> = stage.texts().into_iter().map(str::to_owned).collect();
        came.sort_unstable();
        assert_eq!(came, names().iter().map(|name| format!("{name} {second}\n")).collect::<Vec<_>>());
        assert_eq!(stage.counted(Metric::BytesLost), 0);
    }
}

#[test]
fn files_that_grow_in_turn_are_opened_in_turn() {
    let act = |stage: &mut Stage, name: &str| {
        stage.append(name, &format!("{name} second\n"));
        stage.look_at(&[name]);
        while stage.read(usize::MAX) {}
        assert!(stage.open_files() <= OPEN);
    };
    check(act, &["second"]);
}

/// Whether the new name is one of the pattern's or not.
#[test]
fn a_closed_file_that_is_renamed_is_read_on_under_its_new_name() {
    let act = |stage: &mut Stage, name: &str| {
        stage.append(name, &format!("{name} second\n"));
        stage.rename(name, &format!("{name}.old"));
        stage.append(name, &format!("{name} third\n"));
        stage.append(&format!("{name}.old"), &format!("{name} late\n"));
    };
    check(act, &["second", "late", "third"]);
}

#[test]
fn a_closed_file_that_is_copied_and_truncated_is_read_on_in_its_copy() {
    let act = |stage: &mut Stage, name: &str| {
        let long = "x".repeat(1100);
        stage.append(name, &format!("{name} {long}\n"));
    };
    let mut stage = stage("log.*");
    names().iter().for_each(|name| act(&mut stage, name));
    stage.read_all();
    stage.came.clear();
    for name in names() {
        stage.append(&name, &format!("{name} second\n"));
        stage.copy(&name, &format!("{name}-copy"));
        stage.rewrite(&name, &format!("{name} third\n"));
    }
    stage.read_all();
    let mut came = stage.texts().into_iter().map(str::to_owned).collect::<Vec<_>>();
    came.sort_unstable();
    let both = |name: String| [format!("{name} second\n"), format!("{name} third\n")];
    assert_eq!(came, names().into_iter().flat_map(both).collect::<Vec<_>>());
    assert_eq!((stage.counted(Metric::BytesLost), stage.counted(Metric::FilesReread)), (0, 0));
}

#[test]
fn a_closed_file_that_is_rewritten_is_read_from_its_beginning() {
    check(|stage, name| stage.rewrite(name, &format!("{name} other\n")), &["other"]);
    check(|stage, name| stage.rewrite(name, &format!("{name} sixth\n")), &["sixth"]);
}

/// The number of its inode may be used again at once.
#[test]
fn a_file_that_takes_the_place_of_a_closed_one_is_read_from_its_beginning() {
    let act = |stage: &mut Stage, name: &str| {
        stage.remove(name);
        stage.append(name, &format!("{name} other and longer\n"));
    };
    check(act, &["other and longer"]);
}

#[test]
fn a_closed_file_that_is_removed_with_nothing_unread_is_forgotten() {
    check(|stage, name| stage.remove(name), &[]);
    let mut stage = stage("log.*");
    names().iter().for_each(|name| stage.remove(name));
    stage.read_all();
    stage.outwait();
    assert_eq!((stage.open_files(), stage.books.ended.len()), (0, FILES));
}

#[test]
fn what_is_unread_of_a_removed_file_is_kept_while_there_is_room() {
    let mut stage = stage("log.*");
    let names = names();
    for name in &names[..OPEN - 1] {
        stage.append(name, "unread\n");
    }
    stage.look();
    for name in &names[..OPEN - 1] {
        stage.remove(name);
    }
    // Others are read in turn in the one place that is left.
    for name in &names[OPEN..] {
        stage.append(name, "more\n");
    }
    stage.read_all();
    assert_eq!(stage.came.len(), FILES - 1);
    assert_eq!(stage.counted(Metric::BytesLost), 0);
}

#[test]
fn what_is_unread_of_removed_files_beyond_the_room_is_counted_as_lost() {
    let mut stage = stage("log.*");
    for name in names() {
        stage.append(&name, "unread\n");
    }
    stage.look();
    names().iter().for_each(|name| stage.remove(name));
    stage.read_all();
    let lost = u64::try_from(FILES - stage.came.len()).unwrap() * "unread\n".len() as u64;
    assert!(stage.came.len() >= OPEN - 1, "{} files were kept", stage.came.len());
    assert_eq!(stage.counted(Metric::BytesLost), lost);
}

/// With many more removed files than room, the oldest give way, and the rest is read.
#[test]
fn removed_files_do_not_pile_up() {
    let mut stage = stage("log.*");
    for round in 0..50 {
        let name = format!("log.x{round}");
        stage.append(&name, "line\n");
        stage.look_at(&[&name]);
        while stage.read(usize::MAX) {}
        stage.remove(&name);
        stage.look_at(&[&name]);
        assert!(stage.open_files() <= OPEN);
    }
    assert_eq!(stage.came.len(), 50);
    assert_eq!(stage.counted(Metric::BytesLost), 0);
}

#[test]
fn a_restart_opens_no_more_than_it_may() {
    let mut stage = stage("log.*");
    for name in names() {
        stage.append(&name, &format!("{name} second\n"));
    }
    stage.stop_and_start();
    assert!(stage.open_files() <= OPEN);
    stage.read_all();
    let mut came = stage.texts();
    came.sort_unstable();
    assert_eq!(came, names().iter().map(|name| format!("{name} second\n")).collect::<Vec<_>>());
}

/// The last line of a file that is finished needs no newline, and a closed one is opened for it.
#[test]
fn the_last_line_of_a_closed_file_comes_when_it_is_finished() {
    let mut stage = stage("log.[0-9][0-9]");
    for name in names() {
        stage.append(&name, &format!("{name} half"));
    }
    stage.read_all();
    assert_eq!(stage.came.len(), 0);
    for name in names() {
        stage.rename(&name, &format!("{name}.old"));
    }
    stage.outwait();
    stage.pass(GRACE);
    stage.read_all();
    assert_eq!(stage.came.len(), FILES);
    assert!(stage.open_files() <= OPEN);
}
