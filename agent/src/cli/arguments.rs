//! The words of the command line: the one definition that parsing, `--help`, completions and the manual are made of.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::control::To;
use crate::parse::{Format, JsonTypes};

/// Where the configuration is if nobody says otherwise.
pub(super) const CONFIGURATION: &str = "/etc/aws-kinesis/agent.json";

const ABOUT: &str = "Ships the logs of this host to Amazon Kinesis";

const LONG_ABOUT: &str = "\
kinetail tails log files, also while they are rotated, makes a JSON record of each line, and ships the records to \
Amazon Kinesis. It takes the place of the Java Kinesis Agent and reads its agent.json.

What was read is delivered at least once, or counted as dropped with a reason. A crash costs repeats, not lines.";

const AFTER: &str = "\
Examples:
  Is the configuration right, and what will it do?
    kinetail check /etc/aws-kinesis/agent.json
  Run in the foreground; Ctrl-C stops in good order:
    kinetail run -c agent.json
  Which record does each line become, and which lines do not match?
    kinetail parse --format COMBINEDAPACHELOG /var/log/httpd/access_log
  How far is it, and why is a file not read?
    kinetail status
    kinetail checkpoint explain /var/log/httpd/access_log.1

Exit codes:
  0   stopped as asked, or done
  1   failed in a way that a restart may mend; for `parse`, a line did not match
  70  a defect of kinetail
  78  the configuration or the command line is wrong

A command line without a command, such as `kinetail -c FILE`, means `kinetail run`.";

const AFTER_RUN: &str = "\
The configuration is read once and checked before anything starts; if it is wrong, every problem is told and the exit \
code is 78. Flows in *.json files in /etc/aws-kinesis/agent.d are added to those of FILE.

SIGTERM and SIGINT stop in good order: what was read is delivered, then the checkpoint is written. A second signal \
stops at once.

Examples:
  kinetail run
  kinetail run -c ./agent.json";

const AFTER_CHECK: &str = "\
Does exactly what `run` does before anything else, and touches nothing but the configuration. Problems are told with \
file, line and column on standard error; the exit code is 78 if there are any.

Examples:
  kinetail check
  kinetail check --strict ./agent.json";

const AFTER_PARSE: &str = "\
Lines that do not match are told on standard error with their number and the reason; the exit code is 1 if there are \
any.

Examples:
  kinetail parse --format COMBINEDAPACHELOG /var/log/httpd/access_log
  tail -n 5 access_log | kinetail parse --format COMMONAPACHELOG --json-types native";

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
const AFTER_STATUS: &str = "\
Asks the agent that runs on the same state directory, on the socket `control.sock` in it; only root and the agent's user \
may. If none runs, that is said, what the checkpoint knows is told, and the exit code is 1.

Examples:
  kinetail status
  kinetail status --json | jq '.flows[] | {name, lagBytes, secondsLeft}'";

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

const AFTER_COMPLETIONS: &str = "\
Examples:
  kinetail completions bash > /usr/share/bash-completion/completions/kinetail";

const AFTER_MAN: &str = "\
Examples:
  kinetail man > /usr/share/man/man1/kinetail.1
  kinetail man run | man -l -";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "kinetail", version, about = ABOUT, long_about = LONG_ABOUT, after_help = AFTER)]
#[command(max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tail, parse and ship until told to stop
    #[command(after_help = AFTER_RUN)]
    Run(Run),
    /// Tell what is wrong with a configuration, or what it will do
    #[command(after_help = AFTER_CHECK)]
    Check(Check),
    /// Turn lines of a log into records, without sending them
    #[command(after_help = AFTER_PARSE)]
    Parse(Parse),
    /// Tell how the running agent is, and how far it is with each file
    #[command(after_help = AFTER_STATUS)]
    Status(Status),
    /// Look at how far each file has been delivered, or change it
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// Print the version
    Version,
    /// Print the completions for a shell
    #[command(after_help = AFTER_COMPLETIONS)]
    Completions(Completions),
    /// Print the manual page, in roff
    #[command(after_help = AFTER_MAN)]
    Man(Man),
}

/// Which configuration.
#[derive(Args, Debug)]
pub(super) struct Configuration {
    /// The main configuration file
    #[arg(short = 'c', long = "configuration", value_name = "FILE", default_value = CONFIGURATION)]
    pub(super) file: PathBuf,
}

