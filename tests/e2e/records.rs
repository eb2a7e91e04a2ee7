//! Records of several lines, headers and footers: whatever the agent goes through, each record arrives whole, and every
//! line is in the books. Holds G1, G2 and G8 to account.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Request;
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer};
use serde_json::{Value, json};

/// Lines a second: each by itself, with several looks of the agent between two of them.
const RATE: u32 = 25;
/// Lines of a stack trace, the first included.
const TRACE: u64 = 8;
/// Kills while traces are being written.
const KILLS: usize = 5;

/// A flow of stack traces whose last one is held for so long.
fn traces(idle_millis: u64) -> Value {
    json!({ "multiLineStartPattern": r"\d{4}-\d\d-\d\d ", "multiLineIdleMillis": idle_millis })
}

fn line_of_trace(number: u64) -> Vec<u8> {
    match number % TRACE {
        0 => format!("2026-11-22 10:00:00,000 ERROR request {number} failed\n"),
        1 => format!("java.lang.IllegalStateException: {number}\n"),
        _ => format!("\tat com.example.Frame.call(Frame.java:{number})\n"),
    }
    .into_bytes()
}

/// The records of `text`: before each line that begins with a year a new one begins.
fn records(text: &str) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match records.last_mut() {
            Some(record) if !line.starts_with("2026-") => record.push_str(line),
            Some(_) | None => records.push(line.to_owned()),
        }
    }
    records
}

/// Waits until this agent has had records accepted.
async fn at_work(scene: &Scene, agent: &Agent) -> Result<()> {
    let since = agent.started();
    let is = |request: &Request| request.arrived >= since && request.answered.is_some();
    wait::until("records are accepted", wait::LONG, async || {
        Ok(scene.faults.look(|requests| requests.last().is_some_and(is)).then_some(()))
    })
    .await
    .with_context(|| scene.host.agent_log())
}

/// Waits until the load has written so many more lines.
async fn grown(load: &Load, lines: u64) -> Result<()> {
    let goal = load.with(|writer| writer.count()) + lines;
    wait::until("the load has gone on", wait::LONG, async || {
        Ok(load.with(|writer| (writer.count() >= goal).then_some(())))
    })
    .await
}

#[tokio::test]
async fn a_stack_trace_that_is_written_slowly_stays_one_record_across_kills() -> Result<()> {
    let hours = Duration::from_secs(3600);
    let idle = u64::try_from(hours.as_millis())?;
    let scene =
        Scene::new(Throughput::Unlimited, 2).await?.on(|host| host.with_flow("app.log", traces(idle)));
    let path = scene.host.log("app.log");
    let load = Load::start(Writer::of(&path, line_of_trace)?, RATE);
    for _ in 0..KILLS {
        let agent = scene.host.start()?;
        // A trace and a part of the next, so that each kill comes upon another line of one.
        grown(&load, TRACE + 3).await?;
        at_work(&scene, &agent).await?;
        agent.kill()?;
        scene.faults.quiet().await?;
    }
    let mut agent = scene.host.start()?;
    at_work(&scene, &agent).await?;
    load.stop().await?;
    let expected = records(&fs::read_to_string(&path)?);
    let (last, before) = expected.split_last().context("nothing was written")?;
    ensure!(before.len() > KILLS, "{} records are too few", before.len());
    // All but the last, to which more lines might belong.
    scene.host.until("the last is held", wait::LONG, |metrics| held(metrics, last)).await?.balance()?;
    scene.balance(before.iter().map(String::as_bytes)).await?.complete()?;
    agent.stop().await?;

    // In the end nobody adds a line to it.
    let scene = scene.on(|host| host.with_flow("app.log", traces(100)));
    agent = scene.host.start()?;
    scene.delivered(expected.iter().map(String::as_bytes)).await?;
    scene.host.metrics()?.context("nothing is published")?.balance()?;
    agent.stop().await
}

/// Whether nothing but `record` is unread, and what was read is delivered.
fn held(metrics: &Metrics, record: &str) -> Result<bool> {
    let unread = metrics.sum("kinetail_lag_bytes")?;
    Ok(unread == record.len() as u64 && metrics.sum("kinetail_unacked_records")? == 0)
}

