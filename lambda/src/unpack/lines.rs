//! Bytes that are not packed to the lines they hold. Pure.
//!
//! Knows newlines, and just enough of JSON to see where an object ends that was printed over several lines. Does not
//! know whether a line is JSON at all.

use memchr::memchr;

/// What is left of a text, to be cut into lines.
#[derive(Clone, Copy, Default)]
pub(super) struct Cut<'a> {
    rest: &'a [u8],
    by: By,
}

/// What ends a line.
#[derive(Clone, Copy, Default)]
enum By {
    #[default]
    Newline,
    /// The brace that closes an object.
    Object,
}

impl<'a> Cut<'a> {
    pub(super) fn new(text: &'a [u8]) -> Cut<'a> {
        Cut { rest: text, by: if is_printed_at_large(text) { By::Object } else { By::Newline } }
    }
}

impl<'a> Iterator for Cut<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self.by {
            By::Newline => loop {
                if self.rest.is_empty() {
                    return None;
                }
                let (line, rest) = split_line(self.rest);
                self.rest = rest;
                if !line.trim_ascii_start().is_empty() {
                    return Some(line);
                }
            },
            By::Object => {
                let text = memchr(b'{', self.rest).and_then(|start| self.rest.get(start..))?;
                let (object, rest) = split_object(text)?;
                self.rest = rest;
                Some(object)
            }
        }
    }
}

/// The first line without its end, and what follows.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = memchr(b'\n', text).and_then(|end| text.split_at_checked(end)).unwrap_or((text, &[]));
    (line.strip_suffix(b"\r").unwrap_or(line), rest.strip_prefix(b"\n").unwrap_or(rest))
}

/// Whether the text is objects that do not stand one on a line: printed over several lines, or in an array.
///
/// The Java agent does the former with `"jsonFormat": "PRETTYPRINT"`, and its `ADDBRACKETS` puts the last brace on a line
/// of its own. An object on one line is told by its first and last byte, so that the ordinary text costs nothing here. A
/// text that only begins like this, as one whose first line was cut off, is taken line by line: then one line is lost and
/// not all.
fn is_printed_at_large(text: &[u8]) -> bool {
    let (first, _) = split_line(text.trim_ascii_start());
    match (first.first(), first.trim_ascii_end().last()) {
        (Some(b'{'), Some(b'}')) => false,
        (Some(b'{' | b'['), _) => is_objects(text),
        _ => false,
    }
}

/// Whether the text is whole objects and nothing else but brackets around them and commas between.
fn is_objects(mut text: &[u8]) -> bool {
    let mut open_brackets = 0_usize;
    loop {
        text = text.trim_ascii_start();
        let Some((first, rest)) = text.split_first() else { return open_brackets == 0 };
        text = match (first, open_brackets.checked_sub(1)) {
            (b'{', _) => match split_object(text) {
                Some((_, rest)) => rest,
                None => return false,
            },
            (b'[', _) => {
                open_brackets = open_brackets.saturating_add(1);
                rest
            }
            (b']', Some(fewer)) => {
                open_brackets = fewer;
                rest
            }
            (b',', _) => rest,
            _ => return false,
        };
    }
}

/// The object that the text begins with, and what follows it; none if it does not end.
fn split_object(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut open_braces = 0_usize;
    let mut bytes = text.iter().zip(1..);
    while let Some((byte, end)) = bytes.next() {
        match byte {
            b'{' => open_braces = open_braces.saturating_add(1),
            b'}' => {
                open_braces = open_braces.checked_sub(1)?;
                if open_braces == 0 {
                    return text.split_at_checked(end);
                }
            }
            b'"' => loop {
                match bytes.next()? {
                    (b'"', _) => break,
                    (b'\\', _) => bytes.next().map(|_| ())?,
                    // JSON has no newline in a string: this one has not ended where it should.
                    (b'\n', _) => return None,
                    _ => {}
                }
            },
            _ => {}
        }
    }
    None
}
