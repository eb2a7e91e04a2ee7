//! `CSVTOJSON`: the columns of a line become the fields of an object, each a string.
//!
//! Columns are what the Java agent makes of a line: what stands between the delimiters, and nothing is special about
//! quotes. With [`Csv::with_quotes`] a column may stand between quotes, as RFC 4180 has it
//! (<https://www.rfc-editor.org/rfc/rfc4180#section-2>), and one carriage return at the end of the line is no part of
//! it. In both, empty columns at the end of a line are missing ones, and a missing one is null.

use std::borrow::Cow;

use memchr::memchr;

use super::Record;
use super::json::{Content, Key, Object, quote_key};
use super::step::Failure;
use crate::expression::{Expression, ExpressionError, TooManySteps};

/// Which columns a line has, and what divides them.
#[derive(Clone, Debug)]
pub struct Csv {
    fields: Vec<Field>,
    delimiter: Delimiter,
    quote: Option<u8>,
}

/// One field of the object.
#[derive(Clone, Debug)]
struct Field {
    /// Its name as a key.
    key: String,
    /// Which column has its value, from 0.
    column: usize,
}

/// What stands between two columns.
#[derive(Clone, Debug)]
enum Delimiter {
    /// This character of ASCII.
    Byte(u8),
    /// What this matches.
    Expression(Box<Expression>),
}

/// Why columns cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// The delimiter is no expression.
    #[error("failed to understand the delimiter")]
    Delimiter(#[source] ExpressionError),
    /// The quote is no quote.
    #[error("must be one character of ASCII other than the delimiter")]
    Quote,
    /// The delimiter can be too many things.
    #[error("needs a delimiter that is one character of ASCII")]
    NoCharacter,
}

impl Csv {
    /// Lines with the columns `names`, divided by what the Java expression `delimiter` matches.
    ///
    /// # Errors
    /// If `delimiter` is no expression that can be followed.
    pub fn new(names: &[String], delimiter: &str) -> Result<Csv, CsvError> {
        let mut fields: Vec<Field> = Vec::new();
        for (column, name) in names.iter().enumerate() {
            let key = quote_key(name);
            // Of two columns with one name the last counts, in the place of the first.
            match fields.iter_mut().find(|field| field.key == key) {
                Some(field) => field.column = column,
                None => fields.push(Field { key, column }),
            }
        }
        let delimiter = match literal(delimiter) {
            Some(byte) => Delimiter::Byte(byte),
            None => {
                let expression = Expression::anywhere(delimiter).map_err(CsvError::Delimiter)?;
                Delimiter::Expression(Box::new(expression))
            }
        };
        Ok(Csv { fields, delimiter, quote: None })
    }

    /// The same with columns that may stand between two of `quote`, within which the delimiter is a character like
    /// others and a doubled quote is one.
    ///
    /// # Errors
    /// If that would be ambiguous.
    pub fn with_quotes(self, quote: &str) -> Result<Csv, CsvError> {
        let Delimiter::Byte(delimiter) = self.delimiter else { return Err(CsvError::NoCharacter) };
        match quote.as_bytes() {
            [quote] if quote.is_ascii_graphic() && *quote != delimiter => {
                Ok(Csv { quote: Some(*quote), ..self })
            }
            _ => Err(CsvError::Quote),
        }
    }

    /// The same with quotes that are characters like others.
    pub(super) fn without_quotes(&self) -> Csv {
        Csv { quote: None, ..self.clone() }
    }

    /// Appends the object of `line`, which has no newline at its end.
    pub(super) fn write(&self, line: &[u8], out: &mut Vec<u8>) -> Result<Record, Failure> {
        match (&self.delimiter, self.quote) {
            (Delimiter::Byte(delimiter), None) => {
                let columns = Columns::new(line, *delimiter).map(|bytes| Ok(Column { bytes, quote: None }));
                self.write_columns(columns, out)
            }
            (Delimiter::Byte(delimiter), Some(quote)) => {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                self.write_columns(QuotedColumns { rest: Columns::new(line, *delimiter), quote }, out)
            }
            (Delimiter::Expression(expression), _) => {
                let text = String::from_utf8_lossy(line);
                let columns = split(&text, expression).map_err(|_| Failure::Undecided)?;
                let columns = columns.iter().map(|text| Ok(Column { bytes: text.as_bytes(), quote: None }));
                let record = self.write_columns(columns, out)?;
                Ok(Record { repaired: matches!(text, Cow::Owned(_)), ..record })
            }
        }
    }

