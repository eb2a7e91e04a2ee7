//! httpd's `LogFormat`: its directives as data, and what a format of them states.
//!
//! Source: <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats>, and for `%I %O %S %^FB`
//! <https://httpd.apache.org/docs/2.4/mod/mod_logio.html>. Does not know how a line is read.

use super::arrange::{Kind, Token};
use super::date::{DatePattern, Digits, Item, Unit};
use super::{Meaning, TemplateError, Value, strftime};
use crate::parse::Format;
use crate::parse::json::key;

/// A directive, and what becomes of its value.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// As it stands in a format, without modifiers.
    pub text: &'static str,
    /// The field of the record.
    pub field: &'static str,
    /// What it is in the `native` profile.
    pub native: &'static str,
    looks: Looks,
}

/// What a value looks like and means.
#[derive(Clone, Copy, Debug)]
enum Looks {
    Word,
    Text,
    User,
    Number,
    Bytes,
    Request,
    Path,
    Query,
}

/// The directives that stand for one field each, in alphabetical order. `%t` and those that name a header, a cookie, a
/// note or a variable are beside them, since what they give depends on what stands in their braces.
pub const ACCESS_DIRECTIVES: &[Directive] = &[
    text("%a", "clientAddress", Looks::Word),
    text("%{c}a", "peerAddress", Looks::Word),
    text("%A", "localAddress", Looks::Word),
    number("%b", "bytes", Looks::Bytes),
    number("%B", "bytes", Looks::Bytes),
    number("%D", "durationMicros", Looks::Number),
    text("%f", "file", Looks::Text),
    number("%^FB", "firstByteMicros", Looks::Number),
    text("%h", "host", Looks::Word),
    text("%{c}h", "peerHost", Looks::Word),
    text("%H", "protocol", Looks::Word),
    number("%I", "bytesIn", Looks::Number),
    number("%k", "keepAlives", Looks::Number),
    text("%l", "ident", Looks::Word),
    text("%L", "logId", Looks::Word),
    text("%m", "method", Looks::Word),
    number("%O", "bytesOut", Looks::Number),
    number("%p", "port", Looks::Number),
    number("%{canonical}p", "port", Looks::Number),
    number("%{local}p", "localPort", Looks::Number),
    number("%{remote}p", "remotePort", Looks::Number),
    number("%P", "pid", Looks::Number),
    number("%{pid}P", "pid", Looks::Number),
    number("%{tid}P", "tid", Looks::Number),
    text("%{hextid}P", "hexTid", Looks::Word),
    text("%q", "query", Looks::Query),
    text("%r", "request", Looks::Request),
    text("%R", "handler", Looks::Text),
    number("%s", "response", Looks::Number),
    number("%S", "bytesTransferred", Looks::Number),
    number("%T", "durationSeconds", Looks::Number),
    number("%{s}T", "durationSeconds", Looks::Number),
    number("%{ms}T", "durationMillis", Looks::Number),
    number("%{us}T", "durationMicros", Looks::Number),
    text("%u", "authuser", Looks::User),
    text("%U", "path", Looks::Path),
    text("%v", "serverName", Looks::Word),
    text("%V", "requestedName", Looks::Word),
    text("%X", "connectionStatus", Looks::Word),
];

/// Names that no header may take, beside those of the directives.
const RESERVED: [&str; 9] =
    ["datetime", "referer", "agent", "time", "timeIso", "vhost", "endDatetime", "endTime", "endTimeIso"];

