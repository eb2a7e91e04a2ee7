//! What the service manager is told: that the agent is ready, how it is, and that all is well only while each part moves or
//! says why it does not. An agent that hangs is silent, so that it is started again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Mode;
use kinetail_tests::scene::Scene;
use kinetail_tests::strace::Strace;
use kinetail_tests::supervisor::{Supervisor, Told};
use kinetail_tests::writer::Writer;
use nix::sys::signal::Signal;
use serde_json::json;

/// How often the service manager wants to hear, three times of which the agent tells it.
const WATCHDOG: Duration = Duration::from_millis(600);

/// In how many notifications the agent shows that it does not take a reason for a hang: 20 s, which is longer than any part
/// here may be silent.
const LOOKS: usize = 100;

/// How many notifications show that it is silent.
const SILENT: usize = 5;

/// Holds a call for longer than the test lasts, in microseconds: to the agent, a disk that hangs.
const HANG: &str = "delay_enter=1000000000";

/// A host with a flow whose calls end and whose reader looks soon.
async fn scene() -> Result<Scene> {
    let scene = Scene::new(Throughput::Unlimited, 2).await?;
    let keys = json!({
        "name": "access_log",
        "retryMaxBackoffMillis": 100,
        "maxTimeBetweenFileTrackerRefreshMillis": 1000,
    });
    Ok(scene.on(|host| {
        let host = host.with("connectionTimeoutMillis", json!(1000)).with("socketTimeoutMillis", json!(1000));
        host.with_flow("access_log", keys).with("maxMemoryBytes", json!(8 * 1024 * 1024))
    }))
}

fn start(scene: &Scene) -> Result<(Supervisor, Agent)> {
    let supervisor = Supervisor::start(&scene.host)?;
    let agent = scene.host.start_through(&supervisor.words(WATCHDOG))?;
    Ok((supervisor, agent))
}

fn is_well(told: &Told) -> bool {
    told.says("WATCHDOG=1")
}

#[tokio::test]
async fn it_is_ready_once_and_when_it_can_be_asked_and_says_that_it_stops() -> Result<()> {
    let scene = scene().await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(10)?;
    let (supervisor, agent) = start(&scene)?;
    let told = supervisor.next(0, SILENT).await?;
    let (first, rest) = told.split_first().context("there is a first one")?;
    ensure!(first.says("READY=1") && first.could_be_asked, "{first:?}");
    ensure!(scene.host.state("checkpoint").exists(), "it is ready with no checkpoint");
    ensure!(rest.iter().all(|told| !told.says("READY=1") && is_well(told)), "{rest:?}");
    scene.host.settled(10).await?;
    supervisor.until("all is read", told.len(), |told| told.says("STATUS=1 flow(s), 0 bytes behind")).await?;
    agent.signal(Signal::SIGTERM)?;
    supervisor.until("it stops", told.len(), |told| told.says("STOPPING=1")).await?;
    agent.stop().await?;
    scene.delivered(writer.written()).await.map(drop)
}

/// The service manager hears that all is well as long as the stream is so, and what is the matter; then all arrives.
async fn check_fed(mode: Mode, lines: u64, status: &str) -> Result<()> {
    let scene = scene().await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    let (supervisor, agent) = start(&scene)?;
    supervisor.until("it is ready", 0, |told| told.says("READY=1")).await?;
    scene.faults.set(mode);
    writer.write(lines)?;
    let from = supervisor.until("it says what is the matter", 0, |told| told.text.contains(status)).await?;
    for (number, told) in supervisor.next(from, LOOKS).await?.into_iter().enumerate() {
        ensure!(is_well(&told), "at look {number}: {told:?}\n{}", scene.host.agent_log());
    }
    scene.faults.set(Mode::Pass);
    scene.delivered(writer.written()).await?;
    agent.stop().await
}

#[tokio::test]
async fn it_is_fed_while_there_is_nothing_to_do() -> Result<()> {
    check_fed(Mode::Pass, 0, "STATUS=1 flow(s), 0 bytes behind").await
}

#[tokio::test]
async fn it_is_fed_while_the_stream_is_away_and_the_memory_is_full() -> Result<()> {
    check_fed(Mode::Away, 100_000, " bytes behind; flow ").await
}

#[tokio::test]
async fn it_is_fed_while_the_stream_throttles() -> Result<()> {
    check_fed(
        Mode::Refuse { percent: 100 },
        1000,
        "it refuses records: ProvisionedThroughputExceededException",
    )
    .await
}

#[tokio::test]
async fn it_is_fed_while_the_stream_does_not_answer() -> Result<()> {
    check_fed(Mode::Hold, 1000, " bytes behind; flow ").await
}

/// Where a call on one of `paths` hangs, the log says who, and the service manager hears nothing until it goes on.
async fn check_starved(paths: impl Fn(&Scene) -> Vec<PathBuf>, call: &str, hangs: &str) -> Result<()> {
    let scene = scene().await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(10)?;
    let (supervisor, agent) = start(&scene)?;
    scene.host.settled(10).await?;
    let strace =
        Strace::new(paths(&scene), scene.host.path().join("strace")).harming(format!("{call}:{HANG}"));
    let attached = strace.attach(&agent).await?;
    writer.write(10)?;
    let from = supervisor.until("it hangs", 0, |told| told.text.contains(hangs)).await?;
    let told = supervisor.next(from, SILENT).await?;
    ensure!(!told.iter().any(is_well), "{told:?}");
    ensure!(scene.host.said()?.contains(&format!("{hangs}: silent for ")), "{}", scene.host.agent_log());
    drop(attached);
    let again = supervisor.until("it moves again", from + SILENT, is_well).await?;
    ensure!(again > from, "it was told that all is well while it hung");
    scene.host.said()?.contains("moves again").then_some(()).context("the log does not say that it moves")?;
    scene.delivered_exactly(agent, writer.written(), 0).await.map(drop)
}

#[tokio::test]
async fn it_is_starved_while_a_reader_hangs() -> Result<()> {
    check_starved(
        |scene| vec![scene.host.log("access_log")],
        "pread64",
        "the reader of flow access_log hangs",
    )
    .await
}

#[tokio::test]
async fn it_is_starved_while_the_state_directory_hangs() -> Result<()> {
    let paths = |scene: &Scene| ["checkpoint", "checkpoint.new"].map(|name| scene.host.state(name)).to_vec();
    check_starved(paths, "fsync", "the writer of the state directory hangs").await
}
