//! What a file's name says of its rotations: of which log it is one, and which of two is the older. Pure.
//!
//! Knows the names that logrotate and rotatelogs give: a number (`access_log.1`, the higher the older) or a date or time
//! (`access_log-20261122`, the higher the newer), also before an ending (`access-20261122.log`), and what a compressor
//! adds. A name proves nothing: it only says in which order to read files that no checkpoint knows.
//! (<https://man7.org/linux/man-pages/man8/logrotate.8.html>,
//! <https://httpd.apache.org/docs/2.4/programs/rotatelogs.html>)

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::pattern::plain_name;

/// What stands between a log's name and the number or date of a rotation.
const SEPARATORS: &[u8] = b".-_";

/// Numbers with more digits are dates or times: nobody keeps a million rotations.
const NUMBER_DIGITS: usize = 5;

/// A file's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The name of the log that is written to.
    log: Vec<u8>,
    /// What stands before the number or date, and what behind it: two rotations of one log are named alike.
    shape: Option<(u8, Vec<u8>)>,
    turn: Turn,
}

/// Which rotation of its log a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    /// None: it is written to.
    Live,
    /// As many rotations ago, more or less.
    Number(u64),
    /// At this date or time, by its numbers.
    Stamp(Vec<u64>),
}

impl Name {
    /// Takes a name apart.
    pub(super) fn of(name: &OsStr) -> Name {
        let name = name.as_bytes();
        let name = plain_name(name).unwrap_or(name);
        let rotated = (1..name.len()).find_map(|at| Name::rotated_at(name, at));
        rotated.unwrap_or_else(|| Name { log: name.to_vec(), shape: None, turn: Turn::Live })
    }

    /// The name, if a rotation's separator stands at `at`.
    fn rotated_at(name: &[u8], at: usize) -> Option<Name> {
        let (log, rest) = name.split_at_checked(at)?;
        let (separator, rest) = rest.split_first()?;
        if !SEPARATORS.contains(separator) || !rest.first()?.is_ascii_digit() {
            return None;
        }
        // An ending is a separator's dot and letters; a `T` between digits is part of a time.
        let ends = rest.iter().rposition(u8::is_ascii_digit)? + 1;
        let (turn, ending) = rest.split_at_checked(ends)?;
        let is_of_turn = |byte: &u8| byte.is_ascii_digit() || b".-_:T+".contains(byte);
        let is_ending = match ending.split_first() {
            None => true,
            Some((b'.', letters)) => !letters.is_empty() && letters.iter().all(u8::is_ascii_alphabetic),
            Some(_) => false,
        };
        if !turn.iter().all(is_of_turn) || !is_ending {
            return None;
        }
        let log = [log, ending].concat();
        Some(Name { log, shape: Some((*separator, ending.to_vec())), turn: Turn::of(turn) })
    }

    /// The name of the log that is written to.
    pub(super) fn log(&self) -> &[u8] {
        &self.log
    }

    /// Whether it is that of the log that is written to.
    pub(super) fn is_live(&self) -> bool {
        self.turn == Turn::Live
    }

    /// Which of two rotations of one log is the older, where their names tell: it is [`Ordering::Less`].
    pub(super) fn compare(&self, other: &Name) -> Option<Ordering> {
        if self.log != other.log {
            return None;
        }
        match (&self.turn, &other.turn) {
            (Turn::Live, Turn::Live) => Some(Ordering::Equal),
            (Turn::Live, Turn::Number(_) | Turn::Stamp(_)) => Some(Ordering::Greater),
            (Turn::Number(_) | Turn::Stamp(_), Turn::Live) => Some(Ordering::Less),
            _ if self.shape != other.shape => None,
            (Turn::Number(number), Turn::Number(other)) => Some(other.cmp(number)),
            (Turn::Stamp(stamp), Turn::Stamp(other)) => Some(stamp.cmp(other)),
            (Turn::Number(_), Turn::Stamp(_)) | (Turn::Stamp(_), Turn::Number(_)) => None,
        }
    }
}

impl Turn {
    fn of(text: &[u8]) -> Turn {
        let numbers = text.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
        let number = |digits: &[u8]| {
            let digits = digits.iter().map(|digit| u64::from(digit - b'0'));
            digits.fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(digit))
        };
        let numbers: Vec<u64> = numbers.map(number).collect();
        match numbers.as_slice() {
            [only] if text.len() <= NUMBER_DIGITS => Turn::Number(*only),
            _ => Turn::Stamp(numbers),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::of(OsStr::new(text))
    }

    /// The names are of one log and stand in the order of their age, the oldest first.
    #[track_caller]
    fn check(names: &[&str]) {
        for (at, one) in names.iter().enumerate() {
            for (other_at, other) in names.iter().enumerate() {
                let expected = Some(at.cmp(&other_at));
                assert_eq!(name(one).compare(&name(other)), expected, "`{one}` and `{other}`");
            }
        }
    }

    #[test]
    fn the_higher_number_is_the_older() {
        check(&["access_log.10", "access_log.2", "access_log.1", "access_log"]);
        check(&["access.log.2.gz", "access.log.1", "access.log"]);
    }

    #[test]
    fn the_higher_date_is_the_newer() {
        check(&["access_log-20261121", "access_log-20261122.xz", "access_log"]);
        check(&["access_log-20261122-1", "access_log-20261122-2", "access_log-20261123"]);
        check(&["access.2026-11-22T09:00", "access.2026-11-22T10:00"]);
        check(&["access.1763800000", "access.1763803600"]);
    }

    #[test]
    fn the_date_may_stand_before_the_ending() {
        check(&["access-20261121.log", "access-20261122.log.bz2", "access.log"]);
    }

    #[test]
    fn a_time_that_goes_on_is_later_than_its_beginning() {
        check(&["log-20261122", "log-20261122-1", "log"]);
    }

    #[track_caller]
    fn check_apart(one: &str, other: &str) {
        assert_eq!(name(one).compare(&name(other)), None, "`{one}` and `{other}`");
    }

    #[test]
    fn other_logs_are_not_rotations() {
        check_apart("access_log", "error_log");
        check_apart("access_log", "access_log.bak");
        check_apart("access_log.1", "ssl_access_log.1");
        check_apart("access_log", "access_log.1.orig.old");
        check_apart("access_log", "access_log2");
    }

    #[test]
    fn of_names_of_two_kinds_nothing_can_be_told() {
        check_apart("access_log.1", "access_log-20261122");
        check_apart("access_log.1", "access_log-1");
        check_apart("access.log.1", "access-1.log");
    }

    proptest! {
        /// Whatever the names: age is an order as far as it can be told, and telling it twice around says the same.
        #[test]
        fn age_is_an_order(names in proptest::collection::vec("a[.-][0-9]{1,8}(-[0-9]{1,2})?(.gz|.log)?|a", 3)) {
            let names: Vec<Name> = names.iter().map(|text| name(text)).collect();
            let [one, two, three] = names.as_slice() else { unreachable!() };
            prop_assert_eq!(one.compare(two), two.compare(one).map(Ordering::reverse));
            let is_older = |one: &Name, two: &Name| one.compare(two) == Some(Ordering::Less);
            prop_assert!(!(is_older(one, two) && is_older(two, three) && is_older(three, one)));
        }

        /// No name is too odd.
        #[test]
        fn every_name_is_its_own_equal(text in "\\PC{1,20}") {
            prop_assert_eq!(name(&text).compare(&name(&text)), Some(Ordering::Equal));
        }
    }
}
