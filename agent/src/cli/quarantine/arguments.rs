//! The words of `kinetail quarantine`.

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::arguments::Configuration;

const AFTER_LIST: &str = "\
What the quarantine in the state directory holds is read from the disk, whether or not an agent runs.

Examples:
  kinetail quarantine list";

const AFTER_SHOW: &str = "\
Examples:
  kinetail quarantine show --flow access --limit 5
  kinetail quarantine show --reason refused --limit 1000000 --json | jq -r .line";

const AFTER_REPLAY: &str = "\
The running agent makes records of the kept lines as its configuration says now, and sends those that match; each leaves \
the quarantine once the stream has it. Mend the configuration and restart the agent first. What still does not match \
stays; the exit code is 1 then.

Examples:
  kinetail quarantine replay
  kinetail quarantine replay --flow access --reason unmatched";

const AFTER_CLEAR: &str = "\
Asks nothing, and says how many were removed. The running agent does it; if none runs, it is done on the disk.

Examples:
  kinetail quarantine clear --flow access --reason unmatched";

/// The words behind `quarantine`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Quarantine {
    /// Tell how many lines are kept, of which flows and files, and why
    #[command(after_help = AFTER_LIST)]
    List(List),
    /// Print lines that are kept, with what is wrong with each
    #[command(after_help = AFTER_SHOW)]
    Show(ShowKept),
    /// Send the lines that match by now
    #[command(after_help = AFTER_REPLAY)]
    Replay(Replay),
    /// Remove lines for good
    #[command(after_help = AFTER_CLEAR)]
    Clear(Clear),
}

/// Which lines of the quarantine are meant.
#[derive(Args, Debug)]
pub(in crate::cli) struct Pick {
    /// Those of this flow only: its name, or its id. What a flow left that is not configured any more is its heir's, too
    #[arg(long, value_name = "FLOW")]
    pub(in crate::cli) flow: Option<String>,
    /// Those kept for this reason only
    #[arg(long, value_name = "REASON")]
    pub(in crate::cli) reason: Option<Kept>,
}

/// Why a line is kept.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Kept {
    /// It does not match the format of its flow
    Unmatched,
    /// The stream refused its record for good
    Refused,
}

/// The words behind `quarantine list`.
#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    #[command(flatten)]
    pub(in crate::cli) pick: Pick,
}

/// The words behind `quarantine show`.
#[derive(Args, Debug)]
pub(in crate::cli) struct ShowKept {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    #[command(flatten)]
    pub(in crate::cli) pick: Pick,
    /// How many, the latest
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(in crate::cli) limit: usize,
    /// Print each as JSON on a line
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// The words behind `quarantine replay`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    #[command(flatten)]
    pub(in crate::cli) pick: Pick,
}

/// The words behind `quarantine clear`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Clear {
    #[command(flatten)]
    pub(in crate::cli) configuration: Configuration,
    #[command(flatten)]
    pub(in crate::cli) pick: Pick,
}
