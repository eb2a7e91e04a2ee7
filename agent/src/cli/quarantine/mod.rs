//! `kinetail quarantine`: the lines that could not be sent; looked at, sent after all, removed.
//!
//! What is kept is read from the disk. What changes it goes through the running agent, which owns it.

pub(super) mod arguments;
mod clear;
mod list;
mod replay;
mod show;

use std::io::{self, Write};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use arguments::{Kept, Pick, Quarantine};

use crate::cli::checkpoint::{configured, failed};
use crate::cli::tell;
use crate::config::Config;
use crate::control::{Answer, AskError, Picked, Request, ask};
use crate::exit::Exit;
use crate::loss::Cause;
use crate::position::FlowId;
use crate::quarantine::Filter;

/// Does what the words behind `quarantine` say.
pub(super) fn run(command: &Quarantine, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    match command {
        Quarantine::List(args) => list::run(args, out, err),
        Quarantine::Show(args) => show::run(args, out, err),
        Quarantine::Replay(args) => replay::run(args, out, err),
        Quarantine::Clear(args) => clear::run(args, out, err),
    }
}

impl Kept {
    fn cause(self) -> Cause {
        match self {
            Kept::Unmatched => Cause::Unmatched,
            Kept::Refused => Cause::Refused,
        }
    }
}

/// The entries that are meant, as they stand on the disk.
fn filter(config: &Config, pick: &Pick) -> Filter {
    let named = |text: &String| {
        let known = config.flows.iter().find(|flow| flow.name == *text).map(|flow| flow.id.clone());
        known.unwrap_or_else(|| FlowId::from_text(text.clone()))
    };
    let configured = config.flows.iter().map(|flow| flow.id.clone()).collect();
    Filter { flow: pick.flow.as_ref().map(named), cause: pick.reason.map(Kept::cause), configured }
}

/// The same as the agent is asked for them.
fn picked(pick: &Pick) -> Picked {
    Picked { flow: pick.flow.clone(), reason: pick.reason.map(|kept| kept.cause().label().to_owned()) }
}

/// What a flow is called; its id, if it is not configured any more.
fn name<'a>(config: &'a Config, id: &'a FlowId) -> &'a str {
    config.flows.iter().find(|flow| flow.id == *id).map_or(id.as_str(), |flow| &flow.name)
}

/// A time for a person.
fn time(millis: u64) -> String {
    let moment = DateTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    moment.fmt(Format::DateTime).unwrap_or_else(|_| millis.to_string())
}

/// Asks the agent; nothing if none runs.
fn ask_agent(config: &Config, request: &Request, err: &mut dyn Write) -> Result<Option<Answer>, Exit> {
    match ask(&config.agent.state_directory, request) {
        Ok(Answer::Refused { reason }) => {
            tell(err, format_args!("kinetail: {reason}"));
            Err(Exit::Failed)
        }
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::Nobody { .. }) => Ok(None),
        Err(error @ (AskError::Silent { .. } | AskError::Failed { .. } | AskError::Codec(_))) => {
            Err(failed(&error, err))
        }
    }
}

/// Tells that the agent said something that was not asked.
fn misunderstood(err: &mut dyn Write) -> Exit {
    tell(err, "kinetail: the agent answered something else");
    Exit::Failed
}

#[cfg(test)]
mod tests;
