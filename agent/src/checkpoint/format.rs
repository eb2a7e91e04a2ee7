//! The state file's shape and version.
//!
//! One line of header, `kinetail checkpoint v1 generation=7 crc=0123abcd`, then the positions as JSON, which an
//! operator can read. The CRC-32 covers the JSON. A newer version than ours is refused, never rewritten; of the same
//! version, unknown fields are ignored and all known ones must be there but for these. The mark: where an agent wrote
//! the state that had no marks, each file gets one at the start, and repeats of its earlier lines say another place. The
//! footer: only a file that has one says so; to an agent that does not know of footers what stands behind it are lines.
//! The first bytes: where they are missing, a file that was cut in its head is read again and that is not counted. That
//! it is a copy beside its original: an agent that does not know of this reads it on from its position, as any file. When
//! it was made: where that is missing, its rotations are told by their times of modification.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::position::{FileId, FlowId, Generation, Head, Identity, Mark, Offset, Position, Tail};

/// The version that is written, and the highest that is read.
const VERSION: u32 = 1;

/// What the header begins with.
const MAGIC: &str = "kinetail checkpoint v";

/// How far each file of each flow is safe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Counts the files written; the higher is the newer.
    pub generation: u64,
    /// Each flow with its files. A flow without files has run before, too.
    pub flows: Vec<(FlowId, Vec<Generation>)>,
}

/// Why a state file can't be trusted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The first line is not the header.
    #[error("it does not begin with the header `{MAGIC}…`")]
    Header,
    /// It was written by a later kinetail.
    #[error("it has version {found}, but this kinetail knows versions up to {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// It was torn or changed.
    #[error("its checksum is {found:08x}, but its header says {expected:08x}")]
    Checksum {
        /// Of the bytes.
        found: u32,
        /// Of the header.
        expected: u32,
    },
    /// It is whole, but not what a checkpoint holds.
    #[error("could not read its positions")]
    Json(#[source] serde_json::Error),
}

impl State {
    /// The bytes of the state file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let flows = self.flows.iter().map(|(id, files)| RawFlow {
            id: id.as_str().to_owned(),
            files: files.iter().map(RawFile::of).collect(),
        });
        let raw = RawState { flows: flows.collect() };
        let json =
            serde_json::to_string_pretty(&raw).expect("numbers, strings and lists can be written as JSON");
        let crc = crc32fast::hash(json.as_bytes());
        format!("{MAGIC}{VERSION} generation={} crc={crc:08x}\n{json}", self.generation).into_bytes()
    }

    /// Reads the bytes of a state file.
    ///
    /// # Errors
    /// If it can't be trusted.
    pub fn read(bytes: &[u8]) -> Result<State, FormatError> {
        let newline = memchr::memchr(b'\n', bytes).ok_or(FormatError::Header)?;
        let (header, json) = bytes.split_at_checked(newline).ok_or(FormatError::Header)?;
        let json = json.get(1..).unwrap_or_default();
        let header = str::from_utf8(header).ok().and_then(|header| header.strip_prefix(MAGIC));
        let mut words = header.ok_or(FormatError::Header)?.split(' ');
        let version: u32 = words.next().and_then(|word| word.parse().ok()).ok_or(FormatError::Header)?;
        if version > VERSION {
            return Err(FormatError::Newer { found: version });
        }
        let mut field =
            |name: &str| words.next().and_then(|word| word.strip_prefix(name)).ok_or(FormatError::Header);
        let generation = field("generation=")?.parse().map_err(|_| FormatError::Header)?;
        let expected = u32::from_str_radix(field("crc=")?, 16).map_err(|_| FormatError::Header)?;
        let found = crc32fast::hash(json);
        if found != expected {
            return Err(FormatError::Checksum { found, expected });
        }
        let raw: RawState = serde_json::from_slice(json).map_err(FormatError::Json)?;
        let mut id = FileId::FIRST;
        let mut flows = Vec::new();
        for flow in raw.flows {
            let mut files = Vec::new();
            for file in flow.files {
                files.push(file.into_generation(id));
                id = id.next();
            }
            flows.push((FlowId::from_text(flow.id), files));
        }
        Ok(State { generation, flows })
    }
}

#[derive(Serialize, Deserialize)]
struct RawState {
    flows: Vec<RawFlow>,
}

#[derive(Serialize, Deserialize)]
struct RawFlow {
    id: String,
    files: Vec<RawFile>,
}

#[derive(Serialize, Deserialize)]
struct RawFile {
    /// As text for people; not what is read where it is not UTF-8.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<Vec<u8>>,
    device: u64,
    inode: u64,
    head_crc: u32,
    head_bytes: u16,
    offset: u64,
    tail_crc: u32,
    tail_bytes: u8,
    size: u64,
    modified_millis: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<RawMark>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    leaving: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<RawFirst>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    beside: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    born_nanos: u64,
}

#[derive(Serialize, Deserialize)]
struct RawFirst {
    crc: u32,
    bytes: u16,
}

