//! The Lambda Runtime API of one environment: hands out one invocation at a time and takes its answer.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Failure, PAYLOAD_LIMIT};
use crate::background::Background;
use crate::cloud::moment::Moment;

/// What the function has said about one invocation.
type Answer = Result<Bytes, Failure>;

/// A running API.
#[derive(Debug)]
pub(super) struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Background,
}

/// What a function is to do, and where its answer goes.
#[derive(Debug)]
pub(super) struct Invocation {
    id: String,
    payload: Bytes,
    deadline: Moment,
    arn: String,
    answer: oneshot::Sender<Answer>,
}

impl Invocation {
    pub(super) fn new(payload: Bytes, limit: Duration, arn: &str) -> (Invocation, oneshot::Receiver<Answer>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        // Shaped like the service's request ids.
        let id = format!("8476a536-e9f4-11e8-9739-{number:012x}");
        let deadline = Moment::now().plus(limit);
        (Invocation { id, payload, deadline, arn: arn.to_owned(), answer }, answered)
    }
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    first_call: OnceLock<Duration>,
    work: mpsc::Sender<Invocation>,
    queue: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    current: Mutex<Option<Invocation>>,
    refusal: Mutex<Option<String>>,
}

impl Api {
    pub(super) fn start() -> Result<Api> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // An environment works on one invocation at a time.
        let (work, queue) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            started: Instant::now(),
            first_call: OnceLock::new(),
            work,
            queue: tokio::sync::Mutex::new(queue),
            current: Mutex::default(),
            refusal: Mutex::default(),
        });
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            // One byte more than what is refused by name.
            .layer(DefaultBodyLimit::max(PAYLOAD_LIMIT + 1))
            .with_state(Arc::clone(&shared));
        let server = Background::start("runtime", async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
            // Ends only if it cannot accept any more, which the function will see.
            axum::serve(listener, app).await.unwrap_or_default();
        })?;
        Ok(Api { address, shared, _server: server })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the start of this to the first call for work.
    pub(super) fn start_time(&self) -> Option<Duration> {
        self.shared.first_call.get().copied()
    }

    /// Hands out an invocation and waits for its answer.
    pub(super) async fn answer(&self, invocation: Invocation, answer: oneshot::Receiver<Answer>) -> Answer {
        let gone = || Failure::Function("its API has gone".to_owned());
        if let Some(refusal) = lock(&self.shared.refusal).clone() {
            return Err(Failure::Function(refusal));
        }
        self.shared.work.send(invocation).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next invocation: its payload in the body, what else is to be known about it in the headers. The call may take
/// as long as there is none.
async fn next(State(shared): State<Arc<Shared>>) -> Response<Body> {
    shared.first_call.get_or_init(|| shared.started.elapsed());
    let invocation = shared.queue.lock().await.recv().await;
    let Some(invocation) = invocation else { return status(StatusCode::INTERNAL_SERVER_ERROR) };
    let answer = Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", &invocation.id)
        .header("Lambda-Runtime-Deadline-Ms", invocation.deadline.to_millis())
        .header("Lambda-Runtime-Invoked-Function-Arn", &invocation.arn)
        .header("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        .body(Body::from(invocation.payload.clone()));
    *lock(&shared.current) = Some(invocation);
    answer.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
}

/// The answer of an invocation. One that is too large is refused and fails the invocation.
async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    if body.len() > PAYLOAD_LIMIT {
        settle(&shared, &id, Err(Failure::TooLarge(body.len())));
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    settle(&shared, &id, Ok(body))
}

/// The invocation has failed.
async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    settle(&shared, &id, Err(Failure::Function(described(&body))))
}

/// The function could not begin at all: the environment is of no use.
async fn init_error(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let refusal = described(&body);
    *lock(&shared.refusal) = Some(refusal.clone());
    // Whoever waits for an answer already does so in vain.
    if let Ok(mut queue) = shared.queue.try_lock()
        && let Ok(invocation) = queue.try_recv()
    {
        invocation.answer.send(Err(Failure::Function(refusal))).unwrap_or_default();
    }
    status(StatusCode::ACCEPTED)
}

fn settle(shared: &Shared, id: &str, answer: Answer) -> Response<Body> {
    let mut current = lock(&shared.current);
    match current.take_if(|invocation| invocation.id == id) {
        Some(invocation) => {
            // Nobody waits any more for one that has run into its limit.
            invocation.answer.send(answer).unwrap_or_default();
            status(StatusCode::ACCEPTED)
        }
        None => status(StatusCode::BAD_REQUEST),
    }
}

/// `errorType: errorMessage` of an error's body.
fn described(body: &[u8]) -> String {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    format!("{}: {}", text("errorType"), text("errorMessage"))
}

fn status(code: StatusCode) -> Response<Body> {
    let body = json!({"status": code.canonical_reason().unwrap_or_default()}).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response
}
