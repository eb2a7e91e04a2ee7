//! Step 4: records to batches within [`Limits`]. Pure: time is an argument.
//!
//! Does not know files beyond their spans, nor what a record says. `parse` writes a record at the end of the open
//! batch's buffer; here it is kept, cut to what a stream takes, or carried over into the next batch. A batch is made of
//! entries, which are what a stream takes or refuses: each is one record, or a pack of them. What lies between two records
//! of a file (lines that were dropped) belongs to the batch's span, so that the safe offset can move over it.

mod compress;
mod key;
mod kpl;
mod limits;
mod pack;

use tokio::time::Instant;

pub use compress::Compression;
pub use limits::{
    FIREHOSE_RECORD_BYTES, Limits, LimitsError, PartitionKey, RECORD_BYTES, Settings, Terminator,
    TerminatorError,
};
pub use pack::Packing;

use key::Key;
use pack::Packer;

use crate::loss::Dropped;
use crate::parse::Record;
use crate::position::{FileId, Offset, Position, Share, Span};

/// Where an entry ends in its batch's buffer (it begins where the one before ends), its key, how many records it holds, and
/// where the line of the first of them begins.
#[derive(Clone, Copy, Debug)]
struct Entry {
    end: usize,
    key: Key,
    records: usize,
    line: Offset,
}

/// What one call takes: never empty, never beyond its limits.
#[derive(Debug)]
pub struct Batch {
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    shares: Vec<Share>,
    opened: Instant,
}

impl Batch {
    /// How many entries it holds.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// How many records the entry at `index` holds; none if there is no such entry.
    #[must_use]
    pub fn records(&self, index: usize) -> usize {
        self.entries.get(index).map_or(0, |entry| entry.records)
    }

    /// The payload of the entry at `index`; nothing if there is none.
    #[must_use]
    pub fn data(&self, index: usize) -> &[u8] {
        let end = self.entries.get(index).map_or(0, |entry| entry.end);
        let start =
            index.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |entry| entry.end);
        self.buffer.get(start..end).unwrap_or_default()
    }

    /// Bytes of the partition key of the entry at `index`.
    #[must_use]
    pub fn key_len(&self, index: usize) -> usize {
        self.entries.get(index).map_or(0, |entry| entry.key.len())
    }

    /// Appends the partition key of the entry at `index`.
    pub fn write_key(&self, index: usize, out: &mut Vec<u8>) {
        if let Some(entry) = self.entries.get(index) {
            entry.key.write(out);
        }
    }

    /// Where the line of the first record of the entry at `index` begins, and in which file; nothing if it is of no file.
    #[must_use]
    pub fn origin(&self, index: usize) -> Option<(FileId, Offset)> {
        let line = self.entries.get(index)?.line;
        let before: usize = self.entries.get(..index)?.iter().map(|entry| entry.records).sum();
        let mut ends = self.shares.iter().scan(0, |end, share| {
            *end += share.records;
            Some((*end, share.span.file()))
        });
        ends.find(|(end, _)| before < *end).map(|(_, file)| (file, line))
    }

    /// The bytes of each file it stands for, in the order they were read.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// When its first record came.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }
}

/// What became of the open batch when it was closed.
#[derive(Debug)]
pub enum Closed {
    /// Records to send.
    Batch(Batch),
    /// Only lines that were dropped.
    Dropped(Vec<Dropped>),
    /// Nothing at all.
    Nothing,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in the batch.
    Whole,
    /// It is in the batch, cut to what a stream takes.
    Cut,
    /// The batch must be closed first; the record waits at the end of the buffer and is to be added again.
    Full,
}

/// Gathers the records of one flow.
///
/// Its buffer holds the data of closed entries, then the records of the open pack, and then perhaps one that waits.
#[derive(Debug)]
pub struct Batcher {
    settings: Settings,
    random: fastrand::Rng,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    pack: Packer,
    shares: Vec<Share>,
    /// Bytes of the entries, keys included.
    bytes: usize,
    /// Records since the last share was noted.
    unshared: usize,
    /// When the open batch's first bytes came.
    opened: Option<Instant>,
}

impl Batcher {
    /// An empty one; random keys come from `random`.
    #[must_use]
    pub fn new(settings: Settings, random: fastrand::Rng) -> Batcher {
        Batcher {
            pack: settings.packer(),
            settings,
            random,
            buffer: Vec::new(),
            entries: Vec::new(),
            shares: Vec::new(),
            bytes: 0,
            unshared: 0,
            opened: None,
        }
    }

