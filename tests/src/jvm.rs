//! A real JVM that logs through log4j2 or logback: a program of our own (`tests/java`) with their jars from Maven Central.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use base64_simd::STANDARD;

use crate::binary;
use crate::wait;

/// Where the jars are from.
const CENTRAL: &str = "https://repo1.maven.org/maven2/";

/// Their paths there and their SHA-256.
const JARS: [(&str, &str); 7] = [
    (
        "org/slf4j/slf4j-api/2.0.20/slf4j-api-2.0.20.jar",
        "7e1446499b359675d8aabe6af2de86b85e72ae8a2a932c0b40d0e5ba57097439",
    ),
    (
        "org/apache/logging/log4j/log4j-api/2.26.1/log4j-api-2.26.1.jar",
        "f1810a4704ccce019d02bba029dc02a4f2ac0c997f647b465e7d409c1927f822",
    ),
    (
        "org/apache/logging/log4j/log4j-core/2.26.1/log4j-core-2.26.1.jar",
        "2ec8c3bf5a6d7c89be8620116a2fc973f7dda1ad0261ad393c4d4726edfd3dcb",
    ),
    (
        "org/apache/logging/log4j/log4j-layout-template-json/2.26.1/log4j-layout-template-json-2.26.1.jar",
        "91783f86db7f17700e4c4b4c2a1ea14132485d4faee91a11ff62fb6320eb26f7",
    ),
    (
        "org/apache/logging/log4j/log4j-slf4j2-impl/2.26.1/log4j-slf4j2-impl-2.26.1.jar",
        "cbdfb4c2bcc10f0927c61036db54924250f3924ecd13ea913cefe4f99c08fa66",
    ),
    (
        "ch/qos/logback/logback-core/1.5.38/logback-core-1.5.38.jar",
        "a855a0fc97b1d06f4efb1c3bba5ebd0eb508d8b58e68e89e4bbc23a85135c883",
    ),
    (
        "ch/qos/logback/logback-classic/1.5.38/logback-classic-1.5.38.jar",
        "afb439c61fa287c9e1925523b13baab03617e724406a389d48b61c2c3e46b700",
    ),
];

/// Where its standard error goes.
const COMPLAINT: &str = "java.stderr";

/// What the program logs through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Apache log4j 2.
    Log4j2,
    /// logback.
    Logback,
}

/// Where the entries go.
#[derive(Clone, Copy, Debug)]
pub enum Appender<'a> {
    /// To standard output, by a pattern.
    Console,
    /// To standard output, as JSON.
    Json,
    /// To this file, by a pattern; it is rotated at 200 kB.
    File(&'a Path),
}

/// What a program is to log.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Through what.
    pub backend: Backend,
    /// Where to.
    pub appender: Appender<'a>,
    /// How many entries.
    pub entries: u32,
    /// How many of them a thread logs between two pauses of a millisecond; 0 for none.
    pub burst: u32,
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    book: PathBuf,
}

/// An entry, as the program noted it before it logged it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its level.
    pub level: String,
    /// The thread's name.
    pub thread: String,
    /// The logger's name.
    pub logger: String,
    /// What is logged; each is unique.
    pub message: String,
    /// The stack trace as Java prints it; empty if there is none.
    pub trace: String,
}

impl Program {
    /// Starts a program that keeps its book in `directory` and writes to `output`.
    ///
    /// # Errors
    /// If there is no JVM, or the jars cannot be had.
    pub fn start(plan: &Plan<'_>, directory: &Path, output: impl Into<Stdio>) -> Result<Program> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("java");
        let (appender, file) = match plan.appender {
            Appender::Console => ("console", Path::new("unused")),
            Appender::Json => ("json", Path::new("unused")),
            Appender::File(file) => ("file", file),
        };
        let (config, of_other) = match plan.backend {
            Backend::Log4j2 => ("log4j2.configurationFile", "logback"),
            Backend::Logback => ("logback.configurationFile", "log4j"),
        };
        let settings = match plan.backend {
            Backend::Log4j2 => sources.join("log4j2.xml"),
            Backend::Logback => sources.join("logback.xml"),
        };
        let jars = jars()?;
        let classes = JARS.iter().filter_map(|(path, _)| path.rsplit('/').next());
        let classes = classes.filter(|jar| !jar.starts_with(of_other)).map(|jar| jars.join(jar));
        let classes: Vec<_> = classes.map(|jar| jar.display().to_string()).collect();
        let book = directory.join("book");
        let child = Command::new("java")
            // One core is enough for it, and its memory is no figure of ours.
            .args([
                "-XX:+UseSerialGC",
                "-Xmx256m",
                "-Xss16m",
                "-XX:MaxJavaStackTraceDepth=4000",
                "-cp",
                &classes.join(":"),
            ])
            .arg(format!("-D{config}={}", settings.display()))
            .arg(format!("-Dappender={appender}"))
            .arg(format!("-Dfile={}", file.display()))
            .arg(sources.join("Entries.java"))
            .arg(&book)
            .args([plan.entries.to_string(), plan.burst.to_string()])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(File::create(directory.join(COMPLAINT))?)
            .spawn()
            .context("failed to start `java`; `apt-get install default-jdk-headless` has it")?;
        Ok(Program { child, book })
    }

