//! Step 4: records to batches within [`Limits`]. Pure: time is an argument.
//!
//! Does not know files beyond their spans, nor what a record says. `parse` writes a record at the end of the open
//! batch's buffer; here it is kept, cut to what a stream takes, or carried over into the next batch. What lies
//! between two records of a file (lines that were dropped) belongs to the batch's span, so that the safe offset can
//! move over it.

mod limits;

use md5::{Digest, Md5};
use tokio::time::Instant;

pub use limits::{Limits, LimitsError, PartitionKey, RECORD_BYTES, Settings, Terminator, TerminatorError};
use limits::{MD5_KEY_BYTES, RANDOM_KEY_BYTES};

use crate::loss::Dropped;
use crate::parse::Record;
use crate::position::{FileId, Offset, Position, Share, Span};

/// A record's partition key, as short as it can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// Below 10^12; written as a decimal number below 10^6 with six places.
    Random(u64),
    Md5([u8; 16]),
}

/// What a random key is drawn from.
const RANDOM_KEYS: u64 = 1_000_000_000_000;

impl Key {
    /// Bytes of the key as it is written.
    fn len(self) -> usize {
        match self {
            Key::Random(_) => RANDOM_KEY_BYTES,
            Key::Md5(_) => MD5_KEY_BYTES,
        }
    }

    /// Appends the key as it is written.
    fn write(self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match self {
            Key::Random(number) => {
                let mut digits = *b"000000.000000";
                let mut rest = number;
                for place in digits.iter_mut().rev().filter(|place| **place != b'.') {
                    *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                    rest /= 10;
                }
                out.extend_from_slice(&digits);
            }
            Key::Md5(hash) => {
                let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                out.extend(nibbles.filter_map(|nibble| HEX.get(usize::from(nibble))));
            }
        }
    }
}

