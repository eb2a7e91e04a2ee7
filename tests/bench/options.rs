//! The command line of the benchmark.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::records::{Form, Packing};

/// What a gigabyte of access log costs, from outside: the built agent against a TLS endpoint on loopback, and the built
/// function against stand-ins of its services.
///
/// A figure counts only when the endpoint has checked every byte of every line and the books balance; otherwise the
/// exit code is 1.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// What is measured.
    #[command(subcommand)]
    pub(crate) what: What,
    /// What the agent makes of a line.
    #[arg(long, value_enum, default_value = "json", global = true)]
    pub(crate) format: Form,
    /// How lines are put into records.
    #[arg(long, value_enum, default_value = "none", global = true)]
    pub(crate) packing: Packing,
    /// How often it is measured.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub(crate) runs: u32,
    /// Decides the lines of the log.
    #[arg(long, default_value_t = 1, global = true)]
    pub(crate) seed: u64,
    /// The agent to measure; otherwise it is built, in the profile of this program.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) agent: Option<PathBuf>,
    /// The functions' program to measure; otherwise it is built likewise.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) function: Option<PathBuf>,
    /// Print one line of JSON for each run before the table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// A log that is there already: CPU seconds per GB (10^9 bytes), MB/s, memory, requests.
    Catchup(Catchup),
    /// One quiet file: memory, CPU, context switches.
    Idle {
        /// How long the silence is watched, in seconds.
        #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
        secs: u32,
    },
    /// The largest events that `aggregate` is called with: lines for each second of CPU, memory, time to start.
    Aggregate {
        /// How many sources the lines are from; half of them are in the reference.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        sources: u32,
        /// How many calls are measured.
        #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
        calls: u32,
    },
    /// Rotations of all kinds and a stream that is away now and then: memory, open files, inotify watches, all of which
    /// must be flat.
    Soak {
        /// For how long.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
    },
    /// Many files: CPU, memory, open files and watches, while all are quiet and while some are written to and a tree
    /// comes and goes.
    Files {
        /// How many files.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        files: u32,
        /// How many of them are written to.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        active: u32,
        /// Lines a second, all together.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// For how long the silence is watched, and then the load, in seconds.
        #[arg(long, default_value_t = 70, value_parser = clap::value_parser!(u32).range(1..))]
        secs: u32,
    },
    /// A stream that is away while lines are written: memory meanwhile, and how fast the agent catches up then.
    Outage {
        /// Lines a second.
        #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Seconds that the stream is away.
        #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
        secs: u32,
    },
    /// Lines that are written to `kinetail pipe`, whose agent delivers them: how many come through, how long who writes
    /// them is held up, CPU.
    Pipe {
        /// Lines a second.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// For how long, in seconds.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        secs: u32,
    },
    /// A steady trickle of lines: CPU and delay.
    Steady {
        /// Lines a second.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// For how long, in seconds.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        secs: u32,
        /// The flow's `lingerMillis`; otherwise its default.
        #[arg(long, value_name = "MILLIS")]
        linger: Option<u32>,
    },
}

/// The log that is caught up with.
#[derive(Debug, Args)]
pub(crate) struct Catchup {
    /// How long the log is: bytes, or with k, m or g thousands, millions or billions of them.
    #[arg(long, default_value = "1g", value_parser = size)]
    pub(crate) size: u64,
    /// Where the log is kept for the next time; otherwise it is in a temporary directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Of a hundred records, the stream refuses so many for now, by chance.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..100))]
    pub(crate) refuse: u8,
}

/// Reads `200m`.
fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k')) => (text.get(..at), 1_000),
        Some((at, 'm')) => (text.get(..at), 1_000_000),
        Some((at, 'g')) => (text.get(..at), 1_000_000_000),
        _ => (Some(text), 1),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    let bytes = number.and_then(|number| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "a size is a number above 0, with or without k, m or g".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(size(text).ok(), expected, "{text}");
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        check("12", Some(12));
        check("3k", Some(3_000));
        check("200m", Some(200_000_000));
        check("1g", Some(1_000_000_000));
        for wrong in ["", "g", "0", "-1", "1.5g", "1t", "99999999999999g"] {
            check(wrong, None);
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
