//! Finds the fields of an entry of httpd's error log, and writes them.
//!
//! Takes every line that the Java agent takes, with the same values, and beyond that all that httpd 2.2 and 2.4 write
//! of themselves: without the part of the client or of the process, with an empty module, with the address of a
//! backend in place of the client's, with a reason of the system or a place in the source before the client. What
//! httpd writes: <https://httpd.apache.org/docs/2.4/mod/core.html#errorlogformat>.

use memchr::{memchr, memmem};

use super::fields::Value;
use super::json::{self, Content, Object, key};
use super::time::digits;
use super::timestamp::Local;
use super::{Fault, Field, JsonTypes, Mismatch, Record};

const TIMESTAMP: Field = Field::new("timestamp", "`[Day Mon dd HH:MM:SS yyyy] `");
const SEVERITY: Field = Field::new("severity", "`[severity]` or `[module:severity]`, then a space");

/// One line of an error log, each value as it stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// A date as [`Local::read`] takes it, without its brackets.
    timestamp: &'a [u8],
    /// Empty if the line has none.
    module: &'a [u8],
    severity: &'a [u8],
    process: Option<Process<'a>>,
    peer: Option<Peer<'a>>,
    /// All the rest of the line.
    message: &'a [u8],
    /// What can be said of all the values at once.
    content: Content,
}

/// Who wrote the line, in digits.
#[derive(Clone, Copy, Debug)]
struct Process<'a> {
    process: &'a [u8],
    thread: Option<&'a [u8]>,
}

/// With whom httpd was talking.
#[derive(Clone, Copy, Debug)]
enum Peer<'a> {
    /// The one that asked.
    Client(&'a [u8]),
    /// A backend that was asked.
    Remote(&'a [u8]),
}

/// Reads the line `line`, which has no newline at its end.
pub(super) fn read(line: &[u8]) -> Result<Entry<'_>, Mismatch> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (timestamp, rest) = timestamp(line).ok_or_else(|| TIMESTAMP.mismatch(Fault::Missing, 0))?;
    let (module, severity, rest) =
        severity(rest).ok_or_else(|| SEVERITY.mismatch(Fault::Missing, line.len() - rest.len()))?;
    let (process, rest) = process(rest).map_or((None, rest), |(process, rest)| (Some(process), rest));
    let (peer, message) = peer(rest).map_or((None, rest), |(peer, message)| (Some(peer), message));
    let content = json::content_of(line);
    Ok(Entry { timestamp, module, severity, process, peer, message, content })
}

impl<'a> Entry<'a> {
    /// The values that the Java agent knows, in its order.
    pub(super) fn values(&self) -> [Value<'a>; 7] {
        let digits = |digits: Option<&'a [u8]>| digits.map_or(Value::Nothing, Value::Number);
        [
            Value::Text(self.timestamp),
            if self.module.is_empty() { Value::Nothing } else { Value::Text(self.module).or_nothing() },
            Value::Text(self.severity).or_nothing(),
            digits(self.process.map(|process| process.process)),
            digits(self.process.and_then(|process| process.thread)),
            match self.peer {
                Some(Peer::Client(client)) => Value::Text(client).or_nothing(),
                Some(Peer::Remote(_)) | None => Value::Nothing,
            },
            Value::Escaped(self.message).or_nothing(),
        ]
    }

    /// The address of a backend, which the Java agent does not know.
    pub(super) fn remote(&self) -> Option<&'a [u8]> {
        match self.peer {
            Some(Peer::Remote(remote)) => Some(remote),
            Some(Peer::Client(_)) | None => None,
        }
    }

    /// What can be said of all the values at once.
    pub(super) fn content(&self) -> Content {
        self.content
    }

    /// Appends its record to `buffer`.
    pub(super) fn write(&self, types: JsonTypes, buffer: &mut Vec<u8>) -> Record {
        let mut object = Object::begin(buffer, self.content);
        let [timestamp, module, severity, process, thread, client, message] = self.values();
        timestamp.write(key!("timestamp"), types, &mut object);
        match types {
            JsonTypes::Strings => {}
            JsonTypes::Native => self.write_time(&mut object),
        }
        module.write(key!("module"), types, &mut object);
        severity.write(key!("severity"), types, &mut object);
        process.write(key!("processid"), types, &mut object);
        thread.write(key!("threadid"), types, &mut object);
        client.write(key!("client"), types, &mut object);
        if let Some(remote) = self.remote() {
            object.text(key!("remote"), remote);
        }
        message.write(key!("message"), types, &mut object);
        object.end()
    }

    /// The local time. Which moment that is cannot be said: the log names no zone.
    fn write_time(&self, object: &mut Object<'_>) {
        match Local::read(self.timestamp).and_then(|(date, _)| date.moment()) {
            Some(moment) => object.written(key!("timeIso"), |buffer| moment.write_iso(buffer)),
            None => object.null(key!("timeIso")),
        }
    }
}

