//! What is written to `kinetail pipe` arrives, whoever dies meanwhile, and who writes is not held up. Holds G1, G3 and G6
//! to account.

#[path = "pipe/alone.rs"]
mod alone;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::binary;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::httpd::Httpd;
use kinetail_tests::pipe::{Ends, Pipe};
use kinetail_tests::scene::Scene;
use kinetail_tests::visitor;
use kinetail_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

/// The flow that takes a pipe.
const FLOW: &str = "access";
/// Kills of an instance under load.
const KILLS: usize = 20;
/// Lines that are written between two of them, at the most.
const LINES_A_LIFE: u64 = 4000;
/// Requests to httpd, over all visitors.
const REQUESTS: u64 = 20_000;
/// Visitors at a time.
const VISITORS: u64 = 4;

/// A stream, and a host with a flow that takes a pipe.
async fn scene(keys: Value) -> Result<Scene> {
    let mut flow = json!({ "name": FLOW, "input": "pipe", "kinesisStream": "s", "lingerMillis": 100 });
    if let (Some(flow), Value::Object(keys)) = (flow.as_object_mut(), keys) {
        flow.extend(keys);
    }
    Ok(Scene::new(Throughput::Unlimited, 4).await?.on(|host| host.with("flows", json!([flow]))))
}

fn numbered(number: u64) -> Vec<u8> {
    format!("{number:08} 127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /page\" 200 2326\n").into_bytes()
}

/// What the instances have said.
fn said(scene: &Scene) -> Result<String> {
    Ok(fs::read_to_string(scene.host.path().join("pipe.stderr"))?)
}

/// How many lines the instances say that they had to drop.
fn dropped(scene: &Scene) -> Result<u64> {
    let said = said(scene)?;
    let counts = said.lines().filter_map(|line| line.split_once(": dropped ")?.1.split_once(" lines"));
    counts.map(|(count, _)| Ok(count.parse::<u64>()?)).sum()
}

/// How many bytes the spool of a flow holds.
fn spooled(scene: &Scene, flow: &str) -> Result<u64> {
    let mut bytes = 0;
    let Ok(instances) = fs::read_dir(scene.host.state("spool").join(flow)) else { return Ok(0) };
    for instance in instances {
        // What is delivered may go at any time.
        let Ok(segments) = fs::read_dir(instance?.path()) else { continue };
        for segment in segments {
            bytes += segment?.metadata().map_or(0, |found| found.len());
        }
    }
    Ok(bytes)
}

/// Writes `lines`, and gives back what can be written to.
fn write<W: Write + Send + 'static>(mut to: W, lines: Vec<Vec<u8>>) -> JoinHandle<Result<W>> {
    spawn_blocking(move || {
        lines.iter().try_for_each(|line| to.write_all(line))?;
        Ok(to)
    })
}

#[tokio::test]
async fn every_kind_of_line_arrives_as_it_is() -> Result<()> {
    let scene = scene(json!({})).await?;
    let agent = scene.host.start()?;
    let mut long = vec![b'x'; 300_000];
    long.push(b'\n');
    let lines: Vec<Vec<u8>> = [
        b"one\n".to_vec(),
        b"\xff\xfe binary \x01\x80\n".to_vec(),
        b"nul \0\0\0 within\n".to_vec(),
        long,
        b"behind the long one\n".to_vec(),
        b"the last, without an end".to_vec(),
    ]
    .into();
    let ends = Ends::new()?;
    let pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
    drop(write(ends.writer, lines.clone()).await??);
    pipe.done().await?;

    let mut expected = lines;
    expected.last_mut().context("there is a last line")?.push(b'\n');
    scene.delivered_exactly(agent, expected.iter().map(Vec::as_slice), 0).await?;
    wait::until("the spool is swept", wait::LONG, async || Ok((spooled(&scene, FLOW)? == 0).then_some(())))
        .await
}

#[tokio::test]
async fn what_is_taken_in_while_no_agent_runs_arrives_when_one_does() -> Result<()> {
    let scene = scene(json!({})).await?;
    let lines: Vec<Vec<u8>> = (0..50_000).map(numbered).collect();
    for half in lines.chunks(25_000) {
        let ends = Ends::new()?;
        let pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
        drop(write(ends.writer, half.to_vec()).await??);
        pipe.done().await?;
    }
    let agent = scene.host.start()?;
    scene.delivered_exactly(agent, lines.iter().map(Vec::as_slice), 0).await?;
    wait::until("the spool is swept", wait::LONG, async || Ok((spooled(&scene, FLOW)? == 0).then_some(())))
        .await
}

