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
const RANDOM_KEYS: u64 = MILLION * MILLION;

const MILLION: u64 = 1_000_000;

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
        check(Key::of(b"a"), "0cc175b9c0f1b6a831c399e269772661");
        check(Key::None, "");
    }
}
