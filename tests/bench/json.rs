//! Reads JSON where it stands, without building a tree: the requests of the agent and the records in them.
//!
//! Knows the grammar as far as those two need it: objects, arrays, strings and `null`. Anything else, and anything
//! that RFC 8259 does not allow, is an error. Pure.

/// Why a text is not the JSON that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// The text ends or goes on differently.
    #[error("`{}` was expected", char::from(*.0))]
    Expected(u8),
    /// Something follows the value.
    #[error("something follows the end")]
    Trailing,
    /// A string holds a control character or an escape that does not exist.
    #[error("a string holds what it must not")]
    Text,
    /// A member is not one of those that may be there, is there twice, or is absent.
    #[error("the members are not those that were expected")]
    Members,
}

/// How far a JSON text has been read.
pub(crate) struct Json<'a> {
    rest: &'a [u8],
}

/// A string as it stands in the JSON text, between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(&'a [u8]);

impl<'a> Json<'a> {
    /// The beginning of `text`.
    pub(crate) fn new(text: &'a [u8]) -> Json<'a> {
        Json { rest: text }
    }

    /// Reads an object; `member` reads the value of each key.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Json<'a>, Text<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.list(b'{', b'}', |json| {
            let key = json.string()?;
            json.expect(b':')?;
            member(json, key)
        })
    }

    /// Reads an array; `element` reads each of its values.
    pub(crate) fn array(
        &mut self,
        element: impl FnMut(&mut Json<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.list(b'[', b']', element)
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Result<Text<'a>, JsonError> {
        self.expect(b'"')?;
        let mut end = 0;
        loop {
            let unread = self.rest.get(end..).unwrap_or_default();
            end += memchr::memchr2(b'"', b'\\', unread).ok_or(JsonError::Expected(b'"'))?;
            if self.rest.get(end) == Some(&b'"') {
                break;
            }
            // A backslash and the byte that it escapes.
            end += 2;
        }
        let (text, rest) = self.rest.split_at_checked(end).ok_or(JsonError::Expected(b'"'))?;
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(Text(text))
    }

    /// Reads a string or `null`.
    pub(crate) fn string_or_null(&mut self) -> Result<Option<Text<'a>>, JsonError> {
        self.skip_blanks();
        if let Some(rest) = self.rest.strip_prefix(b"null") {
            self.rest = rest;
            Ok(None)
        } else {
            self.string().map(Some)
        }
    }

    /// Makes sure that nothing follows.
    pub(crate) fn end(mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        if self.rest.is_empty() { Ok(()) } else { Err(JsonError::Trailing) }
    }

    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Json<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.expect(open)?;
        if self.next_is(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.next_is(close) {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.next_is(byte) { Ok(()) } else { Err(JsonError::Expected(byte)) }
    }

    /// Steps over `byte` if it comes next.
    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let after = self.rest.strip_prefix(&[byte]);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn skip_blanks(&mut self) {
        while let Some((b' ' | b'\t' | b'\r' | b'\n', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }
}

impl<'a> Text<'a> {
    /// The bytes as they stand, escapes included.
    pub(crate) fn as_written(self) -> &'a [u8] {
        self.0
    }

    /// Appends what the string means to `buffer`.
    pub(crate) fn append_to(self, buffer: &mut Vec<u8>) -> Result<(), JsonError> {
        // Looks at every byte instead of stopping at the first, which the compiler turns into vector instructions.
        if self.0.iter().fold(false, |found, byte| found | (*byte < b' ')) {
            return Err(JsonError::Text);
        }
        let mut rest = self.0;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            buffer.extend_from_slice(rest.get(..at).unwrap_or_default());
            rest = append_escaped(rest.get(at + 1..).unwrap_or_default(), buffer).ok_or(JsonError::Text)?;
        }
        buffer.extend_from_slice(rest);
        Ok(())
    }
}

/// Appends what the escape at the beginning of `text` (behind its backslash) stands for, and returns what follows it.
fn append_escaped<'a>(text: &'a [u8], buffer: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (kind, rest) = text.split_first()?;
    let byte = match kind {
        b'"' | b'\\' | b'/' => *kind,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return append_code_point(rest, buffer),
        _ => return None,
    };
    buffer.push(byte);
    Some(rest)
}

