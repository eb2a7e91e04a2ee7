//! Which lines were counted already, by where they stood: repeats are told by host, file and offset. Pure.
//!
//! An agent that was killed sends what it is not sure of again, with other sequence numbers. What is remembered is
//! bounded: when the room is used up, the files with the most lines forget the older half of theirs; if there are too
//! many files even so, all are forgotten. No line that was not counted is ever taken for a repeat, and what was
//! forgotten is told apart from what is new.
//!
//! Does not know what a line says, nor how long it is.

use std::collections::BTreeMap;

use crate::request::Position;

/// What all files may take, as bytes: three quarters of what they take as base64 in a state.
pub(super) const SEEN_BYTES: usize = 195_000;

/// What a file takes beside its lines, at most: its key, its first offset and the number of its lines.
const FILE_BYTES: usize = 8 + 10 + 10;

/// What is known of a line from where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It was not counted before.
    New,
    /// It was counted before.
    Repeat,
    /// It stood where lines have been forgotten, so it may have been counted before.
    Untold,
}

/// The lines that were counted.
#[derive(Clone, Debug)]
pub struct Seen {
    room: usize,
    files: BTreeMap<u64, File>,
    /// Whole files were forgotten; none of their offsets was at or behind this.
    from: u64,
    /// What is remembered takes at most this.
    bytes: usize,
}

/// The lines of one file.
#[derive(Clone, Debug)]
struct File {
    /// Offsets before this one have been forgotten.
    from: u64,
    /// Ascending, none before `from`.
    offsets: Vec<u64>,
    /// What it takes, at most.
    bytes: usize,
}

impl Seen {
    /// No line yet; the memory takes at most `room` bytes.
    #[must_use]
    pub fn new(room: usize) -> Seen {
        Seen { room, files: BTreeMap::new(), from: 0, bytes: 0 }
    }

    /// Remembers a line and says whether it was there already.
    pub fn note(&mut self, position: &Position<'_>) -> Sight {
        let from = self.from;
        let file = self.files.entry(key(position)).or_insert_with(|| {
            let file = File::restore(from, vec![]);
            self.bytes += file.bytes;
            file
        });
        let before = file.bytes;
        let sight = file.note(position.offset);
        self.bytes += file.bytes - before;
        self.forget();
        sight
    }

    /// Forgets what is oldest where there is most, until a quarter of the room is free.
    fn forget(&mut self) {
        if self.bytes <= self.room {
            return;
        }
        while self.bytes > self.room / 4 * 3 {
            let most = self.files.values().map(|file| file.offsets.len()).max().unwrap_or(0);
            if most <= 1 {
                // More files than there is room for.
                self.from = self.files.values().map(File::behind).fold(self.from, u64::max);
                self.files.clear();
                self.bytes = 0;
                return;
            }
            for file in self.files.values_mut().filter(|file| file.offsets.len() > most / 2) {
                self.bytes -= file.bytes;
                file.forget_older_half();
                self.bytes += file.bytes;
            }
        }
    }

    /// What is remembered, as bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![];
        put_number(&mut bytes, self.from);
        for (key, file) in &self.files {
            bytes.extend_from_slice(&key.to_le_bytes());
            put_number(&mut bytes, file.from);
            put_number(&mut bytes, file.offsets.len() as u64);
            for step in file.steps() {
                put_number(&mut bytes, step);
            }
        }
        bytes
    }

    /// What was remembered, unless the bytes cannot have been written by this module.
    pub(super) fn from_bytes(room: usize, bytes: &[u8]) -> Option<Seen> {
        let mut rest = bytes;
        let mut seen = Seen { from: take_number(&mut rest)?, ..Seen::new(room) };
        while let Some((key, behind)) = rest.split_first_chunk() {
            rest = behind;
            let from = take_number(&mut rest)?;
            let count = take_number(&mut rest)?;
            let mut offsets = vec![];
            let mut last = from;
            for line in 0..count {
                let step = take_number(&mut rest)?;
                if step == 0 && line > 0 {
                    return None;
                }
                last = last.checked_add(step)?;
                offsets.push(last);
            }
            let file = File::restore(from, offsets);
            seen.bytes += file.bytes;
            seen.files.insert(u64::from_le_bytes(*key), file);
        }
        (rest.is_empty() && seen.bytes <= room).then_some(seen)
    }
}

