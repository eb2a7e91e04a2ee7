//! Debian's `logrotate`, run by hand with a configuration of one's own, and what the files hold that it leaves behind.
//!
//! It can be brought into situations that are rare: a day goes by between two runs, or time between copy and truncation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How often it is tried to set the clock for a run.
const ATTEMPTS: u32 = 3;

/// Whether a log is rotated that need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It is, whatever the configuration says of times and sizes.
    Always,
    /// Only if the configuration says so.
    Due,
}

/// A configuration of `logrotate` with its state.
#[derive(Debug)]
pub struct Logrotate {
    configuration: PathBuf,
    state: PathBuf,
    when: When,
    /// How long it is held up before it truncates what it has copied.
    hold: Duration,
    /// Days that have gone by; none if its clock is that of the system.
    days: Option<u32>,
}

impl Logrotate {
    /// Keeps `text`, a configuration, in `directory`, where no log may be.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(directory: &Path, text: &str) -> Result<Logrotate> {
        let at = |name| directory.join(name);
        fs::write(at("logrotate.conf"), text).context("failed to write the configuration of logrotate")?;
        let (configuration, state) = (at("logrotate.conf"), at("logrotate.state"));
        Ok(Logrotate { configuration, state, when: When::Always, hold: Duration::ZERO, days: None })
    }

    /// The same for logs that are rotated at other times.
    #[must_use]
    pub fn when(self, when: When) -> Logrotate {
        Logrotate { when, ..self }
    }

    /// The same with a day before each run, so that no two give a file the same date. Times of files stay true.
    #[must_use]
    pub fn daily(self) -> Logrotate {
        Logrotate { days: Some(0), ..self }
    }

    /// The same with time between copy and truncation, as on a busy disk: what is written in it is destroyed.
    #[must_use]
    pub fn held_before_truncation(self, hold: Duration) -> Logrotate {
        Logrotate { hold, ..self }
    }

    /// Runs it once.
    ///
    /// # Errors
    /// If it is not installed or does not like what it finds.
    pub fn run(&mut self) -> Result<()> {
        let mut words: Vec<String> = Vec::new();
        let mut say = |text: &str| words.extend(text.split(' ').map(str::to_owned));
        if !self.hold.is_zero() {
            let micros = self.hold.as_micros();
            say(&format!(
                "strace -qq -e trace=ftruncate -e signal=none -e inject=ftruncate:delay_enter={micros}"
            ));
        }
        if let Some(days) = &mut self.days {
            *days += 1;
            say(&format!("faketime -f +{days}d"));
        }
        say("/usr/sbin/logrotate");
        if self.when == When::Always {
            say("--force");
        }
        say("--state");
        let (program, arguments) = words.split_first().context("there is a program")?;
        let mut command = Command::new(program);
        command.args(arguments).args([&self.state, &self.configuration]).env("NO_FAKE_STAT", "1");
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            let output = command.output().with_context(|| {
                format!("failed to run `{program}`: `apt-get install logrotate faketime strace` has it")
            })?;
            if output.status.success() {
                return Ok(());
            }
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            // Another with its process number was killed, once. It has not begun.
            if !said.contains("faketime: sem_open: File exists") {
                break;
            }
        }
        bail!("logrotate failed: {said}")
    }
}

/// The whole lines in all files of `directory` and below, compressed ones included: each is read with the tool that
/// belongs to its name.
///
/// # Errors
/// If a file cannot be read.
pub fn lines(directory: &Path) -> Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    for entry in
        fs::read_dir(directory).with_context(|| format!("failed to list `{}`", directory.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            lines.extend(self::lines(&path)?);
        } else {
            let text = text(&path)?;
            lines.extend(text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
    }
    lines.retain(|line| line.ends_with(b"\n"));
    Ok(lines)
}

fn text(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => "gzip",
        Some("zst") => "zstd",
        Some("bz2") => "bzip2",
        Some("xz") => "xz",
        Some(_) | None => {
            return fs::read(path).with_context(|| format!("failed to read `{}`", path.display()));
        }
    };
    let output = Command::new(tool).args(["-q", "-d", "-c"]).arg(path).output().with_context(|| {
        format!("failed to run `{tool}`: `apt-get install bzip2 xz-utils zstd` has what Debian comes without")
    })?;
    ensure!(output.status.success(), "`{tool}` does not take `{}` for one of its files", path.display());
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    /// Rotates a log of the line `first` twice, with `second` in it before the second time; says which files there are then.
    #[track_caller]
    fn check(directives: &str, change: impl FnOnce(Logrotate) -> Logrotate, expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let log = logs.join("log");
        let text = format!("\"{}\" {{\nrotate 9\n{directives}\n}}\n", log.display());
        let mut logrotate = change(Logrotate::new(dir.path(), &text).unwrap());
        for line in ["first\n", "second\n"] {
            let mut file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
            file.write_all(line.as_bytes()).unwrap();
            logrotate.run().unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(&logs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, expected);
        let mut held = lines(&logs).unwrap();
        held.sort();
        assert_eq!(held, [b"first\n".as_slice(), b"second\n"]);
    }

    #[test]
    fn files_get_numbers_and_are_compressed() {
        check("nocreate", |it| it, &["log.1", "log.2"]);
        check("nocreate\ncompress", |it| it, &["log.1.gz", "log.2.gz"]);
        for (tool, extension) in [("zstd", "zst"), ("xz", "xz"), ("bzip2", "bz2")] {
            let directives = format!(
                "nocreate\ncompress\ndelaycompress\ncompresscmd /usr/bin/{tool}\ncompressext .{extension}"
            );
            check(&directives, |it| it, &["log.1", &format!("log.2.{extension}")]);
        }
    }

    #[test]
    fn what_is_not_due_stays() {
        check("nocreate\nsize 1k", |it| it.when(When::Due), &["log"]);
    }

    #[test]
    fn a_copy_holds_what_was_truncated() {
        let slowly = |it: Logrotate| it.held_before_truncation(Duration::from_millis(1));
        check("copytruncate", slowly, &["log", "log.1", "log.2"]);
    }
}
