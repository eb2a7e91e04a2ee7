//! The places in which nearly every date of a layout has its digits and its dividers, compared eight at a time.
//!
//! Does not know what a date means, and only says yes: a date with other places is read item by item.

use super::date::{Item, Reading};

/// How long the short names of months and of weekdays are.
const LETTERS: usize = 3;

/// The items at the start of a layout that have one length each: numbers of so many digits, single bytes, short names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// How many items they are.
    items: usize,
    /// How many bytes they take.
    len: usize,
    /// All of these bytes, the last eight in any case.
    words: Vec<Word>,
    /// What has more to it than digits and one byte: where it begins, and its length.
    others: Vec<(usize, Item, usize)>,
}

/// Eight bytes of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// Where they begin.
    at: usize,
    /// All bits of the bytes that are digits.
    digits: u64,
    /// All bits of the bytes that are as in `text`.
    literals: u64,
    /// 0 in the place of all others.
    text: u64,
}

/// What stands in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Digit,
    Literal(u8),
    Other,
}

impl Frame {
    /// That of the layout `items`.
    pub(super) fn new(items: &[Item]) -> Frame {
        let mut places = Vec::new();
        let mut frame = Frame::default();
        let mut items = items.iter().peekable();
        while let Some(item) = items.next() {
            // A fraction goes on as long as there are digits.
            let is_ended = matches!(items.peek(), Some(Item::Literal(byte)) if !byte.is_ascii_digit());
            match item {
                Item::Literal(byte) => places.push(Place::Literal(*byte)),
                Item::Number(_, digits) => places.extend(vec![Place::Digit; digits.most]),
                Item::Fraction(digits) if is_ended => places.extend(vec![Place::Digit; *digits]),
                Item::Byte(_) => frame.other(*item, 1, &mut places),
                Item::Month | Item::Word => frame.other(*item, LETTERS, &mut places),
                Item::Half | Item::Fraction(_) | Item::Zone => break,
            }
            frame.items += 1;
        }
        let Some(last) = places.len().checked_sub(8) else { return Frame::default() };
        frame.len = places.len();
        frame.words = (0..last).step_by(8).chain([last]).map(|at| Word::new(at, &places)).collect();
        frame
    }

    /// How many items of the layout it stands for.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// What follows it at the start of `text`, if each byte is in its place.
    pub(super) fn behind<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (start, rest) = text.split_at_checked(self.len)?;
        let fits = self.words.iter().all(|word| word.fits(start));
        let mut reading = Reading::default();
        // An item that goes on behind its place is not the short one.
        let mut is_short = |(at, item, len): &(usize, Item, usize)| {
            let text = text.get(*at..)?;
            Some(reading.item(*item, text)?.len() + len == text.len())
        };
        (fits && self.others.iter().all(|other| is_short(other).unwrap_or_default())).then_some(rest)
    }

    fn other(&mut self, item: Item, len: usize, places: &mut Vec<Place>) {
        self.others.push((places.len(), item, len));
        places.extend(vec![Place::Other; len]);
    }
}

impl Word {
    /// The eight of `places` that begin at `at`.
    fn new(at: usize, places: &[Place]) -> Word {
        let bytes = |byte: fn(Place) -> u8| {
            places.iter().skip(at).take(8).rfold(0, |word, place| word << 8 | u64::from(byte(*place)))
        };
        Word {
            at,
            digits: bytes(|place| if place == Place::Digit { 0xFF } else { 0 }),
            literals: bytes(|place| if matches!(place, Place::Literal(_)) { 0xFF } else { 0 }),
            text: bytes(|place| match place {
                Place::Literal(byte) => byte,
                Place::Digit | Place::Other => 0,
            }),
        }
    }

    /// Whether the bytes of `start` are in their places.
    fn fits(&self, start: &[u8]) -> bool {
        const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
        // What takes a number that is no digit over 0x7F; a carry can only come from one that is over it.
        const ABOVE_NINE: u64 = u64::from_le_bytes([0x7F - 9; 8]);
        const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);
        let Some(bytes) = start.get(self.at..).and_then(<[u8]>::first_chunk) else { return false };
        let word = u64::from_le_bytes(*bytes);
        let numbers = (word ^ ZEROS) & self.digits;
        let no_digits = (numbers | numbers.wrapping_add(ABOVE_NINE)) & HIGH_BITS;
        ((word & self.literals) ^ self.text) | no_digits == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::super::date::DatePattern;
    use super::super::{java_date, strftime};
    use super::*;

    /// Layouts, and for each a date of the usual form with something behind it.
    fn layouts() -> Vec<(DatePattern, &'static str)> {
        let of_httpd = |format| DatePattern { items: strftime::items(format).unwrap(), zone: None };
        let of_java = |format| DatePattern { items: java_date::items(format).unwrap(), zone: None };
        vec![
            (of_httpd("%d/%b/%Y:%H:%M:%S %z"), "03/Feb/2021:04:05:06 +0100] "),
            (of_httpd("%a %b %e %H:%M:%S %Y"), "Wed Feb 13 04:05:06 2021 "),
            (of_java("ISO8601"), "2021-02-03T04:05:06,789 "),
            (of_java("EEE dd.MM.yy HH:mm:ss.SSS Z"), "Wed 03.02.21 04:05:06.789 -0330 "),
            (of_java("yyyy-MM-dd MMM"), "2021-02-03 Feb "),
            (of_java("ss.SSSSSS yyyy, MMM d"), "06.789012 2021, May 13 "),
        ]
    }

    #[test]
    fn a_usual_date_is_told_at_once() {
        for (pattern, date) in layouts() {
            let frame = Frame::new(&pattern.items);
            assert!(frame.len > 8 && frame.behind(date.as_bytes()).is_some(), "{date}: {frame:?}");
        }
    }

    #[test]
    fn a_date_that_is_shorter_than_a_word_has_no_frame() {
        let items = java_date::items("mm:ss").unwrap();
        assert_eq!(Frame::new(&items), Frame::default());
        let pattern = DatePattern { items, zone: None };
        assert_eq!(pattern.len(&Frame::default(), b"05:06 "), Some(5));
    }

    proptest! {
        /// As the date is read item by item.
        #[test]
        fn a_date_has_the_same_length_with_a_frame_and_without(
            (pattern, date) in select(layouts()),
            changes in prop::collection::vec((any::<Index>(), select(&b"019 :/-.,JanuebFT\xFF"[..])), 0..3),
            words in select(vec![
                ("Feb", "February"), ("Wed", "Wednesday"), ("May", "Sep"), ("0", ""), ("789", "7"), ("789", "7890"),
            ]),
            len in 0usize..40,
        ) {
            let mut text = date.replacen(words.0, words.1, 1).into_bytes();
            for (place, byte) in changes {
                let place = place.index(text.len());
                text[place] = byte;
            }
            // Mostly all of it.
            text.truncate(if len < 8 { len * 4 } else { text.len() });
            let expected = pattern.read(&text).map(|(_, len)| len);
            prop_assert_eq!(pattern.len(&Frame::new(&pattern.items), &text), expected);
        }
    }
}