impl File {
    fn restore(from: u64, offsets: Vec<u64>) -> File {
        let mut file = File { from, offsets, bytes: 0 };
        file.bytes = FILE_BYTES + file.steps().map(number_len).sum::<usize>();
        file
    }

    fn note(&mut self, offset: u64) -> Sight {
        if let Some(last) = self.offsets.last()
            && offset > *last
        {
            self.bytes += number_len(offset - *last);
            self.offsets.push(offset);
            return Sight::New;
        }
        if offset < self.from {
            return Sight::Untold;
        }
        match self.offsets.binary_search(&offset) {
            Ok(_) => Sight::Repeat,
            Err(place) => {
                // A step is cut in two: one part is no longer than the step was, the other no longer than the offset.
                self.bytes += number_len(offset);
                self.offsets.insert(place, offset);
                Sight::New
            }
        }
    }

    fn forget_older_half(&mut self) {
        let newer = self.offsets.split_off(self.offsets.len().div_ceil(2));
        *self = File::restore(self.behind(), newer);
    }

    /// The first offset behind all that was remembered.
    fn behind(&self) -> u64 {
        self.offsets.last().map_or(self.from, |last| last.saturating_add(1))
    }

    /// How far each offset is behind the one before.
    fn steps(&self) -> impl Iterator<Item = u64> {
        let before = std::iter::once(self.from).chain(self.offsets.iter().copied());
        before.zip(&self.offsets).map(|(before, offset)| offset - before)
    }
}

/// Names a file of a host in 64 bits. Two of the 10,000 files that a state has room for have the same name with a
/// chance of 3 in 10^12; then a line of one may be taken for a repeat of the other's. Nobody gains from seeking such
/// names: the agents that write them could as well leave lines out. The hash is kept in states, so it never changes; it
/// folds a product of 128 bits for each 8 bytes, as wyhash does (<https://github.com/wangyi-fudan/wyhash>).
fn key(position: &Position<'_>) -> u64 {
    let host = fold(0x9e37_79b9_7f4a_7c15, position.host.as_bytes());
    fold(host, position.file.as_bytes())
}

