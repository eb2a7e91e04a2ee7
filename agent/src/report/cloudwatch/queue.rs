//! Data that CloudWatch has not taken yet. Pure.
//!
//! Bounded: what finds no room pushes out what has waited longest, which is counted.

use std::collections::VecDeque;

use super::datum::Datum;

/// How many data one request may hold. With 128 letters of a stream's name each has less than 600 bytes, so that the
/// other limit, 1 MB, is far. Source:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>.
pub(super) const REQUEST_DATA: usize = 1_000;

/// Data that wait, the oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Datum>,
    most: usize,
}

impl Queue {
    /// An empty one that holds up to `most`.
    pub(super) fn new(most: usize) -> Queue {
        Queue { waiting: VecDeque::new(), most }
    }

    /// Puts `data` at the end; gives how many were left out to keep the bound.
    pub(super) fn push(&mut self, data: Vec<Datum>) -> usize {
        self.waiting.extend(data);
        let surplus = self.waiting.len().saturating_sub(self.most);
        self.waiting.drain(..surplus);
        surplus
    }

    /// What the next request holds. It stays until [`Queue::settle`].
    pub(super) fn front(&self) -> impl ExactSizeIterator<Item = &Datum> {
        self.waiting.range(..self.waiting.len().min(REQUEST_DATA))
    }

    /// Takes out what the last request held, so many data.
    pub(super) fn settle(&mut self, data: usize) {
        self.waiting.drain(..data.min(self.waiting.len()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::cloudwatch::datum::Name;
    use crate::report::cloudwatch::datum::tests::datum;

    fn numbered(number: u64) -> Datum {
        datum(Name::RecordsSent, "s", number)
    }

    #[test]
    fn a_request_holds_no_more_than_the_service_takes() {
        let mut queue = Queue::new(5_000);
        assert_eq!(queue.push((0..2_500).map(numbered).collect()), 0);
        let mut sizes = Vec::new();
        while queue.front().len() > 0 {
            let size = queue.front().len();
            sizes.push(size);
            queue.settle(size);
        }
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }

    proptest! {
        /// The slow definition: of everything pushed and not settled the last so many are there, in their order.
        #[test]
        fn the_newest_stay_in_order_and_the_others_are_counted(
            most in 0usize..12,
            steps in prop::collection::vec((0usize..8, 0usize..4), 1..12),
        ) {
            let mut queue = Queue::new(most);
            let (mut all, mut next) = (Vec::new(), 0);
            for (pushed, settled) in steps {
                let data: Vec<Datum> = (next..next + pushed as u64).map(numbered).collect();
                next += pushed as u64;
                all.extend(data.clone());
                let surplus = all.len().saturating_sub(most);
                all.drain(..surplus);
                prop_assert_eq!(queue.push(data), surplus);
                prop_assert!(queue.front().eq(all.iter()));
                queue.settle(settled);
                all.drain(..settled.min(all.len()));
            }
        }
    }
}
