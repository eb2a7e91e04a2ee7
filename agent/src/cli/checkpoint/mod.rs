//! `kinetail checkpoint`: how far each file has been delivered; looked at, explained, changed.
//!
//! What changes positions goes through the running agent, which owns them; only where none runs, and its lock is ours,
//! is the checkpoint itself changed.

mod explain;
mod forget;
mod set;
mod show;
pub(super) mod words;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::chain::Chain;
use crate::checkpoint::{Found, State, Store, StoreError, load};
use crate::cli::arguments::Configuration;
use crate::cli::checkpoint::words::Checkpoint;
use crate::cli::{handback, sources, takeover, tell};
use crate::config::{self, Config, Flow};
use crate::control::{Amendment, Answer, AskError, Outcome, Request, ask};
use crate::exit::Exit;
use crate::position::Generation;
use crate::source::{AmendError, Amended};

pub(super) use show::write_text;

/// Does what the words behind `checkpoint` say.
pub(super) fn run(command: &Checkpoint, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    match command {
        Checkpoint::Show(args) => show::run(args, out, err),
        Checkpoint::Explain(args) => explain::run(args, out, err),
        Checkpoint::Set(args) => set::run(args, out, err),
        Checkpoint::Forget(args) => forget::run(args, out, err),
        Checkpoint::Takeover(args) => takeover::run(args, out, err),
        Checkpoint::Handback(args) => handback::run(args, out, err),
    }
}

/// The configuration, or how the command ends.
pub(super) fn configured(configuration: &Configuration, err: &mut dyn Write) -> Result<Config, Exit> {
    config::load(&sources(&configuration.file)).map_err(|problems| {
        tell(err, problems);
        Exit::Misconfigured
    })
}

/// What is on disk of the checkpoint, if anything can be trusted, or how the command ends.
pub(super) fn saved(directory: &Path, err: &mut dyn Write) -> Result<Option<State>, Exit> {
    let (found, damaged) = load(directory).map_err(|error| failed(&error, err))?;
    for (path, error) in &damaged {
        tell(err, format_args!("kinetail: `{}` can't be trusted: {}", path.display(), Chain(error)));
    }
    match found {
        Found::State(state) => Ok(Some(state)),
        Found::Nothing | Found::Damaged => Ok(None),
    }
}

/// Tells why the command fails.
pub(super) fn failed(error: &(dyn std::error::Error + 'static), err: &mut dyn Write) -> Exit {
    tell(err, format_args!("kinetail: {}", Chain(error)));
    Exit::Failed
}

/// The path as the agent knows it. Links in it stay: they are names like others.
fn absolute(path: &Path, err: &mut dyn Write) -> Result<PathBuf, Exit> {
    std::path::absolute(path).map_err(|error| failed(&error, err))
}

/// What the files of a flow are in a checkpoint; nothing if it never ran.
fn files_of<'a>(state: &'a mut State, flow: &Flow) -> Option<&'a mut Vec<Generation>> {
    state.flows.iter_mut().find(|(id, _)| *id == flow.id).map(|(_, files)| files)
}

/// Has the running agent do what `request` says, or does it by `change` to each flow's part of the checkpoint; then
/// tells what was before and what is now.
fn amend(
    config: &Config,
    path: &Path,
    request: &Request,
    change: impl Fn(&Flow, &mut Vec<Generation>) -> Result<Amended, AmendError>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    let directory = &config.agent.state_directory;
    let amendments = match ask(directory, request) {
        Ok(Answer::Amended { flows }) => Ok(flows),
        Ok(Answer::Refused { reason }) => {
            tell(err, format_args!("kinetail: {reason}"));
            Err(Exit::Failed)
        }
        Ok(Answer::Status(_) | Answer::Explained { .. } | Answer::Replayed(_) | Answer::Cleared { .. }) => {
            tell(err, "kinetail: the agent answered something else");
            Err(Exit::Failed)
        }
        Err(AskError::Nobody { .. }) => amend_saved(config, change, err),
        Err(error @ (AskError::Silent { .. } | AskError::Failed { .. } | AskError::Codec(_))) => {
            Err(failed(&error, err))
        }
    };
    match amendments {
        Ok(amendments) => report(path, &amendments, out, err),
        Err(exit) => Ok(exit),
    }
}

/// Changes the checkpoint itself, under the lock that keeps agents out.
fn amend_saved(
    config: &Config,
    change: impl Fn(&Flow, &mut Vec<Generation>) -> Result<Amended, AmendError>,
    err: &mut dyn Write,
) -> Result<Vec<Amendment>, Exit> {
    let directory = &config.agent.state_directory;
    let nothing = |err: &mut dyn Write| {
        tell(err, format_args!("kinetail: no checkpoint in `{}`; nothing to change", directory.display()));
        Exit::Failed
    };
    // Looked at before it is opened: that would make it.
    if saved(directory, err)?.is_none() {
        return Err(nothing(err));
    }
    let store = match Store::open(directory) {
        Ok(store) => store,
        Err(StoreError::Locked { path, .. }) => {
            let path = path.display();
            tell(
                err,
                format_args!(
                    "kinetail: nothing was changed: a kinetail holds the lock of `{path}` and does not listen on its control socket; stop it first"
                ),
            );
            return Err(Exit::Failed);
        }
        Err(
            error @ (StoreError::Directory { .. }
            | StoreError::Read { .. }
            | StoreError::Newer { .. }
            | StoreError::Write { .. }),
        ) => {
            return Err(failed(&error, err));
        }
    };
    let Some(mut state) = saved(directory, err)? else { return Err(nothing(err)) };
    let mut amendments = Vec::new();
    for flow in &config.flows {
        let result = match files_of(&mut state, flow) {
            Some(files) => change(flow, files),
            None => Err(AmendError::Unknown),
        };
        amendments.push(Amendment::new(&flow.name, result));
    }
    if amendments.iter().any(|amendment| matches!(amendment.outcome, Outcome::Done { .. })) {
        state.generation += 1;
        store.save(&state).map_err(|error| failed(&error, err))?;
    }
    Ok(amendments)
}

/// Tells what was changed; if nothing was, why not.
fn report(
    path: &Path,
    amendments: &[Amendment],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    let mut exit = Exit::Failed;
    for Amendment { flow, outcome } in amendments {
        if let Outcome::Done { before, now, size, consequence } = outcome {
            exit = Exit::Done;
            let known = |offset: Option<u64>, none: &str| offset.map_or(none.to_owned(), |at| at.to_string());
            let size = size.map_or(String::new(), |size| format!(" of {size}"));
            writeln!(out, "flow {flow}, {}", path.display())?;
            writeln!(out, "  before  {}", known(*before, "not known"))?;
            writeln!(out, "  now     {}{size}{consequence}", known(*now, "not read"))?;
        }
    }
    if exit == Exit::Failed {
        for Amendment { flow, outcome } in amendments {
            if let Outcome::Refused { reason } = outcome {
                tell(err, format_args!("kinetail: flow {flow}, `{}`: {reason}", path.display()));
            }
        }
    }
    Ok(exit)
}
