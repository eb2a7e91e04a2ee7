//! Where a file of the last run, or what a truncation took away, is now.
//!
//! Looks in the directory where the file was last seen, at every regular file, whether the pattern leads there or
//! not: with an exact name, `access_log.1` is outside it. Proofs decide, not names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::discover::is_compressed;
use super::disk::{Content, Disk, Kind, Stat};
use super::evidence::{self, OpenError, Opened};
use super::identity::{Change, Evidence, Inode, Original, Verdict, judge};
use super::table::Table;
use crate::position::{FileId, Generation, Head, Mark, Position};

/// What became of a file of the last run.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It, or its copy, is here.
    Same(PathBuf, Box<Opened>),
    /// Its inode is there, but holds something else.
    Altered(Change),
    /// Something is where it was last seen, but cannot be looked at.
    Unreadable(OpenError),
    /// Nowhere.
    Gone,
}

/// Finds `known` among `found` and beside its last path.
pub(crate) fn find(disk: &dyn Disk, known: &Generation, found: &[PathBuf], reach: &Path) -> Outcome {
    let mut altered = None;
    let mut copy = None;
    let mut unreadable = None;
    // Its last path first: most files have not moved.
    let beside = std::iter::once_with(|| neighbours(disk, &known.path)).flatten();
    let candidates = std::iter::once(known.path.clone()).chain(found.iter().cloned()).chain(beside);
    for path in candidates {
        let opened = match evidence::open(disk, &path, reach) {
            Ok(opened) => opened,
            Err(error) => {
                let is_inode =
                    |stat: Stat| (stat.device, stat.inode) == (known.identity.device, known.identity.inode);
                if !error.is_absence() && (path == known.path || disk.stat(&path).is_ok_and(is_inode)) {
                    unreadable = Some(error);
                }
                continue;
            }
        };
        // Of an empty file only its birth tells whether its number was used again.
        if known.identity.head.len == 0 && known.mark.is_some_and(|mark| mark.place != opened.place()) {
            continue;
        }
        let Ok(evidence) = evidence::beside(&opened, &known.identity, &known.position, Original::Gone) else {
            continue;
        };
        match judge(&evidence) {
            Verdict::Same => return Outcome::Same(path, Box::new(opened)),
            Verdict::Changed(change) => altered = Some(change),
            Verdict::Copy => copy = copy.or(Some((path, opened))),
            Verdict::CopyBeside | Verdict::Unclear | Verdict::Unrelated => {}
        }
    }
    match (copy, altered, unreadable) {
        (Some((path, opened)), _, _) => Outcome::Same(path, Box::new(opened)),
        (None, Some(change), _) => Outcome::Altered(change),
        (None, None, Some(error)) => Outcome::Unreadable(error),
        (None, None, None) => Outcome::Gone,
    }
}

/// Finds the copy of `known`, which was truncated or rewritten itself, among the files that are not in `table`.
pub(super) fn find_copy(
    disk: &dyn Disk,
    known: &Generation,
    reach: &Path,
    table: &Table,
) -> Option<(PathBuf, Opened)> {
    neighbours(disk, &known.path).into_iter().find_map(|path| {
        let opened = evidence::open(disk, &path, reach).ok()?;
        if table.by_inode(opened.stat.device, opened.stat.inode).is_some() {
            return None;
        }
        let evidence = evidence::beside(&opened, &known.identity, &known.position, Original::Gone).ok()?;
        (judge(&evidence) == Verdict::Copy).then_some((path, opened))
    })
}

/// Where the bytes of a file come from whose inode is unknown.
#[derive(Debug)]
pub(crate) enum Origin {
    /// From nowhere that is known: it is new.
    None,
    /// From this open file, which does not hold them itself any more and was read up to here.
    Copied(FileId, Position),
    /// From a file that was removed; up to here it is read, and it goes on under this mark.
    Remembered(Position, Option<Mark>),
    /// From a file that is still whole: nothing is to be read of a copy.
    Beside,
    /// Perhaps from a file that is known; it is too short to tell.
    Unclear,
}

