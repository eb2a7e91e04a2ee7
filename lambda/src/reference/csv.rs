//! Reads the reference file: rows of `Host,ApplicationName,Contact`, and everything that is wrong with them. Pure.
//!
//! The columns are found by their names, in any order and among others. Values may be quoted, lines that are blank or
//! begin with `#` say nothing. A row that says again what another one says is fine; two rows that differ about one host
//! are not.
//!
//! Does not know how a host is looked up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use csv::{ByteRecord, ReaderBuilder};

use super::host::{Host, NotAHost};
use super::{Application, OTHER, UNKNOWN};

/// The longest name of an application, and of a contact.
const NAME_BYTES: usize = 256;

/// Of a file in which everything is wrong, as many problems tell enough.
const PROBLEMS: usize = 20;

/// What a file says: of each host, which of the applications it belongs to.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) hosts: Vec<(Host, usize)>,
    pub(super) applications: Vec<Application>,
}

/// One thing that is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line that the row begins in, from 1.
    pub line: usize,
    /// What it is.
    pub fault: Fault,
}

/// What is wrong with a row, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A column is not there, or is there twice.
    #[error(
        "the first line must name each of `Host`, `ApplicationName` and `Contact` once; `{0}` is there {1} times"
    )]
    Header(&'static str, usize),
    /// A value is not UTF-8.
    #[error("`{0}` is not UTF-8; save the file as UTF-8")]
    NotText(&'static str),
    /// A value has a character that is not printed.
    #[error(
        "`{0}` has a line break or another control character; remove it, or close a quote that is left open"
    )]
    Control(&'static str),
    /// A value is too long.
    #[error("`{0}` has {1} bytes; it may have {NAME_BYTES}")]
    TooLong(&'static str, usize),
    /// The host is none.
    #[error(transparent)]
    Host(#[from] NotAHost),
    /// The application has no name.
    #[error("the application of `{0}` is empty; name it, or leave the host out")]
    NoApplication(String),
    /// The application has the name of what is not known.
    #[error(
        "`{0}` cannot be an application: requests that belong to none are counted by that name; choose another"
    )]
    Reserved(String),
    /// Another row says something else of the same host.
    #[error(
        "`{host}` is in line {line} already, with application `{name}` and contact `{contact}`; keep one of the two"
    )]
    Conflict {
        /// The host as it is written here.
        host: String,
        /// Where it is written first.
        line: usize,
        /// Its application there.
        name: Arc<str>,
        /// Its contact there.
        contact: Arc<str>,
    },
}

/// Everything that is wrong with a file; one problem at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The first of them.
    pub first: Vec<Problem>,
    /// How many there are beside them.
    pub more: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<String> = self.first.iter().map(Problem::to_string).collect();
        f.write_str(&first.join("; "))?;
        if self.more > 0 {
            write!(f, "; and {} more", self.more)?;
        }
        Ok(())
    }
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Table, Problems> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).comment(Some(b'#')).from_reader(bytes);
    let mut rows = Rows { bytes, ..Rows::default() };
    let mut columns = None;
    let mut record = ByteRecord::new();
    // Bytes in memory can be read to their end, and rows may have any length.
    while let Ok(true) = reader.read_byte_record(&mut record) {
        if record.iter().all(|value| value.trim_ascii().is_empty()) {
            continue;
        }
        let start =
            record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        let outcome = match &columns {
            None => Columns::find(&record).map(|found| columns = Some(found)).map_err(Trouble::from),
            Some(columns) => rows.add(&record, columns, start),
        };
        if let Err(trouble) = outcome {
            rows.note(start, trouble);
        }
        if columns.is_none() {
            break;
        }
    }
    if columns.is_none() && rows.problems.first.is_empty() {
        rows.note(bytes.len(), Fault::Header(HOST, 0).into());
    }
    rows.finish()
}

const HOST: &str = "Host";
const APPLICATION: &str = "ApplicationName";
const CONTACT: &str = "Contact";

/// Where the columns stand.
struct Columns {
    host: usize,
    application: usize,
    contact: usize,
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Columns, Fault> {
        let names: Vec<Vec<u8>> = header
            .iter()
            .map(|name| name.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect())
            .collect();
        let find = |column: &'static str| {
            let is_column = |name: &Vec<u8>| name.eq_ignore_ascii_case(column.as_bytes());
            match names.iter().filter(|name| is_column(name)).count() {
                1 => Ok(names.iter().position(is_column).unwrap_or_default()),
                times => Err(Fault::Header(column, times)),
            }
        };
        Ok(Columns { host: find(HOST)?, application: find(APPLICATION)?, contact: find(CONTACT)? })
    }
}

/// The rows as far as they are read.
#[derive(Default)]
struct Rows<'a> {
    bytes: &'a [u8],
    /// Of each host its application, and the byte that its row begins at or before.
    hosts: BTreeMap<Host, (usize, usize)>,
    numbers: BTreeMap<Application, usize>,
    problems: Problems,
}

