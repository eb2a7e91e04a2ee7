//! The quarantine on a real disk: what is kept is there after the next start, within its bound, and counted once.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::loss::Cause;
use crate::position::{Mark, Offset};

/// A bound that eight files of 1 KiB share: three entries or so each.
const BOUND: u64 = 8 * 1024;

fn flow(name: &str) -> FlowId {
    FlowId::from_text(format!("kinesis:{name}:/log"))
}

fn stray(offset: u64) -> Stray {
    Stray {
        mark: Mark { place: 1, turn: 0, first: Some(2) },
        offset: Offset::from_raw(offset),
        lines: 1,
        cause: Cause::Unmatched,
        why: "no host at byte 0: expected a word, then a space".to_owned(),
        bytes: format!("line at {offset}\n").into_bytes(),
    }
}

fn keep(journal: &mut Journal, offset: u64) {
    journal.keep(&flow("a"), Path::new("/log"), 7, &stray(offset)).unwrap();
}

/// The quarantine in a directory, in which nothing is damaged.
#[track_caller]
fn open(directory: &Path) -> Journal {
    let (journal, damaged) = Journal::open(directory, BOUND);
    assert!(damaged.is_empty(), "{damaged:?}");
    journal
}

/// The quarantine in a directory, filled by `flows`, and who counts what is nobody's.
fn quarantine_of(directory: &Path, flows: &[(FlowId, Arc<Metrics>)]) -> (Quarantine, Arc<Metrics>) {
    let agent = Arc::<Metrics>::default();
    let quarantine = Quarantine::open(directory, BOUND, Arc::clone(&agent));
    quarantine.is_of(flows.to_vec());
    quarantine.tell();
    (quarantine, agent)
}

/// What stands on the disk are the lines at these offsets, and the journal that reads it again counts as many.
#[track_caller]
fn check(directory: &Path, offsets: &[u64]) {
    let mut found = Vec::new();
    load(directory, &mut |entry| found.push(entry.stray.offset.to_raw())).unwrap();
    assert_eq!(found, offsets);
    let held: Tally = open(directory).tallies().into_values().sum();
    assert_eq!(held, Tally { entries: offsets.len() as u64, lines: offsets.len() as u64 });
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(directory.join("quarantine")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_is_kept_is_there_after_the_next_start_and_not_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    keep(&mut journal, 0);
    keep(&mut journal, 10);
    journal.sync().unwrap();
    check(directory.path(), &[0, 10]);
    // After a crash the lines that no checkpoint had passed come again.
    let mut journal = open(directory.path());
    keep(&mut journal, 10);
    keep(&mut journal, 20);
    check(directory.path(), &[0, 10, 20]);
    // The same offset of another flow, or of another generation, is another line.
    journal.keep(&flow("b"), Path::new("/log"), 7, &stray(10)).unwrap();
    let mark = Mark { place: 1, turn: 1, first: Some(2) };
    journal.keep(&flow("a"), Path::new("/log"), 7, &Stray { mark, ..stray(10) }).unwrap();
    check(directory.path(), &[0, 10, 20, 10, 10]);
    assert_eq!(files(directory.path()).len(), 2, "small files are gone on with");
}

#[test]
fn the_oldest_make_room_and_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    let mut evicted = 0;
    for offset in 0..200 {
        keep(&mut journal, offset);
        evicted += journal.take_evicted().into_values().map(|tally| tally.lines).sum::<u64>();
        let size: u64 = files(directory.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(size <= BOUND && size == journal.bytes(), "{size}");
        let held: Tally = journal.tallies().into_values().sum();
        assert_eq!((held.lines, held.entries), (offset + 1 - evicted, offset + 1 - evicted));
    }
    assert!(evicted > 150 && evicted < 190, "{evicted}");
    check(directory.path(), &(evicted..200).collect::<Vec<_>>());
    // What was evicted and is read again is kept again.
    keep(&mut journal, 0);
    let evicted = evicted + journal.take_evicted().into_values().map(|tally| tally.lines).sum::<u64>();
    check(directory.path(), &(evicted..200).chain([0]).collect::<Vec<_>>());
}

#[test]
fn a_line_larger_than_everything_is_refused_and_nothing_is_lost_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    keep(&mut journal, 0);
    let large = Stray { bytes: vec![b'x'; usize::try_from(BOUND).unwrap()], ..stray(10) };
    let error = journal.keep(&flow("a"), Path::new("/log"), 7, &large).unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    keep(&mut journal, 20);
    check(directory.path(), &[0, 20]);
    // One that is larger than its share of the files gets a file for itself.
    let large = Stray { bytes: vec![b'x'; usize::try_from(BOUND / 4).unwrap()], ..stray(30) };
    journal.keep(&flow("a"), Path::new("/log"), 7, &large).unwrap();
    check(directory.path(), &[0, 20, 30]);
}

