//! The values of an entry, and the names that a configuration gives them.
//!
//! Does not know where in a line a value stands. A name that is given twice keeps its first place and has its last
//! value, as with the Java agent.

use super::JsonTypes;
use super::escape::{self, Decoded};
use super::json::{self, Content, Key, Object};

/// A value as it stands in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// There is none.
    Nothing,
    /// It stands for itself.
    Text(&'a [u8]),
    /// It is escaped as httpd does it.
    Escaped(&'a [u8]),
    /// Decimal digits that may have a sign.
    Number(&'a [u8]),
}

impl<'a> Value<'a> {
    /// What httpd writes as `-` is nothing.
    pub(super) fn or_nothing(self) -> Value<'a> {
        match self {
            Value::Text(b"-") | Value::Escaped(b"-") | Value::Number(b"-") => Value::Nothing,
            Value::Nothing | Value::Text(_) | Value::Escaped(_) | Value::Number(_) => self,
        }
    }

    /// Adds it to `object` under `key`.
    #[inline]
    pub(super) fn write(self, key: Key<'_>, types: JsonTypes, object: &mut Object<'_>) {
        match (self, types) {
            (Value::Nothing, _) => object.null(key),
            (Value::Number(digits), JsonTypes::Native) => object.digits(key, digits),
            (Value::Escaped(value), JsonTypes::Native)
                if object.content() == Content::Any && escape::has_escapes(value) =>
            {
                object.text_of(key, Decoded::new(value));
            }
            (Value::Text(value) | Value::Escaped(value) | Value::Number(value), _) => object.text(key, value),
        }
    }
}

/// The names of values, in the order of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Each as [`json::quote_key`] writes it, with the place of its value.
    keys: Vec<(String, usize)>,
}

impl Names {
    /// One name for each value.
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Names {
        let mut keys: Vec<(String, usize)> = Vec::new();
        for (place, name) in names.into_iter().enumerate() {
            let key = json::quote_key(name);
            match keys.iter_mut().find(|(known, _)| *known == key) {
                Some((_, last)) => *last = place,
                None => keys.push((key, place)),
            }
        }
        Names { keys }
    }

    /// Whether one of them is that of `key`.
    pub(super) fn contain(&self, key: Key<'_>) -> bool {
        self.keys.iter().any(|(known, _)| known == key.0)
    }

    /// Adds the values to `object`, of which there is one for each name.
    pub(super) fn write<'v>(
        &self,
        value: impl Fn(usize) -> Value<'v>,
        types: JsonTypes,
        object: &mut Object<'_>,
    ) {
        for (key, place) in &self.keys {
            value(*place).write(Key(key), types, object);
        }
    }
}
