//! Rotations that are compressed: the rest of a known file is read from its archive, from where it was read up to, once
//! the archive is whole and proves to be of that file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::InitialPosition;
use super::stage::{GRACE, Stage};
use crate::metrics::Metric;

/// The tools with the endings they give.
const TOOLS: [(&str, &str); 4] = [("gzip", "gz"), ("zstd", "zst"), ("bzip2", "bz2"), ("xz", "xz")];

/// `count` lines of 20 bytes, each with its number from `first` on.
fn lines(first: u32, count: u32) -> String {
    (first..first + count).map(|number| format!("line {number:014}\n")).collect()
}

/// A stage whose `log` has 100 lines, of which `read` are read and safe.
fn stage(pattern: &str, read: usize) -> Stage {
    let mut stage = Stage::new(pattern, InitialPosition::Start, &[("log", &lines(0, 100))]);
    stage.look();
    assert!(stage.read(read));
    stage.books.ack(usize::MAX);
    stage.came.clear();
    stage
}

/// Puts an archive in the place of a file, as logrotate does; gives its path.
fn compress(stage: &Stage, tool: &str, name: &str) -> PathBuf {
    let file = stage.path(name);
    let mut command = Command::new(tool);
    command.arg("-q").args((tool == "zstd").then_some("--rm")).arg(&file);
    let status = command.status().expect("gzip, zstd, bzip2 and xz are installed");
    assert!(status.success() && !file.exists(), "{command:?}");
    let (_, ending) = TOOLS.into_iter().find(|(known, _)| *known == tool).unwrap();
    stage.path(&format!("{name}.{ending}"))
}

/// Takes the last bytes of an archive from it, as it is while it is being written; gives them.
fn cut(archive: &Path) -> Vec<u8> {
    let bytes = fs::read(archive).unwrap();
    let (written, rest) = bytes.split_at(bytes.len() - 10);
    fs::write(archive, written).unwrap();
    rest.to_vec()
}

fn append(archive: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(archive).unwrap().write_all(bytes).unwrap();
}

/// All that comes until nothing more can come is `expected`, in order; nothing is lost or read again, and nothing comes
/// again after another start.
#[track_caller]
fn check(stage: &mut Stage, expected: &str) {
    stage.outwait();
    stage.outwait();
    assert_eq!(stage.texts().concat(), expected);
    let counted = [Metric::BytesLost, Metric::FilesReread, Metric::ArchivesDamaged, Metric::LagBytes];
    assert_eq!(counted.map(|metric| stage.counted(metric)), [0; 4]);
    stage.stop_and_start();
    stage.outwait();
    assert_eq!(stage.texts().concat(), expected, "after another start");
}

#[test]
fn what_was_compressed_while_the_agent_was_down_is_read_on() {
    for (tool, _) in TOOLS {
        for pattern in ["log", "log*"] {
            let mut stage = stage(pattern, 60);
            stage.append("log", &lines(100, 20));
            stage.rename("log", "log.1");
            compress(&stage, tool, "log.1");
            stage.stop_and_start();
            check(&mut stage, &lines(60, 60));
        }
    }
}

#[test]
fn an_archive_that_is_half_read_is_read_on_after_a_restart() {
    for (tool, _) in TOOLS {
        let mut stage = stage("log", 20);
        stage.rename("log", "log.1");
        compress(&stage, tool, "log.1");
        stage.stop_and_start();
        stage.look();
        assert!(stage.read(30));
        // It is renamed by the next rotation.
        let (_, ending) = TOOLS.into_iter().find(|(known, _)| *known == tool).unwrap();
        stage.rename(&format!("log.1.{ending}"), &format!("log.2.{ending}"));
        stage.stop_and_start();
        assert_eq!(stage.came.len(), 30);
        check(&mut stage, &lines(20, 80));
    }
}

#[test]
fn a_file_that_was_rotated_and_compressed_later_is_read_on() {
    let mut stage = stage("log", 40);
    stage.rename("log", "log.1");
    stage.look();
    stage.rename("log.1", "log.2");
    compress(&stage, "gzip", "log.2");
    stage.stop_and_start();
    check(&mut stage, &lines(40, 60));
}

