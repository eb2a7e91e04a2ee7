//! How an agent says it is, and why it reads a file or does not.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{lchown, symlink};

use anyhow::{Context, Result, ensure};
use kinetail_tests::faults::Mode;
use kinetail_tests::host::Host;
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Writer};
use serde_json::{Value, json};

use super::{at_rest, kinetail, said, scene, text};

/// A user that owns nothing here.
const NOBODY: u32 = 65534;

fn status(host: &Host) -> Result<Value> {
    Ok(serde_json::from_str(&said(host, &["status", "--json"])?)?)
}

/// The one flow of a status.
fn flow(status: &Value) -> &Value {
    &status["flows"][0]
}

#[tokio::test]
async fn the_status_of_an_agent_at_rest_is_what_it_publishes() -> Result<()> {
    let keys =
        json!({ "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }] });
    let scene = scene("access_log", keys).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(500)?;
    fs::OpenOptions::new()
        .append(true)
        .open(scene.host.log("access_log"))?
        .write_all(b"no\naccess\nlines\n")?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 503).await?;

    let status = status(&scene.host)?;
    let metrics = scene.host.metrics()?.context("nothing is published")?;
    for (field, metric) in [
        ("lagBytes", "kinetail_lag_bytes"),
        ("backlogBytes", "kinetail_backlog_bytes"),
        ("backlogFiles", "kinetail_backlog_files"),
        ("linesRead", "kinetail_lines_read_total"),
        ("recordsAcked", "kinetail_records_acked_total"),
        ("unackedRecords", "kinetail_unacked_records"),
        ("repeatableRecords", "kinetail_repeatable_records"),
        ("openFiles", "kinetail_open_files"),
    ] {
        ensure!(flow(&status)[field] == metrics.sum(metric)?, "{field} is not {metric}: {status:#}");
    }
    for (field, name, reasons) in [
        ("linesDropped", "dropped", ["unmatched", "evicted"]),
        ("linesQuarantined", "quarantined", ["unmatched", "refused"]),
    ] {
        for reason in reasons {
            let series = format!("kinetail_lines_{name}_total{{reason=\"{reason}\"}}");
            ensure!(flow(&status)[field][reason] == metrics.one(&series)?, "{reason}: {status:#}");
        }
    }
    ensure!(flow(&status)["linesRead"] == 503 && flow(&status)["linesQuarantined"]["unmatched"] == 3);
    ensure!(flow(&status)["quarantinedLines"] == metrics.sum("kinetail_quarantined_lines")?);
    let size = fs::metadata(scene.host.log("access_log"))?.len();
    let file = &flow(&status)["files"][0];
    ensure!(file["read"] == size && file["safe"] == size && file["behind"] == 0, "{file:#}");
    ensure!(file["lane"] == "live" && file["stage"] == "read", "{file:#}");
    ensure!(flow(&status)["watching"] == "notified" && flow(&status)["trouble"].is_null(), "{status:#}");
    ensure!(status["agent"]["stateDirectory"] == text(&scene.host.state(""))?.trim_end_matches('/'));

    let words = said(&scene.host, &["status"])?;
    ensure!(words.contains("  0 B behind: "), "{words}");
    ensure!(
        words.contains("503 lines read, 500 records taken by the stream; lines left behind: none; put into the quarantine: 3 unmatched"),
        "{words}"
    );
    agent.stop().await?;

    let output = kinetail(&scene.host, &["status"])?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.code() == Some(1) && err.contains("no kinetail listens"), "{err}");
    ensure!(out.contains(&format!("safe to {size} (of {size}, 0 behind)")), "{out}");
    Ok(())
}

