//! The spool: what other programs write to `kinetail pipe`, in bounded files that a flow reads like any other.
//!
//! ```text
//!   SPOOL/FLOW/INSTANCE/0000000001.log     SPOOL is `spool` in the state directory, FLOW the name of the flow
//!                       0000000002.log     an INSTANCE is one run of `kinetail pipe`
//! ```
//!
//! Each instance has a directory of its own, so that the two that httpd has at once during a graceful restart do not meet.
//! It holds a lock on that directory for as long as it lives. Only one that is killed in the middle of a line, and whose pipe
//! another reads soon, hands its directory on to that. A segment is sealed, and nothing is added to it any more,
//! when the next one exists or when the lock is free. The agent reads all segments of the flow, those of dead instances
//! like those of live ones, and [`sweep()`]s away what is sealed and delivered. Only [`feed()`] ever removes more: when the
//! spool is full, the oldest sealed segment, which it tells.
//!
//! In the way of the data: `inlet` takes bytes out of the pipe when they are in a segment and not before, and `portion` says how
//! many; `instance` has the directory and its segments, `segment` their names; `feed` joins them until the end, which `signals` may ask for.
//! The spool knows no stream, and of records only that they are not to be divided. It needs no network. (G1, G6)

mod feed;
mod inlet;
mod instance;
mod portion;
mod segment;
mod signals;
mod sweep;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::layout::Records;
pub use feed::{Fed, Told, feed};
pub use instance::Lost;
pub use signals::{Asked, Signals};
pub use sweep::{Delivered, left, sweep};

/// Where a flow's spool is, and how large it may become.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of all its instances.
    pub directory: PathBuf,
    /// How many bytes all of them may hold.
    pub bytes: u64,
    /// How long to wait for room in a full spool before the oldest segment is dropped.
    pub wait: Duration,
    /// What a record is: none is divided among segments, unless it is larger than one.
    pub records: Records,
}

/// Why nothing more can be taken in.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The spool.
    #[error("could not write to the spool at `{}`", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard input.
    #[error("could not read standard input")]
    Input(#[source] io::Error),
    /// The operating system.
    #[error("could not listen to signals")]
    Signals(#[source] io::Error),
}

impl SpoolError {
    fn write(path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
        let path = path.to_owned();
        move |source| SpoolError::Write { path, source }
    }
}

impl Settings {
    /// The least that a spool may hold.
    pub const LEAST_BYTES: u64 = 1 << 20;

    /// The directory of the flow `name`, below the state directory.
    #[must_use]
    pub fn directory(state_directory: &Path, name: &str) -> PathBuf {
        state_directory.join("spool").join(name)
    }

    /// How large a segment becomes, but for the last line in it. The spool can hold many, as they are dropped whole.
    fn segment_bytes(&self) -> u64 {
        (self.bytes / 16).min(16 << 20)
    }
}

#[cfg(test)]
mod tests;
