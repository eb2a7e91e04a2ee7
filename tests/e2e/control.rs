//! What an operator asks of a running agent, and what it does then: status, explanations, positions set and forgotten.
//! Nothing asked costs a line (G1), and a silly client disturbs nothing (G5).

#[path = "control/http.rs"]
mod http;
#[path = "control/positions.rs"]
mod positions;
#[path = "control/socket.rs"]
mod socket;
#[path = "control/status.rs"]
mod status;

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use kinetail_tests::binary;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::host::Host;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use serde_json::Value;

async fn scene(pattern: &str, keys: Value) -> Result<Scene> {
    Ok(Scene::new(Throughput::Unlimited, 2).await?.on(|host| host.with_flow(pattern, keys)))
}

/// Runs a command of kinetail on the host.
fn kinetail(host: &Host, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary::agent()?);
    command.args(words).arg("-c").arg(host.config()).env_clear();
    command.output().context("failed to run kinetail")
}

/// What a command prints that succeeds.
fn said(host: &Host, words: &[&str]) -> Result<String> {
    let output = kinetail(host, words)?;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{words:?}` ended with {}: {err}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// What a command complains of that fails.
fn complained(host: &Host, words: &[&str]) -> Result<String> {
    let output = kinetail(host, words)?;
    ensure!(output.status.code() == Some(1), "`{words:?}` ended with {}", output.status);
    Ok(String::from_utf8(output.stderr)?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// Waits until the checkpoint covers everything, so that nothing that is published changes any more.
async fn at_rest(host: &Host, lines: u64) -> Result<()> {
    host.settled(lines).await?;
    let is_covered = host.until("the checkpoint covers all", wait::LONG, |metrics| {
        Ok(metrics.sum("kinetail_repeatable_records")? == 0)
    });
    is_covered.await.map(drop)
}
