//! A row of the Java agent's store: texts to values. Pure.
//!
//! Does not know whether the file is still there. Whatever a row holds that means nothing is an error of that row alone.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::position::{FlowId, Offset};

/// A row as the store has it: the text of each column; none where it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRow {
    /// The flow's id.
    pub flow: Option<Vec<u8>>,
    /// Where the file was when it was last listed.
    pub path: Option<Vec<u8>>,
    /// `(dev=fd01,ino=1315722)`.
    pub file_id: Option<Vec<u8>>,
    /// The file's time of modification when it was last listed, in milliseconds since the epoch.
    pub modified: Option<Vec<u8>>,
    /// Behind the last record that was taken.
    pub offset: Option<Vec<u8>>,
    /// When the row was written, in milliseconds since the epoch.
    pub updated: Option<Vec<u8>>,
}

/// How far the Java agent has read one file of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The flow.
    pub flow: FlowId,
    /// Where the file was when it was last listed.
    pub path: PathBuf,
    /// The device it was on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its time of modification when it was last listed, in milliseconds since the epoch.
    pub modified: i64,
    /// Everything before this was taken by the stream.
    pub offset: Offset,
    /// When the row was written, in milliseconds since the epoch.
    pub updated: i64,
}

/// Why a row means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row of `{flow}` and `{path}` is left out: its `{column}` must be {wanted}, not `{found}`")]
pub struct RowError {
    flow: String,
    path: String,
    column: &'static str,
    wanted: &'static str,
    found: String,
}

impl Row {
    /// Understands a row.
    ///
    /// # Errors
    /// If a column holds something else than the Java agent writes.
    pub fn read(raw: &RawRow) -> Result<Row, RowError> {
        let wrong = |column, wanted, found: &Option<Vec<u8>>| RowError {
            flow: shown(raw.flow.as_ref()),
            path: shown(raw.path.as_ref()),
            column,
            wanted,
            found: shown(found.as_ref()),
        };
        let flow = text(raw.flow.as_ref()).filter(|flow| !flow.is_empty());
        let path = raw.path.clone().filter(|path| path.first() == Some(&b'/'));
        let (device, inode) = text(raw.file_id.as_ref())
            .and_then(file_id)
            .ok_or_else(|| wrong("fileId", "of the form `(dev=fd01,ino=42)`", &raw.file_id))?;
        let offset = text(raw.offset.as_ref()).and_then(unsigned);
        Ok(Row {
            flow: FlowId::from_text(flow.ok_or_else(|| wrong("flow", "a flow's id", &raw.flow))?.to_owned()),
            path: OsString::from_vec(path.ok_or_else(|| wrong("path", "a path from the root", &raw.path))?)
                .into(),
            device,
            inode,
            modified: signed(raw.modified.as_ref())
                .ok_or_else(|| wrong("lastModifiedTime", "a number", &raw.modified))?,
            offset: Offset::from_raw(offset.ok_or_else(|| wrong("offset", "a number", &raw.offset))?),
            updated: signed(raw.updated.as_ref())
                .ok_or_else(|| wrong("lastUpdated", "a date and time", &raw.updated))?,
        })
    }
}

/// The file id as the Java agent writes it: the device in hexadecimal, the inode in decimal digits.
#[must_use]
pub(super) fn write_file_id(device: u64, inode: u64) -> String {
    format!("(dev={device:x},ino={inode})")
}

fn file_id(text: &str) -> Option<(u64, u64)> {
    let (device, inode) = text.strip_prefix("(dev=")?.strip_suffix(')')?.split_once(",ino=")?;
    let is_hex = device.bytes().all(|digit| digit.is_ascii_hexdigit());
    Some((u64::from_str_radix(device, 16).ok().filter(|_| is_hex)?, unsigned(inode)?))
}

/// A number without a sign.
fn unsigned(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()))
}

fn signed(bytes: Option<&Vec<u8>>) -> Option<i64> {
    text(bytes)?.parse().ok()
}

fn text(bytes: Option<&Vec<u8>>) -> Option<&str> {
    str::from_utf8(bytes?).ok()
}

