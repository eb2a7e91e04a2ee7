//! Files of the last run that cannot be opened: for want of rights, or of descriptors.
//!
//! Each stays in the checkpoint as it is, through any number of starts, and is gone on with where it was left when it
//! can be opened. Until then nothing is made of what has its inode. (G1, G3)

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::discover::{Found, Scope};
use super::disk::Stat;
use super::evidence;
use super::files::{Files, Met};
use super::index::Unread;
use super::sights::Sights;
use crate::position::Generation;

impl Files {
    /// Keeps a file until it can be opened.
    pub(super) fn withhold(&mut self, known: &Generation) {
        let file = self.table.keep(known);
        self.withheld.push(Generation { file, ..known.clone() });
    }

    /// Whether what is at `path` is a file that could not be opened.
    pub(super) fn is_withheld(&self, path: &Path, stat: &Stat) -> bool {
        self.withheld.iter().any(|known| evidence::is_inode_of(known, path, stat))
    }

    /// What is not read of files that cannot be opened.
    pub(super) fn unread_withheld(&self) -> Unread {
        let unread = |known: &Generation| Unread::of(known.unread(), known.leaving);
        self.withheld.iter().map(unread).fold(Unread::default(), Unread::plus)
    }

    /// Takes up the files that can be opened by now, or that are not where they were.
    pub(super) fn try_withheld(&mut self, found: &Found, met: &mut Met, now: Instant) {
        if self.withheld.is_empty() {
            return;
        }
        let (disk, pattern) = (Arc::clone(&self.disk), self.settings.pattern.clone());
        let mut sights = Sights::new(&*disk, pattern.literal_prefix(), &found.files);
        for known in std::mem::take(&mut self.withheld) {
            let is_meant = match &found.scope {
                Scope::Everything => true,
                Scope::Names(names) => names.contains(&known.path),
            };
            if !is_meant || self.still_withholds(&known) {
                self.withheld.push(known);
                continue;
            }
            self.table.release(known.file);
            let Some(at) = self.resume(&known, &mut sights, now) else { continue };
            let id = disk.stat(&at).ok().and_then(|stat| self.known(&stat));
            met.add(id);
            met.rotated.extend(id.filter(|_| at != known.path));
        }
    }

    /// Whether a file is where it was and still cannot be opened.
    fn still_withholds(&self, known: &Generation) -> bool {
        let (path, reach) = (&known.path, self.settings.pattern.literal_prefix());
        self.disk.stat(path).is_ok_and(|stat| evidence::is_inode_of(known, path, &stat))
            && evidence::open(&*self.disk, path, reach).is_err_and(|error| !error.is_absence())
    }
}
