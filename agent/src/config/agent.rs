//! The keys that stand beside `flows`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::section::Section;
use crate::report::Address;
use crate::report::cloudwatch::{self, Dimensions};
use crate::report::java::Detail;
use crate::send::{Access, Keys, Patience, Proxy, Role, UserAgent};

/// Where state is kept if neither the configuration nor the service manager says so.
pub(super) const STATE_DIRECTORY: &str = "/var/lib/kinetail";

/// What holds for all flows.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Where the checkpoint and the metrics are kept.
    pub state_directory: PathBuf,
    /// Where the Java agent keeps its positions.
    pub java_store: PathBuf,
    /// How many bytes of log may be held at once.
    pub max_memory_bytes: usize,
    /// How many bytes the quarantine may take up on the disk.
    pub quarantine_bytes: u64,
    /// How many files may be open at once.
    pub max_open_files: usize,
    /// How long a stop may take.
    pub shutdown_timeout: Duration,
    /// How often a line in the log tells how far the agent is; nothing for never.
    pub status_period: Option<Duration>,
    /// What the log is told of the agent beside its progress.
    pub detail: Detail,
    /// Where the metrics are answered over HTTP; nothing for nowhere.
    pub metrics_listen: Option<Address>,
    /// How Kinesis is reached.
    pub kinesis: Access,
    /// Which metrics CloudWatch gets; nothing for none.
    pub cloudwatch: Option<cloudwatch::Settings>,
}

/// Reads the agent's keys. Where state is kept is up to the environment if they do not say it.
pub(super) fn agent(section: &mut Section<'_>, state_directory: Option<PathBuf>) -> Agent {
    let configured = section.text("stateDirectory").map(PathBuf::from);
    let period = section.number("log.statusReportingPeriodSeconds");
    Agent {
        state_directory: configured.or(state_directory).unwrap_or_else(|| STATE_DIRECTORY.into()),
        java_store: section.text("checkpointFile").unwrap_or_default().into(),
        max_memory_bytes: section.size("maxMemoryBytes"),
        quarantine_bytes: u64::try_from(section.number("quarantineBytes")).unwrap_or_default(),
        max_open_files: section.size("maxOpenFiles"),
        shutdown_timeout: section.millis("shutdownTimeoutMillis"),
        status_period: u64::try_from(period).ok().filter(|period| *period > 0).map(Duration::from_secs),
        detail: detail(section),
        metrics_listen: metrics_listen(section),
        kinesis: access(section),
        cloudwatch: cloudwatch(section),
    }
}

/// What goes to CloudWatch. What is wrong with it is told even if nothing does.
fn cloudwatch(section: &mut Section<'_>) -> Option<cloudwatch::Settings> {
    let namespace = section.text("cloudwatch.namespace").unwrap_or_default();
    // https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
    let letter = |char: char| char.is_ascii_alphanumeric() || ".-_/#:".contains(char);
    if namespace.len() > 255 || namespace.starts_with("AWS/") || !namespace.chars().all(letter) {
        let must =
            "must be up to 255 letters, digits, `.`, `-`, `_`, `/`, `#` and `:`, and not begin with `AWS/`";
        section
            .error("cloudwatch.namespace", format!("`cloudwatch.namespace` {must}, not `\"{namespace}\"`"));
    }
    let settings = cloudwatch::Settings {
        namespace,
        endpoint: endpoint(section, "cloudwatch.endpoint"),
        region: section.text("cloudwatch.region"),
        period: section.millis("cloudwatch.metricsBufferTimeMillis"),
        queue: section.size("cloudwatch.metricsQueueSize"),
        dimensions: match section.flag("cloudwatch.tagInstance") {
            true => Dimensions::DestinationAndInstance,
            false => Dimensions::Destination,
        },
    };
    section.flag("cloudwatch.emitMetrics").then_some(settings)
}

/// What the log is told, as the agent or a flow says.
pub(super) fn detail(section: &mut Section<'_>) -> Detail {
    if section.flag("log.emitInternalMetrics") { Detail::Internal } else { Detail::Plain }
}

fn access(section: &mut Section<'_>) -> Access {
    Access {
        endpoint: endpoint(section, "kinesis.endpoint"),
        region: section.text("kinesis.region"),
        firehose_endpoint: endpoint(section, "firehose.endpoint"),
        firehose_region: section.text("firehose.region"),
        region_of_streams: None,
        sts_endpoint: endpoint(section, "sts.endpoint"),
        sts_region: section.text("sts.region"),
        keys: keys(section),
        role: role(section, "assumeRoleARN", "assumeRoleExternalId"),
        kinesis_role: role(section, "kinesis.assumeRoleARN", "kinesis.assumeRoleExternalId"),
        firehose_role: role(section, "firehose.assumeRoleARN", "firehose.assumeRoleExternalId"),
        cloudwatch_role: role(section, "cloudwatch.assumeRoleARN", "cloudwatch.assumeRoleExternalId"),
        use_fips: switch(section, "useFipsEndpoint"),
        use_dual_stack: switch(section, "useDualstackEndpoint"),
        proxy: proxy(section),
        no_proxy: section.text("noProxy"),
        ca_bundle: section.text("caBundle").map(PathBuf::from),
        patience: patience(section),
        user_agent: user_agent(section),
    }
}

/// 0 means as with the Java agent that a call may take as long as it likes.
fn patience(section: &mut Section<'_>) -> Patience {
    let connection = section.millis("connectionTimeoutMillis");
    let answer = section.millis("socketTimeoutMillis");
    let bounded = |time: Duration| (!time.is_zero()).then_some(time);
    Patience { connection: bounded(connection), answer: bounded(answer) }
}

fn user_agent(section: &mut Section<'_>) -> UserAgent {
    let (before, instead) = ("userAgent", "userAgentOverride");
    for name in [before, instead] {
        let is_header = |text: &String| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if section.text(name).is_some_and(|text| !is_header(&text)) {
            section.error(name, format!("`{name}` must be printable ASCII, as it becomes a header"));
        }
    }
    match (section.text(before), section.text(instead)) {
        (before, Some(text)) => {
            if before.is_some() {
                section.warn("userAgent", "`userAgent` has no effect beside `userAgentOverride`");
            }
            UserAgent::Instead(text)
        }
        (Some(text), None) => UserAgent::Before(text),
        (None, None) => UserAgent::Own,
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

/// The role that the key `name` asks for. What is said of it is told even if there is none.
fn role(section: &mut Section<'_>, name: &str, external_name: &str) -> Option<Role> {
    let (arn, external_id) = (section.text(name), section.text(external_name));
    if arn.is_none() && external_id.is_some() {
        section.warn(external_name, format!("`{external_name}` has no effect without `{name}`"));
    }
    Some(Role { arn: arn?, external_id })
}

/// What the key `name` says, if it is given: the environment may say otherwise.
fn switch(section: &mut Section<'_>, name: &str) -> Option<bool> {
    let flag = section.flag(name);
    section.is_given(name).then_some(flag)
}

fn metrics_listen(section: &mut Section<'_>) -> Option<Address> {
    let address = Address::parse(&section.text("metricsListen")?);
    address.map_err(|error| section.error("metricsListen", format!("`metricsListen` {error}"))).ok()
}

fn proxy(section: &mut Section<'_>) -> Option<Proxy> {
    let proxy = Proxy::parse(&section.text("proxy")?);
    proxy.map_err(|error| section.error("proxy", format!("`proxy`: {error}"))).ok()
}
