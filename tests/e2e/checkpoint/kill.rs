//! SIGKILL at every system call of the agent's start and of the replacing of a checkpoint, as they were recorded.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, bail, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::faults::Request;
use kinetail_tests::scene::Scene;
use kinetail_tests::strace::Call;
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer};
use nix::sys::signal::Signal;
use tokio::task::{JoinSet, LocalSet};

use super::file::{self, Checkpoint};
use super::{LINES, LOG, arrived, covers, scene, stopped, strace, taken};

/// Lines a second, so that no checkpoint covers all that is delivered.
const RATE: u32 = 500;
/// Agents killed at once: they mostly wait.
const AT_ONCE: usize = 4;
/// How often a kill may hit another step, as strace came in the middle of a checkpoint.
const ATTEMPTS: usize = 20;
/// The calls that a durable replace can't do without, in their order.
const DURABLE: [(&str, &str); 5] = [
    ("openat", "checkpoint.new"),
    ("write", "checkpoint.new"),
    ("fsync", "checkpoint.new"),
    ("rename", "checkpoint.new"),
    ("fsync", "state"),
];

/// What the agent that is killed finds.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// No checkpoint: it writes the first one.
    Nothing,
    /// One that is torn, and the one before it.
    Torn,
}

/// The name of a call and its path, without who made it.
type Step = (String, String);

/// What one thread did among these calls.
fn steps_of(thread: u32, calls: &[Call]) -> Vec<Step> {
    let calls = calls.iter().filter(|call| call.thread == thread);
    calls.map(|call| (call.name.clone(), call.path.clone())).collect()
}

/// The harm that strikes the last of `steps` as it is entered.
fn kill_at_last(steps: &[Step]) -> Result<String> {
    let (name, _) = steps.last().context("no step")?;
    let nth = steps.iter().filter(|(other, _)| other == name).count();
    Ok(format!("{name}:signal=KILL:when={nth}"))
}

/// A recording is of use only if everything that makes a replace durable is in it, in this order.
fn ensure_durable(steps: &[Step]) -> Result<()> {
    let mut rest = steps.iter();
    for (name, path) in DURABLE {
        ensure!(rest.any(|step| step.0 == name && step.1 == path), "no {name} of {path} in time: {steps:?}");
    }
    Ok(())
}

async fn killed(mut agent: Agent) -> Result<()> {
    let status = agent.ended().await?;
    ensure!(status.signal() == Some(Signal::SIGKILL as i32), "ended with {status}");
    Ok(())
}

/// A scene before the start that is looked at, and how many of its lines no checkpoint will cover though they are
/// delivered.
async fn before(found: Found) -> Result<(Scene, Writer, u64)> {
    match found {
        Found::Nothing => {
            let scene = scene().await?;
            let mut writer = Writer::open(scene.host.log(LOG))?;
            writer.write(LINES)?;
            Ok((scene, writer, 0))
        }
        Found::Torn => {
            let (scene, mut writer) = stopped().await?;
            let path = scene.host.state("checkpoint");
            let whole = fs::read(&path)?;
            fs::write(&path, whole.get(..whole.len() / 2).context("half of it")?)?;
            let covered = covers(&scene.host, file::read(&scene.host.state("checkpoint.previous"))?)?;
            let uncovered = writer.count() - covered;
            writer.write(LINES)?;
            Ok((scene, writer, uncovered))
        }
    }
}

/// What the agent asks of the kernel at its start, up to where it reads its first line.
async fn record_start(found: Found) -> Result<Vec<Step>> {
    let (scene, writer, _) = before(found).await?;
    let strace = strace(&scene.host);
    let agent = scene.host.start_through(&strace.words()?)?;
    arrived(&scene, writer.count(), 0).await?;
    // The start is what the first thread does; later checkpoints are written by others.
    let thread = agent.pid();
    agent.kill()?;
    let steps = steps_of(thread, &strace.calls()?);
    ensure_durable(&steps)?;
    Ok(steps)
}

/// Kills an agent at the last of these steps of its start, and lets the next one do what is left to do.
async fn kill_start(found: Found, steps: &[Step]) -> Result<()> {
    let (scene, mut writer, uncovered) = before(found).await?;
    let strace = strace(&scene.host).harming(kill_at_last(steps)?);
    let agent = scene.host.start_through(&strace.words()?)?;
    let thread = agent.pid();
    killed(agent).await.with_context(|| scene.host.agent_log())?;
    let calls = strace.calls()?;
    ensure!(steps_of(thread, &calls) == steps, "killed elsewhere: {calls:?}");

    writer.write(LINES)?;
    let agent = scene.host.start()?;
    arrived(&scene, writer.count(), uncovered).await?;
    agent.stop().await?;
    let balance = scene.balance(writer.written()).await?;
    balance.complete()?;
    // Nothing is read before the first checkpoint stands: the kill costs nothing, only the tear does.
    ensure!(balance.repeated == uncovered, "{balance}, not {uncovered} repeats");
    let checkpoint = file::read(&scene.host.state("checkpoint"))?;
    ensure!(covers(&scene.host, checkpoint)? == writer.count(), "{checkpoint:?} does not cover all");
    Ok(())
}

/// Kills agents at each step of the start.
async fn check(found: Found) -> Result<()> {
    let recorded = record_start(found).await?;
    let mut lengths = 1..=recorded.len();
    let mut kills = JoinSet::new();
    LocalSet::new()
        .run_until(async {
            loop {
                while kills.len() < AT_ONCE
                    && let Some(length) = lengths.next()
                {
                    let steps = recorded.iter().take(length).cloned().collect::<Vec<_>>();
                    kills.spawn_local(async move {
                        let killed = kill_start(found, &steps).await;
                        killed.with_context(|| format!("killed at step {length}, {:?}", steps.last()))
                    });
                }
                match kills.join_next().await {
                    Some(ended) => ended??,
                    None => return Ok(()),
                }
            }
        })
        .await
}

