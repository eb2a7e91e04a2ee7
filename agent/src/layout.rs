//! How the bytes of a file fall into records: which of its first lines are none, which line begins one, and which ends
//! the file. Pure.
//!
//! `source` asks it how much must be read so that there is a whole record, `split` where each one ends: both get one
//! answer. Knows neither files nor time. Where a record ends depends on the bytes alone, not on how they were cut into
//! pieces.

use std::time::Duration;

use memchr::{memchr, memchr_iter};

use crate::expression::Expression;

/// How much of a line its pattern is tested on. A line of which there is that much counts even if its end is not there
/// yet, so that the search for a record's end never needs more than this at once.
const TESTED_BYTES: usize = 64 * 1024;

/// The longest record that is kept whole unless a stream takes longer ones.
pub const RECORD_BYTES: usize = 1024 * 1024;

/// What a flow's files look like.
#[derive(Clone, Debug)]
pub struct Layout {
    /// How many lines at the beginning of a file are no records.
    pub header_lines: u64,
    /// What a record is.
    pub records: Records,
    /// Matches, as a whole and without the white space around it, the record behind which a file has no more.
    pub footer: Option<Expression>,
    /// How long a record may be that is kept whole: what a stream takes. What is longer is cut behind it, as the Java agent
    /// does.
    pub record_bytes: usize,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { header_lines: 0, records: Records::EachLine, footer: None, record_bytes: RECORD_BYTES }
    }
}

/// What a record is.
#[derive(Clone, Debug, Default)]
pub enum Records {
    /// A line.
    #[default]
    EachLine,
    /// A line that the pattern matches at its start, and all lines behind it up to the next such line.
    BeginningWith {
        /// Matches the first line.
        pattern: Expression,
        /// How long the last record of a file is held, in which no other line ends it, from the file's last write on.
        idle: Duration,
    },
}

/// Where the first of some bytes' records ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind so many bytes.
    At(usize),
    /// Not within these bytes, of which so many need not be looked at again.
    Beyond(usize),
}

impl Layout {
    /// Whether `record` is the one behind which a file has no more.
    #[must_use]
    pub fn is_footer(&self, record: &[u8]) -> bool {
        // What Java's `String.trim` takes off: everything up to the space.
        let is_black = |byte: &u8| *byte > b' ';
        self.footer.as_ref().is_some_and(|footer| {
            let start = record.iter().position(is_black).unwrap_or(record.len());
            let end = record.iter().rposition(is_black).map_or(start, |last| last + 1);
            footer.matches(record.get(start..end).unwrap_or_default())
        })
    }
}

impl Records {
    /// Where the record ends with which `bytes` begin. Its first line belongs to it whether or not it matches. More
    /// bytes behind them do not change an end that is found.
    #[must_use]
    pub fn first_end(&self, bytes: &[u8]) -> End {
        let Some(newline) = memchr(b'\n', bytes) else { return End::Beyond(bytes.len()) };
        let mut at = newline + 1;
        let Records::BeginningWith { pattern, .. } = self else { return End::At(at) };
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let newline = memchr(b'\n', rest);
            let line = newline.map_or(rest, |newline| rest.get(..=newline).unwrap_or(rest));
            let tested = line.first_chunk::<TESTED_BYTES>().map_or(line, <[u8; TESTED_BYTES]>::as_slice);
            let is_enough = newline.is_some() || tested.len() == TESTED_BYTES;
            match newline {
                _ if is_enough && pattern.matches(tested) => return End::At(at),
                Some(_) => at += line.len(),
                None if is_enough => return End::Beyond(bytes.len()),
                None => return End::Beyond(at),
            }
        }
    }

    /// Where the first line begins in `bytes`, which begin with one, that begins a record; none if no line that is whole does.
    #[must_use]
    pub fn first_begin(&self, bytes: &[u8]) -> Option<usize> {
        let Records::BeginningWith { pattern, .. } = self else { return Some(0) };
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let tested = line.first_chunk::<TESTED_BYTES>().map_or(line, <[u8; TESTED_BYTES]>::as_slice);
            if line.ends_with(b"\n") && pattern.matches(tested) {
                return Some(at);
            }
            at += line.len();
        }
        None
    }

    /// The same as [`Records::first_end`] where nothing will ever follow `bytes`: the last line counts though it has no newline, and the last
    /// record ends with them.
    #[must_use]
    pub fn first_end_of_all(&self, bytes: &[u8]) -> usize {
        match (self, self.first_end(bytes)) {
            (_, End::At(end)) => end,
            (Records::BeginningWith { pattern, .. }, End::Beyond(line))
                if bytes.get(line..).is_some_and(|rest| !rest.is_empty() && pattern.matches(rest)) =>
            {
                line
            }
            (Records::EachLine | Records::BeginningWith { .. }, End::Beyond(_)) => bytes.len(),
        }
    }

    /// How long the last record of a file is held; none if it ends by itself.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        match self {
            Records::EachLine => None,
            Records::BeginningWith { idle, .. } => Some(*idle),
        }
    }
}

