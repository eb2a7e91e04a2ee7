//! Whatever the stream does, no line is lost (G1), nothing is sent again without need (G3), and memory stays bounded (G5).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::{self, Fate, Mode, Request};
use kinetail_tests::oracle;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer};
use serde_json::json;

/// What the agents here may hold: less than is written while the stream does not take it.
const MAX_MEMORY_MIB: u32 = 8;
/// What a process needs beside that: the program itself, TLS, connections.
const PROCESS_MIB: u32 = 24;
/// How long the endpoint is away.
const AWAY: Duration = Duration::from_secs(60);

async fn scene(throughput: Throughput, shards: i32) -> Result<Scene> {
    let scene = Scene::new(throughput, shards).await?;
    let keys = json!({
        "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }],
    });
    Ok(scene.on(|host| {
        host.with_flow("access_log", keys).with("maxMemoryBytes", json!(MAX_MEMORY_MIB * 1024 * 1024))
    }))
}

fn memory_is_bounded(agent: &Agent) -> Result<()> {
    let peak = agent.usage()?.memory.peak;
    ensure!(peak <= f64::from(MAX_MEMORY_MIB + PROCESS_MIB), "{peak} MiB in memory at the most");
    Ok(())
}

/// The end of each test here: nothing is missing, what came twice had no answer the first time and was counted.
async fn nothing_is_missing(scene: &Scene, agent: Agent) -> Result<()> {
    let expected = oracle::records([scene.host.log("access_log")])?;
    let balance = scene.delivered(expected.iter().map(Vec::as_slice)).await?;
    let metrics = scene.host.settled(expected.len() as u64).await?;
    ensure!(metrics.sum("kinetail_records_acked_total")? == expected.len() as u64);
    ensure!(metrics.left_behind()? == 0);
    scene.offered_once()?;
    let counted = metrics.sum("kinetail_records_possibly_repeated_total")?;
    ensure!(balance.repeated <= counted, "{} repeats, {counted} counted as possible", balance.repeated);
    memory_is_bounded(&agent)?;
    agent.stop().await
}

/// Waits until `count` more requests satisfy `are`.
async fn requests(scene: &Scene, what: &str, count: usize, are: impl Fn(&Request) -> bool) -> Result<()> {
    let so_far = || scene.faults.look(|requests| requests.iter().filter(|request| are(request)).count());
    let goal = so_far() + count;
    let reached = wait::until(what, wait::LONG, async || Ok((so_far() >= goal).then_some(())));
    reached.await.with_context(|| scene.host.agent_log())
}

fn is_accepted(request: &Request) -> bool {
    request.entries.iter().any(|entry| entry.fate == Fate::Accepted)
}

#[tokio::test]
async fn too_few_shards_delay_and_lose_nothing() -> Result<()> {
    let scene = scene(Throughput::Enforced, 2).await?;
    // More than the agent may hold, and fifteen seconds of what two shards take.
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(30_000)?;
    let load = Load::start(writer, 500);
    let agent = scene.host.start()?;
    wait::until("the stream has refused some and taken much", wait::LONG, async || {
        memory_is_bounded(&agent)?;
        let Some(metrics) = scene.host.metrics()? else { return Ok(None) };
        let refused = metrics.sum("kinetail_records_refused_total")?;
        let acked = metrics.sum("kinetail_records_acked_total")?;
        Ok((refused > 0 && acked > 5000).then_some(()))
    })
    .await
    .with_context(|| scene.host.agent_log())?;
    load.stop().await?;
    nothing_is_missing(&scene, agent).await
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_waited_for() -> Result<()> {
    let scene = scene(Throughput::Unlimited, 4).await?;
    let load = Load::start(Writer::open(scene.host.log("access_log"))?, 1500);
    let agent = scene.host.start()?;
    requests(&scene, "records are accepted", 3, is_accepted).await?;
    scene.faults.set(Mode::Away);
    load.run(AWAY).await;
    memory_is_bounded(&agent)?;
    scene.faults.set(Mode::Pass);
    requests(&scene, "records are accepted again", 3, is_accepted).await?;
    load.stop().await?;
    nothing_is_missing(&scene, agent).await
}

#[tokio::test]
async fn each_kind_of_failure_is_survived() -> Result<()> {
    let scene = scene(Throughput::Unlimited, 4).await?;
    let load = Load::start(Writer::open(scene.host.log("access_log"))?, 2000);
    let agent = scene.host.start()?;
    for mode in [
        Mode::InternalError,
        Mode::ResetBefore,
        Mode::ResetAfter,
        Mode::Refuse { percent: 30 },
        Mode::Refuse { percent: 100 },
        Mode::ResetAfter,
        Mode::Refuse { percent: 70 },
    ] {
        requests(&scene, "records are accepted in between", 3, is_accepted).await?;
        scene.faults.set(mode);
        requests(&scene, &format!("{mode:?} has done harm"), 4, |_| true).await?;
        scene.faults.set(Mode::Pass);
    }
    requests(&scene, "records are accepted in the end", 3, is_accepted).await?;
    load.stop().await?;

    let metrics = scene.host.until("it is all counted", wait::LONG, |metrics| {
        Ok(metrics.sum("kinetail_requests_failed_total")? > 0
            && metrics.sum("kinetail_records_refused_total")? > 0)
    });
    metrics.await?;
    ensure!(scene.faults.look(faults::unanswered) > 0, "no answer was lost");
    nothing_is_missing(&scene, agent).await
}
