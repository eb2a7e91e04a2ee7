//! The formats that the Java agent knows by a word, and what each calls its fields.
//!
//! Does not know how a line of a format is read: each format has a file of its own.

use super::apache::{self, Columns};
use super::syslog::{self, Stamped};
use super::{JsonTypes, Mismatch, Record, error_log, native, strings};

/// What the lines of a log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// httpd's access log, `%h %l %u %t "%r" %>s %b`.
    Common,
    /// Common, then `"%{Referer}i" "%{User-Agent}i"`.
    Combined,
    /// httpd's error log.
    ErrorLog,
    /// Syslog with dates as `Feb  3 04:05:06`.
    Syslog,
    /// Syslog with dates as `2021-02-03T04:05:06+01:00`.
    Rfc3339Syslog,
}

/// What a `-` means in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// There is no value.
    Apache,
    /// Nothing else than it is.
    Syslog,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 5] =
        [Format::Common, Format::Combined, Format::ErrorLog, Format::Syslog, Format::Rfc3339Syslog];

    /// Its word in `logFormat`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Format::Common => "COMMONAPACHELOG",
            Format::Combined => "COMBINEDAPACHELOG",
            Format::ErrorLog => "APACHEERRORLOG",
            Format::Syslog => "SYSLOG",
            Format::Rfc3339Syslog => "RFC3339SYSLOG",
        }
    }

    /// The format with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.word() == word)
    }

    /// What the Java agent calls its fields, in their order.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Format::Common => &["host", "ident", "authuser", "datetime", "request", "response", "bytes"],
            Format::Combined => {
                &["host", "ident", "authuser", "datetime", "request", "response", "bytes", "referer", "agent"]
            }
            Format::ErrorLog => {
                &["timestamp", "module", "severity", "processid", "threadid", "client", "message"]
            }
            Format::Syslog | Format::Rfc3339Syslog => {
                &["timestamp", "hostname", "program", "processid", "message"]
            }
        }
    }

    /// What a `-` means in it.
    pub(super) fn family(self) -> Family {
        match self {
            Format::Common | Format::Combined | Format::ErrorLog => Family::Apache,
            Format::Syslog | Format::Rfc3339Syslog => Family::Syslog,
        }
    }

    /// Appends the record of `line`, which has no newline at its end.
    #[inline]
    pub(super) fn write(self, line: &[u8], types: JsonTypes, out: &mut Vec<u8>) -> Result<Record, Mismatch> {
        let access = |entry: &_| match types {
            JsonTypes::Strings => strings::write(entry, out),
            JsonTypes::Native => native::write(entry, out),
        };
        match self {
            Format::Common => in_place(&apache::read(line, Columns::Common), access),
            Format::Combined => in_place(&apache::read(line, Columns::Combined), access),
            Format::ErrorLog => in_place(&error_log::read(line), |entry| entry.write(types, out)),
            Format::Syslog => in_place(&syslog::read(line, Stamped::Bsd), |entry| entry.write(types, out)),
            Format::Rfc3339Syslog => {
                in_place(&syslog::read(line, Stamped::Rfc3339), |entry| entry.write(types, out))
            }
        }
    }
}

/// Writes an entry from where it was read to: to copy it first takes a twelfth of the time of a short line.
#[inline]
fn in_place<E>(entry: &Result<E, Mismatch>, write: impl FnOnce(&E) -> Record) -> Result<Record, Mismatch> {
    entry.as_ref().map(write).map_err(Mismatch::clone)
}
