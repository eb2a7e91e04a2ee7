//! A state directory that can't be written for a while: the agent goes on, says so once, and recovers.

use anyhow::{Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::host::Host;
use kinetail_tests::scene::Scene;
use kinetail_tests::strace::{Call, Strace};
use kinetail_tests::volume::Volume;
use kinetail_tests::writer::Writer;

use super::{LINES, LOG, arrived, covered, ensure_said, file, refuses, said, scene, state_directory, strace};

const FAILING: &str = "could not write checkpoint; goes on";
const AGAIN: &str = "checkpoints are written again";
/// A sync that fails at the first three attempts of each thread.
const FAILING_SYNC: &str = "fsync:error=EIO:when=1..3";

/// A scene whose agent keeps its state on a disk of its own.
async fn on_volume() -> Result<(Scene, Volume)> {
    let scene = scene().await?;
    let volume = Volume::mount(state_directory(&scene.host))?;
    Ok((scene, volume))
}

/// What must be so when the agent that had trouble has recovered: trouble and recovery were said once, and counted, and
/// every line came once.
async fn recovered(scene: &Scene, agent: Agent, writer: &Writer, failed: u64) -> Result<()> {
    said(scene, AGAIN).await?;
    covered(scene, writer.count()).await?;
    ensure_said(scene, FAILING, 1)?;
    ensure_said(scene, AGAIN, 1)?;
    let metrics = scene.delivered_exactly(agent, writer.written(), 0).await?;
    let counted = metrics.sum("kinetail_checkpoints_failed_total")?;
    ensure!(counted >= failed, "{counted} failed checkpoints are counted, {failed} or more had failed");
    Ok(())
}

/// Lets the state directory be harmed while the agent runs, and mended when lines have been delivered meanwhile.
async fn check(
    harm: impl FnOnce(&Volume) -> Result<()>,
    mend: impl FnOnce(&Volume) -> Result<()>,
) -> Result<()> {
    let (scene, volume) = on_volume().await?;
    let mut writer = Writer::open(scene.host.log(LOG))?;
    let agent = scene.host.start()?;
    writer.write(LINES)?;
    covered(&scene, LINES).await?;
    let files = ["checkpoint", "checkpoint.previous"].map(|name| scene.host.state(name));
    let before = files.each_ref().map(|path| file::read(path).ok());
    harm(&volume)?;
    writer.write(LINES)?;
    arrived(&scene, 2 * LINES, 0).await?;
    said(&scene, FAILING).await?;
    writer.write(LINES)?;
    arrived(&scene, 3 * LINES, 0).await?;
    let after = files.each_ref().map(|path| file::read(path).ok());
    ensure!(before == after && !after.contains(&None), "{before:?} became {after:?}");
    mend(&volume)?;
    recovered(&scene, agent, &writer, 1).await
}

#[tokio::test]
async fn a_full_disk_holds_up_no_line_and_is_forgotten_when_there_is_room() -> Result<()> {
    check(Volume::fill, Volume::clear).await
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_holds_up_no_line() -> Result<()> {
    check(Volume::protect, Volume::unprotect).await
}

#[tokio::test]
async fn a_known_flow_starts_on_a_full_disk_and_a_crash_there_repeats_what_was_sent_meanwhile() -> Result<()>
{
    let (scene, volume) = on_volume().await?;
    let mut writer = Writer::open(scene.host.log(LOG))?;
    writer.write(LINES)?;
    let agent = scene.host.start()?;
    arrived(&scene, LINES, 0).await?;
    agent.stop().await?;

    volume.fill()?;
    writer.write(LINES)?;
    let agent = scene.host.start()?;
    arrived(&scene, 2 * LINES, 0).await?;
    said(&scene, FAILING).await?;
    agent.kill()?;
    scene.faults.quiet().await?;
    let agent = scene.host.start()?;
    arrived(&scene, 2 * LINES, LINES).await?;
    volume.clear()?;
    said(&scene, AGAIN).await?;
    agent.stop().await?;
    let balance = scene.balance(writer.written()).await?;
    balance.complete()?;
    ensure!(balance.repeated == LINES, "{balance}");
    ensure_said(&scene, FAILING, 2)
}

/// Lets the state directory be harmed before the first start ever, and mended after that.
async fn check_first_start(
    harm: impl FnOnce(&Volume) -> Result<()>,
    mend: impl FnOnce(&Volume) -> Result<()>,
    words: &[&str],
) -> Result<()> {
    let (scene, volume) = on_volume().await?;
    harm(&volume)?;
    let mut writer = Writer::open(scene.host.log(LOG))?;
    writer.write(LINES)?;
    refuses(&scene, scene.host.start()?, words).await?;
    mend(&volume)?;
    let agent = scene.host.start()?;
    scene.delivered_exactly(agent, writer.written(), 0).await.map(drop)
}

#[tokio::test]
async fn a_first_start_needs_room() -> Result<()> {
    let words =
        ["could not start from the last checkpoint: failed to write new state", "No space left on device"];
    check_first_start(Volume::fill, Volume::clear, &words).await
}

#[tokio::test]
async fn a_start_on_a_read_only_disk_is_refused() -> Result<()> {
    let words =
        ["can't be written to; mend it, or name another as `stateDirectory`", "Read-only file system"];
    check_first_start(Volume::protect, Volume::unprotect, &words).await
}

/// Lets syncs of these paths fail while the agent runs; gives what it asked of the kernel about them.
async fn fail_syncs(paths: impl FnOnce(&Host) -> Strace) -> Result<Vec<Call>> {
    let scene = scene().await?;
    let mut writer = Writer::open(scene.host.log(LOG))?;
    let agent = scene.host.start()?;
    writer.write(LINES)?;
    covered(&scene, LINES).await?;
    // Nothing changes any more, so strace does not come in the middle of a checkpoint.
    let strace = paths(&scene.host).harming(FAILING_SYNC.to_owned());
    let attached = strace.attach(&agent).await?;
    writer.write(LINES)?;
    arrived(&scene, writer.count(), 0).await?;
    said(&scene, AGAIN).await?;
    drop(attached);
    recovered(&scene, agent, &writer, 3).await?;
    strace.calls()
}

#[tokio::test]
async fn what_was_not_synced_never_becomes_the_checkpoint_nor_is_synced_again() -> Result<()> {
    let calls = fail_syncs(strace).await?;
    let mut of_new = calls.iter().filter(|call| call.path == "checkpoint.new").map(|call| call.name.as_str());
    let attempts: Vec<&str> = of_new.by_ref().take_while(|name| *name != "rename").collect();
    let [opened, synced] =
        ["openat", "fsync"].map(|name| attempts.iter().filter(|call| **call == name).count());
    ensure!(synced >= 4 && opened == synced, "{synced} syncs of {opened} files: {attempts:?}");
    Ok(())
}

#[tokio::test]
async fn a_rename_that_was_not_synced_is_not_counted_on() -> Result<()> {
    let of_directory = |host: &Host| Strace::new(vec![state_directory(host)], host.path().join("strace"));
    let calls = fail_syncs(of_directory).await?;
    let synced = calls.iter().filter(|call| call.name == "fsync").count();
    ensure!(synced >= 4, "{synced} syncs of the directory: {calls:?}");
    Ok(())
}
