//! A disk that does not do what it is asked: no checkpoint passes a line that is not on it, and it holds up no other line.

use std::fs;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::faults::Mode;
use kinetail_tests::scene::Scene;
use kinetail_tests::strace::{Attached, Strace};
use kinetail_tests::volume::Volume;
use kinetail_tests::wait;
use kinetail_tests::writer::Writer;
use serde_json::json;

use super::{KEPT, LOG, bad, bad_of, covered, has_the_good, kept, mixed, scene, shown};

const UNSYNCED: &str = "could not bring the quarantine to the disk";
const FAILED: &str = "kinetail_checkpoints_failed_total";

/// Whatever a power cut leaves, no checkpoint has passed a line that is not on the disk.
#[tokio::test]
async fn what_is_kept_is_synced_before_a_checkpoint_passes_it() -> Result<()> {
    let scene = scene(json!({})).await?;
    let mut writer = Writer::of(scene.host.log(LOG), bad)?;
    writer.write(10)?;
    let agent = scene.host.start()?;
    covered(&scene.host, 10).await?;
    let segment = scene.host.state("quarantine/000000000001");
    let paths = vec![segment, scene.host.state("checkpoint.new"), scene.host.state("checkpoint")];
    let strace = Strace::new(paths, scene.host.path().join("strace"));
    let attached = strace.attach(&agent).await?;
    writer.write(10)?;
    covered(&scene.host, 20).await?;
    wait::until("a checkpoint was written", wait::LONG, async || {
        Ok(strace.calls()?.iter().any(|call| call.name == "rename").then_some(()))
    })
    .await?;
    agent.stop().await?;
    drop(attached);
    let calls = strace.calls()?;
    let ours = |name: &str| {
        calls
            .iter()
            .rposition(|call| call.path == "000000000001" && call.name == name)
            .context(name.to_owned())
    };
    let (written, synced) = (ours("write")?, ours("fsync")?);
    let renamed = calls.iter().skip(written).position(|call| call.name == "rename").context("rename")?;
    ensure!(written < synced && synced < written + renamed, "{calls:#?}");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_costs_bad_lines_only_and_they_are_counted() -> Result<()> {
    let scene = scene(json!({})).await?.on(|host| host.with("quarantineBytes", json!(1 << 20)));
    let volume = Volume::mount(scene.host.path().join("state"))?;
    let mut writer = Writer::of(scene.host.log(LOG), mixed)?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    covered(&scene.host, 100).await?;
    volume.fill()?;
    writer.write(100)?;
    has_the_good(&scene, &writer).await?;
    volume.clear()?;
    // What was kept before the disk had room again is lost; what comes then is kept.
    scene
        .host
        .until("the disk is written again", wait::LONG, |metrics| {
            Ok(metrics.sum("kinetail_lines_read_total")? == 200)
        })
        .await?;
    writer.write(100)?;
    let metrics = covered(&scene.host, 300).await?;
    has_the_good(&scene, &writer).await?;
    let lost = metrics.one("kinetail_lines_dropped_total{reason=\"unkept\"}")?;
    ensure!(lost > 0 && lost <= 20, "{lost} are lost of 20");
    ensure!(metrics.one(KEPT)? - metrics.sum("kinetail_lines_released_total")? + lost == 60, "{metrics:?}");
    let kept = kept(&scene.host)?;
    ensure!(kept.len() as u64 == 60 - lost, "{} are kept, {lost} lost", kept.len());
    let said = scene.host.said()?;
    ensure!(said.matches("could not write to the quarantine").count() == 1, "{said}");
    agent.stop().await
}

/// An agent that keeps bad lines, all of which a checkpoint covers; and then every sync of these files fails.
async fn with_failing_syncs(scene: &Scene, writer: &mut Writer, files: &[&str]) -> Result<(Agent, Attached)> {
    writer.write(100)?;
    let agent = scene.host.start()?;
    covered(&scene.host, 100).await?;
    let paths = files.iter().map(|file| scene.host.state(file)).collect();
    let strace = Strace::new(paths, scene.host.path().join("strace"));
    let attached = strace.harming("fsync:error=EIO".to_owned()).attach(&agent).await?;
    Ok((agent, attached))
}

/// The next agent, and no metrics of the one before.
fn start_again(scene: &Scene) -> Result<Agent> {
    fs::remove_file(scene.host.state("metrics.prom"))?;
    scene.host.start()
}

#[tokio::test]
async fn what_was_not_synced_is_written_again_and_nothing_is_lost() -> Result<()> {
    let scene = scene(json!({})).await?;
    let mut writer = Writer::of(scene.host.log(LOG), mixed)?;
    let (agent, attached) = with_failing_syncs(&scene, &mut writer, &["quarantine/000000000001"]).await?;
    writer.write(100)?;
    let metrics = covered(&scene.host, 200).await?;
    ensure!(metrics.one(FAILED)? >= 1, "{metrics:?}");
    ensure!(metrics.one(KEPT)? == 40 && metrics.sum("kinetail_lines_dropped_total")? == 0, "{metrics:?}");
    has_the_good(&scene, &writer).await?;
    ensure!(kept(&scene.host)? == bad_of(&writer));
    let said = scene.host.said()?;
    ensure!(said.matches(UNSYNCED).count() == 1 && said.contains("mend the disk"), "{said}");
    ensure!(said.contains("the quarantine is on the disk again"), "{said}");
    drop(attached);
    agent.stop().await
}

#[tokio::test]
async fn no_checkpoint_passes_a_line_that_no_sync_has_brought_to_the_disk() -> Result<()> {
    let scene = scene(json!({})).await?;
    let mut writer = Writer::of(scene.host.log(LOG), mixed)?;
    let segments = ["quarantine/000000000001", "quarantine/000000000002"];
    let (agent, attached) = with_failing_syncs(&scene, &mut writer, &segments).await?;
    let [first, second] = segments.map(|segment| scene.host.state(segment));
    let checkpoint = scene.host.state("checkpoint");
    let (synced, before) = (fs::read(&first)?, fs::read(&checkpoint)?);
    writer.write(100)?;
    has_the_good(&scene, &writer).await?;
    let held_back = scene
        .host
        .until("several checkpoints are held back", wait::LONG, |metrics| Ok(metrics.one(FAILED)? >= 3));
    let metrics = held_back.await?;
    ensure!(metrics.sum("kinetail_lines_dropped_total")? == 0, "{metrics:?}");
    ensure!(fs::read(&checkpoint)? == before, "a checkpoint was written");
    // What a power cut leaves is what was synced before.
    agent.kill()?;
    drop(attached);
    fs::write(&first, synced)?;
    ensure!(!second.exists(), "what was not synced stays under its name");
    let agent = start_again(&scene)?;
    covered(&scene.host, 100).await?;
    ensure!(kept(&scene.host)? == bad_of(&writer), "a line is lost");
    agent.stop().await
}

/// A line that the stream refuses is known by its generation and offset from the first one of a file on.
#[tokio::test]
async fn a_refused_line_is_kept_once_though_a_crash_has_it_refused_again() -> Result<()> {
    let scene = scene(json!({})).await?;
    let agent = scene.host.start()?;
    scene.host.until("it runs", wait::LONG, |_| Ok(true)).await?;
    let paths = vec![scene.host.state("checkpoint.new")];
    let strace = Strace::new(paths, scene.host.path().join("strace"));
    let attached = strace.harming("fsync:error=EIO".to_owned()).attach(&agent).await?;
    scene.faults.set(Mode::Invalid { word: "seq=0 " });
    let mut writer = Writer::open(scene.host.log(LOG))?;
    writer.write(20)?;
    let is_kept =
        wait::until("it is kept", wait::LONG, async || Ok((!shown(&scene.host)?.is_empty()).then_some(())));
    is_kept.await.with_context(|| scene.host.agent_log())?;
    agent.kill()?;
    drop(attached);
    let agent = start_again(&scene)?;
    let metrics = covered(&scene.host, 20).await?;
    ensure!(metrics.one("kinetail_lines_quarantined_total{reason=\"refused\"}")? == 1, "{metrics:?}");
    let shown = shown(&scene.host)?;
    ensure!(shown.len() == 1 && shown.iter().all(|entry| entry["offset"] == 0), "{shown:?}");
    agent.stop().await
}
