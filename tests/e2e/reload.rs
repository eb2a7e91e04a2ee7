//! What SIGHUP and SIGUSR1 do to a running agent: a new configuration costs no line (G1) and repeats none (G3), whatever
//! comes between, and a wrong one changes nothing (G7).

use std::time::Duration;

use anyhow::{Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::{Endpoint, Throughput};
use kinetail_tests::faults::Mode;
use kinetail_tests::host::Host;
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// What the agent says when a reload is done, and when it is refused.
const RELOADED: &str = "reloaded: ";
const REFUSED: &str = "the configuration is wrong, and nothing is changed";

async fn scene() -> Result<Scene> {
    Scene::new(Throughput::Unlimited, 2).await
}

/// Flows from these logs, each with further keys, and named after its log.
fn flows(host: &Host, logs: &[(&str, Value)]) -> Value {
    let flow = |(log, keys): &(&str, Value)| {
        let mut flow = host.flow(log, keys.clone());
        flow["name"] = json!(log);
        flow
    };
    logs.iter().map(flow).collect()
}

/// The same host with another configuration, which is not written yet.
fn change(scene: Scene, logs: &[(&str, Value)]) -> Scene {
    scene.on(|host| {
        let flows = flows(&host, logs);
        host.with("flows", flows)
    })
}

/// Writes the configuration and has the agent reload it; waits until it says `outcome` once more.
async fn reload(host: &Host, agent: &Agent, outcome: &str) -> Result<()> {
    host.configure()?;
    told(host, agent, Signal::SIGHUP, outcome).await
}

/// Sends a signal and waits until the agent says `words` once more.
async fn told(host: &Host, agent: &Agent, signal: Signal, words: &str) -> Result<()> {
    let count = || Ok::<_, anyhow::Error>(host.said()?.matches(words).count());
    let before = count()?;
    agent.signal(signal)?;
    wait::until(words, wait::LONG, async || Ok((count()? > before).then_some(()))).await
}

/// Waits until so many flows have been started, in all runs of the agent. A signal before that may end it.
async fn runs(host: &Host, flows: usize) -> Result<()> {
    wait::until("it runs", wait::LONG, async || {
        Ok((host.said()?.matches("started flow").count() == flows).then_some(()))
    })
    .await
}

fn ensure_said(host: &Host, words: &str, times: usize) -> Result<()> {
    let said = host.said()?;
    let count = said.matches(words).count();
    ensure!(count == times, "`{words}` was said {count} times, not {times}:\n{said}");
    Ok(())
}

#[tokio::test]
async fn flows_come_change_and_go_under_load_and_others_do_not_notice() -> Result<()> {
    let stays = ("stays", json!({}));
    let mut scene = change(scene().await?, &[stays.clone(), ("changes", json!({}))]);
    let logs = [("stays", 0), ("changes", 1_000_000), ("comes", 2_000_000)];
    let mut loads = Vec::new();
    for (log, first) in logs {
        loads.push(Load::start(Writer::numbered_from(scene.host.log(log), first)?, 1000));
    }
    let agent = scene.host.start()?;
    scene
        .host
        .until("it reads", wait::LONG, |metrics| Ok(metrics.sum("kinetail_lines_read_total")? > 0))
        .await?;
    for round in 1..=10 {
        let changes = ("changes", json!({ "lingerMillis": 100 + round }));
        let comes = ("comes", json!({}));
        // Two rounds in three it is there.
        let logs =
            if round % 3 == 0 { vec![stays.clone(), changes] } else { vec![comes, changes, stays.clone()] };
        scene = change(scene, &logs);
        reload(&scene.host, &agent, RELOADED).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut writers = Vec::new();
    for load in loads {
        writers.push(load.stop().await?);
    }
    ensure_said(&scene.host, "started flow stays", 1)?;
    ensure_said(&scene.host, "ended flow stays", 0)?;
    ensure_said(&scene.host, "ended flow changes", 10)?;
    ensure_said(&scene.host, "started flow comes", 4)?;
    let written: Vec<&[u8]> = writers.iter().flat_map(Writer::written).collect();
    scene.delivered_exactly(agent, written, 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing_and_says_why() -> Result<()> {
    let mut scene = change(scene().await?, &[("log", json!({}))]);
    let mut writer = Writer::open(scene.host.log("log"))?;
    writer.write(10)?;
    let agent = scene.host.start()?;
    scene.host.settled(10).await?;
    scene = change(scene, &[("log", json!({ "lingerMillis": "soon" })), ("other", json!({}))]);
    reload(&scene.host, &agent, REFUSED).await?;
    ensure_said(&scene.host, "agent.json:", 1)?;
    ensure_said(&scene.host, "`lingerMillis` must be", 1)?;
    ensure_said(&scene.host, "started flow", 1)?;
    writer.write(10)?;
    scene.host.settled(20).await?;
    // And a right one is taken after that.
    scene = change(scene, &[("log", json!({})), ("other", json!({}))]);
    reload(&scene.host, &agent, RELOADED).await?;
    let mut other = Writer::numbered_from(scene.host.log("other"), 1000)?;
    other.write(10)?;
    let written: Vec<&[u8]> = writer.written().chain(other.written()).collect();
    scene.delivered_exactly(agent, written, 0).await?;
    Ok(())
}

#[tokio::test]
async fn what_says_the_same_in_other_words_is_not_changed() -> Result<()> {
    let scene = change(scene().await?, &[("log", json!({}))]);
    let mut writer = Writer::open(scene.host.log("log"))?;
    let agent = scene.host.start()?;
    runs(&scene.host, 1).await?;
    let text = std::fs::read_to_string(scene.host.config())?;
    std::fs::write(scene.host.config(), format!("// A remark.\n{}", text.replace('\n', " ")))?;
    told(&scene.host, &agent, Signal::SIGHUP, "reloaded: 1 flow(s) go on, 0 ended, 0 began").await?;
    writer.write(10)?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    Ok(())
}

#[tokio::test]
async fn what_the_stream_did_not_take_is_read_again() -> Result<()> {
    let scene = scene().await?;
    let scene = scene
        .on(|host| host.with("connectionTimeoutMillis", json!(500)).with("socketTimeoutMillis", json!(500)));
    let mut scene = change(scene, &[("log", json!({}))]);
    let mut writer = Writer::open(scene.host.log("log"))?;
    writer.write(1000)?;
    let agent = scene.host.start()?;
    scene.host.settled(1000).await?;
    scene.faults.set(Mode::Away);
    writer.write(1000)?;
    scene
        .host
        .until("they are on their way", wait::LONG, |metrics| {
            Ok(metrics.sum("kinetail_unacked_records")? == 1000)
        })
        .await?;
    scene = change(scene, &[("log", json!({ "lingerMillis": 101 }))]);
    reload(&scene.host, &agent, RELOADED).await?;
    scene.faults.set(Mode::Pass);
    scene.delivered(writer.written()).await?.exact()?;
    let metrics = scene
        .host
        .until("all is acked", wait::LONG, |metrics| Ok(metrics.sum("kinetail_records_acked_total")? == 2000))
        .await?;
    metrics.balance()?;
    ensure!(metrics.sum("kinetail_records_discarded_total")? == 1000, "{metrics:?}");
    ensure!(metrics.sum("kinetail_lines_read_total")? == 3000, "{metrics:?}");
    scene.offered_once()?;
    agent.stop().await
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_reload() -> Result<()> {
    let scene = scene().await?.on(|host| host.with("shutdownTimeoutMillis", json!(1000)));
    let mut scene = change(scene, &[("log", json!({})), ("other", json!({}))]);
    let mut writer = Writer::open(scene.host.log("log"))?;
    let mut other = Writer::numbered_from(scene.host.log("other"), 10_000)?;
    writer.write(1000)?;
    let mut agent = scene.host.start()?;
    scene.host.settled(1000).await?;
    scene.faults.set(Mode::Away);
    writer.write(1000)?;
    other.write(1000)?;
    scene
        .host
        .until("they are on their way", wait::LONG, |metrics| {
            Ok(metrics.sum("kinetail_unacked_records")? == 2000)
        })
        .await?;
    // It waits for a minute, which a call may take.
    scene = change(scene, &[("log", json!({ "lingerMillis": 101 })), ("other", json!({}))]);
    scene.host.configure()?;
    agent.signal(Signal::SIGHUP)?;
    wait::until("its reader has ended", wait::LONG, async || {
        let said = scene.host.kinetail(&["status", "--json"])?;
        let status: Value = serde_json::from_slice(&said.stdout)?;
        Ok(status["flows"][0]["watching"].is_null().then_some(()))
    })
    .await?;
    agent.signal(Signal::SIGTERM)?;
    ensure!(agent.ended().await?.success(), "{}", scene.host.agent_log());
    ensure_said(&scene.host, "stopping: sends what is read", 1)?;
    ensure_said(&scene.host, RELOADED, 0)?;
    scene.faults.set(Mode::Pass);
    let agent = scene.host.start()?;
    let written: Vec<&[u8]> = writer.written().chain(other.written()).collect();
    scene.delivered(written).await?.exact()?;
    agent.stop().await
}

#[tokio::test]
async fn a_flow_that_is_gone_goes_on_where_it_was_when_it_is_back() -> Result<()> {
    let scene = change(scene().await?, &[("stays", json!({})), ("comes", json!({}))]);
    let mut writer = Writer::open(scene.host.log("comes"))?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    scene.host.settled(100).await?;
    let scene = change(scene, &[("stays", json!({}))]);
    reload(&scene.host, &agent, RELOADED).await?;
    writer.write(100)?;
    // A crash must not forget it either.
    agent.kill()?;
    let agent = scene.host.start()?;
    runs(&scene.host, 3).await?;
    let scene = change(scene, &[("stays", json!({})), ("comes", json!({}))]);
    reload(&scene.host, &agent, RELOADED).await?;
    scene.delivered(writer.written()).await?.exact()?;
    agent.stop().await
}

#[tokio::test]
async fn what_a_flow_counted_stays_counted_when_it_is_gone() -> Result<()> {
    let scene = change(scene().await?, &[("stays", json!({})), ("goes", json!({}))]);
    let mut stays = Writer::open(scene.host.log("stays"))?;
    let mut goes = Writer::numbered_from(scene.host.log("goes"), 1000)?;
    goes.write(10)?;
    let agent = scene.host.start()?;
    scene.host.settled(10).await?;
    let scene = change(scene, &[("stays", json!({}))]);
    reload(&scene.host, &agent, RELOADED).await?;
    stays.write(5)?;
    // In the metrics, and in the Java agent's words at the end.
    let written: Vec<&[u8]> = stays.written().chain(goes.written()).collect();
    scene.delivered_exactly(agent, written, 0).await?;
    ensure_said(&scene.host, "Agent: Progress: 15 records parsed", 1)?;
    ensure_said(&scene.host, "and 15 records sent successfully to destinations", 1)
}

#[tokio::test]
async fn a_flow_that_is_new_begins_where_it_is_told_to() -> Result<()> {
    let scene = change(scene().await?, &[("stays", json!({}))]);
    let (mut start, mut end) =
        (Writer::open(scene.host.log("start"))?, Writer::numbered_from(scene.host.log("end"), 1000)?);
    start.write(10)?;
    end.write(10)?;
    let agent = scene.host.start()?;
    runs(&scene.host, 1).await?;
    let at_end = json!({ "initialPosition": "END_OF_FILE" });
    let scene = change(scene, &[("stays", json!({})), ("start", json!({})), ("end", at_end)]);
    reload(&scene.host, &agent, RELOADED).await?;
    end.write(10)?;
    let written: Vec<&[u8]> = start.written().chain(end.written().skip(10)).collect();
    scene.delivered_exactly(agent, written, 0).await?;
    Ok(())
}

#[tokio::test]
async fn with_another_endpoint_each_flow_goes_there() -> Result<()> {
    let other = Endpoint::start(Throughput::Unlimited)?;
    other.create_stream(STREAM, 1).await?;
    let scene = change(scene().await?, &[("one", json!({})), ("two", json!({}))]);
    let mut one = Writer::open(scene.host.log("one"))?;
    let mut two = Writer::numbered_from(scene.host.log("two"), 1000)?;
    one.write(10)?;
    two.write(10)?;
    let agent = scene.host.start()?;
    scene.host.settled(20).await?;
    let scene = scene.on(|host| host.with("kinesis.endpoint", json!(other.url())));
    reload(&scene.host, &agent, RELOADED).await?;
    one.write(10)?;
    two.write(10)?;
    scene.host.settled(40).await?;
    agent.stop().await?;
    let first: Vec<&[u8]> = one.written().take(10).chain(two.written().take(10)).collect();
    scene.balance(first).await?.exact()?;
    let arrived: Vec<Vec<u8>> = other.read(STREAM).await?.into_iter().map(|record| record.data).collect();
    let second = one.written().skip(10).chain(two.written().skip(10));
    kinetail_tests::books::Books::of(second).against(arrived.iter().map(Vec::as_slice)).balance().exact()
}

#[tokio::test]
async fn what_takes_a_restart_is_said_and_the_rest_is_done() -> Result<()> {
    let scene = change(scene().await?, &[("log", json!({}))]);
    let mut writer = Writer::open(scene.host.log("log"))?;
    let agent = scene.host.start()?;
    runs(&scene.host, 1).await?;
    let elsewhere = scene.host.path().join("elsewhere");
    let scene = scene.on(|host| {
        host.with("stateDirectory", json!(elsewhere)).with("log.statusReportingPeriodSeconds", json!(1))
    });
    scene.host.configure()?;
    told(&scene.host, &agent, Signal::SIGHUP, "`stateDirectory` is another now; that takes a restart")
        .await?;
    writer.write(10)?;
    wait::until("it tells how far it is, each second now", wait::LONG, async || {
        Ok((scene.host.said()?.matches("Agent: Progress: 10 records parsed").count() > 1).then_some(()))
    })
    .await?;
    ensure!(!elsewhere.exists(), "the state directory was made");
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    Ok(())
}

#[tokio::test]
async fn the_log_is_told_how_everything_is() -> Result<()> {
    let scene = change(scene().await?, &[("log", json!({}))]);
    let mut writer = Writer::open(scene.host.log("log"))?;
    writer.write(10)?;
    let agent = scene.host.start()?;
    scene.host.settled(10).await?;
    told(&scene.host, &agent, Signal::SIGUSR1, "flow log, to stream s").await?;
    let size = std::fs::metadata(scene.host.log("log"))?.len();
    wait::until("the file is told of", wait::LONG, async || {
        let said = scene.host.said()?;
        let is_told =
            said.contains(&format!("read to {size}, safe to {size}")) && said.contains("10 lines read");
        Ok(is_told.then_some(()))
    })
    .await?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    Ok(())
}
