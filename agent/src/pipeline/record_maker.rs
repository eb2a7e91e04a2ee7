//! Writes a line's record into the batch: what the flow's steps make of it, and the place where it stood.
//!
//! Does not know whether there is room. What a flow knows beside its lines is the same for all lines of a chunk.

use std::sync::Arc;
use std::time::SystemTime;

use super::instance::Known;
use crate::config::Flow;
use crate::parse::{Mismatch, Parser, Record, Stamp, Surroundings};
use crate::position::{Mark, Offset};
use crate::split::Line;

/// What makes the records of one flow.
#[derive(Clone, Debug)]
pub(super) struct RecordMaker {
    parser: Parser,
    /// The host's name, if each record is to say where its line is from.
    host: Option<Arc<str>>,
    /// The instance, if it is known.
    known: Known,
}

impl RecordMaker {
    /// That of `flow`, on the host of this name.
    pub(super) fn new(flow: &Flow, host: Option<Arc<str>>, known: Known) -> RecordMaker {
        RecordMaker { parser: flow.parser.clone(), host: host.filter(|_| flow.adds_position), known }
    }

    /// Who writes, at this moment, the records of lines from the file with this mark.
    pub(super) fn writer(&mut self, mark: Mark) -> RecordWriter<'_> {
        let around = Surroundings {
            now: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            instance: self.known.borrow().clone(),
        };
        let stamp = self.host.as_ref().map(|host| Stamp::new(host, mark));
        RecordWriter { parser: &mut self.parser, around, stamp }
    }
}

/// Writes the records of one file's lines.
pub(super) struct RecordWriter<'a> {
    parser: &'a mut Parser,
    around: Surroundings,
    /// Says where a line is from, if that is to be told.
    stamp: Option<Stamp>,
}

impl RecordWriter<'_> {
    /// Appends the record of the line at `offset`.
    pub(super) fn write(
        &mut self,
        line: &Line<'_>,
        offset: Offset,
        buffer: &mut Vec<u8>,
    ) -> Result<Record, Mismatch> {
        let record = self.parser.parse(line, &self.around, buffer)?;
        Ok(self.stamp.as_ref().map_or(record, |stamp| stamp.add(record, offset, buffer)))
    }
}
