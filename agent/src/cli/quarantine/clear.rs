//! `kinetail quarantine clear`: removes lines for good.

use std::io::{self, Write};

use super::arguments::Clear;
use super::list::amount;
use super::{ask_agent, configured, failed, filter, misunderstood, picked};
use crate::checkpoint::Store;
use crate::control::{Answer, Request};
use crate::exit::Exit;
use crate::quarantine::{Journal, Tally};

/// Has the agent remove them, or does it under the lock that keeps agents out; tells how many they were.
pub(super) fn run(args: &Clear, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match configured(&args.configuration, err) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let request = Request::Clear { picked: picked(&args.pick) };
    let cleared = match ask_agent(&config, &request, err) {
        Ok(Some(Answer::Cleared { entries, lines })) => Tally { entries, lines },
        Ok(Some(
            Answer::Status(_)
            | Answer::Explained { .. }
            | Answer::Amended { .. }
            | Answer::Replayed(_)
            | Answer::Refused { .. },
        )) => return Ok(misunderstood(err)),
        Ok(None) => {
            let directory = &config.agent.state_directory;
            let _lock = match Store::open(directory) {
                Ok(lock) => lock,
                Err(error) => return Ok(failed(&error, err)),
            };
            let (mut journal, damaged) = Journal::open(directory, config.agent.quarantine_bytes);
            for error in &damaged {
                failed(error, err);
            }
            match journal.clear(&filter(&config, &args.pick)) {
                Ok(cleared) => cleared.into_values().sum(),
                Err(error) => return Ok(failed(&error, err)),
            }
        }
        Err(exit) => return Ok(exit),
    };
    writeln!(out, "{} removed", amount(cleared))?;
    Ok(Exit::Done)
}
