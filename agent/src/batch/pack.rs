//! Records to one entry of a request. Pure.
//!
//! A request holds entries, and a stream counts and bills each; a packed entry holds many records. Here is decided when a
//! pack is full and what it becomes when it is closed; where the records are and what a request may hold is up to the
//! batcher. How an entry is packed is seen in its first bytes.

use super::compress::{Compression, Compressor};
use super::key::Key;
use super::{Entry, kpl};
use crate::position::{FileId, Offset};

/// How the records of a flow become entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Each is one, as with the Java agent.
    None,
    /// One record after the other, each ending in a newline.
    Lines(Compression),
    /// Aggregates of the Kinesis Producer Library.
    Kpl,
}

/// The records of an entry that is still open.
#[derive(Debug, Default)]
pub(super) struct Pack {
    /// One record after the other: where each ends.
    ends: Vec<usize>,
    /// What they take up in an aggregate.
    aggregated: usize,
    /// Of which file the first is, and where its line begins.
    file: Option<FileId>,
    line: Offset,
}

impl Pack {
    /// How many records are in it.
    pub(super) fn records(&self) -> usize {
        self.ends.len()
    }

    /// Empties it, for the next records.
    pub(super) fn clear(&mut self) {
        self.ends.clear();
        self.aggregated = 0;
    }

    /// How many bytes these are, one after the other.
    pub(super) fn bytes(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// The entry that they become, which ends at `end`.
    pub(super) fn entry(&self, end: usize, key: Key) -> Entry {
        Entry { end, key, records: self.records(), file: self.file, line: self.line }
    }

    /// Takes a record of `len` bytes whose line begins at `line` of `file`.
    pub(super) fn push(&mut self, len: usize, file: Option<FileId>, line: Offset) {
        if self.ends.is_empty() {
            (self.file, self.line) = (file, line);
        }
        self.ends.push(self.bytes() + len);
        self.aggregated += kpl::record_bytes(len);
    }
}

/// Says when a pack is full, and what becomes of it.
#[derive(Debug)]
pub(super) struct Packer {
    packing: Packing,
    /// How many bytes an entry is to have, and how many it may.
    wanted: usize,
    room: usize,
    /// Bytes of an entry's key.
    key: usize,
    compressor: Compressor,
    /// How many bytes are to be compressed into one entry.
    uncompressed: usize,
    /// What the last pack became.
    packed: Vec<u8>,
}

impl Packer {
    /// One whose entries are to have `wanted` bytes, and at most `room` beside a key of `key` bytes.
    pub(super) fn new(packing: Packing, wanted: usize, room: usize, key: usize) -> Packer {
        let wanted = wanted.min(room);
        let compression = match packing {
            Packing::Lines(compression) => compression,
            Packing::None | Packing::Kpl => Compression::None,
        };
        let compressor = Compressor::new(compression);
        Packer { packing, wanted, room, key, compressor, uncompressed: wanted, packed: Vec::new() }
    }

    /// Whether a record of `len` bytes goes into this pack.
    pub(super) fn takes(&self, pack: &Pack, len: usize) -> bool {
        pack.ends.is_empty()
            || match self.packing {
                Packing::None => false,
                Packing::Lines(_) => pack.bytes() + len <= self.uncompressed,
                Packing::Kpl => self.bytes_with(pack, len) <= self.wanted,
            }
    }

    /// The most bytes that the entry has with a record of `len` bytes more.
    pub(super) fn bytes_with(&self, pack: &Pack, len: usize) -> usize {
        match self.packing {
            Packing::Kpl if !pack.ends.is_empty() => {
                kpl::empty_bytes(self.key) + pack.aggregated + kpl::record_bytes(len)
            }
            Packing::None | Packing::Lines(_) | Packing::Kpl => pack.bytes() + len,
        }
    }

    /// Gives what the pack of the records `bytes` becomes if that is something else. `key` writes its key.
    pub(super) fn close(
        &mut self,
        pack: &Pack,
        bytes: &[u8],
        key: impl FnOnce(&mut Vec<u8>),
    ) -> Option<&[u8]> {
        let is_other = match self.packing {
            Packing::None => false,
            Packing::Lines(_) => {
                let is_shorter = self.compressor.compress(bytes, &mut self.packed);
                self.aim(bytes.len(), if is_shorter { self.packed.len() } else { bytes.len() });
                is_shorter
            }
            // What is alone needs no aggregate, as with the library itself.
            Packing::Kpl if pack.ends.len() < 2 => false,
            Packing::Kpl => {
                let mut written = Vec::with_capacity(self.key);
                key(&mut written);
                let starts = std::iter::once(&0).chain(&pack.ends);
                let records =
                    starts.zip(&pack.ends).map(|(start, end)| bytes.get(*start..*end).unwrap_or_default());
                self.packed.clear();
                kpl::write(&written, records, &mut self.packed);
                true
            }
        };
        is_other.then_some(self.packed.as_slice())
    }

    /// Learns how many bytes make an entry of the size that is wanted: so many became `packed`. One that does not become
    /// shorter must have room as well.
    fn aim(&mut self, bytes: usize, packed: usize) {
        // A pack that had to go early compresses badly, and says little of a full one.
        if bytes >= self.uncompressed / 2 {
            let wanted = bytes.saturating_mul(self.wanted) / packed.max(1);
            self.uncompressed = wanted.clamp(self.wanted, self.room);
        }
    }
}
