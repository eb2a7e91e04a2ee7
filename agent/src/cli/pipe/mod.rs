//! `kinetail pipe`: standard input into the spool of a flow.
//!
//! Knows words, exit codes and who is to own the spool. What is in it is delivered by the agent that has the flow, whenever
//! one runs, without this program needing a network; or, where it is asked to, by the pipeline in this one. [`options`] has the
//! configuration that options stand for.

mod options;

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

use crate::chain::Chain;
use crate::cli::arguments::Pipe;
use crate::cli::run::end_at_panics;
use crate::cli::{sources, tell};
use crate::config::{self, Config, Sources};
use crate::exit::Exit;
use crate::log;
use crate::pipeline::Shipper;
use crate::spool::{Fed, Lost, Signals, SpoolError, Told, feed};
use options::OptionsError;

/// What the log tells if nothing else is asked for: standard error is that of the program's user.
const LOG_FILTER: &str = "warn,aws_smithy_http_client=off";

/// Why nothing is taken in.
#[derive(Debug, thiserror::Error)]
enum PipeError {
    #[error("{0}")]
    Configuration(String),
    #[error(transparent)]
    Options(OptionsError),
    #[error("could not find out who owns `{}`; an agent that was started once has made it", path.display())]
    StateDirectory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not become the owner of the state directory")]
    Owner(#[source] nix::Error),
    #[error("could not take over standard input")]
    Input(#[source] io::Error),
    #[error("could not start the thread that delivers")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Spool(SpoolError),
}

/// Who delivers what is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// The agent that has the flow.
    Agent,
    /// This program, or another instance of it that does so already.
    Own,
}

/// Takes all of standard input into the spool of the flow that is asked for.
pub(super) fn run(args: &Pipe, err: &mut dyn Write) -> Exit {
    match prepare(args).and_then(|(config, delivery)| fill(config, delivery, err)) {
        Ok(exit) => exit,
        Err(error) => {
            tell(err, format_args!("kinetail pipe: {}", Chain(&error)));
            match error {
                PipeError::Configuration(_)
                | PipeError::Options(OptionsError::Pattern { .. } | OptionsError::NoDirectory) => {
                    Exit::Misconfigured
                }
                PipeError::Options(OptionsError::Write { .. })
                | PipeError::StateDirectory { .. }
                | PipeError::Owner(_)
                | PipeError::Input(_)
                | PipeError::Thread(_)
                | PipeError::Spool(_) => Exit::Failed,
            }
        }
    }
}

/// The configuration, with the one flow alone, as the user that is to own the spool.
fn prepare(args: &Pipe) -> Result<(Config, Delivery), PipeError> {
    if let Some(stream) = &args.options.stream {
        let directory = options::state_directory(&args.options, stream).map_err(PipeError::Options)?;
        become_owner(&directory)?;
        let main = options::write(&args.options, stream, &directory).map_err(PipeError::Options)?;
        let config = only(&Sources { main, drop_ins: None, state_directory: Some(directory) }, stream)?;
        return Ok((config, Delivery::Own));
    }
    // What may be wrong with other flows is told by `check` and by the agent, not by each program that writes.
    let config = only(&sources(&args.configuration.file), args.flow.as_deref().unwrap_or_default())?;
    become_owner(&config.agent.state_directory)?;
    Ok((config, if args.ship { Delivery::Own } else { Delivery::Agent }))
}

/// The configuration that is read from `sources`, without other flows than `name`.
fn only(sources: &Sources, name: &str) -> Result<Config, PipeError> {
    let mut config =
        config::load(sources).map_err(|problems| PipeError::Configuration(problems.to_string()))?;
    let refused =
        |problem: String| PipeError::Configuration(format!("{}: {problem}", sources.main.display()));
    let Some(flow) = config.flows.iter().find(|flow| flow.name == name) else {
        let names = config.flows.iter().filter(|flow| flow.spool.is_some()).map(|flow| flow.name.as_str());
        let known = names.collect::<Vec<_>>().join(", ");
        let known =
            if known.is_empty() { "none takes a pipe".to_owned() } else { format!("there is {known}") };
        return Err(refused(format!("there is no flow `{name}`; {known}")));
    };
    if flow.spool.is_none() {
        return Err(refused(format!(
            "flow `{name}` reads files; it takes a pipe with `\"input\": \"pipe\"`"
        )));
    }
    config.flows.retain(|flow| flow.name == name);
    Ok(config)
}

fn fill(config: Config, delivery: Delivery, err: &mut dyn Write) -> Result<Exit, PipeError> {
    let Some((flow, settings)) =
        config.flows.first().and_then(|flow| Some((flow.name.clone(), flow.spool.clone()?)))
    else {
        return Ok(Exit::Misconfigured);
    };
    let input: OwnedFd = io::stdin().as_fd().try_clone_to_owned().map_err(PipeError::Input)?;
    // Before any other thread is started, so that a signal does not end the process there.
    let signals = Signals::listen().map_err(PipeError::Spool)?;
    let shipper = match delivery {
        Delivery::Agent => None,
        Delivery::Own => {
            log::start(None, Some(env::var("KINETAIL_LOG").as_deref().unwrap_or(LOG_FILTER)));
            end_at_panics();
            Some(Shipper::start(config).map_err(PipeError::Thread)?)
        }
    };
    let fed = feed(&settings, input, &signals, &mut |told| tell_of_loss(&flow, told, err));
    let left = shipper.and_then(|shipper| shipper.finish(&settings.directory, &signals));
    if fed.map_err(PipeError::Spool)? == Fed::Asked {
        tell(err, "kinetail pipe: asked to stop, and stopped though somebody still writes");
    }
    Ok(match left {
        None => Exit::Done,
        Some(bytes) => {
            let place = settings.directory.display();
            let when = "the next `kinetail pipe` for it delivers them";
            tell(err, format_args!("kinetail pipe: {bytes} bytes wait in {place}; {when}"));
            Exit::Failed
        }
    })
}

fn tell_of_loss(flow: &str, told: Told, err: &mut dyn Write) {
    let (Lost { lines, bytes }, why) = match told {
        Told::Dropped(lost) => (lost, "the oldest, as the spool is full"),
        Told::Discarded(lost) => (lost, "as they came, as the disk is full"),
    };
    let mend = "is it delivered? `kinetail status` says so";
    tell(
        err,
        format_args!("kinetail pipe: flow {flow}: dropped {lines} lines ({bytes} bytes), {why}; {mend}"),
    );
}

/// Becomes the owner of the state directory, for good, if it is root: httpd starts its pipes as root, and the agent, which
/// reads the spool, is somebody else. Where there is no such directory yet, whoever owns that above will own it.
fn become_owner(state_directory: &Path) -> Result<(), PipeError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let failed = |source| PipeError::StateDirectory { path: state_directory.to_owned(), source };
    let found = state_directory.ancestors().find_map(|directory| match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found),
    });
    let owner = found.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into())).map_err(failed)?;
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    if user.is_root() {
        return Ok(());
    }
    setgroups(&[group]).and_then(|()| setgid(group)).and_then(|()| setuid(user)).map_err(PipeError::Owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a flow of this name in a configuration with these flows; nothing if it takes a pipe.
    #[track_caller]
    fn check(flows: &str, name: &str, told: Option<&str>) {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("agent.json");
        fs::write(&main, format!("{{\"flows\": [{flows}]}}")).unwrap();
        let sources = Sources { main, drop_ins: None, state_directory: Some(directory.path().into()) };
        let problem = only(&sources, name).map(|config| config.flows[0].name.clone());
        let problem = problem
            .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""));
        assert_eq!(problem, told.map_or(Ok(name.to_owned()), |told| Err(told.to_owned())));
    }

    #[test]
    fn a_flow_that_takes_a_pipe_is_found_by_its_name() {
        let piped = r#"{"name": "a", "input": "pipe", "kinesisStream": "s"}"#;
        let reads = r#"{"name": "b", "filePattern": "/b", "kinesisStream": "s"}"#;
        let both = format!("{reads}, {piped}");
        check(&both, "a", None);
        check(&both, "c", Some("agent.json: there is no flow `c`; there is a"));
        check(reads, "c", Some("agent.json: there is no flow `c`; none takes a pipe"));
        let told = "agent.json: flow `b` reads files; it takes a pipe with `\"input\": \"pipe\"`";
        check(&both, "b", Some(told));
    }

    #[test]
    fn what_is_wrong_with_the_configuration_is_told() {
        check(
            "{}",
            "a",
            Some(
                "agent.json:1:12: this flow needs `filePattern`\nagent.json:1:12: this flow needs `kinesisStream`",
            ),
        );
    }
}
