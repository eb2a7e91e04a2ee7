//! The files of one flow that are read, by name, by inode and in order, with the sum of what is unread.
//!
//! Only keeps them together: what a name or an inode means is decided in `files`. Whatever changes here that matters
//! after a crash is given out as a [`Change`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::Change;
use super::discover::Scope;
use super::evidence::{self, Opened};
use super::held::{Door, Held};
use super::index::{Index, Traits, Unread};
use super::mark;
use super::tail::Cursor;
use crate::position::{FileId, Generation, Head, Identity, Mark, Offset, Position, Span, Tail};

/// How many files are remembered after their end: more than a rotation moves at once, few enough to be compared with
/// each new file.
const REMEMBERED: usize = 256;

/// One file that is read.
#[derive(Debug)]
pub(super) struct Tailed {
    pub(super) file: Held,
    pub(super) identity: Identity,
    pub(super) mark: Mark,
    /// Where its footer begins, once that is found.
    pub(super) footer: Option<Offset>,
    /// Whether it is read beyond its header, which is not to be counted again then.
    pub(super) beyond_header: bool,
    /// The checksum of its very first bytes: they stay when it is cut in the middle of its head.
    pub(super) first: Head,
    pub(super) begun: Begun,
    /// From here on all of it was read in this run.
    pub(super) start: Offset,
    pub(super) path: PathBuf,
    pub(super) cursor: Cursor,
    /// Its size when it last held what was known of it.
    pub(super) size: u64,
    pub(super) modified: i64,
    pub(super) born: u64,
    /// Whether a read did not find in it what was read before.
    pub(super) suspect: bool,
    /// Whether other names lead to it as well.
    pub(super) linked: bool,
    /// Whether its name was taken from it: it is renamed, removed or replaced, and will come to an end.
    pub(super) leaving: bool,
    /// Whether a newer file of its log was there at the start.
    pub(super) superseded: bool,
    /// Whether a name of the pattern still leads to it.
    pub(super) in_reach: bool,
    /// Whether it is leaving, was read to its end, and its last line was taken as it is.
    pub(super) finished: bool,
    /// When bytes were last read from it or written to it, or its name was taken from it.
    pub(super) active: Instant,
    /// When it was looked at last though nothing was heard of it.
    pub(super) polled: Instant,
}

/// What a file was when it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Something that could be compared with what is known.
    Whole,
    /// Nothing: it may be a copy that was just begun.
    Empty,
    /// Nothing, and by now it is known to be a copy.
    AsCopy,
}

impl Tailed {
    /// How far it is read.
    pub(super) fn position(&self) -> Position {
        self.cursor.position
    }

    /// Bytes that are not read yet.
    pub(super) fn behind(&self) -> u64 {
        self.size.saturating_sub(self.cursor.position.offset.to_raw())
    }

    /// Whether newer lines of its log are in another file.
    pub(super) fn is_backlog(&self) -> bool {
        self.leaving || self.superseded
    }

    fn traits(&self) -> Traits {
        Traits {
            head: self.identity.head,
            place: self.mark.place,
            is_unheard: self.linked || (self.leaving && !self.finished),
            is_open: self.file.is_open(),
            unread: Unread::of(self.behind(), self.is_backlog()),
        }
    }

    /// What is to be remembered of it.
    pub(super) fn generation(&self, file: FileId) -> Generation {
        Generation {
            file,
            identity: self.identity,
            mark: Some(self.mark),
            leaving: self.leaving,
            footer: self.footer,
            first: self.first,
            beside: false,
            path: self.path.clone(),
            position: self.cursor.position,
            size: self.size,
            modified: self.modified,
            born: self.born,
        }
    }
}

/// The files that are read.
#[derive(Debug)]
pub(super) struct Table {
    door: Arc<Door>,
    files: BTreeMap<FileId, Tailed>,
    index: Index,
    by_inode: BTreeMap<(u64, u64), FileId>,
    by_path: BTreeMap<PathBuf, FileId>,
    next: FileId,
    changes: Vec<Change>,
    /// What is not read any more, the latest last: its copy may still appear, or it may come back.
    past: VecDeque<Generation>,
}

