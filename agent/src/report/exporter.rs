//! Answers over HTTP, to who is on this host: Prometheus, and who wants to know whether all is well.
//!
//! It does not know what the answers say. Few are heard at once, each for a short time, and nothing of the agent waits for them.

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{sleep, timeout};

/// What stands before the path of a socket.
const SOCKET: &str = "unix:";

/// Clients heard at once; others wait.
const CLIENTS: usize = 4;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait where the system has no descriptor left.
const PAUSE: Duration = Duration::from_secs(1);

/// The form of Prometheus' text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where it listens: on this host, for nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port of the loopback.
    Loopback(SocketAddr),
    /// A socket of the file system.
    Socket(PathBuf),
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has another form.
    #[error(
        "must be an address of this host with a port, as `127.0.0.1:9464`, or a socket, as `unix:/run/kinetail/metrics.sock`, not `\"{0}\"`"
    )]
    Form(String),
    /// Others could reach it.
    #[error(
        "must be `127.0.0.1` or `[::1]`, which others do not reach, not `{0}`; for more than this host put a proxy before it that asks who calls"
    )]
    Open(IpAddr),
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// All metrics: `/metrics`.
    Metrics,
    /// Whether lines are delivered: `/health`.
    Health,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This.
    Well(String),
    /// Something is wrong, which a load balancer or a probe reads in the status.
    Unwell(String),
}

/// What listens. Its socket is removed when it is dropped.
#[derive(Debug)]
pub struct Exporter {
    listener: Listener,
    socket: Option<PathBuf>,
}

#[derive(Debug)]
enum Listener {
    Loopback(TcpListener),
    Socket(UnixListener),
}

/// What a client is talked to through.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// If it is none, or of others than this host.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix(SOCKET).filter(|path| path.starts_with('/')) {
            return Ok(Address::Socket(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| AddressError::Form(text.to_owned()))?;
        match address.ip() {
            ip if ip.is_loopback() => Ok(Address::Loopback(address)),
            ip => Err(AddressError::Open(ip)),
        }
    }
}

impl Exporter {
    /// Listens on `address`. A socket that was left behind there is replaced; its group may connect, too.
    ///
    /// # Errors
    /// If the system does not let it, or the place of the socket is taken by something else.
    pub async fn bind(address: &Address) -> io::Result<Exporter> {
        let path = match address {
            Address::Loopback(address) => {
                let listener = Listener::Loopback(TcpListener::bind(address).await?);
                return Ok(Exporter { listener, socket: None });
            }
            Address::Socket(path) => path,
        };
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = Listener::Socket(UnixListener::bind(path)?);
        fs::set_permissions(path, Permissions::from_mode(0o660))?;
        Ok(Exporter { listener, socket: Some(path.clone()) })
    }

