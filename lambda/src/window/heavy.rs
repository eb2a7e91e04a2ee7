//! The sources with the most requests, of any number of sources, in a fixed number of counters. Pure.
//!
//! This is the Space-Saving algorithm of Metwally, Agrawal and El Abbadi ("Efficient Computation of Frequent and Top-k
//! Elements in Data Streams", 2005): a source without a counter takes the least one over, with its count, which is from
//! then on the error of its own. So a count is never too low, and too high by its error at most; and of N requests the
//! least of k counters cannot have more than N/k. Summaries can be merged, as in Cafaro, Tempesta and Pulimeno
//! ("Parallel Space Saving on Multi- and Many-Core Processors", 2016).
//!
//! Does not know what a source is. Whatever it is called, its name takes a bounded number of bytes in a state.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::counts::{LARGEST, add};

/// The counters of a window. Of N requests each source that has more than N/1,024 is among them.
pub(super) const COUNTERS: usize = 1024;

/// The most bytes of a source's name that are kept.
pub(super) const SOURCE_BYTES: usize = 255;

/// What a counter takes in a state, at most: its name, two numbers and what separates them, as `["…",…,…],`.
pub(super) const COUNTER_BYTES: usize = SOURCE_BYTES + 2 * 16 + 7;

/// How often a source was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name: printable ASCII of at most 255 characters, without those that JSON escapes.
    pub source: Arc<str>,
    /// How often, or more.
    pub count: u64,
    /// How much too high the count may be.
    pub error: u64,
}

/// The sources with the most requests.
#[derive(Clone, Debug)]
pub struct HeavyHitters {
    room: usize,
    counters: Vec<Counter>,
    /// Which counter each source has.
    places: BTreeMap<Arc<str>, usize>,
    /// Each counter once, by a count that it had: the least one is brought up to date when it comes to the top, so that
    /// a source that has its counter costs nothing here.
    order: BinaryHeap<Reverse<(u64, usize)>>,
}

impl HeavyHitters {
    /// No request yet, and `room` counters.
    #[must_use]
    pub fn new(room: usize) -> HeavyHitters {
        HeavyHitters { room, counters: vec![], places: BTreeMap::new(), order: BinaryHeap::new() }
    }

    /// The counters as they were kept, unless they cannot have been written by this module.
    pub(super) fn restore(room: usize, counters: Vec<Counter>) -> Option<HeavyHitters> {
        let count = counters.len();
        let is_own = |counter: &Counter| {
            counter.error < counter.count
                && counter.count <= LARGEST
                && matches!(clean(&counter.source), Cow::Borrowed(_))
        };
        let summary = counters.into_iter().fold(HeavyHitters::new(room), |mut summary, counter| {
            if is_own(&counter) {
                summary.push(counter);
            }
            summary
        });
        (count <= room && summary.places.len() == count).then_some(summary)
    }

    /// Counts a request of a source.
    pub fn note(&mut self, source: &str) {
        let source = clean(source);
        if let Some(counter) = self.places.get(&*source).and_then(|place| self.counters.get_mut(*place)) {
            counter.count = add(counter.count, 1);
        } else if self.counters.len() < self.room {
            self.push(Counter { source: Arc::from(source), count: 1, error: 0 });
        } else {
            self.take_over(Arc::from(source));
        }
    }

    /// The counters, in no order.
    #[must_use]
    pub fn counters(&self) -> &[Counter] {
        &self.counters
    }

