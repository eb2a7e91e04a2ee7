//! Credentials, endpoints and clients: made once, shared by all flows.
//!
//! With `exchange.rs`, what uses it, and the publisher of metrics the only place that knows the AWS SDK. What the configuration does not say is left to the SDK's
//! own chain: environment, profile, web identity, container, instance role.

use std::path::PathBuf;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{
    ConfigBag, Credentials, Intercept, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use super::access::{Access, Patience, UserAgent};

/// What a call may take beside the wait for its answer. With the 50 s that one waits if nothing is configured, a whole call
/// may take 60 s: 5 MiB in base64 at 1 Mbit/s.
const UPLOAD: Duration = Duration::from_secs(10);

/// Who encrypts.
const PROVIDER: Provider = Provider::Rustls(CryptoMode::AwsLc);

/// The region that the Java agent takes where an endpoint does not name one.
const FALLBACK_REGION: &str = "us-east-1";

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
    /// With the credentials that are meant: those of the role, if there is one.
    shared: SdkConfig,
    user_agent: UserAgent,
    tls: TlsContext,
    client: aws_sdk_kinesis::Client,
    firehose: aws_sdk_firehose::Client,
}

impl Aws {
    /// Resolves region and credentials as `access` says.
    ///
    /// # Errors
    /// If no region can be found or the certificates can't be read. Missing credentials are no error here: they may
    /// come later, and each call says so.
    pub async fn connect(access: &Access) -> Result<Aws, AwsError> {
        let tls = tls(access)?;
        let builder = aws_smithy_http_client::Builder::new().tls_provider(PROVIDER);
        let http: SharedHttpClient = builder.tls_context(tls.clone()).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts(access.patience))
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
        let mut shared = loader.load().await;
        let Some(region) = shared.region().cloned() else { return Err(AwsError::NoRegion) };
        if access.role.is_some() {
            let credentials = assume_role(access, &shared, region).await;
            shared = shared.into_builder().credentials_provider(credentials).build();
        }
        let mut config = aws_sdk_kinesis::config::Builder::from(&shared)
            .interceptor(Introduction(access.user_agent.clone()));
        if let Some(endpoint) = &access.endpoint {
            config = config.endpoint_url(as_url(endpoint));
        }
        let client = aws_sdk_kinesis::Client::from_conf(config.build());
        let firehose = firehose(access, &shared);
        Ok(Aws { shared, user_agent: access.user_agent.clone(), tls, client, firehose })
    }

    /// A client for CloudWatch, with the credentials of the streams. Where neither `region` nor the `endpoint` names the
    /// region it is us-east-1, where the Java agent's metrics are, whatever the region of the streams.
    #[must_use]
    pub fn cloudwatch(&self, endpoint: Option<&str>, region: Option<&str>) -> aws_sdk_cloudwatch::Client {
        let mut config = aws_sdk_cloudwatch::config::Builder::from(&self.shared)
            .region(region_or_fallback(endpoint, region, "monitoring."))
            .interceptor(Introduction(self.user_agent.clone()));
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(as_url(endpoint));
        }
        aws_sdk_cloudwatch::Client::from_conf(config.build())
    }

    /// A client for Firehose, whose region is found as that of CloudWatch.
    #[must_use]
    pub(super) fn firehose(&self) -> aws_sdk_firehose::Client {
        self.firehose.clone()
    }

    /// What calls a service that has no client here, trusting whom the others trust.
    #[must_use]
    pub fn connector(&self, settings: HttpConnectorSettings) -> Connector {
        let builder = Connector::builder().connector_settings(settings).tls_provider(PROVIDER);
        builder.tls_context(self.tls.clone()).build()
    }

    /// With which credentials the service is called.
    #[must_use]
    pub fn credentials(&self) -> Option<SharedCredentialsProvider> {
        self.shared.credentials_provider()
    }

    /// The client for Kinesis.
    #[must_use]
    pub(super) fn kinesis(&self) -> aws_sdk_kinesis::Client {
        self.client.clone()
    }
}

