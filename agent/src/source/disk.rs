//! The file system, as far as `source` asks it: names to [`Stat`]s, names to open files, and the bytes in them.
//!
//! [`System`] is that of the host. The histories of the model run over a simulated one, on which inode numbers, devices
//! and refusals are chosen. Does not know what a file means, and decides nothing.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use nix::fcntl::OFlag;
use nix::unistd::{Whence, lseek};

use crate::position::Offset;

/// Where names lead, and what is there.
pub trait Disk: Debug + Send + Sync {
    /// What is at the end of `path`, through all links.
    ///
    /// # Errors
    /// If nothing is there, or the system does not say.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// What is at `path` itself, which may be a link.
    ///
    /// # Errors
    /// If nothing is there, or the system does not say.
    fn stat_link(&self, path: &Path) -> io::Result<Stat>;

    /// `path` without links, `.` and `..`.
    ///
    /// # Errors
    /// If it leads nowhere.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf>;

    /// The names in a directory, in no order, each with what it is itself.
    ///
    /// # Errors
    /// If it cannot be listed. A single name that cannot be told is an error among the names.
    fn list(&self, directory: &Path) -> io::Result<Vec<io::Result<(OsString, Kind)>>>;

    /// Opens what is at `path` for reading, without waiting for a device or for the other end of a pipe.
    ///
    /// # Errors
    /// If the system refuses.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Content>>;
}

/// An open file: it stays what it is, whatever becomes of its name.
pub trait Content: Debug + Send + Sync {
    /// What the system says of it now.
    ///
    /// # Errors
    /// If the system does not say.
    fn stat(&self) -> io::Result<Stat>;

    /// Reads bytes from `offset` on; fewer than `bytes` has room for are no sign of the end, none are.
    ///
    /// # Errors
    /// If the disk does not give them.
    fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize>;

    /// Where from `offset` on there may be bytes that are not NUL: before that is a hole, which is not on the disk.
    fn behind_hole(&self, offset: Offset) -> Offset {
        offset
    }
}

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// The file system's device number.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// How many bytes it has.
    pub size: u64,
    /// The time of modification, in milliseconds since the epoch.
    pub modified: i64,
    /// When the inode was made, in nanoseconds since the epoch; 0 where the file system does not say.
    pub born: u64,
    /// How many names lead to it.
    pub links: u64,
    /// The user it belongs to.
    pub owner: u32,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

/// The file system of the host.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Disk for System {
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        fs::metadata(path).map(|metadata| Stat::of(&metadata))
    }

    fn stat_link(&self, path: &Path) -> io::Result<Stat> {
        fs::symlink_metadata(path).map(|metadata| Stat::of(&metadata))
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<io::Result<(OsString, Kind)>>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name(), Kind::of(entry.file_type()?)))
        };
        Ok(fs::read_dir(directory)?.map(entry).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn Content>> {
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        Ok(Arc::new(file))
    }
}

impl Content for File {
    fn stat(&self) -> io::Result<Stat> {
        self.metadata().map(|metadata| Stat::of(&metadata))
    }

    fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset.to_raw())
    }

    fn behind_hole(&self, offset: Offset) -> Offset {
        // A file system that knows no holes says that all is data; where nothing follows at all, there is an error.
        let data =
            i64::try_from(offset.to_raw()).ok().and_then(|from| lseek(self, from, Whence::SeekData).ok());
        data.and_then(|data| u64::try_from(data).ok()).map_or(offset, Offset::from_raw).max(offset)
    }
}

impl Stat {
    fn of(metadata: &Metadata) -> Stat {
        let born = metadata.created().ok().and_then(|born| born.duration_since(SystemTime::UNIX_EPOCH).ok());
        Stat {
            kind: Kind::of(metadata.file_type()),
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000),
            born: born.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0)),
            links: metadata.nlink(),
            owner: metadata.uid(),
        }
    }

    /// Whether both are of one inode.
    #[must_use]
    pub fn is_same_inode(&self, other: &Stat) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Kind {
    fn of(kind: fs::FileType) -> Kind {
        if kind.is_file() {
            Kind::File
        } else if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            Kind::Link
        } else {
            Kind::Other
        }
    }
}
