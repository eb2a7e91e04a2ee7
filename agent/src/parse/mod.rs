//! Step 3: lines to records. Pure: no clock, no disk, no logging.
//!
//! Does not know what becomes of a record. A record is written straight to the end of
//! the buffer that will be sent; a line that does not match leaves the buffer as it was, and says which field could
//! not be read and where.
//!
//! In reading order: `apache` finds the fields of a line and `time` reads their date; `strings` and `native` write
//! them, the one as the Java agent did, the other as what they mean; `escape` undoes httpd's escapes for the latter,
//! and `json` puts everything into the buffer. `enrich` adds where the line is from, where a flow wants that.

mod apache;
mod enrich;
mod escape;
mod json;
mod native;
mod strings;
mod time;

use std::borrow::Cow;
use std::fmt;

use crate::split::Line;

pub use apache::Format;
pub use enrich::Stamp;

/// What makes records out of the lines of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parser {
    /// The line goes out as it is, newline included.
    Raw,
    /// An entry of a log becomes one JSON object on one line.
    Log {
        /// Which fields an entry has.
        format: Format,
        /// How their values are written.
        types: JsonTypes,
    },
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
    repaired: bool,
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
}

/// A field without which a line is no entry of its log.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    /// What it looks like, together with what divides it from the field before.
    shape: &'static str,
}

impl Parser {
    /// Appends the record of `line` to `buffer`.
    ///
    /// # Errors
    /// If the line does not match the format; `buffer` is then exactly as it was.
    pub fn parse(&self, line: &Line<'_>, buffer: &mut Vec<u8>) -> Result<Record, Mismatch> {
        let bytes = line.bytes();
        match self {
            Parser::Raw => {
                buffer.extend_from_slice(bytes);
                Ok(Record { len: bytes.len(), repaired: false })
            }
            Parser::Log { format, types } => {
                let entry = apache::read(bytes.strip_suffix(b"\n").unwrap_or(bytes), *format)?;
                Ok(match types {
                    JsonTypes::Strings => strings::write(&entry, buffer),
                    JsonTypes::Native => native::write(&entry, buffer),
                })
            }
        }
    }
}

#[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
impl Record {
    /// How many bytes of the buffer it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
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
