//! Compressed bytes to what they were. Pure.
//!
//! Knows gzip and zstd, by their first bytes, and nothing of what is inside. What is compressed several times in a row
//! (members of gzip, frames of zstd) comes out joined. Never writes more than one byte beyond the room it was given, and
//! refuses bytes that follow and are not compressed.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::Unreadable;

const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// gzip looks back by at most 32 KiB. <https://www.rfc-editor.org/rfc/rfc1951>
const GZIP_WINDOW_LOG: u8 = 15;

/// 8 MiB: the memory that RFC 8878 advises every reader of zstd to have, and every writer not to exceed. Levels up to 19
/// keep within it. <https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.2>
const ZSTD_WINDOW_LOG: u32 = 23;

/// The least by which a buffer grows.
const STEP_BYTES: usize = 16 * 1024;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Zstd,
}

impl Codec {
    /// What the first bytes say; none if the bytes are not compressed.
    pub(super) fn of(bytes: &[u8]) -> Option<Codec> {
        if bytes.starts_with(GZIP_MAGIC) {
            Some(Codec::Gzip)
        } else if bytes.starts_with(ZSTD_MAGIC) {
            Some(Codec::Zstd)
        } else {
            None
        }
    }
}

/// The memory of both codecs, used again for each record.
pub(super) struct Codecs {
    gzip: Decompress,
    zstd: DCtx<'static>,
}

impl Codecs {
    pub(super) fn new() -> Codecs {
        Codecs { gzip: Decompress::new_gzip(GZIP_WINDOW_LOG), zstd: DCtx::create() }
    }

    /// Gives memory back of which more than `kept_bytes` were needed.
    pub(super) fn shrink(&mut self, kept_bytes: usize) {
        if self.zstd.sizeof() > kept_bytes {
            self.zstd = DCtx::create();
        }
    }

    /// Appends what `bytes` were to `out`, if that is at most `room`.
    pub(super) fn expand(
        &mut self,
        codec: Codec,
        bytes: &[u8],
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<(), Unreadable> {
        let mut output = Output { start: out.len(), bytes: out, room };
        match codec {
            Codec::Gzip => self.gunzip(bytes, &mut output),
            Codec::Zstd => self.unzstd(bytes, &mut output),
        }
    }

    fn gunzip(&mut self, mut bytes: &[u8], output: &mut Output<'_>) -> Result<(), Unreadable> {
        self.gzip.reset(true);
        loop {
            output.grow(STEP_BYTES);
            let (read_before, written_before) = (self.gzip.total_in(), output.bytes.len());
            let status = self
                .gzip
                .decompress_vec(bytes, output.bytes, FlushDecompress::None)
                .map_err(|error| Unreadable::NotGzip(error.into()))?;
            output.check()?;

            let read = self.gzip.total_in().saturating_sub(read_before);
            let rest = usize::try_from(read).ok().and_then(|read| bytes.get(read..));
            bytes = rest.unwrap_or_default();
            match status {
                Status::StreamEnd if bytes.is_empty() => return Ok(()),
                Status::StreamEnd => self.gzip.reset(true),
                Status::Ok | Status::BufError if read > 0 || output.bytes.len() > written_before => {}
                Status::Ok | Status::BufError => {
                    return Err(Unreadable::NotGzip(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    }

    fn unzstd(&mut self, bytes: &[u8], output: &mut Output<'_>) -> Result<(), Unreadable> {
        let refuse = |code| Unreadable::NotZstd(io::Error::other(zstd_safe::get_error_name(code)));
        self.zstd.reset(ResetDirective::SessionAndParameters).map_err(refuse)?;
        self.zstd.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(refuse)?;

        let mut input = InBuffer::around(bytes);
        let mut is_between_frames = true;
        while !is_between_frames || input.pos() < bytes.len() {
            if is_between_frames {
                output.announce(declared_bytes(bytes.get(input.pos()..).unwrap_or_default()))?;
            }
            output.grow(STEP_BYTES);
            let (read_before, written_before) = (input.pos(), output.bytes.len());
            let mut spare = OutBuffer::around_pos(output.bytes, written_before);
            let missing = self.zstd.decompress_stream(&mut spare, &mut input).map_err(refuse)?;
            output.check()?;

            is_between_frames = missing == 0;
            if !is_between_frames && input.pos() == read_before && output.bytes.len() == written_before {
                return Err(Unreadable::NotZstd(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }
}

/// What the next frame says that it holds. A frame need not say it; what it says is checked when it is unpacked.
fn declared_bytes(frame: &[u8]) -> usize {
    let declared = zstd_safe::get_frame_content_size(frame).ok().flatten().unwrap_or(0);
    usize::try_from(declared).unwrap_or(usize::MAX)
}

/// A buffer that grows to a bound.
struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    /// What was in the buffer before.
    start: usize,
    /// How much may be added.
    room: usize,
}

impl Output<'_> {
    /// Makes room for what is to come, at once.
    fn announce(&mut self, more: usize) -> Result<(), Unreadable> {
        if more > self.left() {
            return Err(Unreadable::TooLarge);
        }
        self.bytes.reserve_exact(more);
        Ok(())
    }

    /// Makes room if there is none: twice as much as before, and at the end one byte more than is allowed, by which too
    /// much is told from just enough.
    fn grow(&mut self, least: usize) {
        if self.bytes.len() == self.bytes.capacity() {
            let more = self.bytes.len().max(least).min(self.left().saturating_add(1));
            self.bytes.reserve_exact(more);
        }
    }

    fn check(&self) -> Result<(), Unreadable> {
        if self.added() > self.room { Err(Unreadable::TooLarge) } else { Ok(()) }
    }

    fn left(&self) -> usize {
        self.room.saturating_sub(self.added())
    }

    fn added(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }
}
