//! Listens on the control socket.
//!
//! Only the agent's own user and root can connect. Few are heard at once, a request has a length and a time that it
//! may take, and an answer that nobody fetches is dropped: nothing of the agent waits for a client.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::{sleep, timeout};

use super::SOCKET;
use super::message::{self, Answer, Request};
use crate::chain::Chain;

/// Clients heard at once; others wait. One person or script asks at a time.
const CLIENTS: usize = 4;

/// Clients that wait to be heard.
const WAITING: u32 = 16;

/// How long a client may take for its request, and again for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest request: a path, and little else.
const REQUEST_BYTES: usize = 64 * 1024;

/// How long to wait where the system has no descriptor left.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket. Removed when dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens in the state directory `directory`, whose lock the caller holds: a socket that is there was left behind.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn bind(directory: &Path) -> io::Result<Server> {
        let path = directory.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(&path)?;
        // Until it listens nobody can connect, so there is no moment at which somebody else could.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Server { listener: socket.listen(WAITING)?, path })
    }

    /// Hears clients and has `answer` answer them, for as long as it is polled.
    pub async fn serve(&self, answer: impl AsyncFn(Request) -> Answer) {
        let mut clients = FuturesUnordered::new();
        loop {
            // Waiting for a client loses none when another is done, and the other way round.
            tokio::select! {
                accepted = self.listener.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((stream, _)) => clients.push(hear(stream, &answer)),
                    Err(_) => sleep(PAUSE).await,
                },
                Some(()) = clients.next(), if !clients.is_empty() => {}
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it cannot be removed, the next agent replaces it.
        fs::remove_file(&self.path).ok();
    }
}

/// Hears one client. What goes wrong with it is its own trouble.
async fn hear(mut stream: UnixStream, answer: &impl AsyncFn(Request) -> Answer) {
    let Ok(Some(request)) = timeout(PATIENCE, request(&mut stream)).await else { return };
    let answer = match request {
        Ok(request) => answer(request).await,
        Err(reason) => Answer::Refused { reason },
    };
    let line = message::write(&answer)
        .or_else(|error| message::write(&Answer::Refused { reason: Chain(&error).to_string() }));
    if let Ok(line) = line {
        timeout(PATIENCE, stream.write_all(&line)).await.ok();
    }
}

/// What the client asks, or what is wrong with that; nothing if it goes without a word.
async fn request(stream: &mut UnixStream) -> Option<Result<Request, String>> {
    let mut line = Vec::new();
    let limit = REQUEST_BYTES as u64 + 1;
    BufReader::new(stream.take(limit)).read_until(b'\n', &mut line).await.ok()?;
    if line.is_empty() {
        return None;
    }
    if line.len() > REQUEST_BYTES {
        return Some(Err(format!("the request is longer than {REQUEST_BYTES} bytes")));
    }
    Some(message::read(&line).map_err(|error| Chain(&error).to_string()))
}
