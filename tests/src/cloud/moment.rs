//! A moment of the wall clock in milliseconds, as the services count and write it.
//!
//! Pure but for [`Moment::now`]. Does not know time zones: everything local and everything at AWS is UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

impl Moment {
    /// What the clock says.
    #[must_use]
    pub fn now() -> Moment {
        Moment::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// The first moment there is.
    pub const EPOCH: Moment = Moment(0);

    /// The moment so many milliseconds after the epoch.
    #[must_use]
    pub fn from_millis(millis: u64) -> Moment {
        Moment(millis)
    }

    /// The milliseconds since the epoch.
    #[must_use]
    pub fn to_millis(self) -> u64 {
        self.0
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(millis(span)))
    }

    /// So much earlier, but not before the epoch.
    #[must_use]
    pub fn minus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(millis(span)))
    }

    /// How long after `earlier` it is; nothing if it is before that.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The last multiple of `step` since the epoch that is not behind it.
    #[must_use]
    pub fn floor(self, step: Duration) -> Moment {
        Moment(self.0 - self.0 % millis(step).max(1))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `2026-11-22T10:05:00Z`, with milliseconds where there are some.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut days = self.0 / DAY_MILLIS;
        let mut year = 1970;
        while days >= 365 + u64::from(is_leap(year)) {
            days -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let mut month = 1;
        while days >= days_of_month(year, month) {
            days -= days_of_month(year, month);
            month += 1;
        }
        let millis = self.0 % DAY_MILLIS;
        let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
        write!(f, "{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}", days + 1)?;
        match millis % 1000 {
            0 => write!(f, "Z"),
            fraction => write!(f, ".{fraction:03}Z"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: u64, expected: &str) {
        assert_eq!(Moment::from_millis(seconds * 1000).to_string(), expected);
    }

    /// The expectations are those of `date -u -d @SECONDS`.
    #[test]
    fn a_moment_is_written_as_the_service_does() {
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_607_497_440, "2020-12-09T07:04:00Z");
        check(1_798_761_599, "2026-12-31T23:59:59Z");
        check(1_798_761_600, "2027-01-01T00:00:00Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        assert_eq!(Moment::from_millis(1).to_string(), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn a_window_begins_at_a_multiple_of_its_length() {
        let five_minutes = Duration::from_secs(300);
        let moment = Moment::from_millis(1_607_497_475_123);
        assert_eq!(moment.floor(five_minutes).to_string(), "2020-12-09T07:00:00Z");
        assert_eq!(moment.floor(five_minutes).floor(five_minutes), moment.floor(five_minutes));
    }
}
