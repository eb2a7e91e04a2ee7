//! Step 1: files to chunks of bytes.
//!
//! [`Source`] is one flow's files: which to read next, and how much. What a record is the flow's [`Layout`] knows, and
//! whether it was delivered, others do. It is told from where to start, and gives out what became of each file as
//! [`Change`]s. Several files are read in turn, a block each, so that none waits for another's end. (G4)
//!
//! In the order of a file's life: `pattern` means it, `discover` finds it, `watch` hears of it, `evidence` and `identity`
//! say who it is. `resume` takes it up at the start, `newcomers` later, `backlog` its rotations by the names that `rotation`
//! knows; `search` finds it under others, where `sights` and `beside` say, `archive` and `sought` in what is compressed.
//! `copies` and `recent` know copies, `withheld` what cannot be opened, `altered` what is lost. `files` watches over all in
//! `table` and `index`; `lanes` has the turns, `held` opens a file where `room` has room, `reading`, `tail` and `parts` make
//! a [`Chunk`] of it, and `mark` says what its lines are called. `inspect` answers an operator, `amend` does what is decided,
//! `survey` looks for those who read nothing, and `metadata` and `instance`, with `ec2` and `tags`, know the host.

mod altered;
mod amend;
mod archive;
mod backlog;
mod beside;
mod chunk;
mod copies;
mod discover;
mod disk;
mod ec2;
mod evidence;
mod files;
mod glob;
mod held;
mod identity;
mod index;
mod inspect;
mod instance;
mod lanes;
mod mark;
mod metadata;
mod newcomers;
mod parts;
mod pattern;
mod reading;
mod recent;
mod resume;
mod room;
mod rotation;
mod search;
mod sights;
mod sought;
mod survey;
mod table;
mod tags;
mod tail;
mod watch;
mod withheld;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use amend::{AmendError, Amended, Goal, forget, set};
pub use archive::{Archive, Format as ArchiveFormat};
pub use chunk::{Chunk, Part};
pub use disk::{Content, Disk, Kind, Stat, System};
pub use ec2::{Ec2, InstanceError, Variant};
pub use inspect::{Explanation, Kin, Listed, Looks, Stage, Survey, explain};
pub use instance::Instance;
pub use lanes::{Lane, Share};
pub use metadata::{HostNameError, host_name};
pub use pattern::{Pattern, PatternError};
pub(crate) use survey::{Seen, as_read, beside, holds, survey};
pub use watch::{Bell, Watch};

use crate::layout::Layout;
use crate::metrics::{Metric, Metrics};
use crate::position::{FileId, Generation, Mark, Offset, Position, Span};
use discover::{Found, Scope, Tree};
use files::Files;
use lanes::Lanes;
use tail::{Block, Extent, Read};

/// How long lines are let gather at most after the first was heard of: reading each by itself costs a hundred times more.
const GATHER: Duration = Duration::from_millis(20);

/// How often files are looked at of which nothing can be heard: in directories without a watch, or renamed to where
/// nobody watches; those, the less often the longer nobody wrote to them.
const POLL: Duration = Duration::from_secs(1);

/// The least time between two looks, however much is heard: what changes several times is looked at once.
const LOOKS_APART: Duration = Duration::from_millis(100);

/// Where the reading of a file begins that is there at a flow's first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialPosition {
    /// `START_OF_FILE`: at its beginning.
    Start,
    /// `END_OF_FILE`: behind its last newline.
    End,
}

/// Which files one flow reads, and from where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which files.
    pub pattern: Pattern,
    /// Where a file begins that is there at the flow's first start.
    pub initial_position: InitialPosition,
    /// How often everything is looked at though nothing was heard.
    pub rescan: Duration,
    /// How long after the last write a renamed or removed file is taken for finished.
    pub grace: Duration,
    /// How much is read of rotated files while others are written to.
    pub backlog_share: Share,
    /// How their bytes fall into records.
    pub layout: Layout,
    /// How many files are open at once. The rest is closed, and opened again where there is something to read.
    pub open_files: usize,
}

/// What a flow knows of its files from its last run.
#[derive(Clone, Debug)]
pub enum Resume {
    /// It never ran: files that are there follow the initial position.
    FirstStart,
    /// It knew these files; every other appeared since.
    From(Vec<Generation>),
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is read from `position` on; or its name, head or size is another now.
    Known(Generation),
    /// These bytes hold no line.
    Skipped(Span),
    /// It is read to its end or gone; nothing more will come of it.
    Ended(FileId),
}

