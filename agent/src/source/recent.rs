//! The last bytes of the files that were read last: they prove a copy that ends before what was read of its original.
//! Pure.
//!
//! A truncation takes away what could prove that, but a copy and the truncation after it are near each other, so that
//! what was read in between is among the last. Does not know what it keeps, and never more than [`FILES`] times
//! [`BYTES`]. (G3, G5)

use std::collections::VecDeque;

use crate::position::{FileId, Offset, Tail};

/// How many files are kept in mind: those that are written to fastest are read last.
const FILES: usize = 8;

/// How much of each is kept: a few hundred lines.
const BYTES: usize = 64 * 1024;

/// The last bytes that were read, by file.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The one that was read last stands last.
    files: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: FileId,
    /// Where `bytes` end.
    end: Offset,
    bytes: VecDeque<u8>,
}

impl Recent {
    /// Of `file`, these bytes from `start` on were read.
    pub(super) fn keep(&mut self, file: FileId, start: Offset, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(BYTES);
        let (start, bytes) = (start.advance(skipped), bytes.get(skipped..).unwrap_or_default());
        let at = self.files.iter().position(|kept| kept.file == file);
        let kept = at.and_then(|at| self.files.remove(at));
        if kept.is_none() && self.files.len() == FILES {
            self.files.pop_front();
        }
        let mut kept = kept.unwrap_or_else(|| Kept { file, end: start, bytes: VecDeque::new() });
        kept.add(start, bytes);
        self.files.push_back(kept);
    }

    /// The whole proof of `offset` in `file`, from the bytes as they were read; none if they are not kept.
    pub(super) fn tail(&self, file: FileId, offset: Offset) -> Option<Tail> {
        let kept = self.files.iter().find(|kept| kept.file == file)?;
        let behind = usize::try_from(kept.end.since(offset)).ok().filter(|_| offset <= kept.end)?;
        let until = kept.bytes.len().checked_sub(behind)?;
        let from = until.checked_sub(Tail::BYTES)?;
        let bytes: Vec<u8> = kept.bytes.range(from..until).copied().collect();
        Some(Tail::of(&bytes))
    }
}

impl Kept {
    fn add(&mut self, start: Offset, bytes: &[u8]) {
        // What is read again, as not all of it could be dealt with, takes the place of what it was.
        let before = self.end.since(start);
        match usize::try_from(before).ok().and_then(|before| self.bytes.len().checked_sub(before)) {
            Some(left) if start <= self.end => self.bytes.truncate(left),
            Some(_) | None => self.bytes.clear(),
        }
        self.bytes.extend(bytes);
        self.end = start.advance(bytes.len());
        let over = self.bytes.len().saturating_sub(BYTES);
        self.bytes.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids() -> impl Iterator<Item = FileId> {
        std::iter::successors(Some(FileId::FIRST), |id| Some(id.next()))
    }

    fn text(len: usize) -> Vec<u8> {
        (0u32..).flat_map(u32::to_be_bytes).take(len).collect()
    }

    /// Of one file with `len` bytes, these pieces are read, each from one offset to another; then exactly the proofs of the
    /// offsets in `proved` can be given.
    #[track_caller]
    fn check(len: usize, pieces: &[(usize, usize)], proved: std::ops::RangeInclusive<usize>) {
        let (text, mut recent) = (text(len), Recent::default());
        for &(from, to) in pieces {
            recent.keep(FileId::FIRST, Offset::from_raw(from as u64), &text[from..to]);
        }
        for offset in 0..len + 10 {
            let expected = proved.contains(&offset).then(|| Tail::of(&text[..offset]));
            let found = recent.tail(FileId::FIRST, Offset::from_raw(offset as u64));
            assert_eq!(found, expected, "{offset}");
        }
    }

    #[test]
    fn pieces_that_follow_each_other_are_one() {
        check(500, &[(0, 100), (100, 130), (66, 500)], 64..=500);
    }

    #[test]
    fn behind_a_gap_it_begins_again() {
        check(900, &[(0, 300), (301, 600)], 365..=600);
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let whole = 3 * BYTES;
        check(whole, &[(0, whole)], 2 * BYTES + 64..=whole);
        check(whole, &[(0, 2 * BYTES + 5), (2 * BYTES + 5, whole)], 2 * BYTES + 64..=whole);
        let mut recent = Recent::default();
        ids().take(3 * FILES).for_each(|id| recent.keep(id, Offset::START, &text(100)));
        let kept: Vec<bool> =
            ids().take(3 * FILES).map(|id| recent.tail(id, Offset::from_raw(100)).is_some()).collect();
        assert_eq!(kept, [[false; 2 * FILES].as_slice(), &[true; FILES]].concat());
    }

    #[test]
    fn the_file_that_was_read_last_is_let_go_last() {
        let mut recent = Recent::default();
        ids().take(FILES).for_each(|id| recent.keep(id, Offset::START, &text(100)));
        recent.keep(FileId::FIRST, Offset::from_raw(100), &text(100));
        ids().skip(FILES).take(FILES - 1).for_each(|id| recent.keep(id, Offset::START, &text(100)));
        assert!(recent.tail(FileId::FIRST, Offset::from_raw(150)).is_some());
        assert!(recent.tail(FileId::FIRST.next(), Offset::from_raw(100)).is_none());
    }

    proptest! {
        /// Whatever is read in whichever order, also again: a proof that is given is that of the bytes.
        #[test]
        fn a_proof_is_that_of_the_bytes(
            pieces in prop::collection::vec((0usize..700, 0usize..400), 1..12),
            offset in 0usize..1000,
        ) {
            let (text, mut recent) = (text(1100), Recent::default());
            for (from, len) in pieces {
                recent.keep(FileId::FIRST, Offset::from_raw(from as u64), &text[from..from + len]);
            }
            if let Some(tail) = recent.tail(FileId::FIRST, Offset::from_raw(offset as u64)) {
                prop_assert_eq!(tail, Tail::of(&text[..offset]));
                prop_assert_eq!(usize::from(tail.len), Tail::BYTES);
            }
        }
    }
}
