//! `kinetail quarantine replay`: sends the lines that match by now.

use std::io::{self, Write};

use super::arguments::Replay;
use super::{ask_agent, configured, misunderstood, picked};
use crate::cli::tell;
use crate::control::{Answer, Replayed, Request};
use crate::exit::Exit;

/// Has the agent send them, round by round, and tells what became of them.
pub(super) fn run(args: &Replay, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match configured(&args.configuration, err) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let mut sum = Replayed::default();
    loop {
        let request = Request::Replay { picked: picked(&args.pick), after: sum.next.unwrap_or_default() };
        let round = match ask_agent(&config, &request, err) {
            Ok(Some(Answer::Replayed(round))) => round,
            Ok(Some(
                Answer::Status(_)
                | Answer::Explained { .. }
                | Answer::Amended { .. }
                | Answer::Cleared { .. }
                | Answer::Refused { .. },
            )) => return Ok(misunderstood(err)),
            Ok(None) => {
                tell(
                    err,
                    format_args!(
                        "kinetail: nothing was sent: no kinetail runs with the state directory `{}`; start it, and try again",
                        config.agent.state_directory.display()
                    ),
                );
                return Ok(Exit::Failed);
            }
            Err(exit) => return Ok(exit),
        };
        sum.sent += round.sent;
        sum.unmatched += round.unmatched;
        sum.refused += round.refused;
        sum.waiting += round.waiting;
        sum.held_up += round.held_up;
        sum.unclaimed += round.unclaimed;
        sum.next = round.next;
        // While the stream takes nothing there is no use in handing it more.
        if round.next.is_none() || round.waiting > 0 || round.held_up > 0 {
            break;
        }
    }
    tell_all(&sum, out)
}

fn tell_all(sum: &Replayed, out: &mut dyn Write) -> io::Result<Exit> {
    writeln!(out, "{} sent", sum.sent)?;
    let rest = [
        (sum.unmatched, "still do not match, and stay; see `kinetail quarantine show`"),
        (sum.refused, "were refused by the stream, and stay"),
        (sum.unclaimed, "belong to no flow that is configured, and stay"),
        (sum.waiting, "are on their way, and leave the quarantine once the stream takes them"),
        (sum.held_up, "had no room, as the stream does not take what is offered; try again later"),
    ];
    let mut exit = Exit::Done;
    for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
        exit = Exit::Failed;
        writeln!(out, "{count} {what}")?;
    }
    Ok(exit)
}
