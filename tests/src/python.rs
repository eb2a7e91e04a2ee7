//! Python with the packages of `tests/requirements.txt`, and the emulators among them.
//!
//! The environment is made once, in the target directory, under a name that changes with the requirements.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::TempDir;

use crate::binary;
use crate::wait;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// How long an emulator may take to listen.
const START: Duration = Duration::from_secs(60);

/// The end of what an emulator has said that a failure shows.
const LOG_SHOWN: usize = 2000;

/// A program of the environment, such as `python` or `cfn-lint`; the environment is made first if need be.
///
/// # Errors
/// If it cannot be made.
pub fn program(name: &str) -> Result<PathBuf> {
    Ok(environment()?.join("bin").join(name))
}

/// Runs a script with these arguments and gives out what it has printed.
///
/// # Errors
/// If it fails; with what it said.
pub fn run(script: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program("python")?).args(["-c", script]).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn environment() -> Result<&'static Path> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match MADE.get_or_init(|| make().map_err(|error| format!("{error:#}"))) {
        Ok(path) => Ok(path),
        Err(error) => Err(anyhow!(error.clone())),
    }
}

fn make() -> Result<PathBuf> {
    let name = format!("python-{:08x}", crc32fast::hash(REQUIREMENTS.as_bytes()));
    let path = binary::target()?.join(name);
    let lock = File::create(path.with_extension("lock"))?;
    // Another test program may be making it just now.
    lock.lock()?;
    let complete = path.join("complete");
    if complete.exists() {
        return Ok(path);
    }
    finish(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&path))
        .context("failed to make a Python environment; `apt-get install python3-venv` has what it needs")?;
    let requirements = path.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let pip = path.join("bin/pip");
    finish(
        Command::new(pip)
            .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements),
    )
    .context("failed to install the Python packages")?;
    File::create(complete)?;
    Ok(path)
}

fn finish(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// An emulator of AWS. Ended when dropped.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Emulator {
    /// Starts `moto_server`: <https://docs.getmoto.org/en/latest/docs/server_mode.html>.
    ///
    /// # Errors
    /// If it does not listen in time.
    pub async fn moto() -> Result<Emulator> {
        let port = free_port()?;
        let mut command = Command::new(program("moto_server")?);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Emulator::start(command, port).await
    }

    /// Starts `ministack`, which listens on every address unless it is told not to: <https://pypi.org/project/ministack/>.
    ///
    /// # Errors
    /// If it does not listen in time.
    pub async fn ministack() -> Result<Emulator> {
        let port = free_port()?;
        let mut command = Command::new(program("ministack")?);
        command.env("GATEWAY_PORT", port.to_string()).env("BIND_HOST", "127.0.0.1");
        Emulator::start(command, port).await
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same, as an address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn start(mut command: Command, port: u16) -> Result<Emulator> {
        let directory = tempfile::Builder::new().prefix("kinetail-emulator-").tempdir()?;
        let log = directory.path().join("log");
        let output = File::create(&log)?;
        let path = env::var_os("PATH").unwrap_or_default();
        let child = command
            .env("PATH", path)
            .env("HOME", directory.path())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("failed to start an emulator")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut emulator = Emulator { child, address, _directory: directory };
        let listens = wait::until("the emulator listens", START, async || {
            if let Some(status) = emulator.child.try_wait()? {
                return Err(anyhow!("the emulator ended with {status}"));
            }
            Ok(TcpStream::connect(address).ok())
        });
        listens.await.map_err(|error| {
            let text = fs::read(&log).unwrap_or_default();
            let end = text.get(text.len().saturating_sub(LOG_SHOWN)..).unwrap_or_default();
            anyhow!("{error:#}\nit said:\n{}", String::from_utf8_lossy(end))
        })?;
        Ok(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Both fail only if it has gone already.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// A port that nobody listens on now. It may be taken before the emulator does; then the emulator ends and says so.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