/// A value for a message.
fn shown(bytes: Option<&Vec<u8>>) -> String {
    bytes.map_or_else(|| "NULL".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn raw() -> RawRow {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        RawRow {
            flow: some("kinesis:s:/var/log/a*"),
            path: some("/var/log/a"),
            file_id: some("(dev=fd01,ino=1315722)"),
            modified: some("1700000000123"),
            offset: some("4096"),
            updated: some("1700000001000"),
        }
    }

    /// A row that is good but for what `spoil` does is refused with this message.
    #[track_caller]
    fn check(spoil: impl FnOnce(&mut RawRow), expected: &str) {
        let mut row = raw();
        spoil(&mut row);
        assert_eq!(Row::read(&row).unwrap_err().to_string(), expected);
    }

    fn some(text: &[u8]) -> Option<Vec<u8>> {
        Some(text.to_vec())
    }

    #[test]
    fn a_row_of_the_java_agent_is_understood() {
        let row = Row::read(&raw()).unwrap();
        let expected = Row {
            flow: FlowId::new("kinesis:s", "/var/log/a*"),
            path: PathBuf::from("/var/log/a"),
            device: 0xfd01,
            inode: 1_315_722,
            modified: 1_700_000_000_123,
            offset: Offset::from_raw(4096),
            updated: 1_700_000_001_000,
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn a_path_that_is_not_utf8_is_a_path() {
        let row = RawRow { path: some(b"/log/\xff"), ..raw() };
        assert_ne!(Row::read(&row).unwrap().path, Path::new("/log/\u{fffd}"));
    }

    #[test]
    fn odd_file_ids_are_refused() {
        for id in ["", "1315722", "(dev=fd01,ino=)", "(dev=,ino=1)", "(dev=+1,ino=1)", "(dev=1,ino=+1)"] {
            let wanted = "its `fileId` must be of the form `(dev=fd01,ino=42)`";
            check(
                |row| row.file_id = some(id.as_bytes()),
                &format!(
                    "the row of `kinesis:s:/var/log/a*` and `/var/log/a` is left out: {wanted}, not `{id}`"
                ),
            );
        }
    }

    #[test]
    fn each_column_has_its_own_message() {
        let row = "the row of `kinesis:s:/var/log/a*` and `/var/log/a` is left out: its";
        check(|row| row.offset = some(b"-1"), &format!("{row} `offset` must be a number, not `-1`"));
        check(|row| row.offset = None, &format!("{row} `offset` must be a number, not `NULL`"));
        check(
            |row| row.modified = some(b"now"),
            &format!("{row} `lastModifiedTime` must be a number, not `now`"),
        );
        check(|row| row.updated = None, &format!("{row} `lastUpdated` must be a date and time, not `NULL`"));
        check(
            |row| row.path = some(b"a"),
            "the row of `kinesis:s:/var/log/a*` and `a` is left out: its `path` must be a path from the root, not `a`",
        );
        check(
            |row| row.flow = None,
            "the row of `NULL` and `/var/log/a` is left out: its `flow` must be a flow's id, not `NULL`",
        );
    }

    prop_compose! {
        fn any_text()(text in proptest::option::of(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20),
            "[(]dev=[0-9a-f+]{0,20},ino=[0-9+-]{0,22}[)]".prop_map(String::into_bytes),
            "/?[0-9+-]{0,22}".prop_map(String::into_bytes),
        ])) -> Option<Vec<u8>> {
            text
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(device: u64, inode: u64) {
            prop_assert_eq!(file_id(&write_file_id(device, inode)), Some((device, inode)));
        }

        /// Whatever is in a row: it is refused, or it says what was understood of it in the same texts.
        #[test]
        fn nothing_is_understood_that_does_not_stand_there(
            file_id in any_text(), offset in any_text(), modified in any_text(), updated in any_text(), path in any_text(),
        ) {
            let raw = RawRow { file_id, offset, modified, updated, path, ..raw() };
            if let Ok(row) = Row::read(&raw) {
                let trimmed = |text: &Option<Vec<u8>>| {
                    let text = String::from_utf8(text.clone().unwrap()).unwrap();
                    text.trim_start_matches('0').to_owned()
                };
                let offset = row.offset.to_string();
                prop_assert_eq!(offset.trim_start_matches('0'), trimmed(&raw.offset));
                let id = raw.file_id.clone().unwrap();
                prop_assert!(id.ends_with(b")") && id.starts_with(b"(dev="));
                prop_assert_eq!(row.path.into_os_string().into_vec(), raw.path.unwrap());
            }
        }
    }
}
