//! Step 4: records to batches within [`Limits`]. Pure: time is an argument.
//!
//! Does not know files beyond their spans, nor what a record says. `parse` writes a record at the end of the open
//! batch's buffer; here it is kept, cut to what a stream takes, or carried over into the next batch. A batch is made of
//! entries, which are what a stream takes or refuses: each is one record, or a pack of them. What lies between two records
//! of a file (lines that were dropped) belongs to the batch's span, so that the safe offset can move over it.

mod closed;
mod compress;
mod key;
mod kpl;
mod limits;
mod pack;
mod side_by_side;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use closed::{Batch, Closed};
pub use compress::Compression;
pub use limits::{
    FIREHOSE_RECORD_BYTES, Limits, LimitsError, Order, PartitionKey, RECORD_BYTES, Settings, Terminator,
    TerminatorError,
};
pub use pack::Packing;

use closed::Entry;
use key::{Key, Places};
use pack::{Pack, Packer};
use side_by_side::SideBySide;

use crate::buffers::{Buffer, Buffers};
use crate::loss::Dropped;
use crate::parse::Record;
use crate::position::{FileId, Mark, Offset, Position, Share, Span};

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

/// What an aggregate has beside its records, and a key once more, at most.
const FRAME_BYTES: usize = 96;

/// Gathers the records of one flow.
///
/// Its buffer holds the data of closed entries, then the records of open packs, and then perhaps one that waits.
#[derive(Debug)]
pub struct Batcher {
    settings: Settings,
    random: fastrand::Rng,
    places: Places,
    buffer: Buffer,
    /// How long the last batch was: the next will be about as long.
    last: usize,
    entries: Vec<Entry>,
    packer: Packer,
    pack: Pack,
    /// Open packs, where each file has its own.
    files: SideBySide,
    /// Whose records come, and what tells its generation from all others.
    file: Option<(FileId, Mark)>,
    shares: Vec<Share>,
    /// Bytes of the entries, keys included; those of open packs of files at most.
    bytes: usize,
    /// Records since the last share was noted.
    unshared: usize,
    /// When the open batch's first bytes came.
    opened: Option<Instant>,
}

impl Batcher {
    /// An empty one; random keys come from `random`, its batches' memory from `buffers`.
    #[must_use]
    pub fn new(settings: Settings, mut random: fastrand::Rng, buffers: &Arc<Buffers>) -> Batcher {
        Batcher {
            packer: settings.packer(),
            settings,
            places: Places::new(&mut random),
            random,
            buffer: buffers.take(0),
            last: 0,
            entries: Vec::new(),
            pack: Pack::default(),
            files: SideBySide::default(),
            file: None,
            shares: Vec::new(),
            bytes: 0,
            unshared: 0,
            opened: None,
        }
    }

    /// Where `parse` writes the next record.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        // Not before there is something to write: a quiet flow holds nothing.
        if self.buffer.capacity() == 0 {
            self.buffer = self.buffer.another(self.last + self.last / 32);
        }
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

    /// The records that come now are of `file`, whose generation has this mark.
    pub fn turn_to(&mut self, file: FileId, mark: Mark) {
        self.file = Some((file, mark));
    }

    /// Takes the record that was written at the end of the buffer, whose line begins at `line`.
    pub fn add(&mut self, record: &Record, line: Offset, now: Instant) -> Added {
        let newline = self.settings.ends_in_newlines();
        let most = record.len().min(self.settings.room()) + usize::from(newline);
        let has_room = match (self.settings.order, self.file) {
            (Order::File, Some((file, _))) => self.has_room_beside(file, most),
            (Order::Free | Order::File, _) => self.has_room(most),
        };
        // An entry larger than a request may be is sent alone, as by the Java agent.
        if !has_room && !self.is_without_records() {
            return Added::Full;
        }
        let start = self.buffer.len() - record.len();
        let is_cut = self.settings.cut(record, &mut self.buffer);
        if newline && self.buffer.last() != Some(&b'\n') {
            self.buffer.push(b'\n');
        }
        let place = start..self.buffer.len();
        match (self.settings.order, self.file) {
            (Order::File, Some((file, mark))) => {
                self.bytes += self.bytes_beside(file, place.len());
                self.files.push(file, mark, place, line);
            }
            (Order::Free | Order::File, _) => {
                self.pack.push(place.len(), self.file.map(|(file, _)| file), line);
                if self.settings.packing == Packing::None {
                    self.close_pack();
                }
            }
        }
        self.unshared += 1;
        self.opened.get_or_insert(now);
        if is_cut { Added::Cut } else { Added::Whole }
    }

