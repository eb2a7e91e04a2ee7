//! How long a call of the function may ask a service again, and how long it waits in between.
//!
//! Does not know what is asked for. No attempt begins when the time is over, and some of the time is kept back, so that
//! the reply can still say how far the call has come: without a reply the service repeats all of it.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// The moment at which a call of the function must be ready to reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// What is kept back of the time of a call: to set aside what could not be read, and to reply.
const KEPT_BACK: Duration = Duration::from_secs(2);

/// The ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(100);

/// The ceiling that no wait passes: calls have seconds and not hours.
const LONGEST: Duration = Duration::from_secs(2);

impl Deadline {
    /// The deadline of a call that the service ends at `end`, in milliseconds since the epoch, when it is `now`.
    #[must_use]
    pub fn before(end: u64, now: SystemTime) -> Deadline {
        Deadline(Instant::now() + time_left(end, now))
    }

    /// The deadline itself, or `after` from now if that is sooner.
    #[must_use]
    pub fn at_most(self, after: Duration) -> Deadline {
        Deadline(self.0.min(Instant::now() + after))
    }

    /// The moment.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// How long it is until then.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// What of the time until `end` can be used.
fn time_left(end: u64, now: SystemTime) -> Duration {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(end);
    end.duration_since(now).unwrap_or(Duration::ZERO).saturating_sub(KEPT_BACK)
}

/// The waits between the attempts of one call.
///
/// Their ceiling grows and never falls. A wait is uniform between nothing and its ceiling, so that the functions of
/// many shards, whose windows end together, do not come back together.
#[derive(Debug)]
pub struct Patience {
    deadline: Deadline,
    ceilings: ExponentialBackoff,
}

impl Patience {
    /// The waits of a call that must be ready by `deadline`.
    #[must_use]
    pub fn until(deadline: Deadline) -> Patience {
        let ceilings =
            ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LONGEST).without_max_times();
        Patience { deadline, ceilings: ceilings.build() }
    }

    /// Waits. Says whether there is time for another attempt.
    pub async fn pause(&mut self) -> Pause {
        match self.wait(fastrand::f64(), self.deadline.left()) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                Pause::Over
            }
            None => Pause::OutOfTime,
        }
    }

    /// The wait before the next attempt: the share `chance` (0 to 1) of the next ceiling, if that is less than what is
    /// `left` of the time.
    fn wait(&mut self, chance: f64, left: Duration) -> Option<Duration> {
        let ceiling = self.ceilings.next().unwrap_or(LONGEST).min(LONGEST);
        Some(ceiling.mul_f64(chance.clamp(0.0, 1.0))).filter(|wait| *wait < left)
    }
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The next attempt may begin.
    Over,
    /// There is no time for another attempt.
    OutOfTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::*;

    fn patience() -> Patience {
        Patience::until(Deadline(Instant::now()))
    }

    proptest! {
        /// However often the service refuses, and whatever chance says.
        #[test]
        fn ceilings_never_fall_and_no_wait_passes_them(chances in vec(0.0_f64..=1.0, 1..40)) {
            let (mut ceilings, mut waits) = (patience(), patience());
            let mut before = Duration::ZERO;
            for chance in chances {
                let ceiling = ceilings.wait(1.0, Duration::MAX).unwrap();
                prop_assert!(ceiling >= before && ceiling <= LONGEST);
                prop_assert!(waits.wait(chance, Duration::MAX).unwrap() <= ceiling);
                before = ceiling;
            }
        }

        #[test]
        fn no_wait_reaches_the_end_of_the_time(chances in vec(0.0_f64..=1.0, 1..40), left in 0_u64..3_000) {
            let mut patience = patience();
            let left = Duration::from_millis(left);
            for chance in chances {
                prop_assert!(patience.wait(chance, left).is_none_or(|wait| wait < left));
            }
        }
    }

    #[test]
    fn the_first_wait_is_short() {
        assert_eq!(patience().wait(1.0, Duration::MAX), Some(FIRST));
    }

    /// The time that a call can use, of `total` milliseconds.
    #[track_caller]
    fn check(total: u64, expected: u64) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(5_000);
        assert_eq!(time_left(5_000 + total, now), Duration::from_millis(expected));
    }

    #[test]
    fn two_seconds_are_kept_back() {
        check(10_000, 8_000);
        check(2_001, 1);
    }

    #[test]
    fn a_call_with_less_than_that_has_no_time_to_wait() {
        check(2_000, 0);
        check(0, 0);
        assert_eq!(time_left(4_000, SystemTime::UNIX_EPOCH + Duration::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn patience_goes_on_until_the_time_is_over() {
        let (mut patience, mut left) = (patience(), Duration::from_secs(8));
        while let Some(wait) = patience.wait(1.0, left) {
            left -= wait;
        }
        assert!(left <= LONGEST, "gave up {left:?} before the end");
    }
}
