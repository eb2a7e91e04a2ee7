//! Where the rest of a file may be that is not where it was: in a file beside it, or in an archive.
//!
//! Only names and times: they say where to look first, and what is not worth decoding. Proofs decide, elsewhere.

use std::path::{Path, PathBuf};

use super::archive::Format;
use super::disk::{Disk, Kind, Stat};
use super::pattern::is_compressed;
use super::rotation::Name;
use crate::position::Generation;

/// How many archives are begun for one file. One of its own log that was written to since comes first, so that the right
/// one is among the first few; without a limit, a directory of old archives would be decoded for each file that is gone.
const ARCHIVES: usize = 32;

/// How many directories beside a file are looked into for its log's old files.
pub(super) const OLD_DIRECTORIES: usize = 8;

/// The other plain files of a file's directory and of its `olddir`, whatever their names.
pub(super) fn plain_files(disk: &dyn Disk, path: &Path) -> Vec<PathBuf> {
    let mut files = files(disk, path);
    files.retain(|file| !is_compressed(file.as_os_str()));
    files
}

/// The archives there.
pub(super) fn archives(disk: &dyn Disk, path: &Path) -> Vec<(PathBuf, Stat)> {
    files(disk, path).into_iter().filter_map(|path| archive(disk, path)).collect()
}

/// The archive at `path`, if there is one.
pub(super) fn archive(disk: &dyn Disk, path: PathBuf) -> Option<(PathBuf, Stat)> {
    Format::of(&path)?;
    let stat = disk.stat(&path).ok()?;
    Some((path, stat))
}

/// Those of `archives` that may hold what `known` was, the most likely first.
pub(super) fn likely<'a>(
    known: &Generation,
    archives: impl Iterator<Item = &'a (PathBuf, Stat)>,
) -> Vec<PathBuf> {
    let rank = |(path, stat): &'a (PathBuf, Stat)| {
        (!may_become(known, path, stat), stat.modified.abs_diff(known.modified), path)
    };
    let mut archives: Vec<_> = archives.map(rank).collect();
    archives.sort_unstable();
    archives.into_iter().map(|(_, _, path)| path.clone()).take(ARCHIVES).collect()
}

/// Whether a file at `path` may be a later rotation of `known`, by its name and time.
pub(super) fn may_become(known: &Generation, path: &Path, stat: &Stat) -> bool {
    // Some compressors give the archive the time of the file to the second only.
    let is_since = stat.modified.div_euclid(1000) >= known.modified.div_euclid(1000);
    is_since && is_of_log(path, &known.path)
}

fn is_of_log(path: &Path, other: &Path) -> bool {
    let log = |path: &Path| path.file_name().map(|name| Name::of(name).log().to_vec());
    log(path) == log(other)
}

/// The other regular files of a file's directory, and those of the first directory in there that has files of the same
/// log: nothing but logrotate's configuration says where its `olddir` is.
fn files(disk: &dyn Disk, path: &Path) -> Vec<PathBuf> {
    let Some(directory) = path.parent() else { return Vec::new() };
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for (name, kind) in list(disk, directory) {
        match kind {
            Kind::File if name != path => files.push(name),
            Kind::Directory => directories.push(name),
            Kind::File | Kind::Link | Kind::Other => {}
        }
    }
    directories.sort_unstable();
    let regular = |directory: PathBuf| -> Vec<PathBuf> {
        list(disk, &directory).filter(|(_, kind)| *kind == Kind::File).map(|(path, _)| path).collect()
    };
    let old = directories.into_iter().take(OLD_DIRECTORIES).map(regular);
    let old = old.into_iter().find(|files| files.iter().any(|file| is_of_log(file, path)));
    files.sort_unstable();
    files.extend(old.into_iter().flatten());
    files
}

fn list(disk: &dyn Disk, directory: &Path) -> impl Iterator<Item = (PathBuf, Kind)> {
    let entries = disk.list(directory).unwrap_or_default().into_iter().filter_map(Result::ok);
    entries.map(move |(name, kind)| (directory.join(name), kind))
}