    /// Whether a record of `len` bytes goes into the open pack, or into another.
    fn has_room(&mut self, len: usize) -> bool {
        if !self.packer.takes(&self.pack, len) {
            self.close_pack();
        }
        let limits = self.settings.limits;
        let bytes = self.bytes + self.packer.bytes_with(&self.pack, len) + self.settings.key_bytes();
        self.entries.len() < limits.records() && bytes <= limits.bytes()
    }

    /// Whether a record of `len` bytes goes into the pack of this file. There is no other for it in the same request.
    fn has_room_beside(&self, file: FileId, len: usize) -> bool {
        let limits = self.settings.limits;
        let has_slot = self.files.has(file) || self.files.len() < limits.records();
        let bytes = self.bytes + self.bytes_beside(file, len);
        has_slot && bytes <= limits.bytes() && self.packer.takes(self.files.pack(file), len)
    }

    /// The most that a record of `len` bytes adds to the request in the pack of this file: a record of an aggregate needs less
    /// than a key beside it.
    fn bytes_beside(&self, file: FileId, len: usize) -> usize {
        let frame = if self.files.has(file) { 0 } else { FRAME_BYTES };
        frame + len + self.settings.key_bytes()
    }

    fn is_without_records(&self) -> bool {
        self.entries.is_empty() && self.pack.records() == 0 && self.files.len() == 0
    }

    /// Where the data of the entries end.
    fn end(&self) -> usize {
        self.entries.last().map_or(0, |last| last.end)
    }

    /// Makes an entry of the open pack, if there is anything in it. A record that waits stays at the end of the buffer.
    fn close_pack(&mut self) {
        if self.pack.records() == 0 {
            return;
        }
        let place = self.end()..self.end() + self.pack.bytes();
        let bytes = self.buffer.get(place.clone()).unwrap_or_default();
        let key = match self.settings.key {
            PartitionKey::Random => match self.settings.packing {
                Packing::None => Key::random(&mut self.random),
                Packing::Lines(_) => Key::at(self.places.next(), &mut self.random),
                // Who reads aggregates drops those that lie where their key does not.
                Packing::Kpl => Key::near(self.places.next(), &mut self.random),
            },
            PartitionKey::Deterministic => Key::of(bytes),
            PartitionKey::None => Key::None,
        };
        let start = place.start;
        let end = match self.packer.close(&self.pack, bytes, |out| key.write(out)) {
            None => place.end,
            Some(packed) => {
                self.buffer.splice(place, packed.iter().copied());
                start + packed.len()
            }
        };
        self.entries.push(self.pack.entry(end, key));
        self.pack.clear();
        self.bytes += end - start + key.len();
    }

    /// Makes an entry of the pack of each file. A record that waits stays at the end of the buffer.
    fn close_files(&mut self) {
        if self.files.len() == 0 {
            return;
        }
        let files = std::mem::take(&mut self.files);
        let waiting = self.buffer.split_off(files.end());
        let mut buffer = self.buffer.another(self.buffer.len());
        let mut records = Vec::new();
        for (_, of_file) in files {
            records.clear();
            of_file.places.into_iter().for_each(|place| {
                records.extend_from_slice(self.buffer.get(place).unwrap_or_default());
            });
            let (pack, key) = (of_file.pack, Key::of(of_file.mark.to_string().as_bytes()));
            let packed = self.packer.close(&pack, &records, |out| key.write(out));
            buffer.extend_from_slice(packed.unwrap_or(&records));
            self.entries.push(pack.entry(buffer.len(), key));
        }
        self.buffer = buffer;
        self.buffer.extend(waiting);
    }

    /// Forgets the record that waits at the end of the buffer: its line will come again.
    pub fn discard(&mut self, record: &Record) {
        let start = self.buffer.len() - record.len();
        self.buffer.truncate(start);
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

    /// How long records may wait for others.
    #[must_use]
    pub fn linger(&self) -> Duration {
        self.settings.linger
    }

    /// Whether the open batch holds as many entries as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() + self.files.len() == self.settings.limits.records()
    }

    /// Closes the open batch. A record that did not fit becomes the first bytes of the next.
    pub fn close(&mut self, now: Instant) -> Closed {
        self.close_pack();
        self.close_files();
        let end = self.end();
        let empty = self.buffer.another(0);
        let mut buffer = std::mem::replace(&mut self.buffer, empty);
        self.last = end;
        if buffer.len() > end {
            self.buffer().extend_from_slice(buffer.get(end..).unwrap_or_default());
            buffer.truncate(end);
        }
        let next = Vec::with_capacity(self.entries.len());
        let entries = std::mem::replace(&mut self.entries, next);
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
