//! The Java agent, as far as it keeps positions: its store, made and read in Python, and what it would read after a start.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// A store of the Java agent.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// The store at `path`, which need not be there.
    #[must_use]
    pub fn at(path: PathBuf) -> Store {
        Store { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the row of a flow for a file that is there, as the Java agent does when it has read so far.
    ///
    /// # Errors
    /// If it can't.
    pub fn save(&self, flow: &str, file: &Path, offset: u64) -> Result<()> {
        let rows = json!([[flow, file, offset]]);
        let mut child = self.script("make", &[])?.stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("no standard input")?.write_all(rows.to_string().as_bytes())?;
        ensure!(child.wait()?.success(), "the store could not be made");
        Ok(())
    }

    /// Every row, column by column.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn rows(&self) -> Result<Vec<Value>> {
        serde_json::from_slice(&self.run("rows", &[])?).context("rows that are none")
    }

    /// Changes rows by a statement of SQL.
    ///
    /// # Errors
    /// If SQLite does not take it.
    pub fn change(&self, statement: &str) -> Result<()> {
        self.run("sql", &[statement]).map(drop)
    }

    /// Lets the Java agent die in the middle of a transaction that changes everything: a journal is left beside the store.
    ///
    /// # Errors
    /// If it can't.
    pub fn die(&self) -> Result<()> {
        self.run("die", &[]).map(drop)
    }

    /// Another process holds the store until this is dropped.
    ///
    /// # Errors
    /// If it can't.
    pub fn lock(&self) -> Result<Lock> {
        let mut command = self.script("lock", &[])?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut said)?;
        ensure!(said == "locked\n", "the store could not be locked");
        Ok(Lock { child })
    }

    /// What the Java agent reads after a start with this store: files of `glob` in `directory`, each from an offset.
    ///
    /// # Errors
    /// If it would not go on from its position; with the reason.
    pub fn follow(&self, flow: &str, directory: &Path, glob: &str) -> Result<Vec<(PathBuf, u64)>> {
        let directory = directory.to_str().context("a directory that is not UTF-8")?;
        let output = self.run("follow", &[flow, directory, glob])?;
        let files: Vec<(PathBuf, u64)> = serde_json::from_slice(&output)?;
        Ok(files)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = self.script(command, arguments)?.output().context("failed to run `python3`")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    fn script(&self, command: &str, arguments: &[&str]) -> Result<Command> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/java_store.py");
        ensure!(script.exists(), "`{}` is missing", script.display());
        let mut python = Command::new("python3");
        python.arg(script).arg(command).arg(&self.path).args(arguments);
        Ok(python)
    }
}

/// An exclusive transaction of another process.
#[derive(Debug)]
pub struct Lock {
    child: Child,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Its standard input ends, and so does the process.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