/// Finds which of the files that are known `opened` is a copy of.
pub(super) fn origin(opened: &Opened, table: &Table) -> io::Result<Origin> {
    let mut origin = Origin::None;
    for (id, tailed) in table.iter() {
        let position = tailed.position();
        if !may_be_copy(opened, &tailed.identity.head) {
            continue;
        }
        // What cannot be read proves nothing, and must not hold up what can be.
        let Ok(is_whole) = evidence::still_holds(&*tailed.file, tailed.identity.head, &position) else {
            origin = if matches!(origin, Origin::None) { Origin::Unclear } else { origin };
            continue;
        };
        let stat = tailed.file.stat()?;
        let is_removed = stat.links == 0;
        let is_moved = is_removed
            && is_whole
            && evidence::end_within(&*tailed.file, stat.size, &*opened.file)?.is_some();
        let end = evidence::end_within(&*opened.file, opened.stat.size, &*tailed.file)?;
        if is_whole && let Some(end) = end {
            return Ok(match (is_removed, is_moved) {
                (_, true) => Origin::Copied(id, position),
                // More was written to it after it was copied: it is read to its end, and its copy from where that ends,
                // which is not the place of what follows in the original.
                (true, false) => Origin::Remembered(end, None),
                (false, false) => Origin::Beside,
            });
        }
        let original = if is_whole && !is_moved { Original::Whole } else { Original::Gone };
        // While the agent runs, no device gets another number: the same inode number on two devices is two files.
        let evidence = evidence::beside(opened, &tailed.identity, &position, original)?;
        match judge(&Evidence { inode: Inode::Other, ..evidence }) {
            Verdict::Copy => origin = Origin::Copied(id, position),
            // A copy that is more than its original holds what the original does not.
            Verdict::Unclear | Verdict::CopyBeside if matches!(origin, Origin::None) => {
                origin = Origin::Unclear;
            }
            Verdict::Unclear
            | Verdict::CopyBeside
            | Verdict::Same
            | Verdict::Changed(_)
            | Verdict::Unrelated => {}
        }
    }
    for past in table.past().filter(|past| may_be_copy(opened, &past.identity.head)) {
        if !matches!(origin, Origin::None | Origin::Unclear) {
            break;
        }
        // An inode is used again after a file's end, so that its number proves nothing.
        let evidence = evidence::beside(opened, &past.identity, &past.position, Original::Gone)?;
        match judge(&Evidence { inode: Inode::Other, ..evidence }) {
            Verdict::Copy => origin = Origin::Remembered(past.position, past.mark),
            Verdict::Unclear => origin = Origin::Unclear,
            Verdict::CopyBeside | Verdict::Same | Verdict::Changed(_) | Verdict::Unrelated => {}
        }
    }
    Ok(origin)
}

/// What an open file is now, beside what was `known` of it.
pub(super) fn compare(file: &Arc<dyn Content>, known: &Generation) -> io::Result<Verdict> {
    let opened = evidence::look_again(file, &known.identity)?;
    Ok(judge(&evidence::beside(&opened, &known.identity, &known.position, Original::Gone)?))
}

/// Whether a file can be a copy of one that begins with `known`: a cheap look before the proofs are read.
fn may_be_copy(found: &Opened, known: &Head) -> bool {
    let head = &found.identity.head;
    known.len > 0 && (head == known || (!known.is_whole() && head.len >= known.len))
}

/// The other plain files of a file's directory. Compressed ones hold other bytes than they stand for.
fn neighbours(disk: &dyn Disk, path: &Path) -> Vec<PathBuf> {
    let Some(directory) = path.parent() else { return Vec::new() };
    let Ok(entries) = disk.list(directory) else { return Vec::new() };
    let files = entries.into_iter().filter_map(Result::ok).filter(|(_, kind)| *kind == Kind::File);
    let mut paths: Vec<PathBuf> = files
        .map(|(name, _)| directory.join(name))
        .filter(|other| other != path && !is_compressed(other.as_os_str()))
        .collect();
    paths.sort_unstable();
    paths
}
