//! Random histories of writing, rotating, truncating, killing and starting again, against an exact model.
//!
//! Every line has a number of its own, so that the model knows of each which files held it, whether a restart or a
//! counted re-reading lies between two copies, and whether it was cut away; and that no two lines say that they are from
//! the same place. (G1, G3)

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::super::InitialPosition;
use super::stage::Stage;
use crate::metrics::Metric;
use crate::position::{Generation, Head, Mark, Offset, Tail};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// Whole lines to the live file, each with this much padding.
    Write {
        lines: u8,
        padding: u16,
    },
    /// Whole lines to the file that was rotated last, as by a writer that still has it open.
    WriteOld,
    /// Half a line, or the other half.
    WriteHalf,
    /// Every name moves one on, the last is lost, and there is no live file until the next write.
    Rename,
    /// The same, but the live file is copied and emptied.
    Copytruncate,
    /// The two halves of that, between which others may act.
    Copy,
    Truncate,
    /// Only the second half of the file is cut away.
    TruncatePart,
    /// Emptied and written again.
    Rewrite {
        lines: u8,
        padding: u16,
    },
    Delete,
    Recreate {
        lines: u8,
    },
    Link,
    Look,
    /// It looks only at those of the names whose bits are set: what was heard of.
    Hear {
        names: u8,
    },
    Read {
        lines: u8,
    },
    ReadAll,
    /// More than the grace time passes.
    Outwait,
    Ack {
        spans: u8,
    },
    /// A checkpoint is written.
    Save,
    /// The agent is killed and goes on from the last checkpoint.
    Restart,
}

impl Action {
    fn name(self) -> String {
        let text = format!("{self:?}");
        text.split(' ').next().unwrap_or_default().to_owned()
    }
}

fn action() -> impl Strategy<Value = Action> {
    // Most lines are short; some make a head whole at once.
    let padding = prop_oneof![0u16..60, 300u16..700];
    let lines = 1u8..5;
    prop_oneof![
        6 => (lines.clone(), padding.clone()).prop_map(|(lines, padding)| Action::Write { lines, padding }),
        2 => Just(Action::WriteOld),
        2 => Just(Action::WriteHalf),
        2 => Just(Action::Rename),
        1 => Just(Action::Copytruncate),
        1 => Just(Action::Copy),
        1 => Just(Action::Truncate),
        1 => Just(Action::TruncatePart),
        1 => (lines.clone(), padding).prop_map(|(lines, padding)| Action::Rewrite { lines, padding }),
        1 => Just(Action::Delete),
        1 => lines.clone().prop_map(|lines| Action::Recreate { lines }),
        1 => Just(Action::Link),
        3 => Just(Action::Look),
        3 => any::<u8>().prop_map(|names| Action::Hear { names }),
        3 => lines.prop_map(|lines| Action::Read { lines }),
        3 => Just(Action::ReadAll),
        1 => Just(Action::Outwait),
        2 => (0u8..4).prop_map(|spans| Action::Ack { spans }),
        2 => Just(Action::Save),
        1 => Just(Action::Restart),
    ]
}

/// The names of a rotation, the live one first.
const NAMES: [&str; 4] = ["log", "log.1", "log.2", "log.3"];
const LINK: &str = "log.link";

/// When a line last came.
#[derive(Clone, Copy)]
struct Last {
    restarts: u32,
    reread: u64,
    place: (Mark, Offset),
}

