//! Makes lines with today's time out of an access log.
//!
//! Every line carries its number where nobody writes anything today: in place of the ident, which any access log has
//! (behind a vhost it is the host that is replaced). So a record can be told from every other, whatever its line holds.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use kinetail_tests::writer::apache_time;

/// What stands before the number.
const MARK: &[u8] = b"replay-";

/// The lines of a log, over and over.
#[derive(Debug)]
pub(crate) struct Replay {
    path: PathBuf,
    templates: Vec<Template>,
    left_out: usize,
}

/// A line around its ident and its time.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    /// Up to the blank before the ident.
    host: Vec<u8>,
    /// From the blank behind the ident up to the bracket of the time.
    user: Vec<u8>,
    /// From the other bracket on, newline included.
    request: Vec<u8>,
}

impl Replay {
    /// Reads a log. Lines that are not of an access log are left out.
    pub(crate) fn load(path: &Path) -> Result<Replay> {
        let text = fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let lines = || text.split_inclusive(|byte| *byte == b'\n');
        let templates: Vec<Template> = lines().filter_map(Template::of).collect();
        ensure!(!templates.is_empty(), "`{}` has no line of an access log", path.display());
        let left_out = lines().count() - templates.len();
        Ok(Replay { path: path.to_owned(), templates, left_out })
    }

    /// What the agent is told the log is.
    pub(crate) fn format(&self) -> &'static str {
        let quotes = |template: &Template| template.request.iter().filter(|byte| **byte == b'"').count();
        if self.templates.iter().all(|template| quotes(template) >= 6) {
            "COMBINEDAPACHELOG"
        } else {
            "COMMONAPACHELOG"
        }
    }

    /// The line with a number, of this moment.
    pub(crate) fn line(&self, number: u64) -> Vec<u8> {
        let place = usize::try_from(number).unwrap_or_default() % self.templates.len();
        let Some(Template { host, user, request }) = self.templates.get(place) else { return Vec::new() };
        let time = apache_time(SystemTime::now());
        [host, MARK, number.to_string().as_bytes(), user, time.as_bytes(), request].concat()
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} lines of {}", self.templates.len(), self.path.display())?;
        if self.left_out > 0 {
            write!(f, " ({} that are not of an access log are left out)", self.left_out)?;
        }
        Ok(())
    }
}

impl Template {
    fn of(line: &[u8]) -> Option<Template> {
        line.ends_with(b"\n").then_some(())?;
        let host = line.iter().position(|byte| *byte == b' ')? + 1;
        let ident = host + line.get(host..)?.iter().position(|byte| *byte == b' ')?;
        let time = find(line, b" [")? + 2;
        let request = find(line, b"] \"")?;
        (ident < time && time < request).then_some(())?;
        Some(Template {
            host: line.get(..host)?.to_vec(),
            user: line.get(ident..time)?.to_vec(),
            request: line.get(request..)?.to_vec(),
        })
    }
}

/// The digits of the number of a line's record.
pub(crate) fn number(record: &[u8]) -> Option<&[u8]> {
    let start = find(record, MARK)? + MARK.len();
    let digits = record.get(start..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    digits.get(..end)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str)>) {
        let template = Template::of(line.as_bytes());
        let found = template.map(|Template { host, user, request }| {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (text([host, user].concat()), text(request))
        });
        assert_eq!(found, expected.map(|(start, end)| (start.to_owned(), end.to_owned())));
    }

    #[test]
    fn ident_and_time_are_taken_out() {
        check("::1 - - [time] \"GET /\" 200 1\n", Some(("::1  - [", "] \"GET /\" 200 1\n")));
        check("h - a [b] c [time] \"-\" 408 -\n", Some(("h  a [", "] \"-\" 408 -\n")));
        check("h - - [time] \"GET /\" 200 1", None);
        check("hello world\n", None);
        check("\n", None);
    }

    #[test]
    fn the_number_is_found_in_the_record() {
        assert_eq!(
            number(b"{\"host\":\"::1\",\"ident\":\"replay-12\",\"authuser\":null}"),
            Some(b"12".as_slice())
        );
        assert_eq!(number(b"{\"host\":\"::1\"}"), None);
    }
}
