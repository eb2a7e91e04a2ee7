//! What Prometheus and a probe are answered over HTTP.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Stdio};
use std::{fs, str};

use anyhow::{Context, Result, ensure};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::scene::Scene;
use kinetail_tests::writer::Writer;
use kinetail_tests::{binary, python, wait};
use serde_json::{Value, json};

use super::{at_rest, scene};

/// Reads a text with Prometheus' own parser, and prints the sum of each family of samples.
const PARSE: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.argv[1]))
assert all(family.documentation and family.type in ('counter', 'gauge') for family in families)
print(json.dumps({sample.name: sum(s.value for s in family.samples) for family in families for sample in family.samples}))
";

/// What is at `url`, behind the status of the answer.
fn get(options: &[&str], url: &str) -> Result<(u16, String)> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]);
    let output = command.args(options).arg(url).output().context("failed to run curl")?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (body, status) = text.rsplit_once('\n').context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// A port of the loopback on which nobody listens.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[tokio::test]
async fn prometheus_reads_what_is_published() -> Result<()> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let scene = scene("access_log", json!({})).await?.on(|host| host.with("metricsListen", json!(listen)));
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(700)?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 700).await?;
    let (status, text) = get(&[], &format!("http://{listen}/metrics"))?;
    ensure!(status == 200 && text == fs::read_to_string(scene.host.state("metrics.prom"))?, "{text}");
    let parsed: Value = serde_json::from_str(&python::run(PARSE, &[&text])?)?;
    ensure!(
        parsed["kinetail_records_acked_total"] == 700.0 && parsed["kinetail_lag_bytes"] == 0.0,
        "{parsed:#}"
    );
    ensure!(get(&[], &format!("http://{listen}/"))?.0 == 404);
    agent.stop().await
}

#[tokio::test]
async fn health_follows_delivery_and_not_the_life_of_the_process() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 1).await?.on(|host| {
        let flow = host.flow("app.log", json!({ "kinesisStream": "missing", "retryMaxBackoffMillis": 1000 }));
        let socket = format!("unix:{}", host.path().join("metrics.sock").display());
        host.with("flows", json!([flow])).with("metricsListen", json!(socket))
    });
    let socket = scene.host.path().join("metrics.sock");
    let health = || get(&["--unix-socket", socket.to_str().context("UTF-8")?], "http://localhost/health");
    let until = async |what: &str, status: u16, words: &str| {
        wait::until(what, wait::LONG, async || {
            let is_there = fs::symlink_metadata(&socket).is_ok_and(|found| found.file_type().is_socket());
            if !is_there {
                return Ok(None);
            }
            let (found, text) = health()?;
            Ok((found == status && text.contains(words)).then_some(()))
        })
        .await
        .with_context(|| scene.host.agent_log())
    };
    let agent = scene.host.start()?;
    until("an agent with nothing to do is well", 200, "every flow delivers").await?;
    Writer::open(scene.host.log("app.log"))?.write(10)?;
    until("a flow without a stream is not", 503, "ResourceNotFoundException").await?;
    scene.endpoint.create_stream("missing", 1).await?;
    until("it is, with one", 200, "every flow delivers").await?;
    agent.stop().await?;
    ensure!(!socket.exists(), "the socket was left behind");
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_holds_up_nothing() -> Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let listen = taken.local_addr()?.to_string();
    let scene = scene("access_log", json!({})).await?.on(|host| host.with("metricsListen", json!(listen)));
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    scene.host.settled(100).await?;
    ensure!(
        scene.host.agent_log().contains("could not listen on `metricsListen`"),
        "{}",
        scene.host.agent_log()
    );
    drop(taken);
    wait::until("it listens when it can", wait::LONG, async || {
        Ok(get(&[], &format!("http://{listen}/metrics")).is_ok().then_some(()))
    })
    .await?;
    scene.delivered_exactly(agent, writer.written(), 0).await.map(drop)
}

#[tokio::test]
async fn the_status_is_told_again_and_again() -> Result<()> {
    let scene = scene("access_log", json!({})).await?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 0).await?;
    let mut command = Command::new(binary::agent()?);
    command.args(["status", "--json", "--watch", "1", "-c"]).arg(scene.host.config()).env_clear();
    let mut watching = command.stdout(Stdio::piped()).spawn()?;
    let told = BufReader::new(watching.stdout.take().context("its words")?);
    for line in told.lines().take(3) {
        let status: Value = serde_json::from_str(&line?)?;
        let flow = &status["flows"][0];
        ensure!(flow["delivery"]["requests"] == 0 && flow["memory"]["heldBytes"] == 0, "{status:#}");
        ensure!(status["agent"]["residentBytes"].as_u64() > Some(1 << 20), "{status:#}");
    }
    watching.kill()?;
    watching.wait()?;
    agent.stop().await
}