struct Model {
    stage: Stage,
    /// Whether rotated files match the pattern.
    all_match: bool,
    /// How many files may be open at once.
    open_files: usize,
    next: u32,
    /// The half of a line that the live file ends with, by inode.
    begun: BTreeMap<u64, String>,
    /// Every text that may come: whole lines, and halves of a line that were torn apart by a rotation.
    written: BTreeSet<String>,
    /// Inodes that once lost a name: they may be finished, and then end in half a line.
    rotated: BTreeSet<u64>,
    /// Inodes the source knows, each held open, so that its number is not used again.
    known: BTreeMap<u64, File>,
    /// Whole lines that the source could see in a file since it was started.
    seen: BTreeSet<String>,
    /// Inodes that were emptied or cut since the last checkpoint, and whether the source has looked since.
    altered: BTreeMap<u64, bool>,
    /// Whether a file was cut that has a copy: both go on from one beginning, and what is lost of one seems to be in
    /// the other.
    forked: bool,
    /// Inodes of copies, to which nobody writes.
    copies: BTreeSet<u64>,
    /// Lines of copies that are too short, or were made too soon, to be told from other files.
    ambiguous: BTreeSet<String>,
    saved: Vec<Generation>,
    /// Those inodes of it that are still open here, so that their numbers mean the same files.
    saved_inodes: BTreeSet<u64>,
    restarts: u32,
    last: BTreeMap<String, Last>,
    /// Which line said that it is from where.
    places: BTreeMap<(Mark, Offset), String>,
    /// Lines with which a file began when it was cut in its middle, and no checkpoint was written since: an agent that
    /// is killed then cannot know that the file is not what it was.
    cut: BTreeSet<String>,
    /// Those of them with which two files begin that cannot be told apart.
    mistaken: BTreeSet<String>,
    /// The last restart after which an earlier alteration was known to no checkpoint: what is emptied or cut before
    /// it is known makes other marks.
    confused: u32,
    /// Lines that a cut has left: they come again, as the beginning of another file.
    kept: BTreeSet<String>,
    /// Lines of copies, which need not be known as such by what a killed agent has left.
    copied: BTreeSet<String>,
    /// Whether half a line was ever taken as it is.
    halved: bool,
    judged: usize,
}

impl Model {
    fn new(all_match: bool, open_files: usize) -> Model {
        let pattern = if all_match { "log*" } else { "log" };
        let mut stage = Stage::with_open_files(open_files, pattern, InitialPosition::Start, &[]);
        let saved = stage.known();
        Model {
            stage,
            all_match,
            open_files,
            next: 0,
            begun: BTreeMap::new(),
            written: BTreeSet::new(),
            rotated: BTreeSet::new(),
            known: BTreeMap::new(),
            seen: BTreeSet::new(),
            altered: BTreeMap::new(),
            forked: false,
            copies: BTreeSet::new(),
            ambiguous: BTreeSet::new(),
            saved,
            saved_inodes: BTreeSet::new(),
            restarts: 0,
            last: BTreeMap::new(),
            places: BTreeMap::new(),
            cut: BTreeSet::new(),
            mistaken: BTreeSet::new(),
            confused: 0,
            kept: BTreeSet::new(),
            copied: BTreeSet::new(),
            halved: false,
            judged: 0,
        }
    }

    fn inode(&self, name: &str) -> Option<u64> {
        fs::metadata(self.stage.path(name)).ok().map(|metadata| metadata.ino())
    }

    fn lines(&mut self, lines: u8, padding: u16) -> String {
        let mut text = String::new();
        for _ in 0..lines {
            self.next += 1;
            // The number all along, so that the proof of a position is its own.
            let line = format!("{:05}", self.next).repeat(1 + usize::from(padding) / 5) + "\n";
            self.written.insert(line.clone());
            text += &line;
        }
        text
    }

    /// Appends whole lines; a line begun before is ended first.
    fn write(&mut self, name: &str, lines: u8, padding: u16) {
        self.end_half(name);
        let text = self.lines(lines, padding);
        self.stage.append(name, &text);
    }

    /// Ends a line that was begun; says whether there was one.
    fn end_half(&mut self, name: &str) -> bool {
        let Some(inode) = self.inode(name) else { return false };
        let Some(first) = self.begun.remove(&inode) else { return false };
        let second = "second\n";
        self.written.insert(format!("{first}{second}"));
        if self.rotated.contains(&inode) {
            self.written.insert(second.to_owned());
        }
        self.stage.append(name, second);
        true
    }

    fn write_half(&mut self, name: &str) {
        if !self.end_half(name) {
            self.next += 1;
            let first = format!("{:05}first", self.next);
            self.stage.append(name, &first);
            let inode = self.inode(name).unwrap();
            if self.rotated.contains(&inode) {
                self.written.insert(first.clone());
            }
            self.begun.insert(inode, first);
        }
    }

    /// The file will lose a name, so that half a line at its end may be taken as it is.
    fn rotate(&mut self, name: &str) {
        let Some(inode) = self.inode(name) else { return };
        self.rotated.insert(inode);
        self.written.extend(self.begun.get(&inode).cloned());
    }

