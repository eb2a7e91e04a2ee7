//! Writes the values of a line in both profiles.

use memchr::memchr_iter;

use super::date::Reading;
use super::walk::Found;
use super::{Meaning, Template, Value};
use crate::parse::json::{Key, Object};
use crate::parse::native::{self, Request};
use crate::parse::time::Moment;
use crate::parse::{JsonTypes, Record};

/// How httpd writes an empty user.
const NO_USER: &[u8] = b"\"\"";

/// Appends the record of what was found to `buffer`.
pub(super) fn write(template: &Template, found: &Found<'_>, buffer: &mut Vec<u8>) -> Record {
    let mut object = Object::begin(buffer, found.content);
    let values = template.values.iter().zip(&found.values);
    match template.types {
        JsonTypes::Strings => values.for_each(|(value, text)| write_string(&mut object, value, *text)),
        JsonTypes::Native => values.enumerate().for_each(|(place, (value, text))| {
            write_native(&mut object, value, *text, || found.reading(place));
        }),
    }
    object.end()
}

fn write_string(object: &mut Object<'_>, value: &Value, text: Option<&[u8]>) {
    let key = Key(&value.key);
    match (text, &value.meaning) {
        (Some(text), Meaning::Message(trace)) => write_message(object, key, *trace, text),
        (Some(text), Meaning::Verbatim) => object.text(key, text.trim_ascii()),
        (Some(NO_USER), Meaning::User) => object.text(key, b""),
        (None | Some(b"-"), _) => object.null(key),
        (Some(text), _) => object.text(key, text),
    }
}

/// `reading` is what a date says, if that is known already.
fn write_native<'a>(
    object: &mut Object<'_>,
    value: &Value,
    text: Option<&'a [u8]>,
    reading: impl FnOnce() -> Option<Reading<'a>>,
) {
    let key = Key(&value.key);
    match (&value.meaning, text) {
        (Meaning::Message(trace), Some(text)) => write_message(object, key, *trace, text),
        (Meaning::Verbatim, Some(text)) => object.text(key, text.trim_ascii()),
        (Meaning::User, Some(NO_USER)) => object.text(key, b""),
        (Meaning::Text | Meaning::User | Meaning::Target, Some(text)) => native::text(object, key, text),
        (Meaning::Bytes, Some(b"-")) => object.integer(key, 0),
        (Meaning::Number | Meaning::Bytes, Some(text)) if text != b"-" => object.digits(key, text),
        (Meaning::Query, Some(text)) => native::optional(object, key, text.strip_prefix(b"?")),
        (Meaning::Request(names), text) => {
            let text = text.filter(|text| *text != b"-");
            native::optional(object, key, text);
            write_request(object, names, text.and_then(Request::read));
        }
        (Meaning::Date(pattern, names), text) => {
            let text = text.filter(|text| *text != b"-");
            native::optional(object, key, text);
            let reading = text.and_then(|text| reading().or_else(|| Some(pattern.read(text)?.0)));
            write_time(object, *names, reading.and_then(|reading| reading.moment()));
        }
        (Meaning::Epoch(parts, time), text) => {
            let text = text.filter(|text| *text != b"-");
            match text {
                Some(text) => object.digits(key, text),
                None => object.null(key),
            }
            match (time, text.and_then(|text| millis(text, *parts))) {
                (Some(time), Some(millis)) => object.integer(Key(time), millis),
                (Some(time), None) => object.null(Key(time)),
                (None, _) => {}
            }
        }
        (_, _) => object.null(key),
    }
}

fn write_request(object: &mut Object<'_>, names: &[Option<&'static str>; 4], request: Option<Request<'_>>) {
    let parts = [
        request.map(|request| request.method),
        request.map(|request| request.path),
        request.and_then(|request| request.query),
        request.and_then(|request| request.protocol),
    ];
    for (name, part) in names.iter().zip(parts) {
        if let Some(name) = name {
            native::optional(object, Key(name), part);
        }
    }
}

/// When it was, as far as the log tells: without a zone, which moment it was is not known, and the notation in ISO 8601
/// is without one as well.
fn write_time(object: &mut Object<'_>, names: Option<[&'static str; 2]>, moment: Option<(Moment<'_>, bool)>) {
    let Some([time, iso]) = names else { return };
    match moment {
        Some((moment, true)) => {
            object.integer(Key(time), moment.epoch_millis());
            object.written(Key(iso), |buffer| moment.write_iso(buffer));
        }
        Some((moment, false)) => {
            object.null(Key(time));
            object.written(Key(iso), |buffer| moment.write_local_iso(buffer));
        }
        None => {
            object.null(Key(time));
            object.null(Key(iso));
        }
    }
}

/// The milliseconds since 1970 of a time in so many parts of a second, which may have a point among its digits.
fn millis(text: &[u8], parts: i64) -> Option<i64> {
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (text.get(..point)?, text.get(point + 1..)?),
        None => (text, &b""[..]),
    };
    let whole: i64 = str::from_utf8(whole).ok()?.parse().ok()?;
    let thousandths =
        fraction.iter().chain(b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    if parts > 1000 {
        Some(whole / (parts / 1000))
    } else {
        whole.checked_mul(1000 / parts)?.checked_add(thousandths)
    }
}

/// What a program says, and the stack trace behind it.
fn write_message(object: &mut Object<'_>, key: Key<'_>, trace: Option<&'static str>, text: &[u8]) {
    let text = without_line_end(text);
    let (message, stack) = match trace.and_then(|_| trace_start(text)) {
        Some(start) => (text.get(..start).unwrap_or_default(), text.get(start..)),
        None => (text, None),
    };
    object.text(key, without_line_end(message));
    match (trace, stack) {
        (Some(trace), Some(stack)) => object.text(Key(trace), stack),
        (Some(trace), None) => object.null(Key(trace)),
        (None, _) => {}
    }
}

/// Where the stack trace behind a message begins: at the line that names what was thrown, before the first that begins with
/// `at` and some space around it, as those of Java do. What was thrown may itself say several lines, as Jackson's
/// exceptions do, and may have no line of calls: the JVM leaves those out of what it throws often.
fn trace_start(text: &[u8]) -> Option<usize> {
    // The last line that a trace may begin with, and the last that names what was thrown.
    let (mut last, mut named) = (None, None);
    for newline in memchr_iter(b'\n', text) {
        let line = text.get(newline + 1..).unwrap_or_default();
        if line.starts_with(b"\tat ") || line.starts_with(b"    at ") {
            return named.or(last).or(Some(newline + 1));
        }
        last = Some(newline + 1);
        named = if class_name(line).is_some() { last } else { named };
    }
    // Without such a line a name has to be plain: a host may be named like a class.
    let name = class_name(text.get(named?..)?)?;
    if name.ends_with(b"Exception") || name.ends_with(b"Error") { named } else { None }
}

/// The name of a class and its packages at the start of `text`, if it ends the line or a colon follows.
fn class_name(text: &[u8]) -> Option<&[u8]> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._$".contains(byte) || !byte.is_ascii();
    let (name, behind) = text.split_at(text.iter().take_while(|byte| is_part(byte)).count());
    let is_whole = name.contains(&b'.') && matches!(behind, [] | [b':' | b'\r' | b'\n', ..]);
    is_whole.then_some(name)
}

fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}