    /// Hears clients and has `answer` answer them, for as long as it is polled.
    pub async fn serve(&self, answer: impl Fn(Page) -> Answer) {
        let mut clients = FuturesUnordered::new();
        loop {
            // Waiting for a client loses none when another is done, and the other way round.
            tokio::select! {
                accepted = self.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok(stream) => clients.push(hear(stream, &answer)),
                    Err(_) => sleep(PAUSE).await,
                },
                Some(()) = clients.next(), if !clients.is_empty() => {}
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.listener {
            Listener::Loopback(listener) => Box::new(listener.accept().await?.0),
            Listener::Socket(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(path) = &self.socket {
            // If it cannot be removed, the next agent replaces it.
            fs::remove_file(path).ok();
        }
    }
}

/// Hears one client. What goes wrong with it is its own trouble.
async fn hear(stream: Box<dyn Stream>, answer: &impl Fn(Page) -> Answer) {
    let service =
        service_fn(|request: Request<Incoming>| ready(Ok::<_, Infallible>(respond(&request, answer))));
    // One request each: who keeps a connection would keep others out.
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    timeout(PATIENCE, connection).await.ok();
}

fn respond<B>(request: &Request<B>, answer: &impl Fn(Page) -> Answer) -> Response<Full<Bytes>> {
    let page = match request.uri().path() {
        "/metrics" => Page::Metrics,
        "/health" => Page::Health,
        _ => return response(StatusCode::NOT_FOUND, "there are /metrics and /health\n".to_owned()),
    };
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, "it can only be read\n".to_owned());
        refused.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a valid header"));
        return refused;
    }
    match answer(page) {
        Answer::Well(text) => response(StatusCode::OK, text),
        Answer::Unwell(text) => response(StatusCode::SERVICE_UNAVAILABLE, text),
    }
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT.parse().expect("a valid header"));
    response
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Address, AddressError>) {
        assert_eq!(Address::parse(text), expected);
    }

    #[test]
    fn only_this_host_is_listened_to() {
        let loopback = |text: &str| Ok(Address::Loopback(text.parse().unwrap()));
        check("127.0.0.1:9464", loopback("127.0.0.1:9464"));
        check("[::1]:9464", loopback("[::1]:9464"));
        check("unix:/run/kinetail/metrics.sock", Ok(Address::Socket("/run/kinetail/metrics.sock".into())));
        for open in ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:80"] {
            check(open, Err(AddressError::Open(open.parse::<SocketAddr>().unwrap().ip())));
        }
        for other in ["", "9464", "localhost:9464", "127.0.0.1", "unix:", "unix:metrics.sock", "/run/m.sock"]
        {
            check(other, Err(AddressError::Form(other.to_owned())));
        }
    }

    /// What a client hears that sends `request`.
    async fn ask(mut stream: impl Stream, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        heard
    }

    fn answer(page: Page) -> Answer {
        match page {
            Page::Metrics => Answer::Well("kinetail_lines_read_total 7\n".to_owned()),
            Page::Health => Answer::Unwell("flow access: it hangs\n".to_owned()),
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_is_answered_and_nothing_else() {
        let exporter = Exporter::bind(&Address::parse("127.0.0.1:0").unwrap()).await.unwrap();
        let Listener::Loopback(listener) = &exporter.listener else { unreachable!("it is no socket") };
        let address = listener.local_addr().unwrap();
        let asking = async {
            for (first, status, last) in [
                ("GET /metrics", "200 OK", "kinetail_lines_read_total 7\n"),
                ("GET /health", "503 Service Unavailable", "flow access: it hangs\n"),
                ("HEAD /health", "503 Service Unavailable", ""),
                ("GET /", "404 Not Found", "there are /metrics and /health\n"),
                ("POST /metrics", "405 Method Not Allowed", "it can only be read\n"),
            ] {
                let stream = TcpStream::connect(address).await.unwrap();
                let heard = ask(stream, &format!("{first} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
                assert!(heard.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{first}: {heard}");
                assert_eq!(heard.split_once("\r\n\r\n").unwrap().1, last, "{first}");
            }
        };
        tokio::select! {
            () = asking => {}
            () = exporter.serve(answer) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_say_nothing_keep_nobody_out_for_long() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("metrics.sock");
        let exporter = Exporter::bind(&Address::Socket(path.clone())).await.unwrap();
        let asking = async {
            let mut silent = Vec::new();
            for _ in 0..CLIENTS {
                silent.push(UnixStream::connect(&path).await.unwrap());
            }
            let stream = UnixStream::connect(&path).await.unwrap();
            ask(stream, "GET /metrics HTTP/1.0\r\n\r\n").await
        };
        tokio::select! {
            heard = asking => assert!(heard.ends_with("kinetail_lines_read_total 7\n"), "{heard}"),
            () = exporter.serve(answer) => {}
        }
    }

    #[tokio::test]
    async fn only_a_socket_is_replaced_and_it_goes_with_who_listens() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("metrics.sock");
        let address = Address::Socket(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let exporter = Exporter::bind(&address).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        drop(exporter);
        assert!(!path.exists());
        fs::write(&path, "somebody's").unwrap();
        assert_eq!(Exporter::bind(&address).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    }
}
