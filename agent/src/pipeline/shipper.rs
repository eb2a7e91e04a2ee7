//! Delivers what `kinetail pipe` takes in where no agent does: the pipeline in a thread, on the state directory of the flow.
//!
//! Of all instances on one state directory the first to lock it delivers for all, those that have died included, and when
//! it ends the next goes on where it was.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::error;

use crate::chain::Chain;
use crate::config::Config;
use crate::requests::Requests;
use crate::spool::{Asked, Signals, left};
use crate::supervisor::Supervisor;

/// How often it is tried to become the one that delivers.
const LOCKED: Duration = Duration::from_secs(1);

/// How long to wait before another attempt to start.
const FAILED: Duration = Duration::from_secs(10);

/// How long nothing need be delivered, at the end, until the rest is left to another.
const STANDSTILL: Duration = Duration::from_secs(60);

/// How often is looked, at the end, what is left.
const LOOK: Duration = Duration::from_millis(50);

/// A running delivery.
#[derive(Debug)]
pub struct Shipper {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

/// That it is to stop.
#[derive(Debug, Default)]
struct Stop {
    is_asked: AtomicBool,
    request: Arc<Notify>,
}

impl Shipper {
    /// Begins to deliver as configured, or waits until it is the one to.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub fn start(config: Config) -> io::Result<Shipper> {
        let stop = Arc::new(Stop::default());
        let asked = Arc::clone(&stop);
        let thread = thread::Builder::new().name("ship".to_owned()).spawn(move || ship(&config, &asked))?;
        Ok(Shipper { stop, thread })
    }

    /// Waits until everything below `spool` is delivered that nobody adds to, unless a signal asks for the end or nothing
    /// moves any more; then ends in order. Says how many bytes are left, if there is anything.
    #[must_use]
    pub fn finish(self, spool: &Path, signals: &Signals) -> Option<u64> {
        let mut moved = (left(spool), Instant::now());
        while moved.0.is_some() && moved.1.elapsed() < STANDSTILL {
            // Without signals there is nothing better to do than to wait for the end.
            if matches!(signals.wait(LOOK), Ok(Asked::Yes)) {
                break;
            }
            let now = left(spool);
            if now != moved.0 {
                moved = (now, Instant::now());
            }
        }
        self.stop.is_asked.store(true, Ordering::Release);
        self.stop.request.notify_one();
        self.thread.thread().unpark();
        // A panic has ended the process.
        drop(self.thread.join());
        left(spool)
    }
}

fn ship(config: &Config, stop: &Stop) {
    while !stop.is_asked.load(Ordering::Acquire) {
        // httpd's service manager is not to hear from its children.
        let listen = || Ok(Requests::Program(Arc::clone(&stop.request)));
        let wait = match super::run(config.clone(), listen, &Supervisor::none()) {
            Ok(()) => return,
            Err(error) if error.is_held_by_another() => LOCKED,
            Err(error) => {
                error!(error = %Chain(&error), "could not deliver; keeps what comes in, and tries again");
                FAILED
            }
        };
        thread::park_timeout(wait);
    }
}
