//! A tool that rotates, and the server whose log it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use kinetail_tests::host::Host;
use kinetail_tests::logrotate::Logrotate;
use kinetail_tests::server::{self, GoesOn, Habits, Server};
use kinetail_tests::wait;

use crate::ways::{Tool, Way};

/// Lines a second of the server.
const RATE: u32 = 1000;

/// The tool of one run.
pub(crate) struct Rotator<'a> {
    way: &'a Way,
    log: PathBuf,
    logs: PathBuf,
    /// If it is the tool.
    logrotate: Option<Logrotate>,
    /// The server, and the `rotatelogs` that it writes to.
    server: Option<Server>,
    rotatelogs: Option<Child>,
    /// How often the log was rotated.
    pub(crate) rotations: u64,
}

impl<'a> Rotator<'a> {
    /// The tool of `way` for the log of this host; no server yet.
    pub(crate) fn new(way: &'a Way, host: &Host) -> Result<Rotator<'a>> {
        let log = host.log(way.log);
        let old = host.log("old");
        let logrotate = match &way.tool {
            Tool::Logrotate { configuration, when, daily, hold } => {
                let signal = server::signal(&log);
                let mut text = configuration.clone();
                for (word, path) in [("LOG", &log), ("OLD", &old), ("SIGNAL", &signal)] {
                    text = text.replace(word, &path.display().to_string());
                }
                if configuration.contains("OLD") {
                    fs::create_dir(&old)?;
                }
                let logrotate = Logrotate::new(host.path(), &text)?.when(*when).held_before_truncation(*hold);
                Some(if *daily { logrotate.daily() } else { logrotate })
            }
            Tool::Rotatelogs { .. } => None,
        };
        let logs = host.log("");
        Ok(Rotator { way, log, logs, logrotate, server: None, rotatelogs: None, rotations: 0 })
    }

    /// Starts a server whose first line has the number `first`.
    pub(crate) fn serve(&mut self, first: u64, goes_on: GoesOn) -> Result<()> {
        let habits = Habits { rate: RATE, first, lingering: self.way.lingering, goes_on };
        self.server = Some(match &self.way.tool {
            Tool::Logrotate { .. } => Server::to_file(&self.log, habits)?,
            Tool::Rotatelogs { arguments } => {
                let link = self.log.with_file_name("current");
                let path = |path: &Path| path.display().to_string();
                let arguments = arguments
                    .iter()
                    .map(|word| word.replace("LOG", &path(&self.log)).replace("LINK", &path(&link)));
                let mut child = Command::new("/usr/bin/rotatelogs")
                    .args(arguments)
                    .stdin(Stdio::piped())
                    .spawn()
                    .context("failed to start rotatelogs: `apt-get install apache2-utils` has it")?;
                let pipe = child.stdin.take().context("it has a pipe")?;
                self.rotatelogs = Some(child);
                Server::to_pipe(pipe, habits)?
            }
        });
        Ok(())
    }

    /// Lets a server go on that waits for that.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.server.as_ref().context("there is a server")?.go_on();
        Ok(())
    }

    /// Waits until so many more lines were written.
    pub(crate) async fn grown(&self, lines: u64) -> Result<()> {
        self.server.as_ref().context("there is a server")?.grown(lines).await
    }

    /// Rotates once.
    pub(crate) async fn rotate(&mut self) -> Result<()> {
        match &mut self.logrotate {
            Some(logrotate) => logrotate.run()?,
            None => {
                let before = sizes(&self.logs)?;
                wait::until("rotatelogs has rotated", wait::LONG, async || {
                    let is_other =
                        |(path, size): (&PathBuf, &u64)| before.get(path).is_none_or(|old| size < old);
                    Ok(sizes(&self.logs)?.iter().any(is_other).then_some(()))
                })
                .await?;
            }
        }
        self.rotations += 1;
        Ok(())
    }

    /// Ends the server, and with it what it writes to; says what number its next line would have had.
    pub(crate) async fn stop(&mut self) -> Result<u64> {
        let next = self.server.take().context("there is a server")?.stop()?;
        if let Some(mut child) = self.rotatelogs.take() {
            let ended = async || Ok(child.try_wait()?);
            let status = wait::until("rotatelogs has ended", wait::LONG, ended).await?;
            ensure!(status.success(), "rotatelogs ended with {status}");
        }
        Ok(next)
    }
}

/// The files of a directory, and how large they are.
fn sizes(directory: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A link may be on its way from one file to the next.
        if let Ok(metadata) = entry.metadata() {
            sizes.insert(entry.path(), metadata.len());
        }
    }
    Ok(sizes)
}
