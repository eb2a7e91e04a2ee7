//! A time of this host's clock as the records write it. Knows no clock: times since 1970 come in.

use std::io::Write;
use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;

/// Appends the time as `2021-02-03T04:05:06`, in UTC.
pub(super) fn write_seconds(since_1970: Duration, out: &mut Vec<u8>) {
    let seconds = since_1970.as_secs();
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
        .expect("memory takes every write");
}

/// Appends the thousandths of its second, as `.789`.
pub(super) fn write_millis(since_1970: Duration, out: &mut Vec<u8>) {
    write!(out, ".{:03}", since_1970.subsec_millis()).expect("memory takes every write");
}

/// Year, month and day so many days after 1970 began.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from a first of March on, so that a leap day is the last day of a year, and from the beginning of a
    // period of 400 years, after which the calendar repeats itself.
    const PERIOD: u64 = 400 * 365 + 97;
    const DAYS_TO_1970: u64 = 719_468;
    let days = days.saturating_add(DAYS_TO_1970);
    let (period, day) = (days / PERIOD, days % PERIOD);
    let year = (day - day / 1460 + day / 36_524 - day / (PERIOD - 1)) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // Months of 31, 30, 31, 30, 31 days, twice and begun once more.
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carried) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (period * 400 + year + carried, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::time::Date;

    fn written(millis: u64) -> String {
        let mut out = Vec::new();
        let time = Duration::from_millis(millis);
        write_seconds(time, &mut out);
        write_millis(time, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(millis: u64, expected: &str) {
        assert_eq!(written(millis), expected);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        check(0, "1970-01-01T00:00:00.000");
        check(951_782_400_000, "2000-02-29T00:00:00.000");
        check(1_612_325_106_789, "2021-02-03T04:05:06.789");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999");
    }

    /// Day after day through the years in which the calendar repeats itself.
    #[test]
    fn each_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=(400 * 365 + 97) {
            assert_eq!(date(days), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == last => (year, month + 1, 1),
                (_, day) => (year, month, day + 1),
            };
        }
    }

    proptest! {
        /// The dates of logs are read by other arithmetic, and it comes to the same time.
        #[test]
        fn what_is_written_is_read_as_the_same_time(millis in 0u64..253_402_300_800_000) {
            const MONTHS: [&str; 12] =
                ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let text = written(millis);
            let parts: Vec<&str> = text.splitn(4, ['-', 'T']).collect();
            let [year, month, day, time] = parts.as_slice() else { unreachable!("{text}") };
            let month = MONTHS[month.parse::<usize>()? - 1];
            let logged = format!("{day}/{month}/{year}:{time} +0000");
            let (date, rest) = Date::read(logged.as_bytes()).unwrap();
            prop_assert_eq!(rest, b"");
            prop_assert_eq!(date.moment().unwrap().epoch_millis(), i64::try_from(millis)?);
        }
    }
}
