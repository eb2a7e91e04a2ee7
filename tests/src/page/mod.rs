//! The page of the demo: one HTML file on loopback that shows live what is written, shipped and counted.
//!
//! ```text
//!   demo ── Data ──▶ GET /data ──▶ page.html in a browser, which asks each second
//! ```
//!
//! Does not know where the numbers come from: it is given a function that says them now. Every answer forbids the browser
//! to load or run anything but this page, and to keep anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::background::Background;

const HTML: &str = include_str!("page.html");
/// Where the page has the word that its one script and its one style are known by.
const NONCE: &str = "{{nonce}}";

/// The running page. Gone when dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    _server: Background,
}

impl Page {
    /// Serves the page on a free port; `data` is called for each answer and must not block.
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn serve(data: impl Fn() -> Data + Send + Sync + 'static) -> Result<Page> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind the page")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let server = Background::start("page", answer(listener, Arc::new(data)))?;
        Ok(Page { address, _server: server })
    }

    /// What to open in a browser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// What the page shows. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The time of these numbers.
    pub now_millis: u64,
    /// How long each window is.
    pub window: Duration,
    /// What CloudWatch has counted, in any order. Windows that are not there count nothing.
    pub windows: Vec<WindowData>,
    /// The unknown sources with the most requests, largest first.
    pub sources: Vec<SourceData>,
    /// What the agent says of itself.
    pub agent: AgentData,
    /// What has arrived at the end.
    pub cloud: CloudData,
    /// Every alarm there is.
    pub alarms: Vec<AlarmData>,
    /// Whether these are the last numbers. The page judges them then, and asks no more.
    pub is_over: bool,
}

/// Requests by status class, such as `2xx` or `none`.
pub type ByStatus = BTreeMap<String, u64>;

/// One window.
#[derive(Clone, Debug, Default)]
pub struct WindowData {
    /// When it begins.
    pub start_millis: u64,
    /// Requests of each application that the reference knows.
    pub applications: BTreeMap<String, ByStatus>,
    /// Requests of all others.
    pub unknown: ByStatus,
    /// Lines that could not be counted.
    pub set_aside: u64,
    /// How long after its own time a line arrived, at most.
    pub max_lateness: Duration,
}

/// One source that the reference does not know.
#[derive(Clone, Debug, Default)]
pub struct SourceData {
    /// Its address or name, as logged.
    pub source: String,
    /// Its requests, if anything too many.
    pub count: u64,
    /// How many too many, at most.
    pub count_error: u64,
}

/// What the agent says of itself.
#[derive(Clone, Debug, Default)]
pub struct AgentData {
    /// Lines that were written to the log; the writer says this.
    pub written: u64,
    /// Lines read.
    pub read: u64,
    /// Lines that the stream has accepted.
    pub acked: u64,
    /// Lines lost on purpose.
    pub dropped: u64,
    /// Lines read and neither accepted nor dropped.
    pub unacked: u64,
    /// Bytes of the logs not read yet.
    pub lag_bytes: u64,
    /// How long the oldest undelivered line has waited.
    pub oldest: Duration,
    /// Memory in use.
    pub memory_mib: f64,
    /// CPU time used.
    pub cpu: Duration,
}

/// What has arrived at the end.
#[derive(Clone, Debug, Default)]
pub struct CloudData {
    /// Requests counted in CloudWatch.
    pub counted: u64,
    /// Lines that came twice and were recognised, so that they were not counted again.
    pub repeats_skipped: u64,
    /// Lines that came twice and were counted again, as far as that is known.
    pub repeats_counted: u64,
    /// Lines that could not be counted.
    pub set_aside: u64,
}

/// How an alarm stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmState {
    /// Nothing is wrong.
    Ok,
    /// It has fired.
    Alarm,
    /// There are no data to tell by.
    InsufficientData,
}

/// One alarm.
#[derive(Clone, Debug)]
pub struct AlarmData {
    /// What it is about.
    pub name: String,
    /// How it stands.
    pub state: AlarmState,
    /// Since when.
    pub since_millis: u64,
    /// The numbers that led to it.
    pub reason: String,
}

impl AlarmState {
    /// As CloudWatch writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

impl Data {
    /// What `GET /data` answers.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Data { now_millis, window, windows, sources, agent, cloud, alarms, is_over } = self;
        json!({
            "now": now_millis,
            "windowSeconds": window.as_secs_f64(),
            "windows": windows.iter().map(WindowData::to_json).collect::<Vec<_>>(),
            "sources": sources.iter().map(SourceData::to_json).collect::<Vec<_>>(),
            "agent": agent.to_json(),
            "cloud": cloud.to_json(),
            "alarms": alarms.iter().map(AlarmData::to_json).collect::<Vec<_>>(),
            "isOver": is_over,
        })
    }
}

impl WindowData {
    fn to_json(&self) -> Value {
        json!({
            "start": self.start_millis,
            "applications": self.applications,
            "unknown": self.unknown,
            "setAside": self.set_aside,
            "maxLatenessSeconds": self.max_lateness.as_secs_f64(),
        })
    }
}

