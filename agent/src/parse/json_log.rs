//! Entries that are JSON objects already, as an httpd `LogFormat` in the shape of JSON writes them.
//!
//! httpd escapes a value in its own way, whatever the format around it: `\xhh` and `\v` are no JSON, and a number that is
//! missing is a bare `-`. That is repaired; everything else passes as it is, numbers with all their digits, but for the
//! space between the parts. How httpd escapes a value:
//! <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#format-notes>. Does not know which fields there are. What
//! goes out is one line of valid JSON; a line that cannot be made so does not match.

use super::json;
use super::{Fault, Field, Mismatch, Record};

const OBJECT: Field = Field::new("object", "`{` and at least one field");
const NAME: Field = Field::new("name", "`\"…\"`");
const TEXT: Field = Field::new("text", "a closing quote");
const COLON: Field = Field::new("colon", "`:` behind the name");
const VALUE: Field = Field::new("value", "a value of JSON, or `-`");
const DIVIDER: Field = Field::new("divider", "`,`, or what closes the object or list");
const END: Field = Field::new("end", "nothing behind the object");

/// How deep objects and lists may stand in each other: one bit each.
const DEEPEST: u32 = 64;

/// Appends the object on `line`, which has no newline at its end, to `buffer`; on a mismatch `buffer` is as it was.
pub(super) fn convert(line: &[u8], buffer: &mut Vec<u8>) -> Result<Record, Mismatch> {
    let start = buffer.len();
    let mut walk = Walk { line, at: 0, buffer, repaired: false };
    match walk.object() {
        Ok(()) => {
            let repaired = walk.repaired;
            buffer.push(b'\n');
            Ok(Record::object(buffer.len() - start, repaired))
        }
        Err(mismatch) => {
            buffer.truncate(start);
            Err(mismatch)
        }
    }
}

struct Walk<'a, 'b> {
    line: &'a [u8],
    /// At most the line's length.
    at: usize,
    buffer: &'b mut Vec<u8>,
    repaired: bool,
}

impl<'a> Walk<'a, '_> {
    /// The whole line.
    fn object(&mut self) -> Result<(), Mismatch> {
        self.skip_space();
        if self.peek() != Some(b'{') {
            return Err(self.missing(OBJECT));
        }
        // A one for each object that is open, a zero for each list, the innermost last.
        let (mut open, mut depth) = (0u64, 0u32);
        loop {
            let mut is_closed = self.value(&mut open, &mut depth)?;
            // Behind a value: what is around it goes on, or ends.
            while is_closed {
                self.skip_space();
                if depth == 0 {
                    return if self.at == self.line.len() { Ok(()) } else { Err(self.missing(END)) };
                }
                let is_object = open & 1 == 1;
                match (self.peek(), is_object) {
                    (Some(b','), _) => {
                        self.copy();
                        if is_object {
                            self.name()?;
                        }
                        is_closed = false;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.copy();
                        (open, depth) = (open >> 1, depth - 1);
                    }
                    (_, _) => return Err(self.missing(DIVIDER)),
                }
            }
        }
    }

    /// A value, or the beginning of one that holds others. Gives out whether it is at its end.
    fn value(&mut self, open: &mut u64, depth: &mut u32) -> Result<bool, Mismatch> {
        self.skip_space();
        match self.peek() {
            Some(bracket @ (b'{' | b'[')) if *depth < DEEPEST => {
                let is_outermost = *depth == 0;
                self.copy();
                self.skip_space();
                match (bracket, self.peek()) {
                    // There is nothing in it that a record could be of.
                    (b'{', Some(b'}')) if is_outermost => return Err(self.missing(OBJECT)),
                    (b'{', Some(b'}')) | (b'[', Some(b']')) => {
                        self.copy();
                        return Ok(true);
                    }
                    (_, _) => {}
                }
                *open = *open << 1 | u64::from(bracket == b'{');
                *depth += 1;
                if bracket == b'{' {
                    self.name()?;
                }
                Ok(false)
            }
            Some(b'"') => self.string().map(|()| true),
            Some(_) => self.scalar().map(|()| true),
            None => Err(self.missing(VALUE)),
        }
    }

    /// A name and its colon.
    fn name(&mut self) -> Result<(), Mismatch> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.missing(NAME));
        }
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.missing(COLON));
        }
        self.copy();
        Ok(())
    }

    /// A number, `true`, `false` or `null`, or the `-` that httpd writes for what is missing.
    fn scalar(&mut self) -> Result<(), Mismatch> {
        let rest = self.rest();
        let len = rest.iter().take_while(|byte| !b",]} \t\r\n".contains(byte)).count();
        let scalar = rest.get(..len).unwrap_or_default();
        match scalar {
            b"-" => self.buffer.extend_from_slice(b"null"),
            b"true" | b"false" | b"null" => self.buffer.extend_from_slice(scalar),
            number if is_number(number) && is_finite(number) => self.buffer.extend_from_slice(number),
            number if is_number(number) => {
                [b"\"", number, b"\""].into_iter().for_each(|part| self.buffer.extend_from_slice(part));
            }
            _ => return Err(self.missing(VALUE)),
        }
        self.at += len;
        Ok(())
    }

    /// A string, its escapes those of JSON when it goes out.
    fn string(&mut self) -> Result<(), Mismatch> {
        let start = self.at;
        self.copy();
        if self.rest().starts_with(b"\"\"\"") {
            // An empty user, for whom httpd writes quotes of its own.
            self.at += 2;
        }
        loop {
            let rest = self.rest();
            let run = rest.iter().take_while(|&&byte| byte != b'"' && byte != b'\\').count();
            let (plain, rest) = rest.split_at_checked(run).unwrap_or_default();
            self.append(plain);
            self.at += run;
            match rest {
                [b'"', ..] => {
                    self.copy();
                    return Ok(());
                }
                [b'\\', b'x', ..] if decoded(rest).is_some() => self.bytes(),
                [b'\\', b'v', ..] => self.replace(2, b"\\u000B"),
                [b'\\', b'u', digits @ ..] if is_hex(digits.get(..4)) => {
                    let escape = rest.get(..6).unwrap_or_default();
                    self.replace(6, escape);
                }
                [b'\\', letter @ (b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), ..] => {
                    self.replace(2, &[b'\\', *letter]);
                }
                // A backslash that escapes nothing stands for itself.
                [b'\\', ..] => self.replace(1, b"\\\\"),
                _ => return Err(TEXT.mismatch(Fault::Open, start)),
            }
        }
    }

    /// One `\xhh`, and those behind it that continue its character.
    fn bytes(&mut self) {
        let mut rest = self.rest();
        let mut held = [0; 4];
        let mut len = 0;
        while let Some((byte, behind)) = decoded(rest)
            && (len == 0 || byte & 0b1100_0000 == 0b1000_0000)
            && let Some(place) = held.get_mut(len)
        {
            *place = byte;
            len += 1;
            rest = behind;
        }
        self.at = self.line.len() - rest.len();
        self.append(held.get(..len).unwrap_or_default());
    }

    /// Appends `bytes` as the inside of a string.
    fn append(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            json::escape(chunk.valid().as_bytes(), self.buffer);
            if !chunk.invalid().is_empty() {
                self.repaired = true;
                self.buffer.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
    }

    /// Goes past `len` bytes, in whose place `bytes` are written.
    fn replace(&mut self, len: usize, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.at += len;
    }

    /// Takes over the byte that comes next.
    fn copy(&mut self) {
        self.buffer.extend(self.peek());
        self.at += 1;
    }

    fn skip_space(&mut self) {
        self.at += self.rest().iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn missing(&self, field: Field) -> Mismatch {
        field.mismatch(Fault::Missing, self.at)
    }
}

/// The byte that `\xhh` at the start of `text` stands for, and what is behind it.
fn decoded(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'\\', b'x', high, low, rest @ ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? * 16 + digit(low)?, rest))
}