fn firehose(access: &Access, shared: &SdkConfig) -> aws_sdk_firehose::Client {
    let (endpoint, region) = (access.firehose_endpoint.as_deref(), access.firehose_region.as_deref());
    let mut config = aws_sdk_firehose::config::Builder::from(shared)
        .region(region_or_fallback(endpoint, region, "firehose."))
        .interceptor(Introduction(access.user_agent.clone()));
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(as_url(endpoint));
    }
    aws_sdk_firehose::Client::from_conf(config.build())
}

/// The SDK's own time-outs hold for nothing: what is not set here is disabled.
fn timeouts(patience: Patience) -> TimeoutConfig {
    let Patience { connection, answer } = patience;
    let timeouts = TimeoutConfig::builder();
    let timeouts = match connection {
        Some(connection) => timeouts.connect_timeout(connection),
        None => timeouts.disable_connect_timeout(),
    };
    match answer {
        Some(answer) => timeouts.operation_attempt_timeout(answer.saturating_add(UPLOAD)),
        None => timeouts.disable_operation_attempt_timeout(),
    }
    .build()
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
        .region(access.sts_region.clone().map_or(region, Region::new))
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

/// Who is trusted: the system's certificates, and `caBundle` beside them.
fn tls(access: &Access) -> Result<TlsContext, AwsError> {
    let mut trusted = TrustStore::default();
    if let Some(path) = &access.ca_bundle {
        let pem = std::fs::read(path).map_err(|source| AwsError::CaBundle { path: path.clone(), source })?;
        if memchr::memmem::find(&pem, b"-----BEGIN CERTIFICATE-----").is_none() {
            return Err(AwsError::NoCertificate { path: path.clone() });
        }
        trusted = trusted.with_pem_certificate(pem);
    }
    TlsContext::builder().with_trust_store(trusted).build().map_err(|error| AwsError::Tls(error.into()))
}

/// Says who calls, where the configuration has a word for it.
#[derive(Debug)]
struct Introduction(UserAgent);

#[dyn_dispatch_hint]
impl Intercept for Introduction {
    fn name(&self) -> &'static str {
        "Introduction"
    }

    // Later than the SDK's own words; this header is not signed.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        let text = match &self.0 {
            UserAgent::Own => return Ok(()),
            UserAgent::Before(text) => format!("{text} {}", headers.get("user-agent").unwrap_or_default()),
            UserAgent::Instead(text) => text.clone(),
        };
        headers.try_insert("user-agent", text)?;
        Ok(())
    }
}

/// The region that the configuration names: as such, or in the endpoint's host name. With an endpoint of another form
/// the Java agent signs for us-east-1.
fn configured_region(access: &Access) -> Option<String> {
    let named =
        |endpoint: &str| region_of(endpoint, "kinesis.").unwrap_or_else(|| FALLBACK_REGION.to_owned());
    access.region.clone().or_else(|| access.endpoint.as_deref().map(named))
}

/// The region that is named, as such or in the endpoint's host name; else that in which the Java agent calls.
fn region_or_fallback(endpoint: Option<&str>, region: Option<&str>, service: &str) -> Region {
    let named = region.map(str::to_owned).or_else(|| region_of(endpoint?, service));
    Region::new(named.unwrap_or_else(|| FALLBACK_REGION.to_owned()))
}

/// The region in the name of a host of AWS that begins with `service`.
fn region_of(endpoint: &str, service: &str) -> Option<String> {
    let endpoint = as_url(endpoint);
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
    let (region, _) = host.strip_prefix(service)?.split_once(".amazonaws.com")?;
    Some(region.to_owned())
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
    fn the_region_of_a_service_stands_behind_its_name() {
        let of = |endpoint: &str| region_of(endpoint, "monitoring.");
        assert_eq!(of("monitoring.eu-west-1.amazonaws.com").as_deref(), Some("eu-west-1"));
        assert_eq!(of("https://kinesis.eu-west-1.amazonaws.com"), None);
        assert_eq!(of("http://127.0.0.1:4567"), None);
    }

    #[test]
    fn without_either_the_chain_decides() {
        check(None, None, None);
    }
}
