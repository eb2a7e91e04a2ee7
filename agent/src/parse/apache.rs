//! Finds the fields of an access log's entry: httpd's `common` and `combined` formats.
//!
//! Gives out slices of the line and knows nothing of what is written from them. Takes every line that the Java agent
//! takes, with the same slices, and beyond that all that httpd 2.4 can write. How httpd escapes a value:
//! <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#format-notes>.

use std::net::{IpAddr, Ipv6Addr};

use memchr::{memchr, memchr_iter};

use super::fields::Value;
use super::json::Content;
use super::time::Date;
use super::{Fault, Field, JsonTypes, Mismatch, scan};

const HOST: Field = Field::new("host", "a name or an address, then a space");
const IDENT: Field = Field::new("ident", "a word, then a space");
const USER: Field = Field::new("user", "a user before the date");
const DATE: Field = Field::new("date", "`[dd/Mon/yyyy:HH:MM:SS ±zzzz] \"`");
const REQUEST: Field = Field::new("request", "`\"…\"`");
const RESPONSE: Field = Field::new("response", "a space, then a number or `-`");
const BYTES: Field = Field::new("bytes", "a space, then a number or `-`");
const REFERER: Field = Field::new("referer", "a space, then `\"…\"`");
const AGENT: Field = Field::new("agent", "a space, then `\"…\"`");

/// Which fields an entry has. Columns behind the last one are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// `%h %l %u %t "%r" %>s %b`.
    Common,
    /// Common, then `"%{Referer}i" "%{User-Agent}i"`.
    Combined,
}

/// One line of an access log, each value as it stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) client: Client<'a>,
    pub(super) exchange: Exchange<'a>,
    /// What can be said of all the values at once.
    pub(super) content: Content,
}

/// Who asked, and when: what stands before the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    /// The site that was asked, where the log begins with it (Debian's `vhost_combined`).
    pub(super) vhost: Option<&'a [u8]>,
    pub(super) host: &'a [u8],
    pub(super) ident: &'a [u8],
    /// Without the quotes by which httpd denotes an empty user.
    pub(super) user: &'a [u8],
    /// A date as [`Date::read`] takes it, without its brackets.
    pub(super) date: &'a [u8],
}

/// What was asked and answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange<'a> {
    pub(super) request: &'a [u8],
    /// `-`, or digits that may have a sign.
    pub(super) response: &'a [u8],
    /// `-`, or digits that may have a sign.
    pub(super) bytes: &'a [u8],
    /// What the combined format has beyond the common one.
    pub(super) combined: Option<Combined<'a>>,
}

/// What the client said of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Combined<'a> {
    pub(super) referer: &'a [u8],
    pub(super) agent: &'a [u8],
}

/// Which quote closes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// The first one that is not escaped, as httpd writes it.
    Escaped,
    /// The first one, as a log without escapes has it and as the Java agent reads every log.
    Literal,
}

/// Reads the line `line`, which has no newline at its end.
pub(super) fn read(line: &[u8], columns: Columns) -> Result<Entry<'_>, Mismatch> {
    let mut cursor = Cursor { line, at: 0 };
    let client = cursor.client()?;
    let exchange = cursor.exchange(columns, Quotes::Escaped).or_else(|mismatch| {
        // A value that ends in a lone backslash is not httpd's, but other servers write it, and the Java agent
        // takes it.
        cursor.exchange(columns, Quotes::Literal).map_err(|_| mismatch)
    })?;
    // A quote in a value that stands between quotes has a backslash before it.
    let before_request = line.get(..cursor.at).unwrap_or_default();
    let is_plain = scan::is_plain_but_for_quotes(line) && scan::place(before_request, b'"').is_none();
    let content = if is_plain { Content::Plain } else { Content::Any };
    Ok(Entry { client, exchange, content })
}

impl Entry<'_> {
    /// The values that the Java agent knows, in its order. Of a common entry only the first seven count.
    pub(super) fn values(&self, types: JsonTypes) -> [Value<'_>; 9] {
        let Exchange { request, response, bytes, combined } = self.exchange;
        let (referer, agent) = combined.map_or((&b"-"[..], &b"-"[..]), |it| (it.referer, it.agent));
        let bytes = match (bytes, types) {
            // `%b` writes it when nothing was sent.
            (b"-", JsonTypes::Native) => b"0",
            (bytes, JsonTypes::Native | JsonTypes::Strings) => bytes,
        };
        [
            Value::Escaped(self.client.host).or_nothing(),
            Value::Escaped(self.client.ident).or_nothing(),
            Value::Escaped(self.client.user).or_nothing(),
            Value::Text(self.client.date),
            Value::Escaped(request).or_nothing(),
            Value::Number(response).or_nothing(),
            Value::Number(bytes).or_nothing(),
            Value::Escaped(referer).or_nothing(),
            Value::Escaped(agent).or_nothing(),
        ]
    }
}

