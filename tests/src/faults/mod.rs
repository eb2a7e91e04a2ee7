//! Stands between the agent and the endpoint, does harm on request, and keeps books of every entry.
//!
//! - `http` reads and writes single HTTP/1.1 messages;
//! - `ledger` is the books: what was offered, what the endpoint took, what was answered;
//! - `proxy` serves one connection.
//!
//! The mode can be changed while requests run; a request lives by the mode that is set when it has been read whole.

pub(crate) mod http;
mod ledger;
mod proxy;

pub use ledger::{Entry, Fate, Request, offered_after_acceptance, refused, unanswered};

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::sync::watch;

use crate::background::Background;
use crate::wait;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is forwarded and answered.
    Pass,
    /// Connections are reset as soon as they are made, and those that stand.
    Away,
    /// It is answered with status 500 and not forwarded.
    InternalError,
    /// The connection is reset; the endpoint never hears of it.
    ResetBefore,
    /// The endpoint takes it, then the connection is reset; the answer is lost.
    ResetAfter,
    /// Of the entries of a `PutRecords`, this many in a hundred are refused and not forwarded.
    Refuse {
        /// 0 to 100.
        percent: u8,
    },
    /// A `PutRecords` with this in a payload is answered with status 400, as what the service never takes, and not
    /// forwarded; others are forwarded and answered.
    Invalid {
        /// What is not taken.
        word: &'static str,
    },
    /// Calls of this operation are answered with status 400, as ones that are not allowed; others are forwarded and answered.
    Deny {
        /// What is not allowed.
        operation: &'static str,
    },
    /// The stream says that it takes records of this size, and what it is offered is answered as taken, and not forwarded: no
    /// emulator takes more than 1 MiB. Others are forwarded and answered.
    TakeLarge {
        /// In KiB.
        record_kib: u32,
    },
    /// Where it is signed with a key that [ends](ENDS), it is answered with status 400 after that, and not forwarded; others are
    /// forwarded and answered.
    Expire,
    /// The endpoint takes it; the answer is held until the mode is neither this nor [`Mode::Hold`].
    HoldAnswers,
    /// It is neither forwarded nor answered until the mode changes; forgotten if the client goes before that.
    Hold,
}

/// The running proxy.
#[derive(Debug)]
pub struct Faults {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Background,
}

/// What all connections know.
#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: watch::Sender<usize>,
    ledger: Mutex<Vec<Request>>,
    keys: Mutex<BTreeSet<String>>,
}

/// How the name of an access key begins that ends at the time that follows, in milliseconds since 1970.
pub const ENDS: &str = "AKIDUNTIL";

impl Faults {
    /// Starts a proxy in front of `upstream`, on a free port, in mode [`Mode::Pass`].
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn start(upstream: SocketAddr) -> Result<Faults> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind the proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            mode: watch::Sender::new(Mode::Pass),
            connections: watch::Sender::new(0),
            ledger: Mutex::default(),
            keys: Mutex::default(),
        });
        let server = Background::start("faults", proxy::serve(listener, Arc::clone(&shared)))?;
        Ok(Faults { address, shared, _server: server })
    }

    /// What `kinesis.endpoint` would be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, this happens to requests.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Looks at all requests so far, in the order in which they were read.
    pub fn look<T>(&self, look: impl FnOnce(&[Request]) -> T) -> T {
        look(&self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of the access keys that requests were signed with so far.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<String> {
        self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until nobody is connected: what a dead client has sent has been dealt with.
    ///
    /// # Errors
    /// If somebody stays.
    pub async fn quiet(&self) -> Result<()> {
        wait::until("nobody is connected to the proxy", wait::LONG, async || {
            Ok((*self.shared.connections.borrow() == 0).then_some(()))
        })
        .await
    }
}

#[cfg(test)]
mod tests;
