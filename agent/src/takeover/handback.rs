//! Our positions in a store that the Java agent can start from, so that going back to it loses nothing.
//!
//! The Java agent goes on in the file of a flow's latest row at its offset, then reads every file of the pattern that was
//! written to later, from its beginning; older ones it never reads. So it is given the oldest file that has lines to
//! read: what was sent of newer ones is sent again. (G1)

use std::cmp::Reverse;
use std::fmt;
use std::path::{Path, PathBuf};

use super::row::write_file_id;
use super::store::{self, NewRow, StoreError};
use crate::position::{FlowId, Generation, Offset};
use crate::source::{Disk, Pattern, Seen, as_read, beside, holds, survey};

/// What the Java agent will do with a file, or why it can do nothing with a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on here.
    GoesOn {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: Offset,
    },
    /// It reads it from its beginning.
    Repeats {
        /// The file.
        path: PathBuf,
        /// How many bytes of it were sent.
        sent: u64,
    },
    /// It leaves them alone, as they are read to their end.
    LeavesAlone {
        /// How many.
        files: usize,
    },
    /// It will not find the file, of which something is left to read.
    Misses {
        /// The file.
        path: PathBuf,
        /// Up to where it is sent.
        offset: Offset,
        /// How much is left.
        left: u64,
    },
    /// The file is gone, and what was left of it with it.
    Gone {
        /// The file.
        path: PathBuf,
        /// Up to where it was sent.
        offset: Offset,
        /// How much was left.
        left: u64,
    },
    /// There is no file to go on in.
    NoFile,
    /// Its name for the flow's files has wildcards in directories, of which it knows none.
    NoPattern,
    /// A flow of the configuration that never ran.
    NeverRan,
    /// A flow of the last run that is not configured any more.
    NotConfigured,
}

impl Fate {
    /// Whether lines are left that the Java agent will not read.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        match self {
            Fate::Misses { .. } | Fate::Gone { .. } | Fate::NoPattern | Fate::NotConfigured => true,
            Fate::GoesOn { .. }
            | Fate::Repeats { .. }
            | Fate::LeavesAlone { .. }
            | Fate::NoFile
            | Fate::NeverRan => false,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::GoesOn { path, offset } => {
                write!(f, "the Java agent goes on in {}@{offset}", path.display())
            }
            Fate::Repeats { path, sent } => {
                let why = "is newer than that, so the Java agent reads it from its beginning";
                write!(f, "{} {why}: {sent} byte(s) of it are sent again", path.display())
            }
            Fate::LeavesAlone { files } => {
                write!(f, "{files} older file(s) are read to their end, and the Java agent leaves them alone")
            }
            Fate::Misses { path, offset, left } => {
                let mend = "start kinetail once more until they are sent, then hand back";
                write!(
                    f,
                    "{left} byte(s) of {} behind {offset} are out of the Java agent's sight: {mend}",
                    path.display()
                )
            }
            Fate::Gone { path, offset, left } => {
                write!(f, "{} is gone, and {left} byte(s) behind {offset} with it", path.display())
            }
            Fate::NoFile => {
                f.write_str("there is no file now; the Java agent reads what appears from its beginning")
            }
            Fate::NoPattern => {
                f.write_str("the Java agent knows no wildcards in directories: not handed back")
            }
            Fate::NeverRan => f.write_str("never ran: there is nothing to hand back"),
            Fate::NotConfigured => f.write_str("is not configured any more: not handed back"),
        }
    }
}

/// What the Java agent will do, flow by flow.
pub type Returned = Vec<(FlowId, Fate)>;

/// Writes the positions of the configured `flows` that are `known` into the Java agent's `store`, which is made if it is
/// missing.
///
/// # Errors
/// If the store can't be written; it is then as it was.
pub fn hand_back(
    store: &Path,
    known: &[(FlowId, Vec<Generation>)],
    flows: &[(&FlowId, &Pattern)],
    disk: &dyn Disk,
) -> Result<Returned, StoreError> {
    let (mut returned, mut rows) = (Vec::new(), Vec::new());
    for (flow, pattern) in flows {
        let generations = known.iter().find(|(id, _)| id == *flow).map(|(_, files)| files.as_slice());
        let (new, fates) = match generations {
            None => (Vec::new(), vec![Fate::NeverRan]),
            Some(_) if !is_javas(pattern) => (Vec::new(), vec![Fate::NoPattern]),
            Some(generations) => of_flow(generations, pattern, disk),
        };
        returned.extend(fates.into_iter().map(|fate| ((*flow).clone(), fate)));
        if !new.is_empty() {
            rows.push(((*flow).clone(), new));
        }
    }
    let is_configured = |id: &FlowId| flows.iter().any(|(flow, _)| *flow == id);
    let others = known.iter().filter(|(id, _)| !is_configured(id));
    returned.extend(others.map(|(id, _)| (id.clone(), Fate::NotConfigured)));
    store::replace(store, &rows)?;
    Ok(returned)
}

/// Whether the Java agent understands a pattern: it lists one directory.
fn is_javas(pattern: &Pattern) -> bool {
    Path::new(pattern.as_text()).parent() == Some(pattern.literal_prefix())
}

/// A file as the Java agent will see it, and what of it was sent.
#[derive(Clone, Debug)]
struct Held {
    path: PathBuf,
    file_id: String,
    size: u64,
    modified: i64,
    /// Up to where it was sent.
    offset: u64,
    /// Behind its last whole line: the Java agent never reads beyond.
    end: u64,
}

