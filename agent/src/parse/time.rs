//! Dates as httpd's `%t` writes them, `03/Feb/2021:04:05:06 +0100`, and the odd forms that the Java agent takes as
//! well: one-digit days and hours, long month names, fractions of a second, a zone without sign.
//!
//! Knows no clock: a moment is what the log says, in the log's own zone.

use std::ops::RangeInclusive;

/// A date of the log, which fits the grammar but may not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date<'a> {
    /// 1 to 31, whatever the month.
    day: u8,
    /// 1 to 12.
    month: u8,
    /// One or more digits, the first not 0.
    year: &'a [u8],
    hour: u8,
    minute: u8,
    /// 0 to 60.
    second: u8,
    /// The digits of a fraction of the second; often none.
    fraction: &'a [u8],
    /// Digits that may have a sign.
    zone: &'a [u8],
}

/// A date that exists, in its own zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment<'a> {
    /// 1 to 9999: what the ISO notation can say.
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    /// The digits behind the decimal point.
    fraction: &'a [u8],
    zone: Zone,
}

/// A time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock<'a> {
    pub(super) hour: u8,
    pub(super) minute: u8,
    /// 0 to 60.
    pub(super) second: u8,
    /// The digits of a fraction of the second; often none.
    pub(super) fraction: &'a [u8],
}

/// How far a clock is ahead of UTC, or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// `+` or `-`.
    sign: u8,
    hours: u8,
    minutes: u8,
}

impl<'a> Date<'a> {
    /// The date at the start of `text`, and what follows it.
    pub(super) fn read(text: &'a [u8]) -> Option<(Date<'a>, &'a [u8])> {
        let (day, rest) = small(text, 1..=31)?;
        let (month, rest) = month(rest.strip_prefix(b"/")?)?;
        let (year, rest) = digits(rest.strip_prefix(b"/")?)?;
        let (Clock { hour, minute, second, fraction }, rest) = Clock::read(rest.strip_prefix(b":")?)?;
        let [b' ' | b'\t'..=b'\r', zone @ ..] = rest else { return None };
        let unsigned = if let [b'+' | b'-', unsigned @ ..] = zone { unsigned } else { zone };
        let (_, rest) = digits(unsigned)?;

        let zone = zone.get(..zone.len() - rest.len())?;
        (year.first() != Some(&b'0'))
            .then_some((Date { day, month, year, hour, minute, second, fraction, zone }, rest))
    }

    /// When it is; `None` if there is no such day, zone or year.
    pub(super) fn moment(&self) -> Option<Moment<'a>> {
        let year = number(self.year)?;
        let moment = Moment {
            year,
            month: self.month,
            day: self.day,
            hour: self.hour,
            minute: self.minute,
            second: self.second,
            fraction: self.fraction,
            zone: Zone::read(self.zone)?,
        };
        moment.checked()
    }
}

impl<'a> Moment<'a> {
    /// Year, month and day; hour, minute and second, which may be 60; the digits behind the decimal point; the zone.
    /// `None` if there is no such moment.
    pub(super) fn new(
        (year, month, day): (u16, u8, u8),
        (hour, minute, second): (u8, u8, u8),
        fraction: &'a [u8],
        zone: Zone,
    ) -> Option<Moment<'a>> {
        let exists =
            year > 0 && (1..=12).contains(&month) && day > 0 && hour < 24 && minute < 60 && second <= 60;
        let moment = Moment { year, month, day, hour, minute, second, fraction, zone };
        if exists { moment.checked() } else { None }
    }

    fn checked(self) -> Option<Self> {
        let exists = self.day <= days_in(self.year, self.month);
        // A leap second has no number of its own in Unix time: it counts as the next minute's first.
        let moment = if self.second == 60 { self.next_minute() } else { self };
        (exists && moment.year <= 9999).then_some(moment)
    }

    /// Milliseconds since 1970 in UTC.
    pub(super) fn epoch_millis(&self) -> i64 {
        const DAYS_BEFORE_1970: i64 = 719_162;
        const DAYS_BEFORE_MONTH: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let years = i64::from(self.year) - 1;
        let days_before_year = years * 365 + years / 4 - years / 100 + years / 400;
        let days_before_month =
            DAYS_BEFORE_MONTH.get(usize::from(self.month) - 1).copied().unwrap_or_default();
        let leap_day = u16::from(self.month > 2 && is_leap(self.year));
        let days = days_before_year + i64::from(days_before_month + leap_day) + i64::from(self.day)
            - 1
            - DAYS_BEFORE_1970;

        let minutes = i64::from(self.hour) * 60 + i64::from(self.minute) - self.zone.minutes_ahead();
        let seconds = (days * 24 * 60 + minutes) * 60 + i64::from(self.second);
        let thousandths = self.fraction.iter().chain(b"000").take(3);
        seconds * 1000 + thousandths.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    }

    /// Appends it as `2021-02-03T04:05:06+01:00`, with the fraction that the log has.
    pub(super) fn write_iso(&self, buffer: &mut Vec<u8>) {
        self.write_local_iso(buffer);
        let [[h, hh], [m, mm]] = [self.zone.hours, self.zone.minutes].map(two_digits);
        buffer.extend_from_slice(&[self.zone.sign, h, hh, b':', m, mm]);
    }

    /// The same without the zone.
    pub(super) fn write_local_iso(&self, buffer: &mut Vec<u8>) {
        let [[a, b], [c, d]] =
            [self.year / 100, self.year % 100].map(|part| two_digits(u8::try_from(part).unwrap_or_default()));
        let [[m, mm], [t, tt]] = [self.month, self.day].map(two_digits);
        let [[h, hh], [n, nn], [s, ss]] = [self.hour, self.minute, self.second].map(two_digits);
        buffer.extend_from_slice(&[
            a, b, c, d, b'-', m, mm, b'-', t, tt, b'T', h, hh, b':', n, nn, b':', s, ss,
        ]);
        if !self.fraction.is_empty() {
            buffer.push(b'.');
            buffer.extend_from_slice(self.fraction);
        }
    }

    /// The start of the minute after this one.
    fn next_minute(self) -> Self {
        let mut next = Moment { minute: self.minute + 1, second: 0, ..self };
        if next.minute == 60 {
            (next.hour, next.minute) = (next.hour + 1, 0);
        }
        if next.hour == 24 {
            (next.day, next.hour) = (next.day + 1, 0);
        }
        if next.day > days_in(next.year, next.month) {
            (next.month, next.day) = (next.month + 1, 1);
        }
        if next.month == 13 {
            (next.year, next.month) = (next.year.saturating_add(1), 1);
        }
        next
    }
}

