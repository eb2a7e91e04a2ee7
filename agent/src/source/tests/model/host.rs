//! The host as the model knows it: which names there are, which file each leads to, and what that holds.
//!
//! Does to the stage's files what happens, and keeps the picture of it; never looks at the files to learn something.

mod rotating;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::super::InitialPosition;
use super::super::ground::Writer;
use super::super::simulated::{Refusal, Simulated};
use super::super::stage::{GRACE, Stage};
use super::file::{Altered, File, FileNumber, Piece};
use super::history::Reach;
use super::lines::{Lines, Padding, Part};
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

pub(super) struct Host {
    pub(super) stage: Stage,
    simulated: Option<Simulated>,
    reach: Reach,
    pub(super) files: Vec<File>,
    names: BTreeMap<String, FileNumber>,
    /// Where the symbolic link leads.
    linked: Option<String>,
    links: u32,
    /// The archives, each with the file that was compressed.
    archives: BTreeMap<String, FileNumber>,
    /// A file that a writer keeps open.
    held: Option<(FileNumber, Box<dyn Writer>)>,
    pub(super) lines: Lines,
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
        Host {
            stage,
            simulated,
            reach,
            files: Vec::new(),
            names: BTreeMap::new(),
            linked: None,
            links: 0,
            archives: BTreeMap::new(),
            held: None,
            lines: Lines::default(),
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
        let linked = self.linked.as_deref().and_then(|name| self.at(name));
        named.chain(linked).chain(self.archives.values().copied()).collect()
    }

    /// Those of them whose names say which log they are of.
    pub(super) fn rotated(&self) -> BTreeSet<FileNumber> {
        let named = NAMES.iter().filter_map(|name| self.at(name));
        let linked = self.linked.as_deref().and_then(|name| self.at(name));
        named.chain(linked).chain(self.archives.values().copied()).collect()
    }

    /// The files that have any name, or are in an archive.
    pub(super) fn named(&self) -> BTreeSet<FileNumber> {
        self.names.values().chain(self.archives.values()).copied().collect()
    }

    /// The name by which a file is met first, if it has any.
    pub(super) fn first_name(&self, file: FileNumber) -> Option<&str> {
        self.names.iter().find(|(_, named)| **named == file).map(|(name, _)| name.as_str())
    }

    /// The files that are compressed.
    pub(super) fn archived(&self) -> BTreeSet<FileNumber> {
        self.archives.values().copied().collect()
    }

    /// The whole lines of a file.
    pub(super) fn lines_of(&self, file: FileNumber) -> impl Iterator<Item = u32> {
        self.files[file].lines_within(usize::MAX)
    }

    /// The half of a line that a file ends with.
    pub(super) fn half_of(&self, file: FileNumber) -> Option<u32> {
        self.files[file].half()
    }

    /// What a file holds.
    fn text_of(&self, file: FileNumber) -> String {
        self.files[file].pieces.iter().map(|piece| self.lines.text_of(*piece)).collect()
    }

    pub(super) fn size(&self, file: FileNumber) -> usize {
        self.text_of(file).len()
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
            was_linked: false,
            is_overlapping: false,
            is_cut: false,
        });
        self.names.insert(name.to_owned(), self.files.len() - 1);
        self.files.len() - 1
    }

    fn append(&mut self, name: &str, text: &str, piece: Option<Piece>) {
        self.stage.append(name, text);
        let file = self.at(name).unwrap_or_else(|| self.new_file(name, Vec::new()));
        self.touch(file);
        self.files[file].is_overlapping |= name == OLD;
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
        self.write_lines(name, lines, Padding::Own(padding));
    }

    /// Appends lines that end alike to the live file. Where that was cut behind its head, nothing else would prove a
    /// position in it.
    pub(super) fn write_alike(&mut self, lines: u8) {
        let is_cut = self.live().is_some_and(|live| self.files[live].is_cut);
        self.write_lines(LIVE, lines, if is_cut { Padding::Own(0) } else { Padding::Alike });
    }

    fn write_lines(&mut self, name: &str, lines: u8, padding: Padding) {
        self.end_half(name);
        for _ in 0..lines {
            let line = self.lines.begin(padding);
            self.append(name, &self.lines.text(line, Part::Whole), Some(Piece::Line(line)));
        }
    }

    /// Ends a line that was begun; says whether there was one.
    fn end_half(&mut self, name: &str) -> bool {
        let Some(file) = self.at(name) else { return false };
        let Some(line) = self.half_of(file) else { return false };
        self.lines.end(line);
        self.files[file].pieces.pop();
        self.append(name, &self.lines.text(line, Part::Second), Some(Piece::Line(line)));
        true
    }

    /// A writer opens the live file, and closes what it had open.
    pub(super) fn hold(&mut self) {
        self.held = self.live().map(|live| (live, self.stage.open_to_write(LIVE)));
    }

    /// A line by that writer, if its file has no name any more; one begun before is ended first.
    pub(super) fn write_held(&mut self) -> bool {
        let names = &self.names;
        let is_nameless = |(file, _): &mut (FileNumber, _)| !names.values().any(|named| named == file);
        let Some((file, writer)) = self.held.take_if(is_nameless) else { return false };
        let half = self.half_of(file);
        if let Some(line) = half {
            self.lines.end(line);
            self.files[file].pieces.pop();
        }
        let whole = self.lines.begin(Padding::Own(0));
        let parts = half.map(|line| (line, Part::Second)).into_iter().chain([(whole, Part::Whole)]);
        for (line, part) in parts {
            self.stage.append_to(&*writer, &self.lines.text(line, part));
            self.touch(file);
            self.files[file].pieces.push(Piece::Line(line));
        }
        self.held = Some((file, writer));
        true
    }

    pub(super) fn write_half(&mut self, name: &str) {
        if !self.end_half(name) {
            let line = self.lines.begin_half();
            self.append(name, &self.lines.text(line, Part::First), Some(Piece::Half(line)));
            if self.at(name).is_some_and(|file| self.files[file].rotated) {
                self.lines.tear(line);
            }
        }
    }

    /// A line to the file that the symbolic link leads to.
    pub(super) fn write_linked(&mut self) -> bool {
        let Some(name) = self.linked.clone() else { return false };
        self.write(&name, 1, 0);
        true
    }

    pub(super) fn link(&mut self) {
        self.stage.link(LIVE, LINK);
        let live = self.live().unwrap();
        self.files[live].was_linked = true;
        self.names.insert(LINK.to_owned(), live);
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