#[test]
fn an_end_that_a_crash_tore_is_cut_and_told_wherever_it_was_torn() {
    let whole = tempfile::tempdir().unwrap();
    let mut journal = open(whole.path());
    keep(&mut journal, 0);
    let before = journal.bytes();
    keep(&mut journal, 10);
    let bytes = fs::read(&files(whole.path())[0]).unwrap();
    for end in (before..bytes.len() as u64).step_by(7) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("quarantine")).unwrap();
        let torn = &bytes[..usize::try_from(end).unwrap()];
        fs::write(directory.path().join("quarantine/000000000001"), torn).unwrap();
        let (mut journal, damaged) = Journal::open(directory.path(), BOUND);
        assert_eq!(damaged.len(), usize::from(end > before), "{damaged:?}");
        keep(&mut journal, 10);
        check(directory.path(), &[0, 10]);
    }
    // So is a file that was begun only.
    fs::write(whole.path().join("quarantine/000000000002"), "kinetail qua").unwrap();
    keep(&mut open(whole.path()), 20);
    check(whole.path(), &[0, 10, 20]);
}

#[test]
fn a_damaged_entry_costs_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    (0..3).for_each(|offset| keep(&mut journal, offset));
    let file = &files(directory.path())[0];
    let text = fs::read_to_string(file).unwrap().replace("line at 1", "line at 7");
    fs::write(file, text).unwrap();
    let (journal, damaged) = Journal::open(directory.path(), BOUND);
    assert!(matches!(damaged.as_slice(), [JournalError::Frame { source: FrameError::Checksum, .. }]));
    assert_eq!(journal.tallies().into_values().map(|tally| tally.lines).sum::<u64>(), 2);
}

#[test]
fn a_file_of_another_version_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("quarantine")).unwrap();
    let newer = directory.path().join("quarantine/000000000009");
    fs::write(&newer, "kinetail quarantine v2\n?").unwrap();
    let (mut journal, damaged) = Journal::open(directory.path(), BOUND);
    assert!(matches!(damaged.as_slice(), [JournalError::Header { .. }]), "{damaged:?}");
    (0..200).for_each(|offset| keep(&mut journal, offset));
    assert_eq!(fs::read(&newer).unwrap(), b"kinetail quarantine v2\n?");
}

#[test]
fn what_is_lent_comes_back_or_is_gone_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    (0..20).for_each(|offset| keep(&mut journal, offset));
    let held = |journal: &Journal| journal.tallies().into_values().map(|tally| tally.lines).sum::<u64>();
    let lent = journal.lend(&Filter::default(), 2, 50).unwrap();
    let numbers: Vec<u64> = lent.iter().map(|entry| entry.number).collect();
    assert_eq!((numbers.as_slice(), held(&journal)), ([3, 4, 5, 6, 7].as_slice(), 15), "50 bytes of lines");
    // What is lent is not lent again.
    assert_eq!(journal.lend(&Filter::default(), 0, 1).unwrap()[0].number, 1);
    journal.give_back(&[1, 4]);
    journal.remove(&[3, 5, 6, 7]).unwrap();
    assert_eq!(held(&journal), 16);
    let left: Vec<u64> = [0, 1, 3].into_iter().chain(7..20).collect();
    check(directory.path(), &left);
    // A line that was removed and is read again is kept again; one that was given back is there.
    keep(&mut journal, 2);
    keep(&mut journal, 3);
    check(directory.path(), &left.iter().copied().chain([2]).collect::<Vec<_>>());
}