impl Held {
    fn row(&self) -> NewRow {
        NewRow {
            path: self.path.to_string_lossy().into_owned(),
            file_id: self.file_id.clone(),
            modified: self.modified,
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
            offset: i64::try_from(self.offset).unwrap_or(i64::MAX),
        }
    }
}

/// The rows of one flow, the latest first, and what follows from them.
fn of_flow(generations: &[Generation], pattern: &Pattern, disk: &dyn Disk) -> (Vec<NewRow>, Vec<Fate>) {
    let found = survey(pattern, disk);
    let mut files: Vec<Held> = found.iter().map(|file| held(file, generations, pattern, disk)).collect();
    let mut fates: Vec<Fate> =
        generations.iter().filter_map(|known| missed(known, &found, pattern, disk)).collect();
    files.sort_by_key(order);
    let Some(followed) = followed(&files) else {
        fates.push(Fate::NoFile);
        return (Vec::new(), fates);
    };
    let mut rows: Vec<NewRow> = files.iter().map(Held::row).collect();
    for (index, file) in files.iter().enumerate().skip(followed) {
        fates.push(if index == followed {
            Fate::GoesOn { path: file.path.clone(), offset: Offset::from_raw(file.offset) }
        } else {
            Fate::Repeats { path: file.path.clone(), sent: file.offset }
        });
    }
    if followed > 0 {
        fates.push(Fate::LeavesAlone { files: followed });
    }
    // The other rows mean nothing to the Java agent, but to us when we take over again.
    rows.rotate_left(followed);
    (rows, fates)
}

/// The Java agent's order, the oldest first: of files of the same time it takes the smaller for the newer.
fn order(file: &Held) -> (i64, Reverse<u64>) {
    (file.modified, Reverse(file.size))
}

/// Which of the files, the oldest first, the Java agent must go on in: the oldest that has lines to read, else the newest.
fn followed(files: &[Held]) -> Option<usize> {
    files.iter().position(|file| file.offset < file.end).or(files.len().checked_sub(1))
}

fn held(file: &Seen, generations: &[Generation], pattern: &Pattern, disk: &dyn Disk) -> Held {
    let reach = pattern.literal_prefix();
    // Of two generations of one inode, only the one whose bytes are there is in it.
    let known = generations.iter().filter(|known| holds(file, known, reach, disk));
    let offset = known.map(|known| known.position.offset.to_raw()).max().unwrap_or_default();
    let end = as_read(file, Offset::from_raw(file.stat.size), reach, disk);
    Held {
        path: file.path.clone(),
        file_id: write_file_id(file.stat.device, file.stat.inode),
        size: file.stat.size,
        modified: file.stat.modified,
        offset,
        // Of one that cannot be read, the Java agent may be able to read everything.
        end: end.map_or(file.stat.size, |read| read.position.offset.to_raw()),
    }
}

/// What is left to read of a file that is not among those of the pattern any more.
fn missed(known: &Generation, found: &[Seen], pattern: &Pattern, disk: &dyn Disk) -> Option<Fate> {
    let reach = pattern.literal_prefix();
    if found.iter().any(|file| holds(file, known, reach, disk)) {
        return None;
    }
    let offset = known.position.offset;
    let left = |size: u64| Some(size.saturating_sub(offset.to_raw())).filter(|left| *left > 0);
    match beside(&known.path, disk).into_iter().find(|file| holds(file, known, reach, disk)) {
        Some(file) => left(file.stat.size).map(|left| Fate::Misses { path: file.path, offset, left }),
        None => left(known.size).map(|left| Fate::Gone { path: known.path.clone(), offset, left }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(modified: i64, size: u64, offset: u64, end: u64) -> Held {
        Held { path: PathBuf::new(), file_id: String::new(), size, modified, offset, end }
    }

    /// Of files in this order, with what was sent and what can be: which is followed.
    #[track_caller]
    fn check(files: &[(u64, u64)], expected: Option<usize>) {
        let files: Vec<Held> = files.iter().map(|&(offset, end)| file(0, end, offset, end)).collect();
        assert_eq!(followed(&files), expected);
    }

    #[test]
    fn the_oldest_with_lines_to_read_is_followed() {
        check(&[(9, 9), (5, 9), (9, 9), (2, 9)], Some(1));
        check(&[(0, 9), (9, 9)], Some(0));
    }

    #[test]
    fn with_nothing_to_read_the_newest_is() {
        check(&[(9, 9), (9, 9)], Some(1));
        check(&[], None);
    }

    #[test]
    fn a_line_that_never_ended_is_nothing_to_read() {
        let torn = file(0, 9, 5, 5);
        assert_eq!(followed(&[torn, file(1, 9, 9, 9)]), Some(1));
    }

    #[test]
    fn of_the_same_time_the_smaller_is_the_newer() {
        assert!(order(&file(1, 10, 0, 0)) < order(&file(1, 5, 0, 0)));
        assert!(order(&file(0, 5, 0, 0)) < order(&file(1, 10, 0, 0)));
    }

    proptest! {
        /// What the Java agent reads then is, file by file, everything that was not sent.
        #[test]
        fn the_java_agent_reads_every_line_that_was_not_sent(
            files in prop::collection::vec((0i64..4, 0u64..4, 0u64..4), 0..6),
        ) {
            let mut files: Vec<Held> =
                files.into_iter().map(|(modified, end, sent)| file(modified, end, sent.min(end), end)).collect();
            files.sort_by_key(order);
            let at = followed(&files);
            for (index, file) in files.iter().enumerate() {
                let read_from = match at {
                    Some(at) if index == at => file.offset,
                    Some(at) if index > at => 0,
                    Some(_) | None => file.end,
                };
                prop_assert!(read_from <= file.offset, "{index} of {files:?}");
            }
        }
    }
}
