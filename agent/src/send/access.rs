//! How the service is reached: what `agent.json` says of endpoint, region, keys, role and certificates.
//!
//! Knows nothing of the AWS SDK; `send/aws.rs` makes a client out of it.

use std::path::PathBuf;

/// How the service is reached. What is `None` is left to the SDK's own chain (environment, profile, web identity,
/// container, instance role).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `kinesis.endpoint`: a URL, or a host for which `https` is meant.
    pub endpoint: Option<String>,
    /// `kinesis.region`.
    pub region: Option<String>,
    /// `sts.endpoint`.
    pub sts_endpoint: Option<String>,
    /// `awsAccessKeyId` and `awsSecretAccessKey`.
    pub keys: Option<Keys>,
    /// `assumeRoleARN`.
    pub role: Option<Role>,
    /// `caBundle`: certificates in PEM that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
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