#[test]
fn clearing_takes_what_is_picked_and_files_that_hold_nothing_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    for offset in 0..20 {
        let cause = if offset % 2 == 0 { Cause::Unmatched } else { Cause::Refused };
        let id = flow(if offset < 10 { "a" } else { "b" });
        journal.keep(&id, Path::new("/log"), 7, &Stray { cause, ..stray(offset) }).unwrap();
    }
    let cleared = |journal: &mut Journal, flow: Option<FlowId>, cause| {
        let cleared = journal.clear(&Filter { flow, cause, configured: Vec::new() }).unwrap();
        cleared.into_values().sum::<Tally>().entries
    };
    assert_eq!(cleared(&mut journal, Some(flow("a")), Some(Cause::Refused)), 5);
    check(directory.path(), &[0, 2, 4, 6, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    let before = files(directory.path()).len();
    assert_eq!(cleared(&mut journal, Some(flow("a")), None), 5);
    assert!(files(directory.path()).len() < before);
    assert_eq!(cleared(&mut journal, Some(flow("c")), None), 0);
    assert_eq!(cleared(&mut journal, None, None), 10);
    assert!(files(directory.path()).is_empty());
    keep(&mut journal, 0);
    check(directory.path(), &[0]);
}

#[test]
fn where_nothing_can_be_written_lines_are_counted_as_lost_and_later_ones_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    // A file in the directory's place keeps even root out.
    fs::write(directory.path().join("quarantine"), "").unwrap();
    let metrics = Arc::new(Metrics::default());
    metrics.set(Metric::UnackedRecords, 3);
    let (quarantine, agent) = quarantine_of(directory.path(), &[(flow("a"), Arc::clone(&metrics))]);
    let path: Arc<Path> = Path::new("/log").into();
    quarantine.keep(&flow("a"), &[(Arc::clone(&path), stray(0)), (Arc::clone(&path), stray(10))]);
    quarantine.tell();
    assert_eq!(metrics.get(Metric::LinesDropped(Reason::Unkept)), 2);
    fs::remove_file(directory.path().join("quarantine")).unwrap();
    quarantine.keep(&flow("a"), &[(path, stray(20))]);
    quarantine.sync();
    quarantine.tell();
    assert_eq!(metrics.get(Metric::LinesQuarantined(Cause::Unmatched)), 1);
    assert_eq!((metrics.get(Metric::UnackedRecords), metrics.get(Metric::QuarantinedLines)), (0, 1));
    assert_eq!(agent.get(Metric::QuarantineBytes), fs::metadata(&files(directory.path())[0]).unwrap().len());
    check(directory.path(), &[20]);
}

#[test]
fn what_a_sync_put_in_doubt_stands_in_a_new_file_and_only_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    keep(&mut journal, 0);
    journal.sync().unwrap();
    let sound = fs::read(&files(directory.path())[0]).unwrap();
    keep(&mut journal, 10);
    keep(&mut journal, 20);
    let lent = journal.lend(&Filter::default(), 1, 1).unwrap();
    assert_eq!(lent.len(), 1, "{lent:?}");
    journal.doubt();
    journal.sync().unwrap();
    let files = files(directory.path());
    assert_eq!(files.len(), 2);
    assert_eq!(fs::read(&files[0]).unwrap(), sound);
    assert_eq!(journal.tallies().into_values().map(|tally| tally.lines).sum::<u64>(), 2, "one is lent");
    journal.give_back(&[lent[0].number]);
    assert_eq!(journal.tallies().into_values().map(|tally| tally.lines).sum::<u64>(), 3);
    check(directory.path(), &[0, 10, 20]);
    // It is not in doubt any more, and gone on with.
    keep(&mut journal, 20);
    keep(&mut journal, 30);
    journal.sync().unwrap();
    check(directory.path(), &[0, 10, 20, 30]);
    assert_eq!(fs::read_dir(directory.path().join("quarantine")).unwrap().count(), 2);
}

#[test]
fn what_cannot_be_read_again_is_lost_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    keep(&mut journal, 0);
    keep(&mut journal, 10);
    journal.doubt();
    let file = files(directory.path()).remove(0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("line at 10", "line at 11")).unwrap();
    journal.sync().unwrap();
    let lost: Tally = journal.take_lost().into_values().sum();
    assert_eq!(lost, Tally { entries: 1, lines: 1 });
    check(directory.path(), &[0]);
    // Where its line is read again, it is kept.
    keep(&mut journal, 10);
    check(directory.path(), &[0, 10]);
}

#[test]
fn what_belongs_to_no_flow_any_more_is_counted_by_its_heir() {
    let directory = tempfile::tempdir().unwrap();
    keep(&mut open(directory.path()), 0);
    let flows = [FlowId::new("kinesis:other", "/other"), flow("heir")];
    let flows = flows.map(|id| (id, Arc::new(Metrics::default())));
    let (quarantine, agent) = quarantine_of(directory.path(), &flows);
    let held = || flows.each_ref().map(|(_, metrics)| metrics.get(Metric::QuarantinedLines));
    assert_eq!(held(), [0, 1]);
    let configured = flows.iter().map(|(id, _)| id.clone()).collect();
    let of_heir = Filter { flow: Some(flows[1].0.clone()), cause: None, configured };
    assert_eq!(quarantine.clear(&of_heir).unwrap().lines, 1);
    quarantine.tell();
    assert_eq!(held(), [0, 0]);
    assert_eq!(flows[1].1.get(Metric::LinesReleased), 1);
    // And when that has gone, by the agent.
    keep(&mut quarantine.state.lock().unwrap().journal, 10);
    quarantine.is_of(flows[..1].to_vec());
    quarantine.tell();
    assert_eq!((held()[0], agent.get(Metric::QuarantinedLines)), (0, 1));
}

