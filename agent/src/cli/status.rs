//! `kinetail status`: how the running agent is, and how far it is with each file.

use std::io::{self, IsTerminal, Write};
use std::thread::park_timeout;
use std::time::Duration;

use crate::cli::arguments;
use crate::cli::checkpoint::{configured, failed, saved, write_text};
use crate::cli::tell;
use crate::config::Config;
use crate::control::{Answer, AskError, Request, ask};
use crate::exit::Exit;

/// What makes a terminal empty, and where the next text begins.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Asks the agent, and prints its answer; again and again, if that is wished. If none runs, prints what the checkpoint knows.
pub(super) fn run(args: &arguments::Status, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match configured(&args.configuration, err) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let Some(seconds) = args.watch else { return tell_once(args, &config, out, err) };
    let is_for_a_person = io::stdout().is_terminal() && !args.json;
    // Ends with an interrupt, or when nobody reads any more. An agent that does not run now may run later.
    loop {
        if is_for_a_person {
            write!(out, "{CLEAR}")?;
        }
        tell_once(args, &config, out, err)?;
        out.flush()?;
        park_timeout(Duration::from_secs(seconds));
    }
}

fn tell_once(
    args: &arguments::Status,
    config: &Config,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    let directory = &config.agent.state_directory;
    match ask(directory, &Request::Status) {
        Ok(Answer::Status(status)) => {
            if args.json {
                let write =
                    if args.watch.is_some() { serde_json::to_string } else { serde_json::to_string_pretty };
                writeln!(out, "{}", write(&status).map_err(io::Error::other)?)?;
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