/// How many newlines are in `bytes`.
#[must_use]
pub fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beginning_with(pattern: &str) -> Records {
        Records::BeginningWith { pattern: Expression::at_start(pattern).unwrap(), idle: Duration::ZERO }
    }

    #[track_caller]
    fn check_begin(text: &str, begin: Option<usize>) {
        assert_eq!(beginning_with(r"\[").first_begin(text.as_bytes()), begin, "{text:?}");
        assert_eq!(Records::EachLine.first_begin(text.as_bytes()), Some(0));
    }

    #[test]
    fn the_first_line_that_begins_a_record_is_found() {
        check_begin("[one\n", Some(0));
        check_begin(" more\n[two\n[three\n", Some(6));
        check_begin(" more\n and [more\n", None);
        check_begin(" more\n[two", None);
        check_begin("", None);
    }

    /// The end of the first record of `text`, where a record begins with a line that begins with `[`.
    #[track_caller]
    fn check(text: &str, end: End, of_all: usize) {
        let records = beginning_with(r"\[");
        assert_eq!(records.first_end(text.as_bytes()), end, "{text:?}");
        assert_eq!(records.first_end_of_all(text.as_bytes()), of_all, "{text:?} and nothing else");
    }

    #[test]
    fn a_line_ends_behind_its_newline() {
        let lines = Records::EachLine;
        assert_eq!(lines.first_end(b"a\nb\n"), End::At(2));
        assert_eq!(lines.first_end(b"ab"), End::Beyond(2));
        assert_eq!((lines.first_end_of_all(b"a\nb"), lines.first_end_of_all(b"ab")), (2, 2));
    }

    #[test]
    fn a_record_ends_before_the_next_line_that_begins_one() {
        check("[a\n at x\n[b\n", End::At(9), 9);
        check("[a\n[b\n", End::At(3), 3);
    }

    #[test]
    fn the_first_line_belongs_to_it_in_any_case() {
        check("orphan\n[a\n", End::At(7), 7);
        check(" [a\n[b\n", End::At(4), 4);
    }

    #[test]
    fn a_line_that_is_still_being_written_ends_nothing_unless_nothing_follows() {
        check("[a\n[b", End::Beyond(3), 3);
        check("[a\n at", End::Beyond(3), 6);
        check("[a\n at\n", End::Beyond(7), 7);
        check("[a", End::Beyond(2), 2);
    }

    #[test]
    fn of_a_long_line_the_beginning_decides() {
        let long = |first: &str, len: usize| format!("[a\n{first}{}", "x".repeat(len - first.len()));
        check(&long("[", TESTED_BYTES - 1), End::Beyond(3), 3);
        check(&long("[", TESTED_BYTES), End::At(3), 3);
        check(&long(" ", TESTED_BYTES), End::Beyond(3 + TESTED_BYTES), 3 + TESTED_BYTES);
    }

    #[test]
    fn a_footer_is_a_whole_record_without_the_white_space_around_it() {
        let layout = Layout { footer: Some(Expression::whole("END.*").unwrap()), ..Layout::default() };
        assert!(layout.is_footer(b" \tEND of it\r\n"));
        assert!(!layout.is_footer(b"THE END\n"));
        assert!(!layout.is_footer(b"END\nmore\n"), "`.` is no newline");
        assert!(!layout.is_footer(b" \n"));
        assert!(!Layout::default().is_footer(b"END\n"));
    }

    proptest! {
        /// The slow definition: before the first whole line but the first that begins with `[`.
        #[test]
        fn a_record_ends_where_its_definition_says(text in "[\\[a \n]{0,30}") {
            let mut starts = Vec::new();
            let mut at = 0;
            for line in text.split_inclusive('\n') {
                if at > 0 && line.starts_with('[') && line.ends_with('\n') {
                    starts.push(at);
                }
                at += line.len();
            }
            let found = match beginning_with(r"\[").first_end(text.as_bytes()) {
                End::At(end) => Some(end),
                End::Beyond(_) => None,
            };
            prop_assert_eq!(found, starts.first().copied());
        }

        /// What need not be looked at again holds no end, whatever follows.
        #[test]
        fn what_was_searched_need_not_be_searched_again(text in "[\\[a \n]{0,30}", more in "[\\[a \n]{0,30}") {
            let records = beginning_with(r"\[");
            if let End::Beyond(searched) = records.first_end(text.as_bytes()) {
                let all = format!("{text}{more}");
                let whole = records.first_end(all.as_bytes());
                // The byte before says whether a line begins there.
                let from = searched.saturating_sub(1);
                let again = match records.first_end(&all.as_bytes()[from..]) {
                    End::At(end) => End::At(from + end),
                    End::Beyond(end) => End::Beyond(from + end),
                };
                prop_assert_eq!(again, whole);
            }
        }
    }
}
