//! Which key may have been meant by a name that is none. Pure.

use crate::config::key::Holder;
use crate::config::keys::KEYS;

/// The key of `holder` that is nearest to `name`, if one is near enough to have been meant.
pub(super) fn nearest(holder: Holder, name: &str) -> Option<&'static str> {
    let names = KEYS.iter().filter(|key| key.holder == holder).map(|key| key.name);
    let (steps, name) =
        names.map(|known| (distance(&known.to_lowercase(), &name.to_lowercase()), known)).min()?;
    // One slip in three characters; with more, a suggestion misleads.
    (steps * 3 <= name.len()).then_some(name)
}

/// How many characters must be put in, taken out or exchanged to make `other` out of `one`.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // The distances from what was seen of `one` to each beginning of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (seen, char) in one.chars().enumerate() {
        let mut next = vec![seen + 1];
        let mut left = seen + 1;
        for (pair, wanted) in row.windows(2).zip(&other) {
            let &[diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(char != *wanted)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(nearest(Holder::Flow, name), expected);
    }

    #[test]
    fn a_slip_leads_to_the_key() {
        check("initialPostion", Some("initialPosition"));
        check("filepattern", Some("filePattern"));
        check("kinesis.stream", Some("kinesisStream"));
    }

    #[test]
    fn what_is_far_from_every_key_leads_nowhere() {
        check("color", None);
        check("", None);
    }

    /// The definition.
    fn slow(one: &[char], other: &[char]) -> usize {
        match (one.split_first(), other.split_first()) {
            (None, _) => other.len(),
            (_, None) => one.len(),
            (Some((a, one_rest)), Some((b, other_rest))) => {
                let exchanged = slow(one_rest, other_rest) + usize::from(a != b);
                exchanged.min(slow(one_rest, other) + 1).min(slow(one, other_rest) + 1)
            }
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_the_least_number_of_changes(one in "[abä]{0,5}", other in "[abä]{0,5}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(distance(&one, &other), slow(&chars(&one), &chars(&other)));
        }
    }
}
