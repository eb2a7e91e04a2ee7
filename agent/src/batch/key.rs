//! An entry's partition key. Pure.

use md5::{Digest, Md5};

/// A partition key, as short as it can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Below 10^12; written as a decimal number below 10^6 with six places.
    Random(u64),
    /// Such a number, but the shard is the one at this place.
    Placed {
        number: u64,
        place: u64,
    },
    Md5([u8; 16]),
    /// Where the service has none.
    None,
}

/// What a random key is drawn from.
const RANDOM_KEYS: u64 = MILLION * MILLION;

const MILLION: u64 = 1_000_000;

/// How many random keys are made to find one that lies near a place.
const CANDIDATES: usize = 64;

/// Bytes of a random key as it is written: twelve digits and a point.
pub(super) const RANDOM_KEY_BYTES: usize = 13;

/// Bytes of an MD5 in hexadecimal, the longest key.
pub(super) const MD5_KEY_BYTES: usize = 32;

/// Places in the range of a stream's hash keys, counted in steps of 2^-64. Of any that follow one another, each part of the range has
/// its share, to one more or less: where a shard takes few large entries a second, random places meet some too often.
#[derive(Debug)]
pub(super) struct Places(u64);

impl Places {
    /// 2^64 by the golden ratio, the step that leaves the smallest gaps. Source:
    /// <https://en.wikipedia.org/wiki/Low-discrepancy_sequence#Additive_recurrence>.
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

    /// Places from a random one on.
    pub(super) fn new(random: &mut fastrand::Rng) -> Places {
        Places(random.u64(..))
    }

    /// The next place.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Places::STEP);
        self.0
    }
}

impl Key {
    /// One that spreads the load over all shards.
    pub(super) fn random(random: &mut fastrand::Rng) -> Key {
        Key::Random(random.u64(0..RANDOM_KEYS))
    }

    /// One that goes to the shard at `place`.
    pub(super) fn at(place: u64, random: &mut fastrand::Rng) -> Key {
        Key::Placed { number: random.u64(0..RANDOM_KEYS), place }
    }

    /// The one of some whose own hash is the nearest to `place`.
    pub(super) fn near(place: u64, random: &mut fastrand::Rng) -> Key {
        let keys = (0..CANDIDATES).map(|_| Key::random(random));
        keys.min_by_key(|key| key.own_place().abs_diff(place)).unwrap_or(Key::None)
    }

    /// One that is the same for the same bytes.
    pub(super) fn of(bytes: &[u8]) -> Key {
        Key::Md5(Md5::digest(bytes).into())
    }

    /// Bytes of the key as it is written.
    pub(super) fn len(self) -> usize {
        match self {
            Key::Random(_) | Key::Placed { .. } => RANDOM_KEY_BYTES,
            Key::Md5(_) => MD5_KEY_BYTES,
            Key::None => 0,
        }
    }

    /// The hash that takes the place of the key's own, if any does.
    pub(super) fn hash(self) -> Option<u128> {
        match self {
            Key::Placed { place, .. } => Some(u128::from(place) << 64),
            Key::Random(_) | Key::Md5(_) | Key::None => None,
        }
    }

    /// The place of the shard to which the key itself goes: its MD5 decides.
    fn own_place(self) -> u64 {
        let mut written = Vec::with_capacity(self.len());
        self.write(&mut written);
        let hash: [u8; 16] = Md5::digest(written).into();
        u128::from_be_bytes(hash).checked_shr(64).and_then(|place| place.try_into().ok()).unwrap_or_default()
    }

    /// Appends the key as it is written.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match self {
            Key::Random(number) | Key::Placed { number, .. } => {
                out.extend_from_slice(&six_digits(number / MILLION));
                out.push(b'.');
                out.extend_from_slice(&six_digits(number % MILLION));
            }
            Key::Md5(hash) => {
                let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                out.extend(nibbles.filter_map(|nibble| HEX.get(usize::from(nibble))));
            }
            Key::None => {}
        }
    }
}

/// The last six digits of a number, none of which waits for another: each record has a key.
fn six_digits(number: u64) -> [u8; 6] {
    [100_000, 10_000, 1000, 100, 10, 1]
        .map(|unit| b'0' + u8::try_from(number / unit % 10).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: Key, expected: &str) {
        let mut written = Vec::new();
        key.write(&mut written);
        assert_eq!((written.as_slice(), written.len()), (expected.as_bytes(), key.len()));
    }

    #[test]
    fn each_kind_has_its_form() {
        check(Key::Random(0), "000000.000000");
        check(Key::Random(1_234_567), "000001.234567");
        check(Key::Random(RANDOM_KEYS - 1), "999999.999999");
        check(Key::Placed { number: 1_234_567, place: 9 }, "000001.234567");
        check(Key::of(b"a"), "0cc175b9c0f1b6a831c399e269772661");
        check(Key::None, "");
    }

    #[test]
    fn a_place_is_the_higher_half_of_a_hash() {
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(Key::at(5, &mut random).hash(), Some(5 << 64));
        assert_eq!(Key::random(&mut random).hash(), None);
        // MD5 of `000000.000000`, by md5sum.
        assert_eq!(Key::Random(0).own_place(), 0x3d6c_96e4_bd3e_eb07);
    }

    /// How many of `count` places in a row each of so many equal shards has, the fewest and the most.
    fn counts(shards: u64, count: usize, mut place: impl FnMut() -> u64) -> (usize, usize) {
        let mut counts = vec![0; usize::try_from(shards).unwrap()];
        for _ in 0..count {
            let shard = (u128::from(place()) * u128::from(shards)) >> 64;
            counts[usize::try_from(shard).unwrap()] += 1;
        }
        (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
    }

    #[test]
    fn each_shard_has_its_part_of_any_places_in_a_row() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut places = Places::new(&mut random);
        for shards in [1, 2, 3, 4, 10, 64] {
            for _ in 0..20 {
                let count = 20 * usize::try_from(shards).unwrap();
                let (least, most) = counts(shards, count, || places.next());
                assert!(
                    (17..=20).contains(&least) && (20..=23).contains(&most),
                    "{least} to {most} of {shards}"
                );
            }
        }
        let (least, most) = counts(4, 8_000, || Key::near(places.next(), &mut random).own_place());
        assert!((1_950..=2_000).contains(&least) && (2_000..=2_050).contains(&most), "{least} to {most}");
    }
}
