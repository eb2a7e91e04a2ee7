//! The state directory: reads the checkpoint whole or says why not, and replaces it durably.
//!
//! `checkpoint` is always there once it was written; `checkpoint.previous` is the one before, and is given up only for
//! one that is on the disk already; a file that can't be trusted is set aside as `….damaged`. The lock keeps a second
//! agent out. (G2)

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{Flock, FlockArg};
use tracing::error;

use super::format::{FormatError, State};
use crate::chain::Chain;

const CURRENT: &str = "checkpoint";
const PREVIOUS: &str = "checkpoint.previous";
/// The next one, until it is whole and on the disk.
const NEW: &str = "checkpoint.new";
/// The present one's second name, until it is the one before.
const LINK: &str = "checkpoint.link";
const LOCK: &str = "lock";
/// What is appended to the name of a file that is set aside.
const DAMAGED: &str = ".damaged";
/// The same for one that is good, but is not to be used any more.
const REPLACED: &str = ".replaced";

/// Why the state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be made, or not be written to.
    #[error("the state directory `{path}` can't be written to; mend it, or name another as `stateDirectory`")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another agent works with it.
    #[error(
        "another kinetail{holder} works with the state directory `{path}`; stop it first, or give this one its own `stateDirectory`"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other one.
        holder: Holder,
    },
    /// A file in it can't be read.
    #[error("could not read `{path}`; mend the disk, or move the file away to read all files again")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is of a later version: nothing may be written over it.
    #[error(
        "`{path}` can't be used; install the kinetail that wrote it, or move it away to read all files again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Which version.
        #[source]
        source: FormatError,
    },
    /// A file in it can't be written.
    #[error("failed to write new state to `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The process that works with a state directory, if it had room to say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// The state directory, locked.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// How many files it has set aside as they can't be trusted.
    damaged: AtomicU64,
    _lock: Flock<File>,
}

impl Store {
    /// Makes the directory if it is missing, and keeps other agents out of it.
    ///
    /// # Errors
    /// If it can't be made or written to, or another agent holds it.
    pub fn open(directory: &Path) -> Result<Store, StoreError> {
        let failed = |source| StoreError::Directory { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        let path = directory.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                // It is the lock that counts, not what stands in the file: a disk without room keeps nobody out.
                lock.set_len(0).and_then(|()| (&*lock).write_all(process::id().to_string().as_bytes())).ok();
                Ok(Store { directory: directory.to_owned(), damaged: AtomicU64::new(0), _lock: lock })
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                let holder = fs::read_to_string(path).ok().and_then(|pid| pid.parse().ok());
                Err(StoreError::Locked { path: directory.to_owned(), holder: Holder(holder) })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    /// Reads the checkpoint, or the one before if it can't be trusted; what can't be trusted is set aside.
    ///
    /// # Errors
    /// If a file can't be read at all, or is of a later version.
    pub fn load(&self) -> Result<Found, StoreError> {
        let (found, damaged) = load(&self.directory)?;
        for (path, error) in damaged {
            let mut aside = path.clone().into_os_string();
            aside.push(DAMAGED);
            let aside = PathBuf::from(aside);
            error!(file = %path.display(), error = %Chain(&error),
                   "checkpoint can't be trusted; keeps it as `{}` and uses {}; look after the disk",
                   aside.display(), found.instead());
            rename(&path, &aside).map_err(|source| StoreError::Write { path, source })?;
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// How many files were set aside as they can't be trusted.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Replaces the checkpoint, so that after a power cut either the old or the new one is there, whole.
    ///
    /// # Errors
    /// If any step fails; the checkpoint on disk is then the old one.
    pub fn save(&self, state: &State) -> Result<(), StoreError> {
        let failed = |source| StoreError::Write { path: self.directory.join(CURRENT), source };
        replace(&self.directory, &state.write()).map_err(failed)
    }

    /// Moves the checkpoint and the one before away, as `….replaced`, so that there is none.
    ///
    /// # Errors
    /// If one is there and can't be moved.
    pub fn set_aside(&self) -> Result<(), StoreError> {
        // The older first: were it left alone by a crash, it would be taken for the last.
        for name in [PREVIOUS, CURRENT] {
            let path = self.directory.join(name);
            match rename(&path, &self.directory.join(format!("{name}{REPLACED}"))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved.map_err(|source| StoreError::Write { path, source })?,
            }
        }
        Ok(())
    }

    /// Replaces `name` by `text`. For readers beside us: never torn, but not synced, as it is of no use after a crash.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn publish(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let path = self.directory.join(name);
        let new = self.directory.join(format!("{name}.new"));
        fs::write(&new, text)
            .and_then(|()| rename(&new, &path))
            .map_err(|source| StoreError::Write { path, source })
    }
}

/// What a state directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No agent ever wrote a checkpoint there.
    Nothing,
    /// The last checkpoint, or the one before.
    State(State),
    /// Checkpoints, none of which can be trusted. That is not the same as nothing: files were read, but nobody knows
    /// how far.
    Damaged,
}

impl Found {
    /// What is used in the place of a checkpoint that can't be trusted.
    fn instead(&self) -> &'static str {
        match self {
            Found::State(_) => "the one before: what was delivered since then is sent again",
            Found::Nothing | Found::Damaged => "none",
        }
    }
}

/// Reads what `directory` holds, without locking or changing it; gives the files that can't be trusted beside it.
///
/// # Errors
/// If a file can't be read at all, or is of a later version.
pub fn load(directory: &Path) -> Result<(Found, Vec<(PathBuf, FormatError)>), StoreError> {
    let mut damaged = Vec::new();
    for name in [CURRENT, PREVIOUS] {
        let path = directory.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(StoreError::Read { path, source }),
        };
        match State::read(&bytes) {
            Ok(state) => return Ok((Found::State(state), damaged)),
            Err(source @ FormatError::Newer { .. }) => return Err(StoreError::Newer { path, source }),
            Err(error) => damaged.push((path, error)),
        }
    }
    // An agent that set damaged ones aside may have ended before it wrote a new one.
    let was_damaged =
        [CURRENT, PREVIOUS].iter().any(|name| directory.join(format!("{name}{DAMAGED}")).exists());
    Ok((if damaged.is_empty() && !was_damaged { Found::Nothing } else { Found::Damaged }, damaged))
}

