//! Serves the connections of the proxy: reads a request, does to it what the mode says, writes it down.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::{Arc, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::http::Message;
use super::ledger::{self, Operation, Request};
use super::{ENDS, Mode, Shared, TRICKLE, clock};
use crate::cloud::moment::Moment;

/// Accepts connections for ever.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        shared.connections.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            if let Err(error) = connection(client, &shared).await {
                trouble(&error);
            }
            shared.connections.send_modify(|count| *count -= 1);
        });
    }
}

/// Tells the reader of a failed test what the proxy or the endpoint could not do.
#[expect(clippy::print_stderr, reason = "a server of the harness has nowhere else to say it")]
fn trouble(error: &anyhow::Error) {
    eprintln!("proxy: {error:#}");
}

/// Whether the connection goes on.
enum Next {
    Request,
    Reset,
    End,
}

async fn connection(client: TcpStream, shared: &Shared) -> Result<()> {
    let mut client = BufReader::new(client);
    let mut upstream = None;
    let mut mode = shared.mode.subscribe();
    loop {
        let request = tokio::select! {
            // Nothing is read from one who comes while the endpoint is away. Half a request is lost with the connection.
            biased;
            _ = mode.wait_for(|mode| *mode == Mode::Away) => return reset(&client),
            request = Message::read(&mut client) => request,
        };
        let request = match request {
            Ok(Some(request)) => request,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(error).context("reading a request");
            }
            // The client has gone, perhaps in the middle.
            Ok(None) | Err(_) => return Ok(()),
        };
        match exchange(request, &mut client, &mut upstream, &mut mode, shared).await? {
            Next::Request => {}
            Next::Reset => return reset(&client),
            Next::End => return Ok(()),
        }
    }
}

/// Ends a connection the hard way: the client's next read or write fails.
fn reset(client: &BufReader<TcpStream>) -> Result<()> {
    client.get_ref().set_zero_linger().context("resetting a connection")
}

/// Does to one request what the mode says.
async fn exchange(
    request: Message,
    client: &mut BufReader<TcpStream>,
    upstream: &mut Option<BufReader<TcpStream>>,
    mode: &mut watch::Receiver<Mode>,
    shared: &Shared,
) -> Result<Next> {
    shared.keep(&request);
    let operation = request.header("x-amz-target").and_then(Operation::of);
    let body: Option<Value> = operation.map(|_| serde_json::from_slice(&request.body)).transpose()?;
    let noted = Request::of(body.as_ref())?;
    let key = key(&request).unwrap_or_default();
    shared.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
    let has_ended = key
        .strip_prefix(ENDS)
        .and_then(|end| end.parse().ok())
        .is_some_and(|end| Moment::now().to_millis() >= end);
    let place = {
        let mut ledger = shared.ledger();
        ledger.push(noted);
        ledger.len() - 1
    };

    if released(mode, client, |mode| mode != Mode::Hold).await.is_none() {
        return Ok(Next::End);
    }
    let now = *mode.borrow_and_update();
    if matches!(now, Mode::Away | Mode::ResetBefore) {
        shared.note(place, Request::harm);
        return Ok(Next::Reset);
    }
    if now == Mode::Silence {
        shared.note(place, Request::harm);
        swallow(client).await;
        return Ok(Next::End);
    }
    if let Some(failure) = failure(now, &request, has_ended, place, shared)? {
        shared.note(place, Request::harm);
        failure.write(client).await?;
        shared.note(place, Request::answer);
        return Ok(Next::Request);
    }
    if let Mode::TakeLarge { record_kib } = now {
        let answer = match operation {
            Some(operation) => {
                let entries = shared.note(place, |request| request.entries.len());
                let taken = ledger::fill_up(operation, entries);
                shared.note(place, |request| request.take(operation, &vec![true; entries], &taken))?;
                taken
            }
            None => {
                let mut said: Value =
                    serde_json::from_slice(&forward(&request, upstream, shared).await?.body)?;
                if is_of(&request, "DescribeStreamSummary") {
                    said["StreamDescriptionSummary"]["MaxRecordSizeInKiB"] = record_kib.into();
                }
                said
            }
        };
        Message::answer("200 OK", answer.to_string().into_bytes()).write(client).await?;
        shared.note(place, Request::answer);
        return Ok(Next::Request);
    }

    let forwarded = shared.note(place, |request| request.forwarded(now));
    let mut answer = match body.zip(operation) {
        Some((body, operation)) if forwarded.contains(&false) => {
            shared.note(place, Request::harm);
            thinned(request, operation, body, &forwarded, upstream, place, shared).await?
        }
        Some((_, operation)) => {
            let answer = forward(&request, upstream, shared).await?;
            if answer.is_ok() {
                let taken = serde_json::from_slice(&answer.body)?;
                shared.note(place, |request| request.take(operation, &forwarded, &taken))?;
            }
            answer
        }
        None => forward(&request, upstream, shared).await?,
    };
    if let Mode::Skew { seconds } = now {
        answer.set("date", clock::date(clock::shown(seconds)?)?);
    }
    let is_free = |mode| mode != Mode::Hold && mode != Mode::HoldAnswers;
    if now == Mode::HoldAnswers && released(mode, client, is_free).await.is_none() {
        shared.note(place, Request::harm);
        return Ok(Next::End);
    }
    if let Some(next) = lose(now, operation, &answer, client).await? {
        shared.note(place, Request::harm);
        return Ok(next);
    }
    if answer.write(client).await.is_err() {
        // The client has gone without its answer.
        return Ok(Next::End);
    }
    shared.note(place, Request::answer);
    Ok(Next::Request)
}

