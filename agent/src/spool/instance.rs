//! One run of `kinetail pipe` in the spool: its directory, the lock on it, and its segments. Knows of where bytes come from
//! only the number of the pipe.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{ops, process};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::inlet::Place;
use super::portion::{Line, NEWLINE};
use super::segment::{Number, instance_name, pipe_of};
use super::{Settings, SpoolError};

/// How often a directory is made anew that was swept away before it could be locked.
const ATTEMPTS: u32 = 100;

/// How long the last line of a dead instance waits for its end, if it was killed in the middle of it: longer than httpd takes
/// to start another at the same pipe.
const SUCCESSION: Duration = Duration::from_secs(10);

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

/// What keeps a segment as it is, for as long as this exists.
#[derive(Debug)]
pub(super) enum Seal {
    /// The next segment.
    Next,
    /// Its instance is dead, and none goes on in its place.
    Death(#[expect(dead_code, reason = "it is held, not used")] Lock),
}

impl Instance {
    /// Begins to take in what comes out of `pipe`, where it is one. Goes on where an instance that read the same was killed
    /// in the middle of a line, of which the rest is still to come.
    pub(super) fn begin(settings: &Settings, pipe: Option<u64>) -> Result<Instance, SpoolError> {
        let killed = pipe.map(|pipe| Instance::succeed(settings, pipe)).transpose();
        match killed.map_err(SpoolError::write(&settings.directory))?.flatten() {
            Some(instance) => Ok(instance),
            None => Instance::make(settings, pipe),
        }
    }

    /// Takes the place of an instance that was killed in the middle of a line out of `pipe`.
    fn succeed(settings: &Settings, pipe: u64) -> io::Result<Option<Instance>> {
        for directory in listed(&settings.directory)? {
            let name = directory.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if pipe_of(name) != Some(pipe) {
                continue;
            }
            let Some(lock) = Lock::take(&directory)? else { continue };
            let segments = segments_of(&directory)?;
            let Some((last, number)) = segments.last().and_then(|last| Some((last, number(last)?))) else {
                continue;
            };
            let file = writable(last)?;
            if awaits_its_end(&file)? {
                let end = file.metadata()?.len();
                let (settings, next) = (settings.clone(), number.next());
                let current = Some(Segment { file, end });
                return Ok(Some(Instance { settings, directory, next, current, _lock: lock }));
            }
        }
        Ok(None)
    }

    /// Makes the directory of a new instance, and locks it.
    fn make(settings: &Settings, pipe: Option<u64>) -> Result<Instance, SpoolError> {
        let failed = |source| SpoolError::write(&settings.directory)(source);
        DirBuilder::new().recursive(true).mode(0o700).create(&settings.directory).map_err(failed)?;
        // A clock before the epoch puts it before all others, which only makes it the first to be dropped.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for attempt in 0..ATTEMPTS {
            let name = instance_name(now, process::id(), attempt, pipe);
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

    /// Whether it goes on in the middle of a line.
    pub(super) fn line(&self) -> Line {
        if self.current.is_some() { Line::Begun } else { Line::Whole }
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
            let Some(_seal) = sealed(&path) else { continue };
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

/// The seal of the segment at `path`, if nothing will be added to it any more. The last line of one that a dead instance left
/// is ended, as that of every other.
pub(super) fn sealed(path: &Path) -> Option<Seal> {
    let (directory, number) = path.parent().zip(number(path))?;
    if directory.join(number.next().name()).exists() {
        return Some(Seal::Next);
    }
    // What cannot be looked at is left as it is.
    let lock = Lock::take(directory).ok()??;
    matches!(end_last_line(path), Ok(Line::Whole)).then_some(Seal::Death(lock))
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

/// Ends the last line of the segment of a dead instance, whose lock is held, unless another may still go on there; says what
/// it is now.
pub(super) fn end_last_line(path: &Path) -> io::Result<Line> {
    let file = writable(path)?;
    if awaits_its_end(&file)? {
        return Ok(Line::Begun);
    }
    end_line(&file).map(|()| Line::Whole)
}

fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether an instance that was killed so short a time ago left its last line begun that another may take its place.
fn awaits_its_end(file: &File) -> io::Result<bool> {
    let written = file.metadata()?.modified()?;
    // What was written in the future is of a clock that was wrong, and of no use.
    let is_fresh = SystemTime::now().duration_since(written).is_ok_and(|age| age < SUCCESSION);
    Ok(is_fresh && last_line(file)? == Line::Begun)
}

/// Whether a write failed as the disk, or what its user may have of it, is used up.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Adds the newline that the last line lacks, if it does.
fn end_line(file: &File) -> io::Result<()> {
    match last_line(file)? {
        Line::Whole => Ok(()),
        Line::Begun => file.write_all_at(&[NEWLINE], file.metadata()?.len()),
    }
}

/// Whether a newline is the last byte of a segment.
fn last_line(file: &File) -> io::Result<Line> {
    let mut last = [0];
    let Some(at) = file.metadata()?.len().checked_sub(1) else { return Ok(Line::Whole) };
    file.read_exact_at(&mut last, at)?;
    Ok(Line::Whole.behind(&last))
}

fn number(path: &Path) -> Option<Number> {
    Number::of(path.file_name()?.to_str()?)
}
