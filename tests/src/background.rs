//! A server with a runtime and a thread of its own, so that it is not held up by the test that talks to it.

use std::future::Future;
use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::oneshot;

/// A running server; dropping it ends the server with all its connections.
#[derive(Debug)]
pub struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs `work` until it ends or this is dropped.
    ///
    /// # Errors
    /// If the system has no thread or runtime to give.
    pub fn start(name: &str, work: impl Future<Output = ()> + Send + 'static) -> io::Result<Background> {
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = work => {}
                    // Ends by being dropped, too.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Background { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been printed already and shows in what the test finds.
            drop(thread.join());
        }
    }
}
