//! A Kinesis endpoint on loopback that takes everything at once and keeps the [`Books`].
//!
//! It speaks HTTP/1.1 over TLS with a certificate of its own, one plain thread a connection. Decoding and checking
//! happen outside the lock on the books, which is taken once a request. Knows PutRecords in JSON 1.1 and nothing else;
//! whatever else comes is a fault in the books.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::time::Instant;

use crate::books::{Books, Delivery};
use crate::http::{self, Request, Requests};
use crate::records::{self, Shape, Unpacker};

/// The operation that is understood, as the service names it in the header `x-amz-target`.
const OPERATION: &str = "Kinesis_20131202.PutRecords";
/// An operation that is answered as one that is not allowed, which a client must put up with.
const DENIED: &str = "Kinesis_20131202.DescribeStreamSummary";
/// What is read from a socket at once: rustls alone would ask for 4 KiB each time.
const SOCKET_BYTES: usize = 128 * 1024;

/// A running endpoint; it stops when this is dropped.
pub(crate) struct Endpoint {
    address: SocketAddr,
    certificate: String,
    desk: Arc<Desk>,
}

/// What the connections share.
struct Desk {
    shape: Shape,
    /// Of a hundred records, so many are refused for now.
    refusals: u8,
    books: Mutex<Books>,
    /// Told after each entry.
    entered: Condvar,
    closed: AtomicBool,
    /// Whether connections are ended as soon as they are made.
    away: AtomicBool,
}

impl Endpoint {
    /// Starts to listen; records of one `shape` are entered into `books`.
    pub(crate) fn start(shape: Shape, books: Books) -> anyhow::Result<Endpoint> {
        Endpoint::refusing(0, shape, books)
    }

    /// The same, but of a hundred records it refuses so many for now, by chance.
    pub(crate) fn refusing(refusals: u8, shape: Shape, books: Books) -> anyhow::Result<Endpoint> {
        let (certificate, tls) = identity()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to listen on loopback")?;
        let address = listener.local_addr().context("failed to learn the port")?;
        let (books, entered) = (Mutex::new(books), Condvar::new());
        let (closed, away) = (AtomicBool::new(false), AtomicBool::new(false));
        let desk = Desk { shape, refusals, books, entered, closed, away };
        let desk = Arc::new(desk);
        let endpoint = Endpoint { address, certificate, desk: Arc::clone(&desk) };
        thread::spawn(move || listen(&listener, &tls, &desk));
        Ok(endpoint)
    }

    /// Where clients reach it.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate that clients must trust, in PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// From now on, connections are ended as soon as they are made, or no longer are.
    pub(crate) fn set_away(&self, away: bool) {
        self.desk.away.store(away, Ordering::SeqCst);
    }

    /// The books as they stand.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.desk.books()
    }

    /// Waits until `records` records were taken, at most for `limit`; says how many were.
    pub(crate) fn wait_for(&self, records: u64, limit: Duration) -> u64 {
        let too_few = |books: &mut Books| books.accepted() < records;
        let waited = self.desk.entered.wait_timeout_while(self.books(), limit, too_few);
        let (books, _) = waited.unwrap_or_else(PoisonError::into_inner);
        books.accepted()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.desk.closed.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is closed. If it cannot be reached it is gone already.
        drop(TcpStream::connect(self.address));
    }
}

impl Desk {
    fn books(&self) -> MutexGuard<'_, Books> {
        // A thread that panicked inside an entry has lost at most that entry, and the balance will tell.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, delivery: &Delivery) {
        self.books().enter(delivery);
        self.entered.notify_all();
    }

    fn enter_fault(&self, what: String) {
        self.books().enter_fault(what);
        self.entered.notify_all();
    }
}

