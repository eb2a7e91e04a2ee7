//! Files whose rest is in an archive that is not decoded to its end: it takes longer than others should wait, it is still
//! being written, or it is damaged.
//!
//! They stay in the checkpoint. What only takes longer is decoded turn by turn, as a part of the backlog, and one archive
//! at a time, as each decoder may hold much memory; what cannot be decoded is looked for again as often as the archive has
//! changed and then stood still for a look. When nothing has changed for the grace time it is damaged: nothing of it is
//! believed, and what was known to be in it is counted as lost. (G1, G4)

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use super::Source;
use super::archive::{Trial, Unfinished};
use super::disk::Stat;
use super::evidence::{self, OpenError, Opened};
use super::files::{Files, Met};
use super::index::Unread;
use super::search::{self, Outcome, Tried};
use super::sights::Sights;
use crate::chain::Chain;
use crate::metrics::Metric;
use crate::position::{FileId, Generation};

/// A file that is waited for.
#[derive(Debug)]
pub(super) struct Sought {
    id: FileId,
    known: Generation,
    archive: Box<Unfinished>,
    /// What was there at the last look, if anything, and since when nothing changed.
    seen: Option<Stat>,
    since: Instant,
    /// Whether what is there now was tried.
    tried: bool,
    /// What was decoded to its end for it.
    decoded: Vec<Tried>,
}

/// An archive that is decoded turn by turn, for one of the files that are waited for.
#[derive(Debug)]
pub(super) struct Decoding {
    id: FileId,
    stage: Stage,
}

/// How far that is.
#[derive(Debug)]
enum Stage {
    /// On the way to its end, so that it can be believed.
    Trial(Trial),
    /// On the way to where it is read on, as it begins anew for that.
    Whole(Tried),
}

impl Decoding {
    /// Whether it is what is to be decoded for a file that is waited for.
    fn is_of(&self, sought: &Sought) -> bool {
        let (path, stat) = match &self.stage {
            Stage::Trial(trial) => (trial.path(), trial.stat()),
            Stage::Whole(tried) => (tried.path.as_path(), tried.stat),
        };
        self.id == sought.id && (path, stat) == (sought.archive.path.as_path(), sought.archive.stat)
    }
}

impl Sought {
    /// Whether its archive is to be decoded further.
    fn is_decoding(&self) -> bool {
        self.tried && self.archive.goes_on() && self.seen == Some(self.archive.stat)
    }

    /// Whether nothing is known of it but that it was rotated unseen.
    fn is_new(&self) -> bool {
        self.known.identity.head.len == 0 && self.known.path == self.archive.path
    }

    /// Whether its archive stood still for so long that it will not change any more.
    fn is_over(&self, now: Instant, grace: Duration) -> bool {
        now.saturating_duration_since(self.since) >= grace
    }

    /// Whether this is more than what is known of its archive: how far that could be decoded, as it is now.
    fn is_news(&self, archive: &Unfinished) -> bool {
        (&archive.path, archive.stat) != (&self.archive.path, self.archive.stat)
    }

    /// Whether its archive was decoded to its end.
    fn is_decoded(&self) -> bool {
        self.decoded.iter().any(|tried| tried.path == self.archive.path && tried.stat == self.archive.stat)
    }

    /// Bytes that are known to be in it and not read.
    fn behind(&self) -> u64 {
        self.known.unread()
    }
}

impl Source {
    /// Decodes the archive of a file that is waited for, for one turn.
    pub(super) fn decode(&mut self, id: FileId, now: Instant) {
        let (bytes, ready) = self.files.decode(id, now);
        self.ready.took(id, bytes);
        if !self.files.is_decoding(id) {
            self.ready.remove(id);
        }
        self.add(ready);
    }
}

impl Files {
    /// Waits for an archive that may hold the rest of `known`.
    pub(super) fn await_archive(&mut self, known: Generation, archive: Box<Unfinished>, now: Instant) {
        let id = self.table.keep(&known);
        let seen = Some(archive.stat);
        self.sought.push(Sought { id, known, archive, seen, since: now, tried: true, decoded: Vec::new() });
    }