/// Whether a request calls this operation.
fn is_of(request: &Message, operation: &str) -> bool {
    request.header("x-amz-target").is_some_and(|target| target.split('.').nth(1) == Some(operation))
}

/// What a request is answered with in the place of the endpoint's answer, if it is not forwarded.
fn failure(
    mode: Mode,
    request: &Message,
    has_ended: bool,
    place: usize,
    shared: &Shared,
) -> Result<Option<Message>> {
    const REJECTED: &str = "400 Bad Request";
    const TOLD: &str = "the proxy was told so";
    let (status, code, message) = match mode {
        Mode::InternalError => ("500 Internal Server Error", "InternalFailure", TOLD),
        Mode::Invalid { word } if shared.note(place, |request| request.holds(word)) => {
            (REJECTED, "ValidationException", TOLD)
        }
        Mode::Expire if has_ended => {
            (REJECTED, "ExpiredTokenException", "The security token included in the request is expired")
        }
        Mode::Deny { operation } if is_of(request, operation) => (REJECTED, "AccessDeniedException", TOLD),
        Mode::Reject { code } => (REJECTED, code, TOLD),
        Mode::Skew { seconds } if clock::is_off(request, clock::shown(seconds)?)? => {
            (REJECTED, "InvalidSignatureException", "Signature expired, or not yet current")
        }
        Mode::Away
        | Mode::Deny { .. }
        | Mode::Expire
        | Mode::Hold
        | Mode::HoldAnswers
        | Mode::Invalid { .. }
        | Mode::Pass
        | Mode::Refuse { .. }
        | Mode::RefuseShard { .. }
        | Mode::ResetAfter
        | Mode::ResetBefore
        | Mode::Shorten
        | Mode::Silence
        | Mode::Skew { .. }
        | Mode::TakeLarge { .. }
        | Mode::Trickle
        | Mode::Truncate
        | Mode::Unavailable => return Ok(None),
    };
    let mut failure = Message::failure(status, code, message);
    if let Mode::Skew { seconds } = mode {
        failure.set("date", clock::date(clock::shown(seconds)?)?);
    }
    Ok(Some(failure))
}

