//! An entry's partition key. Pure.

use md5::{Digest, Md5};

/// A partition key, as short as it can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Below 10^12; written as a decimal number below 10^6 with six places.
    Random(u64),
    Md5([u8; 16]),
    /// Where the service has none.
    None,
}

/// What a random key is drawn from.
const RANDOM_KEYS: u64 = 1_000_000_000_000;

/// Bytes of a random key as it is written: twelve digits and a point.
pub(super) const RANDOM_KEY_BYTES: usize = 13;

/// Bytes of an MD5 in hexadecimal, the longest key.
pub(super) const MD5_KEY_BYTES: usize = 32;

impl Key {
    /// One that spreads the load over all shards.
    pub(super) fn random(random: &mut fastrand::Rng) -> Key {
        Key::Random(random.u64(0..RANDOM_KEYS))
    }

    /// One that is the same for the same bytes.
    pub(super) fn of(bytes: &[u8]) -> Key {
        Key::Md5(Md5::digest(bytes).into())
    }

    /// Bytes of the key as it is written.
    pub(super) fn len(self) -> usize {
        match self {
            Key::Random(_) => RANDOM_KEY_BYTES,
            Key::Md5(_) => MD5_KEY_BYTES,
            Key::None => 0,
        }
    }

    /// Appends the key as it is written.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match self {
            Key::Random(number) => {
                let mut digits = *b"000000.000000";
                let mut rest = number;
                for place in digits.iter_mut().rev().filter(|place| **place != b'.') {
                    *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                    rest /= 10;
                }
                out.extend_from_slice(&digits);
            }
            Key::Md5(hash) => {
                let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                out.extend(nibbles.filter_map(|nibble| HEX.get(usize::from(nibble))));
            }
            Key::None => {}
        }
    }
}
