//! What other programs do to the files that the source reads: the same acts on the host's file system and on a simulated
//! one.
//!
//! Paths are absolute. The time of modification is given, in milliseconds since the epoch, so that each act has its own.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::{Bell, Disk, System, Watch};

/// A file that was opened for writing, whatever becomes of its name.
pub(super) trait Writer {
    /// Adds to its end.
    fn append(&self, bytes: &[u8], time: i64) -> io::Result<()>;
}

/// A file system that logs are written to and rotated on.
pub(super) trait Ground {
    /// How the source sees it.
    fn disk(&self) -> Arc<dyn Disk>;

    /// What tells the source that something was done.
    fn watch(&self, bell: Arc<Bell>) -> Watch;

    /// Adds to the end of a file, and makes it if it is not there.
    fn append(&self, path: &Path, bytes: &[u8], time: i64) -> io::Result<()>;

    /// Opens a file that is there, to write to its end.
    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn Writer>>;

    /// Cuts a file, or makes it longer with NUL bytes.
    fn set_len(&self, path: &Path, len: u64, time: i64) -> io::Result<()>;

    /// Makes `to` hold what `from` does; one that is there keeps its inode.
    fn copy(&self, from: &Path, to: &Path, time: i64) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes `path` a symbolic link.
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()>;

    fn make_directory(&self, path: &Path) -> io::Result<()>;
}

impl Ground for System {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(System)
    }

    fn watch(&self, bell: Arc<Bell>) -> Watch {
        Watch::new(bell)
    }

    fn append(&self, path: &Path, bytes: &[u8], time: i64) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(bytes)?;
        stamp(&file, time)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn Writer>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn set_len(&self, path: &Path, len: u64, time: i64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        stamp(&file, time)
    }

    fn copy(&self, from: &Path, to: &Path, time: i64) -> io::Result<()> {
        fs::copy(from, to)?;
        stamp(&OpenOptions::new().write(true).open(to)?, time)
    }

    #[expect(clippy::disallowed_methods, reason = "the files are those of a program that rotates its logs")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        symlink(target, path)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }
}

impl Writer for File {
    fn append(&self, bytes: &[u8], time: i64) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)?;
        stamp(file, time)
    }
}

fn stamp(file: &File, time: i64) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(time.try_into().unwrap());
    file.set_times(FileTimes::new().set_modified(time))
}
