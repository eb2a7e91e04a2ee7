//! What a generation of a file is called wherever its lines go. Pure.
//!
//! It is made of the file's inode and birth, of how many generations of that are known, and of the first line that is
//! read; only where a known generation of the inode begins with the same line, the number is drawn. So an agent that was
//! killed before any checkpoint knew of a file, or of its truncation, makes the same mark again for the same lines, and
//! another for others.
//!
//! Lines that differ say the same place only where a file was cut in its middle, neither emptied nor replaced, and written
//! on: if the agent was killed before a checkpoint knew of that, or if there is a copy of it, from before or after. Nothing
//! tells then that what grew behind the cut is not what was there.

use md5::{Digest, Md5};
use memchr::memchr;

use crate::position::{Mark, Offset};

/// How much of the first line counts: more than tells two apart, and no more work for a longer one.
const LINE_BYTES: usize = 1024;

/// The digest of an inode that was made at `born`, in nanoseconds since the epoch; 0 where the file system does not
/// know. A number that is used again for a new file is another place.
pub(super) fn place(device: u64, inode: u64, born: u64) -> u64 {
    let mut digest = Md5::new();
    digest.update(device.to_be_bytes());
    digest.update(inode.to_be_bytes());
    digest.update(u128::from(born).to_be_bytes());
    let bytes: [u8; 16] = digest.finalize().into();
    bytes.first_chunk().map_or(0, |half| u64::from_be_bytes(*half))
}

/// Which generation begins at `place`; `earlier` are the marks of all that are known.
pub(super) fn turn(place: u64, earlier: impl Iterator<Item = Mark>) -> u32 {
    let last = earlier.filter(|mark| mark.place == place).map(|mark| mark.turn).max();
    last.map_or(0, |turn| turn.saturating_add(1))
}

/// The checksum of the first line of `bytes`, which are the first of a generation to be read, from `offset` on.
pub(super) fn first(offset: Offset, bytes: &[u8]) -> u32 {
    let bytes = bytes.get(..LINE_BYTES).unwrap_or(bytes);
    let line = memchr(b'\n', bytes).and_then(|newline| bytes.get(..newline)).unwrap_or(bytes);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&offset.to_raw().to_be_bytes());
    crc.update(line);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The checksums are of Python's `zlib.crc32`.
    #[track_caller]
    fn check(offset: u64, bytes: &[u8], expected: u32) {
        assert_eq!(first(Offset::from_raw(offset), bytes), expected);
    }

    #[test]
    fn the_first_line_counts_and_where_it_begins() {
        check(0, b"one\n", 0xeeaa_ee0f);
        check(5, b"one\n", 0xd974_1e3d);
    }

    #[test]
    fn what_follows_the_first_line_does_not_count() {
        check(0, b"one\nand more\n", 0xeeaa_ee0f);
        check(0, b"one", 0xeeaa_ee0f);
        let long = [b'x'; 5000];
        check(0, &long, 0x7fdc_810f);
        check(0, &long[..1024], 0x7fdc_810f);
    }

    #[test]
    fn a_generation_comes_behind_the_last_that_is_known_of_its_place() {
        let known = [(7, 0), (7, 2), (8, 9), (7, 1)];
        let marks = || known.iter().map(|&(place, turn)| Mark { place, turn, first: None });
        assert_eq!((turn(7, marks()), turn(8, marks()), turn(9, marks())), (3, 10, 0));
    }

    #[test]
    fn a_mark_is_written_with_all_its_parts() {
        let mark = Mark { place: 0x2a, turn: 12, first: Some(0xbeef) };
        assert_eq!(mark.to_string(), "000000000000002a-12-0000beef");
    }

    #[test]
    fn another_device_inode_or_birth_is_another_place() {
        let places = [place(1, 2, 3), place(2, 1, 3), place(1, 2, 4), place(1, 3, 3), place(2, 2, 3)];
        assert_eq!(BTreeSet::from(places).len(), places.len());
        assert_eq!(place(1, 2, 3), place(1, 2, 3));
    }
}
