//! `ADDMETADATA`: the record becomes the text of the field `data`, beside the same metadata for each record and, where
//! that is asked for, the time of processing.
//!
//! Does not know what the record is: JSON stays a text with escapes in it, as with the Java agent.

use std::time::Duration;

use super::json::{Content, Object, key};
use super::{Json, Record, utc};

/// What is told beside a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddMetadata {
    /// As it stands in each record.
    metadata: String,
    timestamp: Timestamp,
}

/// Whether the time of processing is told, as `ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// In UTC, to the millisecond.
    Added,
    /// Not at all.
    Omitted,
}

impl AddMetadata {
    /// What adds `metadata`.
    #[must_use]
    pub fn new(metadata: &Json, timestamp: Timestamp) -> AddMetadata {
        AddMetadata { metadata: metadata.to_string(), timestamp }
    }

    /// Appends `text` with what is told beside it at `now`, the time since 1970.
    pub(super) fn write(&self, text: &[u8], now: Duration, out: &mut Vec<u8>) -> Record {
        let mut object = Object::begin(out, Content::Any);
        match self.timestamp {
            Timestamp::Added => object.written(key!("ts"), |out| {
                utc::write_seconds(now, out);
                utc::write_millis(now, out);
                out.push(b'Z');
            }),
            Timestamp::Omitted => {}
        }
        object.json(key!("metadata"), &self.metadata);
        object.text(key!("data"), text);
        object.end()
    }
}