/// What is wrong with a row, as far as it takes no walk through the file to say it.
enum Trouble {
    Fault(Fault),
    /// The host belongs to the application of this number already, by the row at `start`.
    Conflict {
        host: String,
        known: usize,
        start: usize,
    },
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::Fault(fault)
    }
}

impl From<NotAHost> for Trouble {
    fn from(error: NotAHost) -> Trouble {
        Trouble::Fault(error.into())
    }
}

impl Rows<'_> {
    fn add(&mut self, record: &ByteRecord, columns: &Columns, start: usize) -> Result<(), Trouble> {
        let text = value(record, columns.host, HOST)?;
        let name = value(record, columns.application, APPLICATION)?;
        let contact = value(record, columns.contact, CONTACT)?;
        let host = Host::parse(text)?;
        if name.is_empty() {
            return Err(Fault::NoApplication(text.to_owned()).into());
        }
        if [UNKNOWN, OTHER].contains(&name) {
            return Err(Fault::Reserved(name.to_owned()).into());
        }
        let application = Application { name: name.into(), contact: contact.into() };
        let next = self.numbers.len();
        let number = *self.numbers.entry(application).or_insert(next);
        let (known, known_start) = *self.hosts.entry(host).or_insert((number, start));
        if known == number {
            return Ok(());
        }
        Err(Trouble::Conflict { host: text.to_owned(), known, start: known_start })
    }

    /// Keeps a problem if it is one of the first. Only then its lines and names are looked for, which takes a walk through
    /// the file.
    fn note(&mut self, start: usize, trouble: Trouble) {
        if self.problems.first.len() >= PROBLEMS {
            self.problems.more += 1;
            return;
        }
        let fault = match trouble {
            Trouble::Fault(fault) => fault,
            Trouble::Conflict { host, known, start } => self.conflict(host, known, start),
        };
        let line = self.line(start);
        self.problems.first.push(Problem { line, fault });
    }

    /// That `host` belongs to the application numbered `known`, by the row at `start`.
    fn conflict(&self, host: String, known: usize, start: usize) -> Fault {
        let known = self.numbers.iter().find(|(_, number)| **number == known);
        let (name, contact) =
            known.map(|(Application { name, contact }, _)| (Arc::clone(name), Arc::clone(contact))).unzip();
        Fault::Conflict {
            host,
            line: self.line(start),
            name: name.unwrap_or_default(),
            contact: contact.unwrap_or_default(),
        }
    }

    /// The line of a row. The reader says where it began to look for it, which may be before lines that say nothing.
    fn line(&self, start: usize) -> usize {
        let (before, from) = self.bytes.split_at_checked(start).unwrap_or((self.bytes, &[]));
        let says_nothing = |line: &&[u8]| line.starts_with(b"#") || matches!(line, [b'\r' | b'\n', ..]);
        let lines = from.split_inclusive(|byte| *byte == b'\n');
        1 + memchr::memchr_iter(b'\n', before).count() + lines.take_while(says_nothing).count()
    }

    fn finish(self) -> Result<Table, Problems> {
        if !self.problems.first.is_empty() {
            return Err(self.problems);
        }
        let mut applications: Vec<(Application, usize)> = self.numbers.into_iter().collect();
        applications.sort_unstable_by_key(|(_, number)| *number);
        Ok(Table {
            hosts: self.hosts.into_iter().map(|(host, (number, _))| (host, number)).collect(),
            applications: applications.into_iter().map(|(application, _)| application).collect(),
        })
    }
}