    fn write_columns<'a>(
        &self,
        all: impl Iterator<Item = Result<Column<'a>, Failure>> + Clone,
        out: &mut Vec<u8>,
    ) -> Result<Record, Failure> {
        let mut object = Object::begin(out, Content::Any);
        let (mut columns, mut next) = (all.clone(), 0);
        for field in &self.fields {
            // Fields are in the order of their columns, but for names that are there twice.
            if field.column < next {
                (columns, next) = (all.clone(), 0);
            }
            let column = columns.nth(field.column - next).transpose()?;
            next = field.column + 1;
            let key = Key(&field.key);
            match column {
                None => object.null(key),
                Some(Column { bytes, quote: None }) => object.text(key, bytes),
                Some(Column { bytes, quote: Some(quote) }) => object.text_of(key, undoubled(bytes, quote)),
            }
        }
        Ok(object.end())
    }
}

/// The value of one column.
#[derive(Clone, Copy)]
struct Column<'a> {
    bytes: &'a [u8],
    /// The quote that stands twice in it wherever it stands.
    quote: Option<u8>,
}

/// The columns of a line between delimiters of one byte.
#[derive(Clone)]
struct Columns<'a> {
    delimiter: u8,
    /// Behind the columns that were given out; none behind the last.
    rest: Option<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn new(line: &'a [u8], delimiter: u8) -> Columns<'a> {
        let empty = line.iter().rev().take_while(|&&byte| byte == delimiter).count();
        let filled = line.get(..line.len() - empty).unwrap_or_default();
        // An empty line has one column, and one of delimiters has none.
        let rest = (line.is_empty() || !filled.is_empty()).then_some(filled);
        Columns { delimiter, rest }
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match memchr(self.delimiter, rest) {
            Some(len) => {
                self.rest = rest.get(len + 1..);
                rest.get(..len)
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

/// The same where a column may stand between quotes.
#[derive(Clone)]
struct QuotedColumns<'a> {
    rest: Columns<'a>,
    quote: u8,
}

impl<'a> Iterator for QuotedColumns<'a> {
    type Item = Result<Column<'a>, Failure>;

    fn next(&mut self) -> Option<Result<Column<'a>, Failure>> {
        let Some([first, inside @ ..]) = self.rest.rest else {
            return self.rest.next().map(|bytes| Ok(Column { bytes, quote: None }));
        };
        if *first != self.quote {
            return self.rest.next().map(|bytes| Ok(Column { bytes, quote: None }));
        }
        Some(self.quoted(inside))
    }
}

impl<'a> QuotedColumns<'a> {
    /// The column whose opening quote stands before `inside`.
    fn quoted(&mut self, inside: &'a [u8]) -> Result<Column<'a>, Failure> {
        let mut end = 0;
        loop {
            let rest = inside.get(end..).unwrap_or_default();
            end += memchr(self.quote, rest).ok_or(Failure::OpenQuote)?;
            match inside.get(end + 1) {
                Some(byte) if *byte == self.quote => end += 2,
                Some(byte) if *byte != self.rest.delimiter => return Err(Failure::BehindQuote),
                Some(_) | None => break,
            }
        }
        // Behind the closing quote and the delimiter.
        self.rest.rest = inside.get(end + 2..);
        Ok(Column { bytes: inside.get(..end).unwrap_or_default(), quote: Some(self.quote) })
    }
}

/// The bytes with one quote where there are two.
fn undoubled(bytes: &[u8], quote: u8) -> impl Iterator<Item = u8> {
    let mut after_quote = false;
    bytes.iter().copied().filter(move |&byte| {
        after_quote = byte == quote && !after_quote;
        byte != quote || after_quote
    })
}

/// The one character of ASCII that a Java expression stands for, if it is so simple.
fn literal(expression: &str) -> Option<u8> {
    match expression.as_bytes() {
        [byte] if byte.is_ascii() && !br"\^$.|?*+()[{".contains(byte) => Some(*byte),
        [b'\\', b't'] => Some(b'\t'),
        [b'\\', byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Some(*byte),
        _ => None,
    }
}

/// The pieces of `text` between the matches of `delimiter`, without the empty ones at its end, as Java has it. Source:
/// <https://docs.oracle.com/javase/8/docs/api/java/util/regex/Pattern.html#split-java.lang.CharSequence-int->
fn split<'a>(text: &'a str, delimiter: &Expression) -> Result<Vec<&'a str>, TooManySteps> {
    let mut pieces = Vec::new();
    let (mut begun, mut from) = (0, 0);
    while let Some(found) = delimiter.find_at(text, from)? {
        // A match of nothing begins its own search one character later, and divides nothing at the start of the text.
        from = if found.is_empty() { found.end + char_len(text, found.end) } else { found.end };
        if found.end > 0 {
            pieces.push(text.get(begun..found.start).unwrap_or_default());
            begun = found.end;
        }
    }
    if begun == 0 {
        return Ok(vec![text]);
    }
    pieces.push(text.get(begun..).unwrap_or_default());
    let filled = pieces.iter().rposition(|piece| !piece.is_empty()).map_or(0, |last| last + 1);
    pieces.truncate(filled);
    Ok(pieces)
}

/// How long the character at `at` is. Behind the end, where nothing is found any more, one byte.
fn char_len(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
}
