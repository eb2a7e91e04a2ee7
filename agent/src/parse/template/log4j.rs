//! The patterns of log4j's and logback's `PatternLayout`.
//!
//! Sources: <https://logging.apache.org/log4j/1.x/apidocs/org/apache/log4j/PatternLayout.html>,
//! <https://logging.apache.org/log4j/2.x/manual/pattern-layout.html>, <https://logback.qos.ch/manual/layouts.html>.
//! Nothing is escaped in such a log: a text ends where the rest of the pattern fits, and the message takes what is left,
//! with all lines behind the first. Does not know how a line is read.

use super::arrange::{Kind, Token};
use super::date::{DatePattern, Item};
use super::{Meaning, TemplateError, Value, java_date};
use crate::parse::json::key;
use crate::parse::time::Zone;

/// The field that a stack trace goes to.
pub(super) const STACK_TRACE: &str = "stackTrace";

/// What a word of a pattern stands for, in the order of what they mean; the longest that fits counts.
const WORDS: &[(&[&str], Word)] = &[
    (&["d", "date"], Word::Date),
    (&["p", "le", "level"], Word::Name("level")),
    (&["t", "tn", "thread", "threadName"], Word::Text("thread")),
    (&["T", "tid", "threadId"], Word::Number("threadid")),
    (&["tp", "threadPriority"], Word::Number("threadPriority")),
    (&["c", "lo", "logger"], Word::Name("logger")),
    (&["C", "class"], Word::Name("class")),
    (&["M", "method"], Word::Name("method")),
    (&["F", "file"], Word::Name("file")),
    (&["L", "line"], Word::Number("line")),
    (&["l", "location"], Word::Text("location")),
    (&["m", "msg", "message"], Word::Message),
    (&["n"], Word::LineEnd),
    (
        &[
            "ex",
            "exception",
            "throwable",
            "xEx",
            "xException",
            "xThrowable",
            "rEx",
            "rException",
            "rThrowable",
            "wEx",
            "wex",
            "nopex",
            "nopexception",
        ],
        Word::Trace,
    ),
    (&["r", "relative"], Word::Number("uptimeMillis")),
    (&["sn", "sequenceNumber", "lsn"], Word::Number("sequenceNumber")),
    (&["X", "mdc", "MDC"], Word::Keyed("mdc")),
    (&["K", "map", "MAP"], Word::Keyed("map")),
    (&["property"], Word::Keyed("property")),
    (&["x", "NDC"], Word::Text("ndc")),
    (&["marker", "markerSimpleName"], Word::Text("marker")),
    (&["pid", "processId"], Word::Number("processid")),
    (&["cn", "contextName"], Word::Name("contextName")),
    (&["fqcn"], Word::Name("loggerClass")),
    (&["u", "uuid"], Word::Name("uuid")),
    (&["N", "nano"], Word::Number("nanoTime")),
];

/// The names of the one zone that needs no table of zones.
const UTC: [&str; 5] = ["UTC", "GMT", "GMT+0", "GMT+00:00", "Z"];

