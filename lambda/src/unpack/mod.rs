//! One stream record to the lines inside it. Pure: no clock, no disk, no network, no logging.
//!
//! A record is lines as they are, an aggregate of the Kinesis Producer Library, gzip or zstd, or one of these inside
//! the other. How it is packed is seen in its first bytes: nobody has to configure it, and a stream may carry all of
//! them.
//!
//! Does not know what a line means. A record is unpacked whole before its first line is given out, so it is read as a
//! whole or refused as a whole. All that is unpacked of one record is at most [`EXPANDED_BYTES`]; a bomb is found
//! without unpacking more.

mod codec;
mod kpl;
mod lines;

use std::{io, slice};

use crate::reason::Reason;
use codec::{Codec, Codecs};
use kpl::Aggregate;
use lines::Cut;

/// What may come out of one record, everything that is unpacked on the way counted.
///
/// A stream's records are up to 1 MiB unless it was set to take larger ones, and access logs are compressed to about a
/// tenth. The function's memory has room for this beside the largest event.
pub const EXPANDED_BYTES: usize = 10 * 1024 * 1024;

/// What may come out of all records of one call. An event has 6 MB: this is more than four times what its logs would be,
/// and no more than a function can walk through in its time.
pub const CALL_BYTES: usize = 256 * 1024 * 1024;

/// How many times over a record may be packed: lines, compressed, in an aggregate, compressed.
pub const DEEPEST: usize = 3;

/// What one buffer may keep for the next record. A larger record's buffers are given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Why a record was refused.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It may be a bomb.
    #[error("the record holds more than {EXPANDED_BYTES} bytes")]
    TooLarge,
    /// It comes after others that hold too much together.
    #[error("the records of the call hold more than {CALL_BYTES} bytes")]
    TooMuch,
    /// It may be made to keep a reader busy.
    #[error("the record is packed more than {DEEPEST} times over")]
    TooDeep,
    /// It begins like gzip, and is damaged, cut off, or goes on with something else.
    #[error("failed to unpack gzip")]
    NotGzip(#[source] io::Error),
    /// The same for zstd; or it asks for more memory than a reader has to have.
    #[error("failed to unpack zstd")]
    NotZstd(#[source] io::Error),
}

impl Unreadable {
    /// What such a record is set aside as.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Unreadable::TooLarge | Unreadable::TooMuch => Reason::TooLarge,
            Unreadable::TooDeep => Reason::TooDeep,
            Unreadable::NotGzip(_) => Reason::NotGzip,
            Unreadable::NotZstd(_) => Reason::NotZstd,
        }
    }
}

/// Unpacks one record after the other with the same buffers.
pub struct Unpacker {
    codecs: Codecs,
    /// What was unpacked of the present record: `levels[n]` out of what lay in `levels[n - 1]`, or in the record.
    levels: [Vec<u8>; DEEPEST],
    /// Where the lines of the present record are, in their order.
    pieces: Vec<Piece>,
    /// What may still come out of the records of this call.
    room: usize,
}

/// A stretch of bytes that are lines and nothing packed. Small, as one aggregate may hold a million of them.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// 0 for the record itself, `n` for the n-th of the levels.
    level: u8,
    start: u32,
    end: u32,
}

impl Default for Unpacker {
    fn default() -> Unpacker {
        Unpacker::new()
    }
}

impl Unpacker {
    /// An unpacker that has seen no record.
    #[must_use]
    pub fn new() -> Unpacker {
        let levels = [const { Vec::new() }; DEEPEST];
        Unpacker { codecs: Codecs::new(), levels, pieces: Vec::new(), room: CALL_BYTES }
    }

    /// Begins another call.
    pub fn begin_call(&mut self) {
        self.room = CALL_BYTES;
    }

