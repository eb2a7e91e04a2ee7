//! Looks for bytes eight at a time: a machine word holds eight, and what is asked of each is asked of all of them at once.
//!
//! Knows no format. For texts as short as the values of a line, where a search that has to be prepared takes longer than
//! the search. Arithmetic on a word carries from a byte to the later ones only: the first byte that is marked is marked
//! rightly, and none is marked where none should be.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// How many bytes stand before the first `byte` in `text`: all of them if it holds none.
#[inline]
pub(super) fn before(text: &[u8], byte: u8) -> usize {
    before_marked(text, |word| equal(word, byte))
}

/// The same for the first of `bytes`.
#[inline]
pub(super) fn before_any(text: &[u8], bytes: &[u8]) -> usize {
    before_marked(text, |word| bytes.iter().fold(0, |marks, byte| marks | equal(word, *byte)))
}

/// The place of the first `byte` in `text`.
#[inline]
pub(super) fn place(text: &[u8], byte: u8) -> Option<usize> {
    let place = before(text, byte);
    (place < text.len()).then_some(place)
}

/// How many bytes at the start of `text` need no escape in a string of JSON.
#[inline]
pub(super) fn before_escape(text: &[u8]) -> usize {
    before_marked(text, |word| below(word, b' ') | equal(word, b'"') | equal(word, b'\\'))
}

/// Whether all of `text` is ASCII that needs no escape in a string of JSON.
pub(super) fn is_plain(text: &[u8]) -> bool {
    all_unmarked(text, |word| word | below(word, b' ') | equal(word, b'"') | equal(word, b'\\'))
}

/// The same, where quotes may stand in it.
pub(super) fn is_plain_but_for_quotes(text: &[u8]) -> bool {
    all_unmarked(text, |word| word | below(word, b' ') | equal(word, b'\\'))
}

/// How many bytes stand before the first whose high bit `marks` sets.
#[inline]
fn before_marked(text: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    let (words, rest) = text.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*word)) & HIGH_BITS;
        if marked != 0 {
            return index * 8 + first(marked);
        }
    }
    let marked = marks(last_word(rest)) & HIGH_BITS;
    text.len() - rest.len() + first(marked).min(rest.len())
}

/// Whether `marks` sets no high bit of any byte.
#[inline]
fn all_unmarked(text: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    let (words, rest) = text.as_chunks();
    // The last eight bytes as well, some of which have been looked at then.
    let last = text.last_chunk().map_or_else(|| last_word(rest), |last| u64::from_le_bytes(*last));
    // Without a way out of the loop, so that it becomes vector instructions.
    let marked = words.iter().fold(marks(last), |marked, word| marked | marks(u64::from_le_bytes(*word)));
    marked & HIGH_BITS == 0
}

/// The bytes of `rest`, of which there are fewer than eight, and behind them letters that nobody looks for.
#[inline]
fn last_word(rest: &[u8]) -> u64 {
    rest.iter().rfold(u64::from_le_bytes([b'a'; 8]), |word, byte| word << 8 | u64::from(*byte))
}

/// Which byte the first mark is on; 8 if there is none.
#[inline]
fn first(marked: u64) -> usize {
    usize::try_from(marked.trailing_zeros() / 8).unwrap_or_default()
}

/// Marks the bytes of `word` that are `byte`.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// Marks the bytes of `word` that are less than `limit`, which is ASCII.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn needs_escape(byte: u8) -> bool {
        byte < b' ' || byte == b'"' || byte == b'\\'
    }

    #[track_caller]
    fn check(text: &[u8]) {
        for byte in [b' ', b':', b'a', 0, 0x80, 0xFF] {
            assert_eq!(place(text, byte), text.iter().position(|&held| held == byte), "{byte} in {text:?}");
        }
        let place = text.iter().position(|byte| b" :]".contains(byte)).unwrap_or(text.len());
        assert_eq!(before_any(text, b" :]"), place, "{text:?}");
        let escape = text.iter().position(|&byte| needs_escape(byte)).unwrap_or(text.len());
        assert_eq!(before_escape(text), escape, "{text:?}");
        let plain = |byte: &u8| byte.is_ascii() && !needs_escape(*byte);
        assert_eq!(is_plain(text), text.iter().all(plain), "{text:?}");
        let plain = |byte: &u8| *byte == b'"' || plain(byte);
        assert_eq!(is_plain_but_for_quotes(text), text.iter().all(plain), "{text:?}");
    }

    /// Each byte beside each, in every place of a word.
    #[test]
    fn two_bytes_are_told_apart_wherever_they_stand() {
        for (first, second) in (0..=255).flat_map(|first| (0..=255).map(move |second| (first, second))) {
            let mut text = [b'b'; 11];
            let place = usize::from(first) % 9;
            text[place..place + 2].copy_from_slice(&[first, second]);
            check(&text);
        }
    }

    proptest! {
        /// As one finds it who looks at byte after byte.
        #[test]
        fn bytes_are_found_where_they_stand(
            text in prop::collection::vec(prop_oneof![4 => Just(b'b'), 1 => any::<u8>(), 1 => Just(b'"')], 0..40),
        ) {
            check(&text);
        }
    }
}
