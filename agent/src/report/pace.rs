//! How fast a flow reads, and when it will have caught up. Pure: time is an argument.
//!
//! Both are of the last minute, so that neither a burst nor a pause of a second makes a promise.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Over which time speeds are measured.
const WINDOW: Duration = Duration::from_secs(60);

/// The least time that says anything of a speed.
const LEAST: Duration = Duration::from_secs(1);

/// What was seen of a flow at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// Bytes read since the start.
    read: u64,
    /// Bytes not read yet.
    behind: u64,
}

/// What was seen of a flow in the last minute.
#[derive(Debug, Default)]
pub struct Samples(VecDeque<Sample>);

/// How fast a flow is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Bytes read in a second.
    pub bytes_per_second: u64,
    /// How long it takes until everything is read; nothing if what is unread does not become less.
    pub left: Option<Duration>,
}

impl Samples {
    /// Notes how many bytes were read and how many are not, and forgets what is older than the window.
    pub fn note(&mut self, at: Instant, read: u64, behind: u64) {
        self.0.push_back(Sample { at, read, behind });
        // The last one that is as old as the window stays: it is the window's other end.
        while self.0.get(1).is_some_and(|second| at.saturating_duration_since(second.at) >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// How fast the flow was in the window.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return Pace::default() };
        let millis = last.at.saturating_duration_since(first.at).as_millis();
        if millis < LEAST.as_millis() {
            return Pace::default();
        }
        let read = u128::from(last.read.saturating_sub(first.read));
        let per_second = u64::try_from(read * 1000 / millis).unwrap_or(u64::MAX);
        let less = u128::from(first.behind.saturating_sub(last.behind));
        let left = match (last.behind, less) {
            (0, _) => Some(Duration::ZERO),
            (_, 0) => None,
            (behind, less) => {
                let left = (u128::from(behind) * millis).div_ceil(less);
                Some(Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX)))
            }
        };
        Pace { bytes_per_second: per_second, left }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pace after samples of second, bytes read and bytes behind.
    #[track_caller]
    fn check(samples: &[(u64, u64, u64)], bytes_per_second: u64, left: Option<u64>) {
        assert_eq!(pace(samples), Pace { bytes_per_second, left: left.map(Duration::from_secs) });
    }

    fn pace(samples: &[(u64, u64, u64)]) -> Pace {
        let start = Instant::now();
        let mut noted = Samples::default();
        for (second, read, behind) in samples {
            noted.note(start + Duration::from_secs(*second), *read, *behind);
        }
        noted.pace()
    }

    #[test]
    fn what_is_behind_becomes_less_by_so_much_and_takes_so_long() {
        check(&[(0, 0, 1000), (10, 600, 600)], 60, Some(15));
    }

    #[test]
    fn a_moment_says_nothing() {
        check(&[], 0, None);
        check(&[(0, 5, 5)], 0, None);
    }

    #[test]
    fn what_grows_or_stands_has_no_end() {
        check(&[(0, 0, 10), (10, 100, 10)], 10, None);
        check(&[(0, 0, 10), (10, 100, 20)], 10, None);
    }

    #[test]
    fn nothing_behind_takes_no_time() {
        check(&[(0, 0, 0), (10, 0, 0)], 0, Some(0));
    }

    #[test]
    fn only_the_last_minute_counts() {
        check(&[(0, 0, 9000), (100, 9000, 900), (130, 9000, 900), (160, 9600, 300)], 10, Some(30));
    }

    proptest! {
        /// The slow definition: from all samples, the last that is as old as the window, or else the first.
        #[test]
        fn the_window_is_the_last_minute(steps in proptest::collection::vec((0u64..40, 0u64..1000, 0u64..5000), 1..50)) {
            let mut samples = Vec::new();
            let (mut second, mut read) = (0, 0);
            for (seconds, bytes, behind) in steps {
                (second, read) = (second + seconds, read + bytes);
                samples.push((second, read, behind));
            }
            let (end, total, behind) = *samples.last().unwrap();
            let is_old = |sample: &&(u64, u64, u64)| end - sample.0 >= 60;
            let (start, before, was_behind) = *samples.iter().rfind(is_old).unwrap_or(&samples[0]);
            let expected = match end - start {
                0 => Pace::default(),
                seconds => {
                    let less = was_behind.saturating_sub(behind);
                    let left = match (behind, less) {
                        (0, _) => Some(0),
                        (_, 0) => None,
                        _ => Some((behind * seconds * 1000).div_ceil(less)),
                    };
                    Pace { bytes_per_second: (total - before) / seconds, left: left.map(Duration::from_millis) }
                }
            };
            prop_assert_eq!(pace(&samples), expected);
        }
    }
}