#[test]
fn what_leaves_is_released_and_dropped_by_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::default());
    let (quarantine, agent) = quarantine_of(directory.path(), &[(flow("a"), Arc::clone(&metrics))]);
    let path: Arc<Path> = Path::new("/log").into();
    let strays: Vec<_> = (0..200).map(|offset| (Arc::clone(&path), stray(offset))).collect();
    metrics.set(Metric::UnackedRecords, 200);
    quarantine.keep(&flow("a"), &strays);
    let cleared = quarantine.clear(&Filter::default()).unwrap();
    quarantine.tell();
    let of = |metric| metrics.get(metric);
    let evicted = of(Metric::LinesDropped(Reason::Evicted));
    assert_eq!(of(Metric::LinesDropped(Reason::Cleared)), cleared.lines);
    assert_eq!((evicted + cleared.lines, of(Metric::LinesReleased)), (200, 200));
    assert_eq!((of(Metric::QuarantinedLines), agent.get(Metric::QuarantineBytes)), (0, 0));
}

/// What an operator or the agent does to the quarantine.
#[derive(Clone, Debug)]
enum Act {
    Keep(u64),
    /// Lends behind this number, and gives back those that are not even.
    Replay(u64),
    Clear,
    Restart,
    /// A crash that leaves the beginning of a frame.
    Tear,
    /// A sync that fails, and the next.
    Doubt,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u64..40).prop_map(Act::Keep),
        2 => (0u64..40).prop_map(Act::Replay),
        1 => Just(Act::Clear),
        1 => Just(Act::Restart),
        1 => Just(Act::Tear),
        2 => Just(Act::Doubt),
    ]
}

proptest! {
    /// Whatever is done, it holds what was kept and neither removed nor evicted, each line once, in order.
    #[test]
    fn it_is_a_list_of_lines(acts in proptest::collection::vec(any_act(), 0..60)) {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(directory.path());
        let mut model: Vec<u64> = Vec::new();
        for act in acts {
            match act {
                Act::Keep(offset) => {
                    keep(&mut journal, offset);
                    if !model.contains(&offset) {
                        model.push(offset);
                    }
                    let evicted = journal.take_evicted().into_values().map(|tally| tally.lines).sum::<u64>();
                    model.drain(..usize::try_from(evicted).unwrap());
                }
                Act::Replay(after) => {
                    let lent = journal.lend(&Filter::default(), after, 60).unwrap();
                    let (stay, go): (Vec<_>, Vec<_>) = lent.iter().partition(|entry| entry.number % 2 == 1);
                    journal.give_back(&stay.iter().map(|entry| entry.number).collect::<Vec<_>>());
                    journal.remove(&go.iter().map(|entry| entry.number).collect::<Vec<_>>()).unwrap();
                    let evicted = journal.take_evicted().into_values().map(|tally| tally.lines).sum::<u64>();
                    model.retain(|offset| go.iter().all(|entry| entry.stray.offset.to_raw() != *offset));
                    model.drain(..usize::try_from(evicted).unwrap());
                }
                Act::Clear => {
                    journal.clear(&Filter::default()).unwrap();
                    model.clear();
                }
                Act::Doubt => {
                    journal.doubt();
                    journal.sync().unwrap();
                    prop_assert!(journal.take_lost().is_empty());
                    let evicted = journal.take_evicted().into_values().map(|tally| tally.lines).sum::<u64>();
                    model.drain(..usize::try_from(evicted).unwrap());
                }
                Act::Restart => journal = open(directory.path()),
                Act::Tear => {
                    drop(journal);
                    if let Some(last) = directory.path().join("quarantine").exists().then(|| files(directory.path())).and_then(|mut files| files.pop()) {
                        OpenOptions::new().append(true).open(last).unwrap().write_all(b"0123abcd {\"kept").unwrap();
                    }
                    journal = Journal::open(directory.path(), BOUND).0;
                }
            }
            let mut found = Vec::new();
            load(directory.path(), &mut |entry| found.push(entry.stray.offset.to_raw())).unwrap();
            prop_assert_eq!(&found, &model);
            let held: Tally = journal.tallies().into_values().sum();
            prop_assert_eq!(held.entries, model.len() as u64);
            prop_assert!(journal.bytes() <= BOUND);
        }
    }
}