fn is_hex(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Whether `text` is a number of JSON.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    let rest = text.get(whole..).unwrap_or_default();
    let has_extra_zero = whole > 1 && text.first() == Some(&b'0');
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => (digits(rest), rest.get(digits(rest)..).unwrap_or_default()),
        rest => (1, rest),
    };
    let (power, rest) = match rest {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => {
            (digits(rest), rest.get(digits(rest)..).unwrap_or_default())
        }
        rest => (1, rest),
    };
    whole > 0 && !has_extra_zero && fraction > 0 && power > 0 && rest.is_empty()
}

/// Whether a number fits into the 64 bits of those who will read it: who finds it too large refuses the whole record.
fn is_finite(number: &[u8]) -> bool {
    // Only a power makes a short number large.
    let is_small = number.len() < 300 && !number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    is_small
        || str::from_utf8(number).is_ok_and(|text| text.parse::<f64>().is_ok_and(|number| number.is_finite()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn repaired(line: &[u8]) -> Result<(String, bool), Mismatch> {
        let mut buffer = b"before".to_vec();
        let result = convert(line, &mut buffer);
        let added = String::from_utf8(buffer.split_off(b"before".len())).unwrap();
        assert_eq!(buffer, b"before");
        match result {
            Ok(record) => {
                assert_eq!(record.len(), added.len());
                Ok((added.strip_suffix('\n').unwrap().to_owned(), record.is_repaired()))
            }
            Err(mismatch) => {
                assert_eq!(added, "", "a mismatch leaves nothing behind");
                Err(mismatch)
            }
        }
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let (text, _) = repaired(line.as_bytes()).unwrap();
        assert_eq!(text, expected);
        serde_json::from_str::<Value>(&text).unwrap();
    }

    #[track_caller]
    fn check_refused(line: &str, told: &str) {
        assert_eq!(repaired(line.as_bytes()).unwrap_err().to_string(), told);
    }

    #[test]
    fn an_object_passes_as_it_is() {
        check(
            r#"{"a":"b","c":[1,2.50,-0e+3,true,{}],"d":{"e":null}}"#,
            r#"{"a":"b","c":[1,2.50,-0e+3,true,{}],"d":{"e":null}}"#,
        );
        check(r#"{"a":"\u00e9\/\n\"\\","b":"é"}"#, r#"{"a":"\u00e9\/\n\"\\","b":"é"}"#);
        check(" {\"a\" : 1 ,\t\"b\": [ ]}\r", r#"{"a":1,"b":[]}"#);
    }

    #[test]
    fn what_httpd_escapes_is_made_json() {
        check(r#"{"u":"caf\xc3\xa9 \x16\v\x22"}"#, r#"{"u":"café \u0016\u000B\""}"#);
        check(r#"{"u":"\xe2\x82\xac\xe2\x82\xac","v":"\xf0\x9f\x98\x80x"}"#, r#"{"u":"€€","v":"😀x"}"#);
        check(r#"{"u":"a\q\x1\u12"}"#, r#"{"u":"a\\q\\x1\\u12"}"#);
        check(r#"{"b":-,"s":200}"#, r#"{"b":null,"s":200}"#);
        check(r#"{"u":"""","b":""}"#, r#"{"u":"","b":""}"#);
        check("{\"u\":\"a\tb\"}", r#"{"u":"a\tb"}"#);
    }

    #[test]
    fn a_number_that_others_find_too_large_is_a_text() {
        check(r#"{"a":1e308,"b":1e309,"c":-2E+999}"#, r#"{"a":1e308,"b":"1e309","c":"-2E+999"}"#);
        let large = "9".repeat(400);
        check(&format!(r#"{{"a":{large}}}"#), &format!(r#"{{"a":"{large}"}}"#));
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_told() {
        assert_eq!(
            repaired(br#"{"u":"\xff\xc3"}"#).unwrap(),
            ("{\"u\":\"\u{FFFD}\u{FFFD}\"}".to_owned(), true)
        );
        assert_eq!(repaired(b"{\"u\":\"\xC3(\"}").unwrap(), ("{\"u\":\"\u{FFFD}(\"}".to_owned(), true));
        assert!(!repaired(r#"{"u":"\xc3\xa9"}"#.as_bytes()).unwrap().1);
    }

    #[test]
    fn what_is_no_object_does_not_match() {
        check_refused("", "no object at byte 0: expected `{` and at least one field");
        check_refused("[1]", "no object at byte 0: expected `{` and at least one field");
        check_refused("{}", "no object at byte 1: expected `{` and at least one field");
        check_refused(r#"{"a":1"#, "no divider at byte 6: expected `,`, or what closes the object or list");
        check_refused(r#"{"a":[1}"#, "no divider at byte 7: expected `,`, or what closes the object or list");
        check_refused(r#"{"a":01}"#, "no value at byte 5: expected a value of JSON, or `-`");
        check_refused(r#"{"a":1.}"#, "no value at byte 5: expected a value of JSON, or `-`");
        check_refused(r#"{"a":1,}"#, "no name at byte 7: expected `\"…\"`");
        check_refused(r#"{"a" 1}"#, "no colon at byte 5: expected `:` behind the name");
        check_refused(r#"{"a":"b}"#, "unclosed text at byte 5: expected a closing quote");
        check_refused(r#"{"a":1} x"#, "no end at byte 8: expected nothing behind the object");
        check_refused(
            &format!("{{\"a\":{}", "[".repeat(64)),
            "no value at byte 68: expected a value of JSON, or `-`",
        );
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("JSON knows no infinity", |number| number
                .is_finite()
                .then(|| Value::from(number))),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What is JSON means the same behind it.
        #[test]
        fn an_object_keeps_its_meaning(value in json(), is_pretty: bool) {
            let object = serde_json::json!({ "it": value });
            let text = if is_pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }?;
            let (passed, repaired) = repaired(text.as_bytes())?;
            prop_assert_eq!(serde_json::from_str::<Value>(&passed)?, serde_json::from_str::<Value>(&text)?);
            prop_assert!(!repaired);
        }

        /// What a client sends is what a reader of the stream gets, though httpd has escaped it.
        #[test]
        fn a_value_that_httpd_escaped_is_whole(value: String) {
            let line = format!("{{\"it\":\"{}\"}}", crate::parse::tests::escaped_for_log(&value));
            let object: Value = serde_json::from_str(&repaired(line.as_bytes())?.0)?;
            prop_assert_eq!(object.get("it").and_then(Value::as_str), Some(value.as_str()));
        }

        /// Whatever comes in: one line of JSON that is an object, or a mismatch.
        #[test]
        fn any_bytes_are_an_object_or_do_not_match(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "[{}\\[\\]\",:0-9\\-\\\\xuabce.E+ trufalsn]{0,40}".prop_map(String::into_bytes),
                "\\{\"a\":[{}\\[\\]\",:0-9\\-\\\\xuabce.E+]{0,20}\\}".prop_map(String::into_bytes),
            ],
        ) {
            if let Ok((text, _)) = repaired(&bytes) {
                prop_assert!(!text.contains('\n'));
                prop_assert!(serde_json::from_str::<Value>(&text)?.is_object());
            }
        }
    }
}
