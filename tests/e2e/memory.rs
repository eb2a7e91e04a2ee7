//! Memory is bounded by `maxMemoryBytes` and what a process needs beside it, whatever the stream does. The kernel kills an agent
//! that uses more, where it lets groups be made; in any case its peak is looked at. The agent is started in the environment that its unit sets. Holds G5 to account.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::cgroup::Cgroup;
use kinetail_tests::endpoint::{REGION, Throughput};
use kinetail_tests::faults::{Faults, Mode};
use kinetail_tests::host::Host;
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::Scene;
use kinetail_tests::writer::Writer;
use kinetail_tests::{wait, writer};
use serde_json::{Value, json};

/// What starts the agent, in the environment that it wants for it.
const UNIT: &str = include_str!("../../packaging/systemd/aws-kinesis-agent.service");
/// What waits in files.
const WAITING_BYTES: u64 = 300_000_000;
/// What a process may need beside `maxMemoryBytes`: the program itself, TLS, connections.
const PROCESS_MIB: u32 = 24;
const MIB: u64 = 1024 * 1024;

/// The bounds that are tried, each with each of the ways to pack.
const MAX_MEMORY_MIB: [u32; 2] = [16, 32];

fn packings() -> [Value; 3] {
    [json!({}), json!({ "packing": "lines" }), json!({ "packing": "lines", "compression": "zstd" })]
}

/// What becomes JSON, from a file that is not among the host's logs.
fn keys(waiting: &Path, mut keys: Value) -> Value {
    keys["filePattern"] = json!(waiting);
    keys["dataProcessingOptions"] = json!([{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }]);
    keys["retryMaxBackoffMillis"] = json!(500);
    keys
}

/// A file in which as much waits; and how many lines that are.
fn waiting(directory: &Path) -> Result<(PathBuf, u64)> {
    let path = directory.join("access_log");
    let mut file = BufWriter::new(File::create(&path)?);
    let (mut bytes, mut lines) = (0, 0);
    while bytes < WAITING_BYTES {
        let line = writer::line(lines);
        file.write_all(&line)?;
        bytes += line.len() as u64;
        lines += 1;
    }
    file.flush()?;
    Ok((path, lines))
}

/// An agent that the kernel kills if it uses more than it may.
struct Bounded {
    agent: Agent,
    max_memory_mib: u32,
    _group: Option<Cgroup>,
}

