//! Records to one entry of a request. Pure.
//!
//! A request holds entries, and a stream counts and bills each; a packed entry holds many records. Here is decided when a
//! pack is full and what it becomes when it is closed; where the records are and what a request may hold is up to the
//! batcher. How an entry is packed is seen in its first bytes.

use super::compress::{Compression, Compressor};
use super::kpl;
use crate::position::Offset;

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

/// Gathers the records of one entry after the other.
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
    /// The open pack's records, one after the other: where each ends.
    ends: Vec<usize>,
    /// What an aggregate of them has.
    aggregated: usize,
    /// Where the line of the first begins.
    line: Offset,
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
        Packer {
            packing,
            wanted,
            room,
            key,
            compressor: Compressor::new(compression),
            uncompressed: wanted,
            ends: Vec::new(),
            aggregated: kpl::empty_bytes(key),
            line: Offset::START,
            packed: Vec::new(),
        }
    }

    /// How many records are in the open pack.
    pub(super) fn records(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes these are, one after the other.
    pub(super) fn bytes(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Where the line of the first of them begins.
    pub(super) fn line(&self) -> Offset {
        self.line
    }

    /// Whether a record of `len` bytes goes with them.
    pub(super) fn takes(&self, len: usize) -> bool {
        let is_empty = self.ends.is_empty();
        is_empty
            || match self.packing {
                Packing::None => false,
                Packing::Lines(_) => self.bytes() + len <= self.uncompressed,
                Packing::Kpl => self.aggregated + kpl::record_bytes(len) <= self.wanted,
            }
    }

    /// The most bytes that the entry has with a record of `len` bytes more.
    pub(super) fn bytes_with(&self, len: usize) -> usize {
        match self.packing {
            Packing::Kpl if !self.ends.is_empty() => self.aggregated + kpl::record_bytes(len),
            Packing::None | Packing::Lines(_) | Packing::Kpl => self.bytes() + len,
        }
    }

    /// Takes a record of `len` bytes whose line begins at `line`; says whether no other can follow.
    pub(super) fn push(&mut self, len: usize, line: Offset) -> bool {
        if self.ends.is_empty() {
            self.line = line;
        }
        self.ends.push(self.bytes() + len);
        self.aggregated += kpl::record_bytes(len);
        self.packing == Packing::None
    }

    /// Closes the pack of the records `bytes`; gives what it becomes if that is something else. `key` writes its key.
    pub(super) fn close(&mut self, bytes: &[u8], key: impl FnOnce(&mut Vec<u8>)) -> Option<&[u8]> {
        let is_other = match self.packing {
            Packing::None => false,
            Packing::Lines(_) => {
                let is_shorter = self.compressor.compress(bytes, &mut self.packed);
                self.aim(bytes.len(), if is_shorter { self.packed.len() } else { bytes.len() });
                is_shorter
            }
            // What is alone needs no aggregate, as with the library itself.
            Packing::Kpl if self.ends.len() < 2 => false,
            Packing::Kpl => {
                let mut written = Vec::with_capacity(self.key);
                key(&mut written);
                let starts = std::iter::once(&0).chain(&self.ends);
                let records =
                    starts.zip(&self.ends).map(|(start, end)| bytes.get(*start..*end).unwrap_or_default());
                self.packed.clear();
                kpl::write(&written, records, &mut self.packed);
                true
            }
        };
        self.ends.clear();
        self.aggregated = kpl::empty_bytes(self.key);
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
