//! What the agent is asked while it runs: by a signal, or by who runs it.
//!
//! Does not know what an answer takes: `pipeline/flows.rs` reloads, `pipeline.rs` lets the steps run dry in the order of
//! the way of the data.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To stop; by whom.
    Stop(&'static str),
    /// To read the configuration again.
    Reload,
    /// To tell the log how everything is.
    Tell,
}

/// Where requests come from. As long as this exists no signal of them ends the process by itself.
#[derive(Debug)]
pub enum Requests {
    /// Signals.
    Signals {
        /// SIGTERM.
        terminate: Signal,
        /// SIGINT.
        interrupt: Signal,
        /// SIGHUP.
        hang_up: Signal,
        /// SIGUSR1.
        user: Signal,
    },
    /// Those of who runs the agent as a part of a program, to stop.
    Program(Arc<Notify>),
}

impl Requests {
    /// Begins to listen to signals.
    ///
    /// # Errors
    /// If the system has no room for a signal handler.
    pub fn of_signals() -> io::Result<Requests> {
        Ok(Requests::Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Request {
        match self {
            // Each arm only waits for a signal, which is kept until it is asked for: nothing is lost when another wins.
            Requests::Signals { terminate, interrupt, hang_up, user } => tokio::select! {
                _ = terminate.recv() => Request::Stop("SIGTERM"),
                _ = interrupt.recv() => Request::Stop("SIGINT"),
                _ = hang_up.recv() => Request::Reload,
                _ = user.recv() => Request::Tell,
            },
            Requests::Program(request) => {
                request.notified().await;
                Request::Stop("the end of what it reads")
            }
        }
    }

    /// Waits for the next one to stop; says where it is from. What else is asked is kept.
    pub async fn stop(&mut self) -> &'static str {
        match self {
            Requests::Signals { terminate, interrupt, .. } => tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            },
            Requests::Program(request) => {
                request.notified().await;
                "the end of what it reads"
            }
        }
    }
}
