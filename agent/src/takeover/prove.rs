//! What the rows of one flow are worth: each is held against the file that is there now.
//!
//! The Java agent knows a file by its device and inode alone, and follows one file of a flow: that of the latest row. What
//! is proved becomes a [`Generation`]; what is in no generation is read from its beginning. (G1)

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::finding::What;
use super::row::Row;
use crate::chain::Chain;
use crate::position::{FileId, Generation, Head, Identity, Offset, Position, Tail};
use crate::source::{Disk, Pattern, Seen, Stat, as_read, beside, survey};

/// How many nanoseconds a thousandth of a second has.
const NANOS: u64 = 1_000_000;

/// The files of a flow as a checkpoint would have known them, and what an operator should know of it. The first of
/// `rows` is the latest.
pub(super) fn prove(
    latest: &Row,
    earlier: &[Row],
    pattern: &Pattern,
    disk: &dyn Disk,
) -> (Vec<Generation>, Vec<What>) {
    let mut proving = Proving { pattern, disk, known: Vec::new(), told: Vec::new() };
    let found = survey(pattern, disk);
    let mut judged = BTreeSet::new();
    match find(latest, &found, disk) {
        Whereabouts::Here(file) => {
            let copy = is_cut(latest, &file.stat).then(|| copy(latest, pattern, disk)).flatten();
            judged.extend([Some(&file), copy.as_ref()].into_iter().flatten().map(inode));
            proving.go_on(latest, &file, copy.as_ref());
        }
        Whereabouts::Reused => {
            proving.known.push(gone(latest));
            proving.told.push(What::Reused { path: latest.path.clone(), stored: latest.offset });
        }
        Whereabouts::Gone => {
            proving.known.push(gone(latest));
            proving.told.push(What::Gone { path: latest.path.clone(), stored: latest.offset });
        }
    }
    let (mut left, mut pending) = (0, Vec::<PathBuf>::new());
    for file in found.iter().filter(|file| !judged.contains(&inode(file))) {
        // Of another file, a row is the better proof where the file has not moved since; if it has, its row may be that
        // of an earlier file with this inode.
        if let Some(row) = earlier.iter().find(|row| row.path == file.path && is_same(row, &file.stat)) {
            proving.go_on(row, file, None);
        } else if file.stat.modified > latest.modified {
            // By the time of the row, not of its file now: what was written since may be in any of them.
            pending.push(file.path.clone());
        } else if proving.add(file, Offset::from_raw(file.stat.size), &file.path).is_some() {
            left += 1;
        }
    }
    if left > 0 {
        proving.told.push(What::LeftBehind { files: left });
    }
    if let Some(path) = pending.first() {
        proving.told.push(What::Pending { files: pending.len(), path: path.clone() });
    }
    (proving.known, proving.told)
}

struct Proving<'a> {
    pattern: &'a Pattern,
    disk: &'a dyn Disk,
    known: Vec<Generation>,
    told: Vec<What>,
}

impl Proving<'_> {
    /// Goes on in a file where its row says; if it was cut, in what was its copy before.
    fn go_on(&mut self, row: &Row, file: &Seen, copy: Option<&Seen>) {
        let (path, stored) = (file.path.clone(), row.offset);
        if is_cut(row, &file.stat) {
            let copy =
                copy.filter(|copy| self.add(copy, stored, &row.path).is_some()).map(|copy| copy.path.clone());
            self.told.push(What::Truncated { path, stored, size: file.stat.size, copy });
        } else if let Some(offset) = self.add(file, stored, &row.path) {
            self.told.push(What::TakenOver { known_as: row.path.clone(), path, offset, stored });
        }
    }

    /// Notes that a file is read up to its last newline before `limit`; says where that is. If it was known by another name,
    /// that was taken from it.
    fn add(&mut self, file: &Seen, limit: Offset, known_as: &Path) -> Option<Offset> {
        match as_read(file, limit, self.pattern.literal_prefix(), self.disk) {
            Ok(generation) => {
                let offset = generation.position.offset;
                self.known.push(Generation { leaving: file.path != known_as, ..generation });
                Some(offset)
            }
            Err(error) => {
                let (path, error) = (file.path.clone(), Chain(&error).to_string());
                self.told.push(What::Unreadable { path, error });
                None
            }
        }
    }
}

