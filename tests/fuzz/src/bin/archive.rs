//! Archives, which anybody may have damaged: one is refused, or gives the same bytes however it is asked for them.
#![no_main]

use std::io;
use std::sync::Arc;

use kinetail::position::Offset;
use kinetail::source::{Archive, ArchiveFormat, Content, Kind, Stat};

/// How much is read of an archive: a few bytes may stand for gigabytes.
const ENOUGH: usize = 256 * 1024;

/// A file in memory.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Content for Bytes {
    fn stat(&self) -> io::Result<Stat> {
        let size = self.0.len() as u64;
        Ok(Stat { kind: Kind::File, device: 1, inode: 1, size, modified: 0, born: 0, links: 1, owner: 0 })
    }

    fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize> {
        let from = usize::try_from(offset.to_raw()).ok().and_then(|offset| self.0.get(offset..));
        let from = from.unwrap_or_default();
        let len = from.len().min(bytes.len());
        bytes[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }
}

/// What an archive gives from `offset` on when it is asked for so many bytes at a time.
fn read(archive: &Archive, offset: usize, step: usize) -> Vec<u8> {
    let mut read = Vec::new();
    let mut bytes = vec![0; step];
    while read.len() < ENOUGH {
        let at = Offset::from_raw((offset + read.len()) as u64);
        match archive.read_at(&mut bytes, at).expect("what was read once can be read again") {
            0 => break,
            len => read.extend(&bytes[..len]),
        }
    }
    read
}

/// The format that its first bytes are of; they would be refused as any other.
fn format(bytes: &[u8]) -> Option<ArchiveFormat> {
    match bytes {
        [0x1f, ..] => Some(ArchiveFormat::Gzip),
        [0x28, ..] => Some(ArchiveFormat::Zstd),
        [b'B', ..] => Some(ArchiveFormat::Bzip2),
        [0xfd, ..] => Some(ArchiveFormat::Xz),
        _ => None,
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(format) = format(bytes) else { return };
    let Ok(archive) = Archive::read_through(Arc::new(Bytes(bytes.to_vec())), format) else { return };
    let size = archive.stat().expect("its size is known").size;
    let whole = read(&archive, 0, 64 * 1024);
    assert!(whole.len() as u64 == size || whole.len() >= ENOUGH, "{} of {size} bytes", whole.len());
    // From somewhere on, in other steps: the decoder begins anew, and what it kept is of use.
    let [.., at, step] = bytes else { return };
    let at = whole.len() * usize::from(*at) / 256;
    let rest = read(&archive, at, 64 * (1 + usize::from(*step)));
    assert!(rest.len() + at >= whole.len());
    assert!(rest[..whole.len() - at] == whole[at..]);
});
