//! Logs as httpd does: on a thread of its own, several processes to one file or one pipe, a numbered line with each write.
//!
//! Told to open its log again, it does so as after a graceful restart: new processes write to the new file at once, the
//! old ones go on in what they have open until their last request is answered.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::Instant;

use crate::wait;
use crate::writer;

/// Bursts in a second.
const BURSTS: u32 = 100;
/// Of so many lines one is written by the old processes, while there are any.
const OLD_SHARE: u64 = 3;

/// What a server does between its start and its end.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Lines a second.
    pub rate: u32,
    /// The number of its first line.
    pub first: u64,
    /// How long old processes go on writing after they were told to open their log again.
    pub lingering: Duration,
    /// When it goes on after its first burst of lines.
    pub goes_on: GoesOn,
}

/// When a server goes on after its first burst of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesOn {
    /// At its rate.
    AtOnce,
    /// When [`Server::go_on`] says so: no tool that is driven by lines rotates until then.
    WhenTold,
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    next: Arc<AtomicU64>,
    /// Whether it may go on after its first burst.
    may_go_on: Arc<AtomicBool>,
    /// Held while lines are written.
    writing: Arc<Mutex<()>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Server {
    /// Logs to the file at `path`; opens it again whenever there is a file at [`signal`].
    ///
    /// # Errors
    /// If it cannot open the file, or there is no thread for it.
    pub fn to_file(path: &Path, habits: Habits) -> Result<Server> {
        let log = Log { open: open(path)?, path: Some(path.to_owned()), old: Vec::new() };
        Server::start(log, habits)
    }

    /// Logs to a program's standard input.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn to_pipe(pipe: ChildStdin, habits: Habits) -> Result<Server> {
        Server::start(Log { open: Box::new(pipe), path: None, old: Vec::new() }, habits)
    }

    fn start(log: Log, habits: Habits) -> Result<Server> {
        let next = Arc::new(AtomicU64::new(habits.first));
        let (stop, stopped) = sync_channel(1);
        let writing = Arc::<Mutex<()>>::default();
        let may_go_on = Arc::new(AtomicBool::new(habits.goes_on == GoesOn::AtOnce));
        let (count, go, turn) = (Arc::clone(&next), Arc::clone(&may_go_on), Arc::clone(&writing));
        let thread = thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || log.write(&habits, &count, &go, &turn, &stopped))
            .context("failed to start a thread")?;
        Ok(Server { next, may_go_on, writing, stop: Some(stop), thread: Some(thread) })
    }

    /// The number of the line that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Lets it go on after its first burst.
    pub fn go_on(&self) {
        self.may_go_on.store(true, Ordering::SeqCst);
    }

    /// Waits until it has written so many more lines.
    ///
    /// # Errors
    /// If it does not.
    pub async fn grown(&self, lines: u64) -> Result<()> {
        let goal = self.next() + lines;
        let grown = async || Ok((self.next() >= goal).then_some(()));
        wait::until("the server has written", wait::LONG, grown).await
    }

    /// Does something while nothing is written.
    pub fn silent<T>(&self, act: impl FnOnce() -> T) -> T {
        let _silence = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        act()
    }

    /// Ends it; says what number its next line would have had.
    ///
    /// # Errors
    /// If it could not write.
    pub fn stop(mut self) -> Result<u64> {
        self.stop = None;
        let thread = self.thread.take().context("it is stopped once")?;
        thread.join().map_err(|_| anyhow!("the server panicked"))??;
        Ok(self.next())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        // What it has to say, it says to whoever calls `stop`.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The file that tells a server which logs to `path` to open its log again: it stands for a signal. It is beside the log's
/// directory, where no rotation takes it for a log.
#[must_use]
pub fn signal(path: &Path) -> PathBuf {
    let directory = path.parent().unwrap_or(path);
    // Logs in several directories have one name.
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    for part in [OsStr::new("."), path.file_name().unwrap_or_default(), OsStr::new(".reopen")] {
        name.push(part);
    }
    directory.with_file_name(name)
}

/// What a server writes to.
struct Log {
    open: Box<dyn Write + Send>,
    /// Where it is, if it is a file.
    path: Option<PathBuf>,
    /// What old processes write to, and until when.
    old: Vec<(Box<dyn Write + Send>, Instant)>,
}

impl Log {
    fn write(
        mut self,
        habits: &Habits,
        next: &AtomicU64,
        may_go_on: &AtomicBool,
        turn: &Mutex<()>,
        stopped: &Receiver<()>,
    ) -> Result<()> {
        let mut start = Instant::now();
        let mut burst = 0;
        loop {
            let writing = turn.lock().unwrap_or_else(PoisonError::into_inner);
            self.reopen(habits.lingering)?;
            if burst == 1 && !may_go_on.load(Ordering::SeqCst) {
                start = Instant::now();
            } else {
                burst += 1;
            }
            // A server that was held up catches up: the rate is that of the whole.
            let due = habits.first + u64::from(habits.rate) * u64::from(burst) / u64::from(BURSTS);
            for number in next.load(Ordering::SeqCst)..due {
                let old = self.old.last_mut().filter(|_| number % OLD_SHARE == 0);
                let log = old.map_or(&mut self.open, |(log, _)| log);
                log.write_all(&writer::line(number)).context("failed to write to the log")?;
                next.store(number + 1, Ordering::SeqCst);
            }
            drop(writing);
            let pause = (start + Duration::from_secs(1) * burst / BURSTS) - Instant::now();
            match stopped.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Opens the log again if it was told to.
    fn reopen(&mut self, lingering: Duration) -> Result<()> {
        let now = Instant::now();
        self.old.retain(|(_, until)| now < *until);
        let Some(path) = &self.path else { return Ok(()) };
        match fs::remove_file(signal(path)) {
            Ok(()) => {
                let before = std::mem::replace(&mut self.open, open(path)?);
                self.old.push((before, now + lingering));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).context("failed to take a signal"),
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn Write + Send>> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    Ok(Box::new(opened.with_context(|| format!("failed to open `{}`", path.display()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_signal_of_its_own() {
        let [one, other, third] =
            ["/logs/one/log", "/logs/other/log", "/logs/one/log2"].map(Path::new).map(signal);
        assert!(one != other && one != third, "{one:?}, {other:?}, {third:?}");
        assert_eq!(one.parent(), Some(Path::new("/logs")));
    }

    #[tokio::test]
    async fn old_processes_write_on_to_what_was_renamed() {
        let dir = tempfile::tempdir().unwrap();
        let [logs, rotated] = ["logs", "logs/log.1"].map(|name| dir.path().join(name));
        fs::create_dir(&logs).unwrap();
        let log = logs.join("log");
        let habits = Habits { rate: 2000, first: 5, lingering: wait::LONG, goes_on: GoesOn::AtOnce };
        let server = Server::to_file(&log, habits).unwrap();
        server.grown(100).await.unwrap();
        writer::rename(&log, &rotated).unwrap();
        fs::write(signal(&log), "").unwrap();
        wait::until("the log is there again", wait::LONG, async || Ok(log.exists().then_some(())))
            .await
            .unwrap();
        let before = fs::metadata(&rotated).unwrap().len();
        server.grown(100).await.unwrap();
        let next = server.stop().unwrap();

        assert!(fs::metadata(&rotated).unwrap().len() > before, "nobody wrote to the renamed file");
        let text = [rotated, log].map(|path| fs::read(path).unwrap()).concat();
        let mut numbers: Vec<u64> =
            text.split_inclusive(|byte| *byte == b'\n').filter_map(writer::number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (5..next).collect::<Vec<_>>());
    }
}
