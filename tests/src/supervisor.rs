//! The service manager's end of the agent's notifications: what it was told, in order.
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::UnixDatagram;

use crate::background::Background;
use crate::host::Host;
use crate::wait;

/// Where Debian has it.
const ENV: &str = "/usr/bin/env";

/// Longer than any notification.
const MESSAGE_BYTES: usize = 64 * 1024;

/// What listens on a host.
#[derive(Debug)]
pub struct Supervisor {
    path: PathBuf,
    told: Arc<Mutex<Vec<Told>>>,
    _server: Background,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its lines.
    pub text: String,
    /// Whether the agent took a connection on its control socket when this was read.
    pub could_be_asked: bool,
}

impl Told {
    /// Whether it has this line.
    #[must_use]
    pub fn says(&self, line: &str) -> bool {
        self.text.lines().any(|said| said == line)
    }
}

impl Supervisor {
    /// Listens on a socket in the host's directory.
    ///
    /// # Errors
    /// If it cannot.
    pub fn start(host: &Host) -> Result<Supervisor> {
        let path = host.path().join("notify");
        let listener = std::os::unix::net::UnixDatagram::bind(&path).context("failed to bind the socket")?;
        listener.set_nonblocking(true)?;
        let told = Arc::default();
        let server =
            Background::start("supervisor", listen(listener, Arc::clone(&told), host.state("control.sock")))?;
        Ok(Supervisor { path, told, _server: server })
    }

    /// The words before an agent that is to tell this, and be watched at this interval.
    #[must_use]
    pub fn words(&self, watchdog: Duration) -> Vec<OsString> {
        let mut socket = OsString::from("NOTIFY_SOCKET=");
        socket.push(&self.path);
        vec![ENV.into(), socket, format!("WATCHDOG_USEC={}", watchdog.as_micros()).into()]
    }

    /// What it was told so far.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it was told something from the notification `from` on that is as wanted; gives where that is.
    ///
    /// # Errors
    /// If it never was; with what came last.
    pub async fn until(&self, what: &str, from: usize, wanted: impl Fn(&Told) -> bool) -> Result<usize> {
        let found = wait::until(what, wait::LONG, async || {
            let told = self.told();
            Ok(told.iter().skip(from).position(&wanted).map(|place| from + place))
        });
        found.await.map_err(|error| anyhow!("{error:#}; last it was told {:?}", self.told().last()))
    }

    /// Waits for the `count` notifications from `from` on.
    ///
    /// # Errors
    /// If they never come.
    pub async fn next(&self, from: usize, count: usize) -> Result<Vec<Told>> {
        wait::until("the next notifications have come", wait::LONG, async || {
            Ok(self.told().get(from..from + count).map(<[Told]>::to_vec))
        })
        .await
    }
}

async fn listen(listener: std::os::unix::net::UnixDatagram, told: Arc<Mutex<Vec<Told>>>, control: PathBuf) {
    let Ok(listener) = UnixDatagram::from_std(listener) else { return };
    let mut message = vec![0; MESSAGE_BYTES];
    while let Ok(len) = listener.recv(&mut message).await {
        let could_be_asked = UnixStream::connect(&control).is_ok();
        let text = String::from_utf8_lossy(message.get(..len).unwrap_or_default()).into_owned();
        told.lock().unwrap_or_else(PoisonError::into_inner).push(Told { text, could_be_asked });
    }
}
