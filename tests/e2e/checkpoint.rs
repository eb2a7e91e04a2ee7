//! The checkpoint in trouble: killed at every step, torn, without room, refused by the disk, of another version, of
//! another agent, under another clock. No line is lost by any of it (G1), repeats are those that the file on disk does
//! not cover (G2), and without a crash there are none (G3).
//!
//! - [`kill`] ends the agent at every system call of its start, and of the replacing of a checkpoint;
//! - [`refused`] has the files that the agent must not trust or must not touch;
//! - [`disk`] is full, protected, or does not sync, and recovers;
//! - [`clock`] is set back;
//! - [`file`] reads checkpoints without the agent's code.

#[path = "checkpoint/clock.rs"]
mod clock;
#[path = "checkpoint/disk.rs"]
mod disk;
#[path = "checkpoint/file.rs"]
mod file;
#[path = "checkpoint/kill.rs"]
mod kill;
#[path = "checkpoint/refused.rs"]
mod refused;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Request;
use kinetail_tests::host::Host;
use kinetail_tests::scene::Scene;
use kinetail_tests::strace::Strace;
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Writer};
use serde_json::json;

/// The one file that is read in each of these tests.
const LOG: &str = "access_log";
/// How many lines are written at a time.
const LINES: u64 = 40;

/// An agent that sends lines as they are.
async fn scene() -> Result<Scene> {
    Ok(Scene::new(Throughput::Unlimited, 1).await?.on(|host| host.with_flow(LOG, json!({}))))
}

/// A scene whose agent has delivered what is written, in two parts, and has stopped. The checkpoint before the last
/// covers the first of them.
async fn stopped() -> Result<(Scene, Writer)> {
    let scene = scene().await?;
    let mut writer = Writer::open(scene.host.log(LOG))?;
    let agent = scene.host.start()?;
    writer.write(LINES)?;
    covered(&scene, LINES).await?;
    writer.write(LINES)?;
    arrived(&scene, 2 * LINES, 0).await?;
    agent.stop().await?;
    Ok((scene, writer))
}

fn state_directory(host: &Host) -> PathBuf {
    host.path().join("state")
}

/// All that the agent asks of the kernel about its checkpoint.
fn strace(host: &Host) -> Strace {
    let files = ["lock", "checkpoint", "checkpoint.new", "checkpoint.link", "checkpoint.previous"];
    let damaged = ["checkpoint.damaged", "checkpoint.previous.damaged"];
    let files = files.iter().chain(&damaged).map(|name| host.state(name));
    Strace::new(files.chain([state_directory(host)]).collect(), host.path().join("strace"))
}

/// The numbers of the lines that the stream has, in the order in which it took them.
fn taken(requests: &[Request]) -> Vec<u64> {
    let entries = requests.iter().flat_map(|request| &request.entries).filter(|entry| entry.taken);
    entries.filter_map(|entry| writer::number(&entry.data)).collect()
}

/// Waits until the stream has so many different lines, and took so many others once more.
async fn arrived(scene: &Scene, lines: u64, repeats: u64) -> Result<()> {
    let arrived = wait::until("all lines have arrived", wait::LONG, async || {
        let taken = scene.faults.look(taken);
        let different = taken.iter().collect::<BTreeSet<_>>().len() as u64;
        Ok((different >= lines && taken.len() as u64 >= lines + repeats).then_some(()))
    });
    arrived.await.with_context(|| scene.host.agent_log())
}

/// Waits until a checkpoint covers all `lines` that this run of the agent has read.
async fn covered(scene: &Scene, lines: u64) -> Result<()> {
    scene.host.settled(lines).await?;
    let covered = scene.host.until("a checkpoint covers all", wait::LONG, |metrics| {
        Ok(metrics.sum("kinetail_repeatable_records")? == 0)
    });
    covered.await.map(drop)
}

/// Waits until the agent has said this.
async fn said(scene: &Scene, words: &str) -> Result<()> {
    let what = format!("the agent says `{words}`");
    let said = wait::until(&what, wait::LONG, async || Ok(scene.host.said()?.contains(words).then_some(())));
    said.await.with_context(|| scene.host.agent_log())
}

/// All its runs together, the agent has said this so often.
fn ensure_said(scene: &Scene, words: &str, times: usize) -> Result<()> {
    let said = scene.host.said()?.matches(words).count();
    ensure!(said == times, "`{words}` is said {said} times, not {times}\n{}", scene.host.agent_log());
    Ok(())
}

/// Waits until an agent that can't start has said each of `words` and ended with the code for "a restart may help".
async fn refuses(scene: &Scene, mut agent: Agent, words: &[&str]) -> Result<()> {
    let status = agent.ended().await?;
    ensure!(status.code() == Some(1), "ended with {status}\n{}", scene.host.agent_log());
    words.iter().try_for_each(|words| ensure_said(scene, words, 1))
}

/// How many lines of the file a checkpoint covers.
fn covers(host: &Host, checkpoint: file::Checkpoint) -> Result<u64> {
    let offset = usize::try_from(checkpoint.offset)?;
    let log = fs::read(host.log(LOG))?;
    let before = log.get(..offset).context("the checkpoint is beyond the end of the file")?;
    ensure!(before.last().is_none_or(|byte| *byte == b'\n'), "{offset} is within a line");
    Ok(before.split_inclusive(|byte| *byte == b'\n').count() as u64)
}
