//! One JSON line to what is counted of it. Pure.
//!
//! Takes the lines of any producer: numbers as numbers or as texts, null or `-` for what there is not, fields in any
//! order and any others beside them. Only the fields that are counted are looked into. `referer` and `referrer` are not
//! among them, so that either may be there.
//!
//! Does not know who a source is. A field whose value is of another kind than expected counts as missing; a line is
//! refused only if it is not a JSON object in UTF-8, or has a number beyond the range of a double in a field that is
//! counted.

mod datetime;
mod source;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::reason::Reason;

/// What is counted of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Whom it is counted for: the field that is joined on, in the form that the reference is asked with.
    pub source: Option<Cow<'a, str>>,
    /// The status code, of three digits.
    pub status: Option<u16>,
    /// The size of the answer.
    pub bytes: Option<u64>,
    /// How long the answer took.
    pub duration_micros: Option<u64>,
    /// When it was, by the clock of the host, in milliseconds since the epoch.
    pub time_millis: Option<i64>,
    /// Where the line was read, if its producer says so.
    pub position: Option<Position<'a>>,
}

/// Where a line was read. No two lines have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// The host that has the file.
    pub host: Cow<'a, str>,
    /// The file, by the name of its generation.
    pub file: Cow<'a, str>,
    /// The place of the line in the file.
    pub offset: u64,
}

/// Why a line is not a request.
#[derive(Debug, thiserror::Error)]
pub enum NotARequest {
    /// Its bytes are not text.
    #[error("the line is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// Its text is not one JSON object.
    #[error("the line is not a JSON object")]
    NotJson(#[source] serde_json::Error),
}

impl NotARequest {
    /// What such a line is set aside as.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            NotARequest::NotUtf8(_) | NotARequest::NotJson(_) => Reason::NotJson,
        }
    }
}

/// Which fields are looked into.
#[derive(Clone, Debug)]
pub struct Fields {
    join: String,
}

impl Fields {
    /// The fields that are always counted, and the field that is joined on.
    #[must_use]
    pub fn new(join: &str) -> Fields {
        Fields { join: join.to_owned() }
    }

    /// What is counted of one line. Of a field that is there twice, the last one counts.
    ///
    /// # Errors
    ///
    /// If the line is not a JSON object.
    pub fn read<'a>(&self, line: &'a [u8]) -> Result<Request<'a>, NotARequest> {
        // Checked at once, which is cheaper than at each string, and the strings that are skipped are checked as well.
        let text = str::from_utf8(line).map_err(NotARequest::NotUtf8)?;
        let mut json = serde_json::Deserializer::from_str(text);
        let found = json.deserialize_map(FoundVisitor(self)).and_then(|found| json.end().map(|()| found));
        found.map(Found::into_request).map_err(NotARequest::NotJson)
    }
}

/// The values of one line.
#[derive(Default)]
struct Found<'a> {
    source: Value<'a>,
    response: Value<'a>,
    bytes: Value<'a>,
    bytes_out: Value<'a>,
    duration_micros: Value<'a>,
    time: Value<'a>,
    datetime: Value<'a>,
    host: Value<'a>,
    file: Value<'a>,
    offset: Value<'a>,
}

impl<'a> Found<'a> {
    fn into_request(self) -> Request<'a> {
        let offset = self.offset.number();
        Request {
            source: self.source.into_text().and_then(source::clean),
            status: self.response.number().filter(|status| (100..=999).contains(status)),
            bytes: self.bytes.number().or_else(|| self.bytes_out.number()),
            duration_micros: self.duration_micros.number(),
            time_millis: self.time.number().or_else(|| datetime::epoch_millis(&self.datetime.into_text()?)),
            position: match (self.host.into_text(), self.file.into_text(), offset) {
                (Some(host), Some(file), Some(offset)) => Some(Position { host, file, offset }),
                (_, _, _) => None,
            },
        }
    }

    /// Where the value of a field belongs, if it is counted.
    fn slot(&mut self, name: &str) -> Option<&mut Value<'a>> {
        match name {
            "response" => Some(&mut self.response),
            "bytes" => Some(&mut self.bytes),
            "bytesOut" => Some(&mut self.bytes_out),
            "durationMicros" => Some(&mut self.duration_micros),
            "time" => Some(&mut self.time),
            "datetime" => Some(&mut self.datetime),
            "@host" => Some(&mut self.host),
            "@file" => Some(&mut self.file),
            "@offset" => Some(&mut self.offset),
            _ => None,
        }
    }
}

/// The value of a field that is counted.
#[derive(Clone, Debug, Default)]
enum Value<'a> {
    /// Nothing, or nothing that any of our fields is.
    #[default]
    Other,
    Number(i128),
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// The whole number that it is or that its text writes, with or without a sign, if the field can hold it.
    fn number<T: TryFrom<i128>>(&self) -> Option<T> {
        let number = match self {
            Value::Other => return None,
            Value::Number(number) => *number,
            Value::Text(text) => text.parse().ok()?,
        };
        T::try_from(number).ok()
    }

    fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Value::Text(text) => Some(text),
            Value::Other | Value::Number(_) => None,
        }
    }
}

/// Reads the fields of one object.
struct FoundVisitor<'f>(&'f Fields);

impl<'de> Visitor<'de> for FoundVisitor<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::default();
        while let Some(name) = map.next_key_seed(TextSeed)? {
            let is_joined_on = *name == *self.0.join;
            match found.slot(&name) {
                Some(slot) => {
                    *slot = map.next_value_seed(ValueSeed)?;
                    if is_joined_on {
                        found.source = slot.clone();
                    }
                }
                None if is_joined_on => found.source = map.next_value_seed(ValueSeed)?,
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(found)
    }
}

/// Reads a text where it lies, if it has no escapes.
struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads a value of any kind.
struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        TextSeed.visit_borrowed_str(text).map(Value::Text)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        TextSeed.visit_str(text).map(Value::Text)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number.into()))
    }

    /// Some programs have no other numbers, and write 200 as `200.0` or `2e2`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is whole, and within what a double counts one by one"
    )]
    fn visit_f64<E: Error>(self, number: f64) -> Result<Value<'de>, E> {
        let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
        Ok(if is_whole { Value::Number(number as i128) } else { Value::Other })
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Value<'de>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value<'de>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Value::Other)
    }
}

#[cfg(test)]
mod tests;
