//! Writes numbered access log lines and rotates the file, at once or at a steady rate in the background.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{self, MissedTickBehavior};

/// Bursts of a steady load in a second.
const BURSTS: u64 = 100;

/// A program that logs to one file.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    lines: Lines,
    next: u64,
    written: Vec<Vec<u8>>,
}

/// Makes the line with a number.
struct Lines(Box<dyn Fn(u64) -> Vec<u8> + Send>);

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl Writer {
    /// Opens `path` for appending, as a server does at its start.
    ///
    /// # Errors
    /// If it cannot.
    pub fn open(path: impl Into<PathBuf>) -> Result<Writer> {
        Writer::numbered_from(path, 0)
    }

    /// The same with the lines' numbers beginning at `first`, so that two writers never write the same line.
    ///
    /// # Errors
    /// If it cannot open the file.
    pub fn numbered_from(path: impl Into<PathBuf>, first: u64) -> Result<Writer> {
        Ok(Writer { next: first, ..Writer::of(path, line)? })
    }

    /// The same with lines of another kind.
    ///
    /// # Errors
    /// If it cannot open the file.
    pub fn of(path: impl Into<PathBuf>, lines: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Result<Writer> {
        let path = path.into();
        Ok(Writer { file: append(&path)?, path, lines: Lines(Box::new(lines)), next: 0, written: Vec::new() })
    }

    /// Writes `count` lines, each by one call as httpd does.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn write(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let line = (self.lines.0)(self.next);
            self.next += 1;
            self.write_raw(&line)?;
        }
        Ok(())
    }

    /// Writes a line of one's own; its newline included, if it has one.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_raw(&mut self, line: &[u8]) -> Result<()> {
        self.file.write_all(line).with_context(|| format!("failed to write `{}`", self.path.display()))?;
        self.written.push(line.to_vec());
        Ok(())
    }

    /// Renames the file to `name` beside it and opens a new one under the old path.
    ///
    /// # Errors
    /// If the system does not allow that.
    pub fn rotate(&mut self, name: &str) -> Result<()> {
        rename(&self.path, &self.path.with_file_name(name))?;
        self.file = append(&self.path)?;
        Ok(())
    }

    /// Empties the file and goes on writing into it.
    ///
    /// # Errors
    /// If the system does not allow that.
    pub fn truncate(&mut self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("failed to truncate `{}`", self.path.display()))
    }

    /// Removes the file and opens a new one under the same path.
    ///
    /// # Errors
    /// If the system does not allow that.
    pub fn delete_and_recreate(&mut self) -> Result<()> {
        fs::remove_file(&self.path)?;
        self.file = append(&self.path)?;
        Ok(())
    }

    /// All that was written, line by line.
    pub fn written(&self) -> impl Iterator<Item = &[u8]> {
        self.written.iter().map(Vec::as_slice)
    }

    /// How many lines that were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.written.len() as u64
    }
}

/// The line with a number: nothing in it but the number changes.
#[must_use]
pub fn line(number: u64) -> Vec<u8> {
    let line = format!(
        "192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] \"GET /page?seq={number} HTTP/1.1\" 200 {} \
         \"https://shop.example/list\" \"Mozilla/5.0 (X11; Linux x86_64) load/1.0\"\n",
        number % 5000
    );
    line.into_bytes()
}

/// The number of a line or of its record.
#[must_use]
pub fn number(content: &[u8]) -> Option<u64> {
    let start = content.windows(4).position(|window| window == b"seq=")? + 4;
    let digits: Vec<u8> = content.iter().copied().skip(start).take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

/// Moves a file as logrotate does.
///
/// # Errors
/// If the system does not allow that.
#[expect(clippy::disallowed_methods, reason = "a rotation is a rename, and nobody syncs it")]
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("failed to rename `{}`", from.display()))
}

fn append(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("failed to open `{}`", path.display()))
}