impl Table {
    /// An empty table of files that are opened through `door`.
    pub(super) fn new(door: Door) -> Table {
        Table {
            door: Arc::new(door),
            files: BTreeMap::new(),
            index: Index::default(),
            by_inode: BTreeMap::new(),
            by_path: BTreeMap::new(),
            next: FileId::FIRST,
            changes: Vec::new(),
            past: VecDeque::new(),
        }
    }

    pub(super) fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FileId, &Tailed)> {
        self.files.iter().map(|(id, tailed)| (*id, tailed))
    }

    pub(super) fn get(&self, id: FileId) -> Option<&Tailed> {
        self.files.get(&id)
    }

    pub(super) fn by_path(&self, path: &Path) -> Option<FileId> {
        self.by_path.get(path).copied()
    }

    /// The files that are lost if a look over `scope` does not meet them.
    pub(super) fn within(&self, scope: &Scope) -> BTreeSet<FileId> {
        match scope {
            // Some have names that lead to others by now.
            Scope::Everything => self.files.keys().copied().collect(),
            Scope::Names(_) => scope.of(&self.by_path).map(|(_, id)| *id).collect(),
        }
    }

    pub(super) fn by_inode(&self, device: u64, inode: u64) -> Option<FileId> {
        self.by_inode.get(&(device, inode)).copied()
    }

    /// Takes in a file that is read from `position` on, and goes on under `mark`. Where lines behind `position` were
    /// read under that before, from another file, it gets one of its own.
    pub(super) fn admit(
        &mut self,
        path: &Path,
        opened: Opened,
        position: Position,
        mark: Option<Mark>,
        now: Instant,
    ) -> FileId {
        let id = self.next;
        self.next = id.next();
        let place = opened.place();
        let Opened { file, stat, identity } = opened;
        // What is read from its beginning shows once more how it begins.
        let first = |mark: Mark| mark.first.filter(|_| position.offset != Offset::START);
        let mark = mark.filter(|mark| !self.is_read_beyond(*mark, position));
        let mark = mark.map(|mark| Mark { first: first(mark), ..mark }).unwrap_or_else(|| Mark {
            place,
            turn: mark::turn(place, self.marked(place).map(|(mark, _)| mark)),
            first: None,
        });
        let tailed = Tailed {
            first: evidence::read_head(&*file, Tail::BYTES).unwrap_or_default(),
            file: Held::open(&self.door, path, &stat, file),
            begun: if stat.size == 0 { Begun::Empty } else { Begun::Whole },
            start: position.offset,
            identity,
            mark,
            footer: None,
            beyond_header: false,
            path: path.to_owned(),
            cursor: Cursor::at(position),
            size: stat.size,
            modified: stat.modified,
            born: stat.born,
            suspect: false,
            linked: stat.links > 1,
            leaving: false,
            superseded: false,
            in_reach: true,
            finished: false,
            active: now,
            polled: now,
        };
        self.index.add(id, tailed.traits());
        self.by_inode.insert((identity.device, identity.inode), id);
        self.by_path.insert(path.to_owned(), id);
        self.files.insert(id, tailed);
        self.tell(id);
        id
    }

    /// The mark of a file of which `bytes`, from `offset` on, were read; if they are the first behind its header, they
    /// complete it.
    pub(super) fn mark(&mut self, id: FileId, offset: Offset, bytes: &[u8]) -> Option<Mark> {
        let mark = self.files.get(&id)?.mark;
        if mark.first.is_some() || bytes.is_empty() {
            return Some(mark);
        }
        let first = Some(mark::first(offset, bytes));
        // One that begins like a known one was cut, or has a heading. Counting alone may come upon a number that an agent
        // used which was killed.
        let is_known = |(other, _): (Mark, Position)| other.first == first;
        let turn = if self.marked(mark.place).any(is_known) { fastrand::u32(..) } else { mark.turn };
        let mark = Mark { turn, first, ..mark };
        self.edit(id, |tailed| tailed.mark = mark);
        self.tell(id);
        Some(mark)
    }

    /// Notes where the footer of a file begins, if that is known.
    pub(super) fn set_footer(&mut self, id: FileId, footer: Option<Offset>) {
        if footer.is_some() {
            self.edit(id, |tailed| tailed.footer = footer);
            self.tell(id);
        }
    }

    /// Whether lines behind `position` were read under `mark`, which another file had then.
    pub(super) fn is_read_beyond(&self, mark: Mark, position: Position) -> bool {
        self.marked(mark.place).any(|(other, read)| other.turn == mark.turn && read.offset > position.offset)
    }

    /// The marks of `place` that are known, each with how far was read under it.
    fn marked(&self, place: u64) -> impl Iterator<Item = (Mark, Position)> {
        let here = self.index.at_place(place).filter_map(|id| self.files.get(&id));
        let here = here.map(|tailed| (tailed.mark, tailed.position()));
        let past = self.past.iter().filter_map(|past| Some((past.mark?, past.position)));
        here.chain(past.filter(move |(mark, _)| mark.place == place))
    }

    /// Changes a file, and keeps the indexes right.
    pub(super) fn edit<T>(&mut self, id: FileId, change: impl FnOnce(&mut Tailed) -> T) -> Option<T> {
        let tailed = self.files.get_mut(&id)?;
        let before = tailed.traits();
        let result = change(tailed);
        let after = tailed.traits();
        if after != before {
            self.index.remove(id, before);
            self.index.add(id, after);
        }
        Some(result)
    }

    /// Gives a file its new name.
    pub(super) fn rename(&mut self, id: FileId, path: &Path) {
        if let Some(tailed) = self.files.get_mut(&id) {
            let before = std::mem::replace(&mut tailed.path, path.to_owned());
            tailed.file.is_now_at(path);
            if self.by_path.get(&before) == Some(&id) {
                self.by_path.remove(&before);
            }
            self.by_path.insert(path.to_owned(), id);
            self.tell(id);
        }
    }

    /// Gives out what is known of a file now.
    pub(super) fn tell(&mut self, id: FileId) {
        self.changes.extend(self.files.get(&id).map(|tailed| Change::Known(tailed.generation(id))));
    }

    /// Gives out a file that is not open, so that it is not forgotten; gives its name.
    pub(super) fn keep(&mut self, known: &Generation) -> FileId {
        let id = self.next;
        self.next = id.next();
        self.changes.push(Change::Known(Generation { file: id, ..known.clone() }));
        id
    }

    /// Gives out that nothing more comes of a file that is not open.
    pub(super) fn release(&mut self, id: FileId) {
        self.changes.push(Change::Ended(id));
    }

    /// Gives out that bytes hold no line.
    pub(super) fn tell_skipped(&mut self, span: Span) {
        self.changes.push(Change::Skipped(span));
    }

    /// Reads a file no more.
    pub(super) fn forget(&mut self, id: FileId) {
        let Some(tailed) = self.files.remove(&id) else { return };
        self.index.remove(id, tailed.traits());
        let key = (tailed.identity.device, tailed.identity.inode);
        if self.by_inode.get(&key) == Some(&id) {
            self.by_inode.remove(&key);
        }
        if self.by_path.get(&tailed.path) == Some(&id) {
            self.by_path.remove(&tailed.path);
        }
        self.changes.push(Change::Ended(id));
        self.remember(tailed.generation(id));
    }

    /// Keeps in mind how far a file is read that is in the table no more.
    pub(super) fn remember(&mut self, past: Generation) {
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(past);
    }

    /// Keeps in mind no longer what `is_meant`; says how many that were.
    pub(super) fn unremember(&mut self, is_meant: impl Fn(&Generation) -> bool) -> usize {
        let before = self.past.len();
        self.past.retain(|past| !is_meant(past));
        before - self.past.len()
    }

    /// What is not read any more, the latest first.
    pub(super) fn past(&self) -> impl Iterator<Item = &Generation> {
        self.past.iter().rev()
    }
}
