//! Asks on the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SOCKET;
use super::message::{self, Answer, CodecError, Request};

/// How long the agent may take to say something: longer than a reader needs whose stream is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No agent listens.
    #[error("no kinetail listens on `{path}`")]
    Nobody {
        /// The socket.
        path: PathBuf,
    },
    /// It listens, and says nothing.
    #[error("the kinetail that listens on `{path}` did not answer in {} s; look whether it is stopped or its disk hangs", PATIENCE.as_secs())]
    Silent {
        /// The socket.
        path: PathBuf,
    },
    /// It cannot be talked to.
    #[error("could not talk to the kinetail that listens on `{path}`")]
    Failed {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is asked or answered cannot be understood.
    #[error("could not understand the kinetail that runs; it may be of another version")]
    Codec(#[source] CodecError),
}

/// Asks the agent with the state directory `directory`.
///
/// # Errors
/// If none runs, or it does not answer.
pub fn ask(directory: &Path, request: &Request) -> Result<Answer, AskError> {
    let path = directory.join(SOCKET);
    let line = message::write(request).map_err(AskError::Codec)?;
    let answer = exchange(&path, &line).map_err(|source| {
        let kind = source.kind();
        if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&kind) {
            AskError::Nobody { path }
        } else if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&kind) {
            AskError::Silent { path }
        } else {
            AskError::Failed { path, source }
        }
    })?;
    message::read(&answer).map_err(AskError::Codec)
}

fn exchange(path: &Path, line: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES)).read_until(b'\n', &mut answer)?;
    if answer.ends_with(b"\n") { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
