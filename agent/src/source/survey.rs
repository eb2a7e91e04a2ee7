//! What is there before anything is read: what positions of another agent are held against.
//!
//! Looks and proves, and decides nothing. What it gives out is true at no later instant: when a source starts, it proves
//! each position again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::discover::Tree;
use super::disk::{Disk, Kind, Stat};
use super::evidence::{self, OpenError};
use super::pattern::Pattern;
use crate::position::{FileId, Generation, Offset, Tail};

/// A regular file that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    pub(crate) stat: Stat,
}

/// The files that match `pattern`, each once: of several names for one the first counts.
pub(crate) fn survey(pattern: &Pattern, disk: &dyn Disk) -> Vec<Seen> {
    let mut inodes = BTreeSet::new();
    let files = Tree::default().discover(pattern, disk).files.into_iter().filter_map(|path| see(path, disk));
    files.filter(|file| inodes.insert((file.stat.device, file.stat.inode))).collect()
}

/// What is at `path`, and the other plain files of its directory.
pub(crate) fn beside(path: &Path, disk: &dyn Disk) -> Vec<Seen> {
    let paths = std::iter::once(path.to_owned()).chain(super::beside::plain_files(disk, path));
    paths.filter_map(|path| see(path, disk)).collect()
}

/// What would be known of a file that was read up to its last newline before `limit`, to be found again by
/// [`Resume::From`](super::Resume::From). A link must lead to somewhere below `reach`, as for every file.
pub(crate) fn as_read(
    file: &Seen,
    limit: Offset,
    reach: &Path,
    disk: &dyn Disk,
) -> Result<Generation, OpenError> {
    let opened = evidence::open(disk, &file.path, reach)?;
    let end = opened.stat.size.min(limit.to_raw());
    let position = evidence::behind_last_newline(&*opened.file, end)
        .map_err(|source| OpenError::Open { path: file.path.clone(), source })?;
    Ok(Generation {
        file: FileId::FIRST,
        identity: opened.identity,
        mark: None,
        leaving: false,
        footer: None,
        first: evidence::read_head(&*opened.file, Tail::BYTES).unwrap_or_default(),
        beside: false,
        path: file.path.clone(),
        position,
        size: opened.stat.size,
        modified: opened.stat.modified,
        born: opened.stat.born,
    })
}

/// Whether a file still holds what is `known` of one that was read.
pub(crate) fn holds(file: &Seen, known: &Generation, reach: &Path, disk: &dyn Disk) -> bool {
    file.stat.inode == known.identity.inode
        && evidence::open(disk, &file.path, reach).is_ok_and(|opened| {
            evidence::still_holds(&*opened.file, known.identity.head, &known.position).unwrap_or(false)
        })
}

fn see(path: PathBuf, disk: &dyn Disk) -> Option<Seen> {
    let stat = disk.stat(&path).ok()?;
    (stat.kind == Kind::File).then_some(Seen { path, stat })
}
