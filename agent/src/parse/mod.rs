//! Step 3: lines to records. Pure: no clock, no disk, no logging.
//!
//! Does not know what becomes of a record. A record is written straight to the end of
//! the buffer that will be sent; a line that does not match leaves the buffer as it was, and says which field could
//! not be read and where.
//!
//! In reading order: `format` is the list of formats that the Java agent knows. `apache`, `error_log` and `syslog` find
//! the fields of a line, `time` and `timestamp` read their date; `strings` and `native` write an access log's, the one
//! as the Java agent did, the other as what they mean, and `fields` those of the others; `escape` undoes httpd's
//! escapes for the latter, `json` puts everything into the buffer, and `scan` looks for bytes for all of them.
//! `renamed` and `pattern` are formats whose fields the configuration names; `template` reads and writes entries whose
//! format is the operator's own, `json_log` those that are JSON already. `csv`, `single_line`, `metadata`, `instance`
//! and `pretty` are the steps that know no log; `value` is JSON for those that take it apart. `enrich` adds where the
//! line is from, where a flow wants that. `java` is what the Java agent would have made of a line.

mod apache;
mod csv;
mod enrich;
mod error_log;
mod escape;
mod fields;
mod format;
mod instance;
mod java;
mod json;
mod json_log;
mod metadata;
mod native;
mod pattern;
mod pretty;
mod renamed;
mod scan;
mod single_line;
mod step;
mod strings;
mod syslog;
mod template;
mod time;
mod timestamp;
mod utc;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::source::Instance;
use crate::split::Line;
use step::{Made, Trouble};

pub use csv::{Csv, CsvError};
pub use enrich::Stamp;
pub use format::Format;
pub use java::JavaAgent;
pub use metadata::{AddMetadata, Timestamp};
pub use pattern::{Pattern, PatternError};
pub use renamed::{CountError, Renamed};
pub use single_line::{Between, Ends, SingleLine};
pub use step::{Failure, Step};
pub use template::{
    ACCESS_DIRECTIVES, DEFAULT_ERROR_LOG, Directive, NGINX_COMBINED, Template, TemplateError, built_in,
};
pub use value::Json;

/// How much room for records between two steps is kept from one line to the next.
const ROOM_KEPT: usize = 256 * 1024;

/// What makes records out of the lines of one flow: its steps, each of which is given what the one before made. Without
/// a step the line goes out as it is, newline included.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    steps: Vec<Step>,
    /// Between two steps: what the next is given, and room for what it makes of it.
    between: (Vec<u8>, Vec<u8>),
}

/// What a record may tell beside its line.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// When it is made, since 1970 in UTC.
    pub now: Duration,
    /// Where it is made, if that is known.
    pub instance: Option<Arc<Instance>>,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonTypes {
    /// What the Java agent writes: each value as it stands in the log, as a string.
    Strings,
    /// What a value means: numbers as numbers, escapes decoded, the time and the request taken apart.
    Native,
}

/// One record, at the end of the buffer that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Never 0.
    len: usize,
    form: Form,
    repaired: bool,
}

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One JSON object on one line.
    Object,
    /// Anything.
    Text,
    /// The line itself, as a step failed.
    Unprocessed(Failure),
}

/// Why a line does not match: which field could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} {name} at byte {at}: expected {shape}")]
pub struct Mismatch {
    fault: Fault,
    name: Cow<'static, str>,
    shape: Cow<'static, str>,
    /// Counted from 0 at the start of the line.
    at: usize,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Something else stands in its place, or nothing.
    Missing,
    /// It has no closing quote.
    Open,
    /// Whether it is there would take too long to say.
    Undecided,
}

/// A field without which a line is no entry of its log.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    /// What it looks like, together with what divides it from the field before.
    shape: &'static str,
}

