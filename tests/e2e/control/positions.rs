//! Files set to another place and forgotten, by a running agent and without one.

use std::fs;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::faults::Mode;
use kinetail_tests::host::Host;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Writer};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{at_rest, complained, said, scene, text};

/// Starts the agent once more; what the one before has published is gone.
fn start_again(host: &Host) -> Result<Agent> {
    fs::remove_file(host.state("metrics.prom"))?;
    host.start()
}

/// The numbers of the lines in the stream, in order.
async fn numbers(scene: &Scene) -> Result<Vec<u64>> {
    let payloads = scene.payloads().await?;
    let mut numbers: Vec<u64> = payloads.iter().filter_map(|data| writer::number(data)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where in the file the line with this number begins.
fn beginning(writer: &Writer, number: usize) -> u64 {
    writer.written().take(number).map(|line| line.len() as u64).sum()
}

#[tokio::test]
async fn a_file_set_back_sends_exactly_those_lines_again() -> Result<()> {
    let scene = scene("access_log", json!({})).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 100).await?;
    let log = scene.host.log("access_log");
    let set = |offset: u64| {
        ["checkpoint", "set", text(&log).unwrap_or_default(), "--offset", &offset.to_string()]
            .map(str::to_owned)
    };
    let (at, next) = (beginning(&writer, 60), beginning(&writer, 61));

    let wrong = set(at + 1);
    let complaint = complained(&scene.host, &wrong.each_ref().map(String::as_str))?;
    ensure!(
        complaint
            .contains(&format!("no line begins at {}; the nearest that do begin at {at} and {next}", at + 1)),
        "{complaint}"
    );
    let beyond = set(1 << 40);
    ensure!(complained(&scene.host, &beyond.each_ref().map(String::as_str))?.contains("behind its end"));

    let back = set(at);
    let words = said(&scene.host, &back.each_ref().map(String::as_str))?;
    let size = beginning(&writer, 100);
    ensure!(
        words.contains(&format!("before  {size}"))
            && words.contains(&format!("now     {at} of {size}: {} bytes are sent again", size - at)),
        "{words}"
    );
    at_rest(&scene.host, 140).await?;
    let expected: Vec<u64> = (0..60).chain((60..100).flat_map(|number| [number, number])).collect();
    ensure!(numbers(&scene).await? == expected);
    writer.write(10)?;
    at_rest(&scene.host, 150).await?;
    // What was set is what a restart goes on from.
    agent.kill()?;
    let agent = start_again(&scene.host)?;
    writer.write(10)?;
    at_rest(&scene.host, 10).await?;
    ensure!(numbers(&scene).await?.len() == 160);
    agent.stop().await
}

#[tokio::test]
async fn a_file_set_to_its_end_skips_what_was_not_read() -> Result<()> {
    let scene = scene("access_log", json!({})).await?.on(|host| host.with("maxMemoryBytes", json!(8 << 20)));
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(60_000)?;
    scene.faults.set(Mode::Away);
    let agent = scene.host.start()?;
    let full = scene.host.until("there is no room for more", wait::LONG, |metrics| {
        Ok(metrics.sum("kinetail_requests_failed_total")? > 3 && metrics.sum("kinetail_lag_bytes")? > 0)
    });
    full.await?;
    let log = scene.host.log("access_log");
    let words = said(&scene.host, &["checkpoint", "set", text(&log)?, "--offset", "end"])?;
    let before =
        words.lines().find_map(|line| line.trim().strip_prefix("before ")).context("what was before")?;
    let before: u64 = before.trim().parse()?;
    ensure!(words.contains("bytes are skipped and never sent"), "{words}");
    writer.write(100)?;
    scene.faults.set(Mode::Pass);

    let mut end = 0;
    let is_read = |line: &&[u8]| {
        end += line.len() as u64;
        end <= before
    };
    let read: Vec<&[u8]> = writer.written().take_while(is_read).collect();
    let count = usize::try_from(writer.count())?;
    ensure!(!read.is_empty() && read.len() < count - 100, "something was read and something skipped");
    let expected = read.into_iter().chain(writer.written().skip(count - 100));
    scene.delivered_exactly(agent, expected, 0).await.map(drop)
}

#[tokio::test]
async fn a_file_that_is_forgotten_is_read_anew() -> Result<()> {
    let scene = scene("access_log", json!({})).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(50)?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 50).await?;
    let log = scene.host.log("access_log");
    let words = said(&scene.host, &["checkpoint", "forget", text(&log)?])?;
    ensure!(words.contains("now     0 of "), "{words}");
    at_rest(&scene.host, 100).await?;
    let twice: Vec<u64> = (0..50).flat_map(|number| [number, number]).collect();
    ensure!(numbers(&scene).await? == twice);
    let unknown = scene.host.log("nothing");
    ensure!(
        complained(&scene.host, &["checkpoint", "forget", text(&unknown)?])?
            .contains("nothing is known of it")
    );
    agent.stop().await
}

#[tokio::test]
async fn where_no_agent_runs_the_checkpoint_is_changed() -> Result<()> {
    let scene = scene("access_log", json!({})).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    let log = scene.host.log("access_log");
    at_rest(&scene.host, 100).await?;
    agent.stop().await?;

    let at = beginning(&writer, 60).to_string();
    let words = said(&scene.host, &["checkpoint", "set", text(&log)?, "--offset", &at])?;
    ensure!(words.contains("bytes are sent again"), "{words}");
    let shown = said(&scene.host, &["checkpoint", "show"])?;
    ensure!(shown.contains(&format!("safe to {at} ")), "{shown}");
    let agent = start_again(&scene.host)?;
    at_rest(&scene.host, 40).await?;
    let expected: Vec<u64> = (0..60).chain((60..100).flat_map(|number| [number, number])).collect();
    ensure!(numbers(&scene).await? == expected);
    agent.stop().await?;

    said(&scene.host, &["checkpoint", "forget", text(&log)?])?;
    ensure!(said(&scene.host, &["checkpoint", "show"])?.contains("no files yet"));
    let agent = start_again(&scene.host)?;
    at_rest(&scene.host, 100).await?;
    ensure!(numbers(&scene).await?.len() == 240);
    agent.stop().await
}

#[tokio::test]
async fn positions_are_left_alone_while_an_agent_holds_them_and_says_nothing() -> Result<()> {
    let scene = scene("access_log", json!({})).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(50)?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 50).await?;
    let log = scene.host.log("access_log");
    let forget = ["checkpoint", "forget", text(&log)?];
    let before = fs::read(scene.host.state("checkpoint"))?;

    agent.signal(Signal::SIGSTOP)?;
    ensure!(complained(&scene.host, &forget)?.contains("did not answer in"));
    fs::remove_file(scene.host.state("control.sock"))?;
    ensure!(complained(&scene.host, &forget)?.contains("holds the lock"));
    ensure!(fs::read(scene.host.state("checkpoint"))? == before);
    agent.kill()
}
