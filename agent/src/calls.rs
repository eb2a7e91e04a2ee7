//! What the calls of one flow came to, call by call, since somebody last asked. Knows neither who calls nor who is told.
//!
//! The counters of `metrics` only add up. The Java agent told CloudWatch of the least and the greatest call, too, so each
//! call is noted here once; nothing is noted of single records.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What several values were together. Of one value at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// How many.
    pub count: u64,
    /// All of them added up.
    pub sum: u64,
    /// The least.
    pub least: u64,
    /// The greatest.
    pub most: u64,
}

impl Statistics {
    /// Those of one value.
    #[must_use]
    pub fn of(value: u64) -> Statistics {
        Statistics { count: 1, sum: value, least: value, most: value }
    }

    /// Those of both together.
    #[must_use]
    pub fn and(self, other: Statistics) -> Statistics {
        Statistics {
            count: self.count.saturating_add(other.count),
            sum: self.sum.saturating_add(other.sum),
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }
}

/// What is known of the calls that were made. Nothing where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records that a call offered.
    pub offered: Option<Statistics>,
    /// Records that an answered call brought into the stream.
    pub taken: Option<Statistics>,
    /// Records that the stream refused in an answered call.
    pub refused: Option<Statistics>,
    /// Payload of the records taken, in bytes.
    pub bytes: Option<Statistics>,
    /// 1 for a call that failed as a whole, 0 for one that was answered.
    pub failed: Option<Statistics>,
}

/// How many words of a service are told apart. It has a few dozen; what is in its place may have any number.
const CODES: usize = 64;

/// What stands for all words beyond these.
const OTHER: &str = "other";

/// How often each word of the service was heard since the start.
pub type Codes = BTreeMap<String, u64>;

/// The calls of one flow.
#[derive(Debug, Default)]
pub struct Calls {
    figures: Mutex<Figures>,
    refusals: Mutex<Codes>,
    failures: Mutex<Codes>,
}

impl Calls {
    /// Notes a call that offers so many records.
    pub fn note_offer(&self, records: u64) {
        self.note(|figures| add(&mut figures.offered, records));
    }

    /// Notes that it was answered: how many records were taken, their bytes, and how many were refused.
    pub fn note_answer(&self, taken: u64, bytes: u64, refused: u64) {
        self.note(|figures| {
            add(&mut figures.taken, taken);
            add(&mut figures.bytes, bytes);
            add(&mut figures.refused, refused);
            add(&mut figures.failed, 0);
        });
    }

    /// Notes that it failed as a whole, with this `code`.
    pub fn note_failure(&self, code: &str) {
        self.note(|figures| add(&mut figures.failed, 1));
        hear(&self.failures, code, 1);
    }

    /// Notes with which `code` the stream refused so many of the records.
    pub fn note_refusal(&self, code: &str, records: u64) {
        hear(&self.refusals, code, records);
    }

    /// Records that were refused since the start, by code.
    #[must_use]
    pub fn refusals(&self) -> Codes {
        locked(&self.refusals).clone()
    }

    /// Calls that failed as a whole since the start, by code.
    #[must_use]
    pub fn failures(&self) -> Codes {
        locked(&self.failures).clone()
    }

    /// What was noted since this was asked last.
    #[must_use]
    pub fn take(&self) -> Figures {
        std::mem::take(&mut *locked(&self.figures))
    }

    fn note(&self, note: impl FnOnce(&mut Figures)) {
        note(&mut locked(&self.figures));
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hear(codes: &Mutex<Codes>, code: &str, count: u64) {
    let mut codes = locked(codes);
    let code = if codes.contains_key(code) || codes.len() < CODES { code } else { OTHER };
    let heard = codes.entry(code.to_owned()).or_default();
    *heard = heard.saturating_add(count);
}

fn add(to: &mut Option<Statistics>, value: u64) {
    let one = Statistics::of(value);
    *to = Some(to.map_or(one, |so_far| so_far.and(one)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_the_service_are_told_apart_up_to_a_bound() {
        let calls = Calls::default();
        for number in 0..100 {
            calls.note_refusal(&format!("Code{number}"), 2);
        }
        calls.note_refusal("Code0", 1);
        calls.note_failure("InternalFailure");
        let refusals = calls.refusals();
        assert_eq!(
            (refusals.len(), refusals["Code0"], refusals[OTHER]),
            (CODES + 1, 3, 2 * (100 - CODES as u64))
        );
        assert_eq!(calls.failures(), Codes::from([("InternalFailure".to_owned(), 1)]));
    }

    #[test]
    fn an_answered_call_has_all_figures_and_a_failed_one_only_that_it_failed() {
        let calls = Calls::default();
        calls.note_offer(500);
        calls.note_answer(498, 1000, 2);
        calls.note_offer(2);
        calls.note_failure("InternalFailure");
        let two = |least, most, sum| Some(Statistics { count: 2, sum, least, most });
        let expected = Figures {
            offered: two(2, 500, 502),
            taken: Some(Statistics::of(498)),
            refused: Some(Statistics::of(2)),
            bytes: Some(Statistics::of(1000)),
            failed: two(0, 1, 1),
        };
        assert_eq!(calls.take(), expected);
    }

    #[test]
    fn what_was_asked_for_is_not_told_again() {
        let calls = Calls::default();
        calls.note_offer(1);
        assert_ne!(calls.take(), Figures::default());
        assert_eq!(calls.take(), Figures::default());
    }

    proptest! {
        /// The slow definition: those of all values at once, wherever they are parted.
        #[test]
        fn together_they_are_those_of_all_values(values in prop::collection::vec(0u64..1000, 1..20), at in 0usize..20) {
            let of = |values: &[u64]| values.iter().copied().map(Statistics::of).reduce(Statistics::and);
            let (left, right) = values.split_at(at.min(values.len()));
            let together = match (of(left), of(right)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (one, other) => one.or(other),
            };
            let expected = Statistics {
                count: values.len() as u64,
                sum: values.iter().sum(),
                least: *values.iter().min().unwrap(),
                most: *values.iter().max().unwrap(),
            };
            prop_assert_eq!(together, Some(expected));
        }
    }
}