    /// Whether an archive is waited for; what it becomes is not heard.
    pub(crate) fn is_seeking(&self) -> bool {
        !self.sought.is_empty()
    }

    /// Whether the archive at `path` is waited for.
    pub(super) fn is_sought(&self, path: &Path) -> bool {
        self.sought.iter().any(|sought| sought.archive.path == path)
    }

    /// What is waited for.
    pub(super) fn unread_sought(&self) -> Unread {
        let behind = self.sought.iter().map(Sought::behind).sum();
        Unread { behind, backlog: behind, backlog_files: self.sought.len() as u64 }
    }

    /// Looks again at the archives that are waited for; gives the files that may have bytes to read by that.
    pub(crate) fn seek_again(&mut self, now: Instant) -> Vec<FileId> {
        let mut ready = Vec::new();
        for mut sought in std::mem::take(&mut self.sought) {
            let stat = self.disk.stat(&sought.archive.path).ok();
            if stat != sought.seen {
                // It is decoded when it stands still: what grows would be decoded again and again.
                (sought.seen, sought.since, sought.tried) = (stat, now, false);
                self.sought.push(sought);
                continue;
            }
            if sought.tried && (sought.is_decoding() || !sought.is_over(now, self.settings.grace)) {
                self.sought.push(sought);
                continue;
            }
            ready.extend(self.find_again(sought, now));
        }
        ready
    }

    /// The files whose archives are to be decoded further.
    pub(crate) fn decoding(&self) -> impl Iterator<Item = FileId> {
        self.sought.iter().filter(|sought| sought.is_decoding()).map(|sought| sought.id)
    }

    /// Whether the archive of a file is to be decoded further.
    pub(super) fn is_decoding(&self, id: FileId) -> bool {
        self.modified_if_decoding(id).is_some()
    }

    /// When a file was modified of which an archive is to be decoded further.
    pub(super) fn modified_if_decoding(&self, id: FileId) -> Option<i64> {
        let sought = self.sought.iter().find(|sought| sought.id == id && sought.is_decoding())?;
        Some(sought.known.modified)
    }

    /// Decodes the archive of a file for one turn; says how much that was, and which files may have bytes to read by that.
    fn decode(&mut self, id: FileId, now: Instant) -> (u64, Vec<FileId>) {
        let Some(at) = self.sought.iter().position(|sought| sought.id == id) else { return (0, Vec::new()) };
        let mut sought = self.sought.remove(at);
        match self.take_turn(&sought) {
            Ok((0, Decoding { stage: Stage::Whole(tried), .. })) => {
                sought.decoded.push(tried);
                return (0, self.find_again(sought, now));
            }
            Ok((bytes, decoding)) => {
                self.decoding = Some(decoding);
                self.sought.insert(at, sought);
                return (bytes, Vec::new());
            }
            Err(OpenError::Unfinished(archive)) => sought.archive = archive,
            // It is another now, or gone, as the next look at it will show.
            Err(_) => sought.tried = false,
        }
        self.sought.insert(at, sought);
        (0, Vec::new())
    }

    /// Goes on decoding for one turn; says how much that was, which is nothing when there is no more to do.
    fn take_turn(&mut self, sought: &Sought) -> Result<(u64, Decoding), OpenError> {
        let Sought { id, known, archive, .. } = sought;
        let path = &archive.path;
        let begun =
            self.decoding.take().filter(|decoding| decoding.is_of(sought)).map(|decoding| decoding.stage);
        let stage = match begun {
            Some(stage) => stage,
            None => {
                let reach = self.settings.pattern.literal_prefix();
                Stage::Trial(evidence::begin_trial(&*self.disk, path, reach)?)
            }
        };
        let (bytes, stage) = match stage {
            Stage::Trial(mut trial) => match trial.take_turn().map_err(OpenError::Unfinished)? {
                0 => {
                    let stat = trial.stat();
                    let archive = Arc::new(trial.finish().map_err(OpenError::Unfinished)?);
                    let tried = Tried { path: path.clone(), stat, archive: Some(archive) };
                    approach(known, tried)?
                }
                bytes => (bytes, Stage::Trial(trial)),
            },
            Stage::Whole(tried) => approach(known, tried)?,
        };
        Ok((bytes, Decoding { id: *id, stage }))
    }