/// Keeps the endpoint's answer, or a part of it, from the client, if the mode wants that.
async fn lose(
    mode: Mode,
    operation: Option<Operation>,
    answer: &Message,
    client: &mut BufReader<TcpStream>,
) -> Result<Option<Next>> {
    // What does not come to the client because it has gone is lost as well.
    Ok(match (mode, operation) {
        (Mode::ResetAfter, _) => Some(Next::Reset),
        (Mode::Unavailable, _) => {
            drop(Message::page("503 Service Unavailable").write(client).await);
            Some(Next::Request)
        }
        (Mode::Trickle, _) => {
            for byte in answer.bytes() {
                if client.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(TRICKLE).await;
            }
            Some(Next::End)
        }
        (Mode::Truncate, _) => {
            let bytes = answer.bytes();
            let half = bytes.len() - answer.body.len() / 2;
            drop(client.write_all(bytes.get(..half).unwrap_or_default()).await);
            Some(Next::End)
        }
        (Mode::Shorten, Some(operation)) if answer.is_ok() => {
            let mut short = answer.clone();
            short.body = ledger::shortened(operation, &answer.body)?;
            drop(short.write(client).await);
            Some(Next::Request)
        }
        _ => None,
    })
}

/// Reads whatever comes until nothing more does.
async fn swallow(client: &mut BufReader<TcpStream>) {
    drop(tokio::io::copy(client, &mut tokio::io::sink()).await);
}

/// The name of the access key that a request is signed with:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
fn key(request: &Message) -> Option<&str> {
    let (_, behind) = request.header("authorization")?.split_once("Credential=")?;
    Some(behind.split_once('/')?.0)
}

/// Waits until the mode is one that lets a request go on; none if the client goes before that.
async fn released(
    mode: &mut watch::Receiver<Mode>,
    client: &mut BufReader<TcpStream>,
    is_free: impl Fn(Mode) -> bool,
) -> Option<()> {
    tokio::select! {
        biased;
        _ = mode.wait_for(|mode| is_free(*mode)) => Some(()),
        // The client sends nothing while it waits, so anything to be read here is its end.
        _ = client.fill_buf() => None,
    }
}

/// Forwards only some entries, and answers for all.
async fn thinned(
    mut request: Message,
    operation: Operation,
    mut body: Value,
    forwarded: &[bool],
    upstream: &mut Option<BufReader<TcpStream>>,
    place: usize,
    shared: &Shared,
) -> Result<Message> {
    if !forwarded.contains(&true) {
        // An empty request would be refused as invalid.
        return Ok(Message::answer(
            "200 OK",
            ledger::fill_in(operation, &Value::Null, forwarded).to_string().into_bytes(),
        ));
    }
    ledger::thin_out(&mut body, forwarded);
    request.body = body.to_string().into_bytes();
    let mut answer = forward(&request, upstream, shared).await?;
    if answer.is_ok() {
        let taken = serde_json::from_slice(&answer.body)?;
        shared.note(place, |request| request.take(operation, forwarded, &taken))?;
        answer.body = ledger::fill_in(operation, &taken, forwarded).to_string().into_bytes();
    }
    Ok(answer)
}

/// Sends a request to the endpoint and reads its answer.
async fn forward(
    request: &Message,
    upstream: &mut Option<BufReader<TcpStream>>,
    shared: &Shared,
) -> Result<Message> {
    let stream = match upstream {
        Some(stream) => stream,
        None => upstream.insert(BufReader::new(TcpStream::connect(shared.upstream).await?)),
    };
    request.write(stream).await.context("writing to the endpoint")?;
    Message::read(stream)
        .await
        .context("reading from the endpoint")?
        .context("the endpoint ended the connection")
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Vec<Request>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request as it came, if that is wanted.
    fn keep(&self, request: &Message) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.wanted > 0 {
            kept.wanted -= 1;
            kept.requests.extend(request.raw());
        }
    }

    /// Writes down what became of the request at `place`.
    fn note<T>(&self, place: usize, note: impl FnOnce(&mut Request) -> T) -> T {
        note(self.ledger().get_mut(place).expect("requests are never removed"))
    }
}