/// Appends the character whose UTF-16 form begins `text`: four digits, or four, `\u` and four more.
fn append_code_point<'a>(text: &'a [u8], buffer: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, after_first) = code_unit(text)?;
    let (units, rest) = match after_first.strip_prefix(b"\\u").and_then(code_unit) {
        Some((second, rest)) if (0xd800..0xdc00).contains(&first) => (vec![first, second], rest),
        _ => (vec![first], after_first),
    };
    let character = String::from_utf16(&units).ok()?;
    buffer.extend_from_slice(character.as_bytes());
    Some(rest)
}

fn code_unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    Some((u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `text` says if it is one object of strings and nulls.
    fn read(text: &[u8]) -> Result<Vec<(String, Option<String>)>, JsonError> {
        let meaning = |text: Text<'_>| {
            let mut bytes = Vec::new();
            text.append_to(&mut bytes)?;
            String::from_utf8(bytes).map_err(|_| JsonError::Text)
        };
        let mut members = Vec::new();
        let mut json = Json::new(text);
        json.object(|json, key| {
            members.push((meaning(key)?, json.string_or_null()?.map(meaning).transpose()?));
            Ok(())
        })?;
        json.end().map(|()| members)
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, Option<&str>)], JsonError>) {
        let owned = |(key, value): &(&str, Option<&str>)| (String::from(*key), value.map(String::from));
        assert_eq!(
            read(text.as_bytes()),
            expected.map(|members| members.iter().map(owned).collect()),
            "{text}"
        );
    }

    #[test]
    fn strings_and_nulls_are_read_with_or_without_blanks() {
        check("{}", Ok(&[]));
        check(r#"{"a":"b","c":null}"#, Ok(&[("a", Some("b")), ("c", None)]));
        check(" { \"a\" : \"b\" ,\n\"c\" : null } \n", Ok(&[("a", Some("b")), ("c", None)]));
    }

    #[test]
    fn every_escape_is_understood() {
        check(
            r#"{"a":"\"\\\/\b\f\n\r\tA\u00e9\u2603\ud83d\ude00"}"#,
            Ok(&[("a", Some("\"\\/\u{8}\u{c}\n\r\tAé☃😀"))]),
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        check("", Err(JsonError::Expected(b'{')));
        check(r#"{"a""#, Err(JsonError::Expected(b':')));
        check(r#"{"a":"b""#, Err(JsonError::Expected(b',')));
        check(r#"{"a":"b\""#, Err(JsonError::Expected(b'"')));
        check(r#"{"a":"b\"#, Err(JsonError::Expected(b'"')));
        check(r#"{"a":"b",}"#, Err(JsonError::Expected(b'"')));
        check(r#"{"a":12}"#, Err(JsonError::Expected(b'"')));
        check(r#"{"a":"b"}x"#, Err(JsonError::Trailing));
        check("{\"a\":\"b\tc\"}", Err(JsonError::Text));
        check(r#"{"a":"\x41"}"#, Err(JsonError::Text));
        check(r#"{"a":"\ud83d"}"#, Err(JsonError::Text));
        check(r#"{"a":"\u+123"}"#, Err(JsonError::Text));
    }

    proptest! {
        /// An independent writer's text means here what it meant there.
        #[test]
        fn what_serde_json_writes_is_read(members in prop::collection::btree_map(".{0,20}", prop::option::of(".{0,40}"), 0..6)) {
            let text = serde_json::to_vec(&members).unwrap();
            prop_assert_eq!(read(&text), Ok(members.into_iter().collect::<Vec<_>>()));
        }

        /// Bytes from anywhere are an answer or an error, never a panic; and serde_json accepts all that is accepted here.
        #[test]
        fn nothing_is_accepted_that_serde_json_refuses(text in r#"[{}\[\]",:\\ab0u d83e\tnul]{0,40}"#) {
            if read(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            }
        }
    }
}
