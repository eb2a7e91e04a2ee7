//! Every way a line may be left behind, and every way it may be set apart for an operator.
//!
//! [`Reason`] is the only list of the former and [`Cause`] of the latter: each has a label in the metrics, a row on the page
//! of operations and a place in the books, which balance as read + released = acked + quarantined by cause + dropped by
//! reason + discarded + on the way.

use crate::position::Span;

/// Why a line is lost on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It does not match the log format of its flow, which drops such lines.
    Unmatched,
    /// The quarantine could not be written.
    Unkept,
    /// It was among the oldest in a quarantine that was full.
    Evicted,
    /// An operator had it removed from the quarantine.
    Cleared,
}

impl Reason {
    /// Every reason, in the order of the way of the data.
    pub const ALL: [Reason; 4] = [Reason::Unmatched, Reason::Unkept, Reason::Evicted, Reason::Cleared];

    /// The word for it in metrics, in the log and on the page of operations.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Reason::Unmatched => "unmatched",
            Reason::Unkept => "unkept",
            Reason::Evicted => "evicted",
            Reason::Cleared => "cleared",
        }
    }
}

/// Why a line is in the quarantine: what an operator may mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It does not match the log format of its flow.
    Unmatched,
    /// The stream refused its record as invalid, alone in a request, while it took others.
    Refused,
}

impl Cause {
    /// Every cause, in the order of the way of the data.
    pub const ALL: [Cause; 2] = [Cause::Unmatched, Cause::Refused];

    /// The word for it in metrics, on the disk, on the command line and on the page of operations.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Cause::Unmatched => "unmatched",
            Cause::Refused => "refused",
        }
    }

    /// The cause whose word is `label`.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.label() == label)
    }
}

/// Bytes of which no record is to be sent: all of their lines have been counted as dropped, or given to the quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    span: Span,
}

impl Dropped {
    /// States that the lines of `span` have been counted as dropped, or given to the quarantine.
    #[must_use]
    pub fn counted(span: Span) -> Dropped {
        Dropped { span }
    }

    /// The bytes that were left behind.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}
