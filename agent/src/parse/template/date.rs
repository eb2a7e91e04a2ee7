//! A date whose layout is the operator's: read item by item, since each item says by itself where it ends.
//!
//! Knows neither `strftime` nor Java's letters: `strftime` and `java_date` make the items. Names are English, as httpd
//! writes them in any locale.

use super::frame::Frame;
use crate::parse::time::{self, Moment, Zone};

/// How a date is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DatePattern {
    pub(super) items: Vec<Item>,
    /// The zone of a date that does not say it.
    pub(super) zone: Option<Zone>,
}

/// A piece of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// One of these bytes.
    Byte(&'static [u8]),
    /// This byte.
    Literal(u8),
    /// A number of so many digits.
    Number(Unit, Digits),
    /// The English name of a month, short or long.
    Month,
    /// A word that says nothing the rest does not say: the name of a weekday, or of a zone.
    Word,
    /// `AM` or `PM`, in any case.
    Half,
    /// The digits of a fraction of the second, mostly so many.
    Fraction(usize),
    /// `±hhmm`, `±hh:mm`, `±hh` or `Z`.
    Zone,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Year,
    /// The last two digits of a year from 1970 to 2069.
    ShortYear,
    Month,
    Day,
    Hour,
    /// 1 to 12, which needs [`Item::Half`].
    HalfHour,
    Minute,
    Second,
    /// What follows from the rest, as the day of the year does.
    Other,
}

/// How many digits a number has, with spaces in place of leading zeros or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Digits {
    pub(super) const TWO: Digits = Digits { least: 2, most: 2 };
    pub(super) const FOUR: Digits = Digits { least: 4, most: 4 };
    /// Two, or a space and one.
    pub(super) const PADDED: Digits = Digits { least: 1, most: 2 };
}

/// What a date says; 0 and nothing for what it does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading<'a> {
    date: (u16, u8, u8),
    time: (u8, u8, u8),
    fraction: &'a [u8],
    is_afternoon: Option<bool>,
    zone: Option<Zone>,
}

impl DatePattern {
    /// Whether it says enough to tell a moment by, but for the zone.
    pub(super) fn is_whole(&self) -> bool {
        let says = |unit| self.items.iter().any(|item| matches!(item, Item::Number(is, _) if *is == unit));
        (says(Unit::Year) || says(Unit::ShortYear))
            && (says(Unit::Month) || self.items.contains(&Item::Month))
            && says(Unit::Day)
            && (says(Unit::Hour) || says(Unit::HalfHour) && self.items.contains(&Item::Half))
            && says(Unit::Minute)
    }

    /// The length of the date at the start of `text`: as [`DatePattern::read`] has it, from `frame`, which is this
    /// layout's.
    pub(super) fn len(&self, frame: &Frame, text: &[u8]) -> Option<usize> {
        let (mut rest, done) = frame.behind(text).map_or((text, 0), |rest| (rest, frame.items()));
        let mut reading = Reading::default();
        for item in self.items.get(done..).unwrap_or_default() {
            rest = reading.item(*item, rest)?;
        }
        Some(text.len() - rest.len())
    }

    /// The date at the start of `text`, and its length.
    pub(super) fn read<'a>(&self, text: &'a [u8]) -> Option<(Reading<'a>, usize)> {
        let mut reading = Reading { zone: self.zone, ..Reading::default() };
        let mut rest = text;
        for item in &self.items {
            rest = reading.item(*item, rest)?;
        }
        Some((reading, text.len() - rest.len()))
    }
}

impl<'a> Reading<'a> {
    /// The moment, if it exists, and whether its zone is known.
    pub(super) fn moment(&self) -> Option<(Moment<'a>, bool)> {
        let (hour, minute, second) = self.time;
        let hour = match self.is_afternoon {
            None => hour,
            Some(_) if !(1..=12).contains(&hour) => return None,
            Some(is_afternoon) => hour % 12 + if is_afternoon { 12 } else { 0 },
        };
        let zone = self.zone.unwrap_or(Zone::UTC);
        let moment = Moment::new(self.date, (hour, minute, second), self.fraction, zone)?;
        Some((moment, self.zone.is_some()))
    }

