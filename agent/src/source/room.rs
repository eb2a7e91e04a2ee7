//! How many files are open at once: which are closed when there are too many, and how one is opened again.
//!
//! A file that is closed is found by its name; where that leads elsewhere, by its inode in the same directory. Closed
//! are first those with nothing to read, then those that can be read in turn, and only at last what has no name, as
//! nobody can open it again: what is unread of that, and in no copy, is lost, and counted. (G1, G5)

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use tracing::{error, info};

use super::Source;
use super::disk::{Content, Disk, Kind, Stat};
use super::evidence::{self, Opened};
use super::files::Files;
use super::held::Node;
use crate::metrics::Metric;
use crate::position::{FileId, Mark, Position};

/// How many more files are closed than must be, as a part of all: each choice looks at every open file.
const SPARE: usize = 8;

impl Source {
    /// Has at most so many files open from now on, as soon as the next is opened.
    pub fn set_open_files(&mut self, most: usize) {
        self.files.settings.open_files = most;
    }
}

impl Files {
    /// Takes in a file that is read from `position` on.
    pub(super) fn admit(
        &mut self,
        path: &Path,
        opened: Opened,
        position: Position,
        mark: Option<Mark>,
        now: Instant,
    ) -> FileId {
        self.forget_copy(path, &opened.stat);
        let id = self.table.admit(path, opened, position, mark, now);
        self.make_room(id);
        id
    }

    /// Opens a file if it is closed and still holds what is known of it; says whether it does.
    ///
    /// # Errors
    /// If it cannot be opened or read. The kind `NotFound` says that its name does not lead to it any more.
    pub(super) fn hold(&mut self, id: FileId) -> io::Result<bool> {
        let Some(tailed) = self.table.get(id) else { return Ok(true) };
        if tailed.file.is_open() {
            return Ok(true);
        }
        let content = tailed.file.content()?;
        if !evidence::still_holds(&*content, tailed.identity.head, &tailed.position())? {
            return Ok(false);
        }
        self.table.edit(id, |tailed| tailed.file.hold(content));
        self.make_room(id);
        Ok(true)
    }

    /// What the system says of a file, wherever it is by now; nothing if nothing leads to it. That it was renamed is for
    /// the next look to say.
    pub(super) fn seek(&mut self, id: FileId, listings: &mut Listings) -> io::Result<Option<Stat>> {
        let Some(tailed) = self.table.get(id) else { return Ok(None) };
        match tailed.file.stat() {
            Ok(stat) => return Ok(Some(stat)),
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(error),
        }
        let Some(path) = listings.find(&*self.disk, tailed.file.path(), tailed.file.node()) else {
            return Ok(None);
        };
        self.table.edit(id, |tailed| tailed.file.is_now_at(&path));
        self.table.get(id).map(|tailed| tailed.file.stat()).transpose()
    }

    /// Gives up a file to which nothing leads any more.
    pub(super) fn give_up(&mut self, id: FileId) {
        let Some(tailed) = self.table.get(id) else { return };
        let (path, bytes, offset) = (&tailed.path, tailed.behind(), tailed.position().offset.to_raw());
        if bytes > 0 {
            self.metrics.add(Metric::BytesLost, bytes);
            error!(file = %path.display(), offset, bytes,
                   "file is gone, and what was not read of it is lost (see `maxOpenFiles`)");
        } else {
            info!(file = %path.display(), offset, "file is gone, read to its end");
        }
        self.table.forget(id);
    }

    /// Closes files if more are open than may be, but never `wanted`.
    fn make_room(&mut self, wanted: FileId) {
        let most = self.settings.open_files;
        let excess = self.table.index().open().len().saturating_sub(most);
        if excess == 0 {
            return;
        }
        let open = self.table.index().open().iter().filter(|id| **id != wanted);
        let mut closable: Vec<_> = open
            .filter_map(|id| Some((*id, self.table.get(*id)?)))
            .filter(|(_, tailed)| tailed.file.can_be_closed())
            .map(|(id, tailed)| (tailed.behind() > 0, tailed.leaving, tailed.active, id))
            .collect();
        closable.sort_unstable();

        let mut listings = Listings::default();
        let mut nameless = Vec::new();
        let mut closed = 0;
        for (.., id) in closable {
            if closed == excess + most / SPARE {
                return;
            }
            if self.is_named(id, &mut listings) {
                self.table.edit(id, |tailed| tailed.file.close());
                closed += 1;
            } else {
                nameless.push(id);
            }
        }
        // What is unread of those may be in a copy, as the next look finds out.
        for id in nameless.into_iter().take(excess.saturating_sub(closed)) {
            self.table.edit(id, |tailed| tailed.file.close());
        }
    }

    /// Whether a name is known that leads to this open file, or can be found.
    fn is_named(&mut self, id: FileId, listings: &mut Listings) -> bool {
        let Some(tailed) = self.table.get(id) else { return false };
        if tailed.file.has_name() {
            return true;
        }
        if tailed.file.stat().is_ok_and(|stat| stat.links == 0) {
            return false;
        }
        let Some(path) = listings.find(&*self.disk, tailed.file.path(), tailed.file.node()) else {
            return false;
        };
        self.table.edit(id, |tailed| tailed.file.is_now_at(&path));
        true
    }
}

/// Directories as they were listed in one look, each once.
#[derive(Debug, Default)]
pub(super) struct Listings(BTreeMap<PathBuf, BTreeMap<Node, PathBuf>>);

impl Listings {
    /// The name of the file with this inode beside `path`.
    fn find(&mut self, disk: &dyn Disk, path: &Path, node: Node) -> Option<PathBuf> {
        let directory = path.parent()?;
        let listing = self.0.entry(directory.to_owned()).or_insert_with(|| list(disk, directory));
        // By now it may have another name again.
        let found = listing.get(&node)?;
        let is_there = disk.stat(found).is_ok_and(|stat| Node::of(&stat) == node);
        is_there.then(|| found.clone())
    }
}

fn list(disk: &dyn Disk, directory: &Path) -> BTreeMap<Node, PathBuf> {
    let entries = disk.list(directory).unwrap_or_default().into_iter().filter_map(Result::ok);
    let files = entries.filter(|(_, kind)| *kind == Kind::File).map(|(name, _)| directory.join(name));
    files.filter_map(|path| Some((Node::of(&disk.stat(&path).ok()?), path))).collect()
}

/// Whether an error says that a name leads to nothing.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