#[derive(Clone, Copy, Debug)]
enum Word {
    Date,
    Name(&'static str),
    Text(&'static str),
    Number(&'static str),
    Keyed(&'static str),
    Message,
    LineEnd,
    /// A stack trace, which stands behind the message in any case.
    Trace,
}

/// What `pattern` states.
pub(super) fn tokens(pattern: &str) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        let behind = rest.get(char.len_utf8()..).unwrap_or_default();
        let literal = match (char, behind.chars().next()) {
            ('%', Some('%')) | ('\\', Some('\\')) => Some((char, 1)),
            ('\\', Some('n')) => Some(('\n', 1)),
            ('\\', Some('t')) => Some(('\t', 1)),
            ('\\', Some(escaped @ ('(' | ')' | '%' | '_'))) => Some((escaped, 1)),
            ('%', _) => None,
            (char, _) => Some((char, 0)),
        };
        rest = match literal {
            Some((char, taken)) => {
                let mut bytes = [0; 4];
                tokens.push(Token::Literal(char.encode_utf8(&mut bytes).as_bytes().to_vec()));
                behind.get(taken..).unwrap_or_default()
            }
            None => conversion(behind, &mut tokens).ok_or_else(|| {
                let at = pattern.get(..pattern.len() - rest.len()).unwrap_or_default().chars().count() + 1;
                let what = format!("`{}`", rest.split(' ').next().unwrap_or_default());
                TemplateError::Unknown { what, at }
            })?,
        };
    }
    while tokens
        .last()
        .is_some_and(|token| matches!(token, Token::Literal(text) if text.trim_ascii().is_empty()))
    {
        tokens.pop();
    }
    // A message that is not the last ends where the rest fits.
    let last = tokens.len().saturating_sub(1);
    for token in tokens.iter_mut().take(last) {
        if let Token::Value(kind @ Kind::Rest, value) = token {
            (*kind, value.meaning) = (Kind::Text, Meaning::Verbatim);
        }
    }
    Ok(tokens)
}

/// Whether a stack trace is a part of the message, as nothing stands behind that.
pub(super) fn ends_with_message(tokens: &[Token]) -> bool {
    matches!(tokens.last(), Some(Token::Value(Kind::Rest, _)))
}

/// An expression of Java's that matches the first line of an entry at its start; none if the pattern begins with nothing
/// that would tell it from another line.
pub(super) fn first_line(tokens: &[Token]) -> Option<String> {
    let mut expression = String::new();
    for token in tokens {
        match token {
            Token::Literal(text) => {
                let text = String::from_utf8_lossy(text);
                text.chars().for_each(|char| push_literal(char, &mut expression));
            }
            Token::Spaces => expression.push_str(" *"),
            Token::Value(Kind::Date(pattern), _) => {
                pattern.items.iter().for_each(|item| push_item(*item, &mut expression));
                return Some(expression);
            }
            Token::Value(Kind::Rest, _) | Token::End => return None,
            Token::Value(_, value) if value.name == "level" => {
                expression.push_str(
                    "(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|SEVERE|CONFIG|FINE|FINER|FINEST)\\b",
                );
                return Some(expression);
            }
            Token::Value(Kind::Number | Kind::Decimal, _) => expression.push_str("-?\\d+"),
            Token::Value(Kind::Word, _) => expression.push_str("\\S+?"),
            Token::Value(Kind::Text | Kind::Addresses | Kind::Source | Kind::Status | Kind::Held, _) => {
                expression.push_str(".*?")
            }
        }
    }
    None
}

fn push_literal(char: char, expression: &mut String) {
    if char.is_ascii_punctuation() {
        expression.push('\\');
    }
    expression.push(char);
}

fn push_item(item: Item, expression: &mut String) {
    match item {
        Item::Byte(bytes) => {
            expression.push('[');
            bytes.iter().for_each(|&byte| push_literal(char::from(byte), expression));
            expression.push(']');
        }
        Item::Literal(byte) => push_literal(char::from(byte), expression),
        Item::Number(_, digits) => {
            expression.push_str(&format!("[\\d ]{{{},{}}}", digits.least, digits.most));
        }
        Item::Month | Item::Word => expression.push_str("[A-Za-z]+"),
        Item::Half => expression.push_str("[AaPp][Mm]"),
        Item::Fraction(_) => expression.push_str("\\d+"),
        Item::Zone => expression.push_str("(?:Z|[+-]\\d\\d(?::?\\d\\d)?)"),
    }
}

/// Takes in the conversion at the start of `text`, which is behind a `%`; gives out what follows.
fn conversion<'p>(text: &'p str, tokens: &mut Vec<Token>) -> Option<&'p str> {
    let is_width = |char: char| char.is_ascii_digit() || matches!(char, '-' | '.');
    let (width, text) = text.split_at(text.find(|char| !is_width(char))?);
    let letters = text.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (word, mut rest) = (1..=letters).rev().find_map(|len| {
        let (name, rest) = text.split_at(len);
        let row = WORDS.iter().find(|(names, _)| names.contains(&name))?;
        Some((row.1, rest))
    })?;
    let mut options = Vec::new();
    while let Some((option, behind)) = rest.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
        options.push(option);
        rest = behind;
    }
    let is_spaced = rest.is_empty() || rest.starts_with(' ') || rest.starts_with("%n");
    let is_padded = width.starts_with(|char: char| char == '-' || char.is_ascii_digit());
    let (kind, value) = match word {
        Word::Date => date(&options)?,
        Word::Name(field) if is_padded && width.starts_with('-') && !is_spaced => {
            (Kind::Text, Value::new(field, Meaning::Verbatim))
        }
        Word::Name(field) => (Kind::Word, Value::new(field, Meaning::Verbatim)),
        Word::Text(field) => (Kind::Text, Value::new(field, Meaning::Verbatim)),
        Word::Number(field) => (Kind::Number, Value::new(field, Meaning::Number)),
        Word::Keyed(field) => {
            let key = options.first().and_then(|option| option.split(":-").next());
            let field = key.map_or_else(|| field.to_owned(), |key| format!("{field}-{key}"));
            (Kind::Text, Value::new(field, Meaning::Verbatim))
        }
        Word::Message => {
            let trace = Some(key!("stackTrace").0);
            (Kind::Rest, Value::new("message", Meaning::Message(trace)))
        }
        Word::LineEnd => {
            tokens.push(Token::Literal(b"\n".to_vec()));
            return Some(rest);
        }
        Word::Trace => return Some(rest),
    };
    let aligns = is_padded && matches!(kind, Kind::Word | Kind::Number);
    match aligns {
        true if width.starts_with('-') => tokens.extend([Token::Value(kind, value), Token::Spaces]),
        true => tokens.extend([Token::Spaces, Token::Value(kind, value)]),
        false => tokens.push(Token::Value(kind, value)),
    }
    Some(rest)
}

/// A date in the layout that the first of `options` names, in the zone that the second does.
fn date(options: &[&str]) -> Option<(Kind, Value)> {
    let (format, zone) = match options {
        [format, zone, ..] => (*format, *zone),
        // logback has both in one pair of braces, where the layout may hold commas of its own.
        [both] => match both.rsplit_once(',') {
            Some((format, zone)) if zone.contains('/') || UTC.contains(&zone.trim()) => (format, zone.trim()),
            Some(_) | None => (*both, ""),
        },
        [] => ("", ""),
    };
    let epoch =
        |field, parts| Some((Kind::Number, Value::new(field, Meaning::Epoch(parts, Some(key!("time").0)))));
    match format {
        "UNIX" => return epoch("timestamp", 1),
        "UNIX_MILLIS" => return epoch("timestamp", 1000),
        _ => {}
    }
    let zone = UTC.contains(&zone).then_some(Zone::UTC);
    let pattern = DatePattern { items: java_date::items(format.trim_matches('"')).ok()?, zone };
    let keys = pattern.is_whole().then_some([key!("time").0, key!("timeIso").0]);
    Some((Kind::Date(pattern.clone()), Value::new("timestamp", Meaning::Date(pattern, keys))))
}
