//! Reads HTTP/1.1 requests off a connection, one after the other, and writes the answers.
//!
//! As much of RFC 9112 as a client of Kinesis uses: a head, then as many bytes of body as it announces; the connection
//! stays open for the next one. Does not know what a request asks for, nor TLS.

use std::io::{self, Read, Write};

/// A head is at most this long.
const HEAD_BYTES: usize = 16 * 1024;
/// A body is at most this long: the service's 10 MiB in base64 with the framing of each record, and some room.
const BODY_BYTES: usize = 16 * 1024 * 1024;
/// What is asked of the connection at once: two hundred records.
const READ_BYTES: usize = 128 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";
/// How a connection looks whose client is gone.
const GONE: [io::ErrorKind; 2] = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];

/// Why a connection cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The connection broke.
    #[error("failed to read a request")]
    Read(#[source] io::Error),
    /// It ended inside a request.
    #[error("the connection ended inside a request")]
    Torn,
    /// The head is not one of HTTP/1.1, or asks for what is not understood here.
    #[error("the head of a request is not understood: {0}")]
    Head(&'static str),
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    head: &'a str,
    /// The body as it came.
    pub(crate) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }

    /// The request line.
    pub(crate) fn first_line(&self) -> &'a str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Head and body, as they were on the connection.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + HEAD_END.len() + self.body.len()
    }
}

/// The requests of one connection.
pub(crate) struct Requests {
    buffer: Vec<u8>,
    /// How much of the buffer came from the connection.
    filled: usize,
    /// How much of that belongs to the request that was given out last.
    given: usize,
}

impl Requests {
    /// Nothing has been read yet.
    pub(crate) fn new() -> Requests {
        Requests { buffer: Vec::new(), filled: 0, given: 0 }
    }

    /// The next request, `None` at the end of the connection.
    pub(crate) fn next(&mut self, connection: &mut impl Read) -> Result<Option<Request<'_>>, HttpError> {
        self.forget_given();
        let mut searched = 0;
        let head_len = loop {
            let unsearched = self.filled_from(searched);
            if let Some(at) = memchr::memmem::find(unsearched, HEAD_END) {
                break searched + at;
            }
            if self.filled > HEAD_BYTES {
                return Err(HttpError::Head("it is too long"));
            }
            searched = self.filled.saturating_sub(HEAD_END.len() - 1);
            if self.read_some(connection)? == 0 {
                return if self.filled == 0 { Ok(None) } else { Err(HttpError::Torn) };
            }
        };

