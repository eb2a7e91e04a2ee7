//! Finds the fields of a line of syslog, and writes them.
//!
//! Takes every line that the Java agent takes, with the same values, and beyond that a priority in front
//! (<https://www.rfc-editor.org/rfc/rfc3164#section-4.1.1>), any program and process between the host and a colon, and
//! messages that no program has signed. A `-` is a text like any other.

use super::fields::Value;
use super::json::{self, Content, Object, key};
use super::time::digits;
use super::{Fault, Field, JsonTypes, Mismatch, Record, scan, timestamp};

const BSD: Field = Field::new("timestamp", "`Mon dd HH:MM:SS `");
const RFC3339: Field = Field::new("timestamp", "`yyyy-mm-ddTHH:MM:SS±zz:zz `");
const HOSTNAME: Field = Field::new("hostname", "a name or an address, then a space");

/// What the timestamps of a log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamped {
    /// `Feb  3 04:05:06`.
    Bsd,
    /// `2021-02-03T04:05:06.789+01:00`.
    Rfc3339,
}

/// One line of syslog, each value as it stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    stamped: Stamped,
    timestamp: &'a [u8],
    hostname: &'a [u8],
    program: Option<Program<'a>>,
    /// All the rest of the line.
    message: &'a [u8],
    /// What can be said of all the values at once.
    content: Content,
}

/// Who signed a message.
#[derive(Clone, Copy, Debug)]
struct Program<'a> {
    name: &'a [u8],
    /// Mostly a number.
    process: Option<&'a [u8]>,
}

/// Reads the line `line`, which has no newline at its end.
#[inline]
pub(super) fn read(line: &[u8], stamped: Stamped) -> Result<Entry<'_>, Mismatch> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let at = |rest: &[u8]| line.len() - rest.len();
    let dated = behind_priority(line).unwrap_or(line);
    let (field, rest) = match stamped {
        Stamped::Bsd => (BSD, timestamp::after_bsd(dated)),
        Stamped::Rfc3339 => (RFC3339, timestamp::after_rfc3339(dated)),
    };
    let missing = || field.mismatch(Fault::Missing, at(dated));
    let rest = rest.filter(|rest| rest.first() == Some(&b' ')).ok_or_else(missing)?;
    let timestamp = dated.get(..dated.len() - rest.len()).unwrap_or_default();

    let rest = rest.get(1..).unwrap_or_default();
    let rest = behind_facility(rest).unwrap_or(rest);
    let (hostname, rest) = word(rest)
        // What ends in a colon is a program, and the host is not there.
        .filter(|(word, _)| !word.is_empty() && word.last() != Some(&b':'))
        .ok_or_else(|| HOSTNAME.mismatch(Fault::Missing, at(rest)))?;
    let (program, message) =
        signature(rest).map_or((None, rest), |(program, message)| (Some(program), message));

    let content = json::content_of(line);
    Ok(Entry { stamped, timestamp, hostname, program, message, content })
}

impl<'a> Entry<'a> {
    /// The values that the Java agent knows, in its order.
    pub(super) fn values(&self) -> [Value<'a>; 5] {
        let process = match self.process() {
            Some(process) if is_number(process) => Value::Number(process),
            Some(process) => Value::Text(process),
            None => Value::Nothing,
        };
        let name = self.name().map_or(Value::Nothing, Value::Text);
        [Value::Text(self.timestamp), Value::Text(self.hostname), name, process, Value::Text(self.message)]
    }

    /// What can be said of all the values at once.
    pub(super) fn content(&self) -> Content {
        self.content
    }

    /// Appends its record to `buffer`.
    #[inline]
    pub(super) fn write(&self, types: JsonTypes, buffer: &mut Vec<u8>) -> Record {
        let mut object = Object::begin(buffer, self.content);
        object.text(key!("timestamp"), self.timestamp);
        match types {
            JsonTypes::Strings => {}
            JsonTypes::Native => self.write_time(&mut object),
        }
        object.text(key!("hostname"), self.hostname);
        object.text_or_null(key!("program"), self.name());
        match (types, self.process()) {
            (JsonTypes::Native, Some(process)) if is_number(process) => {
                object.digits(key!("processid"), process);
            }
            (JsonTypes::Native | JsonTypes::Strings, process) => {
                object.text_or_null(key!("processid"), process);
            }
        }
        object.text(key!("message"), self.message);
        object.end()
    }

    /// The name of the program.
    fn name(&self) -> Option<&'a [u8]> {
        self.program.map(|program| program.name)
    }

    /// The process of the program.
    fn process(&self) -> Option<&'a [u8]> {
        self.program.and_then(|program| program.process)
    }

    /// The moment, where the timestamp says it: without a year nobody knows.
    fn write_time(&self, object: &mut Object<'_>) {
        match self.stamped {
            Stamped::Bsd => {}
            Stamped::Rfc3339 => match timestamp::rfc3339(self.timestamp) {
                Some(moment) => {
                    object.integer(key!("time"), moment.epoch_millis());
                    object.written(key!("timeIso"), |buffer| moment.write_iso(buffer));
                }
                None => {
                    object.null(key!("time"));
                    object.null(key!("timeIso"));
                }
            },
        }
    }
}

/// Whether `process`, which is not empty, is a number.
fn is_number(process: &[u8]) -> bool {
    process.iter().all(u8::is_ascii_digit)
}

/// What follows `<34>` at the start of `line`.
fn behind_priority(line: &[u8]) -> Option<&[u8]> {
    let (_, rest) = digits(line.strip_prefix(b"<")?)?;
    rest.strip_prefix(b">")
}

/// What follows `<4.6> ` or `<134> ` at the start of `text`. As with the Java agent the dot may be any character.
fn behind_facility(text: &[u8]) -> Option<&[u8]> {
    let (_, rest) = digits(text.strip_prefix(b"<")?)?;
    let inside = match rest {
        [b'>', b' ', rest @ ..] => return Some(rest),
        [_, rest @ ..] => rest,
        [] => return None,
    };
    let continued = inside.iter().take_while(|&&byte| byte & 0b1100_0000 == 0b1000_0000).count();
    let (_, rest) = digits(inside.get(continued..)?)?;
    rest.strip_prefix(b"> ")
}

/// The program that signed `text`, as `sshd[812]: `, and what follows that.
#[inline]
fn signature(text: &[u8]) -> Option<(Program<'_>, &[u8])> {
    let (word, message) = word(text).unwrap_or((text, &[]));
    let signed = word.strip_suffix(b":")?;
    let numbered = signed.strip_suffix(b"]").and_then(|signed| {
        let bracket = scan::place(signed, b'[').filter(|&bracket| bracket > 0)?;
        Some((signed.get(..bracket)?, signed.get(bracket + 1..)?))
    });
    let (name, process) = numbered.map_or((signed, None), |(name, process)| (name, Some(process)));
    let process = process.filter(|process| !process.is_empty());
    (!name.is_empty()).then_some((Program { name, process }, message))
}

/// What stands before the first space, and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = scan::place(text, b' ')?;
    Some((text.get(..len)?, text.get(len + 1..)?))
}