/// The files of one flow.
#[derive(Debug)]
pub struct Source {
    settings: Settings,
    disk: Arc<dyn Disk>,
    watch: Watch,
    metrics: Arc<Metrics>,
    files: Files,
    block: Block,
    /// Files that may have bytes to read.
    ready: Lanes,
    /// Files whose last record is held, as more lines may belong to it, and until when.
    held: BTreeMap<FileId, Instant>,
    /// The directories that the pattern leads to.
    tree: Tree,
    /// Names that are to be looked at.
    names: BTreeSet<PathBuf>,
    /// When anything was looked at last.
    looked: Instant,
    /// When everything is to be looked at.
    due: Instant,
    /// When the files are polled that cannot be heard.
    poll: Instant,
}

impl Source {
    /// Memory that a source holds whatever happens.
    pub const BLOCK_BYTES: usize = Block::BYTES;

    /// Finds the flow's files, and where to go on in each.
    #[must_use]
    pub fn start(
        settings: Settings,
        disk: Arc<dyn Disk>,
        watch: Watch,
        resume: Resume,
        metrics: Arc<Metrics>,
        now: Instant,
    ) -> Source {
        let mut source = Source {
            watch,
            files: Files::new(settings.clone(), Arc::clone(&disk), Arc::clone(&metrics)),
            block: Block::new(),
            ready: Lanes::new(settings.backlog_share),
            held: BTreeMap::new(),
            tree: Tree::default(),
            names: BTreeSet::new(),
            looked: now,
            due: now + settings.rescan,
            poll: now + POLL,
            settings,
            disk,
            metrics,
        };
        let found = source.discover();
        let ready = source.files.start(resume, &found, now);
        source.add(ready);
        source
    }

    /// What became of files since it was last asked.
    pub fn changes(&mut self) -> Vec<Change> {
        self.files.changes()
    }

    /// Watches what there is to watch, and lists it. A directory that is watched from now on is listed again, as
    /// what appeared between the listing and the watch was not heard.
    fn discover(&mut self) -> Found {
        loop {
            let found = self.tree.discover(&self.settings.pattern, &*self.disk);
            if !self.watch.follow(&found.scope, &self.tree.directories(&found.scope)) {
                return found;
            }
        }
    }

    /// The same at `names` only, if that is enough.
    fn discover_at(&mut self, names: &BTreeSet<PathBuf>) -> Option<Found> {
        self.watch.renew(&Scope::Names(names.clone()));
        loop {
            let found = self.tree.discover_at(&self.settings.pattern, &*self.disk, names.clone())?;
            if !self.watch.follow(&found.scope, &self.tree.directories(&found.scope)) {
                return Some(found);
            }
        }
    }

    /// Looks at all names again if that is due, or at those of which something was heard.
    pub fn look(&mut self, now: Instant) {
        self.listen(now);
        if now >= self.due {
            self.look_at_everything(now);
        } else if !self.names.is_empty() && now >= self.looked + LOOKS_APART {
            self.looked = now;
            let names = std::mem::take(&mut self.names);
            match self.discover_at(&names) {
                Some(found) => {
                    let ready = self.files.look(&found, now);
                    self.add(ready);
                }
                None => self.look_at_everything(now),
            }
        }
        let ripe: Vec<FileId> =
            self.held.extract_if(.., |_, until| *until <= now).map(|(id, _)| id).collect();
        self.add(ripe);
        if now >= self.poll {
            self.poll = now + POLL;
            let ready = self.files.seek_again(now);
            self.add(ready);
            let due = self.files.due(now);
            self.add(due);
            if !self.watch.is_complete() {
                self.due = self.due.min(self.poll);
            }
        }
        self.add(self.files.decoding().collect::<Vec<_>>());
        let unread = self.files.unread();
        self.metrics.set(Metric::LagBytes, unread.behind);
        self.metrics.set(Metric::BacklogBytes, unread.backlog);
        self.metrics.set(Metric::BacklogFiles, unread.backlog_files);
        self.metrics.set(Metric::OpenFiles, self.files.open_files() as u64);
        self.metrics.set(Metric::UnreadableFiles, self.files.unreadable_files() as u64);
    }

    fn look_at_everything(&mut self, now: Instant) {
        (self.looked, self.due) = (now, now + self.settings.rescan);
        self.names.clear();
        let found = self.discover();
        let ready = self.files.look(&found, now);
        self.add(ready);
    }

