//! Where a value ends that begins at the start of a text, for each way in which its end shows.
//!
//! Knows neither formats nor lines.

use memchr::memchr_iter;

use crate::parse::scan;

/// What a comma before a space does to the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commas {
    /// Nothing.
    Divide,
    /// It does not divide: lists of addresses, as in `X-Forwarded-For`, have one there.
    Join,
}

/// How many bytes at the start of `text` are no space.
pub(super) fn word_len(text: &[u8]) -> usize {
    scan::before(text, b' ')
}

/// The length of a number that may have a sign, or of `-`.
pub(super) fn number_len(text: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(text, [b'+' | b'-', ..]));
    let digits = text.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
    match (text, digits) {
        ([b'-', ..], 0) => Some(1),
        (_, 0) => None,
        (_, digits) => Some(sign + digits),
    }
}

/// The length of a number that may have a sign and a point, or of `-`.
pub(super) fn decimal_len(text: &[u8]) -> Option<usize> {
    let whole = number_len(text)?;
    let Some([b'.', fraction @ ..]) = text.get(whole..) else { return Some(whole) };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(if digits == 0 { whole } else { whole + 1 + digits })
}

/// The length of `core.c(123)`.
pub(super) fn source_len(text: &[u8]) -> Option<usize> {
    let name =
        text.iter().take_while(|byte| !matches!(byte, b' ' | b'(' | b')' | b':' | b'[' | b']')).count();
    let digits =
        text.get(name..)?.strip_prefix(b"(")?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_closed = text.get(name + 1 + digits) == Some(&b')');
    (name > 0 && digits > 0 && is_closed).then_some(name + digits + 2)
}

/// The length of `(13)Permission denied` before a colon and a space.
pub(super) fn status_len(text: &[u8]) -> Option<usize> {
    let number = text.strip_prefix(b"(")?;
    let number = number.strip_prefix(b"EAI ").unwrap_or(number);
    let digits = number_len(number)?;
    (number.get(digits) == Some(&b')')).then_some(())?;
    places(text, b": ").next()
}

/// Where `sought`, which is not empty, stands in `text`, without overlaps. What is sought is short: preparing a search
/// for it would take longer than the search.
pub(super) fn places<'a>(text: &'a [u8], sought: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = sought.first().copied().unwrap_or_default();
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + scan::place(text.get(from..)?, first)?;
            if is_at(text, at, sought) {
                from = at + sought.len();
                return Some(at);
            }
            from = at + 1;
        }
    })
}

/// The last of all places where `sought`, which is not empty, stands in `text`.
pub(super) fn last_place(text: &[u8], sought: &[u8]) -> Option<usize> {
    memchr_iter(sought.first().copied()?, text).rev().find(|&at| is_at(text, at, sought))
}

/// Whether `sought` stands in `text` at `at`. Byte after byte, since it is short.
fn is_at(text: &[u8], at: usize, sought: &[u8]) -> bool {
    let text = text.get(at..).unwrap_or_default();
    text.len() >= sought.len() && text.iter().zip(sought).all(|(byte, sought)| byte == sought)
}

/// The length of a text that ends at the first `divider`. A quote divides only without a backslash before it.
pub(super) fn apart_len(text: &[u8], divider: &[u8], commas: Commas) -> Option<usize> {
    match (divider, commas) {
        (b" ", Commas::Join) => {
            memchr_iter(b' ', text).find(|&len| !text.get(..len).is_some_and(|text| text.ends_with(b",")))
        }
        ([b'"', ..], _) => places(text, divider).find(|&len| !is_escaped(text, len)),
        (divider, _) => places(text, divider).next(),
    }
}

/// The same where `divider` is one byte and the first of `stops`, among which it is: no other divider begins before it
/// then.
pub(super) fn stop_len(text: &[u8], divider: &[u8], stops: &[u8], commas: Commas) -> Option<usize> {
    let len = match (divider, commas) {
        (b"\"", _) | (_, Commas::Join) => return None,
        ([_], Commas::Divide) => scan::before_any(text, stops),
        (_, Commas::Divide) => return None,
    };
    (text.get(len..)?.first() == divider.first()).then_some(len)
}

