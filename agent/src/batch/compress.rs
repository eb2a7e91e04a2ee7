//! Bytes to fewer bytes. Pure.
//!
//! Each result stands for itself and says by its first bytes how it was made: one frame of zstd (`28 b5 2f fd`) with the
//! length of its content and a checksum, or one member of gzip (`1f 8b`) with the time 0.
//!
//! Formats: <https://www.rfc-editor.org/rfc/rfc8878>, <https://www.rfc-editor.org/rfc/rfc1952>.

use flate2::{Compress, FlushCompress, Status};
use zstd::bulk::Compressor as Zstd;
use zstd::zstd_safe::{CParameter, compress_bound};

/// The levels at which JSON of access logs becomes a seventh of what it was; higher ones save a tenth of that at most, for twice the
/// work.
const ZSTD_LEVEL: i32 = 1;
const GZIP_LEVEL: u32 = 4;

/// The largest window of gzip, 32 KiB.
const GZIP_WINDOW_LOG: u8 = 15;

/// How packed records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As one member of gzip.
    Gzip,
    /// As one frame of zstd.
    Zstd,
}

/// What compresses, with the memory that it uses again each time.
pub(super) enum Compressor {
    None,
    Gzip(Box<Compress>),
    Zstd(Box<Zstd<'static>>),
}

impl Compressor {
    /// One for `compression`.
    pub(super) fn new(compression: Compression) -> Compressor {
        match compression {
            Compression::None => Compressor::None,
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Compressor::Gzip(Box::new(Compress::new_gzip(level, GZIP_WINDOW_LOG)))
            }
            Compression::Zstd => zstd().map_or(Compressor::None, |zstd| Compressor::Zstd(Box::new(zstd))),
        }
    }

    /// Writes what becomes of `bytes` into `out`, whatever that held; says whether that is less than they were.
    pub(super) fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let is_done = match self {
            Compressor::None => false,
            Compressor::Zstd(zstd) => {
                out.reserve(compress_bound(bytes.len()));
                zstd.compress_to_buffer(bytes, out).is_ok()
            }
            Compressor::Gzip(gzip) => {
                // What does not become shorter is not wanted.
                out.reserve(bytes.len());
                gzip.reset();
                matches!(gzip.compress_vec(bytes, out, FlushCompress::Finish), Ok(Status::StreamEnd))
            }
        };
        is_done && out.len() < bytes.len()
    }
}

/// Its context is a matter of memory alone, which a process that goes on has.
fn zstd() -> Option<Zstd<'static>> {
    let mut zstd = Zstd::new(ZSTD_LEVEL).ok()?;
    zstd.set_parameter(CParameter::ChecksumFlag(true)).ok()?;
    Some(zstd)
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Compressor::None => "None",
            Compressor::Gzip(_) => "Gzip",
            Compressor::Zstd(_) => "Zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    const LOG: &[u8] = include_bytes!("../../../fixtures/records/combined.native.jsonl");

    fn unpacked(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::None => out.extend_from_slice(bytes),
            Compression::Gzip => {
                flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
            }
            Compression::Zstd => out = zstd::stream::decode_all(bytes).unwrap(),
        }
        out
    }

    proptest! {
        /// What is unpacked is what was compressed, one thing after another; and what is not shorter is said not to be.
        #[test]
        fn nothing_is_lost_on_the_way(
            packs in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..400), 0usize..60), 1..4),
            compression in prop_oneof![Just(Compression::Gzip), Just(Compression::Zstd), Just(Compression::None)],
        ) {
            let (mut compressor, mut out) = (Compressor::new(compression), Vec::new());
            for (bytes, times) in packs {
                let bytes = bytes.repeat(times);
                let is_shorter = compressor.compress(&bytes, &mut out);
                prop_assert!(!is_shorter || out.len() < bytes.len());
                prop_assert!(is_shorter || compression == Compression::None || bytes.len() < 1000 || times < 2);
                if is_shorter {
                    prop_assert_eq!(unpacked(compression, &out), bytes);
                }
            }
        }
    }

    #[test]
    fn a_frame_of_zstd_says_its_length_and_has_a_checksum() {
        let (mut compressor, mut out) = (Compressor::new(Compression::Zstd), Vec::new());
        assert!(compressor.compress(LOG, &mut out));
        assert!(out.starts_with(b"\x28\xb5\x2f\xfd"));
        // The fourth of the descriptor's bits. <https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.1>
        assert_eq!(out[4] & 0b100, 0b100);
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&out).unwrap(), Some(LOG.len() as u64));
    }

    #[test]
    fn a_member_of_gzip_has_no_time() {
        let (mut compressor, mut out) = (Compressor::new(Compression::Gzip), Vec::new());
        assert!(compressor.compress(LOG, &mut out));
        assert_eq!(out[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }
}
