//! The `native` profile: what the values mean. Numbers as numbers, escapes decoded, `-` as null, and beside the
//! date and the request of the log what they consist of.

use super::Record;
use super::apache::{Client, Entry, Exchange};
use super::escape::{self, Decoded};
use super::json::{Content, Key, Object, key};
use super::time::Date;

/// Appends the record of `entry` to `buffer`.
pub(super) fn write(entry: &Entry<'_>, buffer: &mut Vec<u8>) -> Record {
    let mut object = Object::begin(buffer, entry.content);
    write_client(&mut object, &entry.client);
    write_exchange(&mut object, &entry.exchange);
    object.end()
}

fn write_client(object: &mut Object<'_>, client: &Client<'_>) {
    if let Some(vhost) = client.vhost {
        text(object, key!("vhost"), vhost);
    }
    text(object, key!("host"), client.host);
    text(object, key!("ident"), client.ident);
    text(object, key!("authuser"), client.user);
    object.text(key!("datetime"), client.date);
    match Date::read(client.date).and_then(|(date, _)| date.moment()) {
        Some(moment) => {
            object.integer(key!("time"), moment.epoch_millis());
            object.written(key!("timeIso"), |buffer| moment.write_iso(buffer));
        }
        None => {
            object.null(key!("time"));
            object.null(key!("timeIso"));
        }
    }
}

fn write_exchange(object: &mut Object<'_>, exchange: &Exchange<'_>) {
    text(object, key!("request"), exchange.request);
    let request = Request::read(exchange.request);
    optional(object, key!("method"), request.map(|request| request.method));
    optional(object, key!("path"), request.map(|request| request.path));
    optional(object, key!("query"), request.and_then(|request| request.query));
    optional(object, key!("protocol"), request.and_then(|request| request.protocol));
    match exchange.response {
        b"-" => object.null(key!("response")),
        response => object.digits(key!("response"), response),
    }
    match exchange.bytes {
        // `%b` writes it when nothing was sent.
        b"-" => object.integer(key!("bytes"), 0),
        bytes => object.digits(key!("bytes"), bytes),
    }
    if let Some(combined) = &exchange.combined {
        text(object, key!("referer"), combined.referer);
        text(object, key!("agent"), combined.agent);
    }
}

/// A value of the log.
pub(super) fn text(object: &mut Object<'_>, key: Key<'_>, value: &[u8]) {
    optional(object, key, (value != b"-").then_some(value));
}

/// What an encoded value stands for, if there is one.
pub(super) fn optional(object: &mut Object<'_>, key: Key<'_>, value: Option<&[u8]>) {
    match (value, object.content()) {
        (Some(value), Content::Any) if escape::has_escapes(value) => object.text_of(key, Decoded::new(value)),
        (Some(value), Content::Any | Content::Plain) => object.text(key, value),
        (None, _) => object.null(key),
    }
}

/// A request line taken apart, its parts still encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a [u8],
    pub(super) path: &'a [u8],
    /// Behind the first `?`.
    pub(super) query: Option<&'a [u8]>,
    /// Begins with `HTTP/`.
    pub(super) protocol: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Takes `line` apart: a method, a target that is not empty, and what a client of HTTP/0.9 does not send, the
    /// protocol. `None` if it is no request line.
    pub(super) fn read(line: &'a [u8]) -> Option<Request<'a>> {
        let (method, rest) = escape::split_at_first(line, b' ')?;
        let (target, protocol) = match escape::split_at_last(rest, b' ') {
            Some((target, protocol)) if Decoded::new(protocol).take(5).eq(*b"HTTP/") => {
                (target, Some(protocol))
            }
            Some(_) | None => (rest, None),
        };
        let (path, query) = match escape::split_at_first(target, b'?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let is_request = !method.is_empty() && Decoded::new(method).all(is_token) && !target.is_empty();
        is_request.then_some(Request { method, path, query, protocol })
    }
}

/// Whether `byte` may stand in a method. Source: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2>.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