    /// Waits until it has logged everything and ended; gives what it has logged.
    ///
    /// # Errors
    /// If it does not, or fails.
    pub async fn done(mut self) -> Result<Vec<Entry>> {
        let status =
            wait::until("the program has ended", wait::LONG, async || Ok(self.child.try_wait()?)).await?;
        let complaint = fs::read_to_string(self.complaint()).unwrap_or_default();
        ensure!(status.success(), "it ended with {status}: {complaint}");
        self.entries()
    }

    /// Kills it; gives what it may have logged, of which the last of each thread may not have been.
    ///
    /// # Errors
    /// If its book cannot be read.
    pub fn kill(mut self) -> Result<Vec<Entry>> {
        self.child.kill()?;
        self.child.wait()?;
        self.entries()
    }

    /// What is in its book by now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let Ok(book) = fs::read_to_string(&self.book) else { return Ok(Vec::new()) };
        // The last may be in the making.
        let lines = book.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.map(entry).collect()
    }

    /// The file with what it said on standard error.
    #[must_use]
    pub fn complaint(&self) -> PathBuf {
        self.book.with_file_name(COMPLAINT)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn entry(line: &str) -> Result<Entry> {
    let text = |encoded: &str| Ok::<_, anyhow::Error>(String::from_utf8(STANDARD.decode_to_vec(encoded)?)?);
    let fields: Vec<&str> = line.split('\t').collect();
    let [level, thread, logger, message, trace] = fields[..] else {
        return Err(anyhow!("the book says `{line}`"));
    };
    let own = str::to_owned;
    Ok(Entry {
        level: own(level),
        thread: own(thread),
        logger: own(logger),
        message: text(message)?,
        trace: text(trace)?,
    })
}

/// The directory with all jars, which are fetched first if need be.
fn jars() -> Result<&'static Path> {
    static FETCHED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FETCHED.get_or_init(|| fetch().map_err(|error| format!("{error:#}"))) {
        Ok(path) => Ok(path),
        Err(error) => Err(anyhow!(error.clone())),
    }
}

fn fetch() -> Result<PathBuf> {
    let directory = binary::target()?.join("jars");
    fs::create_dir_all(&directory)?;
    let lock = File::create(directory.join("lock"))?;
    // Another test program may be fetching them just now.
    lock.lock()?;
    for (path, sum) in JARS {
        let name = path.rsplit('/').next().context("a name")?;
        if is(&directory, name, sum)? {
            continue;
        }
        let fetched = Command::new("curl")
            .args(["--fail", "--silent", "--show-error", "--location", "--retry", "5", "--retry-all-errors"])
            .arg("--output")
            .arg(directory.join(name))
            .arg(format!("{CENTRAL}{path}"))
            .output()
            .context("failed to start `curl`")?;
        ensure!(fetched.status.success(), "{path}: {}", String::from_utf8_lossy(&fetched.stderr));
        ensure!(is(&directory, name, sum)?, "{path} has another SHA-256 than {sum}");
    }
    Ok(directory)
}

/// Whether the file of this name has that sum.
fn is(directory: &Path, name: &str, sum: &str) -> Result<bool> {
    let mut check = Command::new("sha256sum");
    check
        .args(["--check", "--status", "-"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut check = check.spawn().context("failed to start `sha256sum`")?;
    check.stdin.take().context("its input")?.write_all(format!("{sum}  {name}\n").as_bytes())?;
    Ok(check.wait()?.success())
}
