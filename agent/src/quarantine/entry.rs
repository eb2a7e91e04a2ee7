//! What is kept of a line, and which of them are meant. Pure.

use std::iter::Sum;
use std::path::PathBuf;

use crate::loss::Cause;
use crate::position::{FlowId, Mark, Offset, heir};

/// What becomes of a line that does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMismatch {
    /// It is kept in the quarantine.
    Keep,
    /// It is sent as it is.
    SendRaw,
    /// It is counted.
    Drop,
}

/// A line that did not get into the stream, and where in its file it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Which generation of its file.
    pub mark: Mark,
    /// Where it begins.
    pub offset: Offset,
    /// How many lines of the file it is, newlines included where it has them.
    pub lines: u64,
    /// What kind of trouble it is.
    pub cause: Cause,
    /// What exactly is wrong with it.
    pub why: String,
    /// The line; of a record that was refused, what was to be sent.
    pub bytes: Vec<u8>,
}

/// A line in the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which one; a later one has a higher number.
    pub number: u64,
    /// Whose line it is.
    pub flow: FlowId,
    /// Where its file was.
    pub path: PathBuf,
    /// When it was kept, in milliseconds since the epoch.
    pub millis: u64,
    /// The line.
    pub stray: Stray,
}

/// Which entries are meant: those of a flow, with a cause, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this flow only, and of those whose heir it is.
    pub flow: Option<FlowId>,
    /// With this cause only.
    pub cause: Option<Cause>,
    /// The flows that are configured.
    pub configured: Vec<FlowId>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries.
    pub entries: u64,
    /// Lines of files that they are.
    pub lines: u64,
}

impl Filter {
    /// Whether an entry of this flow with this cause is meant.
    #[must_use]
    pub fn picks(&self, flow: &FlowId, cause: Cause) -> bool {
        let is_left_to = |wanted| {
            let heir = heir(flow, self.configured.iter()).and_then(|index| self.configured.get(index));
            heir == Some(wanted)
        };
        self.flow.as_ref().is_none_or(|wanted| wanted == flow || is_left_to(wanted))
            && self.cause.is_none_or(|wanted| wanted == cause)
    }
}

impl Tally {
    /// One entry of so many lines more.
    pub fn add(&mut self, lines: u64) {
        self.entries += 1;
        self.lines += lines;
    }

    /// One entry of so many lines less.
    pub fn subtract(&mut self, lines: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.lines = self.lines.saturating_sub(lines);
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Tally>>(tallies: I) -> Tally {
        tallies.fold(Tally::default(), |sum, tally| Tally {
            entries: sum.entries + tally.entries,
            lines: sum.lines + tally.lines,
        })
    }
}