impl Bounded {
    fn start(host: &Host, max_memory_mib: u32) -> Result<Bounded> {
        let group = Cgroup::bounded(u64::from(max_memory_mib + PROCESS_MIB) * MIB)?;
        let mut words = group.as_ref().map(Cgroup::words).unwrap_or_default();
        words.push("env".into());
        words.extend(UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")).map(OsString::from));
        let agent = host.start_through(&words)?;
        Ok(Bounded { agent, max_memory_mib, _group: group })
    }

    /// Its peak is what it may be. It has to run still.
    fn check(&self, what: &str) -> Result<()> {
        let peak = self.agent.usage().context("the agent has gone")?.memory.peak;
        report(&format!("maxMemoryBytes {} MiB, {what}: {peak:.1} MiB at the peak", self.max_memory_mib));
        let bound = f64::from(self.max_memory_mib + PROCESS_MIB);
        ensure!(peak <= bound, "{what}: {peak} MiB at the peak, of {bound}");
        Ok(())
    }
}

/// Shows a figure to whoever looks.
#[expect(clippy::print_stderr, reason = "the harness of tests keeps it for a test that fails")]
fn report(text: &str) {
    eprintln!("{text}");
}

fn at_bound(host: Host, max_memory_mib: u32) -> Host {
    host.with("maxMemoryBytes", json!(u64::from(max_memory_mib) * MIB))
}

/// Waits until the agent reads no more: it holds what it may, or what its requests take, or all there is. Gives how many bytes that
/// is.
async fn is_full(host: &Host) -> Result<u64> {
    let mut before = 0;
    wait::until("the agent reads no more", wait::LONG, async || {
        // Longer than from one word of it to the next.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let Some(metrics) = host.metrics()? else { return Ok(None) };
        let read = metrics.sum("kinetail_lines_read_total")?;
        let is_still = read > 0 && read == before;
        before = read;
        let held = metrics.sum("kinetail_held_bytes")?;
        Ok(is_still.then_some(held))
    })
    .await
}

async fn acked(host: &Host, lines: u64) -> Result<Metrics> {
    let what = format!("{lines} lines are acked");
    host.until(&what, wait::LONG, |metrics| Ok(metrics.sum("kinetail_records_acked_total")? >= lines)).await
}

#[tokio::test]
async fn a_stream_that_is_away_costs_no_more_memory_and_neither_does_its_return() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (file, lines) = waiting(directory.path())?;
    for max_memory_mib in MAX_MEMORY_MIB {
        for packing in packings() {
            let what = format!("away, {packing}");
            let is_small = packing["compression"] == json!("zstd");
            let scene = Scene::new(Throughput::Unlimited, 2).await?;
            let keys = keys(&file, packing);
            let scene = scene.on(|host| at_bound(host.with_flow("access_log", keys), max_memory_mib));
            scene.faults.set(Mode::ResetBefore);
            let bounded = Bounded::start(&scene.host, max_memory_mib)?;
            let held = is_full(&scene.host).await.with_context(|| what.clone())?;
            bounded.check(&format!("{what}, {held} bytes held"))?;
            scene.faults.set(Mode::Pass);
            // The emulator keeps all that it takes: if it is large, a part of it has to do.
            let all = if is_small { lines } else { lines / 4 };
            acked(&scene.host, all).await.with_context(|| what.clone())?;
            bounded.check(&format!("{what}, back"))?;
            if is_small {
                let metrics = scene.host.settled(lines).await?;
                ensure!(metrics.sum("kinetail_records_acked_total")? == lines && metrics.left_behind()? == 0);
                bounded.agent.stop().await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_takes_little_costs_no_more_memory() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (file, _) = waiting(directory.path())?;
    for max_memory_mib in MAX_MEMORY_MIB {
        for packing in packings() {
            let what = format!("throttled, {packing}");
            let scene = Scene::new(Throughput::Enforced, 1).await?;
            let keys = keys(&file, packing);
            let scene = scene.on(|host| at_bound(host.with_flow("access_log", keys), max_memory_mib));
            let bounded = Bounded::start(&scene.host, max_memory_mib)?;
            let is_slow = |metrics: &Metrics| Ok(metrics.sum("kinetail_records_refused_total")? > 0);
            scene.host.until("it is throttled", wait::LONG, is_slow).await?;
            let so_far = scene.host.metrics()?.context("nothing is published")?;
            let so_far = so_far.sum("kinetail_records_acked_total")?;
            acked(&scene.host, so_far + 5_000).await.with_context(|| what.clone())?;
            bounded.check(&what)?;
        }
    }
    Ok(())
}

/// Of two flows one is stuck with all that it may hold: the other goes on.
#[tokio::test]
async fn a_flow_that_is_stuck_with_its_share_stops_no_other() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (file, _) = waiting(directory.path())?;
    for max_memory_mib in MAX_MEMORY_MIB {
        for packing in packings() {
            let what = format!("one of two stuck, {packing}");
            let scene = Scene::new(Throughput::Unlimited, 1).await?;
            // It takes everything and never answers.
            let stuck = Faults::start(scene.endpoint.address())?;
            stuck.set(Mode::Silence);
            let keys = keys(&file, packing.clone());
            let scene = scene.on(|host| {
                let mut away = host.flow("stuck", keys);
                away["deliveryStream"] = json!("stuck");
                if let Some(away) = away.as_object_mut() {
                    away.remove("kinesisStream");
                }
                let well = host.flow("app.log", packing);
                at_bound(host.with("flows", json!([away, well])), max_memory_mib)
                    .with("firehose.endpoint", json!(stuck.url()))
                    .with("firehose.region", json!(REGION))
            });
            let bounded = Bounded::start(&scene.host, max_memory_mib)?;
            let held = is_full(&scene.host).await.with_context(|| what.clone())?;
            let mut writer = Writer::open(scene.host.log("app.log"))?;
            for _ in 0..4 {
                writer.write(10_000)?;
                acked(&scene.host, writer.count()).await.with_context(|| what.clone())?;
            }
            ensure!(stuck.look(|requests| requests.iter().all(|request| request.answered.is_none())));
            bounded.check(&format!("{what}, {held} bytes held"))?;
        }
    }
    Ok(())
}