/// Takes connections until the endpoint is closed.
fn listen(listener: &TcpListener, tls: &Arc<ServerConfig>, desk: &Arc<Desk>) {
    for socket in listener.incoming() {
        if desk.closed.load(Ordering::SeqCst) {
            return;
        }
        if desk.away.load(Ordering::SeqCst) {
            continue;
        }
        let (tls, desk) = (Arc::clone(tls), Arc::clone(desk));
        thread::spawn(move || {
            if let Err(error) = socket.context("failed to accept").and_then(|socket| talk(socket, tls, &desk))
            {
                desk.enter_fault(format!("{error:#}"));
            }
        });
    }
}

/// Answers all requests of one connection.
fn talk(socket: TcpStream, tls: Arc<ServerConfig>, desk: &Desk) -> anyhow::Result<()> {
    socket.set_nodelay(true).context("failed to set up a connection")?;
    let outgoing = socket.try_clone().context("failed to set up a connection")?;
    let socket = Socket { incoming: BufReader::with_capacity(SOCKET_BYTES, socket), outgoing };
    let mut connection = StreamOwned::new(ServerConnection::new(tls)?, socket);
    let mut requests = Requests::new();
    let mut unpacker = Unpacker::new(desk.shape);
    let (mut body, mut taken) = (String::new(), Vec::new());
    while let Some(request) = requests.next(&mut connection)? {
        let at = Instant::now();
        body.clear();
        if request.header("x-amz-target") == Some(DENIED) {
            http::answer(&mut connection, "400 Bad Request", r#"{"__type":"AccessDeniedException"}"#)?;
            continue;
        }
        match deliver(request, at, &mut unpacker, desk.refusals, &mut taken) {
            Ok(delivery) => {
                records::append_answer(&mut body, &taken);
                desk.enter(&delivery);
                http::answer(&mut connection, "200 OK", &body)
            }
            Err(error) => {
                desk.enter_fault(format!("{error:#}"));
                http::answer(&mut connection, "400 Bad Request", r#"{"__type":"ValidationException"}"#)
            }
        }
        .context("failed to answer")?;
    }
    Ok(())
}

/// What a request brings, if it is one that the service would take; `taken` says which of its records are.
fn deliver(
    request: Request<'_>,
    at: Instant,
    unpacker: &mut Unpacker,
    refusals: u8,
    taken: &mut Vec<bool>,
) -> anyhow::Result<Delivery> {
    let operation = request.header("x-amz-target");
    anyhow::ensure!(
        operation == Some(OPERATION) && request.first_line() == "POST / HTTP/1.1",
        "`{}` for operation {operation:?} is not understood",
        request.first_line()
    );
    let signed = request.header("authorization").is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 "));
    anyhow::ensure!(signed, "a request is not signed");
    let data = records::put_records(request.body).context("failed to read a request's records")?;
    anyhow::ensure!((1..=500).contains(&data.len()), "a request has {} records", data.len());
    let (mut records, mut payload) = (Vec::with_capacity(data.len()), 0);
    taken.clear();
    for base64 in data {
        let is_taken = fastrand::u8(..100) >= refusals;
        if is_taken {
            payload += unpacker.unpack(base64, &mut records);
        }
        taken.push(is_taken);
    }
    let entries = taken.iter().filter(|taken| **taken).count();
    Ok(Delivery { bytes: request.bytes(), at, offered: taken.len(), entries, payload, records })
}

/// A fresh certificate for `localhost` in PEM, and the server that shows it.
fn identity() -> anyhow::Result<(String, Arc<ServerConfig>)> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)?;
    Ok((own.cert.pem(), Arc::new(tls)))
}

/// A socket that is read in large pieces and written as it comes.
struct Socket {
    incoming: BufReader<TcpStream>,
    outgoing: TcpStream,
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(room)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.outgoing.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outgoing.flush()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::books::Balance;
    use crate::records::tests::{RAW, log, request};

