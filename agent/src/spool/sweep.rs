//! Removes what is delivered. Does not know who delivered it, or how that is known.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::instance::{Lock, end_last_line, listed, sealed, segments_of};
use crate::chain::Chain;

/// How far a file is delivered, and that this is on the disk.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Where it was last seen.
    pub path: PathBuf,
    /// Its device and inode: another file may stand there now.
    pub place: (u64, u64),
    /// Everything before this.
    pub end: u64,
}

/// Removes those segments below `flow`, the directory of a flow in the spool, that are sealed and wholly delivered, and the
/// directories of dead instances that are left empty by that. Ends the last line of a dead instance, so that it can be
/// delivered, but not before another has had the time to go on in its place.
pub fn sweep(flow: &Path, delivered: &[Delivered]) {
    for Delivered { path, place, end } in delivered {
        if !path.starts_with(flow) {
            continue;
        }
        let is_whole = || {
            fs::symlink_metadata(path)
                .is_ok_and(|found| (found.dev(), found.ino()) == *place && found.len() == *end)
        };
        // Asked before and after: an instance that dies in between may have added to it.
        if is_whole()
            && let Some(_seal) = sealed(path)
            && is_whole()
            && let Err(error) = fs::remove_file(path)
        {
            warn!(path = %path.display(), error = %Chain(&error), "could not remove what is delivered from the spool; \
                  tries again, and the spool fills up meanwhile");
        }
    }
    for instance in listed(flow).unwrap_or_default() {
        let Ok(Some(_lock)) = Lock::take(&instance) else { continue };
        // What fails here comes up again; a directory in which there is anything else stays.
        match segments_of(&instance).unwrap_or_default().last() {
            None => fs::remove_dir(&instance).unwrap_or_default(),
            Some(last) => drop(end_last_line(last)),
        }
    }
}

/// How many bytes wait below `flow` that nobody adds to any more; none if they are delivered and swept away.
#[must_use]
pub fn left(flow: &Path) -> Option<u64> {
    let is_dead = |instance: &PathBuf| matches!(Lock::take(instance), Ok(Some(_)));
    let dead: Vec<_> = listed(flow).unwrap_or_default().into_iter().filter(is_dead).collect();
    let sizes = dead.iter().flat_map(|instance| segments_of(instance).unwrap_or_default());
    let bytes = sizes.filter_map(|path| fs::symlink_metadata(path).ok()).map(|found| found.len()).sum();
    (!dead.is_empty()).then_some(bytes)
}
