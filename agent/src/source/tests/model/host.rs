//! The host as the model knows it: which names there are, which file each leads to, and which lines that holds.
//!
//! Does to the stage's files what happens, and keeps the picture of it; never looks at the files to learn something.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::Instant;

use super::super::super::InitialPosition;
use super::super::simulated::{Refusal, Simulated};
use super::super::stage::{GRACE, Stage};
use super::history::Reach;
use crate::source::discover::Scope;

/// The live file.
pub(super) const LIVE: &str = "log";
/// The names of a rotation, the live one first.
const NAMES: [&str; 4] = [LIVE, "log.1", "log.2", "log.3"];
/// The file that was rotated last.
pub(super) const OLD: &str = "log.1";
/// A second name of a file.
pub(super) const LINK: &str = "log.link";
/// A symbolic link to a file elsewhere.
const SYMLINK: &str = "log.now";
/// A place on another device.
const FAR: &str = "far/log.far";

/// A file, by its number in the model.
pub(super) type FileNumber = usize;

#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) pieces: Vec<Piece>,
    /// Its device and inode.
    pub(super) inode: (u64, u64),
    /// Whether it once lost a name: it may be finished, and then end in half a line.
    rotated: bool,
    /// Whether it is a copy, to which nobody writes.
    pub(super) is_copy: bool,
    /// Whether the source knows it.
    pub(super) known: bool,
    /// Whether it was rotated beside one that the source knows, or that was itself.
    pub(super) follows: bool,
    /// How large it is as the checkpoint knows it, if that does.
    pub(super) saved: Option<u64>,
    pub(super) altered: Altered,
    pub(super) refusal: Option<Refusal>,
    /// When it was last written to, or lost a name.
    active: Instant,
    /// Whether it was written to when it may have been closed: then it is no file that the agent remembers.
    pub(super) is_late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// What a truncation left.
    Nuls(usize),
    /// A whole line, by its number.
    Line(u32),
    /// The first half of a line.
    Half(u32),
}

/// Whether a file was emptied or cut since the last checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Altered {
    No,
    /// And the source has not looked since.
    Unseen,
    Seen,
}

/// A line that was written.
#[derive(Clone, Copy, Debug)]
struct Line {
    padding: u32,
    /// Whether it was written in halves.
    halved: bool,
    /// Whether both halves are written.
    ended: bool,
    /// Whether its first half may be taken for a line, as its file was rotated or copied in between.
    torn: bool,
}

/// What came of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    First,
    Second,
    Whole,
}

pub(super) struct Host {
    pub(super) stage: Stage,
    simulated: Option<Simulated>,
    reach: Reach,
    pub(super) files: Vec<File>,
    names: BTreeMap<String, FileNumber>,
    /// Where the symbolic link leads.
    linked: Option<String>,
    links: u32,
    archives: BTreeSet<String>,
    lines: Vec<Line>,
}

impl Host {
    pub(super) fn real(reach: Reach) -> Host {
        let stage = Stage::new(reach.pattern(), InitialPosition::Start, &[]);
        stage.make_directory("far");
        Host::new(stage, None, reach)
    }

    pub(super) fn simulated(reach: Reach) -> Host {
        let disk = Simulated::new();
        disk.mount(Path::new("/far")).unwrap();
        // A pipe that matches stops nobody.
        disk.make_pipe(Path::new("/log.pipe")).unwrap();
        Host::new(Stage::simulated(reach.pattern(), disk.clone()), Some(disk), reach)
    }

    fn new(stage: Stage, simulated: Option<Simulated>, reach: Reach) -> Host {
        stage.make_directory("apart");
        stage.make_directory("apart/archives");
        Host {
            stage,
            simulated,
            reach,
            files: Vec::new(),
            names: BTreeMap::new(),
            linked: None,
            links: 0,
            archives: BTreeSet::new(),
            lines: Vec::new(),
        }
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.simulated.is_some()
    }

    pub(super) fn at(&self, name: &str) -> Option<FileNumber> {
        self.names.get(name).copied()
    }

    pub(super) fn live(&self) -> Option<FileNumber> {
        self.at(LIVE)
    }

