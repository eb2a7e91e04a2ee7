//! `kinetail checkpoint handback`: our positions become those of the Java agent.

use std::io::{self, Write};

use crate::chain::Chain;
use crate::checkpoint::{Found, Store, StoreError, load};
use crate::cli::checkpoint::words::Handback;
use crate::cli::{sources, tell};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::source::System;
use crate::takeover::{self, Returned};

/// Writes our checkpoint into the Java agent's store, and tells what the Java agent will do with each file.
pub(super) fn run(args: &Handback, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match config::load(&sources(&args.configuration.file)) {
        Ok(config) => config,
        Err(problems) => {
            tell(err, problems);
            return Ok(Exit::Misconfigured);
        }
    };
    match hand_back(args, &config) {
        Ok(returned) => {
            for (flow, fate) in &returned {
                let to: &mut dyn Write = if fate.is_trouble() { err } else { out };
                writeln!(to, "{flow}: {fate}")?;
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            tell(err, format_args!("kinetail: {}", Chain(&error)));
            Ok(Exit::Failed)
        }
    }
}

/// Why nothing was handed back.
#[derive(Debug, thiserror::Error)]
enum HandbackError {
    #[error("could not read the checkpoint")]
    Checkpoint(#[source] StoreError),
    #[error("there is no checkpoint in `{directory}` that can be trusted, so there is nothing to hand back")]
    Nothing { directory: String },
    #[error("could not hand back")]
    Store(#[source] takeover::StoreError),
}

fn hand_back(args: &Handback, config: &Config) -> Result<Returned, HandbackError> {
    let directory = &config.agent.state_directory;
    let nothing = || HandbackError::Nothing { directory: directory.display().to_string() };
    // Asked before the lock is taken, which would make the directory.
    if matches!(load(directory).map_err(HandbackError::Checkpoint)?, (Found::Nothing, _)) {
        return Err(nothing());
    }
    // Held to the end: an agent that starts meanwhile would go on beyond what is handed back.
    let _store = Store::open(directory).map_err(HandbackError::Checkpoint)?;
    let state = match load(directory).map_err(HandbackError::Checkpoint)? {
        (Found::State(state), _) => state,
        (Found::Nothing | Found::Damaged, _) => return Err(nothing()),
    };
    let flows: Vec<_> = config.flows.iter().map(|flow| (&flow.id, &flow.source.pattern)).collect();
    let store = args.to.as_deref().unwrap_or(&config.agent.java_store);
    takeover::hand_back(store, &state.flows, &flows, &System).map_err(HandbackError::Store)
}