impl SourceData {
    fn to_json(&self) -> Value {
        json!({ "source": self.source, "count": self.count, "countError": self.count_error })
    }
}

impl AgentData {
    fn to_json(&self) -> Value {
        let AgentData { written, read, acked, dropped, unacked, lag_bytes, oldest, memory_mib, cpu } = self;
        json!({
            "written": written,
            "read": read,
            "acked": acked,
            "dropped": dropped,
            "unacked": unacked,
            "lagBytes": lag_bytes,
            "oldestSeconds": oldest.as_secs_f64(),
            "memoryMiB": memory_mib,
            "cpuSeconds": cpu.as_secs_f64(),
        })
    }
}

impl CloudData {
    fn to_json(&self) -> Value {
        let CloudData { counted, repeats_skipped, repeats_counted, set_aside } = self;
        json!({
            "counted": counted,
            "repeatsSkipped": repeats_skipped,
            "repeatsCounted": repeats_counted,
            "setAside": set_aside,
        })
    }
}

impl AlarmData {
    fn to_json(&self) -> Value {
        let AlarmData { name, state, since_millis, reason } = self;
        json!({ "name": name, "state": state.as_str(), "since": since_millis, "reason": reason })
    }
}

/// Answers requests until it is dropped.
fn answer(
    listener: TcpListener,
    data: Arc<impl Fn() -> Data + Send + Sync + 'static>,
) -> impl Future<Output = ()> + Send {
    let data = move || {
        let data = Arc::clone(&data);
        async move { guarded("application/json", "default-src 'none'", data().to_json().to_string()) }
    };
    let app = Router::new().route("/", get(html)).route("/data", get(data));
    async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
        // Ends only if it cannot accept any more, which the page then says.
        axum::serve(listener, app).await.unwrap_or_default();
    }
}

async fn html() -> Response {
    match nonce() {
        Ok(nonce) => guarded("text/html; charset=utf-8", &policy(&nonce), HTML.replace(NONCE, &nonce)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

/// A word that nobody can guess, so that nothing in the data could pass for our script.
fn nonce() -> Result<String> {
    let mut bytes = [0; 16];
    let mut source = File::open("/dev/urandom").context("failed to open the system's random bytes")?;
    source.read_exact(&mut bytes).context("failed to read random bytes")?;
    Ok(STANDARD.encode_to_string(bytes))
}

/// Everything is forbidden but the page's own script and style, its icon, and to ask for `/data`.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// An answer that is not kept, not guessed at, not embedded, and not passed on.
fn guarded(kind: &str, policy: &str, body: String) -> Response {
    let headers: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &Data, expected: &Value) {
        assert_eq!(&data.to_json(), expected);
    }

    #[test]
    fn the_json_is_as_the_page_reads_it() {
        let by_status = |status: &str, count| ByStatus::from([(status.to_owned(), count)]);
        let data = Data {
            now_millis: 9,
            window: Duration::from_secs(5),
            windows: vec![WindowData {
                start_millis: 5,
                applications: BTreeMap::from([("shop".to_owned(), by_status("2xx", 10))]),
                unknown: by_status("none", 3),
                set_aside: 1,
                max_lateness: Duration::from_millis(500),
            }],
            sources: vec![SourceData { source: "203.0.113.9".to_owned(), count: 12, count_error: 2 }],
            agent: AgentData {
                written: 1,
                read: 2,
                acked: 3,
                dropped: 4,
                unacked: 5,
                lag_bytes: 6,
                oldest: Duration::from_millis(250),
                memory_mib: 15.5,
                cpu: Duration::from_millis(1_500),
            },
            cloud: CloudData { counted: 7, repeats_skipped: 8, repeats_counted: 77, set_aside: 9 },
            alarms: vec![AlarmData {
                name: "unknown sources".to_owned(),
                state: AlarmState::InsufficientData,
                since_millis: 4,
                reason: "none".to_owned(),
            }],
            is_over: true,
        };
        check(
            &data,
            &json!({
                "now": 9,
                "windowSeconds": 5.0,
                "windows": [{
                    "start": 5,
                    "applications": { "shop": { "2xx": 10 } },
                    "unknown": { "none": 3 },
                    "setAside": 1,
                    "maxLatenessSeconds": 0.5,
                }],
                "sources": [{ "source": "203.0.113.9", "count": 12, "countError": 2 }],
                "agent": {
                    "written": 1, "read": 2, "acked": 3, "dropped": 4, "unacked": 5,
                    "lagBytes": 6, "oldestSeconds": 0.25, "memoryMiB": 15.5, "cpuSeconds": 1.5,
                },
                "cloud": { "counted": 7, "repeatsSkipped": 8, "repeatsCounted": 77, "setAside": 9 },
                "alarms": [{
                    "name": "unknown sources", "state": "INSUFFICIENT_DATA", "since": 4, "reason": "none",
                }],
                "isOver": true,
            }),
        );
    }

    #[test]
    fn no_two_answers_have_the_same_word() {
        let words = [nonce().unwrap(), nonce().unwrap()];
        assert_ne!(words[0], words[1]);
        // 16 bytes in base64.
        assert!(words.iter().all(|word| word.len() == 24), "{words:?}");
    }
}
