//! What the Java agent makes of a line: a second time, by another engine, from its expressions as they are written.
//!
//! Slow, and shares nothing with the parsers nor with `parse::java`.

use fancy_regex::Regex;

use super::super::Format;

/// The Java agent with one of its formats.
pub(super) struct Oracle {
    format: Format,
    /// As the Java agent has it.
    java: Regex,
    /// The same, but that a value between quotes ends at the first quote that is not escaped.
    whole: Regex,
}

impl Oracle {
    pub(super) fn new(format: Format) -> Oracle {
        let (java, whole) = (expression(format, r#"[^"]+"#), expression(format, r#"(?:[^"\\]|\\[\s\S])*"#));
        Oracle { format, java: Regex::new(&java).unwrap(), whole: Regex::new(&whole).unwrap() }
    }

    /// What it writes for `line`; none if it drops the line.
    pub(super) fn record(&self, line: &[u8]) -> Option<String> {
        self.write(&self.java, &String::from_utf8_lossy(line))
    }

    /// What it would write if it did not cut values at escaped quotes: the one thing that we do otherwise. A line that
    /// only makes sense when they are cut, since a value ends in a lone backslash, is read as it reads it.
    pub(super) fn whole_record(&self, line: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        self.write(&self.java, &text).map(|cut| self.write(&self.whole, &text).unwrap_or(cut))
    }

    fn write(&self, expression: &Regex, text: &str) -> Option<String> {
        let (names, null): (&[&str], _) = match self.format {
            Format::Common => {
                (&["host", "ident", "authuser", "datetime", "request", "response", "bytes"], "-")
            }
            Format::Combined => (
                &[
                    "host", "ident", "authuser", "datetime", "request", "response", "bytes", "referer",
                    "agent",
                ],
                "-",
            ),
            Format::ErrorLog => {
                (&["timestamp", "module", "severity", "processid", "threadid", "client", "message"], "-")
            }
            // Nothing that a group matches.
            Format::Syslog | Format::Rfc3339Syslog => {
                (&["timestamp", "hostname", "program", "processid", "message"], "\n\n")
            }
        };
        let groups = expression.captures(text).unwrap()?;
        assert_eq!(groups.len(), names.len() + 1);
        let fields = names.iter().zip(1..).map(|(name, group)| {
            let value = groups.get(group).map(|part| part.as_str()).filter(|value| *value != null);
            let value = value.map_or("null".to_owned(), |value| {
                format!("\"{}\"", value.chars().map(escaped_for_json).collect::<String>())
            });
            format!("\"{name}\":{value}")
        });
        Some(format!("{{{}}}\n", fields.collect::<Vec<_>>().join(",")))
    }
}

/// The expression of a format, from the same blocks as the Java agent's. `quoted` is what may stand between quotes.
fn expression(format: Format, quoted: &str) -> String {
    // In Java classes are of ASCII, and a dot stops at five kinds of line ends.
    let word = "0-9A-Za-z_";
    let dot = r"[^\n\r\x{85}\x{2028}\x{2029}]";
    let white = r"[ \t\n\x{B}\x{C}\r]";
    let edge = format!("(?:(?<=[{word}])(?![{word}])|(?<![{word}])(?=[{word}]))");

    let int = "(?:[+-]?(?:[0-9]+))";
    let positive = "(?:[1-9][0-9]*)";
    let whole = "(?:[0-9]+)";
    let hostname = format!(r"(?:[{word}\-]+)(?:\.(?:[{word}\-]+))*(?:\.?|{edge})");
    let host = format!(r"(?:{hostname}|(?:[0-9\.]+))");
    let site = format!("(?:{host}(?::{positive})?)");
    let user = "(?:[a-zA-Z0-9._-]+)";
    let month_day = "(?:(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9])";
    let day =
        "(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)";
    let months = [
        "Jan(?:uary)?",
        "Feb(?:ruary)?",
        "Mar(?:ch)?",
        "Apr(?:il)?",
        "May",
        "Jun(?:e)?",
        "Jul(?:y)?",
        "Aug(?:ust)?",
        "Sep(?:tember)?",
        "Oct(?:ober)?",
        "Nov(?:ember)?",
        "Dec(?:ember)?",
    ];
    let month = format!("{edge}(?:{}){edge}", months.join("|"));
    let year = "(?:[1-9][0-9]*)";
    let time = r"(?:(?:2[0123]|[01]?[0-9]):(?:[0-5][0-9]):(?:(?:[0-5]?[0-9]|60)(?:[:\.,][0-9]+)?))";
    let facility = format!("<{whole}{dot}{whole}>");
    let program = format!(r"([{word}\._/%-]+)(?:\[({positive})\])?");
    let common = format!(
        r#"({host}) ({user}) ({user}) \[((?:{month_day}/{month}/{year}:{time}{white}{int}))\] "({quoted})" ({int}|\-) ({int}|\-)"#
    );
    let body = match format {
        Format::Common => format!("{common}{dot}*"),
        Format::Combined => format!(r#"{common} "({quoted})" "({quoted})"{dot}*"#),
        Format::ErrorLog => {
            let date = format!("(?:{day}{white}+{month}{white}+{month_day}{white}+{time}{white}+{year})");
            format!(
                r"\[({date})\] \[(?:([{word}]+):)?([{word}]+)\] \[pid ({whole})(?::tid ({whole}))?\] \[client ({site})\] ({dot}*)"
            )
        }
        Format::Syslog => {
            format!(
                "((?:{month}{white}+{month_day}{white}+{time})) (?:{facility} )?({user}) {program}: ({dot}*)"
            )
        }
        Format::Rfc3339Syslog => {
            let date = r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)(?:Z|(?:[-+][0-9]{2}:[0-9]{2}))";
            format!("({date}) (?:{facility} )?({user}) {program}: ({dot}*)")
        }
    };
    format!(r"\A{body}\z")
}

fn escaped_for_json(character: char) -> String {
    match character {
        '"' => r#"\""#.to_owned(),
        '\\' => r"\\".to_owned(),
        '\u{8}' => r"\b".to_owned(),
        '\u{C}' => r"\f".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\t' => r"\t".to_owned(),
        '\0'..='\u{1F}' => format!("\\u{:04X}", u32::from(character)),
        other => other.to_string(),
    }
}
