//! Files whose rest is in an archive that is not whole: it is still being written, or it is damaged.
//!
//! They stay in the checkpoint and are looked for again as often as the archive has changed and then stood still for a
//! look. When nothing has changed for the grace time it is damaged: nothing of it is believed, and what was known to be
//! in it is counted as lost. (G1)

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::error;

use super::archive::Unfinished;
use super::disk::Stat;
use super::files::Files;
use super::index::Unread;
use super::search::{self, Outcome};
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
    /// Whether what is there now could not be read.
    tried: bool,
}

impl Sought {
    /// Bytes that are known to be in it and not read.
    fn behind(&self) -> u64 {
        self.known.unread()
    }
}

impl Files {
    /// Waits for an archive that may hold the rest of `known`.
    pub(super) fn await_archive(&mut self, known: Generation, archive: Box<Unfinished>, now: Instant) {
        let id = self.table.keep(&known);
        let seen = Some(archive.stat);
        self.sought.push(Sought { id, known, archive, seen, since: now, tried: true });
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
            let is_over = now.saturating_duration_since(sought.since) >= self.settings.grace;
            if sought.tried && !is_over {
                self.sought.push(sought);
                continue;
            }
            let (disk, reach) = (Arc::clone(&self.disk), self.settings.pattern.literal_prefix());
            let mut sights = Sights::new(&*disk, reach, &[]);
            match search::find(&*disk, &sought.known, &mut sights, reach) {
                Outcome::Same(at, opened) => {
                    let id = self.go_on(&sought.known, &at, *opened, now);
                    self.mark_leaving(id, now);
                    self.table.release(sought.id);
                    ready.push(id);
                }
                Outcome::Unfinished(archive) if archive.path != sought.archive.path => {
                    let seen = Some(archive.stat);
                    self.sought.push(Sought { archive, seen, since: now, tried: true, ..sought });
                }
                Outcome::Unfinished(archive) if !is_over => {
                    self.sought.push(Sought { archive, tried: true, ..sought });
                }
                Outcome::Altered(_) | Outcome::Unreadable(_) | Outcome::Gone if !is_over => {
                    self.sought.push(Sought { tried: true, ..sought });
                }
                Outcome::Unfinished(archive) => self.despair(&Sought { archive, ..sought }),
                Outcome::Altered(_) | Outcome::Unreadable(_) | Outcome::Gone => self.despair(&sought),
            }
        }
        ready
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