    /// Looks for a file that is waited for; gives the files that may have bytes to read by that.
    fn find_again(&mut self, mut sought: Sought, now: Instant) -> Vec<FileId> {
        let (disk, reach) = (Arc::clone(&self.disk), self.settings.pattern.literal_prefix());
        let mut sights = Sights::new(&*disk, reach, &[]);
        let outcome = search::find(&*disk, &sought.known, &mut sights, reach, &sought.decoded);
        // What is not it now is that of another file.
        sought.decoded.iter_mut().for_each(|tried| tried.archive = None);
        let is_over = sought.is_over(now, self.settings.grace);
        match outcome {
            Outcome::Same(at, opened) => {
                self.table.release(sought.id);
                return self.take_up_sought(&sought, &at, *opened, now);
            }
            Outcome::Unfinished(archive) if sought.is_news(&archive) => {
                let seen = Some(archive.stat);
                self.sought.push(Sought { archive, seen, since: now, tried: true, ..sought });
            }
            Outcome::Altered(..) | Outcome::Unreadable(_) | Outcome::Gone if sought.is_decoded() => {
                self.miss(&sought);
            }
            Outcome::Unfinished(_) | Outcome::Altered(..) | Outcome::Unreadable(_) | Outcome::Gone
                if !is_over =>
            {
                self.sought.push(Sought { tried: true, ..sought });
            }
            Outcome::Unfinished(_) | Outcome::Altered(..) | Outcome::Unreadable(_) | Outcome::Gone => {
                self.despair(&sought);
            }
        }
        Vec::new()
    }

    /// Takes up what was waited for; gives the files that may have bytes to read.
    fn take_up_sought(&mut self, sought: &Sought, at: &Path, opened: Opened, now: Instant) -> Vec<FileId> {
        if sought.is_new() {
            let mut met = Met::default();
            self.take_up_rotation(at, opened, &mut met, now);
            return met.ready;
        }
        let id = self.go_on(&sought.known, at, opened, now);
        self.mark_leaving(id, now);
        vec![id]
    }

    /// Says that the only archive that may have held what was waited for is whole, but does not.
    fn miss(&mut self, sought: &Sought) {
        let (known, bytes) = (&sought.known, sought.behind());
        self.table.release(sought.id);
        // Its copy may still appear.
        self.table.remember(known.clone());
        self.metrics.add(Metric::BytesLost, bytes);
        error!(file = %known.path.display(), offset = known.position.offset.to_raw(), bytes,
               "file is gone, and what was not read of it is lost; `{}` is of another file",
               sought.archive.path.display());
    }

    /// Says that what was waited for will not come.
    fn despair(&mut self, sought: &Sought) {
        let (known, archive, bytes) = (&sought.known, &sought.archive, sought.behind());
        let offset = known.position.offset.to_raw();
        self.table.release(sought.id);
        self.metrics.add(Metric::BytesLost, bytes);
        if sought.seen.is_some() {
            self.metrics.add(Metric::ArchivesDamaged, 1);
            error!(file = %archive.path.display(), from = %known.path.display(), offset, bytes,
                   error = %Chain(&**archive),
                   "archive is damaged; nothing of it is read, and what was not read of its file is lost");
        } else {
            error!(file = %archive.path.display(), from = %known.path.display(), offset, bytes,
                   "archive is gone before it was whole, and what was not read of its file is lost");
        }
    }
}

/// Decodes an archive for one turn towards where `known` is read on.
fn approach(known: &Generation, tried: Tried) -> Result<(u64, Stage), OpenError> {
    let bytes = match &tried.archive {
        Some(archive) => archive.approach(known.position.offset),
        None => Ok(0),
    };
    let bytes = bytes.map_err(|source| OpenError::Open { path: tried.path.clone(), source })?;
    Ok((bytes, Stage::Whole(tried)))
}
