//! Lines through `kinetail pipe`: how many, how long who writes them is held up, and what both programs cost.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tokio::time::Instant;

use kinetail_tests::usage;

use crate::agent::Agent;
use crate::books::Books;
use crate::endpoint::Endpoint;
use crate::figures::{self, Run};
use crate::lines::Lines;
use crate::records::Shape;
use crate::steady;

/// Writes `rate` lines a second for `seconds` seconds into the pipe, each with one write(2) as a web server does, while the
/// agent delivers them on the same machine.
pub(crate) fn run(binary: &Path, shape: Shape, seed: u64, rate: u32, seconds: u32) -> anyhow::Result<Run> {
    let lines = rate.checked_mul(seconds).context("that is too many lines")?;
    let endpoint = Endpoint::start(shape, Books::awaiting(lines as usize))?;
    let mut agent = Agent::start_piped(binary, shape, &endpoint)?;
    let (reader, mut writer) = io::pipe().context("failed to make a pipe")?;
    let mut pipe = Pipe(
        Command::new(binary)
            .args(["pipe", "--flow", "bench", "-c"])
            .arg(agent.config())
            .env_clear()
            .stdin(Stdio::from(reader))
            .spawn()
            .context("failed to start `kinetail pipe`")?,
    );
    let start = Instant::now();
    let written = steady::write(&mut writer, Lines::seeded(seed), lines, rate)
        .context("failed to write to the pipe")?;
    let wall = start.elapsed().as_secs_f64();
    agent.wait_until_taken(&endpoint, u64::from(lines))?;
    let taken = start.elapsed().as_secs_f64();
    let (piped, shipped) = (usage::cpu_seconds(pipe.0.id())?, usage::cpu_seconds(agent.pid())?);
    let memory = usage::memory(pipe.0.id())?;
    drop(writer);
    let status = pipe.0.wait().context("failed to wait for the pipe")?;
    anyhow::ensure!(status.success(), "the pipe ended with {status}");
    agent.stop()?;

    endpoint.books().even_balance()?;
    let mut waits: Vec<_> = written.iter().map(|written| written.wait.as_secs_f64() * 1e6).collect();
    waits.sort_by(f64::total_cmp);
    Ok(Run::new([
        ("lines_per_s", f64::from(lines) / wall),
        ("wait_p50_us", figures::quantile(&waits, 0.5)),
        ("wait_p99_9_us", figures::quantile(&waits, 0.999)),
        ("wait_max_ms", figures::quantile(&waits, 1.0) / 1e3),
        ("delivered_lines_per_s", f64::from(lines) / taken),
        ("pipe_cpu_us_per_line", piped / f64::from(lines) * 1e6),
        ("agent_cpu_us_per_line", shipped / f64::from(lines) * 1e6),
        ("pipe_peak_rss_mib", memory.peak),
    ]))
}

/// The program that takes lines in. It is killed when this is dropped.
struct Pipe(Child);

impl Drop for Pipe {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
