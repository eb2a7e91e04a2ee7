//! How the process ends: one code for each answer to "would a restart help?".
//!
//! The unit file, the page of operations and the manual name the same codes.

use std::process::ExitCode;

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Stopped as asked, or the command did what it was for.
    Done,
    /// Something failed that a restart may mend; for `parse`, a line did not match.
    Failed,
    /// A defect of our own: the process ends at once and goes on from its checkpoint when started again.
    Panicked,
    /// The configuration or the command line is wrong; starting again does not help (`EX_CONFIG` of sysexits.h).
    Misconfigured,
}

impl Exit {
    /// Every way to end, in the order of their codes.
    pub const ALL: [Exit; 4] = [Exit::Done, Exit::Failed, Exit::Panicked, Exit::Misconfigured];

    /// The number that the service manager sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Panicked => 70,
            Exit::Misconfigured => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
