//! The quarantine's files: bounded, appended to, read without the agent.
//!
//! The directory `quarantine` has files of an eighth of the bound, named by number. Lines are appended to the last; to make
//! room, the first is removed whole. A crash may tear the end of the last file, which is cut; the lines in it were not
//! passed by any checkpoint, are read again, and are known by flow, file generation and offset where they are kept already.
//! It does not know what a flow is, nor who counts. `again` writes lines a second time that a sync has put in doubt.

mod again;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::position::FlowId;
use crate::quarantine::directory::{DIRECTORY, create, files};
use crate::quarantine::entry::{Entry, Filter, Stray};
use crate::quarantine::error::JournalError;
use crate::quarantine::format::{self, Frame, HEADER};
use crate::quarantine::segment::{Place, Segment, Tallies, scan};
use again::Rest;

/// How many files share the bound: so much of it is given up at once to make room.
const SEGMENTS: u64 = 8;

/// Entries that are lent at once: no more than one request takes.
const LENT: usize = 500;

/// Numbers in one frame that removes entries.
const REMOVED: usize = 1000;

/// The files, and what is in them.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    bound: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The last of them, if it can be appended to.
    open: Option<Open>,
    /// The number of the next file, and of the next entry.
    next_file: u64,
    next: u64,
    /// Entries that are with whoever tries to send them.
    lent: BTreeMap<u64, Place>,
    evicted: Tallies,
    lost: Tallies,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// How much of it is on the disk for certain.
    synced: u64,
    /// What is known of the rest.
    rest: Rest,
}

impl Journal {
    /// The quarantine in the state directory `directory`, with `bound` bytes at most; and what cannot be read of it.
    #[must_use]
    pub fn open(directory: &Path, bound: u64) -> (Journal, Vec<JournalError>) {
        let mut journal = Journal {
            directory: directory.join(DIRECTORY),
            bound,
            segments: VecDeque::new(),
            open: None,
            next_file: 1,
            next: 1,
            lent: BTreeMap::new(),
            evicted: Tallies::new(),
            lost: Tallies::new(),
        };
        let mut damaged = Vec::new();
        if let Err(error) = journal.take_in_all(&mut damaged) {
            damaged.push(error);
        }
        // A process that was killed may have written to the last what it had not synced.
        if let Some(Segment { path, .. }) = journal.segments.back()
            && let Err(source) = File::open(path).and_then(|file| file.sync_all())
        {
            damaged.push(JournalError::Write { path: path.clone(), source });
        }
        (journal, damaged)
    }

    /// Reads the files that are there.
    fn take_in_all(&mut self, damaged: &mut Vec<JournalError>) -> Result<(), JournalError> {
        let files = files(&self.directory)?;
        // An entry is said to be removed behind it, most often in another file.
        let mut removed = BTreeSet::new();
        for path in files.values() {
            let scanned = scan(path, &mut |frame| {
                if let Ok(Frame::Removed(numbers)) = frame {
                    removed.extend(numbers);
                }
            });
            if let Err(source) = scanned {
                damaged.push(JournalError::Read { path: path.clone(), source });
            }
        }
        self.next = removed.last().map_or(1, |last| last.saturating_add(1));
        for (number, path) in files {
            self.next_file = number.saturating_add(1);
            if let Err(error) = self.take_in(path, &removed, damaged) {
                damaged.push(error);
            }
        }
        Ok(())
    }

    /// Reads a file behind all that are known; the end that a crash tore is cut off.
    fn take_in(
        &mut self,
        path: PathBuf,
        removed: &BTreeSet<u64>,
        damaged: &mut Vec<JournalError>,
    ) -> Result<(), JournalError> {
        let before = self.segments.back().map_or(1, |last| last.last.saturating_add(1));
        if let Some(segment) = Segment::read(path, before, removed, damaged)? {
            self.next = self.next.max(segment.last.saturating_add(1));
            self.segments.push_back(segment);
        }
        Ok(())
    }