fn fold(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = seed ^ bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    for word in words.iter().chain([&last]) {
        let mixed = u128::from(hash ^ u64::from_le_bytes(*word)) * 0xa076_1d64_78bd_642f_u128;
        let [low, high] = halves(mixed);
        hash = low ^ high.wrapping_add(0xe703_7ed1_a0b4_28db);
    }
    hash
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the number are what is asked for")]
fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

/// How many bytes a number takes: seven bits each.
fn number_len(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn position(host: &str, file: &str, offset: u64) -> Position<'static> {
        Position { host: host.to_owned().into(), file: file.to_owned().into(), offset }
    }

    fn note(seen: &mut Seen, file: u32, offset: u64) -> Sight {
        seen.note(&position("host", &file.to_string(), offset))
    }

    /// What is known of each line of one file, in room enough.
    #[track_caller]
    fn check(offsets: &[u64], expected: &[Sight]) {
        let mut seen = Seen::new(SEEN_BYTES);
        let sights: Vec<Sight> = offsets.iter().map(|offset| note(&mut seen, 1, *offset)).collect();
        assert_eq!(sights, expected);
    }

    #[test]
    fn a_line_is_new_once() {
        use Sight::{New, Repeat};
        check(&[0, 100, 250, 100, 0, 300], &[New, New, New, Repeat, Repeat, New]);
    }

    #[test]
    fn lines_may_come_in_any_order() {
        use Sight::{New, Repeat};
        check(&[300, 0, 200, 100, 200, 0], &[New, New, New, New, Repeat, Repeat]);
    }

    #[test]
    fn the_largest_offset_there_is_can_be_remembered() {
        check(&[u64::MAX, 0, u64::MAX], &[Sight::New, Sight::New, Sight::Repeat]);
    }

    #[test]
    fn neither_hosts_nor_files_are_confused() {
        let mut seen = Seen::new(SEEN_BYTES);
        for (host, file) in [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("a", "b"), ("a", "bc\0")] {
            assert_eq!(seen.note(&position(host, file, 7)), Sight::New, "{host} {file}");
        }
    }

    /// A state is gone on from by another release.
    #[test]
    fn the_name_of_a_file_never_changes() {
        assert_eq!(key(&position("web-1", "1a2b-access_log", 0)), GOLDEN);
    }

    const GOLDEN: u64 = 13_169_459_050_326_533_634;

    #[test]
    fn a_busy_file_forgets_its_oldest_lines_and_a_quiet_one_none() {
        let mut seen = Seen::new(1_000);
        assert_eq!(note(&mut seen, 1, 0), Sight::New);
        for line in 0..10_000 {
            assert_eq!(note(&mut seen, 2, line * 200), Sight::New);
        }
        assert_eq!(note(&mut seen, 1, 0), Sight::Repeat);
        assert_eq!(note(&mut seen, 2, 0), Sight::Untold);
        for line in 9_800..10_000 {
            assert_eq!(note(&mut seen, 2, line * 200), Sight::Repeat);
        }
    }

    #[test]
    fn more_files_than_there_is_room_for_are_forgotten_and_that_is_said() {
        let mut seen = Seen::new(1_000);
        let sights: Vec<Sight> = (0..100).map(|file| note(&mut seen, file, 5)).collect();
        let new = sights.iter().take_while(|sight| **sight == Sight::New).count();
        assert!((20..40).contains(&new), "{new}");
        assert!(sights[new..].iter().all(|sight| *sight == Sight::Untold), "{sights:?}");
        // Behind all that was forgotten, lines are told apart again.
        assert_eq!(note(&mut seen, 99, 6), Sight::New);
        assert_eq!(note(&mut seen, 99, 6), Sight::Repeat);
    }

    proptest! {
        #[test]
        fn with_room_enough_a_line_is_a_repeat_if_it_was_there(lines in vec((0_u32..3, 0_u64..200), 0..400)) {
            let mut seen = Seen::new(SEEN_BYTES);
            let mut exact = BTreeSet::new();
            for (file, offset) in lines {
                let expected = if exact.insert((file, offset)) { Sight::New } else { Sight::Repeat };
                prop_assert_eq!(note(&mut seen, file, offset), expected);
            }
        }

        /// Whatever was forgotten, no line is lost and none is told to be new that was there.
        #[test]
        fn without_room_it_is_never_wrong_and_never_too_large(
            lines in vec((0_u32..8, 0_u64..2_000), 0..400),
            room in 50_usize..400,
        ) {
            let mut seen = Seen::new(room);
            let mut exact = BTreeSet::new();
            for (index, (file, offset)) in lines.into_iter().enumerate() {
                let sight = note(&mut seen, file, offset);
                let is_first = exact.insert((file, offset));
                prop_assert!(sight != if is_first { Sight::Repeat } else { Sight::New }, "{} {}", file, offset);
                let bytes = seen.to_bytes();
                prop_assert!(bytes.len() <= room + 10, "{} bytes", bytes.len());
                if index % 7 == 0 {
                    seen = Seen::from_bytes(room, &bytes).unwrap();
                    prop_assert_eq!(seen.to_bytes(), bytes);
                }
            }
        }

        #[test]
        fn bytes_of_another_make_are_refused_or_read_as_they_are(bytes in vec(any::<u8>(), 0..100)) {
            if let Some(seen) = Seen::from_bytes(SEEN_BYTES, &bytes) {
                let again = Seen::from_bytes(SEEN_BYTES, &seen.to_bytes()).unwrap();
                prop_assert_eq!(again.to_bytes(), seen.to_bytes());
            }
        }

        #[test]
        fn a_number_is_read_as_it_was_written(number in any::<u64>(), shift in 0_u32..64) {
            let number = number >> shift;
            let mut bytes = vec![];
            put_number(&mut bytes, number);
            prop_assert_eq!(bytes.len(), number_len(number));
            let mut rest = &bytes[..];
            prop_assert_eq!(take_number(&mut rest), Some(number));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn bytes_that_were_cut_or_overflow_are_refused() {
        let mut seen = Seen::new(SEEN_BYTES);
        note(&mut seen, 1, 1_000);
        note(&mut seen, 1, 2_000);
        let bytes = seen.to_bytes();
        for len in (0..bytes.len()).filter(|len| *len != 1) {
            assert!(Seen::from_bytes(SEEN_BYTES, &bytes[..len]).is_none(), "{len}");
        }
        assert!(Seen::from_bytes(bytes.len() - 1, &bytes).is_none());
        assert_eq!(take_number(&mut &[0xff; 11][..]), None);
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take_number(&mut &too_large[..]), None);
    }
}