    /// The lines of one record.
    ///
    /// # Errors
    ///
    /// If any part of the record cannot be unpacked; then none of its lines is given out.
    pub fn unpack<'a>(&'a mut self, data: &'a [u8]) -> Result<Lines<'a>, Unreadable> {
        self.clear();
        let room = EXPANDED_BYTES.min(self.room);
        let mut opening = Opening { codecs: &mut self.codecs, pieces: &mut self.pieces, room };
        let opened = opening.open(data, Place { level: 0, start: 0 }, &mut self.levels);
        let is_last = self.room < EXPANDED_BYTES;
        // What was unpacked in vain has been unpacked, too.
        let expanded: usize = self.levels.iter().map(Vec::len).sum();
        self.room = self.room.saturating_sub(expanded);
        match opened {
            Err(Unreadable::TooLarge) if is_last => return Err(Unreadable::TooMuch),
            opened => opened?,
        }
        Ok(Lines { record: data, levels: &self.levels, pieces: self.pieces.iter(), cut: Cut::default() })
    }

    /// Forgets the record before, and gives back what it needed if that was much.
    fn clear(&mut self) {
        self.codecs.shrink(KEPT_BYTES);
        for level in &mut self.levels {
            level.clear();
            level.shrink_to(KEPT_BYTES);
        }
        self.pieces.clear();
        self.pieces.shrink_to(KEPT_BYTES / size_of::<Piece>());
    }
}

/// One record while it is unpacked.
struct Opening<'a> {
    codecs: &'a mut Codecs,
    pieces: &'a mut Vec<Piece>,
    /// How many bytes may still come out.
    room: usize,
}

/// Where bytes lie: in which level, and from where on. The record itself is level 0.
#[derive(Clone, Copy)]
struct Place {
    level: usize,
    start: usize,
}

impl Opening<'_> {
    /// Notes where the lines in `bytes` are, which lie at `place`. What has to be unpacked goes into the first of the
    /// `levels`, so that nothing is written where it is read from.
    fn open(&mut self, bytes: &[u8], place: Place, levels: &mut [Vec<u8>]) -> Result<(), Unreadable> {
        if let Some(codec) = Codec::of(bytes) {
            let depth = DEEPEST.saturating_sub(levels.len()).saturating_add(1);
            let (level, deeper) = levels.split_first_mut().ok_or(Unreadable::TooDeep)?;
            let start = level.len();
            self.codecs.expand(codec, bytes, level, self.room)?;
            let expanded = level.get(start..).unwrap_or_default();
            self.room = self.room.saturating_sub(expanded.len());
            self.open(expanded, Place { level: depth, start }, deeper)
        } else if let Some(aggregate) = Aggregate::read(bytes) {
            // An aggregate is read where it lies, but it is one step deeper all the same.
            let (_, deeper) = levels.split_first_mut().ok_or(Unreadable::TooDeep)?;
            for range in aggregate.data() {
                let start = place.start.saturating_add(range.start);
                let data = bytes.get(range).unwrap_or_default();
                self.open(data, Place { start, ..place }, deeper)?;
            }
            Ok(())
        } else {
            self.note(bytes, place)
        }
    }

    fn note(&mut self, bytes: &[u8], place: Place) -> Result<(), Unreadable> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = place.start.saturating_add(bytes.len());
        match (u8::try_from(place.level), u32::try_from(place.start), u32::try_from(end)) {
            (Ok(level), Ok(start), Ok(end)) => self.pieces.push(Piece { level, start, end }),
            (_, _, _) => return Err(Unreadable::TooLarge),
        }
        Ok(())
    }
}

/// The lines of one record, in their order. None of them is blank.
///
/// A line ends at a newline, and has neither that nor a carriage return before it. Where JSON was printed over several
/// lines or into an array, each of its objects is one line, with the newlines inside it.
pub struct Lines<'a> {
    record: &'a [u8],
    levels: &'a [Vec<u8>; DEEPEST],
    pieces: slice::Iter<'a, Piece>,
    /// What is left of the piece before the next one.
    cut: Cut<'a>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(line) = self.cut.next() {
                return Some(line);
            }
            let piece = self.pieces.next()?;
            self.cut = Cut::new(self.bytes(piece));
        }
    }
}

impl<'a> Lines<'a> {
    fn bytes(&self, piece: &Piece) -> &'a [u8] {
        let level = match usize::from(piece.level).checked_sub(1) {
            None => self.record,
            Some(above) => self.levels.get(above).map(Vec::as_slice).unwrap_or_default(),
        };
        let [start, end] =
            [piece.start, piece.end].map(|offset| usize::try_from(offset).unwrap_or(usize::MAX));
        level.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
