//! What is said on the control socket: one line of JSON each way, with the version of this language in it. Pure.
//!
//! An unknown field is ignored, an unknown request or another version is an error that says so.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::view::{Amendment, Explained, Picked, Replayed, Status};
use crate::position::Offset;
use crate::source::Goal;

/// The version that is spoken.
const VERSION: u64 = 1;

/// The field that says the version.
const VERSION_FIELD: &str = "version";

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// It is not JSON, or not what is asked or answered.
    #[error("could not understand the message")]
    Read(#[source] serde_json::Error),
    /// It has no version, or another.
    #[error("the message has version {}, and this kinetail speaks {VERSION}", .found.as_ref().map_or("none".to_owned(), ToString::to_string))]
    Version {
        /// What it says.
        found: Option<serde_json::Value>,
    },
    /// It cannot be said, such as a path that is not UTF-8.
    #[error("could not write the message")]
    Write(#[source] serde_json::Error),
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "camelCase")]
pub enum Request {
    /// How everything is.
    Status,
    /// What each flow makes of a path.
    Explain {
        /// The path.
        path: PathBuf,
    },
    /// To read a file from another place.
    Set {
        /// The file.
        path: PathBuf,
        /// The place.
        to: To,
    },
    /// To know nothing of a file any more.
    Forget {
        /// The file.
        path: PathBuf,
    },
    /// To send lines of the quarantine that match by now, some at a time.
    Replay {
        /// Which.
        picked: Picked,
        /// Those behind this one; 0 for the first time.
        after: u64,
    },
    /// To remove lines from the quarantine.
    Clear {
        /// Which.
        picked: Picked,
    },
}

/// From where a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum To {
    /// From this byte on.
    Offset(u64),
    /// From behind its last newline.
    End,
}

impl To {
    /// The same in the words of `source`.
    #[must_use]
    pub fn goal(self) -> Goal {
        match self {
            To::Offset(offset) => Goal::At(Offset::from_raw(offset)),
            To::End => Goal::LastNewline,
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub enum Answer {
    /// How everything is.
    Status(Status),
    /// What each flow makes of the path.
    Explained {
        /// One for each flow.
        flows: Vec<Explained>,
    },
    /// What became of a wish to change something.
    Amended {
        /// One for each flow.
        flows: Vec<Amendment>,
    },
    /// What became of lines that were to be sent after all.
    Replayed(Replayed),
    /// How much was removed.
    Cleared {
        /// Entries.
        entries: u64,
        /// Lines of files that they were.
        lines: u64,
    },
    /// The question cannot be answered.
    Refused {
        /// Why.
        reason: String,
    },
}

/// The line that says `message`, with its newline.
///
/// # Errors
/// If it cannot be said in JSON.
pub(super) fn write(message: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let mut value = serde_json::to_value(message).map_err(CodecError::Write)?;
    if let Some(object) = value.as_object_mut() {
        object.insert(VERSION_FIELD.to_owned(), VERSION.into());
    }
    Ok(format!("{value}\n").into_bytes())
}

/// What `line` says.
///
/// # Errors
/// If it is not JSON, of another version, or not such a message.
pub(super) fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, CodecError> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(CodecError::Read)?;
    match value.get(VERSION_FIELD) {
        Some(version) if version.as_u64() == Some(VERSION) => {
            serde_json::from_value(value).map_err(CodecError::Read)
        }
        found => Err(CodecError::Version { found: found.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(request: &Request, line: &str) {
        assert_eq!(String::from_utf8(write(request).unwrap()).unwrap(), format!("{line}\n"));
        assert_eq!(read::<Request>(line.as_bytes()).unwrap(), *request);
    }

    #[track_caller]
    fn check_wrong(line: &str, expected: &str) {
        let error = read::<Request>(line.as_bytes()).unwrap_err();
        let text = crate::chain::Chain(&error).to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn each_request_has_its_line() {
        check(&Request::Status, r#"{"request":"status","version":1}"#);
        let path = PathBuf::from("/log");
        check(&Request::Explain { path: path.clone() }, r#"{"path":"/log","request":"explain","version":1}"#);
        check(
            &Request::Set { path: path.clone(), to: To::Offset(7) },
            r#"{"path":"/log","request":"set","to":{"offset":7},"version":1}"#,
        );
        check(
            &Request::Set { path: path.clone(), to: To::End },
            r#"{"path":"/log","request":"set","to":"end","version":1}"#,
        );
        check(&Request::Forget { path }, r#"{"path":"/log","request":"forget","version":1}"#);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        check_wrong("status", "could not understand the message: expected value");
        check_wrong(r#"{"request":"status"}"#, "the message has version none, and this kinetail speaks 1");
        check_wrong(r#"{"request":"status","version":2}"#, "the message has version 2");
        check_wrong(r#"{"request":"dance","version":1}"#, "unknown variant `dance`");
        check_wrong(r#"{"request":"set","path":"/log","version":1}"#, "missing field `to`");
    }

    #[test]
    fn fields_of_later_days_are_ignored() {
        let line = br#"{"request":"status","version":1,"colour":"red"}"#;
        assert_eq!(read::<Request>(line).unwrap(), Request::Status);
    }

    #[test]
    fn a_path_that_is_not_utf8_cannot_be_said() {
        use std::os::unix::ffi::OsStringExt;
        let path = PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff]));
        assert!(matches!(write(&Request::Forget { path }), Err(CodecError::Write(_))));
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_understood(path in "[^\u{0}]{0,30}", offset in any::<u64>()) {
            let request = Request::Set { path: path.into(), to: To::Offset(offset) };
            let line = write(&request).unwrap();
            prop_assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
            prop_assert_eq!(read::<Request>(&line).unwrap(), request);
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(read::<Request>(&bytes).is_err());
        }
    }
}
