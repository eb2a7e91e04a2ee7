//! However a file is rotated, each of its lines arrives exactly once. Holds G1 and G3 to account.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Mode;
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer};
use serde_json::json;

/// Lines a second of a load.
const RATE: u32 = 3000;

async fn scene(pattern: &str) -> Result<Scene> {
    Ok(Scene::new(Throughput::Unlimited, 2).await?.on(|host| host.with_flow(pattern, json!({}))))
}

/// Waits until the load has written so many more lines.
async fn grown(load: &Load, lines: u64) -> Result<()> {
    let goal = load.with(|writer| writer.count()) + lines;
    wait::until("the load has gone on", wait::LONG, async || {
        Ok(load.with(|writer| (writer.count() >= goal).then_some(())))
    })
    .await
}

/// Renames the file again and again while it is written to.
async fn rename_under_load(pattern: &str) -> Result<()> {
    let scene = scene(pattern).await?;
    let load = Load::start(Writer::open(scene.host.log("access_log"))?, RATE);
    let agent = scene.host.start()?;
    for round in 0..5 {
        grown(&load, 2000).await?;
        load.with(|writer| writer.rotate(&format!("access_log-{round}")))?;
    }
    grown(&load, 1000).await?;
    let writer = load.stop().await?;
    let metrics = scene.delivered_exactly(agent, writer.written(), 0).await?;
    ensure!(metrics.sum("kinetail_files_rotated_total")? == 5);
    ensure!(metrics.sum("kinetail_files_truncated_total")? == 0);
    Ok(())
}

#[tokio::test]
async fn renamed_files_that_still_match_are_not_read_twice() -> Result<()> {
    rename_under_load("access_log*").await
}

#[tokio::test]
async fn renamed_files_that_do_not_match_any_more_are_read_to_their_end() -> Result<()> {
    rename_under_load("access_log").await
}

#[tokio::test]
async fn who_writes_to_the_renamed_file_is_heard() -> Result<()> {
    let scene = scene("access_log").await?;
    let mut old = Writer::open(scene.host.log("access_log"))?;
    old.write(500)?;
    let agent = scene.host.start()?;
    scene.host.settled(500).await?;
    // As httpd's children do between the rename and their own end.
    kinetail_tests::writer::rename(&scene.host.log("access_log"), &scene.host.log("access_log.1"))?;
    let mut new = Writer::numbered_from(scene.host.log("access_log"), 1_000_000)?;
    let mut lines = 500;
    for _ in 0..3 {
        new.write(100)?;
        old.write(100)?;
        lines += 200;
        scene.host.settled(lines).await?;
    }
    scene.delivered_exactly(agent, old.written().chain(new.written()), 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_start_again() -> Result<()> {
    let scene = scene("access_log").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    let agent = scene.host.start()?;
    for lines in [900, 500, 100] {
        writer.write(lines)?;
        // What has not been read when a truncation comes is nobody's to deliver.
        scene.host.settled(writer.count()).await?;
        writer.truncate()?;
    }
    writer.write(50)?;
    let metrics = scene.delivered_exactly(agent, writer.written(), 0).await?;
    ensure!(metrics.sum("kinetail_files_truncated_total")? == 3);
    ensure!(metrics.sum("kinetail_bytes_lost_total")? == 0);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_deleted_and_made_again_is_a_new_one() -> Result<()> {
    let scene = scene("access_log").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    let agent = scene.host.start()?;
    for lines in [300, 300, 700] {
        writer.write(lines)?;
        scene.host.settled(writer.count()).await?;
        writer.delete_and_recreate()?;
    }
    writer.write(100)?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    Ok(())
}

/// Stops the agent, rotates twice and starts it again.
async fn rotated_while_down(pattern: &str) -> Result<()> {
    let scene = scene(pattern).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(1000)?;
    let agent = scene.host.start()?;
    scene.host.settled(1000).await?;
    agent.stop().await?;

    writer.write(300)?;
    writer.rotate("access_log.1")?;
    writer.write(200)?;
    let agent = scene.host.start()?;
    let balance = scene.delivered(writer.written()).await?;
    balance.exact()?;
    scene.offered_once()?;
    agent.stop().await
}

#[tokio::test]
async fn a_rotation_while_the_agent_is_down_is_followed_by_pattern() -> Result<()> {
    rotated_while_down("access_log*").await
}

#[tokio::test]
async fn a_rotation_while_the_agent_is_down_is_followed_outside_the_pattern() -> Result<()> {
    rotated_while_down("access_log").await
}

/// A file that comes and goes while the stream takes nothing is opened in time: a reader that has no room to read goes
/// on looking.
#[tokio::test]
async fn two_rotations_while_the_stream_is_away_lose_nothing() -> Result<()> {
    let scene = scene("access_log").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    scene.faults.set(Mode::Away);
    // More than the flow's channel takes.
    writer.write(20_000)?;
    let agent = scene.host.start()?;
    let open = |files: u64| {
        move |metrics: &Metrics| {
            Ok(metrics.sum("kinetail_open_files")? == files && metrics.sum("kinetail_lag_bytes")? > 0)
        }
    };
    scene.host.until("the reader has no room", wait::LONG, open(1)).await?;
    writer.rotate("access_log.1")?;
    writer.write(1000)?;
    scene.host.until("the second file is open", wait::LONG, open(2)).await?;
    writer.rotate("access_log.2")?;
    writer.write(1000)?;
    scene.host.until("the third file is open", wait::LONG, open(3)).await?;
    scene.faults.set(Mode::Pass);
    let metrics = scene.delivered_exactly(agent, writer.written(), 0).await?;
    ensure!(metrics.sum("kinetail_bytes_lost_total")? == 0);
    Ok(())
}

/// Runs a compressor, which puts an archive in the place of the file.
fn compress(scene: &Scene, command: &[&str], name: &str) -> Result<()> {
    let (tool, options) = command.split_first().context("no tool")?;
    let mut command = Command::new(tool);
    let status =
        command.args(options).arg(scene.host.log(name)).status().with_context(|| (*tool).to_owned())?;
    ensure!(status.success(), "{command:?}");
    Ok(())
}

/// Kills the agent in the middle of a file, which is rotated and compressed before the next start; so are others that no
/// agent ever saw.
#[tokio::test]
async fn what_was_compressed_while_the_agent_was_dead_is_read_from_the_archive() -> Result<()> {
    let scene = scene("access_log").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(1000)?;
    let agent = scene.host.start()?;
    scene.host.settled(1000).await?;
    agent.kill()?;
    let tools: [&[&str]; 4] = [&["gzip", "-q"], &["zstd", "-q", "--rm"], &["bzip2", "-q"], &["xz", "-q"]];
    for (day, tool) in (10..).zip(tools) {
        writer.write(500)?;
        let name = format!("access_log-202611{day}");
        writer.rotate(&name)?;
        compress(&scene, tool, &name)?;
    }
    writer.write(200)?;
    let agent = scene.host.start()?;
    scene.delivered(writer.written()).await?;
    let metrics = scene.host.metrics()?.context("nothing is published")?;
    ensure!(metrics.sum("kinetail_bytes_lost_total")? == 0);
    // Killed before its last checkpoint, it may have sent the first lines again; those behind them it sent once.
    ensure!(metrics.sum("kinetail_lines_read_total")? <= writer.count());
    ensure!(metrics.sum("kinetail_files_reread_total")? == 0);
    agent.stop().await
}