    /// Every name but the live one moves one on.
    fn make_room(&mut self) {
        for pair in NAMES.windows(2).rev() {
            if let [from, to] = pair
                && *from != "log"
                && self.inode(from).is_some()
            {
                self.rotate(from);
                self.rotate(to);
                self.stage.rename(from, to);
            }
        }
    }

    fn act(&mut self, action: Action) {
        let is_live = self.inode("log").is_some();
        match action {
            Action::Write { lines, padding } => self.write("log", lines, padding),
            Action::WriteOld if self.inode("log.1").is_some_and(|old| !self.copies.contains(&old)) => {
                self.write("log.1", 1, 0)
            }
            Action::WriteHalf => self.write_half("log"),
            Action::Rename if is_live => {
                self.make_room();
                self.rotate("log");
                let live = self.inode("log");
                self.copies.retain(|copy| Some(*copy) != live);
                self.stage.rename("log", "log.1");
            }
            Action::Copytruncate if is_live => {
                self.act(Action::Copy);
                self.act(Action::Truncate);
            }
            Action::Copy if is_live => {
                self.make_room();
                self.stage.copy("log", "log.1");
                let copy = File::open(self.stage.path("log.1")).unwrap();
                self.copied.extend(whole_lines(&copy));
                // A copy of a file that was cut may be taken for one of what it was before.
                self.mistaken.extend(self.kept.iter().cloned());
                let is_known = self.inode("log").is_some_and(|live| {
                    self.known.contains_key(&live) && self.altered.get(&live) != Some(&false)
                });
                if !is_known || copy.metadata().unwrap().size() < Head::BYTES as u64 {
                    self.ambiguous.extend(whole_lines(&copy));
                    let live = self.inode("log");
                    self.ambiguous.extend(live.and_then(|live| self.begun.get(&live)).cloned());
                }
                // The copy may be read on as what was rotated.
                let begun = self.inode("log").and_then(|inode| self.begun.get(&inode));
                self.written.extend(begun.cloned());
                self.rotate("log.1");
                self.copies.extend(self.inode("log.1"));
            }
            Action::Truncate if is_live => self.truncate(0),
            Action::TruncatePart if is_live => {
                let text = fs::read(self.stage.path("log")).unwrap();
                let half = text.get(..text.len() / 2).unwrap_or_default();
                let len = half.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
                // A line or two that are left, or what is in a copy as well, cannot be told from another file's.
                if len < Tail::BYTES || !self.copies.is_empty() {
                    self.ambiguous.extend(whole_lines(&File::open(self.stage.path("log")).unwrap()));
                }
                self.forked |= !self.copies.is_empty();
                // Behind the position, a cut that is filled up again at once is not seen.
                let lines = |bytes: Option<&[u8]>| -> Vec<String> {
                    let lines = bytes.unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
                    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
                };
                let (kept, lost) = (lines(text.get(..len)), lines(text.get(len..)));
                self.seen.retain(|line| !lost.contains(line));
                // Nor is it after a kill, where what is cut away was read before that only. And a copy that still holds
                // it is as much the same file as what grows here.
                let before =
                    |line: &String| self.last.get(line).is_some_and(|it| it.restarts < self.restarts);
                if self.forked || lost.iter().any(before) {
                    self.mistaken.extend(kept.iter().cloned());
                }
                self.kept.extend(kept.iter().cloned());
                self.cut.extend(kept);
                self.truncate(len);
            }
            Action::Rewrite { lines, padding } if is_live => {
                self.truncate(0);
                self.write("log", lines, padding);
            }
            Action::Delete if is_live => {
                self.rotate("log");
                self.stage.remove("log");
            }
            Action::Recreate { lines } if is_live => {
                self.act(Action::Delete);
                self.write("log", lines, 0);
            }
            Action::Link if is_live && self.inode(LINK).is_none() => {
                fs::hard_link(self.stage.path("log"), self.stage.path(LINK)).unwrap();
            }
            Action::Link if self.inode(LINK).is_some() => {
                self.rotate(LINK);
                self.stage.remove(LINK);
            }
            Action::Look => self.look(),
            Action::Hear { names } => {
                let is_heard =
                    |at: usize| names.checked_shr(u32::try_from(at).unwrap_or(8)).unwrap_or(0) & 1 == 1;
                let names = [&NAMES[..], &[LINK]].concat();
                let heard = names.into_iter().enumerate().filter(|(at, _)| is_heard(*at));
                self.stage.look_at(&heard.map(|(_, name)| name).collect::<Vec<_>>());
            }
            Action::Read { lines } => {
                self.look();
                self.stage.read(lines.into());
            }
            Action::ReadAll => {
                self.look();
                self.stage.read_all();
            }
            Action::Outwait => self.outwait(),
            Action::Ack { spans } => self.stage.books.ack(spans.into()),
            Action::Save => self.save(),
            Action::Restart => self.restart(),
            Action::WriteOld
            | Action::Rename
            | Action::Copytruncate
            | Action::Copy
            | Action::Truncate
            | Action::TruncatePart
            | Action::Rewrite { .. }
            | Action::Delete
            | Action::Recreate { .. }
            | Action::Link => return,
        }
        *OCCURRED.lock().unwrap().entry(action.name()).or_default() += 1;
        assert!(self.stage.open_files() <= self.open_files, "too many files are open");
        self.judge();
    }

