//! `kinetail checkpoint takeover`: the Java agent's positions become our checkpoint.

use std::io::{self, Write};
use std::path::Path;

use crate::chain::Chain;
use crate::checkpoint::{Found, State, Store, StoreError, load};
use crate::cli::checkpoint::words::Takeover;
use crate::cli::{sources, tell};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::source::System;
use crate::takeover;

/// Tells what the Java agent's store is worth, and writes that as a checkpoint, unless the run is dry.
pub(super) fn run(args: &Takeover, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match config::load(&sources(&args.configuration.file)) {
        Ok(config) => config,
        Err(problems) => {
            tell(err, problems);
            return Ok(Exit::Misconfigured);
        }
    };
    Ok(match take_over(args, &config, out)? {
        Ok(()) => Exit::Done,
        Err(error) => {
            tell(err, format_args!("kinetail: {}", Chain(&error)));
            Exit::Failed
        }
    })
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
enum TakeoverError {
    #[error("there is no store of the Java agent: neither `{configured}` nor `{default}` exists", default = takeover::DEFAULT_STORE)]
    NoStore { configured: String },
    #[error("could not take over")]
    Store(#[source] takeover::StoreError),
    #[error("could not write a checkpoint")]
    Checkpoint(#[source] StoreError),
    #[error(
        "there is a checkpoint in `{directory}` already, which `run` goes on from; `--force` sets it aside"
    )]
    Exists { directory: String },
}

fn take_over(args: &Takeover, config: &Config, out: &mut dyn Write) -> io::Result<Result<(), TakeoverError>> {
    let configured = &config.agent.java_store;
    let Some(path) = args.from.clone().or_else(|| takeover::locate(configured)) else {
        return Ok(Err(TakeoverError::NoStore { configured: configured.display().to_string() }));
    };
    let flows: Vec<_> = config.flows.iter().map(|flow| (&flow.id, &flow.source.pattern)).collect();
    let taken = match takeover::take(&path, &flows, &System) {
        Ok(taken) => taken,
        Err(error) => return Ok(Err(TakeoverError::Store(error))),
    };
    for finding in &taken.findings {
        writeln!(out, "{finding}")?;
    }
    let directory = &config.agent.state_directory;
    if args.dry_run {
        // What would keep a real run from it is to be told, too.
        let found = load(directory).map_err(TakeoverError::Checkpoint);
        return Ok(found.and_then(|(found, _)| refuse_to_replace(&found, directory)));
    }
    Ok(save(args, directory, taken.flows))
}

fn save(
    args: &Takeover,
    directory: &Path,
    flows: Vec<(crate::position::FlowId, Vec<crate::position::Generation>)>,
) -> Result<(), TakeoverError> {
    let store = Store::open(directory).map_err(TakeoverError::Checkpoint)?;
    let (found, _) = load(directory).map_err(TakeoverError::Checkpoint)?;
    if args.force {
        store.set_aside().map_err(TakeoverError::Checkpoint)?;
    } else {
        refuse_to_replace(&found, directory)?;
    }
    let generation = match found {
        Found::State(state) => state.generation + 1,
        Found::Nothing | Found::Damaged => 1,
    };
    store.save(&State { generation, flows }).map_err(TakeoverError::Checkpoint)
}

fn refuse_to_replace(found: &Found, directory: &Path) -> Result<(), TakeoverError> {
    match found {
        Found::Nothing => Ok(()),
        Found::State(_) | Found::Damaged => {
            Err(TakeoverError::Exists { directory: directory.display().to_string() })
        }
    }
}
