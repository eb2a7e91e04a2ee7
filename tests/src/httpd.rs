//! A real Apache from Debian's packages, on loopback, with the combined log that it ships with.
//!
//! On IPv4 it reads requests strictly, as it does by default, and on IPv6 as leniently as it can: broken request lines
//! are logged differently.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::wait;

const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

/// A running server. Stopped when dropped.
#[derive(Debug)]
pub struct Httpd {
    dir: TempDir,
    server: Child,
    strict: SocketAddr,
    lenient: SocketAddr,
}

impl Httpd {
    /// Starts a server that logs to `access_log`, and waits until it answers.
    ///
    /// # Errors
    /// If it is not installed, or does not come up.
    pub async fn start(access_log: &Path) -> Result<Httpd> {
        Httpd::start_with(access_log, &[]).await
    }

    /// The same with further logs: programs to pipe to, as in `CustomLog`.
    ///
    /// # Errors
    /// As [`Httpd::start`].
    pub async fn start_with(access_log: &Path, pipes: &[&str]) -> Result<Httpd> {
        ensure!(
            Path::new(PROGRAM).exists(),
            "there is no httpd at {PROGRAM}, and this test is worth nothing without: \
             `apt-get install apache2` has it (its service need not run)"
        );
        let dir = tempfile::Builder::new().prefix("kinetail-httpd-").tempdir()?;
        // The children run as another user and read the pages.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let pages = dir.path().join("pages");
        for page in ["page", "private/page"] {
            let page = pages.join(page);
            fs::create_dir_all(page.parent().context("a page is in a directory")?)?;
            fs::write(page, "hello\n")?;
        }
        let strict = free(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let lenient = free(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))?;
        fs::write(configuration(dir.path()), written(dir.path(), access_log, pipes, strict, lenient)?)?;

        let server =
            command(dir.path()).args(["-D", "FOREGROUND"]).spawn().context("failed to start httpd")?;
        let mut httpd = Httpd { dir, server, strict, lenient };
        wait::until("httpd answers", wait::LONG, async || {
            let ended = httpd.server.try_wait()?;
            ensure!(ended.is_none(), "httpd ended: {}", httpd.error_log());
            Ok(TcpStream::connect(strict).and(TcpStream::connect(lenient)).ok())
        })
        .await?;
        Ok(httpd)
    }

    /// Where it listens on IPv4.
    #[must_use]
    pub fn strict(&self) -> SocketAddr {
        self.strict
    }

    /// Where it listens on IPv6.
    #[must_use]
    pub fn lenient(&self) -> SocketAddr {
        self.lenient
    }

    /// Lets it open its logs again without breaking off a request, as logrotate does after a rename. Children that are
    /// busy go on writing to the renamed file.
    ///
    /// # Errors
    /// If it does not take the order.
    pub fn restart_gracefully(&self) -> Result<()> {
        let status = Command::new("sh").args(["-c", &self.graceful()]).status()?;
        ensure!(status.success(), "httpd did not restart: {}", self.error_log());
        Ok(())
    }

    /// The command that does so, for a script of logrotate.
    #[must_use]
    pub fn graceful(&self) -> String {
        format!("{PROGRAM} -f '{}' -k graceful", configuration(self.dir.path()).display())
    }

    /// Stops it; when this returns it has written all it will ever write.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(mut self) -> Result<()> {
        self.terminate()?;
        wait::until("httpd has ended", wait::LONG, async || Ok(self.server.try_wait()?)).await?;
        Ok(())
    }

    fn terminate(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.server.id())?);
        kill(pid, Signal::SIGTERM).context("failed to stop httpd")
    }

    fn error_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        // After `stop` there is nothing left to be ended.
        if matches!(self.server.try_wait(), Ok(None)) && self.terminate().is_ok() {
            drop(self.server.wait());
        }
    }
}

/// An address that nobody listens on now. httpd cannot be asked which port it was given.
fn free(address: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| format!("failed to listen on {address}"))?;
    Ok(listener.local_addr()?)
}

fn configuration(dir: &Path) -> PathBuf {
    dir.join("httpd.conf")
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("-f").arg(configuration(dir));
    command
}

fn written(
    dir: &Path,
    access_log: &Path,
    pipes: &[&str],
    strict: SocketAddr,
    lenient: SocketAddr,
) -> Result<String> {
    let mut text = String::new();
    for module in
        ["mpm_event", "reqtimeout", "authn_core", "authn_anon", "authz_core", "authz_user", "auth_basic"]
    {
        writeln!(text, "LoadModule {module}_module {MODULES}/mod_{module}.so")?;
    }
    if Uid::effective().is_root() {
        writeln!(text, "User www-data\nGroup www-data")?;
    }
    let (dir, access_log) = (dir.display(), access_log.display());
    write!(
        text,
        r#"
ServerName localhost
DefaultRuntimeDir "{dir}"
PidFile "{dir}/httpd.pid"
ErrorLog "{dir}/error.log"
DocumentRoot "{dir}/pages"
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{{Referer}}i\" \"%{{User-Agent}}i\"" combined
CustomLog "{access_log}" combined
KeepAlive On
# Otherwise the kernel hides connections that send nothing, and none of them ends in the log.
AcceptFilter http none
RequestReadTimeout header=1 body=1
<Location "/private">
    AuthType Basic
    AuthName "anybody"
    AuthBasicProvider anon
    Anonymous *
    Anonymous_NoUserID On
    Anonymous_MustGiveEmail Off
    Require valid-user
</Location>
Listen {strict}
Listen {lenient}
<VirtualHost *:{}>
    HttpProtocolOptions Strict Allow0.9
</VirtualHost>
<VirtualHost *:{}>
    HttpProtocolOptions Unsafe LenientMethods Allow0.9
</VirtualHost>
"#,
        strict.port(),
        lenient.port()
    )?;
    for pipe in pipes {
        writeln!(text, "CustomLog \"{pipe}\" combined")?;
    }
    Ok(text)
}
