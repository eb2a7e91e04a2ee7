//! `kinetail status`: how the running agent is, and how far it is with each file.

use std::io::{self, Write};

use crate::cli::arguments;
use crate::cli::checkpoint::{configured, failed, saved, write_text};
use crate::cli::tell;
use crate::control::{Answer, AskError, Request, ask};
use crate::exit::Exit;

/// Asks the agent, and prints its answer. If none runs, prints what the checkpoint knows.
pub(super) fn run(args: &arguments::Status, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match configured(&args.configuration, err) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let directory = &config.agent.state_directory;
    match ask(directory, &Request::Status) {
        Ok(Answer::Status(status)) => {
            if args.json {
                let json = serde_json::to_string_pretty(&status).map_err(io::Error::other)?;
                writeln!(out, "{json}")?;
            } else {
                write!(out, "{status}")?;
            }
            Ok(Exit::Done)
        }
        Ok(Answer::Refused { reason }) => {
            tell(err, format_args!("kinetail: {reason}"));
            Ok(Exit::Failed)
        }
        Ok(
            Answer::Explained { .. } | Answer::Amended { .. } | Answer::Replayed(_) | Answer::Cleared { .. },
        ) => {
            tell(err, "kinetail: the agent answered something else");
            Ok(Exit::Failed)
        }
        Err(error @ AskError::Nobody { .. }) => {
            tell(err, format_args!("kinetail: {error}"));
            if !args.json
                && let Ok(Some(state)) = saved(directory, err)
            {
                writeln!(out, "as the checkpoint knows it:")?;
                write_text(&state, out)?;
            }
            Ok(Exit::Failed)
        }
        Err(error @ (AskError::Silent { .. } | AskError::Failed { .. } | AskError::Codec(_))) => {
            Ok(failed(&error, err))
        }
    }
}