    /// Where `parse` writes the next record.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Payload bytes of the open batch, and of a record that waits.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the open batch stands for nothing yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_without_records() && self.shares.is_empty()
    }

    /// Takes the record that was written at the end of the buffer, whose line begins at `line`.
    pub fn add(&mut self, record: &Record, line: Offset, now: Instant) -> Added {
        let newline = self.settings.ends_in_newlines();
        let most = record.len().min(self.settings.room()) + usize::from(newline);
        if !self.pack.takes(most) {
            self.close_pack();
        }
        let limits = self.settings.limits;
        let bytes = self.bytes + self.pack.bytes_with(most) + self.settings.key_bytes();
        // An entry larger than a request may be is sent alone, as by the Java agent.
        let fits = self.entries.len() < limits.records() && bytes <= limits.bytes();
        if !fits && !self.is_without_records() {
            return Added::Full;
        }
        let is_cut = self.settings.cut(record, &mut self.buffer);
        if newline && self.buffer.last() != Some(&b'\n') {
            self.buffer.push(b'\n');
        }
        let len = self.buffer.len() - self.end() - self.pack.bytes();
        if self.pack.push(len, line) {
            self.close_pack();
        }
        self.unshared += 1;
        self.opened.get_or_insert(now);
        if is_cut { Added::Cut } else { Added::Whole }
    }

    fn is_without_records(&self) -> bool {
        self.entries.is_empty() && self.pack.records() == 0
    }

    /// Where the data of the entries end.
    fn end(&self) -> usize {
        self.entries.last().map_or(0, |last| last.end)
    }

    /// Makes an entry of the open pack, if there is anything in it. A record that waits stays at the end of the buffer.
    fn close_pack(&mut self) {
        let (records, line) = (self.pack.records(), self.pack.line());
        if records == 0 {
            return;
        }
        let place = self.end()..self.end() + self.pack.bytes();
        let bytes = self.buffer.get(place.clone()).unwrap_or_default();
        let key = match self.settings.key {
            PartitionKey::Random => Key::random(&mut self.random),
            PartitionKey::Deterministic => Key::of(bytes),
            PartitionKey::None => Key::None,
        };
        let start = place.start;
        let end = match self.pack.close(bytes, |out| key.write(out)) {
            None => place.end,
            Some(packed) => {
                self.buffer.splice(place, packed.iter().copied());
                start + packed.len()
            }
        };
        self.entries.push(Entry { end, key, records, line });
        self.bytes += end - start + key.len();
    }

    /// Forgets the record that waits at the end of the buffer: its line will come again.
    pub fn discard(&mut self, record: &Record) {
        self.buffer.truncate(self.buffer.len() - record.len());
    }

    /// The records added since the last call, and lines that were dropped among them, are the bytes of `file` from
    /// `start` to `end`.
    pub fn cover(&mut self, file: FileId, start: Offset, end: Position, now: Instant) {
        let records = std::mem::take(&mut self.unshared);
        let Some(span) = Span::new(file, start, end) else { return };
        self.opened.get_or_insert(now);
        match self.shares.last_mut() {
            Some(last) if last.span.file() == file && last.span.end().offset == start => {
                if let Some(span) = Span::new(file, last.span.start(), end) {
                    *last = Share { span, records: last.records + records };
                }
            }
            Some(_) | None => self.shares.push(Share { span, records }),
        }
    }

    /// When the open batch has waited long enough.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.opened.map(|opened| opened + self.settings.linger)
    }

    /// Whether the open batch holds as many entries as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() == self.settings.limits.records()
    }

    /// Closes the open batch. A record that did not fit becomes the first bytes of the next.
    pub fn close(&mut self, now: Instant) -> Closed {
        self.close_pack();
        let end = self.end();
        let mut next = Vec::with_capacity(self.buffer.capacity().min(2 * end.max(4096)));
        next.extend_from_slice(self.buffer.get(end..).unwrap_or_default());
        let mut buffer = std::mem::replace(&mut self.buffer, next);
        buffer.truncate(end);
        let entries = std::mem::take(&mut self.entries);
        let shares = std::mem::take(&mut self.shares);
        let opened = self.opened.take().unwrap_or(now);
        self.bytes = 0;
        match (entries.is_empty(), shares.is_empty()) {
            (true, true) => Closed::Nothing,
            (true, false) => {
                Closed::Dropped(shares.into_iter().map(|share| Dropped::counted(share.span)).collect())
            }
            (false, _) => Closed::Batch(Batch { buffer, entries, shares, opened }),
        }
    }
}

#[cfg(test)]
mod tests;
