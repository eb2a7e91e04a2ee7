//! A proxy such as companies have: hosts beyond it are reached by asking it, by `CONNECT` or with a whole URL.
//!
//! Beyond it is no internet, but what a test puts there under a host's name; for `https`, it is the host too, and has a
//! certificate for each name. <https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6>,
//! <https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2>.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use base64_simd::STANDARD as BASE64;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::background::Background;
use crate::faults::http::Message;

/// A running proxy. Gone when dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    certificate: String,
    shared: Arc<Shared>,
    _server: Background,
}

struct Shared {
    /// Who is there, by host.
    hosts: BTreeMap<String, SocketAddr>,
    /// The header that it wants to see.
    authorization: Option<String>,
    tls: TlsAcceptor,
    is_away: watch::Sender<bool>,
    asked: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Forward {
    /// Starts one before these hosts, on a free port; asks everyone for the `login`, `user:password`, if there is one.
    ///
    /// # Errors
    /// If there is no port, thread or certificate to be had.
    pub fn start(hosts: &[(&str, SocketAddr)], login: Option<&str>) -> Result<Forward> {
        let names: Vec<String> = hosts.iter().map(|(name, _)| (*name).to_owned()).collect();
        let own = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind the proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            hosts: hosts.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect(),
            authorization: login.map(|login| format!("Basic {}", BASE64.encode_to_string(login))),
            tls: TlsAcceptor::from(Arc::new(tls)),
            is_away: watch::Sender::new(false),
            asked: Mutex::default(),
        });
        let server = Background::start("forward", serve(listener, Arc::clone(&shared)))?;
        Ok(Forward { address, certificate: own.cert.pem(), shared, _server: server })
    }

    /// Its host and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The certificate of all hosts, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What it was asked for so far, refused or not: `CONNECT host:port` or `POST http://host/`, each as often as it was.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, nobody can reach it, and who had is cut off; or it is back.
    pub fn set_away(&self, is_away: bool) {
        self.shared.is_away.send_replace(is_away);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut is_away = shared.is_away.subscribe();
            tokio::select! {
                biased;
                // Whoever changes it lives as long as all who wait.
                _ = is_away.wait_for(|is_away| *is_away) => {}
                served = connection(client, &shared) => served.unwrap_or_else(|error| trouble(&error)),
            }
        });
    }
}

/// Tells the reader of a failed test what the proxy could not do.
#[expect(clippy::print_stderr, reason = "a server of the harness has nowhere else to say it")]
fn trouble(error: &anyhow::Error) {
    eprintln!("forward: {error:#}");
}

async fn connection(client: TcpStream, shared: &Shared) -> Result<()> {
    let mut client = BufReader::new(client);
    let mut upstream = None;
    // Who goes in the middle of a request has gone.
    while let Ok(Some(mut request)) = Message::read(&mut client).await {
        let (method, target) = request.target().context("a request without a target")?;
        let (method, target) = (method.to_owned(), target.to_owned());
        shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
        if shared
            .authorization
            .as_deref()
            .is_some_and(|wanted| request.header("proxy-authorization") != Some(wanted))
        {
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"p\"\r\ncontent-length: 0\r\n\r\n";
            client.write_all(refusal).await?;
            continue;
        }
        let rest = target.strip_prefix("http://").unwrap_or(&target);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        let Some(address) = shared.hosts.get(host) else {
            client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        };
        if method == "CONNECT" {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            ensure!(client.buffer().is_empty(), "a client spoke before it was told that it may");
            return tunnel(client.into_inner(), *address, shared).await;
        }
        request.aim(&format!("/{path}"));
        let stream = match &mut upstream {
            Some(stream) => stream,
            none => none.insert(BufReader::new(TcpStream::connect(address).await?)),
        };
        request.write(stream).await?;
        // One that is cut off beyond the proxy is cut off here.
        let Ok(Some(answer)) = Message::read(stream).await else { return Ok(()) };
        answer.write(&mut client).await?;
    }
    Ok(())
}

/// Speaks TLS with the client as the host, and in the clear with who is there.
async fn tunnel(client: TcpStream, address: SocketAddr, shared: &Shared) -> Result<()> {
    let mut client = shared.tls.accept(client).await.context("speaking TLS with the client")?;
    let mut upstream = TcpStream::connect(address).await?;
    // How either side ends is theirs.
    drop(copy_bidirectional(&mut client, &mut upstream).await);
    Ok(())
}
