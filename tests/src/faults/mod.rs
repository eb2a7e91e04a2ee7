//! Stands between the agent and the endpoint, does harm on request, and keeps books of every entry.
//!
//! - `http` reads and writes single HTTP/1.1 messages;
//! - `ledger` is the books: what was offered, what the endpoint took, what was answered;
//! - `proxy` serves one connection;
//! - `clock` is that of an endpoint whose clock is off.
//!
//! The mode can be changed while requests run; a request lives by the mode that is set when it has been read whole.

mod clock;
pub(crate) mod http;
mod ledger;
mod proxy;

pub use ledger::{Entry, Fate, Request, offered_after_acceptance, refused, unanswered};

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use md5::{Digest as _, Md5};
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
    /// It is answered with status 400 and this code, and not forwarded.
    Reject {
        /// Such as `ExpiredTokenException`.
        code: &'static str,
    },
    /// Of the entries, those whose partition key belongs to this one of four equal shards are refused and not forwarded.
    RefuseShard {
        /// 0 to 3, as [`shard`] says it.
        shard: u8,
    },
    /// The endpoint takes it; it is answered with status 503 and a page, as by what stands before a service.
    Unavailable,
    /// It is swallowed, and so is all that comes on its connection from then on, whatever the mode; nothing is answered.
    Silence,
    /// The endpoint takes it; of the answer one byte comes at a time, with [`TRICKLE`] between two.
    Trickle,
    /// The endpoint takes it; the connection ends in the middle of the answer.
    Truncate,
    /// The endpoint takes it; the answer lacks the verdict on the last entry.
    Shorten,
    /// The endpoint's clock is off. It says what it shows in each answer, and what is signed more than five minutes from that is
    /// answered with status 400 and not forwarded.
    Skew {
        /// How far it is ahead.
        seconds: i64,
    },
}

/// Between two bytes of an answer in [`Mode::Trickle`].
pub const TRICKLE: Duration = Duration::from_millis(50);

/// The one of four equal shards that a partition key belongs to:
/// <https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html#partition-key>.
#[must_use]
pub fn shard(partition_key: &str) -> u8 {
    let hash = Md5::digest(partition_key.as_bytes());
    hash.first().map_or(0, |first| first / 64)
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
    kept: Mutex<Kept>,
}

/// Requests that are kept as they came.
#[derive(Debug, Default)]
struct Kept {
    wanted: usize,
    requests: Vec<Raw>,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Such as `POST`.
    pub method: String,
    /// What it is for.
    pub path: String,
    /// Name, in lower case, and value, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// How the name of an access key begins that ends at the time that follows, in milliseconds since 1970.
pub const ENDS: &str = "AKIDUNTIL";

impl Faults {
    /// Starts a proxy in front of `upstream`, on a free port, in mode [`Mode::Pass`].
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn start(upstream: SocketAddr) -> Result<Faults> {
        Faults::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), upstream)
    }

    /// The same at an address of one's own.
    ///
    /// # Errors
    /// If it is taken, or there is no thread to be had.
    pub fn start_at(address: SocketAddr, upstream: SocketAddr) -> Result<Faults> {
        let listener = TcpListener::bind(address).context("failed to bind the proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            mode: watch::Sender::new(Mode::Pass),
            connections: watch::Sender::new(0),
            ledger: Mutex::default(),
            keys: Mutex::default(),
            kept: Mutex::default(),
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

    /// Keeps the next `count` requests as they come.
    pub fn keep(&self, count: usize) {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).wanted += count;
    }

    /// Those that were kept so far.
    #[must_use]
    pub fn kept(&self) -> Vec<Raw> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
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
