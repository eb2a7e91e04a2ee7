//! The open files of one flow, by name, by inode and in order, with the sum of what is unread.
//!
//! Only keeps them together: what a name or an inode means is decided in `files`. Whatever changes here that matters
//! after a crash is given out as a [`Change`].

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::Change;
use super::disk::Content;
use super::evidence::{self, Opened};
use super::mark;
use super::tail::Cursor;
use crate::position::{FileId, Generation, Head, Identity, Mark, Offset, Position, Span, Tail};

/// How many files are remembered after their end: more than a rotation moves at once, few enough to be compared with
/// each new file.
const REMEMBERED: usize = 256;

/// One file that is open.
#[derive(Debug)]
pub(super) struct Tailed {
    pub(super) file: Arc<dyn Content>,
    pub(super) identity: Identity,
    pub(super) mark: Mark,
    /// The checksum of its very first bytes: they stay when it is cut in the middle of its head.
    pub(super) first: Head,
    pub(super) path: PathBuf,
    pub(super) cursor: Cursor,
    /// Its size when it last held what was known of it.
    pub(super) size: u64,
    pub(super) modified: i64,
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

    /// What is to be remembered of it.
    pub(super) fn generation(&self, file: FileId) -> Generation {
        Generation {
            file,
            identity: self.identity,
            mark: Some(self.mark),
            leaving: self.leaving,
            path: self.path.clone(),
            position: self.cursor.position,
            size: self.size,
            modified: self.modified,
        }
    }
}

/// The open files.
#[derive(Debug)]
pub(super) struct Table {
    files: BTreeMap<FileId, Tailed>,
    by_inode: BTreeMap<(u64, u64), FileId>,
    by_path: BTreeMap<PathBuf, FileId>,
    next: FileId,
    changes: Vec<Change>,
    /// What is not open any more, the latest last: its copy may still appear, or it may come back.
    past: VecDeque<Generation>,
    /// The sum of what is not read yet.
    behind: u64,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            files: BTreeMap::new(),
            by_inode: BTreeMap::new(),
            by_path: BTreeMap::new(),
            next: FileId::FIRST,
            changes: Vec::new(),
            past: VecDeque::new(),
            behind: 0,
        }
    }

    pub(super) fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn behind(&self) -> u64 {
        self.behind
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
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
        let mark = mark.filter(|mark| !self.is_read_beyond(*mark, position)).unwrap_or_else(|| Mark {
            place,
            turn: mark::turn(place, self.marked().map(|(mark, _)| mark)),
            first: None,
        });
        let tailed = Tailed {
            first: evidence::read_head(&*file, Tail::BYTES).unwrap_or_default(),
            file,
            identity,
            mark,
            path: path.to_owned(),
            cursor: Cursor::at(position),
            size: stat.size,
            modified: stat.modified,
            leaving: false,
            superseded: false,
            in_reach: true,
            finished: false,
            active: now,
        };
        self.behind += tailed.behind();
        self.by_inode.insert((identity.device, identity.inode), id);
        self.by_path.insert(path.to_owned(), id);
        self.files.insert(id, tailed);
        self.tell(id);
        id
    }

    /// The mark of a file of which `bytes`, from `offset` on, were read; if they are the first, they complete it.
    pub(super) fn mark(&mut self, id: FileId, offset: Offset, bytes: &[u8]) -> Option<Mark> {
        let mark = self.files.get(&id)?.mark;
        if mark.first.is_some() {
            return Some(mark);
        }
        let first = Some(mark::first(offset, bytes));
        // One that begins like a known one was cut, or has a heading. Counting alone may come upon a number that an agent
        // used which was killed.
        let is_known = |(other, _): (Mark, Position)| (other.place, other.first) == (mark.place, first);
        let turn = if self.marked().any(is_known) { fastrand::u32(..) } else { mark.turn };
        let mark = Mark { turn, first, ..mark };
        self.edit(id, |tailed| tailed.mark = mark);
        self.tell(id);
        Some(mark)
    }

    /// Whether lines behind `position` were read under `mark`, which another file had then.
    fn is_read_beyond(&self, mark: Mark, position: Position) -> bool {
        self.marked().any(|(other, read)| {
            (other.place, other.turn) == (mark.place, mark.turn) && read.offset > position.offset
        })
    }

    /// The marks that are known, each with how far was read under it.
    fn marked(&self) -> impl Iterator<Item = (Mark, Position)> {
        let open = self.files.values().map(|tailed| (tailed.mark, tailed.position()));
        let past = self.past.iter().filter_map(|past| Some((past.mark?, past.position)));
        open.chain(past)
    }

    /// Changes a file, and keeps the sum of what is behind right.
    pub(super) fn edit<T>(&mut self, id: FileId, change: impl FnOnce(&mut Tailed) -> T) -> Option<T> {
        let tailed = self.files.get_mut(&id)?;
        let before = tailed.behind();
        let result = change(tailed);
        self.behind = self.behind - before + tailed.behind();
        Some(result)
    }

    /// Gives a file its new name.
    pub(super) fn rename(&mut self, id: FileId, path: &Path) {
        if let Some(tailed) = self.files.get_mut(&id) {
            let before = std::mem::replace(&mut tailed.path, path.to_owned());
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

    /// Gives out that bytes hold no line.
    pub(super) fn tell_skipped(&mut self, span: Span) {
        self.changes.push(Change::Skipped(span));
    }

    /// Closes a file.
    pub(super) fn forget(&mut self, id: FileId) {
        let Some(tailed) = self.files.remove(&id) else { return };
        self.behind -= tailed.behind();
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

    /// Keeps in mind how far a file is read that is not open.
    pub(super) fn remember(&mut self, past: Generation) {
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(past);
    }

    /// What is not open any more, the latest first.
    pub(super) fn past(&self) -> impl Iterator<Item = &Generation> {
        self.past.iter().rev()
    }
}
