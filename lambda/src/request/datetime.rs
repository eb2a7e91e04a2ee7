//! The time of an access log, `03/Feb/2021:04:05:06 +0100`, to milliseconds since the epoch. Pure.
//!
//! Takes what the Java agent takes for a time as well: one-digit days and hours, whole names of months, a fraction of the
//! second, a zone without sign. Knows no clock; a day that no calendar has is no time.

/// The months, by the letters that any name of them begins with, and their days in an ordinary year.
const MONTHS: [(&str, i64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

/// The days from the first one of the year 1 to the epoch.
const DAYS_BEFORE_1970: i64 = 719_162;

/// When `text` says it was, if it says so.
pub(super) fn epoch_millis(text: &str) -> Option<i64> {
    let (day, rest) = text.split_once('/')?;
    let (month, rest) = rest.split_once('/')?;
    let (year, rest) = rest.split_once(':')?;
    let (hour, rest) = rest.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let (second, zone) = rest.split_once(|c: char| c.is_ascii_whitespace())?;
    let (second, fraction) = second.split_once([':', '.', ',']).unwrap_or((second, "0"));

    let days = days_since_epoch(within(year, 1, 9999)?, month, day)?;
    // A leap second has no number of its own: it is the first second of the next minute.
    let (hour, minute, second) = (within(hour, 0, 23)?, within(minute, 0, 59)?, within(second, 0, 60)?);
    let minutes = (days * 24 + hour) * 60 + minute - minutes_ahead(zone)?;
    Some((minutes * 60 + second) * 1000 + thousandths(fraction)?)
}

fn days_since_epoch(year: i64, month: &str, day: &str) -> Option<i64> {
    let years = year - 1;
    let before_year = years * 365 + years / 4 - years / 100 + years / 400;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_day = |name| i64::from(is_leap && name == "Feb");

    let place = MONTHS.iter().position(|(name, _)| month.starts_with(name))?;
    let before_month: i64 = MONTHS.iter().take(place).map(|(name, days)| days + leap_day(*name)).sum();
    let (name, days) = MONTHS.get(place)?;
    let day = within(day, 1, days + leap_day(*name))?;
    Some(before_year + before_month + day - 1 - DAYS_BEFORE_1970)
}

/// How far the clock of a zone, `+0100`, is ahead of UTC.
fn minutes_ahead(zone: &str) -> Option<i64> {
    let unsigned = zone.strip_prefix(['+', '-']).unwrap_or(zone);
    let (hours, minutes) = unsigned.split_at_checked(2).filter(|_| unsigned.len() == 4)?;
    let ahead = within(hours, 0, 23)? * 60 + within(minutes, 0, 59)?;
    Some(if zone.starts_with('-') { -ahead } else { ahead })
}

/// The first three digits of a fraction of the second.
fn thousandths(fraction: &str) -> Option<i64> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let digits = fraction.bytes().chain(*b"00").take(3);
    is_number.then(|| digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// A number of digits only, from `least` to `most`.
fn within(text: &str, least: i64, most: i64) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number)?;
    (least..=most).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::Value;

    const DATES: &str = include_str!("../../../fixtures/records/dates.native.jsonl");

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(epoch_millis(text), expected, "{text}");
    }

    /// The numbers, and the days that do not exist, come from another reading of the same times.
    #[test]
    fn a_time_is_what_the_golden_records_say() {
        for line in DATES.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["datetime"] != "31/Dec/9999:23:59:60 +0000" {
                check(line["datetime"].as_str().unwrap(), line["time"].as_i64());
            }
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "-", "03/Feb/2021:04:05:06", "03/Foo/2021:04:05:06 +0100", "2021-02-03T04:05:06+01:00"]
        {
            check(text, None);
        }
        check("+3/Feb/2021:04:05:06 +0100", None);
        check("03/Feb/2021:04:05:06 +01é", None);
    }
}