/// Where a record ends in its batch's buffer (it begins where the one before ends), its key, and where its line begins.
#[derive(Clone, Copy, Debug)]
struct Entry {
    end: usize,
    key: Key,
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
    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        self.entries.len()
    }

    /// The payload of the record at `index`; nothing if there is none.
    #[must_use]
    pub fn data(&self, index: usize) -> &[u8] {
        let end = self.entries.get(index).map_or(0, |entry| entry.end);
        let start =
            index.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |entry| entry.end);
        self.buffer.get(start..end).unwrap_or_default()
    }

    /// Appends the partition key of the record at `index`.
    pub fn write_key(&self, index: usize, out: &mut Vec<u8>) {
        if let Some(entry) = self.entries.get(index) {
            entry.key.write(out);
        }
    }

    /// Where the line of the record at `index` begins, and in which file; nothing if it is of no file.
    #[must_use]
    pub fn origin(&self, index: usize) -> Option<(FileId, Offset)> {
        let line = self.entries.get(index)?.line;
        let mut ends = self.shares.iter().scan(0, |end, share| {
            *end += share.records;
            Some((*end, share.span.file()))
        });
        ends.find(|(end, _)| index < *end).map(|(_, file)| (file, line))
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
#[derive(Debug)]
pub struct Batcher {
    settings: Settings,
    random: fastrand::Rng,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    shares: Vec<Share>,
    /// Bytes of the open batch, keys included.
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
        self.entries.is_empty() && self.shares.is_empty()
    }

    /// Takes the record that was written at the end of the buffer, whose line begins at `line`.
    pub fn add(&mut self, record: &Record, line: Offset, now: Instant) -> Added {
        let start = self.buffer.len() - record.len();
        let key = match self.settings.key {
            PartitionKey::Random => Key::Random(self.random.u64(0..RANDOM_KEYS)),
            PartitionKey::Deterministic => {
                Key::Md5(Md5::digest(self.buffer.get(start..).unwrap_or_default()).into())
            }
        };
        let len = record.len().min(self.settings.room());
        let limits = self.settings.limits;
        // A record larger than a request may be is sent alone, as by the Java agent.
        let fits = self.entries.len() < limits.records() && self.bytes + len + key.len() <= limits.bytes();
        if !fits && !self.entries.is_empty() {
            return Added::Full;
        }
        let is_cut = self.settings.cut(record, &mut self.buffer);
        self.entries.push(Entry { end: start + len, key, line });
        self.bytes += len + key.len();
        self.unshared += 1;
        self.opened.get_or_insert(now);
        if is_cut { Added::Cut } else { Added::Whole }
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

    /// Whether the open batch holds as many records as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() == self.settings.limits.records()
    }

    /// Closes the open batch. A record that did not fit becomes the first bytes of the next.
    pub fn close(&mut self, now: Instant) -> Closed {
        let end = self.entries.last().map_or(0, |last| last.end);
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
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::parse::{Parser, Surroundings};
    use crate::position::Tail;
    use crate::split::Line;

    fn settings(records: usize, bytes: usize, key: PartitionKey) -> Settings {
        let limits = Limits::new(records, bytes).unwrap();
        Settings { limits, linger: Duration::from_secs(1), key, terminator: Terminator::default() }
    }

    fn position(offset: usize) -> Position {
        Position { offset: Offset::from_raw(offset as u64), tail: Tail::default() }
    }

    /// Runs `lines` of one file through a batcher as the pipeline does.
    fn batches(lines: &[Vec<u8>], settings: Settings) -> Vec<Batch> {
        let now = Instant::now();
        let mut batcher = Batcher::new(settings, fastrand::Rng::with_seed(7));
        let (mut parser, around) = (Parser::default(), Surroundings::at(Duration::ZERO));
        let (mut out, mut end, mut covered) = (Vec::new(), 0, 0);
        for line in lines {
            let record = parser.parse(&Line::alone(line), &around, batcher.buffer()).unwrap();
            let at = Offset::from_raw(end as u64);
            if batcher.add(&record, at, now) == Added::Full {
                batcher.cover(FileId::FIRST, Offset::from_raw(covered as u64), position(end), now);
                covered = end;
                out.push(batcher.close(now));
                assert_ne!(batcher.add(&record, at, now), Added::Full);
            }
            end += line.len();
        }
        batcher.cover(FileId::FIRST, Offset::from_raw(covered as u64), position(end), now);
        out.push(batcher.close(now));
        let batch = |closed| if let Closed::Batch(batch) = closed { Some(batch) } else { None };
        out.into_iter().filter_map(batch).collect()
    }

    fn key(batch: &Batch, index: usize) -> String {
        let mut text = Vec::new();
        batch.write_key(index, &mut text);
        String::from_utf8(text).unwrap()
    }

    proptest! {
        /// No batch is empty or beyond its limits; nothing is lost, doubled or out of order; spans touch.
        #[test]
        fn batches_hold_their_limits_and_everything(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..60),
            records in 1usize..8,
            bytes in 60usize..200,
        ) {
            let batches = batches(&lines, settings(records, bytes, PartitionKey::Random));
            let mut at = Offset::START;
            let mut out = Vec::new();
            for batch in &batches {
                prop_assert!((1..=records).contains(&batch.records()));
                let mut size = 0;
                for index in 0..batch.records() {
                    size += batch.data(index).len() + key(batch, index).len();
                    let before = out.iter().map(Vec::len).sum();
                    prop_assert_eq!(batch.origin(index), Some((FileId::FIRST, Offset::START.advance(before))));
                    out.push(batch.data(index).to_vec());
                }
                prop_assert_eq!(batch.origin(batch.records()), None);
                prop_assert!(size <= bytes || batch.records() == 1);
                prop_assert_eq!(batch.shares().len(), 1);
                let share = batch.shares()[0];
                prop_assert_eq!((share.span.start(), share.records), (at, batch.records()));
                at = share.span.end().offset;
            }
            prop_assert_eq!(at, Offset::START.advance(lines.iter().map(Vec::len).sum()));
            prop_assert_eq!(out, lines);
        }
    }

    #[test]
    fn an_over_long_record_is_cut_to_the_limit_with_its_terminator() {
        for (option, key_len) in [(PartitionKey::Random, 13), (PartitionKey::Deterministic, 32)] {
            let mut settings = settings(500, Limits::DEFAULT_BYTES, option);
            settings.terminator = Terminator::new("#CUT\n").unwrap();
            let batches = batches(&[vec![b'x'; RECORD_BYTES + 10]], settings);
            let data = batches[0].data(0);
            assert_eq!(data.len(), RECORD_BYTES - key_len);
            assert!(data.ends_with(b"x#CUT\n"));
        }
    }

    #[test]
    fn a_record_larger_than_a_request_is_sent_alone() {
        let lines = [b"a\n".to_vec(), vec![b'x'; 300], b"b\n".to_vec()];
        let batches = batches(&lines, settings(500, 100, PartitionKey::Random));
        assert_eq!(batches.iter().map(Batch::records).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn a_random_key_is_a_decimal_number_and_new_for_each_record() {
        let batches = batches(&[b"a\n".to_vec(), b"a\n".to_vec()], settings(500, 1000, PartitionKey::Random));
        let (first, second) = (key(&batches[0], 0), key(&batches[0], 1));
        assert!(first.parse::<f64>().unwrap() < 1e6 && first.len() == 13, "{first}");
        assert_ne!(first, second);
    }

    #[test]
    fn a_deterministic_key_is_the_md5_of_the_record() {
        let batches = batches(&[b"one\n".to_vec()], settings(500, 1000, PartitionKey::Deterministic));
        // Of `printf 'one\n' | md5sum`.
        assert_eq!(key(&batches[0], 0), "5bbf5a52328e7439ae6e719dfe712200");
    }

    #[test]
    fn each_record_is_of_the_file_whose_share_it_is_in() {
        let now = Instant::now();
        let mut batcher =
            Batcher::new(settings(500, 1000, PartitionKey::Random), fastrand::Rng::with_seed(7));
        let files = [FileId::FIRST, FileId::FIRST.next()];
        for (file, lines) in files.into_iter().zip([1, 2]) {
            for line in 0..lines {
                let record = Record::raw(b"ab", batcher.buffer());
                batcher.add(&record, Offset::from_raw(2 * line), now);
            }
            batcher.cover(file, Offset::START, position(8), now);
        }
        let Closed::Batch(batch) = batcher.close(now) else { unreachable!("there are records") };
        let origins = (0..4).map(|index| batch.origin(index));
        let [first, second] = files;
        let at = |file, offset| Some((file, Offset::from_raw(offset)));
        assert!(origins.eq([at(first, 0), at(second, 0), at(second, 2), None]));
    }

    #[test]
    fn lines_that_were_dropped_are_covered_without_a_batch() {
        let now = Instant::now();
        let mut batcher =
            Batcher::new(settings(500, 1000, PartitionKey::Random), fastrand::Rng::with_seed(7));
        assert!(matches!(batcher.close(now), Closed::Nothing));
        batcher.cover(FileId::FIRST, Offset::START, position(10), now);
        assert_eq!(batcher.deadline(), Some(now + Duration::from_secs(1)));
        assert!(matches!(&batcher.close(now), Closed::Dropped(dropped) if dropped[0].span().bytes() == 10));
        assert_eq!(batcher.deadline(), None);
    }
}
