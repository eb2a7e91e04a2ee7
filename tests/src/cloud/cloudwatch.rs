//! CloudWatch: takes `PutMetricData` as the Rust SDK sends it, and keeps everything that was published.
//!
//! - [`request`] reads a request and holds it against the service's limits;
//! - [`statistics`] adds up what belongs together; [`alarm`] says how an alarm stands.
//!
//! No emulator in Rust speaks the SDK's protocol. A repeated request adds up, as it does at the service.

pub mod alarm;
pub mod request;
pub mod statistics;

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::routing::post;
use ciborium::Value;
use flate2::read::GzDecoder;

use crate::background::Background;
use crate::cloud::moment::Moment;
use request::{BODY_LIMIT, Datum, Dimensions, Refusal};
use statistics::Statistics;

/// The one operation that is served.
const OPERATION: &str = "/service/GraniteServiceVersion20100801/operation/PutMetricData";

/// What is done to a request on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused as one too many, and nothing of it is kept.
    Throttle,
    /// It is refused as one that the caller may not make.
    Deny,
    /// It is answered with status 500, and nothing of it is kept.
    InternalError,
    /// It is kept and answered with status 500: to the client its outcome is unknown.
    InternalErrorAfter,
}

/// The running service.
#[derive(Debug)]
pub struct CloudWatch {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Background,
}

#[derive(Debug, Default)]
struct Shared {
    data: Mutex<Vec<Datum>>,
    refusals: Mutex<Vec<Refusal>>,
    faults: Mutex<VecDeque<Fault>>,
}

impl CloudWatch {
    /// Starts it without data, on a free port.
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn start() -> Result<CloudWatch> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind CloudWatch")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let app = Router::new()
            .route(OPERATION, post(put_metric_data))
            // What is too large is refused by name.
            .layer(DefaultBodyLimit::max(4 * BODY_LIMIT))
            .with_state(Arc::clone(&shared));
        let server = Background::start("cloudwatch", async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
            // Ends only if it cannot accept any more, which whoever uses it will see.
            axum::serve(listener, app).await.unwrap_or_default();
        })?;
        Ok(CloudWatch { address, shared, _server: server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `AWS_ENDPOINT_URL_CLOUDWATCH` would be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does this to the next requests, as many as `count`, after those that have been asked for already.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        lock(&self.shared.faults).extend(std::iter::repeat_n(fault, count));
    }

    /// Everything that was published, in the order in which it came.
    #[must_use]
    pub fn all(&self) -> Vec<Datum> {
        lock(&self.shared.data).clone()
    }

    /// Why requests were refused, without those that were to fail.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        lock(&self.shared.refusals).clone()
    }

    /// The statistics of a metric over all time, if it was ever published with exactly these dimensions.
    #[must_use]
    pub fn statistics(&self, metric: &str, dimensions: &Dimensions) -> Option<Statistics> {
        self.series(metric, dimensions).into_values().reduce(Statistics::and)
    }

    /// The sum of a metric over all time; 0 if it was never published with exactly these dimensions.
    #[must_use]
    pub fn sum(&self, metric: &str, dimensions: &Dimensions) -> f64 {
        self.statistics(metric, dimensions).map_or(0.0, |statistics| statistics.sum)
    }

    /// A metric by time.
    #[must_use]
    pub fn series(&self, metric: &str, dimensions: &Dimensions) -> BTreeMap<Moment, Statistics> {
        let mut series: BTreeMap<Moment, Statistics> = BTreeMap::new();
        let data = lock(&self.shared.data);
        for datum in data.iter().filter(|datum| datum.metric == metric && datum.dimensions == *dimensions) {
            let sum = series.get(&datum.at).map_or(datum.statistics, |so_far| so_far.and(datum.statistics));
            series.insert(datum.at, sum);
        }
        series
    }

    /// All dimensions with which a metric was published.
    #[must_use]
    pub fn dimensions(&self, metric: &str) -> Vec<Dimensions> {
        let data = lock(&self.shared.data);
        let mut all: Vec<Dimensions> = data
            .iter()
            .filter(|datum| datum.metric == metric)
            .map(|datum| datum.dimensions.clone())
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

/// Dimensions from pairs of name and value.
#[must_use]
pub fn dimensions<const N: usize>(pairs: [(&str, &str); N]) -> Dimensions {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn put_metric_data(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let fault = lock(&shared.faults).pop_front();
    match fault {
        Some(Fault::Throttle) => return refused(400, "Throttling", "Rate exceeded"),
        Some(Fault::Deny) => return refused(403, "AccessDenied", "User is not authorized"),
        Some(Fault::InternalError) => return internal_error(),
        Some(Fault::InternalErrorAfter) | None => {}
    }
    match unpack(&headers, &body).and_then(|body| request::read(&body, Moment::now())) {
        Ok(data) => lock(&shared.data).extend(data),
        Err(refusal) => {
            let answer = refused(400, refusal.code, &refusal.message);
            lock(&shared.refusals).push(refusal);
            return answer;
        }
    }
    match fault {
        Some(Fault::InternalErrorAfter) => internal_error(),
        Some(Fault::Throttle | Fault::Deny | Fault::InternalError) | None => answer(200, vec![]),
    }
}

/// The body as it was before it was compressed. No more is unpacked than shows that it is too large.
fn unpack(headers: &HeaderMap, body: &Bytes) -> Result<Vec<u8>, Refusal> {
    let malformed = |message: String| Refusal { code: "SerializationException", message };
    match headers.get("content-encoding").map(|value| value.to_str()) {
        None => Ok(body.to_vec()),
        Some(Ok("gzip")) => {
            let mut unpacked = Vec::new();
            let most = u64::try_from(BODY_LIMIT + 1).unwrap_or(u64::MAX);
            GzDecoder::new(body.as_ref())
                .take(most)
                .read_to_end(&mut unpacked)
                .map_err(|error| malformed(error.to_string()))?;
            Ok(unpacked)
        }
        Some(other) => Err(malformed(format!("the content is encoded as {other:?}"))),
    }
}

fn internal_error() -> Response<Body> {
    refused(500, "InternalServiceError", "The request has failed due to an internal error.")
}

/// An error as the protocol has it, and as the protocol before it had it:
/// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait>.
fn refused(status: u16, code: &str, message: &str) -> Response<Body> {
    let text = |text: &str| Value::Text(text.to_owned());
    let kind = text(&format!("com.amazonaws.cloudwatch#{code}"));
    let mut answer = answer(status, vec![(text("__type"), kind), (text("message"), text(message))]);
    let whose = if status < 500 { "Sender" } else { "Receiver" };
    let header = HeaderValue::try_from(format!("{code};{whose}")).expect("a code is plain text");
    answer.headers_mut().insert("x-amzn-query-error", header);
    answer
}

fn answer(status: u16, fields: Vec<(Value, Value)>) -> Response<Body> {
    let mut body = Vec::new();
    ciborium::into_writer(&Value::Map(fields), &mut body).expect("a map of texts can be written to memory");
    Response::builder()
        .status(status)
        .header("smithy-protocol", "rpc-v2-cbor")
        .header("content-type", "application/cbor")
        .header("x-amzn-requestid", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        .body(Body::from(body))
        .expect("every part of the answer is valid")
}

#[cfg(test)]
mod tests;