    fn truncate(&mut self, len: usize) {
        let inode = self.inode("log").unwrap();
        self.begun.remove(&inode);
        self.altered.insert(inode, false);
        self.stage.truncate("log", len as u64);
    }

    /// The source looks, and knows from then on what there is.
    fn look(&mut self) {
        for name in self.matching() {
            if let Ok(file) = File::open(self.stage.path(name)) {
                self.seen.extend(whole_lines(&file));
                let inode = file.metadata().unwrap().ino();
                // A copy is left alone while its original is whole.
                if !self.copies.contains(&inode) {
                    self.known.insert(inode, file);
                }
            }
        }
        self.altered.values_mut().for_each(|looked| *looked = true);
        self.stage.look();
    }

    fn matching(&self) -> Vec<&'static str> {
        if self.all_match { [&NAMES[..], &[LINK]].concat() } else { vec!["log"] }
    }

    fn outwait(&mut self) {
        self.look();
        self.stage.outwait();
        self.judge();
        self.all_came();
        self.known.clear();
        self.saved_inodes.clear();
        self.look();
    }

    fn save(&mut self) {
        self.saved = self.stage.known();
        self.altered.retain(|_, looked| !*looked);
        if self.altered.is_empty() {
            self.cut.clear();
        }
        let inodes = self.saved.iter().map(|known| known.identity.inode);
        self.saved_inodes = inodes.filter(|inode| self.known.contains_key(inode)).collect();
    }

    fn restart(&mut self) {
        self.restarts += 1;
        if !self.altered.is_empty() {
            self.confused = self.restarts;
        }
        self.mistaken.append(&mut self.cut);
        // Copies and originals that the checkpoint does not know are met together.
        let copies = NAMES.iter().filter(|name| self.inode(name).is_some_and(|it| self.copies.contains(&it)));
        let copies: Vec<File> = copies.filter_map(|name| File::open(self.stage.path(name)).ok()).collect();
        self.ambiguous.extend(copies.iter().flat_map(whole_lines));
        self.stage.restart(self.saved.clone());
        self.seen.clear();
        // What has no name left is gone with the process; what the checkpoint does not know is found only where
        // the pattern leads.
        // And what was rewritten as well has nothing but a number that may have been used again.
        self.known.retain(|inode, file| {
            let has_name = file.metadata().unwrap().nlink() > 0;
            has_name && self.saved_inodes.contains(inode) && !self.altered.contains_key(inode)
        });
        self.altered.clear();
        self.save();
        self.look();
    }

    /// Whatever came since the last judgement was written, and came before only if that is allowed.
    fn judge(&mut self) {
        let reread = self.stage.counted(Metric::FilesReread);
        let mut order: BTreeMap<_, &str> = BTreeMap::new();
        for came in &self.stage.came[self.judged..] {
            assert!(self.written.contains(&came.text), "{:.20?} was not written", came.text);
            self.halved |= came.text.ends_with("first");
            let now = Last { restarts: self.restarts, reread, place: came.place };
            // A second half says which line it is of only together with the first.
            if let Some(last) = self.last.insert(came.text.clone(), now)
                && came.text != "second\n"
            {
                let is_allowed = last.restarts < now.restarts
                    || last.reread < now.reread
                    || self.ambiguous.contains(&came.text);
                assert!(is_allowed, "line {:.5} came twice", came.text);
                // A first line that came in halves, and comes whole after a kill, makes another mark.
                let is_found = last.reread == now.reread
                    && !self.halved
                    && last.restarts >= self.confused
                    && !self.begins_with(came.place.0, &came.text, &self.kept)
                    && !self.copied.contains(&came.text)
                    && !self.ambiguous.contains(&came.text);
                assert!(!is_found || last.place == came.place, "line {:.5} is from two places", came.text);
            }
            let other = self.places.insert(came.place, came.text.clone());
            let is_other = |other: &String| {
                !came.text.starts_with(other.trim_end()) && !other.starts_with(came.text.trim_end())
            };
            if let Some(other) = other.filter(is_other) {
                let is_mistaken = self.begins_with(came.place.0, &other, &self.mistaken);
                assert!(is_mistaken, "lines {other:.5} and {:.5} are both at {:?}", came.text, came.place);
            }
            if came.text != "second\n" {
                let before = order.insert(came.file, &came.text);
                assert!(
                    before.is_none_or(|before| before < came.text.as_str()),
                    "line {:.5} came too late",
                    came.text
                );
            }
        }
        self.judged = self.stage.came.len();
    }

    /// Whether the first line that came with `mark`, or `line` if none did yet, is one of `lines`.
    fn begins_with(&self, mark: Mark, line: &str, lines: &BTreeSet<String>) -> bool {
        let first =
            self.places.range((mark, Offset::START)..).next().filter(|((found, _), _)| *found == mark);
        lines.contains(first.map_or(line, |(_, first)| first))
    }

    /// Every whole line came that is in a file which the pattern leads to, or which the source knows.
    fn all_came(&self) {
        let named = self.matching().into_iter().filter_map(|name| File::open(self.stage.path(name)).ok());
        // Of what has no name any more, nothing can be opened again.
        let is_held = |file: &&File| self.open_files == usize::MAX || file.metadata().unwrap().nlink() > 0;
        for file in named.collect::<Vec<_>>().iter().chain(self.known.values().filter(is_held)) {
            for line in whole_lines(file) {
                let halves = line.strip_suffix("second\n").map(str::to_owned);
                let in_halves = halves.is_some_and(|first| self.last.contains_key(&first));
                assert!(self.last.contains_key(&line) || in_halves, "line {line:.5} did not come");
            }
        }
        let is_lost = self.seen.iter().any(|line| !self.last.contains_key(line) && !line.contains("second"));
        if is_lost && !self.forked {
            assert_ne!(self.stage.counted(Metric::BytesLost), 0, "lost in silence");
        }
    }
}