        let body_start = head_len + HEAD_END.len();
        let body_end = body_start + body_len(self.head(head_len)?)?;
        while self.filled < body_end {
            if self.read_some(connection)? == 0 {
                return Err(HttpError::Torn);
            }
        }
        self.given = body_end;
        let body = self.buffer.get(body_start..body_end).unwrap_or_default();
        Ok(Some(Request { head: self.head(head_len)?, body }))
    }

    fn head(&self, len: usize) -> Result<&str, HttpError> {
        let head = self.buffer.get(..len).unwrap_or_default();
        str::from_utf8(head).map_err(|_| HttpError::Head("it is not text"))
    }

    fn filled_from(&self, start: usize) -> &[u8] {
        self.buffer.get(start..self.filled).unwrap_or_default()
    }

    /// Moves what follows the last request to the front.
    fn forget_given(&mut self) {
        self.buffer.copy_within(self.given..self.filled, 0);
        self.filled -= self.given;
        self.given = 0;
    }

    fn read_some(&mut self, connection: &mut impl Read) -> Result<usize, HttpError> {
        if self.buffer.len() < self.filled + READ_BYTES {
            self.buffer.resize(self.filled + READ_BYTES, 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = match connection.read(room) {
            Ok(read) => read,
            // A client that ends without saying goodbye has ended all the same.
            Err(error) if GONE.contains(&error.kind()) => 0,
            Err(error) => return Err(HttpError::Read(error)),
        };
        self.filled += read;
        Ok(read)
    }
}

/// Writes an answer in JSON, with the headers that the service sends.
pub(crate) fn answer(connection: &mut impl Write, status: &str, body: &str) -> io::Result<()> {
    let len = body.len();
    // Written in one piece: over TLS each write is a record and a system call of its own.
    let whole = format!(
        "HTTP/1.1 {status}\r\n\
         x-amzn-RequestId: c8ffe2b9-7a3a-4b7e-9a38-9f7c2f3a9d11\r\n\
         x-amz-id-2: 4sN3TgLqT8cBz0pQ4x1pGv0kJf7uR3o2mE5yWd6aXh9bZc8iVn7tSr6qPo5lKj4\r\n\
         Content-Type: application/x-amz-json-1.1\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    );
    connection.write_all(whole.as_bytes())?;
    connection.flush()
}

/// How many bytes follow a head.
fn body_len(head: &str) -> Result<usize, HttpError> {
    if header(head, "transfer-encoding").is_some() || header(head, "content-encoding").is_some() {
        return Err(HttpError::Head("it announces an encoding"));
    }
    let len = header(head, "content-length").map_or(Ok(0), str::parse);
    let len = len.map_err(|_| HttpError::Head("its content length is no number"))?;
    if len <= BODY_BYTES { Ok(len) } else { Err(HttpError::Head("its body is too long")) }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// A connection on which the bytes arrive in packets.
    struct Packets(VecDeque<Vec<u8>>);

    impl Packets {
        /// `bytes`, cut into packets of `sizes` bytes in turn.
        fn cut(mut bytes: &[u8], sizes: &[usize]) -> Packets {
            let mut packets = VecDeque::new();
            for size in sizes.iter().cycle() {
                if bytes.is_empty() {
                    break;
                }
                let (packet, rest) = bytes.split_at((*size).clamp(1, bytes.len()));
                packets.push_back(packet.to_vec());
                bytes = rest;
            }
            Packets(packets)
        }
    }

    impl Read for Packets {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some(packet) = self.0.pop_front() else { return Ok(0) };
            let (now, later) = packet.split_at(packet.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            if !later.is_empty() {
                self.0.push_front(later.to_vec());
            }
            Ok(now.len())
        }
    }

    /// The bodies of all requests on a connection, and how it ended.
    fn bodies(bytes: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Result<(), String>) {
        let mut connection = Packets::cut(bytes, sizes);
        let mut requests = Requests::new();
        let mut bodies = Vec::new();
        loop {
            match requests.next(&mut connection) {
                Ok(Some(request)) => bodies.push(request.body.to_vec()),
                Ok(None) => return (bodies, Ok(())),
                Err(error) => return (bodies, Err(error.to_string())),
            }
        }
    }

    fn post(body: &[u8]) -> Vec<u8> {
        let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &[&[u8]], end: Result<(), &str>) {
        let expected: Vec<_> = expected.iter().map(|body| body.to_vec()).collect();
        assert_eq!(bodies(bytes, &[usize::MAX]), (expected, end.map_err(String::from)));
    }

    #[test]
    fn a_connection_is_kept_for_the_next_request() {
        check(&[post(b"one"), post(b""), post(b"three")].concat(), &[b"one", b"", b"three"], Ok(()));
        check(b"", &[], Ok(()));
    }

    #[test]
    fn a_connection_that_ends_inside_a_request_is_noticed() {
        let torn = Err("the connection ended inside a request");
        check(b"POST / HT", &[], torn);
        check(post(b"one").strip_suffix(b"e").unwrap(), &[], torn);
        check(&[post(b"one"), b"P".to_vec()].concat(), &[b"one"], torn);
    }

    #[test]
    fn a_head_that_is_not_understood_is_refused() {
        let refused = |bytes: &[u8], why: &str| {
            check(bytes, &[], Err(&format!("the head of a request is not understood: {why}")));
        };
        refused(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "it announces an encoding");
        refused(b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", "its content length is no number");
        refused(b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "its body is too long");
        refused(b"\xff\r\n\r\n", "it is not text");
        refused(&[b'x'; HEAD_BYTES + 1], "it is too long");
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let bytes = b"POST /path HTTP/1.1\r\nX-Amz-Target:  Kinesis.PutRecords \r\n\r\n";
        let (mut connection, mut requests) = (Packets::cut(bytes, &[5]), Requests::new());
        let request = requests.next(&mut connection).unwrap().unwrap();
        assert_eq!(request.first_line(), "POST /path HTTP/1.1");
        assert_eq!(request.header("x-amz-target"), Some("Kinesis.PutRecords"));
        assert_eq!(request.header("host"), None);
        assert_eq!(request.bytes(), bytes.len());
    }

    proptest! {
        /// How the bytes happened to arrive does not show in what was asked.
        #[test]
        fn packets_do_not_matter(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            sizes in prop::collection::vec(1usize..200, 1..9),
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|body| post(body)).collect();
            prop_assert_eq!(bodies(&bytes, &sizes), (sent, Ok(())));
        }
    }
}
