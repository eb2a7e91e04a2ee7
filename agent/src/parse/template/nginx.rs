//! nginx's `log_format`: variables and text between them.
//!
//! nginx writes what a client could forge a column with as `\xHH`, quotes included. Sources:
//! <https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format>,
//! <https://nginx.org/en/docs/varindex.html>. Does not know how a line is read.

use super::arrange::{Kind, Token};
use super::date::DatePattern;
use super::{Meaning, TemplateError, Value, access, java_date, strftime};
use crate::parse::json::key;

/// The format that nginx has without being told one.
pub const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// What `format` states.
pub(super) fn tokens(format: &str) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut rest = format;
    while let Some(start) = rest.find('$') {
        let (text, variable) = rest.split_at(start);
        tokens.push(Token::Literal(text.as_bytes().to_vec()));
        let behind = variable.get(1..).unwrap_or_default();
        let (name, behind) = match behind.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some(braced) => braced,
            None => {
                let is_letter = |char: char| char.is_ascii_alphanumeric() || char == '_';
                behind.split_at(behind.find(|char| !is_letter(char)).unwrap_or(behind.len()))
            }
        };
        if name.is_empty() {
            let at = format.len() - variable.len();
            let at = format.get(..at).unwrap_or_default().chars().count() + 1;
            return Err(TemplateError::Unknown { what: "`$` without a name".to_owned(), at });
        }
        tokens.push(token(name));
        rest = behind;
    }
    tokens.push(Token::Literal(rest.as_bytes().to_vec()));
    tokens.retain(|token| *token != Token::Literal(Vec::new()));
    Ok(tokens)
}

fn token(name: &str) -> Token {
    let keys = Some([key!("time").0, key!("timeIso").0]);
    let date = |items| {
        let pattern = DatePattern { items, zone: None };
        (Kind::Date(pattern.clone()), "datetime".to_owned(), Meaning::Date(pattern, keys))
    };
    let number = |field: &str| (Kind::Number, field.to_owned(), Meaning::Number);
    let word = |field: &str| (Kind::Word, field.to_owned(), Meaning::Text);
    let (kind, field, meaning) = match name {
        "remote_addr" => word("host"),
        "remote_user" => (Kind::Text, "authuser".to_owned(), Meaning::Text),
        "time_local" => date(strftime::items("%d/%b/%Y:%H:%M:%S %z").unwrap_or_default()),
        "time_iso8601" => date(java_date::items("yyyy-MM-dd'T'HH:mm:ssXXX").unwrap_or_default()),
        "msec" => (Kind::Decimal, "epochSeconds".to_owned(), Meaning::Epoch(1, Some(key!("time").0))),
        "request" => (Kind::Text, "request".to_owned(), access::request()),
        "status" => number("response"),
        "body_bytes_sent" => (Kind::Number, "bytes".to_owned(), Meaning::Bytes),
        "bytes_sent" => number("bytesOut"),
        "request_length" => number("bytesIn"),
        "request_time" => (Kind::Decimal, "durationSeconds".to_owned(), Meaning::Number),
        "request_method" => word("method"),
        "server_protocol" => word("protocol"),
        "uri" => (Kind::Text, "path".to_owned(), Meaning::Text),
        "server_port" => number("port"),
        "remote_port" => number("remotePort"),
        "server_name" => word("serverName"),
        "host" => word("requestedName"),
        "pid" => number("pid"),
        "connection_requests" => number("keepAlives"),
        name => match (name.strip_prefix("http_"), name.strip_prefix("sent_http_")) {
            (Some(header), _) => {
                (Kind::Text, access::header(&header.replace('_', "-").to_ascii_lowercase()), Meaning::Text)
            }
            (None, Some(header)) => {
                (Kind::Text, format!("response-{}", header.replace('_', "-")), Meaning::Text)
            }
            (None, None) => (Kind::Text, access::header(name), Meaning::Text),
        },
    };
    Token::Value(kind, Value::new(field, meaning))
}
