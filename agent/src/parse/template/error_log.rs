//! httpd's `ErrorLogFormat`: fields divided by spaces, each left out whole if a directive in it has nothing to say.
//!
//! Source: <https://httpd.apache.org/docs/2.4/mod/core.html#errorlogformat>. Does not know how a line is read.

use super::arrange::{Kind, Token};
use super::date::{DatePattern, Digits, Item, Unit};
use super::{Meaning, Presence, TemplateError, Value, access};
use crate::parse::json::key;

/// What httpd 2.4 writes if it is not told otherwise, with and without threads, as a client and as a server. What may
/// be missing has a level, since that is how a directive is left out.
pub const DEFAULT_ERROR_LOG: &str = "[%{u}t] [%-m:%l] [pid\\ %P% :tid\\ %7T% ] %7F: %E: [client\\ %a] [remote\\ %{c}a] %M% ,\\ referer:\\ %{Referer}i";

/// What stands between two spaces of the format.
#[derive(Debug)]
pub(super) struct Field {
    /// What is before it in a line, unless it comes first.
    pub(super) divider: &'static str,
    pub(super) tokens: Vec<Token>,
    pub(super) presence: Presence,
}

/// The fields of `format`.
pub(super) fn fields(format: &str) -> Result<Vec<Field>, TemplateError> {
    let mut fields = vec![Field::behind("")];
    let mut rest = format;
    while let Some(char) = rest.chars().next() {
        let behind = rest.get(char.len_utf8()..).unwrap_or_default();
        let escaped = if char == '\\' { behind.chars().next() } else { None };
        let (divider, token) = match (char, escaped) {
            (' ', _) => (Some(" "), None),
            ('%', _) if behind.starts_with(' ') => (Some(""), None),
            ('%', _) if !behind.starts_with('%') => (None, None),
            ('\\', Some(escaped)) => (None, Some(escaped)),
            (char, _) => (None, Some(char)),
        };
        match (divider, token, fields.last_mut()) {
            (Some(divider), _, _) => {
                fields.push(Field::behind(divider));
                rest = behind.strip_prefix(' ').filter(|_| char == '%').unwrap_or(behind);
            }
            (None, Some(literal), Some(field)) => {
                let mut bytes = [0; 4];
                field.tokens.push(Token::Literal(literal.encode_utf8(&mut bytes).as_bytes().to_vec()));
                let taken = usize::from(char == '%' || escaped.is_some()) * literal.len_utf8();
                rest = behind.get(taken..).unwrap_or_default();
            }
            (None, _, field) => {
                let directive = Directive::read(behind).ok_or_else(|| {
                    let at = format.len() - rest.len();
                    let what = format!("`{}`", rest.split(' ').next().unwrap_or_default());
                    TemplateError::Unknown {
                        what,
                        at: format.get(..at).unwrap_or_default().chars().count() + 1,
                    }
                })?;
                rest = directive.rest;
                if let Some(field) = field {
                    field.presence =
                        if directive.may_be_missing { Presence::Perhaps } else { field.presence };
                    field.tokens.push(directive.token);
                }
            }
        }
    }
    fields.retain(|field| !field.tokens.is_empty());
    if let Some((_, before)) = fields.split_last_mut() {
        before.iter_mut().for_each(Field::bound_texts);
    }
    fields.iter_mut().for_each(Field::bound_message);
    Ok(fields)
}

impl Field {
    fn behind(divider: &'static str) -> Field {
        Field { divider, tokens: Vec::new(), presence: Presence::Always }
    }

    /// Lets a text that is not in the last field end at the next space: only the message may hold what divides fields.
    fn bound_texts(&mut self) {
        for token in &mut self.tokens {
            if let Token::Value(kind @ Kind::Text, _) = token {
                *kind = Kind::Word;
            }
        }
    }

    /// Lets a message that is not the last of its field end before what comes behind it.
    fn bound_message(&mut self) {
        let last = self.tokens.len().saturating_sub(1);
        for token in self.tokens.iter_mut().take(last) {
            if let Token::Value(kind @ Kind::Rest, _) = token {
                *kind = Kind::Text;
            }
        }
    }
}

/// A directive at the start of a text.
struct Directive<'f> {
    token: Token,
    may_be_missing: bool,
    /// What is behind it.
    rest: &'f str,
}