    /// The files to which the pattern leads.
    pub(super) fn matching(&self) -> BTreeSet<FileNumber> {
        self.found(&Scope::Everything)
    }

    /// The files to which the pattern leads by the names in `scope`.
    pub(super) fn found(&self, scope: &Scope) -> BTreeSet<FileNumber> {
        let is_within = |name: &str| match scope {
            Scope::Everything => true,
            Scope::Names(names) => names.contains(&self.stage.path(name)),
        };
        let matches = |name: &str| match self.reach {
            Reach::Name => name == LIVE,
            Reach::Names => name.starts_with(LIVE),
            Reach::Tree => name.rsplit('/').next().is_some_and(|name| name.starts_with(LIVE)),
        };
        let linked = self.linked.as_deref().filter(|_| matches(SYMLINK) && is_within(SYMLINK));
        let names = self.names.keys().map(String::as_str).filter(|name| matches(name) && is_within(name));
        names.chain(linked).filter_map(|name| self.at(name)).collect()
    }

    /// The files that are found beside their last name.
    pub(super) fn beside(&self) -> BTreeSet<FileNumber> {
        let named = self.names.iter().filter(|(name, _)| !name.contains('/')).map(|(_, file)| *file);
        named.chain(self.linked.as_deref().and_then(|name| self.at(name))).collect()
    }

    /// The files that have any name.
    pub(super) fn named(&self) -> BTreeSet<FileNumber> {
        self.names.values().copied().collect()
    }

    /// The whole lines of a file.
    pub(super) fn lines_of(&self, file: FileNumber) -> impl Iterator<Item = u32> {
        self.lines_within(file, usize::MAX)
    }

    /// The whole lines among the first pieces of a file.
    pub(super) fn lines_within(&self, file: FileNumber, pieces: usize) -> impl Iterator<Item = u32> {
        self.files[file].pieces.iter().take(pieces).filter_map(|piece| match piece {
            Piece::Line(line) => Some(*line),
            Piece::Nuls(_) | Piece::Half(_) => None,
        })
    }

    /// The half of a line that a file ends with.
    pub(super) fn half_of(&self, file: FileNumber) -> Option<u32> {
        match self.files[file].pieces.last() {
            Some(Piece::Half(line)) => Some(*line),
            Some(Piece::Nuls(_) | Piece::Line(_)) | None => None,
        }
    }

    pub(super) fn size(&self, file: FileNumber) -> usize {
        self.files[file].pieces.iter().map(|piece| self.piece_len(*piece)).sum()
    }

    pub(super) fn piece_len(&self, piece: Piece) -> usize {
        match piece {
            Piece::Nuls(len) => len,
            Piece::Line(line) => self.text(line, Part::Whole).len(),
            Piece::Half(line) => self.text(line, Part::First).len(),
        }
    }

    /// Which line a text is, and which part of it, if such a one was written and may come.
    pub(super) fn recognise(&self, text: &str) -> Option<(u32, Part)> {
        let number = text.get(..5)?.parse().ok()?;
        let line = self.lines.get(usize::try_from(number).ok()?)?;
        let part = [Part::Whole, Part::First, Part::Second].into_iter().find(|part| match part {
            Part::Whole => (!line.halved || line.ended) && self.text(number, *part) == text,
            Part::First => line.halved && line.torn && self.text(number, *part) == text,
            Part::Second => line.ended && line.torn && self.text(number, *part) == text,
        })?;
        Some((number, part))
    }

    pub(super) fn is_halved(&self, line: u32) -> bool {
        self.lines[line as usize].halved
    }

    fn text(&self, number: u32, part: Part) -> String {
        let line = self.lines[number as usize];
        let id = format!("{number:05}");
        match part {
            Part::First => id + "first",
            Part::Second => id + "second\n",
            Part::Whole if line.halved => format!("{id}first{id}second\n"),
            // The number all along, so that the proof of a position is its own.
            Part::Whole => id.repeat(1 + line.padding as usize / id.len()) + "\n",
        }
    }

    fn new_line(&mut self, padding: u32, halved: bool) -> u32 {
        self.lines.push(Line { padding, halved, ended: false, torn: false });
        u32::try_from(self.lines.len() - 1).unwrap()
    }

