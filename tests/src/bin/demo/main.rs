//! The whole system on one machine, for a newcomer: a log that is written and rotated, the agent that ships it and is
//! killed on the way, a stream that is read back, and the balance.
//!
//! - [`replay`] makes lines with today's time out of an access log, each with a number to know it by;
//! - [`show`] shows how far it is, on a terminal in one line that changes.
//!
//! Everything is on loopback and in a temporary directory. Exit code 0 only if nothing is missing and no more came twice
//! than the agent had said.

#![expect(clippy::print_stdout, reason = "the demo speaks to a person")]

mod replay;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use kinetail_tests::agent::Agent;
use kinetail_tests::binary;
use kinetail_tests::books::{Balance, Books};
use kinetail_tests::crash;
use kinetail_tests::endpoint::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Throughput};
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer};
use serde_json::json;

use crate::replay::Replay;
use crate::show::Show;

/// Lines written in a second.
const RATE: u32 = 4000;
/// Between two things that happen to the log or the agent.
const PHASE: Duration = Duration::from_secs(3);

/// Ships an access log to a Kinesis stream on this machine, kills the agent on the way, and counts what arrived.
#[derive(Debug, Parser)]
struct Arguments {
    /// An access log of your own, common or combined, to be replayed with today's times.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Keep the agent and the stream running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/logs/access.log");
    let replay = Replay::load(arguments.file.as_deref().unwrap_or(&sample))?;
    println!("replaying {replay}");
    println!("building the agent");
    binary::agent()?;

    let option = json!({ "optionName": "LOGTOJSON", "logFormat": replay.format() });
    let scene = Scene::new(Throughput::Unlimited, 2).await?;
    let scene = scene.on(|host| host.with_flow("access_log*", json!({ "dataProcessingOptions": [option] })));
    let mut agent = scene.host.start()?;
    println!("agent.json is {}", scene.host.config().display());

    let writer = Writer::of(scene.host.log("access_log"), move |number| replay.line(number))?;
    let load = Load::start(writer, RATE);
    let mut show = Show::new();
    show.during(PHASE, &scene, &load, &agent).await?;
    load.with(|writer| writer.rotate("access_log.1"))?;
    show.say("rotated: access_log is access_log.1 now, and there is a new access_log")?;
    show.during(PHASE, &scene, &load, &agent).await?;

    show.say("killing the agent with SIGKILL; the log goes on")?;
    let bound = crash::kill_at_published_bound(&scene.host, &scene.faults, agent).await?;
    agent = scene.host.start()?;
    show.say(&format!("started it again; it had published that a crash repeats up to {bound} records"))?;
    show.during(PHASE, &scene, &load, &agent).await?;
    load.with(|writer| writer.rotate("access_log.2"))?;
    show.say("rotated once more")?;
    show.during(PHASE, &scene, &load, &agent).await?;
    let writer = load.stop().await?;
    show.say("the log is complete; waiting for the rest")?;

    let balance = deliver(&scene, writer.count()).await?;
    let is_good = tell(&scene, &balance, bound, &agent).await?;
    if arguments.keep {
        keep(&scene).await?;
    }
    agent.stop().await?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until the agent says that nothing is left, and reads the stream back; as it is, if something is missing still.
async fn deliver(scene: &Scene, written: u64) -> Result<Balance> {
    let mut last = Balance::default();
    let arrived = wait::until("every line has arrived", wait::LONG / 2, async || {
        let metrics = scene.host.metrics()?.context("the agent publishes nothing")?;
        if metrics.sum("kinetail_unacked_records")? + metrics.sum("kinetail_lag_bytes")? > 0 {
            return Ok(None);
        }
        let payloads = scene.payloads().await?;
        let numbers = |payload: &Vec<u8>| replay::number(payload).unwrap_or(payload).to_vec();
        let delivered: Vec<Vec<u8>> = payloads.iter().map(numbers).collect();
        let expected: Vec<Vec<u8>> = (0..written).map(|number| number.to_string().into_bytes()).collect();
        let books = Books::of(expected.iter().map(Vec::as_slice));
        last = books.against(delivered.iter().map(Vec::as_slice)).balance();
        Ok((last.missing == 0).then_some(()))
    });
    // In vain or not, the balance says it.
    arrived.await.unwrap_or_default();
    Ok(last)
}

/// Prints the balance; whether it is as promised.
async fn tell(scene: &Scene, balance: &Balance, bound: u64, agent: &Agent) -> Result<bool> {
    let Balance { written, delivered, missing, repeated, foreign, .. } = balance;
    let mut shards = std::collections::BTreeMap::new();
    for record in scene.endpoint.read(STREAM).await? {
        *shards.entry(record.shard).or_insert(0) += 1;
    }
    println!();
    for (shard, records) in shards {
        println!("  {shard}  {records:>9}");
    }
    println!("  written              {written:>9}");
    println!("  delivered            {delivered:>9}");
    println!("  repeated             {repeated:>9}  by the kill; published before: up to {bound}");
    println!("  missing              {missing:>9}");
    println!();
    let usage = agent.usage()?;
    println!(
        "  The agent has used {:.2} s of CPU since the kill, and {:.1} MiB of memory at the most.",
        usage.cpu_seconds, usage.memory.peak
    );
    let is_good = *missing == 0 && *foreign == 0 && *repeated <= bound;
    if is_good {
        println!("  Nothing is missing, and no more was repeated than promised.");
    } else {
        println!("  That is not what was promised. {balance}\n{}", scene.host.agent_log());
    }
    Ok(is_good)
}

/// Leaves all of it running for somebody's own client.
async fn keep(scene: &Scene) -> Result<()> {
    println!();
    println!("  endpoint  {}", scene.endpoint.url());
    println!("  stream    {STREAM} in {REGION}");
    println!("  keys      {ACCESS_KEY_ID} / {SECRET_ACCESS_KEY}");
    println!("  log       {}", scene.host.log("access_log").display());
    println!("  Write to the log and read the stream with any SDK. Ctrl-C ends it.");
    tokio::signal::ctrl_c().await.context("failed to wait for Ctrl-C")
}
