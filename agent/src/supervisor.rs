//! The service manager, as far as it wants to be told: systemd's protocol of notifications.
//!
//! It says in the environment on which socket it listens, and how often it wants to hear that all is well. A message is
//! one datagram. Where nobody listens nothing is told. Does not know what there is to tell. Protocol:
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use std::{env, process};

use tracing::warn;

use crate::chain::Chain;

/// How long a message waits for room in the service manager's queue: the thread that sends it has other things to do.
const PATIENCE: Duration = Duration::from_millis(200);

/// Who started the agent.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Nobody who listens: for an agent that is part of a program, whose service manager is not its own.
    #[must_use]
    pub fn none() -> Supervisor {
        Supervisor { socket: None, watchdog: None }
    }

    /// Who the environment says. An agent that cannot reach it ships logs all the same.
    #[must_use]
    pub fn of_environment() -> Supervisor {
        let connected = env::var_os("NOTIFY_SOCKET").map(|address| connect(&address)).transpose();
        let socket = connected.unwrap_or_else(|error| {
            warn!(error = %Chain(&error), "could not reach the service manager at $NOTIFY_SOCKET; goes on untold");
            None
        });
        let watchdog = interval(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"), process::id());
        Supervisor { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// How long it waits for a word that all is well before it starts the agent again, if it does so at all.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it something; says whether it heard, as nobody always does.
    pub fn tell(&self, message: &str) -> bool {
        self.socket.as_ref().is_none_or(|socket| socket.send(message.as_bytes()).is_ok())
    }
}

/// A socket whose messages go to `address`: a path, or a name without a file after an `@`.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(address)?,
    }
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// What the environment says of the watchdog, if it is meant for the process `pid`.
fn interval(microseconds: Option<OsString>, meant: Option<OsString>, pid: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    let is_meant = meant.is_none_or(|meant| number(meant) == Some(pid.into()));
    let microseconds = microseconds.and_then(number).filter(|count| *count > 0 && is_meant)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_interval(microseconds: Option<&str>, meant: Option<&str>, seconds: Option<u64>) {
        let interval = interval(microseconds.map(Into::into), meant.map(Into::into), 7);
        assert_eq!(interval, seconds.map(Duration::from_secs));
    }

    #[test]
    fn the_watchdog_is_ours_unless_it_is_meant_for_another() {
        check_interval(Some("60000000"), None, Some(60));
        check_interval(Some("60000000"), Some("7"), Some(60));
        check_interval(Some("60000000"), Some("8"), None);
        check_interval(Some("60000000"), Some("seven"), None);
        check_interval(None, Some("7"), None);
        check_interval(Some("0"), None, None);
        check_interval(Some("soon"), None, None);
    }

    #[track_caller]
    fn check_heard(listener: &UnixDatagram, address: &OsStr) {
        let supervisor = Supervisor { socket: Some(connect(address).unwrap()), watchdog: None };
        assert!(supervisor.tell("READY=1"));
        let mut heard = [0; 100];
        let len = listener.recv(&mut heard).unwrap();
        assert_eq!(&heard[..len], b"READY=1");
    }

    #[test]
    fn a_socket_has_a_path_or_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        check_heard(&UnixDatagram::bind(&path).unwrap(), path.as_os_str());
        let name = format!("kinetail-{}-{}", process::id(), path.display());
        let listener = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        check_heard(&listener, format!("@{name}").as_ref());
    }

    #[test]
    fn one_who_does_not_listen_any_more_holds_up_nobody() {
        let (socket, listener) = UnixDatagram::pair().unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let supervisor = Supervisor { socket: Some(socket), watchdog: None };
        let told = (0..).take_while(|_| supervisor.tell("WATCHDOG=1")).count();
        assert!(told > 0, "its queue has room for some");
        drop(listener);
        assert!(!supervisor.tell("WATCHDOG=1"));
        assert!(Supervisor::none().tell("WATCHDOG=1"));
    }
}
