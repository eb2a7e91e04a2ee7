//! Idling: what the agent holds and does while its one file is quiet.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use kinetail_tests::usage;

use crate::agent::{self, Agent};
use crate::books::Books;
use crate::endpoint::Endpoint;
use crate::figures::Run;
use crate::lines::Lines;
use crate::records::Shape;

/// Lines that are shipped before the silence, so that everything has been used once.
const LINES: u32 = 1_000;
/// How long the agent may come to rest.
const REST: Duration = Duration::from_secs(5);

/// Ships a few lines, then watches the agent do nothing for `watched`.
pub(crate) fn run(binary: &Path, shape: Shape, seed: u64, watched: Duration) -> anyhow::Result<Run> {
    let dir = tempfile::tempdir().context("failed to make a directory for the log")?;
    let log = dir.path().join("access.log");
    let mut lines = Lines::seeded(seed);
    let mut text = Vec::new();
    (0..LINES).for_each(|_| lines.append(&mut text));
    fs::write(&log, text).context("failed to write the log")?;

    let endpoint = Endpoint::start(shape, Books::awaiting(LINES as usize))?;
    let mut agent = Agent::start(binary, &log, shape, &endpoint)?;
    agent.wait_until_taken(&endpoint, u64::from(LINES))?;
    agent::pause(REST);
    let start = Instant::now();
    let cpu_before = usage::cpu_seconds(agent.pid())?;
    let switches_before = usage::context_switches(agent.pid())?;
    agent::pause(watched);
    let cpu = usage::cpu_seconds(agent.pid())? - cpu_before;
    let switches = usage::context_switches(agent.pid())? - switches_before;
    let seconds = start.elapsed().as_secs_f64();
    let memory = usage::memory(agent.pid())?;
    agent.stop()?;

    endpoint.books().even_balance()?;
    Ok(Run::new([
        ("rss_mib", memory.resident),
        ("anonymous_mib", memory.anonymous),
        ("cpu_percent", cpu / seconds * 100.0),
        ("context_switches_per_s", switches / seconds),
    ]))
}
