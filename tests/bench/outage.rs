//! A stream that is away while a log is written: what the agent holds meanwhile, and how fast it catches up then.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use kinetail_tests::usage;

use crate::agent::Agent;
use crate::books::Books;
use crate::endpoint::Endpoint;
use crate::figures::Run;
use crate::lines::Lines;
use crate::records::Shape;
use crate::steady;

/// How long the agent may take to see that the stream is back: longer than its longest wait.
const BACK: Duration = Duration::from_secs(120);

/// Writes `rate` lines a second for `seconds` seconds, in which the endpoint ends every connection, and then waits until it
/// has taken all of them.
pub(crate) fn run(binary: &Path, shape: Shape, seed: u64, rate: u32, seconds: u32) -> anyhow::Result<Run> {
    let dir = tempfile::tempdir().context("failed to make a directory for the log")?;
    let path = dir.path().join("access.log");
    let mut log = File::create(&path).context("failed to make the log")?;
    let lines = rate.checked_mul(seconds).context("that is too many lines")?;

    let endpoint = Endpoint::start(shape, Books::awaiting(lines as usize))?;
    endpoint.set_away(true);
    let mut agent = Agent::start(binary, &path, shape, &endpoint)?;
    let began = Instant::now();
    steady::write(&mut log, Lines::seeded(seed), lines, rate).context("failed to write the log")?;
    let away = began.elapsed().as_secs_f64();
    let cpu_away = usage::cpu_seconds(agent.pid())?;
    let memory_away = usage::memory(agent.pid())?;
    anyhow::ensure!(endpoint.books().requests() == 0, "the endpoint was not away");
    endpoint.set_away(false);
    let back = Instant::now();
    endpoint.wait_for(1, BACK);
    let first = back.elapsed().as_secs_f64();
    agent.wait_until_taken(&endpoint, u64::from(lines))?;
    let wall = back.elapsed().as_secs_f64() - first;
    let cpu = usage::cpu_seconds(agent.pid())? - cpu_away;
    let memory = usage::memory(agent.pid())?;
    let bytes = log.metadata().context("failed to look at the log")?.len() as f64;
    agent.stop()?;

    endpoint.books().even_balance()?;
    Ok(Run::new([
        ("away_s", away),
        ("log_bytes", bytes),
        ("peak_rss_away_mib", memory_away.peak),
        ("cpu_percent_away", cpu_away / away * 100.0),
        ("first_after_s", first),
        ("catchup_mb_per_s", bytes / wall / 1e6),
        ("catchup_cpu_s_per_gb", cpu / bytes * 1e9),
        ("peak_rss_mib", memory.peak),
    ]))
}