    /// The counters with the highest counts, highest first, at most `most` of them.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<&Counter> {
        let mut counters: Vec<&Counter> = self.counters.iter().collect();
        counters.sort_unstable_by_key(|counter| (Reverse(counter.count), &counter.source));
        counters.truncate(most);
        counters
    }

    /// The largest error that a counter may have, and the most requests that a source without a counter may have.
    #[must_use]
    pub fn floor(&self) -> u64 {
        if self.counters.len() < self.room {
            return 0;
        }
        self.counters.iter().map(|counter| counter.count).min().unwrap_or(0)
    }

    /// Adds the requests of another summary: a source that one of them has no counter for may have had as many requests
    /// there as its floor says. That adds at most N/k to the errors each time that merged summaries are merged.
    pub fn merge(&mut self, other: &HeavyHitters) {
        let (floor, other_floor) = (self.floor(), other.floor());
        let mut sums: BTreeMap<Arc<str>, Counter> = BTreeMap::new();
        for counter in self.counters.drain(..) {
            let Counter { source, count, error } = counter;
            let sum = match other.counter(&source) {
                Some(other) => {
                    Counter { source, count: add(count, other.count), error: add(error, other.error) }
                }
                None => Counter { source, count: add(count, other_floor), error: add(error, other_floor) },
            };
            sums.insert(Arc::clone(&sum.source), sum);
        }
        for Counter { source, count, error } in &other.counters {
            sums.entry(Arc::clone(source)).or_insert_with(|| Counter {
                source: Arc::clone(source),
                count: add(*count, floor),
                error: add(*error, floor),
            });
        }
        let mut sums: Vec<Counter> = sums.into_values().collect();
        sums.sort_by_key(|counter| Reverse(counter.count));
        sums.truncate(self.room);
        *self = sums.into_iter().fold(HeavyHitters::new(self.room), |mut summary, counter| {
            summary.push(counter);
            summary
        });
    }

    fn counter(&self, source: &str) -> Option<&Counter> {
        self.places.get(source).and_then(|place| self.counters.get(*place))
    }

    fn push(&mut self, counter: Counter) {
        let place = self.counters.len();
        self.places.insert(Arc::clone(&counter.source), place);
        self.order.push(Reverse((counter.count, place)));
        self.counters.push(counter);
    }

    /// Gives the least counter to a source that has none.
    fn take_over(&mut self, source: Arc<str>) {
        while let Some(mut top) = self.order.peek_mut() {
            let Reverse((count, place)) = &mut *top;
            let Some(counter) = self.counters.get_mut(*place) else { return };
            if *count == counter.count {
                self.places.remove(&counter.source);
                self.places.insert(Arc::clone(&source), *place);
                *counter = Counter { source, count: add(counter.count, 1), error: counter.count };
                return;
            }
            *count = counter.count;
        }
    }
}

