//! When the agent is asked to stop: by a signal, or by who runs it.
//!
//! Does not know what stopping means: `pipeline.rs` lets the steps run dry, in the order of the way of the data.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// Requests to stop.
#[derive(Debug)]
pub enum StopRequests {
    /// SIGTERM, SIGINT and SIGHUP. As long as this exists they do not end the process by themselves.
    Signals {
        /// SIGTERM.
        terminate: Signal,
        /// SIGINT.
        interrupt: Signal,
        /// SIGHUP.
        hang_up: Signal,
    },
    /// Those of who runs the agent as a part of a program.
    Program(Arc<Notify>),
}

impl StopRequests {
    /// Begins to listen to signals.
    ///
    /// # Errors
    /// If the system has no room for a signal handler.
    pub fn of_signals() -> io::Result<StopRequests> {
        Ok(StopRequests::Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; says where it is from.
    pub async fn next(&mut self) -> &'static str {
        match self {
            // Each arm only waits for a signal, which is kept until it is asked for: nothing is lost when another wins.
            StopRequests::Signals { terminate, interrupt, hang_up } => tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hang_up.recv() => "SIGHUP",
            },
            StopRequests::Program(request) => {
                request.notified().await;
                "the end of what it reads"
            }
        }
    }
}
