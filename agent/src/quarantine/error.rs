//! What may go wrong with the quarantine's files.

use std::io;
use std::path::PathBuf;

use super::format::FrameError;

/// Why the quarantine could not do something.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or the directory can't be read.
    #[error("could not read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or the directory can't be written.
    #[error("failed to write to `{path}`")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is something else in the place of a file's header.
    #[error("`{path}` is not a quarantine of this version; it is left as it is")]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// A line of a file says nothing.
    #[error("an entry in `{path}` is lost that ends at byte {end}")]
    Frame {
        /// The file.
        path: PathBuf,
        /// Where in it.
        end: u64,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// A line takes up more than the whole quarantine may.
    #[error(
        "a line takes up {bytes} bytes, which is more than the quarantine may hold; raise `quarantineBytes`"
    )]
    TooLarge {
        /// How many.
        bytes: u64,
    },
}
