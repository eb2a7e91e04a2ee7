//! One HTTP/1.1 message at a time: the head as it stands, and a body of stated length.
//!
//! Knows no chunked bodies: neither AWS clients with a body in memory nor the emulator send them. One that comes all
//! the same is an error here, and shows in the books.

use std::io;

use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Raw;

/// Longest head that is read.
const MAX_HEAD: usize = 64 * 1024;

/// A request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The first line without its end.
    start: String,
    /// Name and value, in order, without `content-length`, which is that of the body.
    headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// An answer with a JSON body.
    pub(crate) fn answer(status: &str, body: Vec<u8>) -> Message {
        let headers = vec![("content-type".to_owned(), "application/x-amz-json-1.1".to_owned())];
        Message { start: format!("HTTP/1.1 {status}"), headers, body }
    }

    /// Reads the next message; none if the other side has ended the connection between two.
    pub(crate) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Message>> {
        let Some(start) = head_line(from).await? else { return Ok(None) };
        let mut message = Message { start, headers: Vec::new(), body: Vec::new() };
        let mut length = 0;
        let mut head = message.start.len();
        loop {
            let line = head_line(from).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                break;
            }
            head += line.len();
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header without a colon"))?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            match name.as_str() {
                "content-length" => {
                    length = value.parse().map_err(|_| invalid("a length that is no number"))?
                }
                "transfer-encoding" => return Err(invalid("a chunked body")),
                _ => message.headers.push((name, value)),
            }
            if head > MAX_HEAD {
                return Err(invalid("a head without end"));
            }
        }
        message.body.resize(length, 0);
        from.read_exact(&mut message.body).await?;
        Ok(Some(message))
    }

    /// An answer that says that the service failed, and why.
    pub(crate) fn failure(status: &str, code: &str, message: &str) -> Message {
        let body = json!({ "__type": code, "message": message });
        Message::answer(status, body.to_string().into_bytes())
    }

    /// An answer that is a page for people.
    pub(crate) fn page(status: &str) -> Message {
        let body = format!("<html><body><h1>{status}</h1></body></html>\n").into_bytes();
        let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
        Message { start: format!("HTTP/1.1 {status}"), headers, body }
    }

    /// Writes it whole.
    pub(crate) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.bytes()).await?;
        to.flush().await
    }

    /// As it is on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }

    /// A request as it came.
    pub(super) fn raw(&self) -> Option<Raw> {
        let (method, path) = self.target()?;
        let mut headers = self.headers.clone();
        headers.push(("content-length".to_owned(), self.body.len().to_string()));
        Some(Raw { method: method.to_owned(), path: path.to_owned(), headers, body: self.body.clone() })
    }

    /// Gives it this header, and no other of the name.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.headers.retain(|header| header.0 != name);
        self.headers.push((name.to_owned(), value));
    }

    /// The method of a request and what it is for.
    pub(crate) fn target(&self) -> Option<(&str, &str)> {
        let (method, rest) = self.start.split_once(' ')?;
        Some((method, rest.split_once(' ')?.0))
    }

    /// Makes it a request of the same method for something else, which no proxy needs to see.
    pub(crate) fn aim(&mut self, target: &str) {
        let method = self.start.split(' ').next().unwrap_or_default();
        self.start = format!("{method} {target} HTTP/1.1");
        self.headers.retain(|(name, _)| name != "proxy-authorization");
    }

    /// Whether an answer says that all went well.
    pub(crate) fn is_ok(&self) -> bool {
        self.start.split(' ').nth(1) == Some("200")
    }
}

/// A line of the head without its end; none at the end of the connection.
async fn head_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    // Bounded per line; `Message::read` bounds their sum.
    let read = from.take(MAX_HEAD as u64).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|_| invalid("a head that is not text"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn round(text: &str) -> Option<String> {
        let message = Message::read(&mut text.as_bytes()).await.ok()??;
        let mut out = Vec::new();
        message.write(&mut out).await.unwrap();
        Some(String::from_utf8(out).unwrap())
    }

    #[track_caller]
    fn check(text: &str, out: Option<&str>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(round(text)).as_deref(), out);
    }

    #[test]
    fn a_message_is_passed_on_with_the_length_of_its_body() {
        check(
            "POST / HTTP/1.1\r\nX-A: b: c\r\nContent-Length: 2\r\n\r\nhi",
            Some("POST / HTTP/1.1\r\nx-a: b: c\r\ncontent-length: 2\r\n\r\nhi"),
        );
        check("HTTP/1.1 200 OK\r\n\r\n", Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    }

    #[test]
    fn half_a_message_is_none() {
        check("", None);
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nhi", None);
        check("POST / HTTP/1.1\r\nContent-Le", None);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", None);
    }
}
