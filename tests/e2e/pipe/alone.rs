//! Without an agent: who takes lines in delivers them.

use anyhow::{Result, ensure};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Mode;
use kinetail_tests::pipe::{Ends, Pipe};
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{numbered, said, spooled, write};

async fn scene() -> Result<Scene> {
    Scene::new(Throughput::Unlimited, 4).await
}

/// Starts an instance that delivers to the scene's stream and is given these lines, all of them.
async fn given(scene: &Scene, words: &[&str], lines: &[Vec<u8>]) -> Result<Pipe> {
    let ends = Ends::new()?;
    let pipe = Pipe::to(&scene.host, (STREAM, &scene.faults.url()), words, ends.reader()?)?;
    drop(write(ends.writer, lines.to_vec()).await??);
    Ok(pipe)
}

#[tokio::test]
async fn every_line_is_delivered_once_before_it_ends() -> Result<()> {
    let scene = scene().await?;
    let lines: Vec<Vec<u8>> = (0..50_000).map(numbered).collect();
    given(&scene, &[], &lines).await?.done().await?;
    scene.balance(lines.iter().map(Vec::as_slice)).await?.exact()?;
    ensure!(spooled(&scene, STREAM)? == 0, "{} bytes are left", spooled(&scene, STREAM)?);
    Ok(())
}

#[tokio::test]
async fn entries_of_log4j_become_records() -> Result<()> {
    let scene = scene().await?;
    let lines = [
        "2026-11-23 10:00:00,123 INFO  [main] org.example.Main - started\n",
        "2026-11-23 10:00:01,456 ERROR [main] org.example.Main - failed\n",
        "java.lang.IllegalStateException: no\n",
        "\tat org.example.Main.main(Main.java:7)\n",
    ];
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    let words = ["--format", "log4j", "--pattern", "%d{ISO8601} %-5p [%t] %c - %m%n"];
    given(&scene, &words, &lines).await?.done().await?;
    let mut records = Vec::new();
    for payload in scene.payloads().await? {
        records.push(serde_json::from_slice::<Value>(&payload)?);
    }
    records.sort_by_key(|record| record["timestamp"].to_string());
    let entry = |timestamp: &str, level: &str, message: &str, trace: Option<&str>| {
        json!({ "timestamp": timestamp, "level": level, "thread": "main", "logger": "org.example.Main",
                "message": message, "stackTrace": trace })
    };
    let trace = "java.lang.IllegalStateException: no\n\tat org.example.Main.main(Main.java:7)";
    let started = entry("2026-11-23 10:00:00,123", "INFO", "started", None);
    ensure!(
        records == [started, entry("2026-11-23 10:00:01,456", "ERROR", "failed", Some(trace))],
        "{records:#?}\n{}",
        said(&scene)?
    );
    Ok(())
}

/// The first takes lines in that it cannot deliver, and is killed.
#[tokio::test]
async fn what_one_leaves_another_delivers() -> Result<()> {
    let scene = scene().await?;
    scene.faults.set(Mode::Away);
    let lines: Vec<Vec<u8>> = (0..20_000).map(numbered).collect();
    let (early, late) = lines.split_at(10_000);
    let killed = given(&scene, &[], early).await?;
    let bytes: u64 = early.iter().map(|line| line.len() as u64).sum();
    wait::until("all of it is in the spool", wait::LONG, async || {
        Ok((spooled(&scene, STREAM)? == bytes).then_some(()))
    })
    .await?;
    // It waits for the first, which delivers for both.
    let waits = given(&scene, &[], late).await?;
    wait::until("both are in the spool", wait::LONG, async || {
        Ok((spooled(&scene, STREAM)? > bytes).then_some(()))
    })
    .await?;
    killed.kill()?;
    scene.faults.set(Mode::Pass);
    waits.done().await?;
    scene.balance(lines.iter().map(Vec::as_slice)).await?.exact()?;
    ensure!(spooled(&scene, STREAM)? == 0, "{} bytes are left", spooled(&scene, STREAM)?);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_delivered_when_it_is_asked_to_end_waits_for_the_next() -> Result<()> {
    let scene = scene().await?;
    scene.faults.set(Mode::Away);
    let lines: Vec<Vec<u8>> = (0..1_000).map(numbered).collect();
    let mut pipe = given(&scene, &[], &lines).await?;
    wait::until("it says that it cannot deliver", wait::LONG, async || {
        Ok(said(&scene)?.contains("WARN").then_some(()))
    })
    .await?;
    pipe.signal(Signal::SIGTERM)?;
    ensure!(pipe.ended().await?.code() == Some(1), "it ended as if all were delivered");
    let bytes: u64 = lines.iter().map(|line| line.len() as u64).sum();
    let told = format!("{bytes} bytes wait in {}", scene.host.state("spool").join(STREAM).display());
    ensure!(said(&scene)?.contains(&told), "{}", said(&scene)?);

    scene.faults.set(Mode::Pass);
    given(&scene, &[], &[]).await?.done().await?;
    scene.balance(lines.iter().map(Vec::as_slice)).await?.exact()?;
    Ok(())
}
