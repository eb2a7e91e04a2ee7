//! A steady trickle: what each line costs when it comes alone, and how long it takes to arrive.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::time::Instant;

use kinetail_tests::usage;

use crate::agent::{self, Agent};
use crate::books::Books;
use crate::endpoint::Endpoint;
use crate::figures::{self, Run};
use crate::lines::Lines;
use crate::records::Shape;

/// How long the agent may take to start and come to rest before the first line.
const REST: Duration = Duration::from_secs(3);

/// What is written, and how it is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trickle {
    /// Lines a second.
    pub(crate) rate: u32,
    /// For how many seconds.
    pub(crate) secs: u32,
    /// The flow's `lingerMillis`, if not its default.
    pub(crate) linger: Option<u32>,
}

/// Writes a trickle of lines, each with one write(2) as a web server does. The delay of a line
/// is from just before its write until the whole request that carries it has come to the endpoint.
pub(crate) fn run(binary: &Path, shape: Shape, seed: u64, trickle: Trickle) -> anyhow::Result<Run> {
    let Trickle { rate, secs, linger } = trickle;
    let dir = tempfile::tempdir().context("failed to make a directory for the log")?;
    let path = dir.path().join("access.log");
    let mut log = File::create(&path).context("failed to make the log")?;
    let lines = rate.checked_mul(secs).context("that is too many lines")?;

    let endpoint = Endpoint::start(shape, Books::awaiting(lines as usize).with_times())?;
    let mut flow = json!({ "filePattern": path, "initialPosition": "START_OF_FILE" });
    if let Some(millis) = linger {
        flow["lingerMillis"] = json!(millis);
    }
    let mut agent = Agent::start_with(binary, flow, shape, &endpoint)?;
    agent::pause(REST);
    let cpu_before = usage::cpu_seconds(agent.pid())?;
    let start = Instant::now();
    let written = write(&mut log, Lines::seeded(seed), lines, rate).context("failed to write the log")?;
    agent.wait_until_taken(&endpoint, u64::from(lines))?;
    let wall = start.elapsed().as_secs_f64();
    let cpu = usage::cpu_seconds(agent.pid())? - cpu_before;
    let memory = usage::memory(agent.pid())?;
    agent.stop()?;

    let books = endpoint.books();
    books.even_balance()?;
    let delay =
        |(written, arrived): (Written, Option<Instant>)| Some((arrived? - written.begun).as_secs_f64() * 1e3);
    let mut delays: Vec<_> = written.into_iter().zip(books.times()).filter_map(delay).collect();
    delays.sort_by(f64::total_cmp);
    Ok(Run::new([
        ("cpu_percent", cpu / wall * 100.0),
        ("cpu_us_per_line", cpu / f64::from(lines) * 1e6),
        ("delay_p50_ms", figures::quantile(&delays, 0.5)),
        ("delay_p99_ms", figures::quantile(&delays, 0.99)),
        ("delay_max_ms", figures::quantile(&delays, 1.0)),
        ("peak_rss_mib", memory.peak),
    ]))
}

/// The write(2) of one line.
pub(crate) struct Written {
    /// When it began.
    pub(crate) begun: Instant,
    /// How long it took.
    pub(crate) wait: Duration,
}

/// Writes `count` lines, `rate` a second; says when each was written. A line that is late is written at once.
pub(crate) fn write(
    log: &mut impl Write,
    mut lines: Lines,
    count: u32,
    rate: u32,
) -> std::io::Result<Vec<Written>> {
    let start = Instant::now();
    let mut written = Vec::new();
    let mut line = Vec::new();
    for nth in 0..count {
        line.clear();
        lines.append(&mut line);
        let due = start + Duration::from_secs(1) * nth / rate;
        agent::pause(due.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        log.write_all(&line)?;
        written.push(Written { begun, wait: begun.elapsed() });
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    #[test]
    fn lines_are_written_at_their_pace() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let began = Instant::now();
        let written = write(log.as_file_mut(), Lines::seeded(1), 100, 1_000).unwrap();
        // A line may be late, as late as the machine is slow; none is early.
        for (at, nth) in written.iter().zip(0..) {
            let after = at.begun - began;
            assert!(after >= Duration::from_millis(nth), "line {nth} after {after:?}");
        }
        let text = std::fs::read(log.path()).unwrap();
        let numbers: Result<Vec<_>, _> =
            text.split_inclusive(|byte| *byte == b'\n').map(lines::sequence).collect();
        assert_eq!(numbers, Ok((1..=100).collect()));
    }
}
