//! The keys that stand beside `flows`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::section::Section;
use crate::send::{Access, Keys, Role};

/// Where state is kept if neither the configuration nor the service manager says so.
const STATE_DIRECTORY: &str = "/var/lib/kinetail";

/// What holds for all flows.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Where the checkpoint and the metrics are kept.
    pub state_directory: PathBuf,
    /// Where the Java agent keeps its positions.
    pub java_store: PathBuf,
    /// How many bytes of log may be held at once.
    pub max_memory_bytes: usize,
    /// How many files may be open at once.
    pub max_open_files: usize,
    /// How long a stop may take.
    pub shutdown_timeout: Duration,
    /// How often a line in the log tells how far the agent is; nothing for never.
    pub status_period: Option<Duration>,
    /// How Kinesis is reached.
    pub kinesis: Access,
}

/// Reads the agent's keys. Where state is kept is up to the environment if they do not say it.
pub(super) fn agent(section: &mut Section<'_>, state_directory: Option<PathBuf>) -> Agent {
    let configured = section.text("stateDirectory").map(PathBuf::from);
    let period = section.number("log.statusReportingPeriodSeconds");
    Agent {
        state_directory: configured.or(state_directory).unwrap_or_else(|| STATE_DIRECTORY.into()),
        java_store: section.text("checkpointFile").unwrap_or_default().into(),
        max_memory_bytes: section.size("maxMemoryBytes"),
        max_open_files: section.size("maxOpenFiles"),
        shutdown_timeout: section.millis("shutdownTimeoutMillis"),
        status_period: u64::try_from(period).ok().filter(|period| *period > 0).map(Duration::from_secs),
        kinesis: access(section),
    }
}

fn access(section: &mut Section<'_>) -> Access {
    Access {
        endpoint: endpoint(section, "kinesis.endpoint"),
        region: section.text("kinesis.region"),
        sts_endpoint: endpoint(section, "sts.endpoint"),
        keys: keys(section),
        role: role(section),
        ca_bundle: section.text("caBundle").map(PathBuf::from),
    }
}

fn endpoint(section: &mut Section<'_>, name: &str) -> Option<String> {
    let endpoint = section.text(name)?;
    let host = match endpoint.split_once("://") {
        None => Some(endpoint.as_str()),
        Some(("http" | "https", host)) => Some(host),
        Some(_) => None,
    };
    if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
        section.error(name, format!("`{name}` must be a host or an http or https URL, not `\"{endpoint}\"`"));
    }
    Some(endpoint)
}

fn keys(section: &mut Section<'_>) -> Option<Keys> {
    let (id, secret) = ("awsAccessKeyId", "awsSecretAccessKey");
    match (section.text(id), section.text(secret)) {
        (Some(id), Some(secret)) => Some(Keys { id, secret }),
        (Some(_), None) => {
            section.warn(id, format!("`{id}` has no effect without `{secret}`"));
            None
        }
        (None, Some(_)) => {
            section.warn(secret, format!("`{secret}` has no effect without `{id}`"));
            None
        }
        (None, None) => None,
    }
}

fn role(section: &mut Section<'_>) -> Option<Role> {
    let (arn, external_id) = (section.text("assumeRoleARN"), section.text("assumeRoleExternalId"));
    if arn.is_none() && external_id.is_some() {
        section.warn("assumeRoleExternalId", "`assumeRoleExternalId` has no effect without `assumeRoleARN`");
    }
    Some(Role { arn: arn?, external_id })
}