/// A value without the spaces around it; where a row is shorter than the header, it is empty.
fn value<'a>(record: &'a ByteRecord, column: usize, name: &'static str) -> Result<&'a str, Fault> {
    let value = record.get(column).unwrap_or_default();
    let value = str::from_utf8(value).map_err(|_| Fault::NotText(name))?.trim();
    if value.contains(char::is_control) {
        return Err(Fault::Control(name));
    }
    if value.len() > NAME_BYTES {
        return Err(Fault::TooLong(name, value.len()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file says, one line for each host, or everything that is wrong with it.
    fn said(file: impl AsRef<[u8]>) -> String {
        match read(file.as_ref()) {
            Ok(Table { hosts, applications }) => {
                let host = |(host, number): &(Host, usize)| {
                    let host = match host {
                        Host::Block(block) => block.to_string(),
                        Host::Name(name) => name.to_string(),
                        Host::Ending(ending) => format!("*.{ending}"),
                    };
                    let Application { name, contact } = &applications[*number];
                    format!("{host}={name}/{contact}")
                };
                hosts.iter().map(host).collect::<Vec<_>>().join(" ")
            }
            Err(problems) => problems.to_string(),
        }
    }

    #[track_caller]
    fn check(file: impl AsRef<[u8]>, expected: &str) {
        assert_eq!(said(file), expected);
    }

    /// What is said of one row in the second line.
    #[track_caller]
    fn check_row(row: impl AsRef<[u8]>, expected: &str) {
        check([b"Host,ApplicationName,Contact\n", row.as_ref()].concat(), expected);
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let both = "192.0.2.1/32=shop/team www.example.org=blog/";
        check("Host,ApplicationName,Contact\n192.0.2.1,shop,team\nwww.example.org,blog,\n", both);
        check(
            "\u{feff}Host,ApplicationName,Contact\r\n192.0.2.1,shop,team\r\nwww.example.org,blog,\r\n",
            both,
        );
        check("contact , APPLICATION NAME,id,host\nteam,shop,1,192.0.2.1\n,blog,2,www.example.org", both);
        check(
            "\"Host\",\"ApplicationName\",\"Contact\"\n\"192.0.2.1\", shop , team \nwww.example.org,blog",
            both,
        );
    }

    #[test]
    fn lines_that_say_nothing_are_passed_over() {
        let file = "# hosts\n\n  \nHost,ApplicationName,Contact\n# one\n\r\n192.0.2.1,shop,team\n,,\n#192.0.2.1,x,y\n";
        check(file, "192.0.2.1/32=shop/team");
        check("Host,ApplicationName,Contact\n", "");
    }

    #[test]
    fn values_may_be_quoted() {
        check_row("192.0.2.1,\"shop, \"\"web\"\"\",\"é/\"", "192.0.2.1/32=shop, \"web\"/é/");
    }

    #[test]
    fn a_row_may_be_there_twice_but_not_differ() {
        check_row("192.0.2.1,a,b\n::ffff:192.0.2.1,a,b\n192.0.2.1/32,a,b\n", "192.0.2.1/32=a/b");
        check_row(
            "# one\nWWW.example.org,a,b\n\n# two\nwww.example.org.,a,c",
            "line 6: `www.example.org.` is in line 3 already, with application `a` and contact `b`; keep one of the two",
        );
    }

    #[test]
    fn the_header_must_be_there() {
        let missing = "must name each of `Host`, `ApplicationName` and `Contact` once; `";
        check("", &format!("line 1: the first line {missing}Host` is there 0 times"));
        check("192.0.2.1,shop,team\n", &format!("line 1: the first line {missing}Host` is there 0 times"));
        check(
            "\u{feff}# x\nHost,Contact\n1,2",
            &format!("line 2: the first line {missing}ApplicationName` is there 0 times"),
        );
        check(
            "Host,ApplicationName,Contact,contact",
            &format!("line 1: the first line {missing}Contact` is there 2 times"),
        );
    }

    #[test]
    fn values_must_be_names() {
        check_row(
            "192.0.2.1,,c",
            "line 2: the application of `192.0.2.1` is empty; name it, or leave the host out",
        );
        check_row(
            "192.0.2.1",
            "line 2: the application of `192.0.2.1` is empty; name it, or leave the host out",
        );
        check_row(",a,c", "line 2: the host is empty; name an address, a block or a name");
        check_row(b"192.0.2.1,\xff,c", "line 2: `ApplicationName` is not UTF-8; save the file as UTF-8");
        check_row(
            "192.0.2.1,a,\"c\n\n192.0.2.2,a,c",
            "line 2: `Contact` has a line break or another control character; remove it, or close a quote that is left open",
        );
        check_row(
            format!("192.0.2.1,{},c", "é".repeat(129)),
            "line 2: `ApplicationName` has 258 bytes; it may have 256",
        );
        for name in ["UNKNOWN", "OTHER"] {
            let expected = format!(
                "line 2: `{name}` cannot be an application: requests that belong to none are counted by that name; choose another"
            );
            check_row(format!("192.0.2.1,{name},c"), &expected);
        }
        check_row(
            format!("192.0.2.1,{},UNKNOWN", "a".repeat(256)),
            &format!("192.0.2.1/32={}/UNKNOWN", "a".repeat(256)),
        );
    }

    #[test]
    fn every_problem_is_named_up_to_twenty() {
        check_row(
            "192.0.2.1/24,a,b\n192.0.2.2,a,b\r\n\r\n192.0.2.3,,\n",
            "line 2: `192.0.2.1/24` has an address within its block; the block is `192.0.2.0/24`; \
             line 5: the application of `192.0.2.3` is empty; name it, or leave the host out",
        );
        let said = said(format!("Host,ApplicationName,Contact\n{}", "*,a,b\n".repeat(25)));
        assert_eq!(said.matches("; line ").count(), 19);
        assert!(said.contains("line 21: ") && said.ends_with("; and 5 more"), "{said}");
    }
}
