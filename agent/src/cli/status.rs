//! `kinetail status`: how the running agent is, and how far it is with each file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::cli::arguments;
use crate::cli::checkpoint::{configured, failed, progress, saved, write_text};
use crate::cli::tell;
use crate::control::{Answer, AskError, Flow, Request, Run, Status, Watching, ask};
use crate::exit::Exit;

/// The files of a flow that a person is shown.
const FILES: usize = 20;

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
                write(&status, out)?;
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

fn write(Status { agent, flows }: &Status, out: &mut dyn Write) -> io::Result<()> {
    let doing = match agent.run {
        Run::Running => "has been running for",
        Run::Stopping => "is stopping after",
    };
    let uptime = duration(agent.uptime_seconds);
    writeln!(out, "kinetail {} (pid {}) {doing} {uptime}", agent.version, agent.pid)?;
    writeln!(out, "state in {}", agent.state_directory.display())?;
    flows.iter().try_for_each(|flow| write_flow(flow, out))
}

fn write_flow(flow: &Flow, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "flow {}, to stream {}", flow.name, flow.stream)?;
    writeln!(out, "  {}", lag(flow))?;
    writeln!(
        out,
        "  {} records on their way, the oldest for {}; a crash now would send {} again",
        flow.unacked_records,
        duration(flow.oldest_undelivered_seconds),
        flow.repeatable_records
    )?;
    writeln!(
        out,
        "  {} lines read, {} records taken by the stream; lines left behind: {}; put into the quarantine: {}",
        flow.lines_read,
        flow.records_acked,
        by_reason(&flow.lines_dropped),
        by_reason(&flow.lines_quarantined)
    )?;
    if flow.quarantined_lines > 0 {
        writeln!(
            out,
            "  {} lines in the quarantine; see `kinetail quarantine list`",
            flow.quarantined_lines
        )?;
    }
    if let Some(trouble) = &flow.trouble {
        let (began, last) = (duration(trouble.began_seconds_ago), duration(trouble.last_seconds_ago));
        writeln!(out, "  trouble with the stream since {began}, last {last} ago: {}", trouble.error)?;
    }
    let watching = match flow.watching {
        Some(Watching::Notified) => "every directory is watched",
        Some(Watching::EverySecond) => "not every directory can be watched: looks at everything each second",
        None => "the reader does not answer: it has ended, or its disk hangs",
    };
    writeln!(out, "  {} files open; {watching}", flow.open_files)?;
    for file in flow.files.iter().take(FILES) {
        writeln!(out, "    {}  {}", file.path, progress(file))?;
    }
    let more = flow.files.len().saturating_sub(FILES).saturating_add(flow.files_left_out);
    if more > 0 {
        writeln!(out, "    and {more} more, less behind")?;
    }
    Ok(())
}

/// How many lines there are for each reason.
fn by_reason(lines: &BTreeMap<String, u64>) -> String {
    let some = lines.iter().filter(|(_, lines)| **lines > 0);
    let told: Vec<String> = some.map(|(reason, lines)| format!("{lines} {reason}")).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

/// How far a flow is behind, and for how long.
fn lag(flow: &Flow) -> String {
    let behind = bytes(flow.lag_bytes);
    let backlog = match (flow.backlog_files, flow.backlog_files_compressed) {
        (0, _) => String::new(),
        (files, 0) => format!(", of these backlog {} in {files} files", bytes(flow.backlog_bytes)),
        (files, compressed) => {
            format!(
                ", of these backlog {} in {files} files, {compressed} of them compressed",
                bytes(flow.backlog_bytes)
            )
        }
    };
    let rate = bytes(flow.bytes_per_second);
    let left = match (flow.lag_bytes, flow.seconds_left) {
        (0, _) => String::new(),
        (_, Some(seconds)) => format!(", about {} left", duration(seconds)),
        (_, None) => ", not catching up".to_owned(),
    };
    format!("{behind} behind{backlog}: {rate}/s{left}")
}

/// A number of bytes for a person.
fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(count) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

/// A time for a person.
fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flow with nothing but a lag.
    fn flow(lag_bytes: u64, backlog: (u64, u64, u64), seconds_left: Option<u64>) -> Flow {
        let (backlog_bytes, backlog_files, backlog_files_compressed) = backlog;
        Flow {
            name: "access".to_owned(),
            id: "kinesis:in:/log".to_owned(),
            stream: "in".to_owned(),
            lag_bytes,
            oldest_undelivered_seconds: 0,
            backlog_bytes,
            backlog_files,
            backlog_files_compressed,
            bytes_per_second: 12_000_000,
            seconds_left,
            lines_read: 0,
            records_acked: 0,
            unacked_records: 0,
            repeatable_records: 0,
            lines_quarantined: BTreeMap::new(),
            quarantined_lines: 0,
            lines_dropped: BTreeMap::new(),
            open_files: 0,
            trouble: None,
            watching: None,
            files: Vec::new(),
            files_left_out: 0,
        }
    }

    #[track_caller]
    fn check_lag(flow: &Flow, expected: &str) {
        assert_eq!(lag(flow), expected);
    }

    #[test]
    fn the_lag_is_told_with_what_is_backlog_and_how_long_it_takes() {
        check_lag(&flow(0, (0, 0, 0), Some(0)), "0 B behind: 12.0 MB/s");
        check_lag(&flow(4_500, (0, 0, 0), None), "4.5 kB behind: 12.0 MB/s, not catching up");
        let files = "1.3 GB behind, of these backlog 1.2 GB in 14 files";
        check_lag(
            &flow(1_300_000_000, (1_200_000_000, 14, 0), Some(100)),
            &format!("{files}: 12.0 MB/s, about 100 s left"),
        );
        check_lag(
            &flow(1_300_000_000, (1_200_000_000, 14, 3), Some(7200)),
            &format!("{files}, 3 of them compressed: 12.0 MB/s, about 2 h left"),
        );
    }

    #[test]
    fn numbers_are_for_a_person() {
        let told = [0, 999, 1000, 1_999_999, 5_000_000_000, u64::MAX].map(bytes);
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "1.9 MB", "5.0 GB", "18446744.0 TB"]);
        let told = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(duration);
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
