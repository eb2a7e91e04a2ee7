//! The agent's process: started, watched, stopped, killed.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::Host;
use crate::usage::{self, Usage};
use crate::wait;

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    started: SystemTime,
}

impl Agent {
    /// Starts `binary` on a host; through the program that `through` begins with, if any, which has to become the
    /// agent in the end.
    pub(crate) fn start(binary: &Path, host: &Host, through: &[OsString]) -> Result<Agent> {
        let stderr = OpenOptions::new().create(true).append(true).open(host.stderr())?;
        let started = SystemTime::now();
        let mut words = through.iter().map(OsString::as_os_str).chain([binary.as_os_str()]);
        let child = Command::new(words.next().context("there is the agent itself")?)
            .args(words)
            .arg("run")
            .arg("-c")
            .arg(host.config())
            .env_clear()
            // Nothing of the machine that the tests run on may matter: no profile, no proxy, no instance role.
            .env("HOME", host.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("LOGS_DIRECTORY", host.logs_directory())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("failed to start `{}`", binary.display()))?;
        Ok(Agent { child, started })
    }

    /// The number by which the kernel knows it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has gone already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("failed to send {signal}"))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        wait::until("the agent has ended", wait::LONG, async || Ok(self.child.try_wait()?)).await
    }

    /// Ends it as the service manager would, and waits for it.
    ///
    /// # Errors
    /// If it does not end, or not with exit code 0.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.ended().await?;
        ensure!(status.success(), "the agent was asked to stop and ended with {status}");
        Ok(())
    }

    /// Kills it: no handler runs, nothing is written any more.
    ///
    /// # Errors
    /// If it had ended before, which is not a kill.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        ensure!(
            status.signal() == Some(Signal::SIGKILL as i32),
            "the agent had ended by itself with {status}"
        );
        Ok(())
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// If it has gone.
    pub fn usage(&self) -> Result<Usage> {
        usage::of(self.pid())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it has gone already.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}