    fn new_file(&mut self, name: &str, pieces: Vec<Piece>) -> FileNumber {
        let stat = self.stage.stat(name);
        self.files.push(File {
            pieces,
            inode: (stat.device, stat.inode),
            rotated: false,
            is_copy: false,
            known: false,
            follows: false,
            saved: None,
            altered: Altered::No,
            refusal: None,
            active: self.stage.now,
            is_late: false,
        });
        self.names.insert(name.to_owned(), self.files.len() - 1);
        self.files.len() - 1
    }

    fn append(&mut self, name: &str, text: &str, piece: Option<Piece>) {
        self.stage.append(name, text);
        let file = self.at(name).unwrap_or_else(|| self.new_file(name, Vec::new()));
        self.touch(file);
        self.files[file].pieces.extend(piece);
    }

    /// Something happens to a file. A rotated one to which nobody wrote for the grace time may be closed by then, and
    /// what is written to it later goes unread.
    fn touch(&mut self, file: FileNumber) {
        let in_reach = self.matching().contains(&file);
        let (now, it) = (self.stage.now, &mut self.files[file]);
        it.is_late |= !in_reach && now - it.active >= GRACE;
        it.known &= !it.is_late;
        it.follows &= !it.is_late;
        it.active = now;
    }

    pub(super) fn create(&mut self) {
        self.append(LIVE, "", None);
    }

    /// Appends whole lines; a line begun before is ended first.
    pub(super) fn write(&mut self, name: &str, lines: u8, padding: u32) {
        self.end_half(name);
        for _ in 0..lines {
            let line = self.new_line(padding, false);
            self.append(name, &self.text(line, Part::Whole), Some(Piece::Line(line)));
        }
    }

    /// Ends a line that was begun; says whether there was one.
    fn end_half(&mut self, name: &str) -> bool {
        let Some(file) = self.at(name) else { return false };
        let Some(line) = self.half_of(file) else { return false };
        self.lines[line as usize].ended = true;
        self.files[file].pieces.pop();
        self.append(name, &self.text(line, Part::Second), Some(Piece::Line(line)));
        true
    }

    pub(super) fn write_half(&mut self, name: &str) {
        if !self.end_half(name) {
            let line = self.new_line(0, true);
            self.append(name, &self.text(line, Part::First), Some(Piece::Half(line)));
            self.lines[line as usize].torn = self.at(name).is_some_and(|file| self.files[file].rotated);
        }
    }

    /// A line to the file that the symbolic link leads to.
    pub(super) fn write_linked(&mut self) -> bool {
        let Some(name) = self.linked.clone() else { return false };
        self.write(&name, 1, 0);
        true
    }

