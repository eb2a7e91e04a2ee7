//! The Java agent's store: one table in an SQLite database.
//!
//! Does not know what a row means. Reading leaves no trace: not a byte in the store's directory is changed, also where a
//! crash left a journal that must be rolled back first; then a copy is read. Writing is one transaction.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, iter};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::row::RawRow;
use crate::position::FlowId;

/// How long to wait for another process to end its transaction. The Java agent's take milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The table of the Java agent 2.0, word by word as it makes it itself: it only ever adds it where it is missing.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS FILE_CHECKPOINTS (
    flow text,
    path text,
    fileId text,
    lastModifiedTime bigint,
    size bigint,
    offset bigint,
    lastUpdated datetime,
    PRIMARY KEY (flow, path))";

/// SQLite wrote the dates, so that SQLite reads them.
const SELECT: &str = "SELECT flow, path, fileId, lastModifiedTime, \"offset\",
    CAST(round(unixepoch(lastUpdated, 'subsec') * 1000) AS INTEGER)
    FROM FILE_CHECKPOINTS ORDER BY flow, path";

const INSERT: &str =
    "INSERT INTO FILE_CHECKPOINTS (flow, path, fileId, lastModifiedTime, size, offset, lastUpdated)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, strftime('%Y-%m-%d %H:%M:%f', ?7, ?8))";

/// The time of all rows of one transaction: each statement has a `now` of its own.
const NOW: &str = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')";

/// How much earlier than the latest row of a flow the others are: as little as makes a difference, since a file that was
/// made after its row is taken for another.
const EARLIER: &str = "-0.001 seconds";

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system does not let us.
    #[error("could not open the Java agent's store `{path}`")]
    Open {
        /// The store.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process is at it.
    #[error("another process works with the Java agent's store `{path}`; stop the Java agent first")]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// SQLite can't work with the file as the system gives it.
    #[error("could not work with the Java agent's store `{path}`")]
    Access {
        /// The store.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// What is there is something else, or broken.
    #[error("`{path}` is no store of the Java agent, or is damaged")]
    Damaged {
        /// The store.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Whether the positions may be there, and can be had once somebody has mended something.
    #[must_use]
    pub fn can_be_mended(&self) -> bool {
        match self {
            StoreError::Open { .. } | StoreError::Locked { .. } | StoreError::Access { .. } => true,
            StoreError::Damaged { .. } => false,
        }
    }

    fn of(path: &Path, source: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path },
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull,
            ) => StoreError::Access { path, source },
            Some(_) | None => StoreError::Damaged { path, source },
        }
    }
}

/// Reads every row.
pub(super) fn read(path: &Path) -> Result<Vec<RawRow>, StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    if has_wal(path).map_err(failed)? {
        return read_copy(path);
    }
    match select(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        // A crash left half a transaction, and to undo that is to write.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => read_copy(path),
        rows => rows.map_err(|error| StoreError::of(path, error)),
    }
}

/// One row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewRow {
    pub(super) path: String,
    pub(super) file_id: String,
    pub(super) modified: i64,
    pub(super) size: i64,
    pub(super) offset: i64,
}

/// Replaces the rows of each of these flows by its new ones, of which the first is the latest: the one that the Java
/// agent goes by.
pub(super) fn replace(path: &Path, flows: &[(FlowId, Vec<NewRow>)]) -> Result<(), StoreError> {
    if let Some(directory) = path.parent() {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        fs::create_dir_all(directory).map_err(failed)?;
    }
    write(path, flows).map_err(|error| StoreError::of(path, error))
}

fn write(path: &Path, flows: &[(FlowId, Vec<NewRow>)]) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute(TABLE, ())?;
    let now: String = transaction.query_row(NOW, (), |row| row.get(0))?;
    for (flow, rows) in flows {
        // Also rows of other paths: were one of them later than ours by a clock that was set back, it would count.
        transaction.execute("DELETE FROM FILE_CHECKPOINTS WHERE flow = ?1", [flow.as_str()])?;
        for (row, age) in rows.iter().zip(iter::once("0 seconds").chain(iter::repeat(EARLIER))) {
            let NewRow { path, file_id, modified, size, offset } = row;
            transaction.execute(INSERT, (flow.as_str(), path, file_id, modified, size, offset, &now, age))?;
        }
    }
    transaction.commit()
}

fn select(path: &Path, flags: OpenFlags) -> rusqlite::Result<Vec<RawRow>> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    let mut statement = connection.prepare(SELECT)?;
    let rows = statement.query_map((), |row| {
        let text = |index| row.get_ref(index).map(text);
        Ok(RawRow {
            flow: text(0)?,
            path: text(1)?,
            file_id: text(2)?,
            modified: text(3)?,
            offset: text(4)?,
            updated: text(5)?,
        })
    })?;
    rows.collect()
}

/// A value as text: a column of SQLite may hold anything, whatever its type.
fn text(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    }
}

/// Whether the store has a write-ahead log, which even a reader has to write to. The Java agent's has none, unless
/// somebody else opened it: <https://www.sqlite.org/fileformat.html#file_format_version_numbers>.
fn has_wal(path: &Path) -> io::Result<bool> {
    const VERSIONS_END: u64 = 20;
    let mut header = Vec::new();
    File::open(path)?.take(VERSIONS_END).read_to_end(&mut header)?;
    Ok(matches!(header.as_slice(), [.., 2, 2]) && header.len() as u64 == VERSIONS_END)
}

/// Reads a copy of the store with what a crash left beside it: there SQLite may undo or complete.
fn read_copy(path: &Path) -> Result<Vec<RawRow>, StoreError> {
    let copy = Copy::of(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    select(&copy.store(), OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| StoreError::of(path, error))
}

/// A copy in a directory of its own, which is removed with it.
struct Copy {
    directory: PathBuf,
}

impl Copy {
    fn of(path: &Path) -> io::Result<Copy> {
        let name = format!("kinetail-takeover-{:016x}", fastrand::u64(..));
        let copy = Copy { directory: env::temp_dir().join(name) };
        DirBuilder::new().mode(0o700).create(&copy.directory)?;
        for ending in ["", "-journal", "-wal"] {
            let with_ending = |path: &Path| {
                let mut path = path.to_owned().into_os_string();
                path.push(ending);
                path
            };
            match fs::copy(with_ending(path), with_ending(&copy.store())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !ending.is_empty() => {}
                copied => drop(copied?),
            }
        }
        Ok(copy)
    }

    fn store(&self) -> PathBuf {
        self.directory.join("store")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the directory of temporary files.
        fs::remove_dir_all(&self.directory).unwrap_or_default();
    }
}
