//! Writes one JSON object straight into the buffer that will be sent.
//!
//! Does not know what a field means. Whatever bytes come in, what goes out is one line of valid JSON: compact, its
//! keys in the order they were given, bytes that are not UTF-8 replaced by U+FFFD. Escapes are those of the Java
//! agent: short ones where JSON has them, else `\u00XX` in upper case; `/`, DEL and what is not ASCII stand as they
//! are.

use std::io::Write;

use super::{Record, scan};

/// A number with more digits is too large for whoever holds numbers in 64 bits, and refuses the whole record for it: it is
/// written as a text.
const NUMBER_DIGITS: usize = 300;

/// The name of a field as it stands before a string: quoted, with its colon and the quote that opens the string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'n>(pub(super) &'n str);

impl Key<'_> {
    /// As it stands before a value that is no string.
    #[inline]
    fn unopened(&self) -> &[u8] {
        let key = self.0.as_bytes();
        key.get(..key.len().saturating_sub(1)).unwrap_or_default()
    }
}

/// What the [`Key`] of any name holds.
pub(super) fn quote_key(name: &str) -> String {
    let mut key = String::from('"');
    escape_text(name, &mut key);
    key.push_str("\":\"");
    key
}

/// The [`Key`] of a name that needs no escape.
macro_rules! key {
    ($name:literal) => {
        $crate::parse::json::Key(concat!("\"", $name, "\":\""))
    };
}
pub(super) use key;

/// What the values of an object consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Bytes that stand for themselves in a JSON string: nothing has to be looked at again.
    Plain,
    /// Any bytes.
    Any,
}

/// An object that is being written at the end of a buffer.
#[derive(Debug)]
pub(super) struct Object<'b> {
    buffer: &'b mut Vec<u8>,
    /// Where in the buffer it begins.
    start: usize,
    content: Content,
    repaired: bool,
}

