//! A client that sends what servers on the internet are sent: ordinary requests, odd ones, broken ones, and none at all.
//!
//! Requests are made of bytes by hand, since no proper client would send them. Each has a number in it where there is a
//! place for one, so that lines of the log differ.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Values of `User-Agent` and `Referer`, some as no browser has them.
const VALUES: [&[u8]; 14] = [
    b"Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    b"curl/8.10.1",
    b"https://shop.example/list?a=1&b=%20",
    b"",
    b"-",
    b"say \"hello\" \"",
    b"\"",
    b"back\\slash \\\" and \\",
    b"\\\\",
    "größer 日本語 \u{1f980}".as_bytes(),
    b"latin \xe9\xff\xc3",
    b"tab\tinside",
    b"control \x01\x02\x1b[31m\x7f\x0b\x0c\x08",
    b"<script>alert('x')</script> ${jndi:ldap://x} %00%0a [03/Feb/2021:04:05:06 +0100]",
];

/// Users, as they stand in an `Authorization` header before the colon.
const USERS: [&[u8]; 7] = [
    b"frank",
    b"a.b@c.example",
    b"two words",
    b"",
    "j\u{fc}rgen".as_bytes(),
    b"quo\"ted\\",
    b"control \x01\x02\x1b[31m\x7f\t\x0b\x08",
];

/// What no server can make sense of. Each ends the connection.
const BROKEN: [&[u8]; 9] = [
    b"GARBAGE\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xf1\x00\r\n\r\n",
    b"\x00\x01\x02\x03\r\n\r\n",
    b"GET /page\r\n",
    b"GET /pa ge HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /page HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /page HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET \"/page\" HTTP/1.1\r\nHost: \"\r\n\r\n",
    b"OPTIONS * RTSP/1.0\r\n\r\n",
];

/// Visits a server over one connection after the other until so many requests have been answered; `answered` counts
/// them while it goes on. A request on a connection that the server has just ended is made again on the next.
///
/// # Errors
/// If the server cannot be reached.
pub async fn visit(address: SocketAddr, requests: u64, seed: u64, answered: Arc<AtomicU64>) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut connection = connect(address).await?;
    for number in 0..requests {
        let request = Request::random(&mut random, number + seed * 10_000_000);
        // Twice in a row only if two restarts hit the same request.
        while !request.exchange(&mut connection).await.unwrap_or(false) {
            connection = connect(address).await?;
            if request.is_broken {
                break;
            }
        }
        if request.is_broken {
            connection = connect(address).await?;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Connects and sends `begun`, which is no whole request, and waits until the server has had enough.
///
/// # Errors
/// If the server cannot be reached.
pub async fn dawdle(address: SocketAddr, begun: &[u8]) -> Result<()> {
    let mut connection = connect(address).await?;
    connection.write_all(begun).await?;
    let mut answer = Vec::new();
    // A reset instead of an end is all the same.
    connection.read_to_end(&mut answer).await.unwrap_or_default();
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("failed to reach {address}"))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

struct Request {
    bytes: Vec<u8>,
    has_no_body_answered: bool,
    is_broken: bool,
}

impl Request {
    fn random(random: &mut fastrand::Rng, number: u64) -> Request {
        if random.u8(..100) < 2 {
            let bytes = random.choice(BROKEN).unwrap_or_default().to_vec();
            return Request { bytes, has_no_body_answered: false, is_broken: true };
        }
        let (method, body): (_, &[u8]) = match random.u8(..10) {
            0 => ("HEAD", b""),
            1 => ("POST", b"a=1&b=2"),
            _ => ("GET", b""),
        };
        let path = if random.u8(..10) == 0 { "/private/page" } else { "/page" };
        let mut bytes = format!("{method} {path}?seq={number} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
        for name in ["User-Agent", "Referer"] {
            if random.u8(..10) > 0 {
                let value = random.choice(VALUES).unwrap_or_default();
                bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
        }
        if path == "/private/page" {
            let user = [random.choice(USERS).unwrap_or_default(), b":secret"].concat();
            bytes.extend(b"Authorization: Basic ");
            bytes.extend(base64_simd::STANDARD.encode_to_string(user).into_bytes());
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
        bytes.extend(body);
        Request { bytes, has_no_body_answered: method == "HEAD", is_broken: false }
    }

    /// Sends it and reads the answer; false if the connection cannot be used for another one.
    async fn exchange(&self, connection: &mut BufReader<TcpStream>) -> Result<bool> {
        connection.write_all(&self.bytes).await?;
        if self.is_broken {
            // Half the answers to these have no head, so the end of the connection ends them.
            connection.get_mut().shutdown().await?;
            connection.read_to_end(&mut Vec::new()).await?;
            return Ok(false);
        }
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(false);
            }
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
        }
        if !self.has_no_body_answered {
            let mut body = vec![0; length];
            connection.read_exact(&mut body).await?;
        }
        Ok(true)
    }
}
