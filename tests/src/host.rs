//! A machine in a temporary directory: its logs, its configuration, the agent's state.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::agent::Agent;
use crate::binary;
use crate::endpoint::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use crate::metrics::Metrics;
use crate::wait;

/// The end of the agent's own log that a failed wait shows.
const LOG_SHOWN: usize = 4000;

/// A temporary machine. Removed with all its files when dropped.
#[derive(Debug)]
pub struct Host {
    dir: TempDir,
    settings: Map<String, Value>,
}

impl Host {
    /// A machine whose agent sends to `endpoint`; no flows yet.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn new(endpoint: &str) -> Result<Host> {
        let dir =
            tempfile::Builder::new().prefix("kinetail-host-").tempdir().context("failed to make a host")?;
        for folder in ["logs", "state", "agent-log"] {
            fs::create_dir(dir.path().join(folder))?;
        }
        let settings = json!({
            "kinesis.endpoint": endpoint,
            "kinesis.region": REGION,
            "awsAccessKeyId": ACCESS_KEY_ID,
            "awsSecretAccessKey": SECRET_ACCESS_KEY,
            "stateDirectory": dir.path().join("state"),
            // Without a word the agent sends its metrics to AWS.
            "cloudwatch.emitMetrics": false,
        });
        let settings = settings.as_object().cloned().context("settings are an object")?;
        Ok(Host { dir, settings })
    }

    /// The directory of everything.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file or folder among the logs.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    /// A file in the agent's state directory.
    #[must_use]
    pub fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }

    /// The agent's configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("agent.json")
    }

    /// Sets a key of the agent, such as `flows`; it counts from the next start, or once it is [written](Host::configure)
    /// and reloaded.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Host {
        self.settings.insert(key.to_owned(), value);
        self
    }

    /// Sets the one flow: the files that match `pattern` among the logs, to the stream `s`, with further `keys`.
    #[must_use]
    pub fn with_flow(self, pattern: &str, keys: Value) -> Host {
        let flow = self.flow(pattern, keys);
        self.with("flows", json!([flow]))
    }

    /// A flow from the files that match `pattern` among the logs, read from their start, to the stream `s`.
    /// What `keys` says comes on top.
    #[must_use]
    pub fn flow(&self, pattern: &str, keys: Value) -> Value {
        let mut flow = json!({
            "filePattern": self.log(pattern),
            "kinesisStream": "s",
            "initialPosition": "START_OF_FILE",
            // A test waits for every last batch.
            "lingerMillis": 100,
        });
        if let (Some(flow), Value::Object(keys)) = (flow.as_object_mut(), keys) {
            flow.extend(keys);
        }
        flow
    }

    /// Starts the agent, built first if need be.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start(&self) -> Result<Agent> {
        self.start_through(&[])
    }

    /// Starts the agent through another program, such as `env` or `strace`, with its arguments.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start_through(&self, program: &[OsString]) -> Result<Agent> {
        self.configure()?;
        Agent::start(binary::agent()?, self, program)
    }

    /// Starts this program as the agent.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_as(&self, program: &Path) -> Result<Agent> {
        self.configure()?;
        Agent::start(program, self, &[])
    }

    /// Runs a command of kinetail, which ends by itself, with this host's configuration.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn kinetail(&self, words: &[&str]) -> Result<Output> {
        self.configure()?;
        let mut command = Command::new(binary::agent()?);
        command.args(words).arg("-c").arg(self.config()).env_clear().stdin(Stdio::null());
        command.output().context("failed to run kinetail")
    }

    /// Writes the configuration as it is set by now. An agent that runs finds it when it is told to reload.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn configure(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.settings)?;
        // An agent that is just starting must not find it half written.
        if fs::read_to_string(self.config()).is_ok_and(|configured| configured == text) {
            return Ok(());
        }
        fs::write(self.config(), text).context("failed to configure")
    }

    /// What the agent on this host published last; none if nothing yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn metrics(&self) -> Result<Option<Metrics>> {
        match fs::read_to_string(self.state("metrics.prom")) {
            Ok(text) => Metrics::parse(&text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("failed to read the metrics"),
        }
    }

    /// Waits until what the agent publishes is as wanted.
    ///
    /// # Errors
    /// If it never is; with what it published last, and the end of the agent's log.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Metrics) -> Result<bool>,
    ) -> Result<Metrics> {
        let mut last = None;
        let found = wait::until(what, limit, async || {
            last = self.metrics()?;
            let is = last.as_ref().map_or(Ok(false), &mut wanted)?;
            Ok(if is { last.clone() } else { None })
        });
        found.await.map_err(|error| anyhow!("{error:#}\nmetrics: {last:#?}\n{}", self.agent_log()))
    }

    /// Waits until this run of the agent has read `lines` lines and each is acked or dropped, and checks its books.
    ///
    /// # Errors
    /// If that never is so, or the books do not balance.
    pub async fn settled(&self, lines: u64) -> Result<Metrics> {
        let what = format!("{lines} lines are settled");
        let settled = self.until(&what, wait::LONG, |metrics| {
            let read = metrics.sum("kinetail_lines_read_total")?;
            Ok(read >= lines && metrics.sum("kinetail_unacked_records")? == 0)
        });
        let metrics = settled.await?;
        metrics.balance()?;
        let read = metrics.sum("kinetail_lines_read_total")?;
        anyhow::ensure!(read == lines, "{lines} lines were written, {read} read");
        Ok(metrics)
    }

    /// The end of what the agent has said, all its runs together.
    #[must_use]
    pub fn agent_log(&self) -> String {
        let text = fs::read(self.stderr()).unwrap_or_default();
        let end = text.get(text.len().saturating_sub(LOG_SHOWN)..).unwrap_or_default();
        format!("the agent said:\n{}", String::from_utf8_lossy(end))
    }

    /// What the agent has said, all its runs together.
    ///
    /// # Errors
    /// If it never was started.
    pub fn said(&self) -> Result<String> {
        fs::read_to_string(self.stderr()).context("failed to read what the agent said")
    }

    /// Where the agent's standard error goes.
    pub(crate) fn stderr(&self) -> PathBuf {
        self.dir.path().join("agent.stderr")
    }

    /// Where the agent's log file goes.
    pub(crate) fn logs_directory(&self) -> PathBuf {
        self.dir.path().join("agent-log")
    }
}
