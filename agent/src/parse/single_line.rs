//! `SINGLELINE`: the lines of one record become one line.
//!
//! Does not know what they say. What comes out is what the Java agent makes of them, byte for byte, bytes that are not
//! UTF-8 included; no newline is in it but the one at its end.

use memchr::memchr;

use super::Record;

/// How lines are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleLine {
    /// What becomes of white space at the ends of each line.
    pub ends: Ends,
    /// What stands where a newline was.
    pub between: Between,
}

/// What becomes of white space at the ends of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It is left out, and so are control characters.
    Trimmed,
    /// It stays: `NO_TRIM`.
    Kept,
}

/// What stands between two lines that are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// Two backslashes and an `n`: `ESCAPE_NEW_LINE`.
    EscapedNewline,
}

impl SingleLine {
    /// Appends the lines of `record` as one.
    pub(super) fn write(self, record: &[u8], out: &mut Vec<u8>) -> Record {
        let start = out.len();
        // Empty lines count only where another follows.
        let newlines = record.iter().rev().take_while(|&&byte| byte == b'\n').count();
        let mut rest = record.get(..record.len() - newlines).unwrap_or_default();
        loop {
            let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len())).unwrap_or_default();
            out.extend_from_slice(match self.ends {
                Ends::Trimmed => trim(line),
                Ends::Kept => line,
            });
            // Behind the newline of this line, if it has one.
            let Some(next) = rest.get(line.len() + 1..) else { break };
            match self.between {
                Between::Nothing => {}
                Between::EscapedNewline => out.extend_from_slice(br"\\n"),
            }
            rest = next;
        }
        out.push(b'\n');
        Record::text(out.len() - start)
    }
}

/// The text without what is at most a space at its ends.
fn trim(text: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| *byte > b' ';
    let start = text.iter().position(is_kept).unwrap_or(text.len());
    let end = text.iter().rposition(is_kept).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JOINED: SingleLine = SingleLine { ends: Ends::Trimmed, between: Between::Nothing };
    const KEPT: SingleLine = SingleLine { ends: Ends::Kept, ..JOINED };
    const ESCAPED: SingleLine = SingleLine { between: Between::EscapedNewline, ..JOINED };

    fn joined(how: SingleLine, record: &str) -> String {
        let mut out = b"before".to_vec();
        let made = how.write(record.as_bytes(), &mut out);
        let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
        assert_eq!(made, Record::text(text.len()));
        text
    }

    #[track_caller]
    fn check(how: SingleLine, record: &str, expected: &str) {
        assert_eq!(joined(how, record), expected);
    }

    #[test]
    fn lines_are_trimmed_and_joined() {
        check(JOINED, "{\n  \"id\": 9,\n  \"is\": true\n}\n", "{\"id\": 9,\"is\": true}\n");
        check(JOINED, "one\t\n\n \u{1F} two\r\n", "onetwo\n");
        check(JOINED, "x\u{A0}", "x\u{A0}\n");
    }

    #[test]
    fn a_record_of_nothing_is_an_empty_line() {
        check(JOINED, "\n", "\n");
        check(ESCAPED, "\n\n\n", "\n");
        check(KEPT, "\n", "\n");
    }

    #[test]
    fn white_space_may_be_kept() {
        check(KEPT, "\ta \n b\n", "\ta  b\n");
        check(KEPT, "x\r\n", "x\r\n");
    }

    #[test]
    fn a_newline_may_leave_three_characters() {
        check(ESCAPED, " a\nb \n", "a\\\\nb\n");
        check(ESCAPED, "\n\na\n \n\n", "\\\\n\\\\na\\\\n\n");
    }

    /// As the Java agent does it: `split` without empty pieces at the end, then `trim`, then `join`.
    fn slow(how: SingleLine, record: &str) -> String {
        let mut pieces: Vec<&str> = record.split('\n').collect();
        while pieces.last().is_some_and(|piece| piece.is_empty()) {
            pieces.pop();
        }
        let trimmed = pieces.into_iter().map(|piece| match how.ends {
            Ends::Trimmed => piece.trim_matches(|char| char <= ' '),
            Ends::Kept => piece,
        });
        let between = match how.between {
            Between::Nothing => "",
            Between::EscapedNewline => r"\\n",
        };
        trimmed.collect::<Vec<_>>().join(between) + "\n"
    }

    proptest! {
        #[test]
        fn any_lines_are_joined_as_defined(record in "[ab \n\t\u{E9}]{0,20}") {
            for ends in [Ends::Trimmed, Ends::Kept] {
                for between in [Between::Nothing, Between::EscapedNewline] {
                    let how = SingleLine { ends, between };
                    prop_assert_eq!(joined(how, &record), slow(how, &record));
                }
            }
        }
    }
}
