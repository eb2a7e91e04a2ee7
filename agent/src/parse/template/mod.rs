//! Entries of logs whose format is the operator's own: a format string of httpd, log4j, logback or nginx, compiled at
//! start to what reads a line in one walk over its bytes.
//!
//! Does not know where a line comes from. A line costs no allocation. Where a format leaves open which text a byte
//! belongs to, a line is read in the only way that fits or not at all, never in one way of several: what a client sent
//! must not move the columns behind it.
//!
//! In reading order: `access`, `error_log`, `log4j` and `nginx` each know one language and its words, and make tokens;
//! `arrange` turns these into parts, for each text with the way its end is found; `walk` finds the values of a line,
//! with what `ends` knows, or tells a `miss`, and `write` writes them. `literal` compares what a format states, `date`
//! reads dates, whose layouts `strftime` and `java_date` know, and `frame` tells the usual ones.

mod access;
mod arrange;
mod date;
mod ends;
mod error_log;
mod frame;
mod java_date;
mod literal;
mod log4j;
mod miss;
mod nginx;
mod strftime;
mod walk;
mod write;

use std::collections::BTreeSet;

use super::json;
use super::{JsonTypes, Mismatch, Record};
use arrange::{Escapes, Kind, Token};
use date::DatePattern;
use ends::Commas;
use frame::Frame;
use literal::Literal;
use walk::Found;

pub use access::{ACCESS_DIRECTIVES, Directive, built_in};
pub use error_log::DEFAULT_ERROR_LOG;
pub use nginx::COMBINED as NGINX_COMBINED;

/// The most values that a line may have: what is kept of them while a line is read has its place on the stack.
const MOST_VALUES: usize = 48;

/// How lines are read that follow one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What a line consists of.
    groups: Vec<Group>,
    values: Vec<Value>,
    types: JsonTypes,
    /// Which value is a path with the query behind it, if one is.
    target: Option<usize>,
    /// Whether quotes stand in a line beside those of its values.
    has_quotes: bool,
}

/// Why a format cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A part of it has no meaning.
    #[error("{what} cannot be read (character {at})")]
    Unknown {
        /// The part.
        what: String,
        /// Which character of the format it begins with, from 1.
        at: usize,
    },
    /// Two values have nothing between them that would tell where one ends.
    #[error("nothing divides `{first}` from `{second}`; put a space between them, or quotes around one")]
    Undivided {
        /// The name of the one.
        first: String,
        /// The name of the other.
        second: String,
    },
    /// Two values have one name.
    #[error("two values are called `{name}`; leave one out, or name all of them in `customFieldNames`")]
    Collision {
        /// Their name.
        name: String,
    },
    /// The names are not as many as the values.
    #[error("`customFieldNames` holds {names} names, and the format has {values} values: {list}")]
    Names {
        /// How many names there are.
        names: usize,
        /// How many values there are.
        values: usize,
        /// What they are called otherwise.
        list: String,
    },
    /// It has no value at all.
    #[error("the format has no value")]
    Empty,
    /// It has more values than there is room for.
    #[error("the format has {values} values, and no more than {MOST_VALUES} can be read")]
    TooLong {
        /// How many it has.
        values: usize,
    },
}

/// A part of a line that is there as a whole, or is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// What stands before it, unless it is the first of its line.
    divider: Literal,
    parts: Vec<Part>,
    presence: Presence,
}

/// Whether a line must have a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Always,
    /// httpd leaves it out when it has nothing to say.
    Perhaps,
}

/// What is read in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// These bytes.
    Literal(Literal),
    /// At least so many spaces.
    Spaces(usize),
    /// A value whose end shows: which one, and how it ends.
    Value(usize, Shape),
    /// A value that ends at the first place of `divider` behind which everything up to the next sure place fits.
    Sought {
        value: usize,
        divider: Vec<u8>,
        /// Whether the value may hold spaces.
        extent: Extent,
        then: Vec<Part>,
    },
    /// The end of the line.
    End,
}

/// How far a value may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// To the next space.
    Word,
    /// To the end of the line.
    Line,
}