fn whole_lines(file: &File) -> Vec<String> {
    use std::io::Seek;
    let (mut text, mut file) = (String::new(), file);
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect()
}

/// How many kinds of action there are.
const ACTIONS: usize = 20;

/// How often each action was possible and done in all histories.
static OCCURRED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn run(all_match: bool, open_files: usize, actions: &[Action]) {
    let mut model = Model::new(all_match, open_files);
    for action in actions {
        model.act(*action);
    }
    model.outwait();
}

#[expect(clippy::print_stdout, reason = "how often each action occurred is part of what the test has to say")]
#[test]
fn no_history_loses_repeats_or_invents_a_line() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    let config = ProptestConfig { cases, ..ProptestConfig::with_source_file(file!()) };
    let open_files = prop_oneof![2 => Just(usize::MAX), 1 => 1usize..4];
    let histories = (any::<bool>(), open_files, proptest::collection::vec(action(), 1..60));
    // The same histories each time, so that a change is to blame when one fails; others when a number of them is asked
    // for (`PROPTEST_CASES=100000 cargo test -p kinetail model`).
    let mut runner = if std::env::var_os("PROPTEST_CASES").is_some() {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    };
    let result = runner.run(&histories, |(all_match, open_files, actions)| {
        run(all_match, open_files, &actions);
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.map_or_else(|error| error.to_string(), |()| String::new()));
    let occurred = OCCURRED.lock().unwrap();
    println!("{occurred:#?}");
    let is_rare = |times: &u64| *times < u64::from(cases) * 2 / 5;
    assert!(occurred.len() == ACTIONS && !occurred.values().any(is_rare), "too rare: {occurred:?}");
}
