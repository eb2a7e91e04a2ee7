//! The files of one flow: who they are, and what became of them.
//!
//! Knows names, not patterns or notifications: it is told what was found. A name only leads to a file; the inode and
//! the proofs of `identity` say which it is. A file that lost its name stays open until it is read to its end and
//! nobody has written to it for the grace time. (G1, G3)

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};

use super::backlog;
use super::backlog::Logs;
use super::copies::Copies;
use super::discover::{Found, Scope};
use super::disk::{Disk, Stat};
use super::evidence::{self, OpenError, Opened};
use super::held::Door;
use super::identity::Change as Altered;
use super::index::Unread;
use super::recent::Recent;
use super::room::{self, Listings};
use super::sought::{Decoding, Sought};
use super::table::{Table, Tailed};
use super::{Change, Settings};
use crate::chain::Chain;
use crate::metrics::{Metric, Metrics};
use crate::position::{FileId, Generation};

/// The files of one flow.
#[derive(Debug)]
pub(crate) struct Files {
    pub(super) settings: Settings,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) table: Table,
    /// Files that are in archives which cannot be read yet.
    pub(super) sought: Vec<Sought>,
    /// The one of them that is being decoded.
    pub(super) decoding: Option<Decoding>,
    /// Files of the last run that could not be opened yet.
    pub(super) withheld: Vec<Generation>,
    /// Copies that are left alone beside their originals.
    pub(super) copies: Copies,
    /// What was read last.
    pub(super) recent: Recent,
    /// Names that could not be opened, so that each is told once.
    refused: BTreeSet<PathBuf>,
}

/// What one look has come upon.
#[derive(Debug, Default)]
pub(super) struct Met {
    files: BTreeSet<FileId>,
    /// Files that may have bytes to read.
    pub(super) ready: Vec<FileId>,
    /// What is there but could not be looked at.
    unseen: BTreeSet<PathBuf>,
    /// Files whose name was taken from them since the last look.
    pub(super) rotated: Vec<FileId>,
    /// What files were that do not hold it any more.
    pub(super) altered: Vec<Generation>,
    listings: Listings,
    pub(super) logs: Logs,
}

impl Met {
    pub(super) fn add(&mut self, files: impl IntoIterator<Item = FileId>) {
        for id in files {
            self.files.insert(id);
            self.ready.push(id);
        }
    }
}

impl Files {
    pub(crate) fn new(settings: Settings, disk: Arc<dyn Disk>, metrics: Arc<Metrics>) -> Files {
        let door = Door { disk: Arc::clone(&disk), reach: settings.pattern.literal_prefix().to_owned() };
        Files {
            settings,
            disk,
            metrics,
            table: Table::new(door),
            sought: Vec::new(),
            decoding: None,
            withheld: Vec::new(),
            copies: Copies::default(),
            recent: Recent::default(),
            refused: BTreeSet::new(),
        }
    }

