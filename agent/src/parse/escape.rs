//! What a value of the log stands for: undoes the escapes that httpd writes.
//!
//! httpd writes `\"` and `\\`, `\b \n \r \t \v` as in C, and `\xhh` for every other byte that cannot be printed. An
//! escape that it does not write stands for itself, backslash included.
//! Source: <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#format-notes>.

use memchr::{memchr, memrchr};

/// The bytes that a value stands for.
#[derive(Clone, Debug)]
pub(super) struct Decoded<'a> {
    /// What is still to be decoded.
    rest: &'a [u8],
}

impl<'a> Decoded<'a> {
    /// The bytes that `value` stands for.
    pub(super) fn new(value: &'a [u8]) -> Decoded<'a> {
        Decoded { rest: value }
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) =
            unescape(self.rest).or_else(|| self.rest.split_first().map(|(&byte, rest)| (byte, rest)))?;
        self.rest = rest;
        Some(byte)
    }
}

/// Whether `value` may stand for anything but itself.
pub(super) fn has_escapes(value: &[u8]) -> bool {
    memchr(b'\\', value).is_some()
}

/// What stands before the first `byte` of the decoded value and behind it, both still encoded.
pub(super) fn split_at_first(value: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    if has_escapes(value) { places(value, byte).next() } else { split(value, memchr(byte, value)?) }
}

/// What stands before the last `byte` of the decoded value and behind it, both still encoded.
pub(super) fn split_at_last(value: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    if has_escapes(value) { places(value, byte).last() } else { split(value, memrchr(byte, value)?) }
}

/// Every way to split `value` at a `byte` that it stands for.
fn places(value: &[u8], byte: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut decoded = Decoded::new(value);
    std::iter::from_fn(move || {
        loop {
            let before = value.len() - decoded.rest.len();
            if decoded.next()? == byte {
                return Some((value.get(..before)?, decoded.rest));
            }
        }
    })
}

fn split(value: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    Some((value.get(..at)?, value.get(at + 1..)?))
}

/// The byte that the escape at the start of `text` stands for, and what follows the escape.
fn unescape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'\\', kind, rest @ ..] = text else { return None };
    let byte = match kind {
        b'"' | b'\\' => *kind,
        b'b' => 0x08,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0B,
        b'x' => {
            let [high, low, rest @ ..] = rest else { return None };
            return Some((hex(*high)? * 16 + hex(*low)?, rest));
        }
        _ => return None,
    };
    Some((byte, rest))
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
