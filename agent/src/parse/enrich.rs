//! Fields that are added to a JSON record behind its own: from which place its line is. Pure.
//!
//! Does not know which fields the record has. What is the same for all lines of a file is written once, so that a line
//! costs a copy and a number.

use std::io::Write;

use super::json;
use super::{Form, Record};
use crate::position::{Mark, Offset};

/// What every JSON record ends with.
const END: &[u8] = b"}\n";

/// Adds to each record of one file where its line is: the host, the mark of the file's generation, the offset of the
/// line's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The fields up to the offset's digits.
    fields: Vec<u8>,
}

impl Stamp {
    /// The stamp of the file with this mark on the host with this name.
    #[must_use]
    pub fn new(host: &str, mark: Mark) -> Stamp {
        let mut fields = b",\"@host\":\"".to_vec();
        json::escape(host.as_bytes(), &mut fields);
        write!(fields, "\",\"@file\":\"{mark}\",\"@offset\":").expect("memory takes every write");
        Stamp { fields }
    }

    /// Adds the place of the line at `offset` to its record, which stands at the end of `buffer`. Where a step failed
    /// that is the line itself, and stays so.
    #[must_use]
    pub fn add(&self, record: Record, offset: Offset, buffer: &mut Vec<u8>) -> Record {
        match record.form {
            Form::Object => {}
            Form::Text | Form::Unprocessed(_) => return record,
        }
        let before = buffer.len();
        buffer.truncate(before.saturating_sub(END.len()));
        buffer.extend_from_slice(&self.fields);
        write!(buffer, "{offset}").expect("memory takes every write");
        buffer.extend_from_slice(END);
        Record { len: record.len + buffer.len() - before, ..record }
    }
}
