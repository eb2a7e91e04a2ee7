//! The shape and version of the quarantine's files. Pure.
//!
//! A file is lines of text, so that an operator can read it and a damaged place ends with its line. The first is
//! [`HEADER`]; each other is a frame: the CRC-32 of its JSON, a space, the JSON. A frame is either an entry that is kept
//! or the numbers of entries that are not kept any more, which stand before it in this file or in an earlier one. Of the
//! same version unknown fields are ignored; a file with another header was written by a later kinetail or is damaged, and
//! is left as it is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Stray};
use crate::loss::Cause;
use crate::position::{FlowId, Mark, Offset};

/// What each file begins with.
pub(super) const HEADER: &[u8] = b"kinetail quarantine v1\n";

/// What one line of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A line is kept.
    Kept(Entry),
    /// These are not kept any more.
    Removed(Vec<u64>),
}

/// Why a line of a file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It has no checksum, or ends before its newline.
    #[error("it is torn")]
    Torn,
    /// It was changed.
    #[error("its checksum does not agree")]
    Checksum,
    /// It is whole, but not what a quarantine holds.
    #[error("could not read its JSON")]
    Json(#[source] serde_json::Error),
    /// Its cause is not one that this kinetail knows.
    #[error("its cause `{0}` is not known")]
    Cause(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawFrame {
    Kept(RawEntry),
    Removed(Vec<u64>),
}

#[derive(Serialize, Deserialize)]
struct RawEntry {
    number: u64,
    flow: String,
    reason: String,
    why: String,
    path: RawBytes,
    mark: RawMark,
    offset: u64,
    lines: u64,
    time_millis: u64,
    line: RawBytes,
}

#[derive(Serialize, Deserialize)]
struct RawMark {
    place: u64,
    turn: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u32>,
}

/// Bytes as text for people, or in base64 where they are no text.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawBytes {
    Text(String),
    Base64(String),
}

impl RawBytes {
    fn of(bytes: &[u8]) -> RawBytes {
        match str::from_utf8(bytes) {
            Ok(text) => RawBytes::Text(text.to_owned()),
            Err(_) => RawBytes::Base64(base64_simd::STANDARD.encode_to_string(bytes)),
        }
    }

    fn into_bytes(self) -> Result<Vec<u8>, FrameError> {
        match self {
            RawBytes::Text(text) => Ok(text.into_bytes()),
            RawBytes::Base64(text) => base64_simd::STANDARD.decode_to_vec(text).map_err(|_| FrameError::Torn),
        }
    }
}

impl RawEntry {
    fn of(entry: &Entry) -> RawEntry {
        let Entry { number, flow, path, millis, stray } = entry;
        let Mark { place, turn, first } = stray.mark;
        RawEntry {
            number: *number,
            flow: flow.as_str().to_owned(),
            reason: stray.cause.label().to_owned(),
            why: stray.why.clone(),
            path: RawBytes::of(OsStr::as_bytes(path.as_os_str())),
            mark: RawMark { place, turn, first },
            offset: stray.offset.to_raw(),
            lines: stray.lines,
            time_millis: *millis,
            line: RawBytes::of(&stray.bytes),
        }
    }

    fn into_entry(self) -> Result<Entry, FrameError> {
        let RawMark { place, turn, first } = self.mark;
        let cause = Cause::from_label(&self.reason).ok_or(FrameError::Cause(self.reason))?;
        Ok(Entry {
            number: self.number,
            flow: FlowId::from_text(self.flow),
            path: PathBuf::from(OsString::from_vec(self.path.into_bytes()?)),
            millis: self.time_millis,
            stray: Stray {
                mark: Mark { place, turn, first },
                offset: Offset::from_raw(self.offset),
                lines: self.lines,
                cause,
                why: self.why,
                bytes: self.line.into_bytes()?,
            },
        })
    }
}

/// The line that says that `entry` is kept.
pub(super) fn write_kept(entry: &Entry) -> Vec<u8> {
    write(&RawFrame::Kept(RawEntry::of(entry)))
}

/// The line that says that the entries with these numbers are not kept any more.
pub(super) fn write_removed(numbers: Vec<u64>) -> Vec<u8> {
    write(&RawFrame::Removed(numbers))
}

fn write(frame: &RawFrame) -> Vec<u8> {
    let json = serde_json::to_string(frame).expect("numbers, texts and lists can be written as JSON");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

/// What `line` says, which ends with its newline.
///
/// # Errors
/// If it is torn or damaged.
pub(super) fn read(line: &[u8]) -> Result<Frame, FrameError> {
    let line = line.strip_suffix(b"\n").ok_or(FrameError::Torn)?;
    let (crc, json) = line.split_at_checked(8).ok_or(FrameError::Torn)?;
    let json = json.strip_prefix(b" ").ok_or(FrameError::Torn)?;
    let crc = str::from_utf8(crc).ok().and_then(|crc| u32::from_str_radix(crc, 16).ok());
    if crc.ok_or(FrameError::Torn)? != crc32fast::hash(json) {
        return Err(FrameError::Checksum);
    }
    match serde_json::from_slice(json).map_err(FrameError::Json)? {
        RawFrame::Kept(entry) => entry.into_entry().map(Frame::Kept),
        RawFrame::Removed(numbers) => Ok(Frame::Removed(numbers)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_entry()(
            numbers in any::<(u64, u64, u64, u64, u64, u32, Option<u32>)>(),
            is_refused in any::<bool>(),
            (flow, why) in ("[^\u{0}]{0,20}", "[^\u{0}]{0,20}"),
            path in proptest::collection::vec(1u8.., 1..20),
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) -> Entry {
            let (number, millis, offset, lines, place, turn, first) = numbers;
            Entry {
                number,
                flow: FlowId::from_text(flow),
                path: PathBuf::from(OsString::from_vec(path)),
                millis,
                stray: Stray {
                    mark: Mark { place, turn, first },
                    offset: Offset::from_raw(offset),
                    lines,
                    cause: if is_refused { Cause::Refused } else { Cause::Unmatched },
                    why,
                    bytes,
                },
            }
        }
    }

    /// An entry as version 1 wrote it: what is read for ever.
    const FIRST: &str = concat!(
        r#"00579cc2 {"kept":{"number":7,"flow":"kinesis:in:/log","reason":"unmatched","why":"no host at byte 0: expected a word, then a space","#,
        r#""path":{"text":"/log"},"mark":{"place":1,"turn":0,"first":2},"offset":40,"lines":1,"time_millis":1700000000000,"line":{"base64":"/woK"}}}"#,
        "\n"
    );

    #[test]
    fn the_first_version_is_read_for_ever() {
        let Frame::Kept(entry) = read(FIRST.as_bytes()).unwrap() else { unreachable!("it is kept") };
        assert_eq!((entry.number, entry.stray.bytes.as_slice()), (7, b"\xff\n\n".as_slice()));
        assert_eq!(String::from_utf8(write_kept(&entry)).unwrap(), FIRST);
    }

    #[test]
    fn a_cause_that_is_not_known_is_said() {
        let json = br#"{"kept":{"number":7,"flow":"f","reason":"tired","why":"","path":{"text":"/"},"mark":{"place":1,"turn":0},"offset":0,"lines":1,"time_millis":0,"line":{"text":""}}}"#;
        let mut line = format!("{:08x} ", crc32fast::hash(json)).into_bytes();
        line.extend_from_slice(json);
        line.push(b'\n');
        assert_eq!(read(&line).unwrap_err().to_string(), "its cause `tired` is not known");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entry in any_entry(), numbers in proptest::collection::vec(any::<u64>(), 0..9)) {
            for (line, frame) in [
                (write_kept(&entry), Frame::Kept(entry.clone())),
                (write_removed(numbers.clone()), Frame::Removed(numbers.clone())),
            ] {
                prop_assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
                prop_assert_eq!(read(&line).unwrap(), frame);
            }
        }

        /// A tear shows anywhere, and so does a byte that is another.
        #[test]
        fn nothing_else_is_believed(entry in any_entry(), at in any::<prop::sample::Index>(), other in 1u8..) {
            let line = write_kept(&entry);
            let at = at.index(line.len());
            prop_assert!(read(&line[..at]).is_err());
            let mut changed = line.clone();
            changed[at] ^= other;
            // The checksum's digits may be written in the other case.
            let is_case = at < 8 && changed[at].eq_ignore_ascii_case(&line[at]);
            prop_assert!(is_case || read(&changed).is_err());
        }
    }
}