    /// What became of files since it was last asked.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        self.table.changes()
    }

    pub(crate) fn by_path(&self, path: &Path) -> Option<FileId> {
        self.table.by_path(path)
    }

    pub(crate) fn path(&self, id: FileId) -> &Path {
        self.table.get(id).map_or(Path::new("?"), |tailed| &tailed.path)
    }

    /// How many names lead to what cannot be read.
    pub(crate) fn unreadable_files(&self) -> usize {
        self.refused.len()
    }

    /// Files held open.
    pub(crate) fn open_files(&self) -> usize {
        self.table.index().open().len()
    }

    /// What is not read yet.
    pub(super) fn unread(&self) -> Unread {
        self.table.index().unread().plus(self.unread_sought()).plus(self.unread_withheld())
    }

    /// Files that may be written to though nothing is heard of it.
    pub(crate) fn unheard(&self) -> impl Iterator<Item = FileId> {
        self.table.index().unheard()
    }

    /// Compares what was found with what is known; gives the files that may have bytes to read.
    pub(crate) fn look(&mut self, found: &Found, now: Instant) -> Vec<FileId> {
        self.refuse_unreadable(found);
        let suspects = self.table.within(&found.scope);
        // What is known comes first, so that a copy is held beside what its original is now.
        let mut met = Met::default();
        self.try_withheld(found, &mut met, now);
        let mut unknown = Vec::new();
        for path in &found.files {
            match self.disk.stat(path) {
                Ok(stat) if self.meet(path, &stat, &mut met, now).is_some() => {}
                Ok(stat) if self.is_withheld(path, &stat) => {}
                Ok(_) => unknown.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.refuse(path, &error);
                    met.unseen.insert(path.clone());
                }
            }
        }
        // What cannot be looked at is not gone.
        met.unseen.extend(found.troubles.iter().map(|(path, _)| path.clone()));
        let lost = suspects.into_iter().filter(|id| {
            !met.files.contains(id) && !self.path(*id).ancestors().any(|path| met.unseen.contains(path))
        });
        let lost: Vec<FileId> = lost.collect();
        let copies: Vec<PathBuf> =
            if lost.is_empty() { Vec::new() } else { self.copies.paths().map(Path::to_owned).collect() };
        lost.iter().for_each(|id| self.lose(*id, &found.scope, &mut met, now));
        unknown.extend(&copies);
        for path in unknown {
            if let Some(opened) = self.open(path) {
                self.identify(path, opened, &mut met, now);
            }
        }
        met.rotated.extend(self.last_of_their_logs(&lost));
        // After that, so that a copy among the rotations is held beside the file that it is a copy of.
        for id in std::mem::take(&mut met.rotated) {
            self.follow(id, &mut met, now);
        }
        // Nobody may have looked for longer than a rotation takes.
        for known in std::mem::take(&mut met.altered) {
            self.follow_altered(&known, &mut met, now);
        }
        if let Scope::Everything = found.scope {
            let troubles: BTreeSet<&PathBuf> = found.troubles.iter().map(|(path, _)| path).collect();
            let is_there = |path: &PathBuf| {
                found.files.binary_search(path).is_ok()
                    || troubles.contains(path)
                    || found.others.contains(path)
            };
            self.refused.retain(is_there);
            self.retain_copies(|path| is_there(&path.to_owned()));
        }
        met.ready
    }

    pub(super) fn known(&self, stat: &Stat) -> Option<FileId> {
        self.table.by_inode(stat.device, stat.inode)
    }

    /// A name leads to this inode. If that is a known file, notes its name and size.
    pub(super) fn meet(&mut self, path: &Path, stat: &Stat, met: &mut Met, now: Instant) -> Option<FileId> {
        let id = self.known(stat)?;
        let tailed = self.table.get(id)?;
        if !tailed.file.is_open() && !tailed.file.is_inode(stat) {
            // While it was closed, its inode was used again.
            let known = tailed.generation(id);
            met.add(self.rescue(&known, Altered::Reused, now));
            self.table.forget(id);
            return None;
        }
        // Of several names for one file one counts, so that it does not seem to be renamed.
        if !met.files.insert(id) {
            return Some(id);
        }
        self.table.edit(id, |tailed| tailed.in_reach = true);
        if self.path(id) != path && !self.leads_to(self.path(id), stat) {
            info!(file = %path.display(), from = %self.path(id).display(), file_id = id.to_raw(), "file was renamed");
            self.table.rename(id, path);
            met.rotated.extend(self.mark_leaving(id, now).then_some(id));
        }
        self.look_at(id, stat, met, now);
        Some(id)
    }

    /// Reads on in a file where there is more, and begins it anew where what was read is not in it any more.
    fn look_at(&mut self, id: FileId, stat: &Stat, met: &mut Met, now: Instant) {
        self.table.edit(id, |tailed| tailed.linked = stat.links > 1);
        // A copy that was just begun is told before anything is compared with it.
        let measured =
            self.measure(id, stat, now).and_then(|holds| Ok(holds && !self.is_begun_copy(id, now)?));
        match measured {
            Ok(true) => {
                let is_at_end = |tailed: &Tailed| tailed.size == tailed.position().offset.to_raw();
                met.ready.extend(self.table.get(id).is_some_and(|tailed| !is_at_end(tailed)).then_some(id));
            }
            Ok(false) => self.replace(id, met, now),
            Err(error) => self.refuse_file(id, &error),
        }
    }

    /// Notes how large a file is, if it still holds what is known of it, and says whether it does.
    pub(super) fn measure(&mut self, id: FileId, stat: &Stat, now: Instant) -> io::Result<bool> {
        let Some(tailed) = self.table.get(id) else { return Ok(true) };
        let (size, modified, position) = (stat.size, stat.modified, tailed.position());
        if (size, modified) == (tailed.size, tailed.modified) && !tailed.suspect {
            // It could not be read when it grew.
            self.grow_head(id);
            return Ok(true);
        }
        match self.hold(id) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            // Its name leads elsewhere by now; it is sought when that is looked at.
            Err(error) if room::is_absence(&error) => return Ok(true),
            Err(error) => return Err(error),
        }
        let Some(tailed) = self.table.get(id) else { return Ok(true) };
        if !evidence::still_holds(&tailed.file, tailed.identity.head, &position)? {
            return Ok(false);
        }
        self.tell_cut(&tailed.path, tailed.size, size);
        self.table.edit(id, |tailed| {
            if size > tailed.size {
                tailed.active = now;
            }
            (tailed.size, tailed.modified, tailed.suspect) = (size, modified, false);
        });
        // A later run that misses it tells by that what is lost, and which archive may be its.
        self.table.tell(id);
        self.grow_head(id);
        Ok(true)
    }

    /// What was read of a file is not in it any more, as it seems: the next look finds out, which sees what else there is.
    pub(crate) fn suspect(&mut self, id: FileId) {
        self.table.edit(id, |tailed| tailed.suspect = true);
    }

    /// No name of the pattern leads to this file any more. It is forgotten when it is finished and not found once more:
    /// in the middle of a rotation, a name may be missed by one look, and one at a few names misses all others.
    fn lose(&mut self, id: FileId, scope: &Scope, met: &mut Met, now: Instant) {
        let stat = match self.seek(id, &mut met.listings) {
            Ok(Some(stat)) => stat,
            Ok(None) => return self.let_go(id, met, now),
            Err(error) => return self.refuse_file(id, &error),
        };
        let Some(tailed) = self.table.get(id) else { return };
        let is_sought = stat.links == 0 || matches!(scope, Scope::Everything);
        if is_sought && tailed.finished && !tailed.in_reach && stat.size == tailed.size {
            // The newest that a checkpoint knows says what was rotated since; it does not go before an older one.
            let is_older = |it: &Tailed| {
                it.leaving
                    && !it.finished
                    && it.modified < tailed.modified
                    && backlog::are_of_one_log(&it.path, &tailed.path)
            };
            let waits = self.unheard().filter_map(|id| self.table.get(id)).any(is_older);
            if !waits {
                self.table.forget(id);
            }
            return;
        }
        let was_in_reach = tailed.in_reach;
        self.table.edit(id, |tailed| {
            if tailed.in_reach || tailed.finished {
                (tailed.in_reach, tailed.finished, tailed.active) = (false, false, now);
            }
        });
        // What never was in reach was taken up with all that was rotated after it.
        let was_rotated = self.mark_leaving(id, now) && was_in_reach;
        met.rotated.extend(was_rotated.then_some(id));
        self.look_at(id, &stat, met, now);
    }

    /// Its name was taken from it: it will come to an end. Says whether that is news.
    pub(super) fn mark_leaving(&mut self, id: FileId, now: Instant) -> bool {
        let began = self.table.edit(id, |tailed| {
            let began = !tailed.leaving;
            if began {
                (tailed.leaving, tailed.active) = (true, now);
            }
            began
        });
        if began == Some(true) {
            self.metrics.add(Metric::FilesRotated, 1);
            info!(file = %self.path(id).display(), file_id = id.to_raw(),
                  "file was renamed, removed or replaced; reads it to its end");
            self.table.tell(id);
        }
        began == Some(true)
    }

    pub(super) fn open(&mut self, path: &Path) -> Option<Opened> {
        match evidence::open(&*self.disk, path, self.settings.pattern.literal_prefix()) {
            Ok(opened) => {
                self.refused.remove(path);
                Some(opened)
            }
            // It was there when the directory was listed; now it is not, which is no trouble.
            Err(error) if error.is_absence() => None,
            Err(error) => {
                self.refuse(path, &error);
                None
            }
        }
    }

    /// Whether the name still leads to the inode.
    fn leads_to(&self, path: &Path, inode: &Stat) -> bool {
        self.disk.stat(path).is_ok_and(|now| now.is_same_inode(inode))
    }

    /// Tells once of each that was found and is not read, and why.
    pub(super) fn refuse_unreadable(&mut self, found: &Found) {
        for (path, error) in &found.troubles {
            self.refuse(path, error);
        }
        for path in &found.others {
            self.refuse(path, &OpenError::NotRegular { path: path.clone() });
        }
    }

    /// Tells once that an open file is not read, and why.
    pub(super) fn refuse_file(&mut self, id: FileId, error: &(dyn std::error::Error + 'static)) {
        let path = self.path(id).to_owned();
        self.refuse(&path, error);
    }

    /// Tells once that a file is not read, and why.
    pub(super) fn refuse(&mut self, path: &Path, error: &(dyn std::error::Error + 'static)) {
        if self.refused.insert(path.to_owned()) {
            warn!(file = %path.display(), error = %Chain(error), "does not read file; will try again");
        }
    }
}
