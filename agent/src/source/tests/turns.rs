//! Archives that take longer to decode than other files should wait: they are decoded turn by turn, and what is written
//! meanwhile comes out meanwhile.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::simulated::Simulated;
use super::stage::Stage;
use crate::metrics::Metric;

/// More lines than are decoded in a few turns: 20 bytes each.
const MANY: u32 = 300_000;

/// `count` lines of 20 bytes, each with its number from `first` on.
fn lines(first: u32, count: u32) -> String {
    (first..first + count).map(|number| format!("line {number:014}\n")).collect()
}

fn archive(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A stage whose `log` was read up to line `read`, then rotated and compressed while the agent was down, and whose new
/// `log` has one line.
fn stage(read: usize, archive: &[u8]) -> Stage {
    let mut stage = Stage::simulated("log", Simulated::new());
    stage.append("log", &lines(0, MANY));
    stage.look();
    while stage.came.len() < read {
        let left = read - stage.came.len();
        assert!(stage.read(left));
    }
    stage.books.ack(usize::MAX);
    let known = stage.known();
    stage.came.clear();
    stage.kill();
    rotate(&mut stage, archive);
    stage.restart(known);
    stage
}

/// `log` is renamed and compressed, and begun anew with one line.
fn rotate(stage: &mut Stage, archive: &[u8]) {
    stage.rename("log", "log.1");
    stage.append("log", "live 0\n");
    stage.write("log.1.gz", archive);
    stage.remove("log.1");
}

/// Reads as the reader's thread does, until `is_done`; every other time a line is written to the live file before. Says
/// how often.
#[track_caller]
fn follow(stage: &mut Stage, is_done: impl Fn(&Stage) -> bool) -> usize {
    for turn in 0..1000 {
        if is_done(stage) {
            return turn;
        }
        if turn % 2 == 1 {
            stage.append("log", &format!("live {turn}\n"));
        }
        stage.look();
        stage.read(usize::MAX);
    }
    unreachable!("a thousand turns are more than it takes");
}

fn is_live(text: &str) -> bool {
    text.starts_with("live")
}

#[test]
fn live_lines_come_while_an_archive_is_decoded() {
    let text = lines(0, MANY);
    let mut stage = stage(MANY as usize - 100, &archive(&text));
    follow(&mut stage, |stage| stage.texts().iter().any(|text| !is_live(text)));
    let live = stage.texts().into_iter().take_while(|text| is_live(text)).count();
    // Six megabytes are decoded twice, one in each turn.
    assert!(live > 3, "only {live} lines came before the archive was decoded");

    follow(&mut stage, |stage| stage.texts().iter().filter(|text| !is_live(text)).count() == 100);
    let old: Vec<&str> = stage.texts().into_iter().filter(|text| !is_live(text)).collect();
    assert_eq!(old.concat(), lines(MANY - 100, 100));
    assert_eq!([Metric::BytesLost, Metric::FilesReread].map(|metric| stage.counted(metric)), [0; 2]);
}

#[test]
fn what_is_being_decoded_is_known_after_a_restart() {
    let mut stage = stage(40, &archive(&lines(0, MANY)));
    stage.look();
    stage.read(usize::MAX);
    assert_eq!(stage.counted(Metric::BacklogFiles), 1);
    stage.stop_and_start();
    follow(&mut stage, |stage| {
        stage.texts().iter().filter(|text| !is_live(text)).count() == MANY as usize - 40
    });
    let old: Vec<&str> = stage.texts().into_iter().filter(|text| !is_live(text)).collect();
    assert!(old.concat() == lines(40, MANY - 40));
}

#[test]
fn a_long_archive_that_is_damaged_at_its_end_is_not_believed() {
    let whole = archive(&lines(0, MANY));
    let mut stage = stage(40, &whole[..whole.len() - 8]);
    follow(&mut stage, |stage| stage.texts().len() > 20);
    stage.outwait();
    assert!(stage.texts().into_iter().all(is_live));
    let counted = [Metric::ArchivesDamaged, Metric::BytesLost].map(|metric| stage.counted(metric));
    assert_eq!(counted, [1, 20 * (u64::from(MANY) - 40)]);
}

/// It begins like the file and has the name that its archive would have.
#[test]
fn a_long_archive_of_another_file_is_left_alone_once_it_was_decoded() {
    let mut other = lines(0, MANY);
    other.replace_range(1950..1960, "otherwise ");
    let mut stage = stage(100, &archive(&other));
    follow(&mut stage, |stage| stage.counted(Metric::BytesLost) > 0);
    let counted = [Metric::BytesLost, Metric::ArchivesDamaged, Metric::BacklogFiles];
    stage.look();
    let counted = counted.map(|metric| stage.counted(metric));
    assert_eq!(counted, [20 * (u64::from(MANY) - 100), 0, 0]);
    stage.outwait();
    assert!(stage.texts().into_iter().all(is_live));
}

#[test]
fn long_archives_of_rotations_that_nobody_saw_are_read_in_order() {
    let mut stage = stage(MANY as usize - 10, &archive(&lines(0, MANY)));
    let known = stage.known();
    stage.kill();
    stage.rename("log.1.gz", "log.2.gz");
    rotate(&mut stage, &archive(&lines(MANY, MANY)));
    stage.restart(known);
    let count = MANY as usize + 10;
    follow(&mut stage, |stage| stage.texts().iter().filter(|text| !is_live(text)).count() == count);
    let old: Vec<&str> = stage.texts().into_iter().filter(|text| !is_live(text)).collect();
    assert!(old.concat() == lines(MANY - 10, MANY + 10));
}

/// Nothing of the archive is new: it is what is still open.
#[test]
fn a_long_archive_of_what_is_being_read_is_not_read() {
    let mut stage = Stage::simulated("log", Simulated::new());
    stage.append("log", &lines(0, MANY));
    stage.look();
    assert!(stage.read(10));
    rotate(&mut stage, &archive(&lines(0, MANY)));
    let is_done =
        |stage: &Stage| stage.texts().len() > MANY as usize && stage.counted(Metric::BacklogFiles) == 0;
    follow(&mut stage, is_done);
    stage.outwait();
    let old: Vec<&str> = stage.texts().into_iter().filter(|text| !is_live(text)).collect();
    assert!(old.concat() == lines(0, MANY), "{} lines came", old.len());
}
