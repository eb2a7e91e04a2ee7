//! A value of JSON as the Java agent's library holds it: fields in the order of the text, of two with one name the
//! place of the first and the value of the last; numbers as Java writes them.
//!
//! For steps that take a record apart and put it together again. Formats write their JSON straight into the buffer.

use std::collections::BTreeMap;
use std::fmt;

use super::json;

/// How deep values may stand in each other, so that no record can exhaust the stack.
const DEPTH: usize = 512;

/// A value of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number, as [`Json::number`] gives it.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Fields, each of whose names is there once.
    Object(Vec<(String, Json)>),
}

/// A text does not begin with a value of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoJson;

impl Json {
    /// The value that `text` begins with. What follows it is not looked at.
    pub(super) fn read(text: &str) -> Result<Json, NoJson> {
        Reader { rest: text }.value(DEPTH)
    }

    /// The number that is written as `text` in JSON: a whole one digit by digit, any other as Java writes a `double`.
    #[must_use]
    pub fn number(text: &str) -> Json {
        if text == "-0" {
            return Json::Number("0".to_owned());
        }
        if !text.contains(['.', 'e', 'E']) {
            return Json::Number(text.to_owned());
        }
        // JSON has no other numbers.
        Json::Number(text.parse().map_or_else(|_| text.to_owned(), double))
    }

    /// An object of these fields.
    #[must_use]
    pub fn object(fields: impl IntoIterator<Item = (String, Json)>) -> Json {
        let mut places = BTreeMap::new();
        let mut once: Vec<(String, Json)> = Vec::new();
        for (name, value) in fields {
            let place = *places.entry(name.clone()).or_insert(once.len());
            match once.get_mut(place) {
                Some(field) => field.1 = value,
                None => once.push((name, value)),
            }
        }
        Json::Object(once)
    }