impl<'f> Directive<'f> {
    /// Reads what is behind a `%`.
    fn read(text: &'f str) -> Option<Directive<'f>> {
        let mut rest = text;
        let (mut name, mut is_dashed, mut has_level) = (None, false, false);
        loop {
            let letter = rest.chars().next()?;
            rest = rest.get(letter.len_utf8()..)?;
            match letter {
                '-' => is_dashed = true,
                '+' => {}
                '0'..='9' => has_level = true,
                '{' => (name, rest) = rest.split_once('}').map(|(name, rest)| (Some(name), rest))?,
                letter => {
                    let token = token(letter, name)?;
                    let is_certain = matches!(letter, 't' | 'M' | 'P' | 'T') || is_dashed;
                    return Some(Directive { token, may_be_missing: has_level || !is_certain, rest });
                }
            }
        }
    }
}

fn token(letter: char, name: Option<&str>) -> Option<Token> {
    let named = |prefix: &str| name.map(|name| format!("{prefix}{name}"));
    let (kind, field, meaning) = match (letter, name) {
        ('t', flags) => {
            let pattern = date(flags.unwrap_or_default())?;
            let keys = Some([key!("time").0, key!("timeIso").0]);
            (Kind::Date(pattern.clone()), "timestamp".to_owned(), Meaning::Date(pattern, keys))
        }
        ('a', None) => (Kind::Word, "client".to_owned(), Meaning::Text),
        ('a', Some("c")) => (Kind::Word, "peerAddress".to_owned(), Meaning::Text),
        ('A', None) => (Kind::Word, "localAddress".to_owned(), Meaning::Text),
        ('e', Some(_)) => (Kind::Text, named("env-")?, Meaning::Text),
        ('E', None) => (Kind::Status, "status".to_owned(), Meaning::Text),
        ('F', None) => (Kind::Source, "sourceFile".to_owned(), Meaning::Text),
        ('i', Some(name)) => (Kind::Text, access::header(&name.to_ascii_lowercase()), Meaning::Text),
        ('k', None) => (Kind::Number, "keepAlives".to_owned(), Meaning::Number),
        ('l', None) => (Kind::Word, "severity".to_owned(), Meaning::Text),
        ('L', None) => (Kind::Word, "logId".to_owned(), Meaning::Text),
        ('L', Some("c" | "C")) => (Kind::Word, "connectionLogId".to_owned(), Meaning::Text),
        ('m', None) => (Kind::Word, "module".to_owned(), Meaning::Text),
        ('M', None) => (Kind::Rest, "message".to_owned(), Meaning::Text),
        ('n', Some(_)) => (Kind::Text, named("note-")?, Meaning::Text),
        ('P', None) => (Kind::Number, "processid".to_owned(), Meaning::Number),
        ('T', None) => (Kind::Number, "threadid".to_owned(), Meaning::Number),
        ('T', Some("g")) => (Kind::Number, "systemThreadId".to_owned(), Meaning::Number),
        ('v', None) => (Kind::Word, "serverName".to_owned(), Meaning::Text),
        ('V', None) => (Kind::Word, "requestedName".to_owned(), Meaning::Text),
        _ => return None,
    };
    Some(Token::Value(kind, Value::new(field, meaning)))
}

/// `Wed Feb 03 04:05:06 2021`, or with the flag `c` as ISO 8601 has it; with `u` the microseconds.
fn date(flags: &str) -> Option<DatePattern> {
    if !flags.chars().all(|flag| "cu".contains(flag)) {
        return None;
    }
    let number = |unit| Item::Number(unit, Digits::TWO);
    let year = Item::Number(Unit::Year, Digits::FOUR);
    let mut time = vec![
        number(Unit::Hour),
        Item::Literal(b':'),
        number(Unit::Minute),
        Item::Literal(b':'),
        number(Unit::Second),
    ];
    if flags.contains('u') {
        time.extend([Item::Literal(b'.'), Item::Fraction(6)]);
    }
    let space = Item::Literal(b' ');
    let items = if flags.contains('c') {
        let dash = Item::Literal(b'-');
        [vec![year, dash, number(Unit::Month), dash, number(Unit::Day), space], time].concat()
    } else {
        let day = Item::Number(Unit::Day, Digits::PADDED);
        [vec![Item::Word, space, Item::Month, space, day, space], time, vec![space, year]].concat()
    };
    Some(DatePattern { items, zone: None })
}
