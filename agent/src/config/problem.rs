//! What is wrong with a configuration, and where it says so.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file, as editors count: lines and characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Whether the agent can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It starts nothing.
    Error,
    /// It goes on; something may not be as it was meant.
    Warning,
    /// It goes on, and nothing is amiss.
    Note,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// In which file.
    pub file: PathBuf,
    /// Where in it; nothing if it is about the whole file.
    pub spot: Option<Spot>,
    /// Whether the agent can go on.
    pub severity: Severity,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl Problem {
    pub(super) fn error(file: &Path, spot: impl Into<Option<Spot>>, text: impl Into<String>) -> Problem {
        Problem { file: file.to_path_buf(), spot: spot.into(), severity: Severity::Error, text: text.into() }
    }

    pub(super) fn warning(file: &Path, spot: impl Into<Option<Spot>>, text: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(file, spot, text) }
    }

    pub(super) fn note(file: &Path, spot: impl Into<Option<Spot>>, text: impl Into<String>) -> Problem {
        Problem { severity: Severity::Note, ..Problem::error(file, spot, text) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(spot) = self.spot {
            write!(f, "{spot}:")?;
        }
        match self.severity {
            Severity::Error => write!(f, " {}", self.text),
            Severity::Warning => write!(f, " warning: {}", self.text),
            Severity::Note => write!(f, " note: {}", self.text),
        }
    }
}

/// Everything that is wrong with a configuration, warnings included; one error at least.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts what was found out: warnings alone stop nothing.
    pub(super) fn stop_unless_harmless(problems: Vec<Problem>) -> Result<Vec<Problem>, Problems> {
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            Err(Problems(problems))
        } else {
            Ok(problems)
        }
    }

    /// Every problem, file by file, in the order of the text.
    #[must_use]
    pub fn all(&self) -> &[Problem] {
        &self.0
    }
}
