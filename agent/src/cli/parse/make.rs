//! The record that a flow sends of a line, as far as that can be known without the agent that reads the file.
//!
//! Knows neither files nor terminals. What only a running agent knows stands as zeros or null in the record, and
//! [`Maker::unknown`] says of what that is so.

use std::sync::Arc;

use crate::batch::{self, RECORD_BYTES};
use crate::config::Flow;
use crate::parse::{Mismatch, Parser, Record, Stamp, Step, Surroundings};
use crate::position::{Mark, Offset};
use crate::quarantine::OnMismatch;
use crate::source::{Instance, host_name};
use crate::split::Line;

/// What is shown as the generation of a file.
const UNKNOWN: Mark = Mark { place: 0, turn: 0, first: None };

/// Makes the records of lines.
#[derive(Debug)]
pub(super) struct Maker {
    parser: Parser,
    on_mismatch: OnMismatch,
    /// How long a record may be, where there is a flow to say so.
    batch: Option<batch::Settings>,
    stamp: Option<Stamp>,
    pub(super) around: Surroundings,
}

/// What was made of a line.
#[derive(Debug)]
pub(super) enum Made {
    /// A record.
    Record,
    /// A record, which went past what the stream takes.
    Cut,
    /// The line itself, as it does not match.
    Raw(Mismatch),
    /// Nothing, as it does not match.
    Nothing(Mismatch),
}

impl Maker {
    /// What `parser` alone makes.
    pub(super) fn of_parser(parser: Parser, mut around: Surroundings) -> Maker {
        if parser.steps().iter().any(is_of_instance) {
            around.instance = Some(Arc::new(unknown_instance(&around)));
        }
        Maker { parser, on_mismatch: OnMismatch::Keep, batch: None, stamp: None, around }
    }

    /// What `flow` makes.
    pub(super) fn of_flow(flow: &Flow, around: Surroundings) -> Maker {
        let host = || host_name().unwrap_or_default();
        Maker {
            on_mismatch: flow.on_mismatch,
            batch: Some(flow.batch.clone()),
            stamp: flow.adds_position.then(|| Stamp::new(&host(), UNKNOWN)),
            ..Maker::of_parser(flow.parser.clone(), around)
        }
    }

    /// The steps it takes.
    pub(super) fn parser(&self) -> &Parser {
        &self.parser
    }

    /// What its records do not tell as those of a running agent do.
    pub(super) fn unknown(&self) -> Vec<&'static str> {
        let place = "`@file` is shown as zeros, as only a running agent knows the generation of a file";
        let instance =
            "what `ADDEC2METADATA` adds is shown as null, as only a running agent knows its instance";
        let is_of_instance = self.parser.steps().iter().any(is_of_instance);
        let unknown = [(self.stamp.is_some(), place), (is_of_instance, instance)];
        unknown.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| text).collect()
    }

    /// Appends the record of the line at `offset`.
    pub(super) fn make(&mut self, line: &Line<'_>, offset: Offset, buffer: &mut Vec<u8>) -> Made {
        let beginning = line.bytes().get(..RECORD_BYTES).filter(|_| self.batch.is_some());
        let line = beginning.map_or(*line, Line::alone);
        let (record, mismatch) = match (self.parser.parse(&line, &self.around, buffer), self.on_mismatch) {
            (Ok(record), _) => {
                let stamp = self.stamp.as_ref();
                (stamp.map_or(record, |stamp| stamp.add(record, offset, buffer)), None)
            }
            (Err(mismatch), OnMismatch::SendRaw) => (Record::raw(line.bytes(), buffer), Some(mismatch)),
            (Err(mismatch), OnMismatch::Keep | OnMismatch::Drop) => return Made::Nothing(mismatch),
        };
        let is_cut = self.cut(&record, buffer);
        match mismatch {
            Some(mismatch) => Made::Raw(mismatch),
            None if is_cut => Made::Cut,
            None => Made::Record,
        }
    }

    /// Cuts the record at the end of `buffer` to what the stream takes; says whether it had to.
    pub(super) fn cut(&self, record: &Record, buffer: &mut Vec<u8>) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.cut(record, buffer))
    }
}

fn is_of_instance(step: &Step) -> bool {
    step.instance_period().is_some()
}

/// An instance of which nothing is known.
fn unknown_instance(around: &Surroundings) -> Instance {
    Instance {
        private_ip: None,
        availability_zone: None,
        instance_id: None,
        instance_type: None,
        account_id: None,
        image_id: None,
        region: None,
        tags: None,
        asked: around.now,
    }
}
