//! The words of the command line behind `checkpoint`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::arguments::Configuration;
use crate::control::To;

const AFTER_TAKEOVER: &str = "\
The first start of `kinetail run` does this by itself. What is told of each flow is where it goes on, or why it does not. \
Stop the Java agent first: what it sends after this is sent again. Run it as the user of the service, who is to own what \
is written; while kinetail runs it is refused.

Examples:
  What would happen?
    kinetail checkpoint takeover --dry-run
  Once more from the Java agent's positions, in place of our own:
    kinetail checkpoint takeover --force --from /var/run/aws-kinesis-agent/checkpoints";

const AFTER_HANDBACK: &str = "\
Stop kinetail first, then start the Java agent. It follows one file of a flow at a time, so that it may send again what \
was sent of newer ones; what is told of each file is what it will do with it. Run it as the user of the service, who \
is to own the store.

Examples:
  kinetail checkpoint handback
  kinetail checkpoint handback -c ./agent.json --to ./checkpoints";
const AFTER_EXPLAIN: &str = "\
The running agent is asked; if none runs, the checkpoint and the disk are. Nothing is changed.

Examples:
  kinetail checkpoint explain /var/log/httpd/access_log.1";

const AFTER_SET: &str = "\
The running agent does it at once; if none runs, the checkpoint is changed. What was sent before the new place and lies \
behind it is sent again; what lies before it and was not sent is never sent. An offset that is not the beginning of a \
line is refused, and the nearest that are told.

Examples:
  Send everything in a file again:
    kinetail checkpoint set /var/log/httpd/access_log --offset 0
  Skip what was not read yet:
    kinetail checkpoint set /var/log/httpd/access_log --offset end";

const AFTER_FORGET: &str = "\
The running agent does it at once; if none runs, the checkpoint is changed. Use it for a file that was taken for \
another, such as one that was restored from a backup and is to be sent again.

Examples:
  kinetail checkpoint forget /var/log/httpd/access_log.1";

/// The words behind `checkpoint`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Checkpoint {
    /// Print how far each file of each flow has been delivered
    Show(Show),
    /// Take over the positions of the Java agent from its store
    #[command(after_help = AFTER_TAKEOVER)]
    Takeover(Takeover),
    /// Write our positions into a store that the Java agent can start from
    #[command(after_help = AFTER_HANDBACK)]
    Handback(Handback),
    /// Tell who a file is taken for, whether it is read, and why
    #[command(after_help = AFTER_EXPLAIN)]
    Explain(Explain),
    /// Have a file read from another place
    #[command(after_help = AFTER_SET)]
    Set(Set),
    /// Have nothing known of a file, so that what is there is read from its beginning
    #[command(after_help = AFTER_FORGET)]
    Forget(Forget),
}

/// The words behind `checkpoint explain`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    /// The file
    #[arg(value_name = "PATH")]
    pub(in crate::cli) path: PathBuf,
}

/// The words behind `checkpoint set`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    /// The file
    #[arg(value_name = "PATH")]
    pub(in crate::cli) path: PathBuf,
    /// The byte to go on from, where a line begins; or `end`: behind the last newline
    #[arg(long, value_name = "BYTE|end", value_parser = place)]
    pub(in crate::cli) offset: To,
}

/// The words behind `checkpoint forget`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Forget {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    /// The file
    #[arg(value_name = "PATH")]
    pub(in crate::cli) path: PathBuf,
}

/// The words behind `checkpoint show`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    /// Print it as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// The words behind `checkpoint takeover`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Takeover {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    /// The Java agent's store; that of `checkpointFile` if left out, or the default one
    #[arg(long, value_name = "STORE")]
    pub(in crate::cli) from: Option<PathBuf>,
    /// Tell what would happen, and change nothing
    #[arg(long, conflicts_with = "force")]
    pub(in crate::cli) dry_run: bool,
    /// Set a checkpoint of our own aside, if there is one
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// The words behind `checkpoint handback`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Handback {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    /// The Java agent's store, made if it is missing; that of `checkpointFile` if left out
    #[arg(long, value_name = "STORE")]
    pub(in crate::cli) to: Option<PathBuf>,
}

/// A place in a file, as it is typed.
fn place(text: &str) -> Result<To, String> {
    match text {
        "end" => Ok(To::End),
        number => number.parse().map(To::Offset).map_err(|_| "neither a number nor `end`".to_owned()),
    }
}
