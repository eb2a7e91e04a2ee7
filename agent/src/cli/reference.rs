//! `kinetail reference`: every key of `agent.json`, out of the table of keys.
//!
//! As text for a terminal, as the Markdown page that is committed as `etc/agent.json.md`, or as the manual page that the
//! packages hold.

use std::fmt;
use std::io::{self, Write};

use roff::{Inline, Roff, bold, roman};

use crate::config::key::{Default, Effect, Holder, Key, Kind, Origin, Unit};
use crate::config::keys::KEYS;
use crate::exit::Exit;

/// How many characters a line of text has at the most.
const WIDTH: usize = 80;

/// What the page begins with.
const PREFACE: &str = "\
# Keys of agent.json

<!-- Written by `kinetail reference --markdown`; a test compares it with the table in agent/src/config/keys.rs. -->

The configuration is JSON with `//` and `/* */` comments; a dot is a part of a key's name. Numbers and truth may be written
as texts, also hexadecimal (`\"0x7d0\"`) and octal (`\"010\"`), `yes` and `no`, as the Java agent took them. `null` is as good as
leaving a key out. `kinetail check` tells what is wrong with a file, `kinetail check --explain` what each key comes to and which
line says so.
";

/// What the reference looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For a terminal.
    Text,
    /// For the page.
    Markdown,
    /// For `man`.
    Manual,
}

/// Prints the reference.
pub(super) fn run(form: Form, out: &mut dyn Write) -> io::Result<Exit> {
    match form {
        Form::Text => write!(out, "{}", Text)?,
        Form::Markdown => write!(out, "{}", Markdown)?,
        Form::Manual => manual().to_writer(out)?,
    }
    Ok(Exit::Done)
}

/// The objects that keys stand in, from the outside to the inside.
const HOLDERS: [Holder; 3] = [Holder::Agent, Holder::Flow, Holder::Step];

fn keys_of(holder: Holder) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.holder == holder)
}

struct Markdown;

impl fmt::Display for Markdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFACE)?;
        for holder in HOLDERS {
            writeln!(f, "\n## Keys of {}\n", holder.name())?;
            writeln!(f, "| Key | Value | Default | From | Meaning |\n|---|---|---|---|---|")?;
            for key in keys_of(holder) {
                let (value, default, meaning) = (value(key.kind), default(key.default), meaning(key));
                let row = [format!("`{}`", key.name), value, default, origin(key.origin).to_owned(), meaning];
                writeln!(f, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "))?;
            }
        }
        Ok(())
    }
}

struct Text;

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for holder in HOLDERS {
            if holder != Holder::Agent {
                writeln!(f)?;
            }
            writeln!(f, "KEYS OF {}", holder.name().replace('`', "").to_uppercase())?;
            for key in keys_of(holder) {
                let default = match default(key.default) {
                    default if default.is_empty() => String::new(),
                    default => format!(", default {default}"),
                };
                writeln!(f, "\n{}", key.name)?;
                for text in
                    [format!("{}{default}; from {}.", value(key.kind), origin(key.origin)), meaning(key)]
                {
                    wrap(&text.replace('`', ""), f)?;
                }
            }
        }
        Ok(())
    }
}

/// The page agent.json(5).
fn manual() -> Roff {
    const TITLE: [&str; 5] = ["AGENT.JSON", "5", "", concat!("kinetail ", env!("CARGO_PKG_VERSION")), ""];
    const EXAMPLE: &str = "\
{
  \"flows\": [
    { \"filePattern\": \"/var/log/httpd/*access_log*\", \"kinesisStream\": \"ApplicationLogInputStream\" }
  ]
}";
    let mut page = Roff::new();
    page.control("TH", TITLE);
    page.control("SH", ["NAME"])
        .text([roman("agent.json - the configuration of kinetail, and of the Java agent before it")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("/etc/aws-kinesis/agent.json")]).control("br", []);
    page.text([bold("/etc/aws-kinesis/agent.d/"), roman("*.json")]);
    page.control("SH", ["DESCRIPTION"]).text(marked(syntax()));
    page.control("SH", ["EXAMPLE"]).control("nf", []).text([roman(EXAMPLE)]).control("fi", []);
    for holder in HOLDERS {
        let title = format!("KEYS OF {}", holder.name().replace('`', "").to_uppercase());
        page.control("SH", [title.as_str()]);
        for key in keys_of(holder) {
            let facts = match default(key.default) {
                default if default.is_empty() => value(key.kind),
                default => format!("{}, default {default}", value(key.kind)),
            };
            page.control("TP", []).text([bold(key.name)]);
            page.text(marked(&format!("{facts}; from {}.", origin(key.origin))));
            page.control("br", []).text(marked(&meaning(key)));
        }
    }
    page.control("SH", ["SEE ALSO"]).text([bold("kinetail"), roman("(1)")]);
    page
}

