//! However a file is rotated, each of its lines arrives exactly once. Holds G1 and G3 to account.

use anyhow::{Context, Result, ensure};
use kinetail_tests::archive;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Mode;
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Load, Writer};
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

/// Rotations while the agent is down, the compressed ones first, each with the tool that made it.
const COMPRESSED: [(&str, &str); 6] =
    [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst"), ("bzip2", "bz2"), ("gzip", "gz"), ("gzip", "gz")];
const ROTATIONS: usize = 20;
/// Lines in each; a few blocks of the reader.
const ROTATED_LINES: u64 = 5000;

/// Stops the agent, rotates twenty times, compresses the oldest and starts it again: all of that is read, and what is in
/// the log already does not wait for it.
async fn caught_up_with(pattern: &str) -> Result<()> {
    let scene = scene(pattern).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(1000)?;
    let agent = scene.host.start()?;
    scene.host.settled(1000).await?;
    agent.stop().await?;

    for rotation in 0..ROTATIONS {
        writer.write(ROTATED_LINES)?;
        for number in (1..=rotation).rev() {
            let named = |number: usize| scene.host.log(&format!("access_log.{number}"));
            writer::rename(&named(number), &named(number + 1))?;
        }
        writer.rotate("access_log.1")?;
    }
    for (age, (tool, ending)) in COMPRESSED.iter().enumerate() {
        let name = format!("access_log.{}", ROTATIONS - age);
        archive::compress(tool, &scene.host.log(&name), ending)?;
    }
    let backlog = writer.count();
    writer.write(ROTATED_LINES)?;
    let agent = scene.host.start()?;
    scene.delivered(writer.written()).await?.exact()?;
    scene.offered_once()?;

    let order: Vec<u64> = scene.faults.look(|requests| {
        let entries = requests.iter().flat_map(|request| &request.entries);
        entries.filter_map(|entry| writer::number(&entry.data)).collect()
    });
    let first_new = order.iter().position(|number| *number >= backlog).context("nothing new came")?;
    let last_old = order.iter().rposition(|number| *number < backlog).context("nothing old came")?;
    ensure!(first_new < last_old, "what was new waited for all that was old");
    let metrics = scene.host.settled(writer.count() - 1000).await?;
    ensure!(metrics.sum("kinetail_bytes_lost_total")? == 0);
    agent.stop().await
}

#[tokio::test]
async fn a_backlog_of_twenty_rotations_is_caught_up_with_by_pattern() -> Result<()> {
    caught_up_with("access_log*").await
}

#[tokio::test]
async fn a_backlog_of_twenty_rotations_is_caught_up_with_outside_the_pattern() -> Result<()> {
    caught_up_with("access_log").await
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
    let tools = [("gzip", "gz"), ("zstd", "zst"), ("bzip2", "bz2"), ("xz", "xz")];
    for (day, (tool, ending)) in (10..).zip(tools) {
        writer.write(500)?;
        let name = format!("access_log-202611{day}");
        writer.rotate(&name)?;
        archive::compress(tool, &scene.host.log(&name), ending)?;
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
