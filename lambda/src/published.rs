//! Which rows were published already: the last of them, as far as one environment of the function remembers. Pure.
//!
//! Does not know what a row says. What is remembered of an id is its checksum of 64 bits: that a new row is taken for one
//! of those remembered has a chance of less than one in 10^14. A row that comes back after more than [`REMEMBERED`]
//! others, or to another environment, is not recognised.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many ids are remembered: the rows of more than 160 calls of 400 rows, in 3 MB.
pub const REMEMBERED: usize = 65_536;

/// The ids of the rows that were published last.
#[derive(Debug, Default)]
pub struct Published {
    order: VecDeque<u64>,
    known: BTreeSet<u64>,
}

impl Published {
    /// Whether the row with this id is remembered.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.known.contains(&checksum(id))
    }

    /// Remembers a row, and forgets the one that was published first if there are too many.
    pub fn note(&mut self, id: &str) {
        let checksum = checksum(id);
        if !self.known.insert(checksum) {
            return;
        }
        self.order.push_back(checksum);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn checksum(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// Of ids from 0 on, which are remembered.
    #[track_caller]
    fn check(noted: usize, remembered: std::ops::Range<usize>) {
        let mut published = Published::default();
        (0..noted).for_each(|number| published.note(&number.to_string()));
        for number in [0, remembered.start.saturating_sub(1), remembered.start, noted - 1, noted] {
            assert_eq!(published.holds(&number.to_string()), remembered.contains(&number), "{number}");
        }
        assert_eq!((published.order.len(), published.known.len()), (remembered.len(), remembered.len()));
    }

    #[test]
    fn the_last_ids_are_remembered() {
        check(1, 0..1);
        check(REMEMBERED, 0..REMEMBERED);
        check(REMEMBERED + 10, 10..REMEMBERED + 10);
    }

    proptest! {
        #[test]
        fn what_was_noted_is_held_and_nothing_else(ids in prop::collection::vec("[a-c]{0,3}", 0..20), id in "[a-c]{0,3}") {
            let mut published = Published::default();
            ids.iter().for_each(|id| published.note(id));
            prop_assert_eq!(published.holds(&id), ids.contains(&id));
        }
    }
}