    /// Takes in the item at the start of `text`; gives out what follows it.
    pub(super) fn item(&mut self, item: Item, text: &'a [u8]) -> Option<&'a [u8]> {
        match item {
            Item::Byte(bytes) => {
                text.split_first().filter(|(byte, _)| bytes.contains(byte)).map(|(_, rest)| rest)
            }
            Item::Literal(byte) => text.strip_prefix(&[byte]),
            Item::Number(unit, digits) => {
                let (number, rest) = number(text, digits)?;
                self.number(unit, number)?;
                Some(rest)
            }
            Item::Month => {
                let (month, rest) = time::month(text)?;
                self.date.1 = month;
                Some(rest)
            }
            Item::Word => {
                let len = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                if len == 0 { None } else { text.get(len..) }
            }
            Item::Half => {
                let (half, rest) = text.split_first_chunk::<2>()?;
                self.is_afternoon = Some(half.eq_ignore_ascii_case(b"PM"));
                (half.eq_ignore_ascii_case(b"AM") || half.eq_ignore_ascii_case(b"PM")).then_some(rest)
            }
            Item::Fraction(_) => {
                let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (fraction, rest) = text.split_at_checked(len)?;
                self.fraction = fraction;
                (len > 0).then_some(rest)
            }
            Item::Zone => {
                let (zone, rest) = zone(text)?;
                self.zone = Some(zone);
                Some(rest)
            }
        }
    }

    /// Takes in a number; nothing if it is out of all ranges.
    fn number(&mut self, unit: Unit, number: u16) -> Option<()> {
        let small = u8::try_from(number);
        match unit {
            Unit::Year => self.date.0 = number,
            Unit::ShortYear => self.date.0 = if number < 70 { 2000 + number } else { 1900 + number },
            Unit::Month => self.date.1 = small.ok()?,
            Unit::Day => self.date.2 = small.ok()?,
            Unit::Hour | Unit::HalfHour => self.time.0 = small.ok()?,
            Unit::Minute => self.time.1 = small.ok()?,
            Unit::Second => self.time.2 = small.ok()?,
            Unit::Other => {}
        }
        Some(())
    }
}

/// The number at the start of `text`, and what follows it.
fn number(text: &[u8], digits: Digits) -> Option<(u16, &[u8])> {
    // What nearly all numbers of dates are, without a loop.
    if digits == Digits::TWO {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = text else { return None };
        return Some((u16::from(tens - b'0') * 10 + u16::from(ones - b'0'), rest));
    }
    if digits == Digits::FOUR {
        let figures = text.first_chunk::<4>().filter(|figures| figures.iter().all(u8::is_ascii_digit))?;
        return Some((time::number(figures)?, text.get(4..)?));
    }
    let spaces = text.iter().take(digits.most - digits.least).take_while(|&&byte| byte == b' ').count();
    let padded = text.get(spaces..)?;
    let most = digits.most - spaces;
    let len = padded.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (figures, rest) = padded.split_at_checked(len)?;
    (len > 0 && len >= digits.least).then_some((time::number(figures)?, rest))
}

/// The zone at the start of `text`, and what follows it.
fn zone(text: &[u8]) -> Option<(Zone, &[u8])> {
    match text {
        [b'Z', rest @ ..] => Some((Zone::UTC, rest)),
        [sign @ (b'+' | b'-'), a, b, b':', c, d, rest @ ..] => {
            Some((Zone::read(&[*sign, *a, *b, *c, *d])?, rest))
        }
        [sign @ (b'+' | b'-'), a, b, c @ b'0'..=b'9', d, rest @ ..] => {
            Some((Zone::read(&[*sign, *a, *b, *c, *d])?, rest))
        }
        [sign @ (b'+' | b'-'), a, b, rest @ ..] => Some((Zone::read(&[*sign, *a, *b, b'0', b'0'])?, rest)),
        _ => None,
    }
}
