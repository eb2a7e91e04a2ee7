//! What one call and one record may hold.

use std::time::Duration;

use super::key::{MD5_KEY_BYTES, RANDOM_KEY_BYTES};
use super::pack::{Packer, Packing};
use crate::parse::Record;

/// What one `PutRecords` call may hold. Cannot exceed what the service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    records: usize,
    bytes: usize,
}

/// Why limits are not those of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Too few or too many records.
    #[error("a request holds 1 to {} records, not {given}", Limits::MAX_RECORDS)]
    Records {
        /// What was asked for.
        given: usize,
    },
    /// Too few or too many bytes.
    #[error("a request holds 1 to {} bytes, not {given}", Limits::MAX_BYTES)]
    Bytes {
        /// What was asked for.
        given: usize,
    },
}

impl Limits {
    /// Records in one request.
    /// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.
    pub const MAX_RECORDS: usize = 500;
    /// Bytes in one request, partition keys included, before base64. Same source; 5 MiB until autumn 2025.
    pub const MAX_BYTES: usize = 10 * 1024 * 1024;
    /// Bytes in one request unless configured: what every emulator and every older stream takes.
    pub const DEFAULT_BYTES: usize = 5 * 1024 * 1024;

    /// Bytes in one request to Firehose, before base64.
    /// Source: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.
    pub const FIREHOSE_BYTES: usize = 4 * 1024 * 1024;

    /// At most `records` records and `bytes` bytes, partition keys included.
    ///
    /// # Errors
    /// If the service would not take that much, or nothing would fit.
    pub fn new(records: usize, bytes: usize) -> Result<Limits, LimitsError> {
        if records == 0 || records > Self::MAX_RECORDS {
            return Err(LimitsError::Records { given: records });
        }
        if bytes == 0 || bytes > Self::MAX_BYTES {
            return Err(LimitsError::Bytes { given: bytes });
        }
        Ok(Limits { records, bytes })
    }

    /// Records in one request.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes in one request, partition keys included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// How an entry's partition key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionKey {
    /// A random number for each entry: spreads the load over all shards.
    Random,
    /// MD5 of its records, in hexadecimal: equal ones go to the same shard.
    Deterministic,
    /// Not at all: Firehose has no shards to choose from.
    None,
}

/// Which order the stream keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// None: whatever is refused comes later.
    Free,
    /// That of each file: its packs have one key and go one after the other, so that a request holds one of each at most.
    File,
}

/// How the records of one flow are gathered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What one request may hold.
    pub limits: Limits,
    /// How long the oldest record of a batch may wait for others.
    pub linger: Duration,
    /// How partition keys are made.
    pub key: PartitionKey,
    /// What the last bytes of a record that had to be cut are overwritten with.
    pub terminator: Terminator,
    /// How records become entries.
    pub packing: Packing,
    /// How many bytes a packed entry is to have, as it is sent.
    pub packed_bytes: usize,
    /// How many bytes of an entry the stream takes, its key included.
    pub record_bytes: usize,
    /// Which order the stream keeps.
    pub order: Order,
}

impl Settings {
    /// How many bytes a packed entry has unless configured: as many as those of the Kinesis Producer Library.
    pub const DEFAULT_PACKED_BYTES: usize = 51_200;

    /// Takes records as large as the stream says it does, if a request holds them.
    pub fn admit(&mut self, record_bytes: usize) {
        self.record_bytes = record_bytes.min(self.limits.bytes().max(RECORD_BYTES));
    }

    /// How many bytes of a record the stream takes.
    #[must_use]
    pub fn room(&self) -> usize {
        let newline = usize::from(self.ends_in_newlines());
        self.record_bytes.saturating_sub(self.key_bytes() + newline)
    }

    /// Cuts the record at the end of `buffer` to what the stream takes; says whether it had to.
    pub fn cut(&self, record: &Record, buffer: &mut Vec<u8>) -> bool {
        let is_cut = record.len() > self.room();
        if is_cut {
            let terminator = self.terminator.as_bytes();
            let start = buffer.len() - record.len();
            buffer.truncate(start + self.room().saturating_sub(terminator.len()));
            buffer.extend_from_slice(terminator);
        }
        is_cut
    }

    /// Bytes of an entry's partition key.
    pub(super) fn key_bytes(&self) -> usize {
        match (self.order, self.key) {
            (_, PartitionKey::None) => 0,
            (Order::Free, PartitionKey::Random) => RANDOM_KEY_BYTES,
            (Order::Free, PartitionKey::Deterministic) | (Order::File, _) => MD5_KEY_BYTES,
        }
    }

    /// What gathers the records of an entry.
    pub(super) fn packer(&self) -> Packer {
        let (key, room) = (self.key_bytes(), self.record_bytes.saturating_sub(self.key_bytes()));
        Packer::new(self.packing, self.packed_bytes, room, key)
    }

    /// Whether each record is followed by another behind a newline.
    pub(super) fn ends_in_newlines(&self) -> bool {
        matches!(self.packing, Packing::Lines(_))
    }
}

/// `truncatedRecordTerminator`: stands at the end of a record that had to be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminator(Vec<u8>);

/// The terminator leaves no room for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the terminator must be shorter than a record ({FIREHOSE_RECORD_BYTES} bytes)")]
pub struct TerminatorError;

/// Bytes in one entry, its partition key included: the limit of a stream that was not raised.
/// Source: <https://docs.aws.amazon.com/streams/latest/dev/large-records.html>.
pub const RECORD_BYTES: usize = 1024 * 1024;

/// Bytes in one record of Firehose. Source: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html>.
pub const FIREHOSE_RECORD_BYTES: usize = 1000 * 1024;

impl Terminator {
    /// The terminator `text`.
    ///
    /// # Errors
    /// If it is as long as a record or longer.
    pub fn new(text: &str) -> Result<Terminator, TerminatorError> {
        if text.len() >= FIREHOSE_RECORD_BYTES {
            Err(TerminatorError)
        } else {
            Ok(Terminator(text.as_bytes().to_vec()))
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Terminator {
    fn default() -> Terminator {
        Terminator(b"\n".to_vec())
    }
}
