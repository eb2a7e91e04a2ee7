//! One step of a flow: a record of the step before, or the line, in; a record out.
//!
//! Does not know its neighbours. What a step gives stands at the end of the buffer that it was handed; where it gives
//! nothing, what it left there does not count.

use std::time::Duration;

use super::csv::Csv;
use super::metadata::AddMetadata;
use super::single_line::SingleLine;
use super::{
    Format, JavaAgent, JsonTypes, Mismatch, Pattern, Record, Renamed, Surroundings, Template, instance,
    json_log, pretty,
};

/// What one item of `dataProcessingOptions` does.
#[derive(Clone, Debug)]
pub enum Step {
    /// `LOGTOJSON`: an entry of a log becomes one JSON object on one line.
    Log {
        /// Which fields an entry has.
        format: Format,
        /// How their values are written.
        types: JsonTypes,
    },
    /// The same, where the operator did not name the format but spelt it out: in words that only this agent has.
    Spelt {
        /// Which fields an entry has.
        format: Format,
        /// How their values are written.
        types: JsonTypes,
    },
    /// `LOGTOJSON` with `customFieldNames`: the same under other names.
    Renamed(Renamed),
    /// `LOGTOJSON` with `matchPattern`: what the groups of an expression match becomes one JSON object on one line.
    Pattern(Pattern),
    /// `LOGTOJSON` with a format of the operator's own: the same.
    Template(Template),
    /// `LOGTOJSON` of entries that are JSON objects already, as far as httpd can write JSON.
    JsonLog,
    /// `CSVTOJSON`: columns become the fields of one JSON object on one line.
    Csv(Csv),
    /// `SINGLELINE`: several lines become one.
    SingleLine(SingleLine),
    /// `ADDMETADATA`: the record becomes the text of a field, beside what is told of it.
    AddMetadata(AddMetadata),
    /// `ADDEC2METADATA`: an object gets fields that tell of the instance, as it was such a time ago at most.
    AddInstance(Duration),
    /// `ADDBRACKETS`: the record stands between `{` and `}`.
    AddBrackets,
    /// `PRETTYPRINT`: the object of the step before is laid out for a reader.
    Pretty,
}

/// What a step made of what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A record, at the end of the buffer.
    Record(Record),
    /// Nothing else than it was.
    Unchanged,
}

/// Why a step gives nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What it was given is nothing that belongs into the stream.
    Mismatch(Mismatch),
    /// It cannot work on it.
    Failure(Failure),
}

/// Why a step cannot work on what it was given. The line is then sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Something else is there than a JSON object.
    #[error("`ADDEC2METADATA` was given no JSON object")]
    NoObject,
    /// A column does not end.
    #[error("`CSVTOJSON` found a quote that is not closed")]
    OpenQuote,
    /// A column goes on behind its end.
    #[error("`CSVTOJSON` found text behind a closing quote")]
    BehindQuote,
    /// Where a column ends would take too long to say.
    #[error("`CSVTOJSON` takes too many steps to match `delimiter`")]
    Undecided,
}

impl Step {
    /// Appends to `out` what this step makes of `input`.
    pub(super) fn apply(
        &self,
        input: &[u8],
        around: &Surroundings,
        out: &mut Vec<u8>,
    ) -> Result<Made, Trouble> {
        let record = match self {
            Step::Log { format, types } | Step::Spelt { format, types } => {
                format.write(without_newline(input), *types, out)?
            }
            Step::Renamed(renamed) => renamed.write(without_newline(input), out)?,
            Step::Pattern(pattern) => pattern.write(without_newline(input), out)?,
            Step::Template(template) => template.convert(without_newline(input), out)?,
            Step::JsonLog => json_log::convert(without_newline(input), out)?,
            Step::Csv(csv) => csv.write(without_newline(input), out)?,
            Step::SingleLine(single_line) => single_line.write(input, out),
            Step::AddMetadata(metadata) => metadata.write(without_newline(input), around.now, out),
            Step::AddInstance(_) => match &around.instance {
                Some(instance) => instance::write(input, instance, out)?,
                None => return Ok(Made::Unchanged),
            },
            Step::AddBrackets => {
                out.push(b'{');
                out.extend_from_slice(input);
                out.push(b'}');
                Record::text(input.len() + 2)
            }
            Step::Pretty => pretty::write(input, out),
        };
        Ok(Made::Record(record))
    }

    /// What the Java agent does where it is given this step; nothing if it does not know the format, and does not start.
    #[must_use]
    pub fn of_java_agent(&self) -> Option<Step> {
        match self {
            Step::Log { format, .. } => Some(JavaAgent::with_format(*format).into_step()),
            Step::Renamed(renamed) => renamed.java_agent().map(JavaAgent::into_step),
            // It knows no quotes.
            Step::Csv(csv) => Some(Step::Csv(csv.without_quotes())),
            Step::Pattern(_)
            | Step::SingleLine(_)
            | Step::AddMetadata(_)
            | Step::AddInstance(_)
            | Step::AddBrackets
            | Step::Pretty => Some(self.clone()),
            Step::Spelt { .. } | Step::Template(_) | Step::JsonLog => None,
        }
    }

    /// Whether it gives one JSON object on one line, unless it fails or has nothing to add.
    #[must_use]
    pub fn gives_objects(&self) -> bool {
        match self {
            Step::Log { .. }
            | Step::Spelt { .. }
            | Step::Renamed(_)
            | Step::Pattern(_)
            | Step::Template(_)
            | Step::JsonLog
            | Step::Csv(_)
            | Step::AddMetadata(_)
            | Step::AddInstance(_) => true,
            Step::SingleLine(_) | Step::AddBrackets | Step::Pretty => false,
        }
    }

    /// How old may be what it tells of the instance, if it does.
    #[must_use]
    pub fn instance_period(&self) -> Option<Duration> {
        match self {
            Step::AddInstance(period) => Some(*period),
            Step::Log { .. }
            | Step::Spelt { .. }
            | Step::Renamed(_)
            | Step::Pattern(_)
            | Step::Template(_)
            | Step::JsonLog
            | Step::Csv(_)
            | Step::SingleLine(_)
            | Step::AddMetadata(_)
            | Step::AddBrackets
            | Step::Pretty => None,
        }
    }
}

/// A line or record without the one newline that ends it.
fn without_newline(input: &[u8]) -> &[u8] {
    input.strip_suffix(b"\n").unwrap_or(input)
}

impl From<Mismatch> for Trouble {
    fn from(mismatch: Mismatch) -> Trouble {
        Trouble::Mismatch(mismatch)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Failure(failure)
    }
}