/// Formats for which there is a parser of its own. Debian's own count what was sent with `%O`.
const BUILT_IN: [(&str, Format); 5] = [
    (r#"%h %l %u %t "%r" %>s %b"#, Format::Common),
    (r#"%h %l %u %t "%r" %>s %O"#, Format::Common),
    (r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#, Format::Combined),
    (r#"%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i""#, Format::Combined),
    (r#"%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i""#, Format::Combined),
];

/// The built-in format that `format` is, if it is one; its lines are read as those of the built-in one.
#[must_use]
pub fn built_in(format: &str) -> Option<Format> {
    let plain = format.replace("\\\"", "\"").replace("%{User-agent}i", "%{User-Agent}i");
    BUILT_IN.iter().find(|(text, _)| *text == plain).map(|(_, format)| *format)
}

/// What `format` states.
pub(super) fn tokens(format: &str) -> Result<Vec<Token>, TemplateError> {
    let mut reader = Reader { format, rest: format, tokens: Vec::new() };
    while let Some(char) = reader.next() {
        match char {
            '%' => reader.directive()?,
            '\\' => reader.escape(),
            char => reader.literal(char),
        }
    }
    Ok(reader.tokens)
}

struct Reader<'f> {
    format: &'f str,
    rest: &'f str,
    tokens: Vec<Token>,
}

impl<'f> Reader<'f> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        Some(char)
    }

    fn literal(&mut self, char: char) {
        let mut bytes = [0; 4];
        self.tokens.push(Token::Literal(char.encode_utf8(&mut bytes).as_bytes().to_vec()));
    }

    /// What is behind a backslash: httpd's own escapes, and the quotes of its configuration file.
    fn escape(&mut self) {
        let (char, rest) = match self.rest.chars().next() {
            Some('n') => ('\n', 1),
            Some('r') => ('\r', 1),
            Some('t') => ('\t', 1),
            Some(char @ ('"' | '\\')) => (char, 1),
            Some(_) | None => ('\\', 0),
        };
        self.rest = self.rest.get(rest..).unwrap_or_default();
        self.literal(char);
    }

    /// What is behind a `%`.
    fn directive(&mut self) -> Result<(), TemplateError> {
        let start = self.rest;
        let (mut name, mut is_conditional) = (None, false);
        let letter = loop {
            match self.next() {
                Some('!' | ',' | '0'..='9') => is_conditional = true,
                Some('<' | '>') => {}
                Some('{') => {
                    let (inside, rest) = self.rest.split_once('}').ok_or_else(|| self.unknown(start))?;
                    (name, self.rest) = (Some(inside), rest);
                }
                Some('^') => break self.two_letters().ok_or_else(|| self.unknown(start))?,
                Some('%') => {
                    self.literal('%');
                    return Ok(());
                }
                Some(letter) => break letter.to_string(),
                None => return Err(self.unknown(start)),
            }
        };
        let token = match (letter.as_str(), name) {
            ("t", format) => return self.time(format, is_conditional).map_err(|()| self.unknown(start)),
            ("q", None) => {
                self.query();
                return Ok(());
            }
            (letter, name) => value(letter, name).ok_or_else(|| self.unknown(start))?,
        };
        self.tokens.push(token);
        Ok(())
    }

    fn two_letters(&mut self) -> Option<String> {
        let (letters, rest) = self.rest.split_at_checked(2)?;
        self.rest = rest;
        Some(format!("^{letters}"))
    }

    /// `%q`, which is divided from a path before it by its own `?`.
    fn query(&mut self) {
        let query = Value::new("query", Meaning::Query);
        match self.tokens.last_mut() {
            Some(Token::Value(_, path)) if path.meaning == Meaning::Text && path.name == "path" => {
                path.meaning = Meaning::Target;
                self.tokens.push(Token::Value(Kind::Held, query));
            }
            Some(_) | None => self.tokens.push(Token::Value(Kind::Text, query)),
        }
    }

    /// `%t`, `%{format}t`.
    fn time(&mut self, format: Option<&str>, is_conditional: bool) -> Result<(), ()> {
        let Some(format) = format else {
            let value = |meaning| Value::new("datetime", meaning);
            if is_conditional {
                // With its brackets, as `-` has none.
                self.tokens.push(Token::Value(Kind::Text, value(Meaning::Text)));
            } else {
                let pattern = common_date();
                let keys = Some([key!("time").0, key!("timeIso").0]);
                self.literal('[');
                self.tokens
                    .push(Token::Value(Kind::Date(pattern.clone()), value(Meaning::Date(pattern, keys))));
                self.literal(']');
            }
            return Ok(());
        };
        let (end, format) = match (format.strip_prefix("begin:"), format.strip_prefix("end:")) {
            (Some(format), _) => (false, format),
            (None, Some(format)) => (true, format),
            (None, None) => (false, format),
        };
        self.piece_of_time(if end { &AT_THE_END } else { &AT_THE_BEGINNING }, format)
    }

    /// A time at the beginning of the request, or at its end. Pieces of one time, with nothing but punctuation between
    /// them, are one date.
    fn piece_of_time(&mut self, clock: &Clock, format: &str) -> Result<(), ()> {
        let epoch = |name: &str, parts| {
            Token::Value(Kind::Number, Value::new(name, Meaning::Epoch(parts, Some(clock.time))))
        };
        let whole = match format {
            "sec" => Some(epoch(clock.seconds, 1)),
            "msec" => Some(epoch(clock.millis, 1000)),
            "usec" => Some(epoch(clock.micros, 1_000_000)),
            _ => None,
        };
        if let Some(token) = whole {
            self.tokens.push(token);
            return Ok(());
        }
        let items = match format {
            "msec_frac" => vec![Item::Fraction(3)],
            "usec_frac" => vec![Item::Fraction(6)],
            format => strftime::items(format).map_err(|_| ())?,
        };
        let (mut pattern, between) = self.date_before(clock).unwrap_or_default();
        pattern.items.extend(between.into_iter().map(Item::Literal));
        pattern.items.extend(items);
        let keys = pattern.is_whole().then_some([clock.time, clock.iso]);
        let value = Value::new(clock.date, Meaning::Date(pattern.clone(), keys));
        self.tokens.push(Token::Value(Kind::Date(pattern), value));
        Ok(())
    }

    /// Takes back the date of `clock` that what comes now belongs to, with the punctuation behind it.
    fn date_before(&mut self, clock: &Clock) -> Option<(DatePattern, Vec<u8>)> {
        let date = self.tokens.iter().rposition(|token| matches!(token, Token::Value(..)))?;
        let between = self.tokens.get(date + 1..)?.iter();
        let bytes: Vec<u8> = between
            .filter_map(|token| if let Token::Literal(bytes) = token { Some(bytes) } else { None })
            .flatten()
            .copied()
            .collect();
        let is_punctuation = bytes.iter().all(|byte| b" .,:-/_TZ+".contains(byte));
        let pattern = match self.tokens.get(date)? {
            Token::Value(Kind::Date(pattern), value) if value.name == clock.date && is_punctuation => {
                pattern.clone()
            }
            Token::Literal(_) | Token::Spaces | Token::Value(..) | Token::End => return None,
        };
        self.tokens.truncate(date);
        Some((pattern, bytes))
    }

    /// That what begins at `start`, behind a `%`, cannot be read.
    fn unknown(&self, start: &str) -> TemplateError {
        let len = start.len() - self.rest.len();
        let before = self.format.len() - start.len() - 1;
        let what = format!("`%{}`", start.get(..len).unwrap_or(start));
        TemplateError::Unknown { what, at: self.format.get(..before).unwrap_or_default().chars().count() + 1 }
    }
}

/// The names for a time of the request.
struct Clock {
    date: &'static str,
    seconds: &'static str,
    millis: &'static str,
    micros: &'static str,
    time: &'static str,
    iso: &'static str,
}

const AT_THE_BEGINNING: Clock = Clock {
    date: "datetime",
    seconds: "epochSeconds",
    millis: "epochMillis",
    micros: "epochMicros",
    time: key!("time").0,
    iso: key!("timeIso").0,
};

const AT_THE_END: Clock = Clock {
    date: "endDatetime",
    seconds: "endEpochSeconds",
    millis: "endEpochMillis",
    micros: "endEpochMicros",
    time: key!("endTime").0,
    iso: key!("endTimeIso").0,
};

/// `03/Feb/2021:04:05:06 +0100`.
fn common_date() -> DatePattern {
    let number = |unit| Item::Number(unit, Digits::TWO);
    let items = vec![
        number(Unit::Day),
        Item::Literal(b'/'),
        Item::Month,
        Item::Literal(b'/'),
        Item::Number(Unit::Year, Digits::FOUR),
        Item::Literal(b':'),
        number(Unit::Hour),
        Item::Literal(b':'),
        number(Unit::Minute),
        Item::Literal(b':'),
        number(Unit::Second),
        Item::Literal(b' '),
        Item::Zone,
    ];
    DatePattern { items, zone: None }
}

/// The value of the directive `letter`, with what stood in its braces.
fn value(letter: &str, name: Option<&str>) -> Option<Token> {
    let text = name.map_or_else(|| format!("%{letter}"), |name| format!("%{{{name}}}{letter}"));
    if let Some(directive) = ACCESS_DIRECTIVES.iter().find(|directive| directive.text == text) {
        return Some(directive.token());
    }
    let name = name.filter(|name| !name.is_empty())?;
    let lower = name.to_ascii_lowercase();
    let field = match letter {
        "i" => header(&lower),
        "o" => format!("response-{lower}"),
        "^ti" => format!("trailer-{lower}"),
        "^to" => format!("response-trailer-{lower}"),
        "C" => format!("cookie-{name}"),
        "e" => format!("env-{name}"),
        "n" => format!("note-{name}"),
        // What mod_ssl adds: a variable of the TLS connection.
        "x" | "c" => format!("ssl-{lower}"),
        _ => return None,
    };
    let kind = if field == "x-forwarded-for" { Kind::Addresses } else { Kind::Text };
    Some(Token::Value(kind, Value::new(field, Meaning::Text)))
}

/// The field of the request header `lower`.
pub(super) fn header(lower: &str) -> String {
    let is_taken = ACCESS_DIRECTIVES.iter().any(|directive| directive.field == lower);
    match lower {
        "user-agent" => "agent".to_owned(),
        "referer" => "referer".to_owned(),
        _ if is_taken || RESERVED.contains(&lower) => format!("header-{lower}"),
        _ => lower.to_owned(),
    }
}

const fn text(text: &'static str, field: &'static str, looks: Looks) -> Directive {
    Directive { text, field, native: "text", looks }
}

const fn number(text: &'static str, field: &'static str, looks: Looks) -> Directive {
    Directive { text, field, native: "number", looks }
}

impl Directive {
    fn token(&self) -> Token {
        let (kind, meaning) = match self.looks {
            Looks::Word => (Kind::Word, Meaning::Text),
            Looks::Text | Looks::Path => (Kind::Text, Meaning::Text),
            Looks::User => (Kind::Text, Meaning::User),
            Looks::Number => (Kind::Number, Meaning::Number),
            Looks::Bytes => (Kind::Number, Meaning::Bytes),
            Looks::Request => (Kind::Text, request()),
            Looks::Query => (Kind::Text, Meaning::Query),
        };
        Token::Value(kind, Value::new(self.field, meaning))
    }
}

/// A request with all that is taken from it.
pub(super) fn request() -> Meaning {
    Meaning::Request([key!("method"), key!("path"), key!("query"), key!("protocol")].map(|key| Some(key.0)))
}
