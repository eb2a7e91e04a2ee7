//! Credentials, endpoints and clients: made once, shared by all flows.
//!
//! With `exchange.rs` and what uses it, `connections.rs`, `wallet.rs` and the publisher of metrics the only place that knows the
//! AWS SDK. What the configuration does not say is left to the SDK's own chain: environment, profile, web identity, container,
//! instance role.

use std::path::PathBuf;
use std::time::Duration;

use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{
    ConfigBag, Credentials, Intercept, RuntimeComponents, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use super::access::{Access, Patience, Role, UserAgent};
use super::clock::Clock;
use super::connections::Connections;
use super::proxy::VariableError;
use super::wallet::{Chain, Wallet};

/// What a call may take beside the wait for its answer. With the 50 s that one waits if nothing is configured, a whole call
/// may take 60 s: 5 MiB in base64 at 1 Mbit/s.
const UPLOAD: Duration = Duration::from_secs(10);

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
    /// The environment's proxy.
    #[error("could not set up the proxy")]
    Variable(#[source] VariableError),
    /// A proxy.
    #[error("could not set up the proxy")]
    Proxy(#[source] ProxyError),
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
    connections: Connections,
    wallet: Wallet,
    /// Those of CloudWatch's own role, if there is one.
    cloudwatch_role: Option<SharedCredentialsProvider>,
    client: aws_sdk_kinesis::Client,
    firehose: aws_sdk_firehose::Client,
}

impl Aws {
    /// Resolves region and credentials as `access` says.
    ///
    /// # Errors
    /// If no region can be found, or the certificates or the proxy make no sense. Missing credentials are no error here: they
    /// may come later, and each call says so.
    pub async fn connect(access: &Access) -> Result<Aws, AwsError> {
        let (connections, wallet) = (Connections::new(access)?, Wallet::default());
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(connections.client())
            .timeout_config(timeouts(access.patience))
            // A retry below us would hide repeats; and only we know which records of a call are left.
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(wallet.clone())
            .no_credentials()
            .app_name(AppName::new(concat!("kinetail-", env!("CARGO_PKG_VERSION"))).expect("a valid name"));
        if let Some(region) = configured_region(access) {
            loader = loader.region(Region::new(region));
        }
        if let Some(use_fips) = access.use_fips {
            loader = loader.use_fips(use_fips);
        }
        if let Some(use_dual_stack) = access.use_dual_stack {
            loader = loader.use_dual_stack(use_dual_stack);
        }
        let mut shared = loader.load().await;
        let region = shared.region().cloned().or_else(|| access.region_of_streams.clone().map(Region::new));
        let Some(region) = region else { return Err(AwsError::NoRegion) };
        shared = shared.into_builder().region(region).build();

        let credentials = match &access.keys {
            Some(keys) => {
                let keys = Credentials::new(keys.id.clone(), keys.secret.clone(), None, None, "agent.json");
                SharedCredentialsProvider::new(keys)
            }
            None => SharedCredentialsProvider::new(Chain::new(wallet.clone(), shared.clone())),
        };
        shared = shared.into_builder().credentials_provider(credentials).build();
        let cloudwatch_role = assume(access, access.cloudwatch_role.as_ref(), &shared).await;
        let kinesis_role = assume(access, access.kinesis_role.as_ref(), &shared).await;
        let firehose_role = assume(access, access.firehose_role.as_ref(), &shared).await;
        if let Some(credentials) = assume(access, access.role.as_ref(), &shared).await {
            shared = shared.into_builder().credentials_provider(credentials).build();
        }

        let mut config = aws_sdk_kinesis::config::Builder::from(&shared)
            .interceptor(Introduction(access.user_agent.clone()))
            .interceptor(Clock);
        if let Some(credentials) = kinesis_role {
            config = config.credentials_provider(credentials);
        }
        if let Some(endpoint) = &access.endpoint {
            config = config.endpoint_url(as_url(endpoint)).use_fips(false).use_dual_stack(false);
        }
        let client = aws_sdk_kinesis::Client::from_conf(config.build());
        let firehose = firehose(access, firehose_role, &shared);
        Ok(Aws {
            shared,
            user_agent: access.user_agent.clone(),
            connections,
            wallet,
            cloudwatch_role,
            client,
            firehose,
        })
    }

    /// A client for CloudWatch, with the credentials of the streams unless it has a role of its own. Where neither `region` nor
    /// the `endpoint` names the region it is us-east-1, where the Java agent's metrics are, whatever the region of the streams.
    #[must_use]
    pub fn cloudwatch(&self, endpoint: Option<&str>, region: Option<&str>) -> aws_sdk_cloudwatch::Client {
        let mut config = aws_sdk_cloudwatch::config::Builder::from(&self.shared)
            .region(region_or_fallback(endpoint, region, "monitoring."))
            .interceptor(Introduction(self.user_agent.clone()));
        if let Some(credentials) = &self.cloudwatch_role {
            config = config.credentials_provider(credentials.clone());
        }
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(as_url(endpoint)).use_fips(false).use_dual_stack(false);
        }
        aws_sdk_cloudwatch::Client::from_conf(config.build())
    }

    /// A client for Firehose, whose region is found as that of CloudWatch, and whose credentials, too.
    #[must_use]
    pub(super) fn firehose(&self) -> aws_sdk_firehose::Client {
        self.firehose.clone()
    }

    /// What calls a service that has no client here, as the others are called.
    #[must_use]
    pub fn connector(&self, settings: &HttpConnectorSettings) -> SharedHttpConnector {
        self.connections.connector(settings)
    }

    /// Whether services are called at their endpoints with cryptography after FIPS 140: as is configured, or the environment
    /// or the profile says.
    #[must_use]
    pub fn is_fips(&self) -> bool {
        self.shared.use_fips().unwrap_or_default()
    }

    /// Whether services are called at their endpoints that have IPv6 addresses, too, likewise.
    #[must_use]
    pub fn is_dual_stack(&self) -> bool {
        self.shared.use_dual_stack().unwrap_or_default()
    }

    /// What is asked of this instance is asked with this.
    #[must_use]
    pub fn asking(&self) -> ProviderConfig {
        ProviderConfig::without_region().with_http_client(self.connections.client())
    }

    /// With which credentials the service is called.
    #[must_use]
    pub fn credentials(&self) -> Option<SharedCredentialsProvider> {
        self.shared.credentials_provider()
    }

    /// The client for Kinesis: in `region`, if a stream names one.
    #[must_use]
    pub(super) fn kinesis(&self, region: Option<&str>) -> aws_sdk_kinesis::Client {
        match region {
            Some(region) if self.client.config().region().is_none_or(|own| own.as_ref() != region) => {
                let config = self.client.config().to_builder().region(Region::new(region.to_owned()));
                aws_sdk_kinesis::Client::from_conf(config.build())
            }
            Some(_) | None => self.client.clone(),
        }
    }

    /// What calls are signed with.
    #[must_use]
    pub(super) fn wallet(&self) -> Wallet {
        self.wallet.clone()
    }
}

fn firehose(
    access: &Access,
    role: Option<SharedCredentialsProvider>,
    shared: &SdkConfig,
) -> aws_sdk_firehose::Client {
    let (endpoint, region) = (access.firehose_endpoint.as_deref(), access.firehose_region.as_deref());
    let mut config = aws_sdk_firehose::config::Builder::from(shared)
        .region(region_or_fallback(endpoint, region, "firehose."))
        .interceptor(Introduction(access.user_agent.clone()))
        .interceptor(Clock);
    if let Some(credentials) = role {
        config = config.credentials_provider(credentials);
    }
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(as_url(endpoint)).use_fips(false).use_dual_stack(false);
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

/// The credentials of `role`, if there is one, taken with those of `shared`.
async fn assume(
    access: &Access,
    role: Option<&Role>,
    shared: &SdkConfig,
) -> Option<SharedCredentialsProvider> {
    let role = role?;
    // Nothing is repeated by the SDK's own retries but the question: also one that was signed for another time than the service's.
    let mut sts = shared.to_builder().retry_config(RetryConfig::standard());
    if let Some(endpoint) = &access.sts_endpoint {
        sts = sts.endpoint_url(as_url(endpoint)).use_fips(false).use_dual_stack(false);
    }
    if let Some(region) = &access.sts_region {
        sts = sts.region(Region::new(region.clone()));
    }
    // The session's name is the Java agent's, so that its policies and trails still fit.
    let mut provider =
        AssumeRoleProvider::builder(&role.arn).session_name("AWSKinesisAgent").configure(&sts.build());
    if let Some(id) = &role.external_id {
        provider = provider.external_id(id);
    }
    Some(SharedCredentialsProvider::new(provider.build().await))
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
    let fallback = || access.endpoint.is_some().then(|| FALLBACK_REGION.to_owned());
    access.named_region().or_else(fallback)
}

/// The region that is named, as such or in the endpoint's host name; else that in which the Java agent calls.
fn region_or_fallback(endpoint: Option<&str>, region: Option<&str>, service: &str) -> Region {
    let named = region.map(str::to_owned).or_else(|| region_of(endpoint?, service));
    Region::new(named.unwrap_or_else(|| FALLBACK_REGION.to_owned()))
}

/// The region in the name of a host of AWS that begins with `service`.
pub(super) fn region_of(endpoint: &str, service: &str) -> Option<String> {
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
