//! How everything is, in words: for who asks, and for the log.

use std::collections::BTreeMap;
use std::fmt;

use super::view::{Delivery, File, Flow, Memory, Run, Status, Watching};

/// The files of a flow that a person is shown.
const FILES: usize = 20;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { agent, flows } = self;
        let doing = match agent.run {
            Run::Running => "has been running for",
            Run::Stopping => "is stopping after",
        };
        let uptime = duration(agent.uptime_seconds);
        writeln!(f, "kinetail {} (pid {}) {doing} {uptime}", agent.version, agent.pid)?;
        writeln!(f, "state in {}", agent.state_directory.display())?;
        if let Some(resident) = agent.resident_bytes {
            writeln!(f, "takes up {} of memory", bytes(resident))?;
        }
        flows.iter().try_for_each(|flow| flow.fmt(f))
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "flow {}, to stream {}", self.name, self.stream)?;
        writeln!(f, "  {}", lag(self))?;
        writeln!(
            f,
            "  {} records on their way, the oldest for {}; a crash now would send {} again",
            self.unacked_records,
            duration(self.oldest_undelivered_seconds),
            self.repeatable_records
        )?;
        writeln!(
            f,
            "  {} lines read, {} records taken by the stream; lines left behind: {}; put into the quarantine: {}",
            self.lines_read,
            self.records_acked,
            by_reason(&self.lines_dropped),
            by_reason(&self.lines_quarantined)
        )?;
        if self.quarantined_lines > 0 {
            writeln!(
                f,
                "  {} lines in the quarantine; see `kinetail quarantine list`",
                self.quarantined_lines
            )?;
        }
        if let Some(trouble) = &self.trouble {
            let (began, last) = (duration(trouble.began_seconds_ago), duration(trouble.last_seconds_ago));
            writeln!(f, "  trouble with the stream since {began}, last {last} ago: {}", trouble.error)?;
        }
        writeln!(f, "  {}", delivery(&self.delivery))?;
        let Memory { held_bytes, share_bytes } = self.memory;
        writeln!(f, "  {} of memory held, of {}", bytes(held_bytes), bytes(share_bytes))?;
        let watching = match self.watching {
            Some(Watching::Notified) => "every directory is watched",
            Some(Watching::EverySecond) => {
                "not every directory can be watched: looks at everything each second"
            }
            None => "the reader does not answer: it has ended, or its disk hangs",
        };
        writeln!(f, "  {} files open; {watching}", self.open_files)?;
        for file in self.files.iter().take(FILES) {
            writeln!(f, "    {}  {}", file.path, file)?;
        }
        let more = self.files.len().saturating_sub(FILES).saturating_add(self.files_left_out);
        if more > 0 {
            writeln!(f, "    and {more} more, less behind")?;
        }
        Ok(())
    }
}

impl fmt::Display for File {
    /// How far it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(read) = self.read {
            write!(f, "read to {read}, ")?;
        }
        match self.safe {
            Some(safe) => write!(f, "safe to {safe}")?,
            None => f.write_str("where it is safe is not known")?,
        }
        write!(f, " (of {}, {} behind), {}", self.size, self.behind, self.stage)
    }
}

/// How many lines there are for each reason.
fn by_reason(lines: &BTreeMap<String, u64>) -> String {
    let some = lines.iter().filter(|(_, lines)| **lines > 0);
    let told: Vec<String> = some.map(|(reason, lines)| format!("{lines} {reason}")).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

/// What the stream makes of what it is offered.
fn delivery(delivery: &Delivery) -> String {
    let limit = delivery
        .entries_per_second_limit
        .map(|limit| format!(", is offered up to {limit} records of a request in a second"))
        .unwrap_or_default();
    let wait = delivery
        .wait_millis
        .map(|millis| format!("; the next call is in {}.{} s", millis / 1000, millis % 1000 / 100))
        .unwrap_or_default();
    format!(
        "the stream takes {}/s{limit}; {} requests, failed: {}; records refused for now: {}{wait}",
        bytes(delivery.bytes_per_second),
        delivery.requests,
        by_reason(&delivery.requests_failed),
        by_reason(&delivery.records_refused),
    )
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
            memory: Memory::default(),
            delivery: Delivery::default(),
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
    fn what_the_stream_makes_of_it_is_told_by_its_own_words() {
        let quiet = Delivery { requests: 7, bytes_per_second: 1_200_000, ..Delivery::default() };
        let told = "the stream takes 1.2 MB/s; 7 requests, failed: none; records refused for now: none";
        assert_eq!(delivery(&quiet), told);
        let troubled = Delivery {
            requests_failed: [("InternalFailure".to_owned(), 2)].into(),
            records_refused: [("ProvisionedThroughputExceededException".to_owned(), 40)].into(),
            entries_per_second_limit: Some(990),
            wait_millis: Some(1250),
            ..quiet
        };
        let told = "the stream takes 1.2 MB/s, is offered up to 990 records of a request in a second; 7 requests, failed: \
                    2 InternalFailure; records refused for now: 40 ProvisionedThroughputExceededException; \
                    the next call is in 1.2 s";
        assert_eq!(delivery(&troubled), told);
    }

    #[test]
    fn numbers_are_for_a_person() {
        let told = [0, 999, 1000, 1_999_999, 5_000_000_000, u64::MAX].map(bytes);
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "1.9 MB", "5.0 GB", "18446744.0 TB"]);
        let told = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(duration);
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