impl<'b> Object<'b> {
    /// Begins an object whose texts consist of `content`.
    #[inline]
    pub(super) fn begin(buffer: &'b mut Vec<u8>, content: Content) -> Object<'b> {
        let start = buffer.len();
        buffer.push(b'{');
        Object { buffer, start, content, repaired: false }
    }

    /// Ends the object and its line.
    #[inline]
    pub(super) fn end(self) -> Record {
        // The comma behind the last field.
        if self.buffer.last() == Some(&b',') {
            self.buffer.pop();
        }
        self.buffer.extend_from_slice(b"}\n");
        Record::object(self.buffer.len() - self.start, self.repaired)
    }

    /// What the texts consist of.
    pub(super) fn content(&self) -> Content {
        self.content
    }

    /// Notes that what it was made of had bytes that were not UTF-8.
    pub(super) fn repair(&mut self) {
        self.repaired = true;
    }

    /// A field without a value.
    #[inline]
    pub(super) fn null(&mut self, key: Key<'_>) {
        self.buffer.extend_from_slice(key.unopened());
        self.buffer.extend_from_slice(b"null,");
    }

    /// The bytes of `value` as a string.
    #[inline]
    pub(super) fn text(&mut self, key: Key<'_>, value: &[u8]) {
        self.buffer.extend_from_slice(key.0.as_bytes());
        match self.content {
            Content::Plain => self.buffer.extend_from_slice(value),
            Content::Any => self.append(value),
        }
        self.buffer.extend_from_slice(b"\",");
    }

    /// The bytes of `value` as a string, if there is one.
    #[inline]
    pub(super) fn text_or_null(&mut self, key: Key<'_>, value: Option<&[u8]>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    /// The bytes that come out of `bytes` as a string.
    pub(super) fn text_of(&mut self, key: Key<'_>, bytes: impl Iterator<Item = u8>) {
        self.buffer.extend_from_slice(key.0.as_bytes());
        // A character is one byte and at most three that continue it, so that whether they are UTF-8 can be told
        // without the bytes around them.
        let mut held = [0; 4];
        let mut len = 0;
        for byte in bytes {
            let continues = byte & 0b1100_0000 == 0b1000_0000;
            if !continues || len == held.len() {
                self.append(held.get(..len).unwrap_or_default());
                len = 0;
            }
            if let Some(place) = held.get_mut(len) {
                *place = byte;
                len += 1;
            }
        }
        self.append(held.get(..len).unwrap_or_default());
        self.buffer.extend_from_slice(b"\",");
    }

    /// Decimal digits that may have a sign, and a point among them, as a number.
    pub(super) fn digits(&mut self, key: Key<'_>, digits: &[u8]) {
        let (minus, digits) = match digits {
            [b'-', digits @ ..] => (&b"-"[..], digits),
            [b'+', digits @ ..] | digits => (&b""[..], digits),
        };
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        self.field(key, |buffer| match digits.get(zeros..) {
            Some(digits) if digits.len() > NUMBER_DIGITS => {
                [b"\"", minus, digits, b"\""].into_iter().for_each(|part| buffer.extend_from_slice(part));
            }
            Some(fraction @ [b'.', ..]) => {
                buffer.extend_from_slice(minus);
                buffer.push(b'0');
                buffer.extend_from_slice(fraction);
            }
            Some(digits @ [_, ..]) => {
                buffer.extend_from_slice(minus);
                buffer.extend_from_slice(digits);
            }
            Some([]) | None => buffer.push(b'0'),
        });
    }

    /// A number.
    pub(super) fn integer(&mut self, key: Key<'_>, value: i64) {
        // From the last digit on. The library's way writes the same through its formatter, which takes several times
        // as long.
        let mut digits = [0; 20];
        let mut rest = value.unsigned_abs();
        let mut len = 0;
        for place in digits.iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            (rest, len) = (rest / 10, len + 1);
            if rest == 0 {
                break;
            }
        }
        self.field(key, |buffer| {
            if value < 0 {
                buffer.push(b'-');
            }
            buffer.extend_from_slice(digits.get(digits.len() - len..).unwrap_or_default());
        });
    }

    /// A string that needs no escape, appended to the buffer by `write`.
    pub(super) fn written(&mut self, key: Key<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.extend_from_slice(key.0.as_bytes());
        write(self.buffer);
        self.buffer.extend_from_slice(b"\",");
    }

    /// JSON that is compact already.
    pub(super) fn json(&mut self, key: Key<'_>, value: &str) {
        self.field(key, |buffer| buffer.extend_from_slice(value.as_bytes()));
    }

    /// A value that is no string.
    #[inline]
    fn field(&mut self, key: Key<'_>, value: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.extend_from_slice(key.unopened());
        value(self.buffer);
        self.buffer.push(b',');
    }

    /// Appends `bytes` as the inside of a string, U+FFFD in place of what is not UTF-8.
    fn append(&mut self, bytes: &[u8]) {
        if scan::is_plain(bytes) {
            return self.buffer.extend_from_slice(bytes);
        }
        if let Ok(text) = str::from_utf8(bytes) {
            return escape(text.as_bytes(), self.buffer);
        }
        for chunk in bytes.utf8_chunks() {
            escape(chunk.valid().as_bytes(), self.buffer);
            if !chunk.invalid().is_empty() {
                self.repaired = true;
                self.buffer.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
    }
}

/// What texts consist of that are taken from `line` as they stand there.
#[inline]
pub(super) fn content_of(line: &[u8]) -> Content {
    if scan::is_plain(line) { Content::Plain } else { Content::Any }
}

/// Appends `text` as the inside of a string.
pub(super) fn escape_text(text: &str, out: &mut String) {
    let mut bytes = Vec::with_capacity(text.len());
    escape(text.as_bytes(), &mut bytes);
    out.push_str(&String::from_utf8_lossy(&bytes));
}

/// Appends UTF-8 as the inside of a string: runs that need no escape in one go.
pub(super) fn escape(mut text: &[u8], buffer: &mut Vec<u8>) {
    loop {
        let Some((plain, rest)) = text.split_at_checked(scan::before_escape(text)) else { return };
        buffer.extend_from_slice(plain);
        let Some((&byte, rest)) = rest.split_first() else { return };
        match byte {
            b'"' => buffer.extend_from_slice(b"\\\""),
            b'\\' => buffer.extend_from_slice(b"\\\\"),
            0x08 => buffer.extend_from_slice(b"\\b"),
            0x0C => buffer.extend_from_slice(b"\\f"),
            b'\n' => buffer.extend_from_slice(b"\\n"),
            b'\r' => buffer.extend_from_slice(b"\\r"),
            b'\t' => buffer.extend_from_slice(b"\\t"),
            control => write!(buffer, "\\u{control:04X}").expect("memory takes every write"),
        }
        text = rest;
    }
}
