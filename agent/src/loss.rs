//! Every way a line may be left behind.
//!
//! `Reason` is the only list of them: each has a label in the metrics, a row in the README and a place in the
//! books, which balance as read = acked + dropped by reason + on the way.

use crate::position::Span;

/// Why a line did not reach the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It does not match the log format of its flow.
    Unmatched,
    /// The stream refused it as invalid, alone in a request, while it took others.
    Refused,
}

impl Reason {
    /// Every reason, in the order of the way of the data.
    pub const ALL: [Reason; 2] = [Reason::Unmatched, Reason::Refused];

    /// The word for it in metrics, in the log and in the README.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Reason::Unmatched => "unmatched",
            Reason::Refused => "refused",
        }
    }
}

/// Bytes that are left behind on purpose, all of whose lines have been counted by their reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    span: Span,
}

impl Dropped {
    /// States that the lines of `span` have been counted as dropped.
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