/// The part of [`PREFACE`] that is for readers.
fn syntax() -> &'static str {
    PREFACE.rsplit_once("-->").map_or(PREFACE, |(_, text)| text.trim())
}

/// Text whose words between backquotes stand out; what is bold in Markdown does not.
fn marked(text: &str) -> Vec<Inline> {
    let plain = text.replace("**", "");
    let parts = plain.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { roman(part) } else { bold(part) }).collect()
}

/// Writes `text` in indented lines of [`WIDTH`].
fn wrap(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const INDENT: &str = "    ";
    let mut line = String::new();
    for word in text.split(' ') {
        let is_full = line.chars().count() + 1 + word.chars().count() > WIDTH - INDENT.len();
        if is_full && !line.is_empty() {
            writeln!(f, "{INDENT}{line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(f, "{INDENT}{line}")
}

fn value(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::AnyText => "text, may be empty".to_owned(),
        Kind::Secret => "text, never shown".to_owned(),
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Number { unit, least, most } => {
            format!("{} to {}{}", grouped(least), grouped(most), self::unit(unit))
        }
        Kind::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Texts => "list of texts".to_owned(),
        Kind::Objects => "list of objects".to_owned(),
        Kind::Anything => "any JSON".to_owned(),
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Milliseconds => " ms",
        Unit::Seconds => " s",
        Unit::Days => " days",
        Unit::Bytes => " bytes",
        Unit::Pieces => "",
    }
}

fn default(default: Default) -> String {
    match default {
        Default::Nothing => String::new(),
        Default::Flag(flag) => format!("`{flag}`"),
        Default::Number(number) => grouped(number),
        Default::Text("\n") => "newline".to_owned(),
        Default::Text(text) => format!("`{text}`"),
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Java => "the Java agent",
        Origin::Ours => "kinetail",
    }
}

/// What a key does here, in sentences.
fn meaning(key: &Key) -> String {
    let rest = match key.effect {
        Effect::Honoured => return key.help.to_owned(),
        Effect::Without(reason) => format!("**No effect**: {reason}."),
        Effect::Impossible(reason) => format!("**Refused**: {reason}."),
    };
    format!("{} {rest}", key.help)
}

/// A number with a comma between thousands.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn printed(form: Form) -> String {
        let mut out = Vec::new();
        assert_eq!(run(form, &mut out).unwrap(), Exit::Done);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_page_is_what_the_table_says() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etc/agent.json.md");
        let mend = "write it anew: cargo run --bin kinetail -- reference --markdown > etc/agent.json.md";
        assert!(fs::read_to_string(page).unwrap_or_default() == printed(Form::Markdown), "{mend}");
    }

    #[test]
    fn every_key_is_in_the_reference_with_its_help() {
        let (text, page) = (printed(Form::Text), printed(Form::Markdown));
        let plain = text.replace("\n    ", " ");
        for key in KEYS {
            assert!(text.contains(&format!("\n{}\n", key.name)), "{}", key.name);
            assert!(plain.contains(&key.help.replace('`', "")), "help of {}", key.name);
            assert!(page.contains(&format!("| `{}` | ", key.name)), "{}", key.name);
        }
    }

    #[test]
    fn the_manual_has_every_key_and_no_mark_of_markdown() {
        let manual = printed(Form::Manual);
        for key in KEYS {
            let heading = format!("\n.TP\n\\fB{}\\fR\n", key.name.replace('-', "\\-"));
            assert!(manual.contains(&heading), "{}", key.name);
        }
        let entries = manual.lines().filter(|line| *line == ".TP").count();
        assert_eq!(entries, KEYS.len());
        assert!(manual.contains("\n.SH DESCRIPTION\nThe configuration is JSON"));
        assert!(!manual.contains('`') && !manual.contains("**") && !manual.contains("<!--"));
    }

    #[test]
    fn text_fits_a_terminal() {
        let long = printed(Form::Text).lines().filter(|line| line.chars().count() > WIDTH).count();
        assert_eq!(long, 0);
    }

    #[test]
    fn every_row_of_a_table_has_as_many_cells_as_its_header() {
        let page = printed(Form::Markdown);
        for row in page.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
        }
    }

    #[test]
    fn thousands_are_parted() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1, "-1"), (1_048_576, "1,048,576")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
