//! Where our own log goes: standard error, which is the journal under systemd, and a file that is rotated by size.
//!
//! Knows nothing of what is logged. A log that can't be written never stops the agent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The file's name: the Java agent's.
const FILE: &str = "aws-kinesis-agent.log";

/// Where the file is unless systemd says otherwise: the Java agent's directory.
pub const DIRECTORY: &str = "/var/log/aws-kinesis-agent";

/// A file that has grown to this is rotated.
const FILE_BYTES: u64 = 10 * 1024 * 1024;

/// How many rotated files are kept.
const KEPT: usize = 5;

/// What is logged unless `$KINETAIL_LOG` says otherwise.
const FILTER: &str = "info,aws_config=warn,aws_smithy_http_client=off";

/// Begins to log; to a file only if there is a directory for it. `filter` is what `$KINETAIL_LOG` says: a level, or levels by module.
pub fn start(directory: Option<PathBuf>, filter: Option<&str>) {
    let parsed: Option<Targets> = filter.and_then(|filter| filter.parse().ok());
    let filter = parsed.unwrap_or_else(|| FILTER.parse().unwrap_or_default());
    // The journal has its own clock.
    let stderr =
        fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(io::stderr().is_terminal());
    let stderr = if std::env::var_os("JOURNAL_STREAM").is_some() {
        stderr.without_time().boxed()
    } else {
        stderr.boxed()
    };
    let file = directory.and_then(|directory| RotatedFile::open(directory.join(FILE), FILE_BYTES).ok());
    let file = file.map(|file| fmt::layer().with_writer(file).with_target(false).with_ansi(false));
    // A second start, as in tests, keeps the first.
    tracing_subscriber::registry().with(filter).with(stderr).with(file).try_init().ok();
}

/// A log file that is renamed when it has grown too large.
#[derive(Debug)]
struct RotatedFile {
    path: PathBuf,
    limit: u64,
    open: Mutex<(File, u64)>,
}

impl RotatedFile {
    fn open(path: PathBuf, limit: u64) -> io::Result<RotatedFile> {
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(RotatedFile { path, limit, open: Mutex::new((file, size)) })
    }

    /// `log` becomes `log.1`, that `log.2`, and the last is gone.
    fn rotate(&self) -> io::Result<File> {
        let rotated = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..KEPT).rev() {
            rename(&rotated(number), &rotated(number + 1)).ok();
        }
        rename(&self.path, &rotated(1))?;
        append(&self.path)
    }
}

impl Write for &RotatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.1 >= self.limit
            && let Ok(file) = self.rotate()
        {
            *open = (file, 0);
        }
        open.0.write_all(bytes)?;
        open.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RotatedFile {
    type Writer = &'a RotatedFile;

    fn make_writer(&'a self) -> &'a RotatedFile {
        self
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[expect(clippy::disallowed_methods, reason = "our own log need not survive a power cut to the last line")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_full_is_rotated_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = RotatedFile::open(path.clone(), 10).unwrap();
        for line in 0..10 {
            writeln!(&log, "line {line:04}").unwrap();
        }
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("log"), "line 0009\n");
        assert_eq!(read("log.1"), "line 0008\n");
        assert_eq!(read(&format!("log.{KEPT}")), "line 0004\n");
        assert!(!directory.path().join(format!("log.{}", KEPT + 1)).exists());
        // Opened again, it goes on.
        let log = RotatedFile::open(path, 1000).unwrap();
        writeln!(&log, "more").unwrap();
        assert_eq!(read("log"), "line 0009\nmore\n");
    }
}