/// Replaces the checkpoint whole: write beside, sync, rename, sync the directory.
///
/// The one before is given up only when the new one is on the disk: as long as that fails, both that are there stay.
fn replace(directory: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = directory.join(NEW);
    if let Err(error) = write_new(&new, bytes) {
        // A full disk needs the room.
        remove(&new).ok();
        return Err(error);
    }
    keep_previous(directory)?;
    rename(&new, &directory.join(CURRENT))?;
    // The rename lives in the directory, so the directory must reach the disk too; otherwise a power cut can bring
    // the old name back.
    File::open(directory)?.sync_all()
}

/// Writes a file that was not there before, and waits until it is on the disk.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A failed sync is final: the next may report success for bytes that were thrown away. So nothing of a failed
    // attempt is used again, neither its descriptor nor its inode.
    remove(path)?;
    let mut file = File::create_new(path)?;
    // A command that root runs must not leave a file that the agent cannot read.
    if nix::unistd::geteuid().is_root() {
        let owner = fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the present checkpoint the one before. It stays in its place all the while.
fn keep_previous(directory: &Path) -> io::Result<()> {
    let link = directory.join(LINK);
    remove(&link)?;
    match fs::hard_link(directory.join(CURRENT), &link) {
        Ok(()) => rename(&link, &directory.join(PREVIOUS)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that renames: its callers sync what must be synced"
)]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::FlowId;

    fn state(generation: u64) -> State {
        State { generation, flows: vec![(FlowId::new("kinesis:in", "/log"), Vec::new())] }
    }

    /// A directory in which generations 1 and 2 were saved, and `damage` was done.
    #[track_caller]
    fn check(damage: impl FnOnce(&Path), expected: Found) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.save(&state(1)).unwrap();
        store.save(&state(2)).unwrap();
        damage(directory.path());
        assert_eq!(store.load().unwrap(), expected);
    }

    #[test]
    fn the_last_one_saved_is_loaded() {
        check(|_| (), Found::State(state(2)));
    }

    #[test]
    fn a_torn_one_is_set_aside_and_the_one_before_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let [current, previous] = [CURRENT, PREVIOUS].map(|name| directory.path().join(name));
        let store = Store::open(directory.path()).unwrap();
        fs::write(&previous, state(1).write()).unwrap();
        let whole = state(2).write();
        for torn in (0..whole.len()).map(|cut| &whole[..cut]) {
            fs::write(&current, torn).unwrap();
            assert_eq!(store.load().unwrap(), Found::State(state(1)));
            assert_eq!(fs::read(current.with_extension("damaged")).unwrap(), torn);
        }
    }

    #[test]
    fn what_is_left_of_an_attempt_that_was_cut_short_does_not_matter() {
        for name in [NEW, LINK] {
            check(|directory| fs::write(directory.join(name), "?").unwrap(), Found::State(state(2)));
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join(name), "?").unwrap();
            let store = Store::open(directory.path()).unwrap();
            store.save(&state(1)).unwrap();
            assert_eq!(store.load().unwrap(), Found::State(state(1)));
        }
    }

    #[test]
    fn an_attempt_that_fails_gives_up_neither_checkpoint_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.save(&state(1)).unwrap();
        store.save(&state(2)).unwrap();
        let read = || [CURRENT, PREVIOUS].map(|name| fs::read(directory.path().join(name)).unwrap());
        let before = read();
        // What can't be removed can't be replaced, not even by root.
        fs::create_dir(directory.path().join(NEW)).unwrap();
        assert!(matches!(store.save(&state(3)), Err(StoreError::Write { .. })));
        assert_eq!(read(), before);
        fs::remove_dir(directory.path().join(NEW)).unwrap();
        store.save(&state(4)).unwrap();
        assert_eq!(read(), [4, 2].map(|generation| state(generation).write()));
    }

    #[test]
    fn with_none_left_nobody_knows_how_far_files_were_read() {
        check(
            |directory| {
                fs::write(directory.join(CURRENT), "").unwrap();
                fs::write(directory.join(PREVIOUS), "?").unwrap();
            },
            Found::Damaged,
        );
    }

    #[test]
    fn what_never_was_is_not_the_same_as_what_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Store::open(directory.path()).unwrap().load().unwrap(), Found::Nothing);
    }

    #[test]
    fn a_damaged_one_is_kept_for_the_operator() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(CURRENT), "damaged").unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.load().unwrap();
        assert_eq!(fs::read(directory.path().join("checkpoint.damaged")).unwrap(), b"damaged");
        assert_eq!(store.damaged(), 1);
    }

    #[test]
    fn what_was_damaged_is_remembered_until_there_is_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(CURRENT), "damaged").unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!((store.load().unwrap(), store.load().unwrap()), (Found::Damaged, Found::Damaged));
        store.save(&state(1)).unwrap();
        assert_eq!(store.load().unwrap(), Found::State(state(1)));
    }

    #[test]
    fn a_newer_version_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let newer = String::from_utf8(state(3).write()).unwrap().replace(" v1 ", " v9 ");
        fs::write(directory.path().join(CURRENT), &newer).unwrap();
        assert!(matches!(load(directory.path()), Err(StoreError::Newer { .. })));
        assert_eq!(fs::read_to_string(directory.path().join(CURRENT)).unwrap(), newer);
    }

    #[test]
    fn what_root_saves_belongs_to_whom_the_directory_does() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        std::os::unix::fs::chown(directory.path(), Some(1234), Some(2345)).expect("the test needs root");
        store.save(&state(1)).unwrap();
        let saved = fs::metadata(directory.path().join(CURRENT)).unwrap();
        assert_eq!((saved.uid(), saved.gid()), (1234, 2345));
    }

    #[test]
    fn a_second_agent_is_kept_out() {
        let directory = tempfile::tempdir().unwrap();
        let first = Store::open(directory.path()).unwrap();
        let message = Store::open(directory.path()).unwrap_err().to_string();
        let holder = format!("another kinetail (process {}) works with", process::id());
        assert!(message.starts_with(&holder), "{message}");
        drop(first);
        assert!(Store::open(directory.path()).is_ok());
    }
}
