//! How long to wait before a record is offered again. Pure: the random number is an argument.
//!
//! The ceiling grows from the first wait to the longest and never falls; the wait is uniform between nothing and
//! the ceiling, so that a thousand agents that were refused together do not come back together.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first and the longest wait between two attempts. There is no last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    first: Duration,
    longest: Duration,
}

/// Why two waits do not make sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first wait ({first:?}) must not be longer than the longest ({longest:?})")]
pub struct WaitsError {
    first: Duration,
    longest: Duration,
}

impl Waits {
    /// The waits of the Java agent: from 100 ms to 10 s.
    pub const DEFAULT: Waits = Waits { first: Duration::from_millis(100), longest: Duration::from_secs(10) };

    /// The shortest there is of a longest wait: without any, a stream that is away would be asked without a pause.
    const FLOOR: Duration = Duration::from_millis(10);

    /// Waits from `first` to `longest`, which is at least 10 ms.
    ///
    /// # Errors
    /// If `first` is longer than `longest`.
    pub fn new(first: Duration, longest: Duration) -> Result<Waits, WaitsError> {
        if first > longest {
            return Err(WaitsError { first, longest });
        }
        Ok(Waits { first, longest: longest.max(Waits::FLOOR) })
    }

    /// The longest wait.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The ceilings of the waits before the second attempt, the third, and so on without end.
    #[must_use]
    pub fn ceilings(&self) -> Ceilings {
        let growing = ExponentialBuilder::new()
            .with_min_delay(self.first.max(Duration::from_millis(1)))
            .with_max_delay(self.longest)
            .without_max_times()
            .build();
        Ceilings { growing, longest: self.longest }
    }
}

/// The endless row of ceilings.
#[derive(Debug)]
pub struct Ceilings {
    growing: ExponentialBackoff,
    longest: Duration,
}

impl Ceilings {
    /// The wait before the next attempt: the share `chance` (0 to 1) of the next ceiling.
    pub fn wait(&mut self, chance: f64) -> Duration {
        let ceiling = self.growing.next().unwrap_or(self.longest).min(self.longest);
        ceiling.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No wait passes the longest, and the ceiling never falls, however often the stream refuses.
        #[test]
        fn ceilings_never_fall_and_never_pass_the_longest(first in 0u64..5_000, more in 0u64..60_000, attempts in 1usize..200) {
            let waits = Waits::new(Duration::from_millis(first), Duration::from_millis(first + more)).unwrap();
            let mut ceilings = waits.ceilings();
            let mut before = Duration::ZERO;
            for _ in 0..attempts {
                let ceiling = ceilings.wait(1.0);
                prop_assert!(ceiling >= before && ceiling <= waits.longest());
                before = ceiling;
            }
        }

        /// Chance only shortens a wait.
        #[test]
        fn a_wait_lies_under_its_ceiling(chance in 0.0f64..=1.0) {
            prop_assert!(Waits::DEFAULT.ceilings().wait(chance) <= Waits::DEFAULT.ceilings().wait(1.0));
        }
    }

    #[test]
    fn waits_of_nothing_still_grow_to_a_pause() {
        let mut ceilings = Waits::new(Duration::ZERO, Duration::ZERO).unwrap().ceilings();
        let waits: Vec<Duration> = (0..20).map(|_| ceilings.wait(1.0)).collect();
        assert_eq!(waits.last(), Some(&Duration::from_millis(10)));
    }

    #[test]
    fn the_first_wait_is_the_configured_one() {
        assert_eq!(Waits::DEFAULT.ceilings().wait(1.0), Duration::from_millis(100));
    }

    #[test]
    fn a_first_wait_beyond_the_longest_is_refused() {
        assert!(Waits::new(Duration::from_secs(2), Duration::from_secs(1)).is_err());
    }
}
