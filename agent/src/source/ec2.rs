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

/// Which of AWS's own endpoints is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// Whether it has cryptography after FIPS 140.
    pub is_fips: bool,
    /// Whether it has IPv6 addresses, too.
    pub is_dual_stack: bool,
}

/// The way to ask.
#[derive(Debug)]
pub struct Ec2 {
    imds: imds::Client,
    credentials: Option<SharedCredentialsProvider>,
    variant: Variant,
    connector: SharedHttpConnector,
}

impl Ec2 {
    /// Asks the instance as `asking` says, and calls EC2 at the `variant` of its endpoint with these `credentials`, through what
    /// `connect` makes.
    #[must_use]
    pub fn new(
        asking: &ProviderConfig,
        credentials: Option<SharedCredentialsProvider>,
        variant: Variant,
        connect: impl FnOnce(&HttpConnectorSettings) -> SharedHttpConnector,
    ) -> Ec2 {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build();
        let connector = connect(&settings);
        // Asked again later anyway.
        let imds = imds::Client::builder().configure(asking).max_attempts(2).build();
        Ec2 { imds, credentials, variant, connector }
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
        let url = url(std::env::var("AWS_ENDPOINT_URL_EC2").ok(), region, self.variant);
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

/// Where EC2 is called: where the environment says (`given`), as with every SDK, else where every AWS tool calls it. That there
/// is such an endpoint in the region is up to who asks for it. Sources:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>,
/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-endpoints.html>,
/// <https://github.com/boto/botocore/tree/develop/botocore/data/ec2/2016-11-15>
fn url(given: Option<String>, region: &str, variant: Variant) -> String {
    if let Some(url) = given.filter(|url| !url.is_empty()) {
        return format!("{}/", url.trim_end_matches('/'));
    }
    let (single, dual) = match region.split_once('-') {
        Some(("cn", _)) => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        Some(("eusc", _)) => ("amazonaws.eu", "api.amazonwebservices.eu"),
        Some(_) | None => ("amazonaws.com", "api.aws"),
    };
    let domain = if variant.is_dual_stack { dual } else { single };
    // There, the plain one is that of FIPS.
    let is_plain = region.starts_with("us-gov-") && !variant.is_dual_stack;
    let service = if variant.is_fips && !is_plain { "ec2-fips" } else { "ec2" };
    format!("https://{service}.{region}.{domain}/")
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

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Variant = Variant { is_fips: false, is_dual_stack: false };
    const FIPS: Variant = Variant { is_fips: true, is_dual_stack: false };
    const DUAL: Variant = Variant { is_fips: false, is_dual_stack: true };
    const BOTH: Variant = Variant { is_fips: true, is_dual_stack: true };

    #[track_caller]
    fn check(region: &str, variant: Variant, expected: &str) {
        assert_eq!(url(None, region, variant), format!("https://{expected}/"));
    }

    #[test]
    fn each_variant_has_its_host() {
        check("eu-west-1", PLAIN, "ec2.eu-west-1.amazonaws.com");
        check("eu-west-1", FIPS, "ec2-fips.eu-west-1.amazonaws.com");
        check("eu-west-1", DUAL, "ec2.eu-west-1.api.aws");
        check("eu-west-1", BOTH, "ec2-fips.eu-west-1.api.aws");
    }

    #[test]
    fn each_partition_has_its_domains() {
        check("cn-north-1", PLAIN, "ec2.cn-north-1.amazonaws.com.cn");
        check("cn-north-1", BOTH, "ec2-fips.cn-north-1.api.amazonwebservices.com.cn");
        check("eusc-de-east-1", FIPS, "ec2-fips.eusc-de-east-1.amazonaws.eu");
        check("eusc-de-east-1", DUAL, "ec2.eusc-de-east-1.api.amazonwebservices.eu");
    }

    #[test]
    fn the_plain_host_of_govcloud_is_that_of_fips() {
        check("us-gov-west-1", FIPS, "ec2.us-gov-west-1.amazonaws.com");
        check("us-gov-west-1", BOTH, "ec2-fips.us-gov-west-1.api.aws");
    }

    #[test]
    fn the_environment_goes_before_all() {
        let of = |given: &str| url(Some(given.to_owned()), "eu-west-1", BOTH);
        assert_eq!(of("http://localhost:1/ec2/"), "http://localhost:1/ec2/");
        assert_eq!(of("http://localhost:1"), "http://localhost:1/");
        assert_eq!(of(""), "https://ec2-fips.eu-west-1.api.aws/");
    }
}
