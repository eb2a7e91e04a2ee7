//! Catching up: what it costs to ship a log that is there already.

use std::path::Path;

use tokio::time::Instant;

use kinetail_tests::usage;

use crate::agent::Agent;
use crate::books::Books;
use crate::data::Log;
use crate::endpoint::Endpoint;
use crate::figures::Run;
use crate::records::Shape;

/// Ships the log at `path` once, to a stream that refuses so many of a hundred records for now. Measured is from the start of the process until the endpoint has taken as many records
/// as the log has lines; the last of them may have waited for the agent's linger.
pub(crate) fn run(binary: &Path, path: &Path, log: Log, shape: Shape, refusals: u8) -> anyhow::Result<Run> {
    let endpoint = Endpoint::refusing(refusals, shape, Books::awaiting(log.lines))?;
    let own_cpu_before = usage::cpu_seconds(std::process::id())?;
    let start = Instant::now();
    let mut agent = Agent::start(binary, path, shape, &endpoint)?;
    agent.wait_until_taken(&endpoint, log.lines as u64)?;
    let wall = start.elapsed().as_secs_f64();
    let cpu = usage::cpu_seconds(agent.pid())?;
    let memory = usage::memory(agent.pid())?;
    let own_cpu = usage::cpu_seconds(std::process::id())? - own_cpu_before;
    agent.stop()?;

    let books = endpoint.books();
    let balance = books.even_balance()?;
    let (lines, bytes, requests) = (log.lines as f64, log.bytes as f64, books.requests() as f64);
    Ok(Run::new([
        ("cpu_s_per_gb", cpu / bytes * 1e9),
        ("cpu_us_per_line", cpu / lines * 1e6),
        ("mb_per_s", bytes / wall / 1e6),
        ("wall_s", wall),
        ("peak_rss_mib", memory.peak),
        ("requests", requests),
        ("records", books.entries() as f64),
        ("offers_per_record", books.offered() as f64 / books.entries() as f64),
        ("record_bytes_per_log_byte", books.payload() as f64 / bytes),
        ("lines_per_request", lines / requests),
        ("wire_bytes_per_log_byte", books.bytes() as f64 / bytes),
        ("out_of_order_lines", balance.out_of_order as f64),
        ("endpoint_cpu_s_per_gb", own_cpu / bytes * 1e9),
    ]))
}
