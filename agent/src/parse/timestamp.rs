//! The timestamps of error logs and of syslog, with the odd forms that the Java agent takes as well.
//!
//! Knows no clock and no zone of this host: an error log has local times that name no zone, syslog's own have not even
//! a year, and nothing is made up for either.

use super::time::{Clock, Moment, Zone, behind_ending, digits, month, number, small};

/// The date of an error log, whose zone nobody knows: it fits the grammar but may not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local<'a> {
    month: u8,
    day: u8,
    clock: Clock<'a>,
    /// One or more digits, the first not 0.
    year: &'a [u8],
}

/// A date that exists, in a zone that nobody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalMoment<'a>(Moment<'a>);

impl<'a> Local<'a> {
    /// The date at the start of `text`, as `Wed Feb 03 04:05:06.789 2021`, and what follows it.
    pub(super) fn read(text: &'a [u8]) -> Option<(Local<'a>, &'a [u8])> {
        let (month, day, clock, rest) = month_to_clock(white(weekday(text)?)?)?;
        let (year, rest) = digits(white(rest)?)?;
        (year.first() != Some(&b'0')).then_some((Local { month, day, clock, year }, rest))
    }

    /// When it is; `None` if there is no such day or year.
    pub(super) fn moment(&self) -> Option<LocalMoment<'a>> {
        let year = number(self.year)?;
        let Clock { hour, minute, second, fraction } = self.clock;
        let date = (year, self.month, self.day);
        Moment::new(date, (hour, minute, second), fraction, Zone::UTC).map(LocalMoment)
    }
}

impl LocalMoment<'_> {
    /// Appends it as `2021-02-03T04:05:06.789`, with the fraction that the log has.
    pub(super) fn write_iso(&self, buffer: &mut Vec<u8>) {
        self.0.write_local_iso(buffer);
    }
}

/// What follows the timestamp of syslog, `Feb  3 04:05:06`, at the start of `text`.
pub(super) fn after_bsd(text: &[u8]) -> Option<&[u8]> {
    after_usual_bsd(text).or_else(|| month_to_clock(text).map(|(_, _, _, rest)| rest))
}

/// The same for a timestamp as nearly all are: a short month, a day of two digits or one behind a second space, a time
/// of six digits without a fraction, and a space behind them.
fn after_usual_bsd(text: &[u8]) -> Option<&[u8]> {
    let [_, _, _, b' ', d, dd, b' ', h, hh, b':', m, mm, b':', s, ss] = text.first_chunk::<15>()? else {
        return None;
    };
    let tens = if *d == b' ' { b'0' } else { *d };
    let number = |tens: u8, ones: u8, most: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        (tens < 10) & (ones < 10) & (tens.wrapping_mul(10).wrapping_add(ones) <= most)
    };
    let is_time = number(*h, *hh, 23) & number(*m, *mm, 59) & number(*s, *ss, 60);
    let is_day = number(tens, *dd, 31) & ((tens, *dd) != (b'0', b'0'));
    let rest = text.get(15..)?;
    (is_time & is_day && month(text).is_some() && rest.first() == Some(&b' ')).then_some(rest)
}

/// What follows the timestamp of RFC 3339 at the start of `text`. Its numbers may be any of their length, and its zone
/// may lack the colon. Source: <https://www.rfc-editor.org/rfc/rfc3339#section-5.6>.
pub(super) fn after_rfc3339(text: &[u8]) -> Option<&[u8]> {
    const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";
    let (start, rest) = text.split_first_chunk::<19>()?;
    // Without a way out of the loop, so that it becomes straight instructions.
    let fits = start.iter().zip(SHAPE).fold(true, |fits, (&byte, &shape)| {
        fits & if shape == b'0' { byte.is_ascii_digit() } else { byte == shape }
    });
    let rest = match rest {
        [b'.', fraction @ ..] => digits(fraction)?.1,
        rest => rest,
    };
    let is_number = |high: &u8, low: &u8| high.is_ascii_digit() && low.is_ascii_digit();
    match rest {
        [b'Z', rest @ ..] => fits.then_some(rest),
        [b'+' | b'-', h, hh, b':', m, mm, rest @ ..] | [b'+' | b'-', h, hh, m, mm, rest @ ..] => {
            (fits && is_number(h, hh) && is_number(m, mm)).then_some(rest)
        }
        _ => None,
    }
}

