//! Signals: when the agent is asked to stop.
//!
//! Does not know what stopping means: `pipeline.rs` lets the steps run dry, in the order of the way of the data.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears SIGTERM, SIGINT and SIGHUP. As long as it exists they do not end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the system has no room for a signal handler.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; gives its name.
    pub async fn next(&mut self) -> &'static str {
        // Each arm only waits for a signal, which is kept until it is asked for: nothing is lost when another wins.
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}