    /// A client of its own, which knows nothing of the code under test but the endpoint's address and certificate.
    fn connect(endpoint: &Endpoint) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(endpoint.certificate().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(endpoint.address).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(tls), name).unwrap(), socket)
    }

    /// The status line that a request with `target` and `body` is answered with.
    fn ask(connection: &mut (impl Read + Write), target: &str, body: &[u8]) -> String {
        write!(
            connection,
            "POST / HTTP/1.1\r\nX-Amz-Target: {target}\r\nAuthorization: AWS4-HMAC-SHA256 x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        connection.write_all(body).unwrap();
        connection.flush().unwrap();
        let mut answer = BufReader::with_capacity(1, connection);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            answer.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let len = head.split_once("Content-Length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
        answer.read_exact(&mut vec![0; len]).unwrap();
        head.lines().next().unwrap().to_owned()
    }

    /// The balance after a log of three lines was awaited and `bodies` were sent on one connection, all answered with
    /// `status`.
    #[track_caller]
    fn check(target: &str, bodies: &[Vec<u8>], status: &str, expected: impl Fn(&Balance) -> bool) {
        let endpoint = Endpoint::start(RAW, Books::awaiting(3)).unwrap();
        let mut connection = connect(&endpoint);
        for body in bodies {
            assert_eq!(ask(&mut connection, target, body), status);
        }
        let balance = endpoint.books().balance();
        assert!(expected(&balance), "{balance}");
    }

    #[test]
    fn what_is_put_is_entered_and_the_connection_kept() {
        let lines = log(3);
        let bodies = [request(&lines[..1]), request(&lines[1..])];
        check(OPERATION, &bodies, "HTTP/1.1 200 OK", Balance::is_even);
    }

    #[test]
    fn a_line_that_was_left_out_is_missing() {
        check(OPERATION, &[request(&log(3)[1..])], "HTTP/1.1 200 OK", |balance| balance.missing == 1);
    }

    #[test]
    fn a_record_that_is_not_base64_is_foreign() {
        let body = String::from_utf8(request(&log(3))).unwrap().replacen(r#""Data":""#, r#""Data":"!"#, 1);
        check(OPERATION, &[body.into_bytes()], "HTTP/1.1 200 OK", |balance| {
            (balance.missing, balance.foreign) == (1, 1)
        });
    }

    #[test]
    fn records_are_refused_by_chance_and_a_description_is_no_fault() {
        let endpoint = Endpoint::refusing(50, RAW, Books::awaiting(3)).unwrap();
        let mut connection = connect(&endpoint);
        assert_eq!(ask(&mut connection, DENIED, b"{}"), "HTTP/1.1 400 Bad Request");
        while endpoint.books().accepted() < 3 {
            assert_eq!(ask(&mut connection, OPERATION, &request(&log(3)[..1])), "HTTP/1.1 200 OK");
        }
        let books = endpoint.books();
        assert_eq!((books.entries(), books.balance().repeated, books.balance().faults.len()), (3, 2, 0));
        assert!(books.offered() >= 3 && books.payload() == 3 * log(1)[0].len() as u64);
    }

    #[test]
    fn another_operation_and_a_torn_body_are_faults() {
        let refused = "HTTP/1.1 400 Bad Request";
        check("Kinesis_20131202.PutRecord", &[request(&log(3))], refused, |balance| {
            balance.faults.len() == 1
        });
        check(OPERATION, &[b"{".to_vec()], refused, |balance| balance.faults.len() == 1);
        check(OPERATION, &[request(&[])], refused, |balance| balance.faults.len() == 1);
    }

    #[test]
    fn waiting_ends_when_enough_has_come_or_the_time_is_over() {
        let endpoint = Endpoint::start(RAW, Books::awaiting(3)).unwrap();
        assert_eq!(endpoint.wait_for(1, Duration::from_millis(1)), 0);
        ask(&mut connect(&endpoint), OPERATION, &request(&log(3)));
        assert_eq!(endpoint.wait_for(3, Duration::from_secs(60)), 3);
    }
}