    /// A file loses a name, so that half a line at its end may be taken as it is.
    fn rotate(&mut self, name: &str) {
        let Some(file) = self.at(name) else { return };
        self.touch(file);
        self.files[file].rotated = true;
        if let Some(line) = self.half_of(file) {
            self.lines[line as usize].torn = true;
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.rotate(from);
        self.rotate(to);
        self.stage.rename(from, to);
        let file = self.names.remove(from).unwrap();
        self.names.insert(to.to_owned(), file);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.rotate(name);
        self.stage.remove(name);
        self.names.remove(name);
    }

    /// Every name but the live one moves one on.
    fn make_room(&mut self) {
        for pair in NAMES.windows(2).rev() {
            let &[from, to] = pair else { continue };
            if from != LIVE && self.at(from).is_some() {
                self.rename(from, to);
            }
            if self.archives.remove(&archive(from)) {
                self.stage.rename(&archive(from), &archive(to));
                self.archives.insert(archive(to));
            }
        }
    }

    /// The live file becomes the first of the rotated ones.
    pub(super) fn rename_live(&mut self) {
        self.make_room();
        let live = self.live().unwrap();
        let rotated = NAMES.iter().skip(1).filter_map(|name| self.at(name)).collect::<Vec<_>>();
        let is_followed = rotated.into_iter().any(|file| self.files[file].known || self.files[file].follows);
        // Who could not open it does not look for it elsewhere.
        self.files[live].follows = is_followed && self.files[live].refusal.is_none();
        self.rename(LIVE, OLD);
    }

    /// The first of the rotated files becomes a copy of the live one; gives it.
    pub(super) fn copy_live(&mut self) -> FileNumber {
        self.make_room();
        self.copy(OLD)
    }

    /// The live file is copied to another device, and deleted; gives the copy.
    pub(super) fn move_live(&mut self) -> FileNumber {
        if self.at(FAR).is_some() {
            self.remove(FAR);
        }
        let copy = self.copy(FAR);
        self.remove(LIVE);
        copy
    }

    fn copy(&mut self, to: &str) -> FileNumber {
        self.stage.copy(LIVE, to);
        let live = self.live().unwrap();
        let pieces = self.files[live].pieces.clone();
        let copy = self.new_file(to, pieces);
        self.files[copy].is_copy = true;
        // It may be read on as what was rotated.
        self.rotate(to);
        copy
    }

    /// The live file keeps its first `len` bytes, which are so many pieces.
    pub(super) fn truncate(&mut self, pieces: usize, len: usize) {
        let live = self.live().unwrap();
        self.stage.truncate(LIVE, len as u64);
        self.touch(live);
        self.files[live].pieces.truncate(pieces);
        self.files[live].altered = Altered::Unseen;
    }

    /// Makes the emptied live file as long as it was before, with NUL bytes.
    pub(super) fn leave_hole(&mut self, len: usize) {
        if len > 0 {
            self.stage.truncate(LIVE, len as u64);
            let live = self.live().unwrap();
            self.files[live].pieces.push(Piece::Nuls(len));
        }
    }

    /// The oldest rotated file becomes a compressed one; says whether there was one.
    pub(super) fn compress(&mut self) -> bool {
        let Some(name) = NAMES.into_iter().rev().find(|name| *name != LIVE && self.at(name).is_some()) else {
            return false;
        };
        let archive = archive(name);
        if !self.archives.insert(archive.clone()) {
            self.stage.remove(&archive);
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let pieces = self.files[self.at(name).unwrap()].pieces.clone();
        for piece in pieces {
            let text = match piece {
                Piece::Nuls(len) => "\0".repeat(len),
                Piece::Line(line) => self.text(line, Part::Whole),
                Piece::Half(line) => self.text(line, Part::First),
            };
            encoder.write_all(text.as_bytes()).unwrap();
        }
        self.stage.write(&archive, &encoder.finish().unwrap());
        self.remove(name);
        true
    }

    pub(super) fn link(&mut self) {
        self.stage.link(LIVE, LINK);
        self.names.insert(LINK.to_owned(), self.live().unwrap());
    }

    /// The symbolic link leads to a new file; says whether there is one.
    pub(super) fn repoint(&mut self, lines: u8) -> bool {
        if self.reach == Reach::Name {
            return false;
        }
        if let Some(before) = self.linked.take() {
            self.rotate(&before);
            self.stage.remove(SYMLINK);
        }
        self.links += 1;
        let target = format!("apart/{}", self.links);
        self.write(&target, lines, 0);
        self.stage.symlink(&target, SYMLINK);
        self.linked = Some(target);
        true
    }

    /// The live file withholds what it holds; says whether that is possible here.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> bool {
        let (Some(simulated), Some(live)) = (&self.simulated, self.live()) else { return false };
        simulated.set_refusal(&self.stage.path(LIVE), Some(refusal)).unwrap();
        self.files[live].refusal = Some(refusal);
        true
    }

    /// No file withholds anything any more.
    pub(super) fn mend(&mut self) {
        let Some(simulated) = &self.simulated else { return };
        simulated.mend();
        self.files.iter_mut().for_each(|file| file.refusal = None);
    }

    pub(super) fn reboot(&mut self) {
        if let Some(simulated) = &self.simulated {
            simulated.renumber();
            self.files.iter_mut().for_each(|file| file.inode.0 += Simulated::RENUMBERED);
        }
    }
}

/// What is compressed goes to a directory of its own, where nobody looks for it.
fn archive(name: &str) -> String {
    format!("apart/archives/{name}.gz")
}