impl Parser {
    /// What takes these steps, in this order.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Parser {
        Parser { steps, between: Default::default() }
    }

    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether each record is one JSON object on one line, unless a step fails.
    #[must_use]
    pub fn gives_objects(&self) -> bool {
        self.steps.last().is_some_and(Step::gives_objects)
    }

    /// Appends the record of `line` to `buffer`.
    ///
    /// # Errors
    /// If the line does not match the format; `buffer` is then exactly as it was.
    pub fn parse(
        &mut self,
        line: &Line<'_>,
        around: &Surroundings,
        buffer: &mut Vec<u8>,
    ) -> Result<Record, Mismatch> {
        let (bytes, start) = (line.bytes(), buffer.len());
        let made = match self.steps.as_slice() {
            [] => Ok(Made::Unchanged),
            // Straight into the buffer: this is what nearly all flows have.
            [step] => step.apply(bytes, around, buffer),
            steps => chain(steps, bytes, around, &mut self.between, buffer),
        };
        let form = match made {
            Ok(Made::Record(record)) => return Ok(record),
            Ok(Made::Unchanged) => Form::Text,
            Err(Trouble::Failure(failure)) => Form::Unprocessed(failure),
            Err(Trouble::Mismatch(mismatch)) => {
                buffer.truncate(start);
                return Err(mismatch);
            }
        };
        buffer.truncate(start);
        Ok(Record { form, ..Record::raw(bytes, buffer) })
    }
}

/// Appends to `buffer` what `steps` make of `line` one after the other.
fn chain(
    steps: &[Step],
    line: &[u8],
    around: &Surroundings,
    (given, made): &mut (Vec<u8>, Vec<u8>),
    buffer: &mut Vec<u8>,
) -> Result<Made, Trouble> {
    given.clear();
    given.extend_from_slice(line);
    let (mut form, mut repaired) = (Form::Text, false);
    let mut steps = steps.iter().peekable();
    while let Some(step) = steps.next() {
        made.clear();
        match step.apply(given, around, made)? {
            Made::Record(record) => {
                form = record.form;
                repaired |= record.repaired;
                std::mem::swap(given, made);
            }
            // What no step has made is not laid out either.
            Made::Unchanged => {
                steps.next_if(|next| matches!(next, Step::Pretty));
            }
        }
    }
    buffer.extend_from_slice(given);
    let len = given.len();
    // One record of many lines must not hold its room for ever.
    given.shrink_to(ROOM_KEPT);
    made.shrink_to(ROOM_KEPT);
    Ok(Made::Record(Record { len, form, repaired }))
}

impl Surroundings {
    /// At this time since 1970 in UTC, on no instance that is known.
    #[must_use]
    pub fn at(now: Duration) -> Surroundings {
        Surroundings { now, instance: None }
    }
}

#[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
impl Record {
    /// Appends a line to `buffer` as it is.
    #[must_use]
    pub fn raw(line: &[u8], buffer: &mut Vec<u8>) -> Record {
        buffer.extend_from_slice(line);
        Record { len: line.len(), form: Form::Text, repaired: false }
    }

    /// How many bytes of the buffer it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Why the record is the line itself, if a step failed.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self.form {
            Form::Unprocessed(failure) => Some(failure),
            Form::Object | Form::Text => None,
        }
    }

    /// One JSON object on one line.
    fn object(len: usize, repaired: bool) -> Record {
        Record { len, form: Form::Object, repaired }
    }

    /// Anything else.
    fn text(len: usize) -> Record {
        Record { len, form: Form::Text, repaired: false }
    }

    /// Whether bytes of the line were not UTF-8 and became U+FFFD.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        self.repaired
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Missing => "no",
            Fault::Open => "unclosed",
            Fault::Undecided => "undecided",
        })
    }
}

impl Field {
    const fn new(name: &'static str, shape: &'static str) -> Field {
        Field { name, shape }
    }

    /// That it could not be read at `at`.
    fn mismatch(self, fault: Fault, at: usize) -> Mismatch {
        Mismatch { fault, name: self.name.into(), shape: self.shape.into(), at }
    }
}

#[cfg(test)]
mod tests;
