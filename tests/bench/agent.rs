//! The built agent as a child process in a directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::records::{Form, Packing, Shape};

/// How long an agent may take to stop: its own deadline is 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often a child is asked whether it is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An agent that delivers nothing for so long will not do so later.
const STANDSTILL: Duration = Duration::from_secs(180);

/// A running agent. It is killed when this is dropped.
pub(crate) struct Agent {
    child: Child,
    home: TempDir,
}

impl Agent {
    /// Starts `binary`, which ships the file at `log` to `endpoint`. All settings but the necessary have their
    /// defaults.
    pub(crate) fn start(
        binary: &Path,
        log: &Path,
        shape: Shape,
        endpoint: &Endpoint,
    ) -> anyhow::Result<Agent> {
        let input = json!({ "filePattern": log, "initialPosition": "START_OF_FILE" });
        Agent::start_with(binary, input, shape, endpoint)
    }

    /// The same with what `kinetail pipe --flow bench` takes in.
    pub(crate) fn start_piped(binary: &Path, shape: Shape, endpoint: &Endpoint) -> anyhow::Result<Agent> {
        Agent::start_with(binary, json!({ "name": "bench", "input": "pipe" }), shape, endpoint)
    }

    /// The same with a flow that has such keys.
    pub(crate) fn start_with(
        binary: &Path,
        mut flow: Value,
        shape: Shape,
        endpoint: &Endpoint,
    ) -> anyhow::Result<Agent> {
        let home = tempfile::tempdir().context("failed to make a directory for the agent")?;
        let at = |name: &str| home.path().join(name);
        flow["kinesisStream"] = json!("bench");
        let (packing, compression) = match shape.packing {
            Packing::None => ("none", "none"),
            Packing::Lines => ("lines", "none"),
            Packing::Gzip => ("lines", "gzip"),
            Packing::Zstd => ("lines", "zstd"),
        };
        flow["packing"] = json!(packing);
        flow["compression"] = json!(compression);
        flow["dataProcessingOptions"] = match shape.form {
            Form::Raw => json!([]),
            Form::Json => json!([{"optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG"}]),
        };
        let config = json!({
            "kinesis.endpoint": endpoint.url(),
            "kinesis.region": "us-east-1",
            "awsAccessKeyId": "bench",
            "awsSecretAccessKey": "bench",
            "caBundle": at("endpoint.pem"),
            "stateDirectory": at("state"),
            "cloudwatch.emitMetrics": false,
            "flows": [flow],
        });
        fs::write(at("endpoint.pem"), endpoint.certificate()).context("failed to write the certificate")?;
        fs::write(at("agent.json"), config.to_string()).context("failed to write the configuration")?;
        fs::create_dir(at("state")).context("failed to make the state directory")?;
        let child = Command::new(binary)
            .args(["run", "-c"])
            .arg(at("agent.json"))
            .env_clear()
            .env("LOGS_DIRECTORY", home.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("stderr")).context("failed to make a file for the agent's log")?)
            .spawn()
            .with_context(|| format!("failed to start `{}`", binary.display()))?;
        Ok(Agent { child, home })
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("agent.json")
    }

    /// The number by which the kernel knows it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `endpoint` has taken `records` records. Fails if the agent ends or stands still before.
    pub(crate) fn wait_until_taken(&mut self, endpoint: &Endpoint, records: u64) -> anyhow::Result<()> {
        let (mut taken, mut since) = (0, Instant::now());
        while taken < records {
            let now_taken = endpoint.wait_for(records, LOOK_EVERY);
            if now_taken > taken {
                (taken, since) = (now_taken, Instant::now());
            } else if let Some(status) = self.child.try_wait().context("failed to look after the agent")? {
                let balance = endpoint.books().balance();
                anyhow::bail!("the agent ended ({status}) with {balance}{}", self.last_words());
            } else if since.elapsed() > STANDSTILL {
                let balance = endpoint.books().balance();
                anyhow::bail!(
                    "the agent has stood still for {STANDSTILL:?} with {balance}{}",
                    self.last_words()
                );
            }
        }
        Ok(())
    }

    /// Asks it to stop, and makes sure that it ends as one that was asked to.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).context("a process has a number that is none")?;
        signal::kill(Pid::from_raw(pid), Signal::SIGTERM).context("failed to ask the agent to stop")?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT {
            if let Some(status) = self.child.try_wait().context("failed to wait for the agent")? {
                anyhow::ensure!(status.success(), "the agent stopped with {status}{}", self.last_words());
                return Ok(());
            }
            pause(LOOK_EVERY);
        }
        anyhow::bail!("the agent did not stop within {STOP_LIMIT:?}{}", self.last_words())
    }

    /// The end of what it said, for an error message.
    fn last_words(&self) -> String {
        let said = fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default();
        last.iter().map(|line| format!("\n    {line}")).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Does nothing for a while.
#[expect(clippy::disallowed_methods, reason = "other processes are measured, whose time cannot be paused")]
pub(crate) fn pause(how_long: Duration) {
    thread::sleep(how_long);
}