/// A file that is not there any more, as a checkpoint would have known it: without inode and proofs it is never found,
/// but what was rotated after it is.
fn gone(row: &Row) -> Generation {
    Generation {
        file: FileId::FIRST,
        identity: Identity { device: 0, inode: 0, head: Head::default() },
        mark: None,
        leaving: true,
        footer: None,
        first: Head::default(),
        beside: false,
        path: row.path.clone(),
        position: Position { offset: row.offset, tail: Tail::default() },
        size: row.offset.to_raw(),
        modified: row.modified,
        born: 0,
    }
}

/// Where the file of a row is.
enum Whereabouts {
    /// Here.
    Here(Seen),
    /// Its inode belongs to another.
    Reused,
    /// Nowhere.
    Gone,
}

/// Finds the file of a row: where it was, among those of the pattern, or in its directory, as with an exact name
/// `access_log.1` is outside the pattern.
fn find(row: &Row, found: &[Seen], disk: &dyn Disk) -> Whereabouts {
    let beside = beside(&row.path, disk);
    let has_inode = |file: &&Seen| {
        // The number of a device may change at a reboot; the place then says that it is the same.
        file.stat.inode == row.inode && (file.stat.device == row.device || file.path == row.path)
    };
    // The file itself is the first in its directory.
    let mut is_there = false;
    for file in beside.iter().chain(found).filter(has_inode) {
        if is_same(row, &file.stat) {
            return Whereabouts::Here(file.clone());
        }
        is_there = true;
    }
    if is_there { Whereabouts::Reused } else { Whereabouts::Gone }
}

/// Finds the copy that was made of a row's file before it was cut, as logrotate's copytruncate does. Nothing is known of
/// its bytes but that a record ended at the offset; so it must also be named after the file, be made since the row, and
/// hold what the row says. Of several the oldest is it: the file was cut after that.
fn copy(row: &Row, pattern: &Pattern, disk: &dyn Disk) -> Option<Seen> {
    let stem = row.path.file_name()?.as_bytes();
    let is_named = |file: &Seen| file.path.file_name().is_some_and(|name| name.as_bytes().starts_with(stem));
    let is_later =
        |stat: &Stat| stat.modified >= row.modified && (stat.born == 0 || stat.born / NANOS > updated(row));
    let mut candidates = beside(&row.path, disk);
    candidates.retain(|file| {
        file.path != row.path && is_named(file) && is_later(&file.stat) && !is_cut(row, &file.stat)
    });
    candidates.sort_by_key(|file| file.stat.modified);
    let fits = |file: &Seen| {
        let read = as_read(file, row.offset, pattern.literal_prefix(), disk);
        read.is_ok_and(|read| read.position.offset == row.offset)
    };
    candidates.into_iter().find(fits)
}

/// Whether a file is shorter than what was read of it.
fn is_cut(row: &Row, stat: &Stat) -> bool {
    row.offset.to_raw() > stat.size
}

/// Whether a file with this inode number is the one of the row: one that was made later is not.
fn is_same(row: &Row, stat: &Stat) -> bool {
    // Where the file system knows no births, this is 0.
    row.inode == stat.inode && stat.born / NANOS <= updated(row)
}

/// When a row was written, in milliseconds since the epoch.
fn updated(row: &Row) -> u64 {
    u64::try_from(row.updated).unwrap_or_default()
}

fn inode(file: &Seen) -> (u64, u64) {
    (file.stat.device, file.stat.inode)
}
