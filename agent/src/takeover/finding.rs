//! What a takeover found, for the operator: one line each.

use std::fmt;
use std::path::PathBuf;

use super::row::RowError;
use crate::position::{FlowId, Offset};

/// One line of the report.
#[derive(Debug)]
pub enum Finding {
    /// A row that means nothing.
    BadRow(RowError),
    /// Something about a flow.
    Flow(FlowId, What),
}

/// What was found of a flow, or what becomes of it.
#[derive(Debug)]
pub enum What {
    /// The file is there, and is read on where the Java agent stopped.
    TakenOver {
        /// Where the Java agent knew it.
        known_as: PathBuf,
        /// Where it is now.
        path: PathBuf,
        /// Where reading goes on.
        offset: Offset,
        /// Where the Java agent stopped; in the middle of a line if it is not the same.
        stored: Offset,
    },
    /// It is not there any more.
    Gone {
        /// Where the Java agent knew it.
        path: PathBuf,
        /// How far it was read.
        stored: Offset,
    },
    /// Its inode belongs to a file that was made after the row.
    Reused {
        /// Where the Java agent knew it.
        path: PathBuf,
        /// How far it was read.
        stored: Offset,
    },
    /// It is shorter than what was read of it.
    Truncated {
        /// Where it is.
        path: PathBuf,
        /// How far it was read.
        stored: Offset,
        /// How long it is.
        size: u64,
        /// A copy that was made of it before, in which the rest is read.
        copy: Option<PathBuf>,
    },
    /// It is there, but can't be opened.
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Files that the Java agent was done with.
    LeftBehind {
        /// How many.
        files: usize,
    },
    /// Files that waited for the Java agent.
    Pending {
        /// How many.
        files: usize,
        /// One of them.
        path: PathBuf,
    },
    /// The store has no row of it.
    Unknown,
    /// It is in the store, but not in the configuration.
    NotConfigured {
        /// Where the file of its latest row was.
        path: PathBuf,
        /// How far that was read.
        stored: Offset,
    },
}

impl Finding {
    /// Whether an operator should know of it though everything else went well.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        match self {
            Finding::BadRow(_) => true,
            Finding::Flow(_, what) => match what {
                What::TakenOver { offset, stored, .. } => offset != stored,
                What::LeftBehind { .. } | What::Pending { .. } => false,
                What::Gone { .. }
                | What::Reused { .. }
                | What::Truncated { .. }
                | What::Unreadable { .. }
                | What::Unknown
                | What::NotConfigured { .. } => true,
            },
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::BadRow(error) => error.fmt(f),
            Finding::Flow(flow, what) => write!(f, "{flow}: {what}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::TakenOver { known_as, path, offset, stored } => {
                write!(f, "taken over from {}@{stored}", known_as.display())?;
                if known_as != path {
                    write!(f, ", which is {} now", path.display())?;
                }
                if offset != stored {
                    write!(
                        f,
                        "; that is in the middle of a line, which is read from its beginning at {offset}"
                    )?;
                }
                Ok(())
            }
            What::Gone { path, stored } => {
                write!(f, "not taken over from {}@{stored}: the file is gone", path.display())
            }
            What::Reused { path, stored } => {
                let made = "its inode belongs to a file that was made after that";
                write!(f, "not taken over from {}@{stored}: {made}", path.display())
            }
            What::Truncated { path, stored, size, copy } => {
                let now = "it was truncated or written anew, and is read from its beginning";
                let rest = copy.as_ref().map(|copy| {
                    format!("; what followed {stored} before is read in its copy {}", copy.display())
                });
                let rest = rest.unwrap_or_default();
                let path = path.display();
                write!(f, "not taken over from {path}@{stored}: the file has {size} bytes; {now}{rest}")
            }
            What::Unreadable { path, error } => {
                let then = "it is read from its beginning when that is mended";
                write!(f, "nothing is known of {}: {error}; {then}", path.display())
            }
            What::LeftBehind { files } => {
                write!(
                    f,
                    "{files} older file(s) that the Java agent was done with count as read to their end"
                )
            }
            What::Pending { files, path } => {
                let waited = "file(s) that waited for the Java agent are read from their beginning";
                write!(f, "{files} newer {waited}, among them {}", path.display())
            }
            What::Unknown => f.write_str(
                "not taken over: the store has no position of it; `initialPosition` says where it begins",
            ),
            What::NotConfigured { path, stored } => {
                let none = "no flow of the configuration has this id";
                write!(f, "not taken over from {}@{stored}: {none}", path.display())
            }
        }
    }
}