/// Whether the byte at `at` stands behind an odd number of backslashes.
pub(super) fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(read: impl Fn(&[u8]) -> T, cases: &[(&str, T)]) {
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes()), *expected, "{text}");
        }
    }

    #[test]
    fn a_number_may_have_a_sign() {
        let cases = [
            ("12 b", Some(2)),
            ("+12", Some(3)),
            ("-12", Some(3)),
            ("- ", Some(1)),
            ("+", None),
            ("x", None),
        ];
        check(number_len, &cases);
    }

    #[test]
    fn a_decimal_ends_before_a_point_without_digits() {
        check(decimal_len, &[("1.25 ", Some(4)), ("1. ", Some(1)), ("12", Some(2)), (".5", None)]);
    }

    #[test]
    fn a_source_has_a_line_between_brackets() {
        let cases = [
            ("core.c(123): ", Some(11)),
            ("core.c(123", None),
            ("core.c()", None),
            ("(12)", None),
            ("c(1x)", None),
        ];
        check(source_len, &cases);
    }

    #[test]
    fn a_status_has_its_number_between_brackets_and_ends_before_a_colon() {
        let cases = [
            ("(13)Permission denied: x", Some(21)),
            ("(EAI 2)Name or service not known: x", Some(32)),
            ("(13 Permission denied: x", None),
            ("(x)Permission denied: x", None),
            ("(13)Permission denied", None),
        ];
        check(status_len, &cases);
    }

    #[test]
    fn a_quote_behind_a_backslash_divides_nothing() {
        let len = |text: &[u8]| apart_len(text, b"\" ", Commas::Divide);
        check(
            len,
            &[("a\" b", Some(1)), ("a\\\" b\" c", Some(5)), ("a\\\\\" b", Some(3)), ("a\\\" b", None)],
        );
    }

    #[test]
    fn a_space_behind_a_comma_may_divide_nothing() {
        check(
            |text| apart_len(text, b" ", Commas::Join),
            &[("a, b c", Some(4)), ("a b", Some(1)), ("a, b", None)],
        );
        check(|text| apart_len(text, b" ", Commas::Divide), &[("a, b c", Some(2))]);
    }

    #[test]
    fn the_first_stop_tells_the_end_only_if_it_is_the_divider() {
        let len = |divider: &'static [u8], commas| move |text: &[u8]| stop_len(text, divider, b" :]", commas);
        check(len(b":", Commas::Divide), &[("core:error] ", Some(4)), ("co re:", None), ("core", None)]);
        check(len(b":", Commas::Join), &[("core:error] ", None)]);
        check(len(b": ", Commas::Divide), &[("core: error] ", None)]);
        let quote = |text: &[u8]| stop_len(text, b"\"", b" \"", Commas::Divide);
        check(quote, &[("a\\\"b\"", None), ("ab\"", None)]);
    }

    proptest! {
        /// As with a look for each divider.
        #[test]
        fn a_stop_ends_what_each_divider_ends(
            text in "[ab:|\\] ]{0,12}",
            divider in "[:|\\] ]",
            others in prop::collection::vec("[ab:|\\] ]{1,2}", 0..3),
        ) {
            let stops: Vec<u8> =
                others.iter().chain([&divider]).filter_map(|text| text.bytes().next()).collect();
            let len = stop_len(text.as_bytes(), divider.as_bytes(), &stops, Commas::Divide);
            if let Some(len) = len {
                prop_assert_eq!(text.find(&divider), Some(len));
                prop_assert!(others.iter().all(|other| text.find(other).is_none_or(|place| place >= len)));
            } else {
                let place = text.find(&divider).unwrap_or(text.len());
                let stop = text.bytes().position(|byte| stops.contains(&byte));
                prop_assert!(place == text.len() || stop.is_some_and(|stop| stop < place));
            }
        }

        /// As the standard library finds them.
        #[test]
        fn places_do_not_overlap(text in "[ab]{0,12}", sought in "[ab]{1,3}") {
            let expected: Vec<usize> = text.match_indices(&sought).map(|(at, _)| at).collect();
            let found: Vec<usize> = places(text.as_bytes(), sought.as_bytes()).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(last_place(text.as_bytes(), sought.as_bytes()), text.rfind(&sought));
        }
    }
}
