//! One file of the quarantine as it is known in memory, and how it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::entry::{Entry, Stray, Tally};
use super::error::JournalError;
use super::format::{self, Frame, FrameError, HEADER};
use crate::loss::Cause;
use crate::position::{FlowId, Mark, Offset};

/// How many entries there are, by flow and cause. None of them is empty.
pub type Tallies = BTreeMap<(FlowId, Cause), Tally>;

/// Where an entry belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) flow: FlowId,
    pub(super) mark: Mark,
    pub(super) offset: Offset,
    pub(super) cause: Cause,
    pub(super) lines: u64,
}

/// What is known of one file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Up to the end of its last whole frame.
    pub(super) bytes: u64,
    /// Entries in it have numbers from here on, up to there; the next file's are higher.
    pub(super) first: u64,
    pub(super) last: u64,
    /// What it holds, without what is lent.
    pub(super) held: Tallies,
    /// The numbers of its entries that were removed.
    pub(super) removed: BTreeSet<u64>,
    /// Which lines it has, in order: a line that is read again after a crash is found here.
    offsets: BTreeMap<(FlowId, Mark), Vec<Offset>>,
}

impl Place {
    /// Where `entry` belongs.
    pub(super) fn of(entry: &Entry) -> Place {
        let Stray { mark, offset, lines, cause, .. } = &entry.stray;
        Place { flow: entry.flow.clone(), mark: *mark, offset: *offset, cause: *cause, lines: *lines }
    }

    fn key(&self) -> (FlowId, Cause) {
        (self.flow.clone(), self.cause)
    }
}

impl Segment {
    /// A new file at `path`, whose entries have numbers from `first` on.
    pub(super) fn new(path: PathBuf, first: u64) -> Segment {
        Segment {
            path,
            bytes: HEADER.len() as u64,
            first,
            last: first.saturating_sub(1),
            held: Tallies::new(),
            removed: BTreeSet::new(),
            offsets: BTreeMap::new(),
        }
    }

    /// What the file at `path` holds, whose entries have numbers from `first` on, but for those in `removed`. Adds to
    /// `damaged` what cannot be read; the end that a crash tore is cut off, and nothing is left of a file that was only
    /// begun.
    pub(super) fn read(
        path: PathBuf,
        first: u64,
        removed: &BTreeSet<u64>,
        damaged: &mut Vec<JournalError>,
    ) -> Result<Option<Segment>, JournalError> {
        let mut segment = Segment::new(path, first);
        let path = segment.path.clone();
        let scanned = scan(&path, &mut |frame| match frame {
            Ok(Frame::Kept(entry)) if removed.contains(&entry.number) => {
                segment.last = entry.number;
                segment.removed.insert(entry.number);
            }
            Ok(Frame::Kept(entry)) => segment.note(&entry),
            Ok(Frame::Removed(_)) => {}
            Err((end, source)) => damaged.push(JournalError::Frame { path: path.clone(), end, source }),
        });
        let failed = |source| JournalError::Read { path: path.clone(), source };
        match scanned.map_err(failed)? {
            Scanned::Foreign => return Err(JournalError::Header { path }),
            Scanned::Begun => {
                fs::remove_file(&path).map_err(failed)?;
                return Ok(None);
            }
            Scanned::Ours { whole, all } => {
                if whole < all {
                    let file = OpenOptions::new().write(true).open(&path);
                    file.and_then(|file| file.set_len(whole)).map_err(failed)?;
                }
                segment.bytes = whole;
            }
        }
        Ok(Some(segment))
    }

    /// Whether it has this line.
    pub(super) fn has(&self, flow: &FlowId, stray: &Stray) -> bool {
        let offsets = self.offsets.get(&(flow.clone(), stray.mark));
        offsets.is_some_and(|offsets| offsets.binary_search(&stray.offset).is_ok())
    }

    /// Notes an entry that was written to its end.
    pub(super) fn note(&mut self, entry: &Entry) {
        let place = Place::of(entry);
        self.last = entry.number;
        self.put_back(&place);
        let offsets = self.offsets.entry((place.flow, place.mark)).or_default();
        if let Err(at) = offsets.binary_search(&place.offset) {
            offsets.insert(at, place.offset);
        }
    }

    /// Does not count an entry for now.
    pub(super) fn take_out(&mut self, place: &Place) {
        if let Some(tally) = self.held.get_mut(&place.key()) {
            tally.subtract(place.lines);
            if tally.entries == 0 {
                self.held.remove(&place.key());
            }
        }
    }

    /// Counts an entry.
    pub(super) fn put_back(&mut self, place: &Place) {
        self.held.entry(place.key()).or_default().add(place.lines);
    }

    /// Notes that an entry was removed that was taken out before: if its line is read again, it may be kept again.
    pub(super) fn remove(&mut self, number: u64, place: &Place) {
        self.removed.insert(number);
        if let Some(offsets) = self.offsets.get_mut(&(place.flow.clone(), place.mark))
            && let Ok(at) = offsets.binary_search(&place.offset)
        {
            offsets.remove(at);
        }
    }
}

/// What a file turned out to be.
pub(super) enum Scanned {
    /// It has lines of ours.
    Ours {
        /// Up to the end of the last whole one.
        whole: u64,
        /// What there is.
        all: u64,
    },
    /// A crash came before its header was on the disk.
    Begun,
    /// It has another header.
    Foreign,
}

/// Reads a file, line by line; of a line that says nothing, where it ends and why.
pub(super) fn scan(
    path: &Path,
    each: &mut dyn FnMut(Result<Frame, (u64, FrameError)>),
) -> io::Result<Scanned> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let mut whole = file.read_until(b'\n', &mut line)? as u64;
    if line != HEADER {
        return Ok(if HEADER.starts_with(&line) { Scanned::Begun } else { Scanned::Foreign });
    }
    loop {
        line.clear();
        let all = whole + file.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            if all > whole {
                each(Err((all, FrameError::Torn)));
            }
            return Ok(Scanned::Ours { whole, all });
        }
        whole = all;
        each(format::read(&line).map_err(|error| (whole, error)));
    }
}

/// Adds to `sum` what is in `before` and not in `after`.
pub(super) fn subtract(sum: &mut Tallies, before: &Tallies, after: &Tallies) {
    for (key, tally) in before {
        let left = after.get(key).copied().unwrap_or_default();
        let gone = Tally {
            entries: tally.entries.saturating_sub(left.entries),
            lines: tally.lines.saturating_sub(left.lines),
        };
        if gone != Tally::default() {
            let sum = sum.entry(key.clone()).or_default();
            *sum = [*sum, gone].into_iter().sum();
        }
    }
}