#[test]
fn the_archive_of_an_open_file_that_was_empty_when_it_was_seen_is_not_read_as_well() {
    let mut stage = Stage::new("log", InitialPosition::Start, &[("log", "")]);
    stage.look();
    stage.rename("log", "log.1");
    stage.append("log", "one\n");
    stage.look();
    stage.read_all();
    stage.append("log.1", "late\n");
    compress(&stage, "gzip", "log.1");
    // That makes the agent look for what was rotated unseen.
    stage.truncate("log", 0);
    stage.look();
    check(&mut stage, "one\nlate\n");
}

#[test]
fn an_archive_in_a_directory_of_old_files_is_found() {
    let mut stage = stage("log", 40);
    fs::create_dir(stage.path("another")).unwrap();
    fs::create_dir(stage.path("old")).unwrap();
    stage.rename("log", "old/log.1");
    compress(&stage, "gzip", "old/log.1");
    stage.stop_and_start();
    check(&mut stage, &lines(40, 60));
}

#[test]
fn what_is_open_is_read_from_there_though_it_is_compressed() {
    let mut stage = stage("log", 40);
    stage.rename("log", "log.1");
    stage.look();
    compress(&stage, "gzip", "log.1");
    check(&mut stage, &lines(40, 60));
}

#[test]
fn a_copy_that_is_compressed_at_once_gives_what_its_original_lost() {
    for (tool, _) in TOOLS {
        let mut stage = stage("log", 60);
        stage.copy("log", "log.1");
        stage.rewrite("log", &lines(200, 5));
        compress(&stage, tool, "log.1");
        stage.outwait();
        let mut came = stage.texts();
        came.sort_unstable();
        assert_eq!(came.concat(), lines(60, 40) + &lines(200, 5));
        assert_eq!(stage.counted(Metric::BytesLost), 0);
    }
}

#[test]
fn a_copy_that_is_still_being_compressed_is_waited_for() {
    let mut stage = stage("log", 60);
    stage.copy("log", "log.1");
    let archive = compress(&stage, "gzip", "log.1");
    let rest = cut(&archive);
    stage.rewrite("log", "");
    stage.read_all();
    assert_eq!(stage.texts(), [""; 0]);
    assert_eq!(stage.counted(Metric::LagBytes), 800, "what is waited for is not read yet");
    append(&archive, &rest);
    stage.read_all();
    check(&mut stage, &lines(60, 40));
}

#[test]
fn an_archive_is_waited_for_while_it_is_being_written() {
    for (tool, _) in TOOLS {
        let mut stage = stage("log", 60);
        stage.rename("log", "log.1");
        let archive = compress(&stage, tool, "log.1");
        let rest = cut(&archive);
        stage.stop_and_start();
        for part in rest.chunks(4) {
            stage.pass(GRACE / 2);
            stage.read_all();
            assert_eq!(stage.texts(), [""; 0], "{tool}");
            // What is waited for is not forgotten.
            stage.stop_and_start();
            append(&archive, part);
        }
        check(&mut stage, &lines(60, 40));
    }
}

/// Nothing can be seen of an archive before its tool has written anything.
#[test]
fn an_archive_that_is_empty_yet_is_waited_for() {
    let mut stage = stage("log", 60);
    stage.rename("log", "log.1");
    let archive = compress(&stage, "gzip", "log.1");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, "").unwrap();
    stage.stop_and_start();
    stage.read_all();
    append(&archive, &bytes);
    check(&mut stage, &lines(60, 40));
}

#[test]
fn nothing_of_a_damaged_archive_is_read_and_that_is_told_once() {
    for (tool, _) in TOOLS {
        let mut stage = stage("log", 60);
        stage.rename("log", "log.1");
        let archive = compress(&stage, tool, "log.1");
        let mut bytes = fs::read(&archive).unwrap();
        *bytes.last_mut().unwrap() ^= 0x55;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        fs::write(&archive, bytes).unwrap();
        stage.stop_and_start();
        stage.read_all();
        assert_eq!(stage.counted(Metric::ArchivesDamaged), 0, "{tool}: it may be written on");
        for _ in 0..2 {
            stage.outwait();
            stage.outwait();
            assert_eq!(stage.texts(), [""; 0], "{tool}");
            let counted = [Metric::ArchivesDamaged, Metric::BytesLost, Metric::LagBytes];
            assert_eq!(counted.map(|metric| stage.counted(metric)), [1, 800, 0], "{tool}");
            stage.stop_and_start();
        }
    }
}

