//! The words of the command line: the one definition that parsing, `--help`, completions and the manual are made of.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::checkpoint::words::Checkpoint;
use crate::cli::quarantine::arguments::Quarantine;
use crate::cli::reference::Form;
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
  kinetail check --strict ./agent.json
  kinetail check --explain | grep requestBytes";

const AFTER_REFERENCE: &str = "\
Examples:
  kinetail reference | less
  kinetail reference --man > /usr/share/man/man5/agent.json.5
  kinetail reference --markdown > etc/agent.json.md";

const AFTER_PARSE: &str = "\
Lines that do not match are told on standard error with their number and the reason; the exit code is 1 if there are \
any.

Examples:
  kinetail parse --format COMBINEDAPACHELOG /var/log/httpd/access_log
  tail -n 5 access_log | kinetail parse --format COMMONAPACHELOG --json-types native
  kinetail parse -c agent.json --flow access /var/log/httpd/access_log
  kinetail parse -c agent.json --flow access --diff-java /var/log/httpd/access_log

With a flow, each record is what would be sent: as `onParseError` says of a line that does not match, cut to the stream's \
limit, with its place. What only a running agent knows (`@file`, what ADDEC2METADATA adds) stands as zeros or null.";

const AFTER_PIPE: &str = "\
Lines are kept in the directory `spool` of the state directory until they are delivered: for a flow of agent.json by the \
agent, whenever one runs, and this program needs no network; with `--ship` or `--stream` by this program. What was taken in \
outlives a kill of it. No writer is held up, unless the flow has `spoolWaitMillis`: when the spool holds `spoolBytes`, the \
oldest lines are dropped, which is told on standard error.

It ends at the end of standard input; where it delivers itself, when that is done, or when nothing has moved for 60 seconds: \
then with exit code 1, and its next run goes on. SIGTERM, SIGINT and SIGHUP let it go on for 120 seconds at most, as others \
may still write. Started by root, it becomes the owner of the state directory.

Examples:
  In the configuration of httpd, with an agent that has a flow for it:
    CustomLog \"|/usr/bin/kinetail pipe --flow access\" combined
  In a shell, without an agent:
    app | kinetail pipe --stream app --format log4j --pattern '%d{ISO8601} %-5p [%t] %c - %m%n'";

const AFTER_STATUS: &str = "\
Asks the agent that runs on the same state directory, on the socket `control.sock` in it; only root and the agent's user \
may. If none runs, that is said, what the checkpoint knows is told, and the exit code is 1.

Examples:
  kinetail status
  kinetail status --watch
  kinetail status --json | jq '.flows[] | {name, lagBytes, secondsLeft}'";

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
    /// Take standard input in, to be delivered by the agent or by this program
    #[command(after_help = AFTER_PIPE)]
    Pipe(Pipe),
    /// Tell how the running agent is, and how far it is with each file
    #[command(after_help = AFTER_STATUS)]
    Status(Status),
    /// Look at how far each file has been delivered, or change it
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// Print what every key of agent.json means
    #[command(after_help = AFTER_REFERENCE)]
    Reference(Reference),
    /// Look at the lines that could not be sent, send them after all, or remove them
    #[command(subcommand)]
    Quarantine(Quarantine),
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
    /// Tell of every key what it comes to, and which line of which file says so
    #[arg(long)]
    pub(super) explain: bool,
    /// The main configuration file
    #[arg(value_name = "FILE", default_value = CONFIGURATION)]
    pub(super) file: PathBuf,
}

