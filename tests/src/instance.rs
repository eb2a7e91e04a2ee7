//! An EC2 instance as a program on it sees it: the metadata service, version 2, and the one call to EC2.
//!
//! Each rule is AWS's: a token is asked for with `PUT` and a lifetime, and every other request shows it
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html>); tags are there only
//! where the owner allows it (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html>);
//! `DescribeTags` answers XML (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html>), and what
//! is not signed is refused. Whether a signature is right is for whoever looks at the [`Call`].

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use crate::background::Background;

/// Its name.
pub const ID: &str = "i-0abcd1234efab5678";

/// The name of the access key of its role.
pub const ROLE_KEY_ID: &str = "ASIAINSTANCE";

/// The word that a program shows.
const TOKEN: &str = "AQAEAstandin==";

/// Who tells the instance's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// The metadata service.
    InMetadata,
    /// EC2 only.
    OfEc2,
    /// Nobody: the role may not ask.
    Denied,
}

/// A call to EC2.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its form.
    pub body: String,
}

/// The services of one instance. Gone when dropped.
#[derive(Debug)]
pub struct Instance {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Background,
}

#[derive(Debug)]
struct Shared {
    tags: Tags,
    calls: Mutex<Vec<Call>>,
}

impl Instance {
    /// Starts its services on a free port.
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn start(tags: Tags) -> Result<Instance> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind the instance")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { tags, calls: Mutex::default() });
        let server = Background::start("instance", answer(listener, Arc::clone(&shared)))?;
        Ok(Instance { address, shared, _server: server })
    }

    /// What stands in the environment of a program that is to run on it.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        let url = format!("http://{}", self.address);
        vec![
            "AWS_EC2_METADATA_DISABLED=false".to_owned(),
            format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={url}"),
            format!("AWS_ENDPOINT_URL_EC2={url}/ec2"),
        ]
    }

    /// The host and port that a caller of EC2 names.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The calls to EC2 so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the identity document says.
#[must_use]
pub fn document() -> Value {
    json!({
        "accountId": "123456789012",
        "architecture": "x86_64",
        "availabilityZone": "eu-west-1b",
        "billingProducts": null,
        "imageId": "ami-0abcd1234efab5678",
        "instanceId": ID,
        "instanceType": "m7i.large",
        "privateIp": "10.1.2.3",
        "region": "eu-west-1",
        "version": "2017-09-30"
    })
}

async fn answer(listener: TcpListener, shared: Arc<Shared>) {
    let listener =
        tokio::net::TcpListener::from_std(listener).expect("a port that is bound can be listened to");
    let router = Router::new()
        .route("/latest/api/token", put(token))
        .route("/latest/{*path}", get(metadata))
        .route("/ec2/", post(describe_tags))
        .with_state(shared);
    axum::serve(listener, router).await.expect("it serves until it is dropped");
}

async fn token(headers: HeaderMap) -> (StatusCode, HeaderMap, &'static str) {
    let mut answered = HeaderMap::new();
    match headers.get("x-aws-ec2-metadata-token-ttl-seconds") {
        Some(seconds) => {
            answered.insert("x-aws-ec2-metadata-token-ttl-seconds", seconds.clone());
            (StatusCode::OK, answered, TOKEN)
        }
        None => (StatusCode::BAD_REQUEST, answered, ""),
    }
}

async fn metadata(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    if headers.get("x-aws-ec2-metadata-token").is_none_or(|token| token != TOKEN) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    let found = match (path.as_str(), shared.tags) {
        ("dynamic/instance-identity/document", _) => document().to_string(),
        ("meta-data/iam/security-credentials/", _) => "web".to_owned(),
        ("meta-data/iam/security-credentials/web", _) => json!({
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": "2026-01-01T00:00:00Z",
            "AccessKeyId": ROLE_KEY_ID,
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": "2126-01-01T00:00:00Z",
        })
        .to_string(),
        ("meta-data/tags/instance", Tags::InMetadata) => "Name\nteam:mail".to_owned(),
        ("meta-data/tags/instance/Name", Tags::InMetadata) => "from metadata".to_owned(),
        ("meta-data/tags/instance/team:mail", Tags::InMetadata) => "a@example.net".to_owned(),
        _ => return (StatusCode::NOT_FOUND, String::new()),
    };
    (StatusCode::OK, found)
}

async fn describe_tags(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let named = headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    let body = text(&body);
    let is_asked = body
        == format!("Action=DescribeTags&Version=2016-11-15&Filter.1.Name=resource-id&Filter.1.Value.1={ID}");
    let is_signed = headers.contains_key("authorization");
    shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push(Call { headers: named, body });
    if shared.tags == Tags::Denied || !is_asked || !is_signed {
        let code = "<Code>UnauthorizedOperation</Code><Message>You are not authorized</Message>";
        return (
            StatusCode::FORBIDDEN,
            format!("<Response><Errors><Error>{code}</Error></Errors></Response>"),
        );
    }
    let item = |key: &str, value: &str| {
        format!(
            "<item><resourceId>{ID}</resourceId><resourceType>instance</resourceType><key>{key}</key>\
             <value>{value}</value></item>"
        )
    };
    let items = item("Name", "of EC2") + &item("R&amp;D", "&lt;yes&gt;");
    let answer = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeTagsResponse \
         xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId><tagSet>{items}</tagSet>\
         </DescribeTagsResponse>"
    );
    (StatusCode::OK, answer)
}