    /// Appends it, compact.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Flag(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Json::Number(number) => out.extend_from_slice(number.as_bytes()),
            Json::Text(text) => write_text(text, out),
            Json::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    divide(index, out);
                    item.write(out);
                }
                out.push(b']');
            }
            Json::Object(fields) => {
                out.push(b'{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    divide(index, out);
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Gives the field `name` of an object this `value`: in its place, or behind all others.
pub(super) fn set(fields: &mut Vec<(String, Json)>, name: &str, value: Json) {
    match fields.iter_mut().find(|(known, _)| known == name) {
        Some(field) => field.1 = value,
        None => fields.push((name.to_owned(), value)),
    }
}

/// The JSON, compact.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    json::escape(text.as_bytes(), out);
    out.push(b'"');
}

fn divide(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

/// A number as Java's `Double.toString` has it; of the two that JSON cannot say the name, as a string. Source:
/// <https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/lang/Double.html#toString(double)>
fn double(number: f64) -> String {
    if number.is_infinite() {
        let sign = if number.is_sign_negative() { "-" } else { "" };
        return format!("\"{sign}Infinity\"");
    }
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let shortest = format!("{number:E}");
    // Java has two digits at least, and of those the nearest.
    if shortest.contains('.') { shortest } else { format!("{number:.1E}") }
}

/// A walk over a text.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The next value, which may be `depth` deep.
    fn value(&mut self, depth: usize) -> Result<Json, NoJson> {
        let depth = depth.checked_sub(1).ok_or(NoJson)?;
        self.skip_space();
        match self.rest.chars().next().ok_or(NoJson)? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => Ok(Json::Text(self.text()?)),
            't' => self.word("true", Json::Flag(true)),
            'f' => self.word("false", Json::Flag(false)),
            'n' => self.word("null", Json::Null),
            _ => Ok(Json::number(self.number()?)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, NoJson> {
        self.take("{")?;
        let mut fields = Vec::new();
        if !self.eat('}') {
            loop {
                self.skip_space();
                let name = self.text()?;
                self.skip_space();
                self.take(":")?;
                fields.push((name, self.value(depth)?));
                if self.eat('}') {
                    break;
                }
                self.take(",")?;
            }
        }
        Ok(Json::object(fields))
    }

    fn list(&mut self, depth: usize) -> Result<Json, NoJson> {
        self.take("[")?;
        let mut items = Vec::new();
        if !self.eat(']') {
            loop {
                items.push(self.value(depth)?);
                if self.eat(']') {
                    break;
                }
                self.take(",")?;
            }
        }
        Ok(Json::List(items))
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, NoJson> {
        self.take(word)?;
        Ok(value)
    }

    fn number(&mut self) -> Result<&'a str, NoJson> {
        let whole = self.rest;
        self.rest = self.rest.strip_prefix('-').unwrap_or(self.rest);
        // Behind a leading zero no digit may stand.
        match self.rest.strip_prefix('0') {
            Some(rest) => self.rest = rest,
            None => self.digits()?,
        }
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            self.digits()?;
        }
        if let Some(rest) = self.rest.strip_prefix(['e', 'E']) {
            self.rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            self.digits()?;
        }
        whole.get(..whole.len() - self.rest.len()).ok_or(NoJson)
    }

    /// One or more digits.
    fn digits(&mut self) -> Result<(), NoJson> {
        let rest = self.rest.trim_start_matches(|char: char| char.is_ascii_digit());
        if rest.len() == self.rest.len() {
            return Err(NoJson);
        }
        self.rest = rest;
        Ok(())
    }

    fn text(&mut self) -> Result<String, NoJson> {
        self.take("\"")?;
        let mut text = String::new();
        loop {
            let end = self.rest.find(|char: char| char < ' ' || matches!(char, '"' | '\\')).ok_or(NoJson)?;
            let (run, rest) = self.rest.split_at_checked(end).ok_or(NoJson)?;
            text.push_str(run);
            self.rest = rest;
            if self.rest.starts_with('"') {
                self.take("\"")?;
                return Ok(text);
            }
            // Not for a control character, which must be escaped.
            self.take("\\")?;
            text.push(self.escaped()?);
        }
    }

    /// The character that stands behind a backslash.
    fn escaped(&mut self) -> Result<char, NoJson> {
        let mut rest = self.rest.chars();
        let escape = rest.next().ok_or(NoJson)?;
        self.rest = rest.as_str();
        Ok(match escape {
            'b' => '\u{8}',
            'f' => '\u{C}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '"' | '\\' | '/' => escape,
            'u' => self.unit_or_pair()?,
            _ => return Err(NoJson),
        })
    }

    /// What one unit of UTF-16 stands for, or two together; U+FFFD for half a pair.
    fn unit_or_pair(&mut self) -> Result<char, NoJson> {
        let first = self.unit()?;
        let before_second = self.rest;
        if let 0xD800..=0xDBFF = first
            && self.take("\\u").is_ok()
            && let second @ 0xDC00..=0xDFFF = self.unit()?
        {
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return char::from_u32(code).ok_or(NoJson);
        }
        self.rest = before_second;
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, NoJson> {
        let (digits, rest) = self.rest.split_at_checked(4).ok_or(NoJson)?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoJson);
        }
        self.rest = rest;
        u32::from_str_radix(digits, 16).map_err(|_| NoJson)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Goes past white space, and past `char` if it comes next.
    fn eat(&mut self, char: char) -> bool {
        self.skip_space();
        let behind = self.rest.strip_prefix(char);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// Goes past `text`, which must come next.
    fn take(&mut self, text: &str) -> Result<(), NoJson> {
        self.rest = self.rest.strip_prefix(text).ok_or(NoJson)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is written for the value at the start of `text`; nothing if there is none.
    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Json::read(text).ok().map(|json| json.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn values_are_written_compact() {
        check(" { \"a\" : [ 1 , true,null ] ,\n\"b\":{}}", Some(r#"{"a":[1,true,null],"b":{}}"#));
        check("[]", Some("[]"));
        check(r#"{"a":1} and more"#, Some(r#"{"a":1}"#));
    }

    #[test]
    fn whole_numbers_keep_their_digits() {
        check("123456789012345678901234567890", Some("123456789012345678901234567890"));
        check("[-0,0,-7]", Some("[0,0,-7]"));
    }

    #[test]
    fn other_numbers_are_javas_doubles() {
        check("[1.10,1e5,100.0,-0.0]", Some("[1.1,100000.0,100.0,-0.0]"));
        check(
            "[0.001,0.00099,9999999.5,1e7,12345678.9]",
            Some("[0.001,9.9E-4,9999999.5,1.0E7,1.23456789E7]"),
        );
        check("[1e400,-1e400,1e-400]", Some(r#"["Infinity","-Infinity",0.0]"#));
        check("[4.9e-324,1.7976931348623157e308]", Some("[4.9E-324,1.7976931348623157E308]"));
    }

    #[test]
    fn of_two_fields_with_one_name_the_last_counts_in_the_place_of_the_first() {
        check(r#"{"a":1,"b":2,"a":{"c":1,"c":2}}"#, Some(r#"{"a":{"c":2},"b":2}"#));
    }

    #[test]
    fn escapes_are_read_and_written_again() {
        check(r#""\u00e9\/\ud83d\ude00\u000b\t\"""#, Some("\"\u{E9}/\u{1F600}\\u000B\\t\\\"\""));
        check(r#""\ud83d\u0041\udc00""#, Some("\"\u{FFFD}A\u{FFFD}\""));
        check(r#""\ud83d""#, Some("\"\u{FFFD}\""));
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in ["", " ", "{", "{\"a\"}", "{a:1}", "{\"a\":1,}", "[1,]", "[1", "\"a", "\"\t\"", "'a'"] {
            check(text, None);
        }
        for text in ["nul", "-", "+1", ".5", "1.", "1e", r#""\x""#, r#""\u12""#, r#""\u+123""#, "NaN"] {
            check(text, None);
        }
        // Behind a zero a value ends.
        check("01", Some("0"));
        check("[01]", None);
    }

    #[test]
    fn a_record_cannot_exhaust_the_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        check(&nested(DEPTH), Some(&nested(DEPTH)));
        check(&nested(DEPTH + 1), None);
        check(&"[{\"a\":".repeat(100_000), None);
    }

    proptest! {
        /// What we take for JSON is what another reader takes for it, and it says the same.
        #[test]
        fn what_is_read_is_what_another_reads(text in "[\\[\\]{}:, \"\\\\u0-9aetrn.E+-]{0,24}|\\PC{0,16}") {
            let ours = Json::read(&text);
            let theirs = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>().next();
            if let Some(Ok(theirs)) = theirs {
                let ours: serde_json::Value = serde_json::from_str(&ours.unwrap().to_string())?;
                prop_assert_eq!(ours, theirs);
            }
        }

        /// What was written is read as the same.
        #[test]
        fn what_is_written_is_read_again(text in "\\PC{0,24}", number in any::<f64>(), digits in "-?[1-9][0-9]{0,30}") {
            let number = Json::number(&format!("{number:e}"));
            let json = Json::object([(text.clone(), Json::Text(text)), ("n".to_owned(), Json::List(vec![number, Json::number(&digits)]))]);
            let written = json.to_string();
            prop_assert_eq!(Json::read(&written).unwrap().to_string(), written);
        }
    }
}
