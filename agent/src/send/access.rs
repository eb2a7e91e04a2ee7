//! How the service is reached: what `agent.json` says of endpoint, region, keys, role, certificates and patience.
//!
//! Knows nothing of the AWS SDK; `send/aws.rs` makes a client out of it.

use std::path::PathBuf;
use std::time::Duration;

use super::aws::region_of;
use super::proxy::Proxy;

/// How the service is reached. What is `None` is left to the SDK's own chain (environment, profile, web identity,
/// container, instance role).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `kinesis.endpoint`: a URL, or a host for which `https` is meant.
    pub endpoint: Option<String>,
    /// `kinesis.region`.
    pub region: Option<String>,
    /// `firehose.endpoint`: likewise, of Firehose.
    pub firehose_endpoint: Option<String>,
    /// `firehose.region`.
    pub firehose_region: Option<String>,
    /// The region that the ARN of a stream names, for where no other is to be found.
    pub region_of_streams: Option<String>,
    /// `sts.endpoint`.
    pub sts_endpoint: Option<String>,
    /// `sts.region`; that of Kinesis if not given.
    pub sts_region: Option<String>,
    /// `awsAccessKeyId` and `awsSecretAccessKey`.
    pub keys: Option<Keys>,
    /// `assumeRoleARN`: for all services.
    pub role: Option<Role>,
    /// `kinesis.assumeRoleARN`: in its place, for Kinesis.
    pub kinesis_role: Option<Role>,
    /// `firehose.assumeRoleARN`: in its place, for Firehose.
    pub firehose_role: Option<Role>,
    /// `cloudwatch.assumeRoleARN`: in its place, for CloudWatch.
    pub cloudwatch_role: Option<Role>,
    /// `useFipsEndpoint`.
    pub use_fips: Option<bool>,
    /// `useDualstackEndpoint`.
    pub use_dual_stack: Option<bool>,
    /// `proxy`.
    pub proxy: Option<Proxy>,
    /// `noProxy`.
    pub no_proxy: Option<String>,
    /// `caBundle`: certificates in PEM that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// How long a call may take.
    pub patience: Patience,
    /// What a call says of who makes it.
    pub user_agent: UserAgent,
}

impl Access {
    /// The region of Kinesis that the configuration names, as such or in the endpoint.
    #[must_use]
    pub fn named_region(&self) -> Option<String> {
        self.region.clone().or_else(|| region_of(self.endpoint.as_deref()?, "kinesis."))
    }
}

/// How long a call may take; nothing for as long as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `connectionTimeoutMillis`: until there is a connection.
    pub connection: Option<Duration>,
    /// `socketTimeoutMillis`: until there is an answer.
    pub answer: Option<Duration>,
}

impl Patience {
    /// How long one call may take as a whole, if there is a bound.
    #[must_use]
    pub fn of_a_call(&self) -> Option<Duration> {
        Some(self.connection? + self.answer?)
    }
}

impl Default for Patience {
    /// The Java agent's.
    fn default() -> Patience {
        Patience { connection: Some(Duration::from_secs(10)), answer: Some(Duration::from_secs(50)) }
    }
}

/// What a call says in its header `User-Agent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserAgent {
    /// The SDK's own words, which name kinetail.
    #[default]
    Own,
    /// `userAgent`: this, and then those.
    Before(String),
    /// `userAgentOverride`: this alone.
    Instead(String),
}

/// A pair of keys from the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The key's name.
    pub id: String,
    /// The secret. Never printed.
    pub secret: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A role to take before any call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// `assumeRoleExternalId`.
    pub external_id: Option<String>,
}
