//! Checkpoints that the agent must not trust, or must not touch.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kinetail_tests::scene::Scene;
use kinetail_tests::writer::Writer;

use super::{LINES, LOG, arrived, covered, covers, ensure_said, file, refuses, scene, stopped};

fn tear(path: &Path) -> Result<Vec<u8>> {
    let whole = fs::read(path)?;
    let torn = whole.get(..whole.len() - 1).context("an empty checkpoint")?;
    fs::write(path, torn)?;
    Ok(torn.to_vec())
}

/// Tears these files, and lets the agent start: `words` are said once, `repeats` lines come again, all others once.
async fn check(scene: &Scene, mut writer: Writer, files: &[&str], words: &str, repeats: u64) -> Result<()> {
    let torn = files.iter().map(|name| tear(&scene.host.state(name))).collect::<Result<Vec<_>>>()?;
    writer.write(LINES)?;
    let agent = scene.host.start()?;
    arrived(scene, writer.count(), repeats).await?;
    agent.stop().await?;
    let balance = scene.balance(writer.written()).await?;
    balance.complete()?;
    ensure!(balance.repeated == repeats, "{balance}, not {repeats} repeats");
    ensure_said(scene, words, 1)?;
    for (name, torn) in files.iter().zip(torn) {
        let aside = scene.host.state(&format!("{name}.damaged"));
        ensure_said(scene, &format!("keeps it as `{}`", aside.display()), 1)?;
        ensure!(fs::read(&aside)? == torn, "{} is not what was damaged", aside.display());
    }
    file::read(&scene.host.state("checkpoint")).map(drop)
}

#[tokio::test]
async fn a_torn_checkpoint_is_named_and_kept_and_the_one_before_is_used() -> Result<()> {
    let (scene, writer) = stopped().await?;
    let covered = covers(&scene.host, file::read(&scene.host.state("checkpoint.previous"))?)?;
    let words = "uses the one before: what was delivered since then is sent again; look after the disk";
    let uncovered = writer.count() - covered;
    check(&scene, writer, &["checkpoint"], words, uncovered).await
}

#[tokio::test]
async fn with_no_whole_checkpoint_left_everything_is_read_again_and_that_is_said() -> Result<()> {
    let (scene, writer) = stopped().await?;
    let words = "no checkpoint can be trusted; reads all these files from their beginning";
    let all = writer.count();
    check(&scene, writer, &["checkpoint", "checkpoint.previous"], words, all).await
}

#[tokio::test]
async fn a_checkpoint_of_a_newer_version_is_refused_and_not_touched() -> Result<()> {
    let (scene, mut writer) = stopped().await?;
    let path = scene.host.state("checkpoint");
    let ours = fs::read_to_string(&path)?;
    let newer = ours.replacen(" v1 ", " v2 ", 1);
    fs::write(&path, &newer)?;
    writer.write(LINES)?;
    let words = [
        "can't be used; install the kinetail that wrote it, or move it away to read all files again",
        "it has version 2, but this kinetail knows versions up to 1",
    ];
    refuses(&scene, scene.host.start()?, &words).await?;
    ensure!(fs::read_to_string(&path)? == newer, "the newer checkpoint was touched");
    // The kinetail that wrote it goes on as if nothing had been.
    fs::write(&path, &ours)?;
    let agent = scene.host.start()?;
    arrived(&scene, writer.count(), 0).await?;
    agent.stop().await?;
    scene.balance(writer.written()).await?.exact()
}

#[tokio::test]
async fn a_second_agent_is_refused_and_told_who_is_there() -> Result<()> {
    let scene = scene().await?;
    let mut writer = Writer::open(scene.host.log(LOG))?;
    writer.write(LINES)?;
    let agent = scene.host.start()?;
    covered(&scene, LINES).await?;
    let words = format!("another kinetail (process {}) works with the state directory", agent.pid());
    refuses(&scene, scene.host.start()?, &[words.as_str(), "stop it first"]).await?;
    writer.write(LINES)?;
    scene.delivered_exactly(agent, writer.written(), 0).await.map(drop)
}