#[derive(Serialize, Deserialize)]
struct RawMark {
    place: u64,
    turn: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl RawFile {
    fn of(file: &Generation) -> RawFile {
        let path = file.path.as_os_str();
        RawFile {
            path: path.to_string_lossy().into_owned(),
            path_bytes: path.to_str().is_none().then(|| path.as_bytes().to_vec()),
            device: file.identity.device,
            inode: file.identity.inode,
            head_crc: file.identity.head.crc,
            head_bytes: file.identity.head.len,
            offset: file.position.offset.to_raw(),
            tail_crc: file.position.tail.crc,
            tail_bytes: file.position.tail.len,
            size: file.size,
            modified_millis: file.modified,
            mark: file.mark.map(|Mark { place, turn, first }| RawMark { place, turn, first }),
            leaving: file.leaving,
            footer: file.footer.map(Offset::to_raw),
            first: (file.first.len > 0).then_some(RawFirst { crc: file.first.crc, bytes: file.first.len }),
            beside: file.beside,
            born_nanos: file.born,
        }
    }

    fn into_generation(self, id: FileId) -> Generation {
        let path = self.path_bytes.map_or_else(
            || PathBuf::from(OsStr::new(&self.path)),
            |bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)),
        );
        Generation {
            file: id,
            identity: Identity {
                device: self.device,
                inode: self.inode,
                head: Head { crc: self.head_crc, len: self.head_bytes },
            },
            mark: self.mark.map(|RawMark { place, turn, first }| Mark { place, turn, first }),
            leaving: self.leaving,
            footer: self.footer.map(Offset::from_raw),
            first: self.first.map_or(Head::default(), |RawFirst { crc, bytes }| Head { crc, len: bytes }),
            beside: self.beside,
            path,
            position: Position {
                offset: Offset::from_raw(self.offset),
                tail: Tail { crc: self.tail_crc, len: self.tail_bytes },
            },
            size: self.size,
            modified: self.modified_millis,
            born: self.born_nanos,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_file()(
            path in proptest::collection::vec(1u8.., 1..20),
            numbers in any::<(u64, u64, u32, u64, u32, u64, i64)>(),
            lens in (0u16..=1024, 0u8..=64),
            mark in any::<Option<(u64, u32, Option<u32>)>>(),
            footer in any::<Option<u64>>(),
            first in any::<Option<(u32, u8)>>(),
        ) -> Generation {
            let (device, inode, head, offset, tail, size, modified) = numbers;
            Generation {
                file: FileId::FIRST,
                identity: Identity { device, inode, head: Head { crc: head, len: lens.0 } },
                mark: mark.map(|(place, turn, first)| Mark { place, turn, first }),
                leaving: size.is_multiple_of(2),
                footer: footer.map(Offset::from_raw),
                first: first.map_or(Head::default(), |(crc, len)| Head { crc, len: 1 + u16::from(len) }),
                beside: modified.is_negative(),
                path: PathBuf::from(std::ffi::OsString::from_vec(path)),
                position: Position { offset: Offset::from_raw(offset), tail: Tail { crc: tail, len: lens.1 } },
                size,
                modified,
                born: offset / 2,
            }
        }
    }

    prop_compose! {
        fn any_state()(
            generation in any::<u64>(),
            flows in proptest::collection::vec(("kinesis:[a-z]{1,5}:/[^\u{0}]{0,9}", proptest::collection::vec(any_file(), 0..4)), 0..4),
        ) -> State {
            // Names are given anew at reading, in order.
            let mut id = FileId::FIRST;
            let mut named = |file: Generation| {
                let file = Generation { file: id, ..file };
                id = id.next();
                file
            };
            let mut renamed = Vec::new();
            for (flow, files) in flows {
                renamed.push((FlowId::from_text(flow), files.into_iter().map(&mut named).collect()));
            }
            State { generation, flows: renamed }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(state in any_state()) {
            prop_assert_eq!(State::read(&state.write()).unwrap(), state);
        }

        /// Whatever is torn off or flipped, the file is refused, not half believed.
        #[test]
        fn a_damaged_file_is_refused(state in any_state(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let whole = state.write();
            let at = at.index(whole.len());
            prop_assert!(State::read(&whole[..at]).is_err());
            let mut changed = whole.clone();
            changed[at] ^= flip;
            // A flip in the number of the generation goes unnoticed, and does no harm.
            if let Ok(other) = State::read(&changed) {
                prop_assert_eq!(other.flows, state.flows);
            }
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(State::read(&bytes).is_err());
        }
    }

    /// The same for every place and every other byte of one file.
    #[test]
    fn no_torn_or_changed_byte_is_believed() {
        let whole = include_bytes!("../../../fixtures/checkpoint/v1");
        let flows = State::read(whole).unwrap().flows;
        for at in 0..whole.len() {
            assert!(State::read(&whole[..at]).is_err(), "torn at {at}");
            for flip in 1..=u8::MAX {
                let mut changed = whole.to_vec();
                changed[at] ^= flip;
                let read = State::read(&changed).map_or_else(|_| flows.clone(), |state| state.flows);
                assert_eq!(read, flows, "byte {at} changed by {flip:#x}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let text = String::from_utf8(State::default().write()).unwrap().replace(" v1 ", " v2 ");
        let error = State::read(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "it has version 2, but this kinetail knows versions up to 1");
    }

    #[test]
    fn a_file_of_this_version_stays_readable() {
        let text = include_str!("../../../fixtures/checkpoint/v1");
        let state = State::read(text.as_bytes()).unwrap();
        assert_eq!(state.generation, 7);
        assert_eq!(state.flows[0].0.as_str(), "kinesis:ApplicationLogInputStream:/var/log/httpd/access_log*");
        assert_eq!(state.flows[0].1[0].position.offset, Offset::from_raw(4096));
    }
}