/// A place in a line.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    line: &'a [u8],
    /// At most the line's length.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// What stands before the request, up to the quote that opens it.
    fn client(&mut self) -> Result<Client<'a>, Mismatch> {
        let first = self.word(HOST)?;
        let second = self.word(IDENT)?;
        let (user, date) = self.user_and_date()?;

        let (vhost, host, ident, user) = match split_at_space(user) {
            Some((third, user)) if !user.is_empty() && (is_site(first) || is_address(second)) => {
                (Some(first), second, third, user)
            }
            Some(_) | None => (None, first, second, user),
        };
        let user = if user == b"\"\"" { &[] } else { user };
        Ok(Client { vhost, host, ident, user, date })
    }

    /// From the request to the last field. Does not move the cursor, so that it can be tried again.
    fn exchange(mut self, columns: Columns, quotes: Quotes) -> Result<Exchange<'a>, Mismatch> {
        let request = self.quoted(REQUEST, quotes)?;
        let response = self.number(RESPONSE)?;
        let bytes = self.number(BYTES)?;
        let combined = match columns {
            Columns::Common => None,
            Columns::Combined => {
                self.skip(b' ', REFERER)?;
                let referer = self.quoted(REFERER, quotes)?;
                self.skip(b' ', AGENT)?;
                let agent = self.quoted(AGENT, quotes)?;
                Some(Combined { referer, agent })
            }
        };
        Ok(Exchange { request, response, bytes, combined })
    }

    /// One or more bytes up to a space.
    fn word(&mut self, field: Field) -> Result<&'a [u8], Mismatch> {
        let (word, _) = split_at_space(self.rest()).ok_or_else(|| self.missing(field))?;
        self.at += word.len() + 1;
        Ok(word)
    }

    /// The user, and the date that ends it; the cursor then stands at the quote that opens the request.
    ///
    /// A user may hold spaces and brackets, but the quote behind the date cannot come from it: httpd escapes a
    /// user's quotes.
    fn user_and_date(&mut self) -> Result<(&'a [u8], &'a [u8]), Mismatch> {
        // From the space before the user on, so that a date in the user's place is seen as one.
        let before = self.line.get(self.at.saturating_sub(1)..).unwrap_or_default();
        let mut place = None;
        for (len, _) in before.windows(2).enumerate().filter(|(_, pair)| pair == b" [") {
            place.get_or_insert(len);
            let text = before.get(len + 2..).unwrap_or_default();
            if let Some((_, rest)) = Date::read(text)
                && let Some(date) = text.get(..text.len() - rest.len())
                && rest.starts_with(b"] \"")
            {
                let user =
                    before.get(1..len).filter(|user| !user.is_empty()).ok_or_else(|| self.missing(USER))?;
                self.at = self.line.len() - rest.len() + b"] ".len();
                return Ok((user, date));
            }
        }
        // Where a date should have stood: at the first bracket, or else behind a user of one word.
        let place = place.or_else(|| Some(split_at_space(before.get(1..)?)?.0.len() + 1));
        self.at = place.map_or(self.line.len(), |len| self.at + len);
        Err(self.missing(DATE))
    }

    /// What stands between quotes, without them; may be empty.
    fn quoted(&mut self, field: Field, quotes: Quotes) -> Result<&'a [u8], Mismatch> {
        let at = self.at;
        self.skip(b'"', field)?;
        let rest = self.rest();
        let len = match quotes {
            Quotes::Escaped => memchr_iter(b'"', rest).find(|&at| !is_escaped(rest, at)),
            Quotes::Literal => memchr(b'"', rest),
        };
        let value = len.and_then(|len| rest.get(..len)).ok_or_else(|| field.mismatch(Fault::Open, at))?;
        self.at += value.len() + 1;
        Ok(value)
    }

    /// A space, then digits that may have a sign, or `-`.
    fn number(&mut self, field: Field) -> Result<&'a [u8], Mismatch> {
        let at = self.at;
        self.skip(b' ', field)?;
        let rest = self.rest();
        let sign = usize::from(matches!(rest, [b'+' | b'-', ..]));
        let digits = rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
        let len = match (rest, digits) {
            ([b'-', ..], 0) => 1,
            (_, 0) => return Err(field.mismatch(Fault::Missing, at)),
            (_, digits) => sign + digits,
        };
        self.at += len;
        rest.get(..len).ok_or_else(|| field.mismatch(Fault::Missing, at))
    }

    /// Goes past `byte`, which stands before `field`.
    fn skip(&mut self, byte: u8, field: Field) -> Result<(), Mismatch> {
        if self.rest().first() == Some(&byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.missing(field))
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn missing(&self, field: Field) -> Mismatch {
        field.mismatch(Fault::Missing, self.at)
    }
}

/// The word that ends at the first space, and what stands behind the space.
fn split_at_space(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // A loop, since words are shorter than what a vector search is good for.
    let at = text.iter().position(|&byte| byte == b' ')?;
    let (word, rest) = (text.get(..at)?, text.get(at + 1..)?);
    (!word.is_empty()).then_some((word, rest))
}

/// Whether the byte at `at` stands behind an odd number of backslashes.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// Whether `word` is `name:port` or `[v6]:port`, as httpd's `%v:%p` writes it. No IPv6 address is.
fn is_site(word: &[u8]) -> bool {
    let mut parts = word.rsplitn(2, |&byte| byte == b':');
    let (Some(port), Some(name)) = (parts.next(), parts.next()) else { return false };
    let is_name = match name {
        [b'[', address @ .., b']'] => {
            str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
        }
        name => !name.is_empty() && !name.contains(&b':'),
    };
    is_name && !port.is_empty() && port.iter().all(u8::is_ascii_digit)
}

/// Whether `word` is an IP address, with or without the scope that IPv6 may add.
fn is_address(word: &[u8]) -> bool {
    let address = word.split(|&byte| byte == b'%').next().unwrap_or_default();
    str::from_utf8(address).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}
