//! Asks what there is to know of the EC2 instance: its metadata service (version 2, by the SDK), and EC2 itself for the
//! tags that the service is not allowed to tell.
//!
//! Does not know who wants to know, nor how often. `DescribeTags` is the only call to EC2, which needs no client of its
//! own for that: it is signed here.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_config::imds::client::error::ImdsError;
use aws_config::imds::{self, client::SensitiveString};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use tracing::warn;

use super::{Instance, tags};
use crate::chain::Chain;

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html>.
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html>.
const TAGS: &str = "/latest/meta-data/tags/instance";

/// How long a connection to EC2 and its answer may take. Nobody waits for them but tags.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// What an error of EC2 is quoted up to.
const QUOTED: usize = 300;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why nothing is known of the instance.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The environment forbids to ask.
    #[error("`AWS_EC2_METADATA_DISABLED` is set to `true`")]
    Disabled,
    /// The metadata service.
    #[error("failed to ask the instance's metadata service for `{path}`")]
    Service {
        /// What was asked for.
        path: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Its answer.
    #[error("the metadata service's identity document is no JSON object")]
    Document,
}

/// Why the tags of the instance are not known.
#[derive(Debug, thiserror::Error)]
enum TagsError {
    #[error("the identity document names no region or no instance")]
    Nameless,
    #[error("failed to get credentials for `ec2:DescribeTags`")]
    Credentials(#[source] Cause),
    #[error("failed to sign `ec2:DescribeTags`")]
    Signature(#[source] Cause),
    #[error("failed to call `{url}`")]
    Call {
        url: String,
        #[source]
        source: Cause,
    },
    #[error("`{url}` answered {status}: {text}")]
    Refused { url: String, status: u16, text: String },
}

/// The way to ask.
#[derive(Debug)]
pub struct Ec2 {
    imds: imds::Client,
    credentials: Option<SharedCredentialsProvider>,
    connector: SharedHttpConnector,
}

impl Ec2 {
    /// Asks the instance as `asking` says, and calls EC2 with these `credentials` through what `connect` makes.
    #[must_use]
    pub fn new(
        asking: &ProviderConfig,
        credentials: Option<SharedCredentialsProvider>,
        connect: impl FnOnce(&HttpConnectorSettings) -> SharedHttpConnector,
    ) -> Ec2 {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build();
        let connector = connect(&settings);
        // Asked again later anyway.
        let imds = imds::Client::builder().configure(asking).max_attempts(2).build();
        Ec2 { imds, credentials, connector }
    }

    /// What there is to know now. Tags that cannot be found out are missing, and that is told.
    ///
    /// # Errors
    /// If the instance cannot be asked.
    pub async fn ask(&self) -> Result<Instance, InstanceError> {
        if std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|text| text.eq_ignore_ascii_case("true")) {
            return Err(InstanceError::Disabled);
        }
        let document = self.imds.get(DOCUMENT).await;
        let document = document.map_err(|source| service(DOCUMENT, source))?;
        let asked = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let instance = Instance::of_document(document.as_ref(), asked).ok_or(InstanceError::Document)?;
        let tags = match self.tags_of_service().await? {
            Some(tags) => Some(tags),
            None => self.tags_of_ec2(&instance).await.map_or_else(
                |error| {
                    warn!(
                        error = %Chain(&error),
                        "the tags of this instance are not known; records say the rest of it: allow its role \
                         `ec2:DescribeTags`, or tags in its metadata"
                    );
                    None
                },
                Some,
            ),
        };
        Ok(Instance { tags, ..instance })
    }

    /// The tags that the metadata service tells; nothing if it may not.
    async fn tags_of_service(&self) -> Result<Option<BTreeMap<String, String>>, InstanceError> {
        let names = match self.imds.get(TAGS).await {
            Ok(names) => names,
            Err(ImdsError::ErrorResponse(answer)) if answer.response().status().as_u16() == 404 => {
                return Ok(None);
            }
            Err(source) => return Err(service(TAGS, source)),
        };
        let mut tags = BTreeMap::new();
        for name in names.as_ref().lines().filter(|name| !name.is_empty()) {
            let value = self.imds.get(format!("{TAGS}/{}", escaped(name))).await;
            let value: SensitiveString = value.map_err(|source| service(TAGS, source))?;
            tags.insert(name.to_owned(), value.into());
        }
        Ok(Some(tags))
    }

    /// The first page of what EC2 says, which has all tags that one instance can have.
    async fn tags_of_ec2(&self, instance: &Instance) -> Result<BTreeMap<String, String>, TagsError> {
        let (Some(region), Some(id)) = (&instance.region, &instance.instance_id) else {
            return Err(TagsError::Nameless);
        };
        let url = url(region);
        let request = self.signed(&url, region, id).await?;
        let call = |source: Cause| TagsError::Call { url: url.clone(), source };
        let response = self.connector.call(request).await.map_err(|error| call(error.into()))?;
        let status = response.status();
        let body =
            ByteStream::new(response.into_body()).collect().await.map_err(|error| call(error.into()))?;
        let body = body.into_bytes();
        let text = String::from_utf8_lossy(&body);
        match tags::read(&text) {
            Some(tags) if status.is_success() => Ok(tags),
            Some(_) | None => {
                let text = text.chars().take(QUOTED).collect();
                Err(TagsError::Refused { url, status: status.as_u16(), text })
            }
        }
    }

    /// The call for the tags of the instance `id`, signed.
    async fn signed(&self, url: &str, region: &str, id: &str) -> Result<HttpRequest, TagsError> {
        let missing = || TagsError::Credentials("none are configured".into());
        let credentials = self.credentials.as_ref().ok_or_else(missing)?.provide_credentials().await;
        let identity = credentials.map_err(|error| TagsError::Credentials(error.into()))?.into();
        let body = format!(
            "Action=DescribeTags&Version=2016-11-15&Filter.1.Name=resource-id&Filter.1.Value.1={}",
            escaped(id)
        );
        let signature = |error: Cause| TagsError::Signature(error);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("ec2")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| signature(error.into()))?
            .into();
        let kind = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let signable =
            SignableRequest::new("POST", url, [kind].into_iter(), SignableBody::Bytes(body.as_bytes()));
        let signable = signable.map_err(|error| signature(error.into()))?;
        let signed = sign(signable, &parameters).map_err(|error| signature(error.into()))?;
        let (instructions, _) = signed.into_parts();

        let mut request = HttpRequest::new(SdkBody::from(body));
        let build = |error: aws_smithy_runtime_api::http::HttpError| TagsError::Signature(error.into());
        request.set_method("POST").map_err(build)?;
        request.set_uri(url.to_owned()).map_err(build)?;
        for (name, value) in [kind].into_iter().chain(instructions.headers()) {
            request.headers_mut().try_insert(name.to_owned(), value.to_owned()).map_err(build)?;
        }
        Ok(request)
    }
}

fn service(path: &'static str, source: ImdsError) -> InstanceError {
    InstanceError::Service { path, source: source.into() }
}

/// Where EC2 is called: as every AWS tool, or where the environment says, as with every SDK. Source:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
fn url(region: &str) -> String {
    if let Ok(url) = std::env::var("AWS_ENDPOINT_URL_EC2")
        && !url.is_empty()
    {
        return format!("{}/", url.trim_end_matches('/'));
    }
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://ec2.{region}.amazonaws.com{china}/")
}

/// A text as a part of a path or a form.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
