//! One run of `kinetail pipe` in the spool: its directory, the lock on it, and its segments. Does not know where bytes
//! come from.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{ops, process};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::inlet::Place;
use super::portion::NEWLINE;
use super::segment::{Number, instance_name};
use super::{Settings, SpoolError};

/// How often a directory is made anew that was swept away before it could be locked.
const ATTEMPTS: u32 = 100;

/// A running instance. Its directory stays locked for as long as it exists.
#[derive(Debug)]
pub(super) struct Instance {
    settings: Settings,
    directory: PathBuf,
    next: Number,
    current: Option<Segment>,
    _lock: Lock,
}

/// A segment that is written to.
#[derive(Debug)]
struct Segment {
    file: File,
    end: u64,
}

/// A directory in which nobody else writes.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not used")] Flock<File>);

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Lines; the last may lack its newline.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Whether another segment may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may.
    Enough,
    /// The spool holds as much as it may.
    Full,
}

impl Lost {
    /// All of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Lost {
        let ended = memchr::memchr_iter(NEWLINE, bytes).count() as u64;
        let begun = u64::from(bytes.last().is_some_and(|last| *last != NEWLINE));
        Lost { lines: ended.saturating_add(begun), bytes: bytes.len() as u64 }
    }
}

impl ops::AddAssign for Lost {
    fn add_assign(&mut self, more: Lost) {
        self.lines = self.lines.saturating_add(more.lines);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

impl Instance {
    /// Makes the directory of a new instance, and locks it.
    pub(super) fn begin(settings: &Settings) -> Result<Instance, SpoolError> {
        let failed = |source| SpoolError::write(&settings.directory)(source);
        DirBuilder::new().recursive(true).mode(0o700).create(&settings.directory).map_err(failed)?;
        // A clock before the epoch puts it before all others, which only makes it the first to be dropped.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for attempt in 0..ATTEMPTS {
            let name = instance_name(now, process::id(), attempt);
            let directory = settings.directory.join(name);
            match DirBuilder::new().mode(0o700).create(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(failed)?,
            }
            // An empty directory that nobody has locked may be swept away at any time, also between these two calls.
            let lock = match Lock::take(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                taken => taken.map_err(failed)?,
            };
            if let Some(lock) = lock
                && directory.exists()
            {
                let (settings, next) = (settings.clone(), Number::FIRST);
                return Ok(Instance { settings, directory, next, current: None, _lock: lock });
            }
        }
        Err(failed(io::Error::other("each new directory is taken away at once")))
    }

    /// Where bytes go, if a segment is begun.
    pub(super) fn place(&mut self) -> Option<Place<'_>> {
        let Segment { file, end } = self.current.as_mut()?;
        Some(Place { file, end })
    }

    /// Where it is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the segment is as large as it may be.
    pub(super) fn is_due(&self) -> bool {
        self.current.as_ref().is_some_and(|segment| segment.end >= self.settings.segment_bytes())
    }

    /// Whether it is so large that even a line is cut for a new one.
    pub(super) fn is_overdue(&self) -> bool {
        let most = self.settings.segment_bytes().saturating_mul(2);
        self.current.as_ref().is_some_and(|segment| segment.end >= most)
    }

    /// Whether another segment may be begun.
    pub(super) fn room(&self) -> Result<Room, SpoolError> {
        let held: u64 = self.segments()?.iter().map(|(_, metadata)| metadata.len()).sum();
        let with_another = held.saturating_add(self.settings.segment_bytes());
        Ok(if with_another <= self.settings.bytes { Room::Enough } else { Room::Full })
    }

    /// Seals the segment, if there is one; its last line has ended.
    pub(super) fn seal(&mut self) -> Result<(), SpoolError> {
        if let Some(Segment { file, .. }) = self.current.take() {
            end_line(&file).map_err(SpoolError::write(&self.directory))?;
        }
        Ok(())
    }

    /// Begins another segment and seals that before it. Does neither where the disk has no room.
    pub(super) fn turn(&mut self) -> Result<Room, SpoolError> {
        let path = self.directory.join(self.next.name());
        // Not for appending: splice(2) refuses such a file.
        let file = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if is_full(&error) => return Ok(Room::Full),
            opened => opened.map_err(SpoolError::write(&path))?,
        };
        self.seal()?;
        self.current = Some(Segment { file, end: 0 });
        self.next = self.next.next();
        Ok(Room::Enough)
    }

    /// Removes the oldest sealed segment of all instances of the flow; says what was in it. None if there is none.
    pub(super) fn drop_oldest(&self) -> Result<Option<Lost>, SpoolError> {
        let mut segments = self.segments()?;
        segments
            .sort_by_cached_key(|(path, metadata)| (metadata.mtime(), metadata.mtime_nsec(), path.clone()));
        for (path, _) in segments {
            if !is_sealed(&path) {
                continue;
            }
            let dropped = fs::read(&path).and_then(|bytes| fs::remove_file(&path).map(|()| Lost::of(&bytes)));
            match dropped {
                Ok(lost) => return Ok(Some(lost)),
                // The agent, or another instance, was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(SpoolError::write(&path)(error)),
            }
        }
        Ok(None)
    }

    /// Every segment of the flow.
    fn segments(&self) -> Result<Vec<(PathBuf, fs::Metadata)>, SpoolError> {
        all_segments(&self.settings.directory).map_err(SpoolError::write(&self.settings.directory))
    }
}

impl Lock {
    /// Locks `directory`, unless somebody writes there.
    pub(super) fn take(directory: &Path) -> io::Result<Option<Lock>> {
        match Flock::lock(File::open(directory)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Lock(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }
}

/// Whether nothing will be added to the segment at `path` any more. The last line of one that a dead instance left is ended,
/// as that of every other.
pub(super) fn is_sealed(path: &Path) -> bool {
    let Some((directory, number)) = path.parent().zip(number(path)) else { return false };
    if directory.join(number.next().name()).exists() {
        return true;
    }
    // What cannot be looked at is left as it is.
    matches!(Lock::take(directory), Ok(Some(_lock)) if end_last_line(path).is_ok())
}

/// The segments of all instances below the directory of a flow.
pub(super) fn all_segments(flow: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let mut segments = Vec::new();
    for instance in listed(flow)? {
        for path in segments_of(&instance)? {
            // It may have been swept away by now.
            if let Ok(metadata) = fs::symlink_metadata(&path) {
                segments.push((path, metadata));
            }
        }
    }
    Ok(segments)
}

/// The segments of one instance, in order.
pub(super) fn segments_of(instance: &Path) -> io::Result<Vec<PathBuf>> {
    let mut segments = listed(instance)?;
    segments.retain(|path| number(path).is_some());
    segments.sort();
    Ok(segments)
}

/// What is in a directory; nothing if it is none, or is gone.
pub(super) fn listed(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Ends the last line of the segment of a dead instance, whose lock is held.
pub(super) fn end_last_line(path: &Path) -> io::Result<()> {
    end_line(&OpenOptions::new().read(true).write(true).open(path)?)
}

/// Whether a write failed as the disk, or what its user may have of it, is used up.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Adds the newline that the last line lacks, if it does.
fn end_line(file: &File) -> io::Result<()> {
    let end = file.metadata()?.len();
    let Some(last) = end.checked_sub(1) else { return Ok(()) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    if byte == [NEWLINE] { Ok(()) } else { file.write_all_at(&[NEWLINE], end) }
}

fn number(path: &Path) -> Option<Number> {
    Number::of(path.file_name()?.to_str()?)
}
