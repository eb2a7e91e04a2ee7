//! The spool as a whole, on a real disk with real pipes and files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use proptest::prelude::*;
use tempfile::TempDir;

use super::instance::Instance;
use super::portion::Line;
use super::*;
use crate::expression::Expression;

/// A spool in a temporary directory.
struct Stage {
    home: TempDir,
    settings: Settings,
}

impl Stage {
    fn new(bytes: u64, wait: Duration) -> Stage {
        let home = tempfile::tempdir().unwrap();
        let directory = Settings::directory(home.path(), "access");
        let settings = Settings { directory, bytes, wait, records: Records::EachLine };
        Stage { home, settings }
    }

    /// Takes in what the file or the pipe behind `input` gives until its end; gives what was told.
    fn feed(&self, input: impl Into<std::os::fd::OwnedFd>) -> Vec<Told> {
        let mut told = Vec::new();
        let signals = Signals::listen().unwrap();
        let fed = feed(&self.settings, input.into(), &signals, &mut |one| told.push(one)).unwrap();
        assert_eq!(fed, Fed::End);
        told
    }

    /// A file with these bytes.
    fn file(&self, bytes: &[u8]) -> File {
        let path = self.home.path().join("input");
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    }

    /// The segments of all instances, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = instance::all_segments(&self.settings.directory)
            .unwrap()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        paths.sort();
        paths
    }

    /// All that is in the spool.
    fn held(&self) -> Vec<u8> {
        self.segments().iter().flat_map(|path| fs::read(path).unwrap()).collect()
    }

    /// An instance that lives and reads a file, with a segment that holds these bytes.
    fn living(&self, bytes: &[u8]) -> Instance {
        self.reading(None, bytes)
    }

    /// An instance that reads `pipe`.
    fn reading(&self, pipe: Option<u64>, bytes: &[u8]) -> Instance {
        let mut instance = Instance::begin(&self.settings, pipe).unwrap();
        instance.turn().unwrap();
        instance.place().unwrap().file.write_all(bytes).unwrap();
        instance
    }

    /// Makes it long ago that the segments were written to.
    fn age(&self) {
        for path in self.segments() {
            File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
    }

    /// Sweeps when so many bytes of each segment are delivered.
    fn sweep(&self, delivered: impl Fn(&fs::Metadata) -> u64) {
        let segments = self.segments();
        let delivered = segments.into_iter().map(|path| {
            let found = fs::metadata(&path).unwrap();
            Delivered { path, place: (found.dev(), found.ino()), end: delivered(&found) }
        });
        sweep(&self.settings.directory, &delivered.collect::<Vec<_>>());
    }
}

/// A pipe in which these bytes stand, and to which nobody writes any more.
fn pipe(bytes: &[u8]) -> io::PipeReader {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(bytes).unwrap();
    reader
}

fn inode(pipe: &io::PipeReader) -> u64 {
    File::from(std::os::fd::OwnedFd::from(pipe.try_clone().unwrap())).metadata().unwrap().ino()
}

fn roomy() -> Stage {
    Stage::new(1 << 30, Duration::ZERO)
}

/// What is in the spool of these bytes: each line as it was, the last one ended.
#[track_caller]
fn check(bytes: &[u8], input: impl FnOnce(&Stage) -> std::os::fd::OwnedFd) {
    let stage = roomy();
    assert_eq!(stage.feed(input(&stage)), []);
    let mut expected = bytes.to_vec();
    if bytes.last().is_some_and(|last| *last != b'\n') {
        expected.push(b'\n');
    }
    let held = stage.held();
    assert!(held == expected, "{} bytes in, {} held", expected.len(), held.len());
}

fn any_lines() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![1 => Just(b'\n'), 1 => Just(0), 8 => any::<u8>()], 0..5000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_stands_in_a_pipe_comes_into_the_spool_as_it_is(bytes in any_lines()) {
        check(&bytes, |_| pipe(&bytes).into());
    }

    #[test]
    fn so_does_what_stands_in_a_file(bytes in any_lines()) {
        check(&bytes, |stage| stage.file(&bytes).into());
    }
}