impl<'a> Clock<'a> {
    /// The time of day at the start of `text`, and what follows it.
    pub(super) fn read(text: &'a [u8]) -> Option<(Clock<'a>, &'a [u8])> {
        let (hour, rest) = small(text, 0..=23)?;
        let [b':', tens @ b'0'..=b'5', ones @ b'0'..=b'9', rest @ ..] = rest else { return None };
        let minute = (tens - b'0') * 10 + (ones - b'0');
        let (second, rest) = small(rest.strip_prefix(b":")?, 0..=60)?;
        let (fraction, rest) = match rest {
            [b':' | b'.' | b',', fraction @ ..] => digits(fraction)?,
            rest => (&[] as &[u8], rest),
        };
        Some((Clock { hour, minute, second, fraction }, rest))
    }
}

impl Zone {
    /// That of UTC.
    pub(super) const UTC: Zone = Zone { sign: b'+', hours: 0, minutes: 0 };

    /// `±hhmm`; a missing sign means `+`.
    pub(super) fn read(text: &[u8]) -> Option<Zone> {
        let (sign, text) = match text {
            [sign @ (b'+' | b'-'), text @ ..] => (*sign, text),
            text => (b'+', text),
        };
        let (hours, minutes) = text.split_first_chunk::<2>()?;
        let (hours, _) = small(hours, 0..=23)?;
        let (minutes, _) = small(minutes, 0..=59)?;
        (text.len() == 4).then_some(Zone { sign, hours, minutes })
    }

    fn minutes_ahead(self) -> i64 {
        let minutes = i64::from(self.hours) * 60 + i64::from(self.minutes);
        if self.sign == b'-' { -minutes } else { minutes }
    }
}

/// The number that the one or two digits at the start of `text` make, if it is in `range`.
pub(super) fn small(text: &[u8], range: RangeInclusive<u8>) -> Option<(u8, &[u8])> {
    let (number, rest) = match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => ((tens - b'0') * 10 + (ones - b'0'), rest),
        [ones @ b'0'..=b'9', rest @ ..] => (ones - b'0', rest),
        _ => return None,
    };
    range.contains(&number).then_some((number, rest))
}

/// The number that `digits` make, if 16 bits hold it.
pub(super) fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |sum, digit| sum.checked_mul(10)?.checked_add(u16::from(digit - b'0')))
}

/// The digits at the start of `text`, at least one.
pub(super) fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 { None } else { text.split_at_checked(len) }
}

/// The month whose short or long English name stands at the start of `text`.
pub(super) fn month(text: &[u8]) -> Option<(u8, &[u8])> {
    let (short, rest) = text.split_first_chunk::<3>()?;
    let (month, ending): (u8, &[u8]) = match short {
        b"Jan" => (1, b"uary"),
        b"Feb" => (2, b"ruary"),
        b"Mar" => (3, b"ch"),
        b"Apr" => (4, b"il"),
        b"May" => (5, b""),
        b"Jun" => (6, b"e"),
        b"Jul" => (7, b"y"),
        b"Aug" => (8, b"ust"),
        b"Sep" => (9, b"tember"),
        b"Oct" => (10, b"ober"),
        b"Nov" => (11, b"ember"),
        b"Dec" => (12, b"ember"),
        _ => return None,
    };
    Some((month, behind_ending(rest, ending)))
}

/// What follows `ending` at the start of `text`, if it stands there: behind the short name of a month or a weekday.
pub(super) fn behind_ending<'a>(text: &'a [u8], ending: &[u8]) -> &'a [u8] {
    match text {
        [b'a'..=b'z', ..] => text.strip_prefix(ending).unwrap_or(text),
        // Nearly always: nothing has to be compared.
        _ => text,
    }
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// `number`, which is below 100.
fn two_digits(number: u8) -> [u8; 2] {
    [b'0' + number / 10, b'0' + number % 10]
}