#[tokio::test]
async fn a_kill_at_any_step_of_the_first_checkpoint_costs_nothing() -> Result<()> {
    check(Found::Nothing).await
}

#[tokio::test]
async fn a_kill_at_any_step_of_setting_a_torn_checkpoint_aside_costs_no_line() -> Result<()> {
    check(Found::Torn).await
}

/// Where a list begins to repeat itself.
fn period(steps: &[Step]) -> Option<&[Step]> {
    (1..=steps.len() / 2).find_map(|length| {
        let (first, rest) = steps.split_at(length);
        rest.starts_with(first).then_some(first)
    })
}

/// What one replace of the checkpoint asks of the kernel while the agent runs.
async fn record_replace(scene: &Scene) -> Result<Vec<Step>> {
    let strace = strace(&scene.host);
    let agent = scene.host.start_through(&strace.words()?)?;
    let first = agent.pid();
    let recorded = wait::until("one thread has written two checkpoints", 2 * wait::LONG, async || {
        let calls = strace.calls()?;
        let threads: BTreeSet<u32> = calls.iter().map(|call| call.thread).filter(|id| *id != first).collect();
        let mut steps = threads.into_iter().map(|thread| steps_of(thread, &calls));
        Ok(steps.find_map(|steps| period(&steps).map(<[Step]>::to_vec)))
    });
    let recorded = recorded.await?;
    agent.kill()?;
    scene.faults.quiet().await?;
    ensure_durable(&recorded)?;
    ensure!(recorded.iter().any(|(_, path)| path == "checkpoint.link"), "none is kept: {recorded:?}");
    Ok(recorded)
}

/// What a kill has left on the disk, and how many requests were made before it.
struct Left {
    covered: u64,
    requests: usize,
}

/// Kills the running agent at the last of these steps of a replace.
async fn kill_replace(scene: &Scene, steps: &[Step]) -> Result<Left> {
    let strace = strace(&scene.host).harming(kill_at_last(steps)?);
    for _ in 0..ATTEMPTS {
        let since = scene.faults.look(<[Request]>::len);
        let agent = scene.host.start()?;
        // From now on there is something that its first checkpoint does not cover.
        let answered = wait::until("records are accepted", wait::LONG, async || {
            let is = |request: &Request| request.answered.is_some() && !request.entries.is_empty();
            Ok(scene.faults.look(|requests| requests.iter().skip(since).any(is)).then_some(()))
        });
        answered.await.with_context(|| scene.host.agent_log())?;
        let attached = strace.attach(&agent).await?;
        killed(agent).await?;
        attached.ended().await?;
        scene.faults.quiet().await?;
        let checkpoint = whole(scene)?;
        let calls = strace.calls()?;
        let thread = calls.last().context("killed without a call")?.thread;
        if steps_of(thread, &calls) == steps {
            let requests = scene.faults.look(<[Request]>::len);
            return Ok(Left { covered: covers(&scene.host, checkpoint)?, requests });
        }
    }
    bail!("{ATTEMPTS} agents were killed elsewhere")
}

/// The checkpoint, which is there and whole; and so are the one before, and the new one behind its sync.
fn whole(scene: &Scene) -> Result<Checkpoint> {
    let [current, previous, new] = ["checkpoint", "checkpoint.previous", "checkpoint.new"]
        .map(|name| file::read(&scene.host.state(name)));
    let (current, previous) = (current?, previous?);
    let age = current.generation.checked_sub(previous.generation);
    ensure!(age.is_some_and(|age| age <= 1), "{previous:?} is not the one before {current:?}");
    let is_next = new.as_ref().map_or(true, |new| new.generation == current.generation + 1);
    ensure!(is_next, "{new:?} is not the one behind {current:?}");
    Ok(current)
}

#[tokio::test]
async fn a_kill_at_any_step_of_a_later_checkpoint_repeats_only_what_the_disk_does_not_cover() -> Result<()> {
    let scene = scene().await?;
    let load = Load::start(Writer::open(scene.host.log(LOG))?, RATE);
    let recorded = record_replace(&scene).await?;
    let mut kills = Vec::new();
    for length in 1..=recorded.len() {
        let steps = recorded.iter().take(length).cloned().collect::<Vec<_>>();
        let left = kill_replace(&scene, &steps).await;
        kills.push(left.with_context(|| format!("killed at step {length}, {:?}", steps.last()))?);
    }
    let writer = load.stop().await?;
    let agent = scene.host.start()?;
    scene.delivered(writer.written()).await?;
    agent.stop().await?;

    let mut repeats = 0;
    for (index, kill) in kills.iter().enumerate() {
        let (before, after) = scene.faults.look(|requests| {
            let (before, after) = requests.split_at(kill.requests);
            (taken(before), taken(after))
        });
        let first = *after.iter().min().context("an agent that sent nothing")?;
        let Left { covered, .. } = *kill;
        ensure!(first >= covered, "after kill {index} line {first} came again; {covered} lines were covered");
        let before = BTreeSet::from_iter(before);
        repeats += after.iter().filter(|line| before.contains(line)).count();
    }
    // Without repeats the bound was never put to the test.
    ensure!(repeats > 0, "nothing came again");
    Ok(())
}

#[test]
fn the_period_of_a_list_is_where_it_begins_again() {
    let list = |names: &str| names.chars().map(|name| (name.into(), String::new())).collect::<Vec<Step>>();
    assert_eq!(period(&list("abcab")), None);
    assert_eq!(period(&list("abcabcab")), Some(list("abc").as_slice()));
    assert_eq!(period(&list("abba")), None);
}
