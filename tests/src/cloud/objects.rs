//! S3: objects by bucket and key, addressed by path, as far as the functions use it.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
//!
//! Every bucket is there. Does not know versions, ranges or multipart uploads, and refuses what it does not know.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::any;
use md5::{Digest, Md5};
use tokio::time::sleep;

use crate::background::Background;

/// An object at the most; more is never put here.
const OBJECT_LIMIT: usize = 64 * 1024 * 1024;

/// What is done to a request on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with status 500.
    InternalError,
    /// It is answered after so long.
    Slow(Duration),
}

/// The running service.
#[derive(Debug)]
pub struct Objects {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Mutex<Option<Background>>,
}

#[derive(Debug, Default)]
struct Shared {
    objects: Mutex<BTreeMap<(String, String), Bytes>>,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<(Method, StatusCode)>>,
}

impl Objects {
    /// Starts it empty, on a free port.
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn start() -> Result<Objects> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind S3")?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let server = serve(listener, Arc::clone(&shared))?;
        Ok(Objects { address, shared, server: Mutex::new(Some(server)) })
    }

    /// What `AWS_ENDPOINT_URL_S3` would be. The host is a number, so that buckets are addressed by path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts an object, past all faults.
    pub fn put(&self, bucket: &str, key: &str, content: impl Into<Bytes>) {
        lock(&self.shared.objects).insert((bucket.to_owned(), key.to_owned()), content.into());
    }

    /// Removes an object, past all faults.
    pub fn remove(&self, bucket: &str, key: &str) {
        lock(&self.shared.objects).remove(&(bucket.to_owned(), key.to_owned()));
    }

    /// An object, past all faults.
    #[must_use]
    pub fn get(&self, bucket: &str, key: &str) -> Option<Bytes> {
        lock(&self.shared.objects).get(&(bucket.to_owned(), key.to_owned())).cloned()
    }

    /// The keys in a bucket that begin so.
    #[must_use]
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let objects = lock(&self.shared.objects);
        let keys = objects.keys().filter(|(of, key)| of == bucket && key.starts_with(prefix));
        keys.map(|(_, key)| key.clone()).collect()
    }

    /// Every request so far, with the status of its answer.
    #[must_use]
    pub fn requests(&self) -> Vec<(Method, StatusCode)> {
        lock(&self.shared.requests).clone()
    }

    /// Does this to the next requests, as many as `count`, after those that have been asked for already.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        lock(&self.shared.faults).extend(std::iter::repeat_n(fault, count));
    }

    /// Goes away: no connection is taken any more, and those that stand are cut.
    pub fn leave(&self) {
        drop(lock(&self.server).take());
    }

    /// Comes back where it was, with all its objects.
    ///
    /// # Errors
    /// If its port has been taken meanwhile.
    pub fn come_back(&self) -> Result<()> {
        let listener = TcpListener::bind(self.address).context("failed to bind S3 again")?;
        *lock(&self.server) = Some(serve(listener, Arc::clone(&self.shared))?);
        Ok(())
    }
}

fn serve(listener: TcpListener, shared: Arc<Shared>) -> Result<Background> {
    listener.set_nonblocking(true)?;
    let app = Router::new()
        .route("/{bucket}/{*key}", any(answer))
        .layer(DefaultBodyLimit::max(OBJECT_LIMIT))
        .with_state(shared);
    let server = Background::start("objects", async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
        // Ends only if it cannot accept any more, which whoever uses it will see.
        axum::serve(listener, app).await.unwrap_or_default();
    })?;
    Ok(server)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let fault = lock(&shared.faults).pop_front();
    if let Some(Fault::Slow(time)) = fault {
        sleep(time).await;
    }
    let answer = match (&method, fault) {
        (_, Some(Fault::InternalError)) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error.")
        }
        (&Method::GET | &Method::HEAD, _) => get(&shared, &place, &headers),
        (&Method::PUT, _) => put(&shared, place, &headers, body),
        (_, _) => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "Only GET, HEAD and PUT are served."),
    };
    lock(&shared.requests).push((method, answer.status()));
    answer
}

fn get(shared: &Shared, place: &(String, String), headers: &HeaderMap) -> Response<Body> {
    if headers.contains_key("range") {
        return error(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "Ranges are not served.");
    }
    let Some(content) = lock(&shared.objects).get(place).cloned() else {
        return error(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
    };
    let tag = tag(&content);
    // An object that is still the same is not sent again.
    let is_known = headers.get("if-none-match").is_some_and(|known| known == tag.as_str() || known == "*");
    if is_known {
        return with_tag(StatusCode::NOT_MODIFIED, &tag, Body::empty());
    }
    with_tag(StatusCode::OK, &tag, Body::from(content))
}

fn put(shared: &Shared, place: (String, String), headers: &HeaderMap, body: Bytes) -> Response<Body> {
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "aws-chunked") {
        return error(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "Chunked uploads are not served.");
    }
    let sum = base64_simd::STANDARD.encode_to_string(crc32fast::hash(&body).to_be_bytes());
    if headers.get("x-amz-checksum-crc32").is_some_and(|expected| expected != sum.as_str()) {
        return error(StatusCode::BAD_REQUEST, "BadDigest", "The checksum is not that of the content.");
    }
    let tag = tag(&body);
    lock(&shared.objects).insert(place, body);
    with_tag(StatusCode::OK, &tag, Body::empty())
}

/// The MD5 of the content in quotes, as for an object that was put whole and is encrypted by S3 itself, if at all:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>.
fn tag(content: &[u8]) -> String {
    let digits: String = Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

fn with_tag(status: StatusCode, tag: &str, body: Body) -> Response<Body> {
    let answer = Response::builder().status(status).header("ETag", tag).body(body);
    answer.expect("every part of the answer is valid")
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let answer =
        Response::builder().status(status).header("Content-Type", "application/xml").body(Body::from(text));
    answer.expect("every part of the answer is valid")
}

#[cfg(test)]
mod tests;