/// A writer that writes at a steady rate while other things happen.
#[derive(Debug)]
pub struct Load {
    writer: Arc<Mutex<Writer>>,
    task: JoinHandle<Result<()>>,
}

impl Load {
    /// Lets `writer` write so many lines a second.
    #[must_use]
    pub fn start(writer: Writer, lines_per_second: u32) -> Load {
        let writer = Arc::new(Mutex::new(writer));
        let task = tokio::spawn(steadily(Arc::clone(&writer), lines_per_second));
        Load { writer, task }
    }

    /// Does something with the writer between two bursts.
    pub fn with<T>(&self, act: impl FnOnce(&mut Writer) -> T) -> T {
        act(&mut self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets it write for a while.
    pub async fn run(&self, duration: Duration) {
        time::sleep(duration).await;
    }

    /// Ends it; the writer comes back with its books.
    ///
    /// # Errors
    /// If it could not write.
    pub async fn stop(self) -> Result<Writer> {
        self.task.abort();
        let ended = self.task.await;
        if !ended.as_ref().is_err_and(JoinError::is_cancelled) {
            ended??;
        }
        let writer = Arc::into_inner(self.writer).context("somebody still writes")?;
        Ok(writer.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn steadily(writer: Arc<Mutex<Writer>>, lines_per_second: u32) -> Result<()> {
    let mut tick = time::interval(Duration::from_millis(1000 / BURSTS));
    // A load that was held up catches up: the rate is that of the whole.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut ticks: u64 = 0;
    loop {
        tick.tick().await;
        let due = |ticks: u64| ticks * u64::from(lines_per_second) / BURSTS;
        writer.lock().unwrap_or_else(PoisonError::into_inner).write(due(ticks + 1) - due(ticks))?;
        ticks += 1;
    }
}

/// A moment as Apache writes it, in UTC: `22/Nov/2026:10:00:00 +0000`.
#[must_use]
pub fn apache_time(moment: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut day = seconds / 86_400;
    let mut year = 1970;
    while day >= days_in_year(year) {
        day -= days_in_year(year);
        year += 1;
    }
    let february = days_in_year(year) - 337;
    let mut month = 0;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    let month = MONTHS.get(month).unwrap_or(&"Dec");
    format!("{:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000", day + 1)
}

fn days_in_year(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if leap { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: u64, text: &str) {
        assert_eq!(apache_time(UNIX_EPOCH + Duration::from_secs(seconds)), text);
    }

    #[test]
    fn moments_are_written_as_date_writes_them() {
        check(0, "01/Jan/1970:00:00:00 +0000");
        check(951_782_400, "29/Feb/2000:00:00:00 +0000");
        check(1_709_251_199, "29/Feb/2024:23:59:59 +0000");
        check(1_709_251_200, "01/Mar/2024:00:00:00 +0000");
        check(1_798_761_599, "31/Dec/2026:23:59:59 +0000");
        check(4_107_542_400, "01/Mar/2100:00:00:00 +0000");
    }

    #[test]
    fn the_number_of_a_line_can_be_read_back() {
        assert_eq!(number(&line(1234)), Some(1234));
        assert_eq!(number(b"{\"request\":\"GET /page?seq=7 HTTP/1.1\"}"), Some(7));
        assert_eq!(number(b"no number"), None);
    }

    #[tokio::test]
    async fn a_load_rotates_without_losing_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let load = Load::start(Writer::open(dir.path().join("log")).unwrap(), 2000);
        for name in ["log.1", "log.2"] {
            let before = load.with(|writer| writer.count());
            crate::wait::until("it writes", crate::wait::LONG, async || {
                Ok(load.with(|writer| (writer.count() > before).then_some(())))
            })
            .await
            .unwrap();
            load.with(|writer| writer.rotate(name)).unwrap();
        }
        let writer = load.stop().await.unwrap();
        let files = ["log.1", "log.2", "log"].map(|name| fs::read(dir.path().join(name)).unwrap());
        assert_eq!(files.concat(), writer.written().collect::<Vec<_>>().concat());
    }
}