/// How the end of a value shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// Digits that may have a sign, or `-`.
    Number,
    /// Digits that may have a point among them, or `-`.
    Decimal,
    /// A date, or `-`.
    Date(DatePattern, Frame),
    /// At least one byte, none of which is a space.
    Word,
    /// The name of a source file and the number of a line: `core.c(123)`.
    Source,
    /// A number in brackets, and what it means: `(13)Permission denied`, up to a colon and a space.
    Status,
    /// To the first quote without a backslash before it.
    Quoted,
    /// To the first place of these bytes, which it cannot hold.
    Until(Vec<u8>),
    /// The same, without a space in it.
    WordUntil(Vec<u8>),
    /// To the first place of `divider`, or else to the end of the line; none of `dividers` may begin before that, or
    /// within `divider`.
    Apart {
        divider: Option<Vec<u8>>,
        dividers: Vec<Vec<u8>>,
        /// The bytes with which the dividers begin.
        stops: Vec<u8>,
        commas: Commas,
    },
    /// To the end of the line.
    Rest,
}

/// A value of the line and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    name: String,
    /// The name as it stands in the object.
    key: String,
    meaning: Meaning,
}

/// What a value means, for the `native` profile.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// A text, with httpd's escapes; `-` if there is none.
    Text,
    /// A text that nobody has escaped, with spaces around it that only align it.
    Verbatim,
    /// A user, which is empty if it is `""`.
    User,
    /// A number; `-` if there is none.
    Number,
    /// A number of bytes; `-` if there are none.
    Bytes,
    /// A request, from which the rest is taken apart: those of method, path, query and protocol that no other value
    /// gives.
    Request([Option<&'static str>; 4]),
    /// What is behind the path, its `?` included.
    Query,
    /// A path with the query behind it, which is the next value.
    Target,
    // Keys stand here as they stand in the object.
    /// A date, and the keys for its milliseconds since 1970 and its notation in ISO 8601, if it is to be understood.
    Date(DatePattern, Option<[&'static str; 2]>),
    /// A time since 1970 in so many parts of a second, and the key for its milliseconds.
    Epoch(i64, Option<&'static str>),
    /// What a program says, with a stack trace in lines of its own behind it, which goes under this name.
    Message(Option<&'static str>),
}

impl Template {
    /// The format of an access log: an httpd `LogFormat`. `names`, if given, are those of its values in order.
    ///
    /// # Errors
    /// If the format cannot be followed; with the place.
    pub fn of_access_log(
        format: &str,
        names: Option<&[String]>,
        types: JsonTypes,
    ) -> Result<Template, TemplateError> {
        Template::of_tokens(access::tokens(format)?, Escapes::Quotes, names, types)
    }

    /// The format of an error log: an httpd `ErrorLogFormat`.
    ///
    /// # Errors
    /// If the format cannot be followed; with the place.
    pub fn of_error_log(
        format: &str,
        names: Option<&[String]>,
        types: JsonTypes,
    ) -> Result<Template, TemplateError> {
        let mut values = Vec::new();
        let mut groups = Vec::new();
        for field in error_log::fields(format)? {
            let parts = arrange::parts(field.tokens, Escapes::Controls, &mut values)?;
            groups.push(Group::new(field.divider, parts, field.presence));
        }
        Template::new(groups, values, names, types)
    }

    /// The pattern of log4j's or logback's `PatternLayout`.
    ///
    /// # Errors
    /// If the pattern cannot be followed; with the place.
    pub fn of_log4j(
        pattern: &str,
        names: Option<&[String]>,
        types: JsonTypes,
    ) -> Result<Template, TemplateError> {
        let mut tokens = log4j::tokens(pattern)?;
        if log4j::ends_with_message(&tokens) {
            return Template::of_tokens(tokens, Escapes::None, names, types);
        }
        let mut values = Vec::new();
        tokens.push(Token::End);
        let parts = arrange::parts(tokens, Escapes::None, &mut values)?;
        let line = Group::new("", parts, Presence::Always);
        let trace = Token::Value(Kind::Rest, Value::new(log4j::STACK_TRACE, Meaning::Verbatim));
        let parts = arrange::parts(vec![trace], Escapes::None, &mut values)?;
        let behind = Group::new("\n", parts, Presence::Perhaps);
        Template::new(vec![line, behind], values, names, types)
    }

    /// An expression of Java's that matches the first line of each entry of a log with this pattern of log4j at its
    /// start; none if the pattern does not begin with anything that tells it from other lines.
    ///
    /// # Errors
    /// If the pattern cannot be followed; with the place.
    pub fn first_line_of_log4j(pattern: &str) -> Result<Option<String>, TemplateError> {
        Ok(log4j::first_line(&log4j::tokens(pattern)?))
    }

    /// The format of nginx's `log_format`.
    ///
    /// # Errors
    /// If the format cannot be followed; with the place.
    pub fn of_nginx(
        format: &str,
        names: Option<&[String]>,
        types: JsonTypes,
    ) -> Result<Template, TemplateError> {
        Template::of_tokens(nginx::tokens(format)?, Escapes::Quotes, names, types)
    }

    /// The names of the values, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| value.name.as_str())
    }

    /// Appends the record of `line`, which has no newline at its end, to `buffer`.
    ///
    /// # Errors
    /// If the line does not match; `buffer` is then exactly as it was.
    pub(super) fn convert(&self, line: &[u8], buffer: &mut Vec<u8>) -> Result<Record, Mismatch> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut found = Found::default();
        walk::read(self, line, &mut found)?;
        Ok(write::write(self, &found, buffer))
    }

    fn of_tokens(
        mut tokens: Vec<Token>,
        escapes: Escapes,
        names: Option<&[String]>,
        types: JsonTypes,
    ) -> Result<Template, TemplateError> {
        let mut values = Vec::new();
        tokens.push(Token::End);
        let parts = arrange::parts(tokens, escapes, &mut values)?;
        Template::new(vec![Group::new("", parts, Presence::Always)], values, names, types)
    }

    fn new(
        groups: Vec<Group>,
        mut values: Vec<Value>,
        names: Option<&[String]>,
        types: JsonTypes,
    ) -> Result<Template, TemplateError> {
        match values.len() {
            0 => return Err(TemplateError::Empty),
            1..=MOST_VALUES => {}
            values => return Err(TemplateError::TooLong { values }),
        }
        if let Some(names) = names {
            if names.len() != values.len() {
                let list: Vec<_> = values.iter().map(|value| format!("`{}`", value.name)).collect();
                let (names, values, list) = (names.len(), values.len(), list.join(", "));
                return Err(TemplateError::Names { names, values, list });
            }
            for (value, name) in values.iter_mut().zip(names) {
                value.name.clone_from(name);
            }
        }
        let mut keys = BTreeSet::new();
        for value in &mut values {
            value.key = json::quote_key(&value.name);
            if !keys.insert(value.key.clone()) {
                return Err(TemplateError::Collision { name: value.name.clone() });
            }
        }
        for value in &mut values {
            value.meaning.give_way(&mut keys);
        }
        let has_quotes = groups.iter().any(|group| group.parts.iter().any(Part::has_quotes));
        let target = values.iter().position(|value| value.meaning == Meaning::Target);
        Ok(Template { groups, values, types, target, has_quotes })
    }
}

impl Value {
    /// A value with its usual name.
    fn new(name: impl Into<String>, meaning: Meaning) -> Value {
        Value { name: name.into(), key: String::new(), meaning }
    }
}

impl Meaning {
    /// Keeps of the fields that are taken from a value only those whose keys are not in use yet.
    fn give_way(&mut self, used: &mut BTreeSet<String>) {
        let mut is_free = |key: &&'static str| used.insert((*key).to_owned());
        match self {
            Meaning::Request(parts) => {
                for part in parts {
                    *part = part.filter(&mut is_free);
                }
            }
            Meaning::Date(_, keys) => *keys = keys.filter(|keys| keys.iter().all(&mut is_free)),
            Meaning::Epoch(_, key) | Meaning::Message(key) => *key = key.filter(&mut is_free),
            Meaning::Text
            | Meaning::Verbatim
            | Meaning::User
            | Meaning::Number
            | Meaning::Bytes
            | Meaning::Query
            | Meaning::Target => {}
        }
    }
}

#[cfg(test)]
mod tests;