#[tokio::test]
async fn every_line_of_a_trace_is_in_the_books() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 2).await?.on(|host| host.with_flow("app.log", traces(100)));
    let mut writer = Writer::of(scene.host.log("app.log"), line_of_trace)?;
    writer.write(3 * TRACE)?;
    let long = format!("2026-11-22 10:00:01,000 ERROR too long\n{}", "\tat frame\n".repeat(200_000));
    writer.write_raw(long.as_bytes())?;
    writer.write(2 * TRACE)?;
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(5 * TRACE + 200_001).await?;
    ensure!(metrics.sum("kinetail_records_acked_total")? == 6, "{metrics:?}");
    ensure!(metrics.sum("kinetail_lines_joined_total")? == 5 * (TRACE - 1) + 200_000, "{metrics:?}");
    ensure!(metrics.sum("kinetail_lines_truncated_total")? == 1, "{metrics:?}");
    let mut came = scene.payloads().await?;
    came.sort_by_key(Vec::len);
    let cut = came.pop().context("nothing came")?;
    ensure!(long.as_bytes().starts_with(&cut[..cut.len() - 1]) && cut.len() > 1_000_000, "{}", cut.len());
    let whole: Vec<Vec<u8>> = (0..5).map(|trace| trace_of(trace * TRACE)).collect();
    came.sort();
    ensure!(came == sorted(whole), "{came:?}");
    agent.stop().await
}

fn trace_of(first: u64) -> Vec<u8> {
    (first..first + TRACE).flat_map(line_of_trace).collect()
}

fn sorted(mut records: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    records.sort();
    records
}

#[tokio::test]
async fn headers_and_footers_are_left_out_also_after_a_kill_and_a_rotation() -> Result<()> {
    let keys = json!({ "skipHeaderLines": 2, "fileFooterPattern": "#EOF.*" });
    let scene = Scene::new(Throughput::Unlimited, 2).await?.on(|host| host.with_flow("app.log*", keys));
    let mut writer = Writer::of(scene.host.log("app.log"), |number| format!("line {number}\n").into_bytes())?;
    writer.write_raw(b"#Version: 1.0\n")?;
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(1).await?;
    ensure!(metrics.sum("kinetail_header_lines_skipped_total")? == 1);
    agent.kill()?;

    writer.write_raw(b"#Fields: a b\n")?;
    writer.write(500)?;
    writer.write_raw(b"#EOF 500\n")?;
    writer.write_raw(b"not for the stream\n")?;
    let agent = scene.host.start()?;
    let settled = scene.host.until("the footer is found", wait::LONG, |metrics| {
        let skipped = metrics.sum("kinetail_footer_lines_skipped_total")?;
        Ok(skipped == 2 && metrics.sum("kinetail_unacked_records")? == 0)
    });
    let metrics = settled.await?;
    metrics.balance()?;
    // The first line may be read again.
    ensure!((1..=2).contains(&metrics.sum("kinetail_header_lines_skipped_total")?));
    agent.stop().await?;

    // What is added behind the footer is left out as well; a new file has a header and a footer of its own.
    writer.write_raw(b"nor is this\n")?;
    writer.rotate("app.log.1")?;
    writer.write_raw(b"#Version: 1.0\n#Fields: a b\n")?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    let settled = scene.host.until("both files are read", wait::LONG, |metrics| {
        let read = metrics.sum("kinetail_lines_read_total")?;
        Ok(read == 103 && metrics.sum("kinetail_unacked_records")? == 0)
    });
    let metrics = settled.await?;
    metrics.balance()?;
    ensure!(metrics.sum("kinetail_header_lines_skipped_total")? == 2);
    ensure!(metrics.sum("kinetail_footer_lines_skipped_total")? == 1);
    let expected: Vec<Vec<u8>> = (0..600).map(|number| format!("line {number}\n").into_bytes()).collect();
    scene.balance(expected.iter().map(Vec::as_slice)).await?.exact()?;
    agent.stop().await
}