/// The words behind `run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// The log file of the Java agent 1.x; has no effect
    #[arg(short = 'l', long = "log-file", value_name = "FILE", hide = true)]
    pub(super) log_file: Option<PathBuf>,
    /// The log level of the Java agent 1.x; has no effect
    #[arg(short = 'L', long = "log-level", value_name = "LEVEL", hide = true)]
    pub(super) log_level: Option<String>,
}

/// The words behind `check`.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Take every warning, such as a key that is not known, for an error
    #[arg(long)]
    pub(super) strict: bool,
    /// The main configuration file
    #[arg(value_name = "FILE", default_value = CONFIGURATION)]
    pub(super) file: PathBuf,
}

/// The words behind `parse`.
#[derive(Args, Debug)]
pub(super) struct Parse {
    /// The format of the lines, as in `logFormat`
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: LogFormat,
    /// How the values of the records are written, as in `jsonTypes`
    #[arg(long, value_name = "TYPES", default_value = "strings")]
    pub(super) json_types: Types,
    /// The log; standard input if it is `-` or left out
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(super) file: PathBuf,
}

/// The formats of `logFormat`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// Apache's common log
    #[value(name = "COMMONAPACHELOG")]
    Common,
    /// Apache's combined log
    #[value(name = "COMBINEDAPACHELOG")]
    Combined,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Format {
        match format {
            LogFormat::Common => Format::Common,
            LogFormat::Combined => Format::Combined,
        }
    }
}

/// The words of `jsonTypes`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Types {
    /// All values as strings or null, as the Java agent writes them
    Strings,
    /// Numbers as numbers, the request taken apart, the log's own time
    Native,
}

impl From<Types> for JsonTypes {
    fn from(types: Types) -> JsonTypes {
        match types {
            Types::Strings => JsonTypes::Strings,
            Types::Native => JsonTypes::Native,
        }
    }
}

/// The words behind `checkpoint`.
#[derive(Debug, Subcommand)]
pub(super) enum Checkpoint {
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
pub(super) struct Explain {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// The file
    #[arg(value_name = "PATH")]
    pub(super) path: PathBuf,
}

/// The words behind `checkpoint set`.
#[derive(Args, Debug)]
pub(super) struct Set {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// The file
    #[arg(value_name = "PATH")]
    pub(super) path: PathBuf,
    /// The byte to go on from, where a line begins; or `end`: behind the last newline
    #[arg(long, value_name = "BYTE|end", value_parser = place)]
    pub(super) offset: To,
}

/// The words behind `checkpoint forget`.
#[derive(Args, Debug)]
pub(super) struct Forget {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// The file
    #[arg(value_name = "PATH")]
    pub(super) path: PathBuf,
}

/// A place in a file, as it is typed.
fn place(text: &str) -> Result<To, String> {
    match text {
        "end" => Ok(To::End),
        number => number.parse().map(To::Offset).map_err(|_| "neither a number nor `end`".to_owned()),
    }
}

/// The words behind `status`.
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// Print it as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The words behind `checkpoint show`.
#[derive(Args, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// Print it as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The words behind `checkpoint takeover`.
#[derive(Args, Debug)]
pub(super) struct Takeover {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// The Java agent's store; that of `checkpointFile` if left out, or the default one
    #[arg(long, value_name = "STORE")]
    pub(super) from: Option<PathBuf>,
    /// Tell what would happen, and change nothing
    #[arg(long, conflicts_with = "force")]
    pub(super) dry_run: bool,
    /// Set a checkpoint of our own aside, if there is one
    #[arg(long)]
    pub(super) force: bool,
}

/// The words behind `checkpoint handback`.
#[derive(Args, Debug)]
pub(super) struct Handback {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// The Java agent's store, made if it is missing; that of `checkpointFile` if left out
    #[arg(long, value_name = "STORE")]
    pub(super) to: Option<PathBuf>,
}

/// The words behind `completions`.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

/// The words behind `man`.
#[derive(Args, Debug)]
pub(super) struct Man {
    /// The command that the page is about; kinetail itself if left out
    #[arg(value_name = "COMMAND")]
    pub(super) command: Option<String>,
}
