//! The signals that ask a program to end, which do not end it any more. Knows nothing of what is done about them.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::SpoolError;

/// Hears SIGTERM, SIGINT and SIGHUP in place of the thread that listens and of all that it starts later. SIGUSR1, which
/// httpd may send to its whole process group at a graceful restart, is heard by nobody.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// Whether somebody asked the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Since it was last asked about.
    Yes,
    /// Not since.
    No,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn listen() -> Result<Signals, SpoolError> {
        let mut ends = SigSet::empty();
        ends.extend([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        let mut blocked = ends;
        blocked.add(Signal::SIGUSR1);
        let listen = || {
            blocked.thread_block()?;
            SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        };
        listen().map(Signals).map_err(|errno| SpoolError::Signals(errno.into()))
    }

    /// Waits for a signal, at most so long.
    ///
    /// # Errors
    /// If the system cannot say.
    pub fn wait(&self, longest: Duration) -> Result<Asked, SpoolError> {
        let failed = |errno: Errno| SpoolError::Signals(errno.into());
        let mut polled = [PollFd::new(self.descriptor(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout(longest)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        Ok(if self.0.read_signal().map_err(failed)?.is_some() { Asked::Yes } else { Asked::No })
    }

    /// What to poll.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `time` as poll(2) takes it.
pub(super) fn timeout(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
}
