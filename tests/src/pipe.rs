//! `kinetail pipe` as a program that another one writes to.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::binary;
use crate::endpoint::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use crate::host::Host;
use crate::wait;

/// A running instance. Killed when dropped.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
}

/// Both ends of a pipe, of which the reading one is handed to one instance after the other, as httpd does.
#[derive(Debug)]
pub struct Ends {
    /// Where a program writes.
    pub writer: PipeWriter,
    reader: PipeReader,
}

impl Ends {
    /// An empty pipe.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn new() -> Result<Ends> {
        let (reader, writer) = pipe()?;
        Ok(Ends { writer, reader })
    }

    /// The end that an instance reads from.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn reader(&self) -> Result<PipeReader> {
        Ok(self.reader.try_clone()?)
    }
}

impl Pipe {
    /// Starts an instance for this flow of the host, which reads from `input`, and whose agent delivers.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start(host: &Host, flow: &str, input: impl Into<OwnedFd>) -> Result<Pipe> {
        host.configure()?;
        let config = host.config();
        Pipe::run(host, &["--flow".as_ref(), flow.as_ref(), "-c".as_ref(), config.as_ref()], input)
    }

    /// Starts an instance that delivers by itself to the stream `stream` at `endpoint`, with further `words`.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn to(
        host: &Host,
        (stream, endpoint): (&str, &str),
        words: &[&str],
        input: impl Into<OwnedFd>,
    ) -> Result<Pipe> {
        let state = host.state("");
        let options = ["--stream", stream, "--endpoint", endpoint, "--region", REGION, "--state-directory"];
        let options = options.iter().map(OsStr::new).chain([state.as_os_str()]);
        let all: Vec<&OsStr> = options.chain(words.iter().map(OsStr::new)).collect();
        Pipe::run(host, &all, input)
    }

    fn run(host: &Host, words: &[&OsStr], input: impl Into<OwnedFd>) -> Result<Pipe> {
        let stderr: File =
            OpenOptions::new().create(true).append(true).open(host.path().join("pipe.stderr"))?;
        let child = Command::new(binary::agent()?)
            .arg("pipe")
            .args(words)
            .env_clear()
            // What the configuration of an agent has in its file.
            .env("HOME", host.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .stdin(Stdio::from(input.into()))
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .context("failed to start `kinetail pipe`")?;
        Ok(Pipe { child })
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        wait::until("the pipe has ended", wait::LONG, async || Ok(self.child.try_wait()?)).await
    }

    /// Waits until it ends as it does at the end of its input.
    ///
    /// # Errors
    /// If it does not, or not with exit code 0.
    pub async fn done(mut self) -> Result<()> {
        let status = self.ended().await?;
        ensure!(status.success(), "the pipe ended with {status}");
        Ok(())
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// If that cannot be asked.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has gone already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)
            .with_context(|| format!("failed to send {signal}"))
    }

    /// Kills it: no handler runs.
    ///
    /// # Errors
    /// If it had ended before, which is not a kill.
    pub fn kill(mut self) -> Result<()> {
        ensure!(self.runs()?, "the pipe had ended by itself");
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Both fail only if it has gone already.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}
