//! Names of all the world as the values of dimensions, which are ASCII. Pure.
//!
//! Two names that differ are two values: a name that cannot stay as it is ends in a checksum of what it was. Only an empty
//! name is the same as one that is `-`.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>.

use md5::{Digest, Md5};

/// What a value may have.
const VALUE_BYTES: usize = 1_024;

/// `~` and eight digits.
const MARK_BYTES: usize = 9;

/// The value for `name`. An empty name is `-`, as in a log.
#[must_use]
pub fn ascii(name: &str) -> String {
    if name.is_empty() {
        return "-".to_owned();
    }
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    // A name that ends like a checksum gets one as well, else it could be what another name becomes.
    let is_kept = name.len() <= VALUE_BYTES
        && name.chars().all(is_plain)
        && !name.starts_with(':')
        && !name.trim().is_empty()
        && !ends_in_mark(name);
    if is_kept {
        return name.to_owned();
    }
    let safe = |(index, c)| if is_plain(c) && !(index == 0 && c == ':') { c } else { '?' };
    let mut value: String =
        name.chars().enumerate().map(safe).take(VALUE_BYTES.saturating_sub(MARK_BYTES)).collect();
    let digest = Md5::digest(name.as_bytes());
    value.push('~');
    value.extend(digest.iter().take(4).map(|byte| format!("{byte:02x}")));
    value
}

fn ends_in_mark(name: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    name.rsplit_once('~').is_some_and(|(_, mark)| mark.len() == 8 && mark.chars().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(ascii(name), expected);
    }

    #[test]
    fn a_plain_name_stays_as_it_is() {
        check("shop front-end/2 (eu)~", "shop front-end/2 (eu)~");
        check(&"x".repeat(VALUE_BYTES), &"x".repeat(VALUE_BYTES));
    }

    #[test]
    fn an_empty_name_is_a_dash() {
        check("", "-");
    }

    #[test]
    fn what_is_not_plain_is_replaced_and_the_name_told_from_others() {
        check("B\u{fc}cher", "B?cher~7f8532e7");
        check("B\u{f6}cher", "B?cher~c5a32a80");
        check(" ", " ~7215ee9c");
        check(":a", "?a~66c06124");
        check("a\nb", "a?b~8cdeb444");
    }

    proptest! {
        /// As the service's reference has it.
        #[test]
        fn every_value_is_one_that_the_service_takes(name in any::<String>()) {
            let value = ascii(&name);
            prop_assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{value:?}");
            prop_assert!(!value.trim().is_empty() && value.len() <= 1_024 && !value.starts_with(':'));
        }

        #[test]
        fn two_names_never_become_one(one in "[a\u{e9}:~ \n]{1,4}", other in "[a\u{e9}:~ \n]{1,4}") {
            prop_assert_eq!(one == other, ascii(&one) == ascii(&other));
            // Nor does a name become what another one has become.
            prop_assert_eq!(ascii(&one) == ascii(&ascii(&other)), one == ascii(&other));
        }

        #[test]
        fn names_that_differ_behind_the_bound_differ(one in "[ab]{1,9}", other in "[ab]{1,9}") {
            let long = |end: &str| ascii(&("x".repeat(VALUE_BYTES) + end));
            prop_assert_eq!(one == other, long(&one) == long(&other));
            prop_assert_eq!(long(&one).len(), VALUE_BYTES);
        }
    }
}
