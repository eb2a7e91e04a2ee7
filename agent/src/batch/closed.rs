//! What comes of records: entries with their keys, which one call takes. Pure.

use tokio::time::Instant;

use super::key::Key;
use crate::buffers::Buffer;
use crate::loss::Dropped;
use crate::position::{FileId, Offset, Share};

/// Where an entry ends in its batch's buffer (it begins where the one before ends), its key, how many records it holds, and of
/// which file the first of them is, and where its line begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) end: usize,
    pub(super) key: Key,
    pub(super) records: usize,
    pub(super) file: Option<FileId>,
    pub(super) line: Offset,
}

/// What one call takes: never empty, never beyond its limits.
#[derive(Debug)]
pub struct Batch {
    pub(super) buffer: Buffer,
    pub(super) entries: Vec<Entry>,
    pub(super) shares: Vec<Share>,
    pub(super) opened: Instant,
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

    /// The hash by which the entry at `index` goes to a shard, if it is not that of its key.
    #[must_use]
    pub fn hash_key(&self, index: usize) -> Option<u128> {
        self.entries.get(index)?.key.hash()
    }

    /// Of which file the first record of the entry at `index` is, and where its line begins; nothing if it is of no file.
    #[must_use]
    pub fn origin(&self, index: usize) -> Option<(FileId, Offset)> {
        let entry = self.entries.get(index)?;
        Some((entry.file?, entry.line))
    }

    /// The bytes of each file it stands for, in the order they were read.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// A buffer for `len` bytes beside the batch's own.
    #[must_use]
    pub fn another_buffer(&self, len: usize) -> Buffer {
        self.buffer.another(len)
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