#[tokio::test]
async fn kills_under_load_lose_and_repeat_nothing() -> Result<()> {
    survive_kills(LINES_A_LIFE, numbered).await
}

/// A kill ends a write to a file between two pages of it, so most of these are cut.
#[tokio::test]
async fn lines_of_many_pages_survive_kills_in_their_middle() -> Result<()> {
    survive_kills(LINES_A_LIFE / 20, |number| {
        let mut line = format!("{number:08} ").into_bytes();
        line.resize(60_000, b'x');
        line.push(b'\n');
        line
    })
    .await
}

/// Writes up to so many lines between two kills of an instance.
async fn survive_kills(lines_a_life: u64, line: fn(u64) -> Vec<u8>) -> Result<()> {
    let scene = scene(json!({})).await?;
    let agent = scene.host.start()?;
    let ends = Ends::new()?;
    let mut writer = ends.writer.try_clone()?;
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for _ in 0..KILLS {
        let pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
        let first = lines.len() as u64;
        let load: Vec<_> = (first..first + fastrand::u64(lines_a_life / 4..lines_a_life)).map(line).collect();
        lines.extend_from_slice(&load);
        let writing = write(writer, load);
        let before = spooled(&scene, FLOW)?;
        wait::until("it takes lines in", wait::LONG, async || {
            Ok((spooled(&scene, FLOW)? != before || writing.is_finished()).then_some(()))
        })
        .await?;
        pipe.kill()?;
        // What the next life begins with may be all that is left.
        let next = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
        writer = writing.await??;
        next.kill()?;
    }
    let pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
    drop((writer, ends));
    pipe.done().await?;
    scene.delivered_exactly(agent, lines.iter().map(Vec::as_slice), 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_spool_holds_nobody_up_and_every_line_is_delivered_or_told() -> Result<()> {
    let scene = scene(json!({ "spoolBytes": 1 << 20 })).await?;
    let lines: Vec<Vec<u8>> = (0..100_000).map(numbered).collect();
    let ends = Ends::new()?;
    let pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
    // No agent runs, so this ends only if nobody waits for one.
    drop(write(ends.writer, lines.clone()).await??);
    pipe.done().await?;
    let dropped = dropped(&scene)?;
    ensure!(
        dropped > 0 && spooled(&scene, FLOW)? < 3 << 20,
        "{dropped} dropped, {} left",
        spooled(&scene, FLOW)?
    );

    let agent = scene.host.start()?;
    let (_, left) = lines.split_at(usize::try_from(dropped)?);
    scene.delivered_exactly(agent, left.iter().map(Vec::as_slice), 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_spool_waits_where_the_flow_says_so_and_drops_nothing() -> Result<()> {
    let scene = scene(json!({ "spoolBytes": 1 << 20, "spoolWaitMillis": 3_600_000 })).await?;
    let lines: Vec<Vec<u8>> = (0..100_000).map(numbered).collect();
    let ends = Ends::new()?;
    let pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
    let writing = write(ends.writer, lines.clone());
    wait::until("the spool is full", wait::LONG, async || {
        Ok((spooled(&scene, FLOW)? > (1 << 20) - (128 << 10)).then_some(()))
    })
    .await?;
    ensure!(!writing.is_finished(), "all of it found room");
    let agent = scene.host.start()?;
    drop(writing.await??);
    pipe.done().await?;
    ensure!(dropped(&scene)? == 0, "{}", said(&scene)?);
    scene.delivered_exactly(agent, lines.iter().map(Vec::as_slice), 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_signal_does_not_end_it_while_others_write() -> Result<()> {
    let scene = scene(json!({})).await?;
    let agent = scene.host.start()?;
    let ends = Ends::new()?;
    let mut pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
    let lines: Vec<Vec<u8>> = (0..2_000).map(numbered).collect();
    let (early, late) = lines.split_at(1_000);
    let writer = write(ends.writer, early.to_vec()).await??;
    wait::until("it takes lines in", wait::LONG, async || Ok((spooled(&scene, FLOW)? > 0).then_some(())))
        .await?;
    pipe.signal(Signal::SIGUSR1)?;
    pipe.signal(Signal::SIGTERM)?;
    let writer = write(writer, late.to_vec()).await??;
    ensure!(pipe.runs()?, "it ended though others write");
    scene.host.settled(lines.len() as u64).await?;
    ensure!(pipe.runs()?, "it ended though others write");
    drop(writer);
    pipe.done().await?;
    scene.delivered_exactly(agent, lines.iter().map(Vec::as_slice), 0).await?;
    Ok(())
}

#[tokio::test]
async fn started_by_root_it_becomes_the_owner_of_the_state_directory() -> Result<()> {
    const NOBODY: u32 = 65534;
    let scene = scene(json!({})).await?;
    chown(scene.host.state(""), Some(NOBODY), Some(NOBODY)).context("this test needs root")?;
    let lines: Vec<Vec<u8>> = (0..1_000).map(numbered).collect();
    let ends = Ends::new()?;
    let pipe = Pipe::start(&scene.host, FLOW, ends.reader()?)?;
    drop(write(ends.writer, lines.clone()).await??);
    pipe.done().await?;
    let spool = fs::metadata(scene.host.state("spool").join(FLOW))?;
    ensure!((spool.uid(), spool.gid()) == (NOBODY, NOBODY), "it belongs to {}", spool.uid());
    scene.delivered_exactly(scene.host.start()?, lines.iter().map(Vec::as_slice), 0).await?;
    Ok(())
}

/// The instances that httpd started and that run now, told apart from those of other tests by the configuration.
fn instances(config: &Path) -> Result<Vec<Pid>> {
    let config = config.to_str().context("a path in UTF-8")?;
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended by now.
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        if words.contains("\0pipe\0") && words.contains(config) {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

/// Waits until httpd has one instance, and it is not this.
async fn only(config: &Path, other: Option<Pid>) -> Result<Pid> {
    wait::until("there is one instance", wait::LONG, async || {
        let [instance] = *instances(config)? else { return Ok(None) };
        Ok(Some(instance).filter(|instance| Some(*instance) != other))
    })
    .await
}

/// Two graceful restarts, several SIGKILLs and a stop: what httpd logged to a file beside it is the judge.
#[tokio::test]
async fn every_request_to_httpd_arrives_once_through_restarts_and_kills() -> Result<()> {
    let scene = scene(json!({})).await?;
    let agent = scene.host.start()?;
    let config = scene.host.config();
    let pipe = format!("|{} pipe --flow access -c {}", binary::agent()?.display(), config.display());
    let log = scene.host.log("access_log");
    let httpd = Httpd::start_with(&log, &[&pipe]).await?;
    let answered = Arc::new(AtomicU64::new(0));
    let mut visits = JoinSet::new();
    for seed in 0..VISITORS {
        let address = if seed % 2 == 0 { httpd.strict() } else { httpd.lenient() };
        visits.spawn(visitor::visit(address, REQUESTS / VISITORS, seed, Arc::clone(&answered)));
    }
    for step in 1..=6 {
        wait::until("more requests are answered", wait::LONG, async || {
            Ok((answered.load(Ordering::Relaxed) > step * REQUESTS / 8).then_some(()))
        })
        .await?;
        // One that httpd has given up is not started again when it is killed, and while none reads, a restart closes the
        // pipe: both lose what stands in it, which nobody who reads it could keep.
        let victim = only(&config, None).await?;
        if step % 3 == 0 {
            httpd.restart_gracefully()?;
        } else {
            kill(victim, Signal::SIGKILL)?;
        }
        only(&config, Some(victim)).await?;
    }
    while let Some(visit) = visits.join_next().await {
        visit??;
    }
    httpd.stop().await?;
    wait::until("all instances have ended", Duration::from_secs(130), async || {
        Ok(instances(&config)?.is_empty().then_some(()))
    })
    .await?;

    let logged = fs::read(&log)?;
    let lines: Vec<&[u8]> = logged.split_inclusive(|byte| *byte == b'\n').collect();
    ensure!(lines.len() as u64 > REQUESTS / 2, "httpd logged {} lines", lines.len());
    let balance = scene.arrived(lines.iter().copied()).await?;
    balance.exact().with_context(|| scene.host.agent_log())?;
    agent.stop().await
}