#[tokio::test]
async fn the_status_tells_of_a_stream_that_is_away_and_of_the_backlog() -> Result<()> {
    let scene = scene("access_log", json!({})).await?.on(|host| {
        host.with("maxMemoryBytes", json!(8 << 20)).with("log.statusReportingPeriodSeconds", json!(1))
    });
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(60_000)?;
    scene.faults.set(Mode::Away);
    let agent = scene.host.start()?;
    let full = scene.host.until("there is no room for more", wait::LONG, |metrics| {
        Ok(metrics.sum("kinetail_unacked_records")? > 1000
            && metrics.sum("kinetail_requests_failed_total")? > 0)
    });
    full.await?;
    writer.rotate("access_log.1")?;
    writer.write(100)?;
    let told = wait::until("the status tells of the backlog", wait::LONG, async || {
        let status = status(&scene.host)?;
        let is_told = flow(&status)["backlogFiles"] == 1 && flow(&status)["openFiles"] == 2;
        Ok(is_told.then_some(status))
    });
    let status_away = told.await.with_context(|| scene.host.agent_log())?;
    let away = flow(&status_away);
    ensure!(away["trouble"]["error"].as_str().is_some_and(|error| !error.is_empty()), "{away:#}");
    let files = away["files"].as_array().context("files")?;
    let rotated = files.iter().find(|file| file["lane"] == "backlog");
    let rotated = rotated.context("the rotated file is listed")?;
    ensure!(
        rotated["lane"] == "backlog" && rotated["safe"] == 0 && rotated["stage"] == "leaving",
        "{rotated:#}"
    );
    let (read, size) = (rotated["read"].as_u64(), rotated["size"].as_u64());
    ensure!(read > Some(0) && read < size, "{rotated:#}");
    ensure!(away["backlogBytes"] == rotated["behind"], "{away:#}");
    let failed = away["delivery"]["requestsFailed"].as_object().context("a count for each code")?;
    ensure!(failed.values().filter_map(Value::as_u64).sum::<u64>() > 0, "{away:#}");
    let held = away["memory"]["heldBytes"].as_u64();
    ensure!(held > Some(1 << 20) && held <= away["memory"]["shareBytes"].as_u64(), "{away:#}");

    wait::until("the log tells of the backlog", wait::LONG, async || {
        Ok(scene.host.agent_log().contains("catches up with rotated files files=1").then_some(()))
    })
    .await
    .with_context(|| scene.host.agent_log())?;

    scene.faults.set(Mode::Pass);
    scene.delivered_exactly(agent, writer.written(), 0).await.map(drop)
}

#[tokio::test]
async fn every_reason_to_read_a_file_or_not_is_explained() -> Result<()> {
    let scene = scene("access_log*", json!({})).await?;
    let log = |name: &str| scene.host.log(name);
    let mut writer = Writer::open(log("access_log"))?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 100).await?;
    // Never seen half made.
    fs::copy(log("access_log"), log("copy"))?;
    writer::rename(&log("copy"), &log("access_log.copy"))?;
    fs::write(log("access_log.gz"), "")?;
    fs::write(log("error_log"), "")?;
    fs::create_dir(log("access_log.d"))?;
    fs::create_dir(scene.host.path().join("elsewhere"))?;
    fs::write(scene.host.path().join("elsewhere/secret"), "s\n")?;
    symlink(scene.host.path().join("elsewhere/secret"), log("access_log.link"))?;
    lchown(log("access_log.link"), Some(NOBODY), Some(NOBODY)).context("the test needs root")?;

    let size = fs::metadata(log("access_log"))?.len();
    let is_open = format!("read to {size}, safe to {size} (of {size}, 0 behind), read");
    let same = "as its inode is known, and its head and the bytes before the offset agree";
    let beside = "a copy beside its original";
    let cases = [
        ("access_log", vec!["read; it is open", same, &is_open]),
        ("access_log.copy", vec!["not read; its lines are read from its original", beside, &is_open]),
        ("access_log.gz", vec!["not read; ", "could decode only 0 bytes of what is in"]),
        ("error_log", vec!["not read; the flow's pattern `", "does not match it"]),
        ("access_log.d", vec!["not read; ", "is not a regular file"]),
        ("access_log.link", vec!["not read; ", "is a link of another user that leads out of"]),
        ("nothing", vec!["not read; there is no such file"]),
    ];
    let explain = |name: &str| said(&scene.host, &["checkpoint", "explain", text(&log(name))?]);
    for (name, expected) in &cases {
        let words = explain(name)?;
        for part in expected {
            ensure!(words.contains(part), "{name}: `{part}` is missing in\n{words}");
        }
    }
    agent.stop().await?;

    // The checkpoint and the disk tell the same but for what is open.
    let words = explain("access_log")?;
    ensure!(words.contains("read; it is read on from where it is known") && words.contains(same), "{words}");
    ensure!(words.contains(&format!("safe to {size} (of {size}, 0 behind), remembered")), "{words}");
    for (name, expected) in cases.iter().skip(2) {
        let words = explain(name)?;
        ensure!(expected.iter().all(|part| words.contains(part)), "{name}:\n{words}");
    }
    Ok(())
}