/// A name of bounded length, also as a text of JSON.
fn clean(source: &str) -> Cow<'_, str> {
    let is_clean = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if source.len() <= SOURCE_BYTES && source.bytes().all(is_clean) {
        return Cow::Borrowed(source);
    }
    let clean = |char: char| u8::try_from(char).ok().filter(|byte| is_clean(*byte)).map_or('?', char::from);
    Cow::Owned(source.chars().take(SOURCE_BYTES).map(clean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::Index;

    const ROOM: usize = 8;

    /// Requests of which few sources have many, and more sources than there is room for.
    fn requests() -> impl Strategy<Value = Vec<u32>> {
        vec((0_u32..7, 0_u32..7).prop_map(|(one, other)| one * other), 0..300)
    }

    fn summary(requests: &[u32]) -> HeavyHitters {
        let mut summary = HeavyHitters::new(ROOM);
        for source in requests {
            summary.note(&source.to_string());
        }
        summary
    }

    /// What a summary says must hold for the requests that it was made of.
    #[track_caller]
    fn check(summary: &HeavyHitters, requests: &[u32]) {
        let mut exact: BTreeMap<String, u64> = BTreeMap::new();
        for source in requests {
            *exact.entry(source.to_string()).or_default() += 1;
        }
        assert!(summary.counters().len() <= ROOM);
        for Counter { source, count, error } in summary.counters() {
            let exact = exact.remove(&**source).unwrap_or(0);
            assert!(count - error <= exact && exact <= *count, "{source}: {exact}, not {count} - {error}");
            assert!(*error <= summary.floor(), "{source}: {error}");
        }
        for (source, exact) in exact {
            assert!(exact <= summary.floor(), "{source} is missing with {exact}");
        }
    }

    proptest! {
        #[test]
        fn of_any_requests_the_frequent_sources_are_counted_within_the_error(requests in requests()) {
            let summary = summary(&requests);
            check(&summary, &requests);
            prop_assert!(summary.floor() <= (requests.len() / ROOM) as u64);
            let sum: u64 = summary.counters().iter().map(|counter| counter.count).sum();
            prop_assert_eq!(sum, requests.len() as u64);
        }

        #[test]
        fn summaries_can_be_merged_in_any_order(
            parts in vec(requests(), 1..6),
            picks in vec((any::<Index>(), any::<Index>()), 6),
        ) {
            // A summary, the requests of it, and how often merged ones were merged for it.
            let mut parts: Vec<(HeavyHitters, Vec<u32>, usize)> =
                parts.into_iter().map(|requests| (summary(&requests), requests, 0)).collect();
            for (one, other) in picks.iter().take(parts.len() - 1) {
                let (other, others, other_depth) = parts.swap_remove(other.index(parts.len()));
                let one = one.index(parts.len());
                let (one, requests, depth) = &mut parts[one];
                one.merge(&other);
                requests.extend(others);
                *depth = 1 + other_depth.max(*depth);
                check(one, requests);
                prop_assert!(one.floor() <= ((*depth + 1) * requests.len() / ROOM) as u64);
            }
        }

        #[test]
        fn a_merged_summary_goes_on_counting(parts in (requests(), requests()), then in requests()) {
            let mut merged = summary(&parts.0);
            merged.merge(&summary(&parts.1));
            for source in &then {
                merged.note(&source.to_string());
            }
            check(&merged, &[parts.0, parts.1, then].concat());
        }

        #[test]
        fn it_goes_on_from_its_counters_as_if_nothing_had_been(requests in requests(), then in requests()) {
            let mut whole = summary(&requests);
            let mut restored = HeavyHitters::restore(ROOM, whole.counters().to_vec()).unwrap();
            for source in &then {
                whole.note(&source.to_string());
                restored.note(&source.to_string());
            }
            prop_assert_eq!(whole.counters(), restored.counters());
        }

        #[test]
        fn no_name_takes_more_than_its_bytes_in_a_state(source in any::<String>(), times in 1_usize..300) {
            let name = clean(&source.repeat(times)).into_owned();
            prop_assert!(serde_json::to_string(&name).unwrap().len() <= SOURCE_BYTES + 2);
            prop_assert_eq!(&*clean(&name), &name);
        }
    }

    #[test]
    fn names_that_print_stay_and_others_are_made_to() {
        for (source, name) in
            [("2001:db8::1", "2001:db8::1"), ("a b~", "a b~"), ("", ""), ("\"\\\n\u{7f}é🦀", "??????")]
        {
            assert_eq!(clean(source), name);
        }
        assert_eq!(clean(&"é".repeat(300)), "?".repeat(255));
        assert_eq!(clean(&"a".repeat(256)), "a".repeat(255));
    }

    #[test]
    fn the_top_is_sorted_by_count_and_then_by_name() {
        let summary = summary(&[3, 1, 2, 2, 3, 4]);
        let top: Vec<_> = summary.top(3).iter().map(|counter| (&*counter.source, counter.count)).collect();
        assert_eq!(top, [("2", 2), ("3", 2), ("1", 1)]);
    }

    #[test]
    fn counters_of_another_make_are_refused() {
        let counter = |source: &str, count, error| Counter { source: source.into(), count, error };
        let restore = |counters: &[Counter]| HeavyHitters::restore(2, counters.to_vec()).is_some();
        assert!(restore(&[counter("a", 2, 1), counter("b", 1, 0)]));
        assert!(!restore(&[counter("a", 2, 1), counter("a", 1, 0)]));
        assert!(!restore(&[counter("a", 2, 2)]));
        assert!(!restore(&[counter("é", 2, 1)]));
        assert!(!restore(&[counter("a", LARGEST + 1, 1)]));
        assert!(!restore(&[counter("a", 1, 0), counter("b", 1, 0), counter("c", 1, 0)]));
    }
}
