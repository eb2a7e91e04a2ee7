//! The balance of what was written and what was delivered, as multisets: equal lines are counted, not merged.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};

/// What was written and what came out, by content.
#[derive(Clone, Debug, Default)]
pub struct Books {
    lines: BTreeMap<Vec<u8>, Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    written: u64,
    delivered: u64,
}

/// How the books stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Lines written.
    pub written: u64,
    /// Records delivered.
    pub delivered: u64,
    /// Lines written and not delivered, as often as that.
    pub missing: u64,
    /// Records delivered more often than they were written.
    pub repeated: u64,
    /// Records that nobody wrote.
    pub foreign: u64,
    /// The first content of each kind of trouble, for the message.
    examples: Vec<String>,
}

impl Books {
    /// Books of what should come out; nothing has been delivered yet.
    pub fn of<'a>(written: impl IntoIterator<Item = &'a [u8]>) -> Books {
        let mut books = Books::default();
        for line in written {
            books.lines.entry(line.to_vec()).or_default().written += 1;
        }
        books
    }

    /// Enters what came out.
    #[must_use]
    pub fn against<'a>(mut self, delivered: impl IntoIterator<Item = &'a [u8]>) -> Books {
        for record in delivered {
            self.lines.entry(record.to_vec()).or_default().delivered += 1;
        }
        self
    }

    /// Sums up.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for (content, counts) in &self.lines {
            balance.written += counts.written;
            balance.delivered += counts.delivered;
            let missing = counts.written.saturating_sub(counts.delivered);
            let surplus = counts.delivered.saturating_sub(counts.written);
            let (sum, kind) = if counts.written == 0 {
                (&mut balance.foreign, "foreign")
            } else if surplus > 0 {
                (&mut balance.repeated, "repeated")
            } else {
                (&mut balance.missing, "missing")
            };
            if *sum == 0 && missing + surplus > 0 {
                let start = content.get(..300).unwrap_or(content);
                balance.examples.push(format!("{kind}: {}", start.escape_ascii()));
            }
            *sum += missing + surplus;
        }
        balance
    }
}

impl Balance {
    /// Every line arrived, and nothing that was not written.
    ///
    /// # Errors
    /// If not; with the balance and examples.
    pub fn complete(&self) -> Result<()> {
        ensure!(self.missing == 0 && self.foreign == 0, "the books do not balance: {self}");
        Ok(())
    }

    /// Every line arrived exactly once.
    ///
    /// # Errors
    /// If not; with the balance and examples.
    pub fn exact(&self) -> Result<()> {
        self.complete()?;
        ensure!(self.repeated == 0, "lines came twice: {self}");
        Ok(())
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Balance { written, delivered, missing, repeated, foreign, examples } = self;
        write!(
            f,
            "{written} written, {delivered} delivered, {missing} missing, {repeated} repeated, {foreign} foreign"
        )?;
        examples.iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> impl Iterator<Item = &[u8]> {
        text.as_bytes().chunks(1)
    }

    #[track_caller]
    fn check(written: &str, delivered: &str, missing: u64, repeated: u64, foreign: u64) {
        let balance = Books::of(lines(written)).against(lines(delivered)).balance();
        assert_eq!((balance.missing, balance.repeated, balance.foreign), (missing, repeated, foreign));
        assert_eq!(balance.complete().is_ok(), missing + foreign == 0);
        assert_eq!(balance.exact().is_ok(), missing + repeated + foreign == 0);
    }

    #[test]
    fn order_does_not_matter_and_equal_lines_are_counted() {
        check("", "", 0, 0, 0);
        check("aab", "aba", 0, 0, 0);
        check("aab", "ab", 1, 0, 0);
        check("aab", "aaabbb", 0, 3, 0);
        check("ab", "xa", 1, 0, 1);
    }

    #[test]
    fn trouble_is_shown_by_example() {
        let balance = Books::of(lines("aab")).against(lines("bbx")).balance();
        let expected = "3 written, 3 delivered, 2 missing, 1 repeated, 1 foreign\n  missing: a\n  repeated: b\n  foreign: x";
        assert_eq!(balance.to_string(), expected);
    }

    proptest! {
        #[test]
        fn what_came_is_what_was_written_less_missing_more_surplus(written in "[a-d]{0,20}", delivered in "[a-f]{0,20}") {
            let balance = Books::of(lines(&written)).against(lines(&delivered)).balance();
            prop_assert_eq!(
                balance.written + balance.repeated + balance.foreign,
                balance.delivered + balance.missing
            );
        }
    }
}
