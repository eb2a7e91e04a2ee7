//! Credentials, endpoints and clients: made once, shared by all flows.
//!
//! With `kinesis.rs` the only place that knows the AWS SDK. What the configuration does not say is left to the SDK's
//! own chain: environment, profile, web identity, container, instance role.

use std::path::PathBuf;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{
    Credentials, SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::access::Access;

/// How long a connection may take. Source: the Java agent's `connectionTimeoutMillis`.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a whole call may take: 5 MiB in base64 at 1 Mbit/s.
const CALL: Duration = Duration::from_secs(60);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The file of certificates.
    #[error("could not read `caBundle` `{path}`")]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its content.
    #[error("`caBundle` `{path}` holds no certificate in PEM")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The certificates together.
    #[error("could not set up TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The region is nowhere to be found.
    #[error("no region: set `kinesis.region`, or AWS_REGION, or a profile's region, or run on EC2")]
    NoRegion,
}

/// What all clients share.
#[derive(Clone, Debug)]
pub struct Aws {
    client: aws_sdk_kinesis::Client,
}

impl Aws {
    /// Resolves region and credentials as `access` says.
    ///
    /// # Errors
    /// If no region can be found or the certificates can't be read. Missing credentials are no error here: they may
    /// come later, and each call says so.
    pub async fn connect(access: &Access) -> Result<Aws, AwsError> {
        let http = http_client(access)?;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(CALL).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            // A retry below us would hide repeats; and only we know which records of a call are left.
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .app_name(AppName::new(concat!("kinetail-", env!("CARGO_PKG_VERSION"))).expect("a valid name"));
        if let Some(region) = configured_region(access) {
            loader = loader.region(Region::new(region));
        }
        if let Some(keys) = &access.keys {
            let keys = Credentials::new(keys.id.clone(), keys.secret.clone(), None, None, "agent.json");
            loader = loader.credentials_provider(keys);
        }
        let shared = loader.load().await;
        let Some(region) = shared.region().cloned() else { return Err(AwsError::NoRegion) };
        let mut config = aws_sdk_kinesis::config::Builder::from(&shared);
        if let Some(endpoint) = &access.endpoint {
            config = config.endpoint_url(as_url(endpoint));
        }
        if access.role.is_some() {
            config = config.credentials_provider(assume_role(access, &shared, region).await);
        }
        Ok(Aws { client: aws_sdk_kinesis::Client::from_conf(config.build()) })
    }

    /// The client for Kinesis.
    #[must_use]
    pub(super) fn kinesis(&self) -> aws_sdk_kinesis::Client {
        self.client.clone()
    }
}

/// The role's credentials, taken with those of the chain.
async fn assume_role(access: &Access, shared: &SdkConfig, region: Region) -> SharedCredentialsProvider {
    let Some(role) = &access.role else { return default_chain(shared).await };
    let mut sts = shared.to_builder();
    if let Some(endpoint) = &access.sts_endpoint {
        sts = sts.endpoint_url(as_url(endpoint));
    }
    // The session's name is the Java agent's, so that its policies and trails still fit.
    let mut provider = AssumeRoleProvider::builder(&role.arn)
        .session_name("AWSKinesisAgent")
        .region(region)
        .configure(&sts.build());
    if let Some(id) = &role.external_id {
        provider = provider.external_id(id);
    }
    SharedCredentialsProvider::new(provider.build_from_provider(default_chain(shared).await).await)
}

/// What the chain gives; the configuration's keys if there are any.
async fn default_chain(shared: &SdkConfig) -> SharedCredentialsProvider {
    match shared.credentials_provider() {
        Some(provider) => provider,
        None => SharedCredentialsProvider::new(DefaultCredentialsChain::builder().build().await),
    }
}

/// The HTTP client: rustls with the system's certificates, and `caBundle` beside them.
fn http_client(access: &Access) -> Result<SharedHttpClient, AwsError> {
    let mut trusted = TrustStore::default();
    if let Some(path) = &access.ca_bundle {
        let pem = std::fs::read(path).map_err(|source| AwsError::CaBundle { path: path.clone(), source })?;
        if memchr::memmem::find(&pem, b"-----BEGIN CERTIFICATE-----").is_none() {
            return Err(AwsError::NoCertificate { path: path.clone() });
        }
        trusted = trusted.with_pem_certificate(pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| AwsError::Tls(error.into()))?;
    let builder = aws_smithy_http_client::Builder::new();
    Ok(builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
}

/// The region that the configuration names: as such, or in the endpoint's host name. With an endpoint of another form
/// the Java agent signs for us-east-1.
fn configured_region(access: &Access) -> Option<String> {
    if access.region.is_some() {
        return access.region.clone();
    }
    let endpoint = as_url(access.endpoint.as_deref()?);
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
    let region = host.strip_prefix("kinesis.").and_then(|rest| rest.split_once(".amazonaws.com"));
    Some(region.map_or("us-east-1", |(region, _)| region).to_owned())
}

/// An endpoint as it may stand in `agent.json`: a bare host means `https`.
fn as_url(endpoint: &str) -> String {
    if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(endpoint: Option<&str>, region: Option<&str>, expected: Option<&str>) {
        let access = Access {
            endpoint: endpoint.map(str::to_owned),
            region: region.map(str::to_owned),
            ..Access::default()
        };
        assert_eq!(configured_region(&access).as_deref(), expected);
    }

    #[test]
    fn a_region_that_is_named_is_taken() {
        check(Some("https://kinesis.eu-west-1.amazonaws.com"), Some("us-west-2"), Some("us-west-2"));
    }

    #[test]
    fn the_region_stands_in_the_endpoint() {
        check(Some("kinesis.eu-west-1.amazonaws.com"), None, Some("eu-west-1"));
        check(Some("https://kinesis.cn-north-1.amazonaws.com.cn"), None, Some("cn-north-1"));
    }

    #[test]
    fn another_endpoint_means_us_east_1() {
        check(Some("http://127.0.0.1:4567"), None, Some("us-east-1"));
    }

    #[test]
    fn without_either_the_chain_decides() {
        check(None, None, None);
    }
}
