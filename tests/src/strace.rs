//! `strace` between an agent and the kernel: what the agent asks of some paths, call by call, and harm done at one of them.
//!
//! Harm is done to a call as it is entered: `signal=KILL` ends the agent before the call has done anything, `error=EIO`
//! makes it fail. strace counts the calls of one name in one thread, and only those on the paths.
//! <https://man7.org/linux/man-pages/man1/strace.1.html>

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::agent::Agent;
use crate::wait;

/// Where Debian has it.
const PROGRAM: &str = "/usr/bin/strace";

/// What is looked at, where it is noted, and what harm is done.
#[derive(Clone, Debug)]
pub struct Strace {
    paths: Vec<PathBuf>,
    notes: PathBuf,
    harm: Option<String>,
}

/// A call of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who made it.
    pub thread: u32,
    /// Its name, such as `fsync`.
    pub name: String,
    /// The last part of the first of the paths in its arguments.
    pub path: String,
}

/// A strace that watches an agent which ran before.
#[derive(Debug)]
pub struct Attached(Child);

impl Strace {
    /// Notes in the file `notes` all calls on `paths`.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>, notes: PathBuf) -> Strace {
        Strace { paths, notes, harm: None }
    }

    /// The same, and does harm, such as `fsync:error=EIO:when=2`.
    #[must_use]
    pub fn harming(&self, harm: String) -> Strace {
        Strace { harm: Some(harm), ..self.clone() }
    }

    /// The words before a program that is to be watched from its first call. The process is the program: strace stands
    /// beside it, not above it, and dies with it.
    ///
    /// # Errors
    /// If nothing can be noted.
    pub fn words(&self) -> Result<Vec<OsString>> {
        self.forget()?;
        let mut words: Vec<OsString> = vec![PROGRAM.into(), "-D".into()];
        words.extend(self.options());
        Ok(words)
    }

    /// Watches an agent that runs, all its threads, from now on.
    ///
    /// # Errors
    /// If strace cannot be started, or does not come to it.
    pub async fn attach(&self, agent: &Agent) -> Result<Attached> {
        self.forget()?;
        let mut strace = Command::new(PROGRAM);
        strace.args(self.options()).arg("-p").arg(agent.pid().to_string());
        let strace = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut attached = Attached(strace.context("failed to start strace")?);
        wait::until("strace is attached", wait::LONG, async || {
            // It may have done its harm already, and have gone.
            Ok((attached.is_gone()? || is_traced(agent)?).then_some(()))
        })
        .await?;
        Ok(attached)
    }

    /// What was noted of another agent is not of this one.
    fn forget(&self) -> Result<()> {
        fs::write(&self.notes, "").with_context(|| format!("failed to write `{}`", self.notes.display()))
    }

    fn options(&self) -> Vec<OsString> {
        // -f: all threads. -y: descriptors with their paths. -s: enough for every path, as -y does not shorten.
        let mut options: Vec<OsString> = ["-f", "-y", "-s", "512", "-o"].map(OsString::from).into();
        options.push(self.notes.clone().into());
        for path in &self.paths {
            options.extend(["-P".into(), path.clone().into()]);
        }
        if let Some(harm) = &self.harm {
            options.extend(["-e".into(), format!("inject={harm}").into()]);
        }
        options
    }

    /// The calls so far.
    ///
    /// # Errors
    /// If nothing was noted, or something that is no call on one of the paths.
    pub fn calls(&self) -> Result<Vec<Call>> {
        let notes = fs::read_to_string(&self.notes)
            .with_context(|| format!("failed to read `{}`", self.notes.display()))?;
        // The last line may be in the making.
        let lines = notes.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.filter(|line| is_call(line)).map(|line| self.call(line)).collect()
    }

    fn call(&self, line: &str) -> Result<Call> {
        let parsed = || {
            let (thread, rest) = line.split_once(' ')?;
            let (name, arguments) = rest.trim_start().split_once('(')?;
            let path = arguments
                .split(['"', '<', '>'])
                .find(|word| self.paths.iter().any(|path| path.as_os_str() == *word))?;
            let path = path.rsplit('/').next()?.to_owned();
            Some(Call { thread: thread.parse().ok()?, name: name.to_owned(), path })
        };
        parsed().with_context(|| format!("strace noted `{line}`"))
    }
}

/// Whether a call begins in this line, and not a signal, an end, the second half of a call, or one that a kill came before.
fn is_call(line: &str) -> bool {
    let what = line.split_once(' ').map_or("", |(_, what)| what.trim_start());
    !["---", "+++", "<...", "???"].iter().any(|begin| what.starts_with(begin))
}

/// Whether every thread of an agent that runs is watched by somebody.
fn is_traced(agent: &Agent) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{}/task", agent.pid()))? {
        // A thread may have ended since it was listed.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Attached {
    /// Waits until strace has gone, as it does when the agent has: its notes are whole then.
    ///
    /// # Errors
    /// If it stays.
    pub async fn ended(mut self) -> Result<()> {
        wait::until("strace has ended", wait::LONG, async || Ok(self.is_gone()?.then_some(()))).await
    }

    fn is_gone(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Attached {
    /// Lets strace take its hands off the agent, which goes on without it.
    fn drop(&mut self) {
        // Both fail only if it has gone already.
        if let Ok(pid) = i32::try_from(self.0.id()) {
            signal::kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap_or_default();
        }
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(u32, &str, &str)>) {
        let paths = ["/s", "/s/checkpoint", "/s/checkpoint.new"].map(PathBuf::from).to_vec();
        let directory = tempfile::tempdir().unwrap();
        let strace = Strace::new(paths, directory.path().join("notes"));
        fs::write(&strace.notes, line).unwrap();
        let call = |(thread, name, path): (u32, &str, &str)| Call {
            thread,
            name: name.to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(strace.calls().unwrap(), expected.into_iter().map(call).collect::<Vec<_>>());
    }

    #[test]
    fn a_call_is_known_by_its_name_and_its_first_path() {
        check(
            "7 rename(\"/s/checkpoint.new\", \"/s/checkpoint\") = 0\n",
            Some((7, "rename", "checkpoint.new")),
        );
        check(
            "7 write(16</s/checkpoint.new>, \"kinetail\"..., 9) = 9\n",
            Some((7, "write", "checkpoint.new")),
        );
        check("7 openat(AT_FDCWD</>, \"/s\", O_RDONLY) = 17</s>\n", Some((7, "openat", "s")));
        check("7   fsync(17</s> <unfinished ...>\n", Some((7, "fsync", "s")));
        check("7 fsync(17</s>)     = ?\n", Some((7, "fsync", "s")));
    }

    #[test]
    fn what_is_no_call_is_left_out() {
        check("7 --- SIGTERM {si_signo=SIGTERM} ---\n", None);
        check("7 +++ killed by SIGKILL +++\n", None);
        check("7 <... fsync resumed>)  = 0\n", None);
        check("7 fsync(17</s>", None);
    }

    #[test]
    fn a_call_on_another_path_is_an_error_that_shows_it() {
        let directory = tempfile::tempdir().unwrap();
        let strace = Strace::new(vec![PathBuf::from("/s")], directory.path().join("notes"));
        fs::write(&strace.notes, "7 fsync(17</t>) = 0\n").unwrap();
        assert_eq!(strace.calls().unwrap_err().to_string(), "strace noted `7 fsync(17</t>) = 0`");
    }
}