    /// Keeps a line of the file at `path`, unless it is kept already.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(
        &mut self,
        flow: &FlowId,
        path: &Path,
        millis: u64,
        stray: &Stray,
    ) -> Result<(), JournalError> {
        if self.segments.iter().any(|segment| segment.has(flow, stray)) {
            return Ok(());
        }
        let (flow, path) = (flow.clone(), path.to_owned());
        let entry = Entry { number: self.next, flow, path, millis, stray: stray.clone() };
        self.append(&format::write_kept(&entry))?;
        self.next += 1;
        if let Some(last) = self.segments.back_mut() {
            last.note(&entry);
        }
        Ok(())
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// If it fails. Nothing is given up then: what is not on the disk is to be synced again.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        let (Some(open), Some(last)) = (&mut self.open, self.segments.back()) else { return Ok(()) };
        if open.synced == last.bytes {
            return Ok(());
        }
        match open.rest {
            Rest::Sound => {
                let result = open.file.sync_all();
                match result {
                    Ok(()) => open.synced = last.bytes,
                    Err(_) => open.rest = Rest::Doubtful,
                }
                result.map_err(|source| JournalError::Write { path: last.path.clone(), source })
            }
            Rest::Doubtful => self.write_again(),
        }
    }

    /// Takes entries out that `filter` picks, behind the one with the number `after`, as many as have room in `bytes`, one
    /// at least.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn lend(&mut self, filter: &Filter, after: u64, bytes: usize) -> Result<Vec<Entry>, JournalError> {
        let (mut entries, mut size) = (Vec::new(), 0);
        for segment in &mut self.segments {
            if segment.last <= after || entries.len() == LENT || size >= bytes {
                continue;
            }
            let lent = &self.lent;
            let mut found = Vec::new();
            scan(&segment.path, &mut |frame| {
                if let Ok(Frame::Kept(entry)) = frame
                    && entry.number > after
                    && entries.len() + found.len() < LENT
                    && (size == 0 || size + entry.stray.bytes.len() <= bytes)
                    && filter.picks(&entry.flow, entry.stray.cause)
                    && !segment.removed.contains(&entry.number)
                    && !lent.contains_key(&entry.number)
                {
                    size += entry.stray.bytes.len().max(1);
                    found.push(entry);
                }
            })
            .map_err(|source| JournalError::Read { path: segment.path.clone(), source })?;
            for entry in &found {
                let place = Place::of(entry);
                segment.take_out(&place);
                self.lent.insert(entry.number, place);
            }
            entries.append(&mut found);
        }
        Ok(entries)
    }

    /// Puts entries back that were lent and stay.
    pub fn give_back(&mut self, numbers: &[u64]) {
        for number in numbers {
            if let Some(place) = self.lent.remove(number)
                && let Some(segment) = self.segments.iter_mut().rfind(|segment| segment.first <= *number)
            {
                segment.put_back(&place);
            }
        }
    }

    /// Removes entries that were lent.
    ///
    /// # Errors
    /// If that cannot be written down: then they are there again at the next start.
    pub fn remove(&mut self, numbers: &[u64]) -> Result<(), JournalError> {
        for number in numbers {
            if let Some(place) = self.lent.remove(number)
                && let Some(segment) = self.segments.iter_mut().rfind(|segment| segment.first <= *number)
            {
                segment.remove(*number, &place);
            }
        }
        self.write_down(numbers)
    }

    /// Removes every entry that `filter` picks and that is not lent; says what they were.
    ///
    /// # Errors
    /// If a file cannot be read, or what is removed not be written down.
    pub fn clear(&mut self, filter: &Filter) -> Result<Tallies, JournalError> {
        let (mut cleared, mut numbers) = (Tallies::new(), Vec::new());
        for segment in &mut self.segments {
            let (lent, mut found) = (&self.lent, Vec::new());
            scan(&segment.path, &mut |frame| {
                if let Ok(Frame::Kept(entry)) = frame
                    && filter.picks(&entry.flow, entry.stray.cause)
                    && !segment.removed.contains(&entry.number)
                    && !lent.contains_key(&entry.number)
                {
                    found.push((entry.number, Place::of(&entry)));
                }
            })
            .map_err(|source| JournalError::Read { path: segment.path.clone(), source })?;
            for (number, place) in found {
                cleared.entry((place.flow.clone(), place.cause)).or_default().add(place.lines);
                segment.take_out(&place);
                segment.remove(number, &place);
                numbers.push(number);
            }
        }
        self.write_down(&numbers)?;
        Ok(cleared)
    }

    /// Has the disk know that entries were removed: files that hold none any more go, and the last says of the others.
    fn write_down(&mut self, numbers: &[u64]) -> Result<(), JournalError> {
        while let Some(first) = self.segments.front()
            && first.held.is_empty()
            && !self.lent.keys().any(|number| (first.first..=first.last).contains(number))
        {
            self.remove_first()?;
        }
        let Some(first) = self.segments.front().map(|segment| segment.first) else { return Ok(()) };
        let left: Vec<u64> = numbers.iter().copied().filter(|number| *number >= first).collect();
        for numbers in left.chunks(REMOVED) {
            self.append(&format::write_removed(numbers.to_vec()))?;
        }
        self.sync()
    }

    /// How much is held, by flow and cause.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        let mut tallies = Tallies::new();
        for (key, tally) in self.segments.iter().flat_map(|segment| &segment.held) {
            let sum = tallies.entry(key.clone()).or_default();
            *sum = [*sum, *tally].into_iter().sum();
        }
        tallies
    }

    /// How many bytes the files have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// What had to make room since this was last asked.
    pub fn take_evicted(&mut self) -> Tallies {
        std::mem::take(&mut self.evicted)
    }

    /// What could not be read again to be brought to the disk, since this was last asked.
    pub fn take_lost(&mut self) -> Tallies {
        std::mem::take(&mut self.lost)
    }

    /// Writes a frame to the end of the last file, or of a new one.
    fn append(&mut self, frame: &[u8]) -> Result<(), JournalError> {
        let len = frame.len() as u64;
        self.make_room(len)?;
        let (Some(open), Some(last)) = (&mut self.open, self.segments.back_mut()) else { return Ok(()) };
        if let Err(source) = open.file.write_all(frame) {
            let path = last.path.clone();
            // What was written of it would otherwise stand before the next frame.
            if open.file.set_len(last.bytes).is_err() {
                self.open = None;
            }
            return Err(JournalError::Write { path, source });
        }
        last.bytes += len;
        Ok(())
    }

    /// Has a file open that may take `len` bytes more.
    fn make_room(&mut self, len: u64) -> Result<(), JournalError> {
        let share = self.bound / SEGMENTS;
        let fits = self.segments.back().is_some_and(|last| last.bytes + len <= share);
        match (&self.open, fits) {
            (Some(_), true) => Ok(()),
            (None, true) => self.open_last(),
            (_, false) => {
                // What the first puts in doubt the second writes again.
                self.sync().or_else(|_| self.sync())?;
                self.open = None;
                let needed = share.max(len + HEADER.len() as u64);
                if needed > self.bound {
                    return Err(JournalError::TooLarge { bytes: len });
                }
                while self.bytes() + needed > self.bound {
                    self.evict_first()?;
                }
                self.begin()
            }
        }
    }

    fn open_last(&mut self) -> Result<(), JournalError> {
        let Some(last) = self.segments.back() else { return Ok(()) };
        let failed = |source| JournalError::Write { path: last.path.clone(), source };
        let file = OpenOptions::new().append(true).open(&last.path).map_err(failed)?;
        // Behind what is known of it there may be the rest of a line that was torn.
        file.set_len(last.bytes).map_err(failed)?;
        self.open = Some(Open { file, synced: last.bytes, rest: Rest::Sound });
        Ok(())
    }

    /// Begins a new file.
    fn begin(&mut self) -> Result<(), JournalError> {
        let path = self.directory.join(format!("{:012}", self.next_file));
        let file = create(&self.directory, &path)
            .map_err(|source| JournalError::Write { path: path.clone(), source })?;
        self.next_file += 1;
        self.segments.push_back(Segment::new(path, self.next));
        self.open = Some(Open { file, synced: 0, rest: Rest::Sound });
        Ok(())
    }

    fn evict_first(&mut self) -> Result<(), JournalError> {
        let evicted = self.segments.front().map(|first| first.held.clone()).unwrap_or_default();
        self.remove_first()?;
        for (key, tally) in evicted {
            let sum = self.evicted.entry(key).or_default();
            *sum = [*sum, tally].into_iter().sum();
        }
        Ok(())
    }

    fn remove_first(&mut self) -> Result<(), JournalError> {
        let Some(first) = self.segments.pop_front() else { return Ok(()) };
        if self.segments.is_empty() {
            self.open = None;
        }
        match fs::remove_file(&first.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = first.path.clone();
                self.segments.push_front(first);
                Err(JournalError::Write { path, source: error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
