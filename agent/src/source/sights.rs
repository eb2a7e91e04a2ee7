//! What may be a file of the last run: every file is looked at once, however many are sought.
//!
//! Only narrows the choice, by inode and by head: whether one is the other, the proofs of `identity` say. Nothing is
//! looked at before a file is missed, and no head is read before an inode is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::beside;
use super::disk::{Disk, Stat};
use super::evidence;
use crate::position::Generation;

/// The files that were found, and those beside the last paths of what is sought.
#[derive(Debug)]
pub(crate) struct Sights<'a> {
    disk: &'a dyn Disk,
    reach: &'a Path,
    /// Those of which the inode is not known yet.
    unseen: Vec<PathBuf>,
    /// Those of which the head is not known yet.
    unread: Vec<PathBuf>,
    seen: BTreeSet<PathBuf>,
    listed: BTreeSet<PathBuf>,
    /// By directory.
    archives: BTreeMap<PathBuf, Vec<(PathBuf, Stat)>>,
    by_inode: BTreeMap<u64, Vec<PathBuf>>,
    /// Whole heads only: others prove no copy.
    by_head: BTreeMap<u32, Vec<PathBuf>>,
}

impl<'a> Sights<'a> {
    /// Those that were `found`; links may lead to what is below `reach`.
    pub(crate) fn new(disk: &'a dyn Disk, reach: &'a Path, found: &[PathBuf]) -> Sights<'a> {
        Sights {
            disk,
            reach,
            unseen: found.to_vec(),
            unread: Vec::new(),
            seen: BTreeSet::new(),
            listed: BTreeSet::new(),
            archives: BTreeMap::new(),
            by_inode: BTreeMap::new(),
            by_head: BTreeMap::new(),
        }
    }

    /// The files with the number of its inode, on any device; then those that begin as it did, if its head is whole; at
    /// last the archives that it may be in.
    pub(crate) fn of(&mut self, known: &Generation) -> Vec<PathBuf> {
        if let Some(directory) = known.path.parent()
            && self.listed.insert(directory.to_owned())
        {
            // The place of this one may be that of another by now.
            self.unseen.push(known.path.clone());
            self.unseen.extend(beside::plain_files(self.disk, &known.path));
            let itself = beside::archive(self.disk, known.path.clone());
            let archives = beside::archives(self.disk, &known.path).into_iter().chain(itself);
            self.archives.insert(directory.to_owned(), archives.collect());
        }
        for path in std::mem::take(&mut self.unseen) {
            if self.seen.insert(path.clone())
                && let Ok(stat) = self.disk.stat(&path)
            {
                self.by_inode.entry(stat.inode).or_default().push(path.clone());
                self.unread.push(path);
            }
        }
        let mut found = self.by_inode.get(&known.identity.inode).cloned().unwrap_or_default();
        if known.identity.head.is_whole() {
            self.read_heads();
            found.extend(self.by_head.get(&known.identity.head.crc).into_iter().flatten().cloned());
        }
        let archives = known.path.parent().and_then(|directory| self.archives.get(directory));
        found.extend(beside::likely(known, archives.into_iter().flatten()));
        found
    }

    fn read_heads(&mut self) {
        for path in std::mem::take(&mut self.unread) {
            let opened = evidence::open(self.disk, &path, self.reach);
            if let Some(head) = opened.ok().map(|opened| opened.identity.head).filter(|head| head.is_whole())
            {
                self.by_head.entry(head.crc).or_default().push(path);
            }
        }
    }
}