    /// Notes what was heard.
    fn listen(&mut self, now: Instant) {
        let hints = self.watch.hints(now);
        for path in hints.grown {
            match self.files.by_path(&path) {
                Some(id) => self.add([id]),
                // A file that was renamed a moment ago speaks under a name that is not known yet.
                None if self.settings.pattern.matches(&path) => drop(self.names.insert(path)),
                None => {}
            }
        }
        self.names.extend(hints.changed);
        if hints.everything || self.names.len() > watch::HINTS {
            self.due = self.due.min(self.looked + POLL);
        }
    }

    /// The next bytes of the next file that has any, at least one record of them. What of them is dealt with is said
    /// by [`Source::advance`]; the rest comes again. Every change so far is given to `tell` before: a file is known
    /// before its first byte comes.
    pub fn read(&mut self, now: Instant, tell: impl FnMut(Change)) -> Option<Chunk<'_>> {
        let found = self.fill(now);
        self.files.changes().into_iter().for_each(tell);
        found.map(|(id, mark, extent)| self.block.chunk(id, mark, &extent, &self.settings.layout))
    }

    /// Reads the next bytes of the next file that has any into the block.
    fn fill(&mut self, now: Instant) -> Option<(FileId, Mark, Extent)> {
        let mut has_decoded = false;
        while let Some(id) = self.ready.first() {
            if self.files.is_decoding(id) {
                // Even where nothing else is to be read, there is more to be done than this.
                if std::mem::replace(&mut has_decoded, true) {
                    return None;
                }
                self.decode(id, now);
                continue;
            }
            let read = match self.files.read(id, &mut self.block, now) {
                Ok(read) => read,
                // It does not come to its end by that; it is tried again at the next look.
                Err(error) => {
                    self.files.refuse_file(id, &error);
                    self.ready.remove(id);
                    continue;
                }
            };
            match read {
                Read::Bytes(extent) => {
                    self.ready.took(id, extent.bytes());
                    // Behind a short read there is nothing now, and what comes will be heard.
                    if extent.is_short {
                        self.ready.remove(id);
                    }
                    let mark = self.files.mark(id, &self.block, &extent)?;
                    return Some((id, mark, extent));
                }
                Read::Held(_) => {
                    self.hold(id);
                    self.ready.remove(id);
                }
                Read::Nuls(position) => self.files.skip(id, position, now),
                Read::End => {
                    self.files.at_end(id, now);
                    self.ready.remove(id);
                }
                Read::Changed => {
                    self.ready.remove(id);
                    self.files.suspect(id);
                    self.due = self.due.min(self.looked + LOOKS_APART);
                }
            }
        }
        None
    }

    /// Where a file is, as far as that is known.
    #[must_use]
    pub fn path(&self, file: FileId) -> &Path {
        self.files.path(file)
    }

    /// Everything of `file` before `position` is split; `now` it grew.
    pub fn advance(&mut self, file: FileId, position: Position, now: Instant) {
        self.files.advance(file, position, now);
        self.hold(file);
    }

    /// The footer of `file` begins at `footer`: what follows comes as [`Part::Rest`], also what is yet to be written.
    pub fn end_records(&mut self, file: FileId, footer: Offset) {
        self.files.end_records(file, footer);
    }

    /// Looks at a file again when its last record counts as whole, if one is left.
    fn hold(&mut self, id: FileId) {
        if let Some(closes) = self.files.closes(id) {
            self.held.insert(id, closes);
        }
    }

    /// Not all of what was read of `file` could be dealt with: it comes again.
    pub fn read_again(&mut self, file: FileId) {
        self.add([file]);
    }

    /// Puts files that may have bytes to read into their lanes.
    fn add(&mut self, files: impl IntoIterator<Item = FileId>) {
        for id in files {
            if let Some(lane) = self.files.lane(id) {
                self.ready.add(id, lane);
            }
        }
    }

    /// Waits until there is something to look at, at most until `deadline`. Lines gather for half of `linger` at most.
    pub fn wait(&self, deadline: Option<Instant>, linger: Duration, now: Instant) {
        if self.ready.first().is_some() {
            return;
        }
        let unheard =
            !self.watch.is_complete() || self.files.unheard().next().is_some() || self.files.is_seeking();
        let next = if unheard { self.due.min(self.poll.max(now)) } else { self.due };
        let next = if self.names.is_empty() { next } else { next.min(self.looked + LOOKS_APART) };
        let until = self.held.values().copied().chain(deadline).fold(next, Instant::min);
        self.watch.bell.wait(until.saturating_duration_since(now), GATHER.min(linger / 2));
    }
}

#[cfg(test)]
mod tests;
