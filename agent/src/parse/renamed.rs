//! `customFieldNames`: a format of the Java agent's under names of one's own.
//!
//! A record has the values that the Java agent knows, and beyond them only what it would have dropped the line for; what
//! `native` adds beside a value is left out, since the list of names is meant to be whole.

use super::apache::{self, Columns};
use super::fields::{Names, Value};
use super::json::{Content, Key, Object, key};
use super::syslog::{self, Stamped};
use super::{Format, JavaAgent, JsonTypes, Mismatch, Record, error_log};

/// A format whose fields have other names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    format: Format,
    names: Names,
    types: JsonTypes,
    /// The names as they were given.
    given: Vec<String>,
}

/// There is not one name for each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there must be {fields} names, one for each field of `{}`, not {names}", format.word())]
pub struct CountError {
    format: Format,
    fields: usize,
    names: usize,
}

impl Renamed {
    /// `format` with `names` in the place of its own.
    ///
    /// # Errors
    /// If there are more names than fields, or fewer.
    pub fn new(format: Format, names: &[String], types: JsonTypes) -> Result<Renamed, CountError> {
        let fields = format.names().len();
        if names.len() != fields {
            return Err(CountError { format, fields, names: names.len() });
        }
        let keys = Names::new(names.iter().map(String::as_str));
        Ok(Renamed { format, names: keys, types, given: names.to_vec() })
    }

    /// The format that has other names here.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The Java agent with the same names.
    pub(super) fn java_agent(&self) -> Option<JavaAgent> {
        JavaAgent::with_names(self.format, self.given.iter().map(String::as_str))
    }

    /// Appends the record of `line`, which has no newline at its end.
    pub(super) fn write(&self, line: &[u8], out: &mut Vec<u8>) -> Result<Record, Mismatch> {
        match self.format {
            Format::Common => self.write_access(line, Columns::Common, out),
            Format::Combined => self.write_access(line, Columns::Combined, out),
            Format::ErrorLog => {
                let entry = error_log::read(line)?;
                Ok(self.write_values(&entry.values(), entry.content(), (key!("remote"), entry.remote()), out))
            }
            Format::Syslog => self.write_syslog(line, Stamped::Bsd, out),
            Format::Rfc3339Syslog => self.write_syslog(line, Stamped::Rfc3339, out),
        }
    }

    fn write_access(&self, line: &[u8], columns: Columns, out: &mut Vec<u8>) -> Result<Record, Mismatch> {
        let entry = apache::read(line, columns)?;
        let site = (key!("vhost"), entry.client.vhost);
        Ok(self.write_values(&entry.values(self.types), entry.content, site, out))
    }

    fn write_syslog(&self, line: &[u8], stamped: Stamped, out: &mut Vec<u8>) -> Result<Record, Mismatch> {
        let entry = syslog::read(line, stamped)?;
        Ok(self.write_values(&entry.values(), entry.content(), (key!(""), None), out))
    }

    /// Writes `values`, and in front of them what the Java agent does not know, unless its key is one of the names.
    fn write_values(
        &self,
        values: &[Value<'_>],
        content: Content,
        (key, ours): (Key<'_>, Option<&[u8]>),
        out: &mut Vec<u8>,
    ) -> Record {
        let mut object = Object::begin(out, content);
        if let Some(value) = ours
            && !self.names.contain(key)
        {
            Value::Escaped(value).or_nothing().write(key, self.types, &mut object);
        }
        let value = |place: usize| values.get(place).copied().unwrap_or(Value::Nothing);
        self.names.write(value, self.types, &mut object);
        object.end()
    }
}