/// The words behind `parse`.
#[derive(Args, Debug)]
pub(super) struct Parse {
    /// The format of the lines, as in `logFormat`
    #[arg(long, value_name = "FORMAT", required_unless_present = "configuration")]
    pub(super) format: Option<LogFormat>,
    /// How the values of the records are written, as in `jsonTypes`
    #[arg(long, value_name = "TYPES", default_value = "strings")]
    pub(super) json_types: Types,
    /// The main configuration file, to do what one of its flows does
    #[arg(short = 'c', long, value_name = "FILE", conflicts_with_all = ["format", "json_types"])]
    pub(super) configuration: Option<PathBuf>,
    /// The flow, by its name or id; not needed where there is only one
    #[arg(long, value_name = "NAME", requires = "configuration")]
    pub(super) flow: Option<String>,
    /// Show only what the Java agent would not have sent like that, and how often
    #[arg(long)]
    pub(super) diff_java: bool,
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
    /// Apache's error log
    #[value(name = "APACHEERRORLOG")]
    ErrorLog,
    /// Syslog, dates without a year
    #[value(name = "SYSLOG")]
    Syslog,
    /// Syslog, dates of RFC 3339
    #[value(name = "RFC3339SYSLOG")]
    Rfc3339Syslog,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Format {
        match format {
            LogFormat::Common => Format::Common,
            LogFormat::Combined => Format::Combined,
            LogFormat::ErrorLog => Format::ErrorLog,
            LogFormat::Syslog => Format::Syslog,
            LogFormat::Rfc3339Syslog => Format::Rfc3339Syslog,
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

impl Types {
    /// As agent.json has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Types::Strings => "strings",
            Types::Native => "native",
        }
    }
}

impl From<Types> for JsonTypes {
    fn from(types: Types) -> JsonTypes {
        match types {
            Types::Strings => JsonTypes::Strings,
            Types::Native => JsonTypes::Native,
        }
    }
}

/// The words behind `pipe`.
#[derive(Args, Debug)]
pub(super) struct Pipe {
    /// The flow of agent.json, by its name; one that has `"input": "pipe"`
    #[arg(long, value_name = "NAME", required_unless_present = "stream")]
    pub(super) flow: Option<String>,
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// Deliver what is taken in for the flow, where no agent runs
    #[arg(long, requires = "flow")]
    pub(super) ship: bool,
    #[command(flatten)]
    pub(super) options: PipeOptions,
}

/// What of them stands for a configuration.
#[derive(Args, Debug)]
pub(super) struct PipeOptions {
    /// The stream to deliver to, without agent.json and without an agent
    #[arg(long, value_name = "NAME", conflicts_with_all = ["flow", "file"])]
    pub(super) stream: Option<String>,
    /// The region of the stream; if not given, that of the environment, as in every AWS SDK
    #[arg(long, value_name = "REGION", requires = "stream")]
    pub(super) region: Option<String>,
    /// Where the stream is, if not where it is by its region
    #[arg(long, value_name = "URL", requires = "stream")]
    pub(super) endpoint: Option<String>,
    /// The format of the lines, as in `logFormat`, to send them as JSON
    #[arg(long, value_name = "FORMAT", requires = "stream")]
    pub(super) format: Option<String>,
    /// The pattern of APACHE, APACHEERROR, LOG4J or NGINX
    #[arg(long, value_name = "PATTERN", requires = "format")]
    pub(super) pattern: Option<String>,
    /// How the values of the records are written, as in `jsonTypes`
    #[arg(long, value_name = "TYPES", default_value = "strings", requires = "format")]
    pub(super) json_types: Types,
    /// Where lines and how far they are delivered are kept; `~/.local/state/kinetail/pipe/NAME` if not given, and for root
    /// `/var/lib/kinetail/pipe/NAME`
    #[arg(long, value_name = "DIR", requires = "stream")]
    pub(super) state_directory: Option<PathBuf>,
}

/// The words behind `status`.
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) configuration: Configuration,
    /// Print it as JSON; with `--watch`, each time on one line
    #[arg(long)]
    pub(super) json: bool,
    /// Print it again every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) watch: Option<u64>,
}

/// The words behind `reference`.
#[derive(Args, Debug)]
pub(super) struct Reference {
    /// As Markdown
    #[arg(long, conflicts_with = "man")]
    markdown: bool,
    /// As the manual page agent.json(5), in roff
    #[arg(long)]
    man: bool,
}

impl Reference {
    /// What the reference is to look like.
    pub(super) fn form(&self) -> Form {
        match (self.markdown, self.man) {
            (true, _) => Form::Markdown,
            (_, true) => Form::Manual,
            (false, false) => Form::Text,
        }
    }
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