#[test]
fn of_archives_that_begin_alike_the_one_that_goes_on_alike_is_read() {
    let mut stage = stage("log", 80);
    // The same 1200 bytes, then others; by its time it is tried first.
    stage.append("other", &(lines(0, 60) + &lines(300, 60)));
    stage.append("log", &lines(100, 5));
    stage.rename("log", "log.2");
    stage.rename("other", "log-1");
    compress(&stage, "gzip", "log.2");
    compress(&stage, "gzip", "log-1");
    stage.stop_and_start();
    stage.read_all();
    // The other one is a rotation that nobody knew.
    assert_eq!(stage.came.len(), 25 + 120);
    assert!(stage.texts().concat().contains(&lines(80, 25)), "{:?}", stage.texts());
    assert_eq!(stage.counted(Metric::BytesLost), 0);
}

#[test]
fn an_archive_of_another_file_with_the_same_head_is_not_taken() {
    let mut stage = stage("log", 80);
    stage.append("other", &(lines(0, 60) + &lines(300, 60)));
    compress(&stage, "gzip", "other");
    stage.remove("log");
    stage.stop_and_start();
    stage.outwait();
    assert_eq!(stage.texts(), [""; 0]);
    let counted = [Metric::ArchivesDamaged, Metric::BytesLost];
    assert_eq!(counted.map(|metric| stage.counted(metric)), [0, 400]);
}

#[test]
fn an_inode_number_that_an_archive_has_by_chance_proves_nothing() {
    let mut stage = stage("log", 80);
    stage.append("other", &(lines(0, 60) + &lines(300, 60)));
    let archive = compress(&stage, "gzip", "other");
    stage.remove("log");
    let mut known = stage.known();
    known[0].identity.inode = fs::metadata(archive).unwrap().ino();
    stage.restart(known);
    stage.outwait();
    assert_eq!(stage.texts(), [""; 0]);
    let counted = [Metric::FilesTruncated, Metric::BytesLost];
    assert_eq!(counted.map(|metric| stage.counted(metric)), [0, 400]);
}

#[test]
fn an_archive_that_goes_while_it_is_waited_for_is_gone_and_not_damaged() {
    let mut stage = stage("log", 60);
    stage.rename("log", "log.1");
    let archive = compress(&stage, "gzip", "log.1");
    cut(&archive);
    stage.stop_and_start();
    fs::remove_file(archive).unwrap();
    stage.outwait();
    stage.outwait();
    let counted = [Metric::ArchivesDamaged, Metric::BytesLost, Metric::LagBytes];
    assert_eq!(counted.map(|metric| stage.counted(metric)), [0, 800, 0]);
}

#[test]
fn an_archive_is_no_new_file() {
    let mut stage = Stage::new("log*", InitialPosition::Start, &[("log", "one\n")]);
    stage.read_all();
    stage.append("log.9", "nine\n");
    compress(&stage, "gzip", "log.9");
    check(&mut stage, "one\n");
}

#[test]
fn a_backlog_of_twenty_rotations_of_which_six_are_compressed_is_read_in_order() {
    let mut stage = stage("log", 100);
    for rotation in 1..=20 {
        stage.rename("log", &format!("log-202611{rotation:02}"));
        stage.append("log", &lines(rotation * 100, 100));
    }
    for rotation in 1..=6 {
        let (tool, _) = TOOLS[rotation % TOOLS.len()];
        compress(&stage, tool, &format!("log-202611{rotation:02}"));
    }
    stage.stop_and_start();
    stage.outwait();
    stage.outwait();
    let live = lines(2000, 100);
    let texts: Vec<&str> = stage.texts().into_iter().filter(|line| !live.contains(line)).collect();
    assert_eq!(texts.concat(), lines(100, 1900));
    assert_eq!(stage.came.len(), 2000);
}

#[test]
fn a_rotation_that_no_checkpoint_knows_is_waited_for_too() {
    let mut stage = stage("log", 100);
    stage.rename("log", "log.2");
    stage.append("log", &lines(100, 100));
    stage.rename("log", "log.1");
    let archive = compress(&stage, "gzip", "log.1");
    let rest = cut(&archive);
    for _ in 0..2 {
        stage.stop_and_start();
        stage.read_all();
        assert_eq!(stage.texts(), [""; 0]);
    }
    append(&archive, &rest);
    check(&mut stage, &lines(100, 100));
}