#[test]
fn a_line_that_fills_the_pipe_comes_whole() {
    check(&[b'x'; 65536], |_| pipe(&[b'x'; 65536]).into());
}

#[test]
fn a_line_longer_than_what_is_read_at_once_comes_whole() {
    let line = vec![b'x'; 1 << 20];
    check(&line, |stage| stage.file(&line).into());
}

#[test]
fn segments_end_with_lines_and_are_bounded() {
    let stage = Stage::new(8 << 20, Duration::ZERO);
    let lines: Vec<u8> = (0..100_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    stage.feed(stage.file(&lines));
    assert!(stage.segments().len() > 1);
    for path in stage.segments() {
        let segment = fs::read(path).unwrap();
        assert!(segment.ends_with(b"\n") && segment.len() <= 2 * (512 << 10));
    }
    assert!(stage.held() == lines);
}

#[test]
fn no_record_is_divided_among_segments() {
    let mut stage = Stage::new(1 << 20, Duration::from_secs(3600));
    let pattern = Expression::at_start(r"\[").unwrap();
    stage.settings.records = Records::BeginningWith { pattern, idle: Duration::ZERO };
    let record = |number: u32| format!("[{number}]\n{}", " more\n".repeat(number as usize % 50));
    let records: String = (0..3_000).map(record).collect();
    stage.feed(stage.file(records.as_bytes()));
    assert!(stage.segments().len() > 3);
    for path in stage.segments() {
        assert!(fs::read(path).unwrap().starts_with(b"["));
    }
    assert!(stage.held() == records.as_bytes());
}

#[test]
fn a_record_that_is_larger_than_two_segments_is() {
    let mut stage = Stage::new(1 << 20, Duration::from_secs(3600));
    let pattern = Expression::at_start(r"\[").unwrap();
    stage.settings.records = Records::BeginningWith { pattern, idle: Duration::ZERO };
    let record = format!("[1]\n{}", " more\n".repeat(100_000));
    stage.feed(stage.file(record.as_bytes()));
    assert!(stage.segments().len() > 3);
    assert!(stage.held() == record.as_bytes());
}

#[test]
fn a_full_spool_drops_the_oldest_lines_and_counts_each() {
    let stage = Stage::new(1 << 20, Duration::ZERO);
    let lines: Vec<u8> = (0..400_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    let told = stage.feed(stage.file(&lines));
    let mut lost = Lost::default();
    for told in told {
        match told {
            Told::Dropped(more) => lost += more,
            Told::Discarded(_) => unreachable!("the disk is not full: {told:?}"),
        }
    }
    let held = stage.held();
    // Each instance may go beyond the bound by the segment that it writes.
    assert!(lost.lines > 0 && held.len() < 2 << 20, "{lost:?} lost, {} held", held.len());
    assert_eq!(lost.lines + Lost::of(&held).lines, 400_000);
    assert_eq!(lost.bytes + held.len() as u64, lines.len() as u64);
    assert!(lines.ends_with(&held), "not the oldest were dropped");
}

#[test]
fn what_is_delivered_is_swept_away_and_the_instance_with_it() {
    let stage = roomy();
    stage.feed(pipe(b"one\ntwo\n"));
    stage.sweep(fs::Metadata::len);
    assert_eq!(fs::read_dir(&stage.settings.directory).unwrap().count(), 0);
}

#[test]
fn what_is_not_delivered_stays() {
    let stage = roomy();
    stage.feed(pipe(b"one\ntwo\n"));
    stage.sweep(|_| 4);
    assert_eq!(stage.held(), b"one\ntwo\n");
}

#[test]
fn what_stands_where_a_delivered_file_stood_stays() {
    let stage = roomy();
    stage.feed(pipe(b"one\n"));
    let path = stage.segments().remove(0);
    let place = fs::metadata(&path).map(|found| (found.dev(), found.ino() + 1)).unwrap();
    sweep(&stage.settings.directory, &[Delivered { path, place, end: 4 }]);
    assert_eq!(stage.held(), b"one\n");
}

#[test]
fn what_lies_outside_the_spool_stays() {
    let stage = roomy();
    let path = stage.home.path().join("0000000001.log");
    fs::write(&path, "one\n").unwrap();
    let place = fs::metadata(&path).map(|found| (found.dev(), found.ino())).unwrap();
    sweep(&stage.settings.directory, &[Delivered { path: path.clone(), place, end: 4 }]);
    assert!(path.exists());
}

#[test]
fn of_a_living_instance_only_sealed_segments_are_swept_away() {
    let stage = roomy();
    let mut instance = stage.living(b"one\n");
    stage.sweep(fs::Metadata::len);
    assert_eq!(stage.held(), b"one\n");
    instance.turn().unwrap();
    instance.place().unwrap().file.write_all(b"two\n").unwrap();
    stage.sweep(fs::Metadata::len);
    assert_eq!(stage.held(), b"two\n");
}

#[test]
fn the_last_line_of_a_dead_instance_is_ended_and_stays_until_it_is_delivered() {
    let stage = roomy();
    drop(stage.living(b"one\ntw"));
    stage.age();
    stage.sweep(|_| 4);
    assert_eq!(stage.held(), b"one\ntw\n");
}

#[test]
fn the_rest_of_a_line_in_whose_middle_an_instance_was_killed_comes_behind_its_beginning() {
    let stage = roomy();
    let rest = pipe(b"o\nthree\n");
    drop(stage.reading(Some(inode(&rest)), b"one\ntw"));
    stage.sweep(fs::Metadata::len);
    assert_eq!(stage.held(), b"one\ntw", "it was ended, or taken away");
    stage.feed(rest);
    assert_eq!(stage.held(), b"one\ntwo\nthree\n");
    assert_eq!(stage.segments().len(), 1);
}

#[test]
fn nobody_goes_on_behind_another_pipe_a_whole_line_an_old_one_or_one_who_lives() {
    let stage = roomy();
    let line_of_next = || Instance::begin(&stage.settings, Some(7)).unwrap().line();
    drop(stage.reading(Some(8), b"one\ntw"));
    drop(stage.reading(None, b"one\ntw"));
    drop(stage.reading(Some(7), b"one\n"));
    let living = stage.reading(Some(7), b"one\ntw");
    assert_eq!(line_of_next(), Line::Whole);
    drop(living);
    assert_eq!(line_of_next(), Line::Begun);
    stage.age();
    assert_eq!(line_of_next(), Line::Whole);
}

#[test]
fn a_pipe_with_a_name_has_no_number() {
    let stage = roomy();
    let path = stage.home.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = File::options().read(true).write(true).open(path).unwrap();
    assert_eq!(inlet::Inlet::new(fifo.into(), 4096).unwrap().pipe(), None);
}

#[test]
fn a_file_that_is_no_segment_is_left_alone() {
    let stage = roomy();
    let instance = stage.living(b"");
    let note = instance.directory().join("note");
    fs::write(&note, "no line").unwrap();
    drop(instance);
    stage.sweep(fs::Metadata::len);
    assert_eq!(fs::read(note).unwrap(), b"no line");
}

#[test]
fn what_is_left_is_told_without_what_is_still_written() {
    let stage = roomy();
    assert_eq!(left(&stage.settings.directory), None);
    let living = stage.living(b"one\n");
    assert_eq!(left(&stage.settings.directory), None);
    stage.feed(pipe(b"two\nthree\n"));
    assert_eq!(left(&stage.settings.directory), Some(10));
    drop(living);
    assert_eq!(left(&stage.settings.directory), Some(14));
    stage.sweep(fs::Metadata::len);
    assert_eq!(left(&stage.settings.directory), None);
}