/// The timestamp with which `line` begins, and what follows the space behind it.
fn timestamp(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = line.strip_prefix(b"[")?;
    let (_, rest) = Local::read(text)?;
    Some((text.get(..text.len() - rest.len())?, rest.strip_prefix(b"] ")?))
}

/// The module, which may be empty, and the severity at the start of `text`, and what follows them.
fn severity(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (inside, rest) = bracketed(text.strip_prefix(b"[")?)?;
    let (module, severity) = match memchr(b':', inside) {
        Some(colon) => (inside.get(..colon)?, inside.get(colon + 1..)?),
        None => (&[] as &[u8], inside),
    };
    let is_word = |text: &[u8]| !text.iter().any(u8::is_ascii_whitespace);
    (is_word(module) && is_word(severity) && !severity.is_empty()).then_some((module, severity, rest))
}

/// The numbers of process and thread at the start of `text`, and what follows them.
fn process(text: &[u8]) -> Option<(Process<'_>, &[u8])> {
    let (process, rest) = digits(text.strip_prefix(b"[pid ")?)?;
    let (thread, rest) = match rest.strip_prefix(b":tid ") {
        Some(rest) => digits(rest).map(|(thread, rest)| (Some(thread), rest))?,
        None => (None, rest),
    };
    let (nothing, rest) = bracketed(rest)?;
    nothing.is_empty().then_some((Process { process, thread }, rest))
}

/// With whom httpd was talking when it wrote `text`, and the message.
///
/// A place in the source or a reason of the system may stand before it, which belongs to the message; the message is
/// then all of the text.
fn peer(text: &[u8]) -> Option<(Peer<'_>, &[u8])> {
    if let Some(found) = peer_at_start(text) {
        return Some(found);
    }
    let place = behind_place(text);
    let behind = place.unwrap_or(text);
    if let Some(reason) = behind_number(behind) {
        let end = memmem::find(reason, b": [")?;
        return peer_at_start(reason.get(end + 2..)?).map(|(peer, _)| (peer, text));
    }
    peer_at_start(place?).map(|(peer, _)| (peer, text))
}

fn peer_at_start(text: &[u8]) -> Option<(Peer<'_>, &[u8])> {
    let (peer, inside): (fn(_) -> _, _) = match text.strip_prefix(b"[client ") {
        Some(inside) => (Peer::Client, inside),
        None => (Peer::Remote, text.strip_prefix(b"[remote ")?),
    };
    let (address, message) = bracketed(inside)?;
    (!address.is_empty()).then(|| (peer(address), message))
}

/// What follows `core.c(123): ` at the start of `text`.
fn behind_place(text: &[u8]) -> Option<&[u8]> {
    let bracket = memchr(b'(', text)?;
    let file = text.get(..bracket)?;
    let is_file = !file.is_empty() && !file.iter().any(u8::is_ascii_whitespace);
    let rest = behind_number(text.get(bracket..)?)?.strip_prefix(b": ")?;
    is_file.then_some(rest)
}

/// What follows `(13)` at the start of `text`.
fn behind_number(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"(")?;
    digits(text.strip_prefix(b"-").unwrap_or(text))?.1.strip_prefix(b")")
}

/// What stands before the first `]`, and what follows the space behind that, if any follows.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b']', text)?;
    let rest = text.get(end + 1..)?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
    Some((text.get(..end)?, rest))
}