/// When `timestamp` is, which is one of RFC 3339; `None` if there is no such moment.
pub(super) fn rfc3339(timestamp: &[u8]) -> Option<Moment<'_>> {
    let pair = |from: usize| small(timestamp.get(from..from + 2)?, 0..=99).map(|(number, _)| number);
    let year = u16::from(pair(0)?) * 100 + u16::from(pair(2)?);
    let (fraction, zone) = match timestamp.get(19..)? {
        [b'.', rest @ ..] => digits(rest)?,
        zone => (&[] as &[u8], zone),
    };
    let zone = match zone {
        b"Z" => Zone::UTC,
        [sign, h, hh, b':', m, mm] => Zone::read(&[*sign, *h, *hh, *m, *mm])?,
        zone => Zone::read(zone)?,
    };
    let date = (year, pair(5)?, pair(8)?);
    Moment::new(date, (pair(11)?, pair(14)?, pair(17)?), fraction, zone)
}

/// A month, a day and a time of day at the start of `text`, and what follows them.
fn month_to_clock(text: &[u8]) -> Option<(u8, u8, Clock<'_>, &[u8])> {
    let (month, rest) = month(text)?;
    let (day, rest) = small(white(rest)?, 1..=31)?;
    let (clock, rest) = Clock::read(white(rest)?)?;
    Some((month, day, clock, rest))
}

/// What follows the short or long English name of a weekday.
fn weekday(text: &[u8]) -> Option<&[u8]> {
    let (short, rest) = text.split_first_chunk::<3>()?;
    let ending: &[u8] = match short {
        b"Mon" | b"Fri" | b"Sun" => b"day",
        b"Tue" => b"sday",
        b"Wed" => b"nesday",
        b"Thu" => b"rsday",
        b"Sat" => b"urday",
        _ => return None,
    };
    Some(behind_ending(rest, ending))
}

/// What follows white space, of which there is at least one byte.
fn white(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    if len == 0 { None } else { text.get(len..) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    #[track_caller]
    fn check(text: &str, is_usual: bool) {
        let rest = month_to_clock(text.as_bytes()).map(|(_, _, _, rest)| rest);
        assert_eq!(after_usual_bsd(text.as_bytes()), rest.filter(|_| is_usual), "{text}");
        assert_eq!(after_bsd(text.as_bytes()), rest, "{text}");
    }

    #[test]
    fn a_usual_timestamp_of_syslog_is_told_at_once() {
        for text in ["Feb  3 04:05:06 web1", "Feb 03 04:05:06 web1", "Dec 31 23:59:60 web1"] {
            check(text, true);
        }
        for text in ["February 3 04:05:06 web1", "Feb 3 4:05:06 web1", "Feb  3 04:05:06.789 web1"] {
            check(text, false);
        }
    }

    proptest! {
        /// As the general way takes it.
        #[test]
        fn what_follows_a_timestamp_of_syslog_is_the_same_either_way(
            date in select(vec!["Feb  3 04:05:06 a", "Oct 19 23:59:59 a", "May 30 00:10:60 a"]),
            changes in prop::collection::vec((any::<Index>(), select(&b"0123469 :.,Ma/\x8F"[..])), 0..3),
        ) {
            let mut text = date.as_bytes().to_vec();
            for (place, byte) in changes {
                let place = place.index(text.len());
                text[place] = byte;
            }
            let rest = month_to_clock(&text).map(|(_, _, _, rest)| rest);
            prop_assert_eq!(after_bsd(&text), rest);
        }
    }
}
