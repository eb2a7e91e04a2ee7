//! How many of the records that wait make the next batch. Pure.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>: a batch is given to the function when
//! it has `BatchSize` records, when its payload reaches 6 MB, or when its first record has waited as long as the
//! batching window.

/// What bounds a batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records at the most; at least 1.
    pub records: usize,
    /// Bytes of their JSON at the most, one comma for each counted.
    pub bytes: usize,
}

/// A run of records from the front of those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub records: usize,
    /// Whether there is no room for one more.
    pub is_full: bool,
}

/// The longest run within the limits, given the sizes of the records that wait and may be in one batch. One record
/// that is too large by itself is a run: nothing else would ever move it.
#[must_use]
pub fn longest(sizes: impl IntoIterator<Item = usize>, limits: Limits) -> Run {
    let mut records = 0;
    let mut bytes = 0;
    for size in sizes {
        bytes += size + 1;
        if records > 0 && (records >= limits.records || bytes > limits.bytes) {
            return Run { records, is_full: true };
        }
        records += 1;
    }
    Run { records, is_full: records >= limits.records || bytes >= limits.bytes }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(sizes: &[usize], records: usize, bytes: usize, expected: (usize, bool)) {
        let run = longest(sizes.iter().copied(), Limits { records, bytes });
        assert_eq!((run.records, run.is_full), expected);
    }

    #[test]
    fn a_batch_is_full_by_records_or_by_bytes() {
        check(&[], 3, 100, (0, false));
        check(&[9, 9], 3, 100, (2, false));
        check(&[9, 9, 9], 3, 100, (3, true));
        check(&[9, 9, 9, 9], 3, 100, (3, true));
        check(&[9, 9, 9], 100, 20, (2, true));
        check(&[9, 9, 9], 100, 29, (2, true));
    }

    #[test]
    fn a_record_that_is_too_large_goes_alone() {
        check(&[500, 1], 100, 20, (1, true));
        check(&[1, 500], 100, 20, (1, true));
    }

    proptest! {
        /// The definition: of all prefixes that keep the limits, the longest; but never nothing if there is something.
        #[test]
        fn it_is_the_longest_that_fits(sizes in vec(0_usize..50, 0..20), records in 1_usize..10, bytes in 1_usize..200) {
            let fits = |count: &usize| {
                *count <= records && sizes[..*count].iter().map(|size| size + 1).sum::<usize>() <= bytes
            };
            let expected = (0..=sizes.len()).filter(fits).max().unwrap().max(usize::from(!sizes.is_empty()));
            let run = longest(sizes.iter().copied(), Limits { records, bytes });
            prop_assert_eq!(run.records, expected);
            prop_assert!(run.is_full || expected == sizes.len());
        }
    }
}
