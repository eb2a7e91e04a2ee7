//! A real httpd, real requests, real rotations: every line of every log arrives once, and each record is what an
//! independent reading of its line gives. Holds G1, G3 and G8 to account.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::httpd::Httpd;
use kinetail_tests::logrotate::Logrotate;
use kinetail_tests::oracle;
use kinetail_tests::scene::Scene;
use kinetail_tests::visitor;
use kinetail_tests::wait;
use kinetail_tests::writer;
use serde_json::json;
use tokio::task::{JoinSet, spawn_blocking};

/// Requests that are made, over all connections.
const REQUESTS: u64 = 52_000;
/// Lines that they must lead to at least: httpd logs nothing of some that are broken.
const LINES: usize = 50_000;
/// Requests that are made while logrotate rotates.
const ROTATED_REQUESTS: u64 = 14_000;
/// Rotations by logrotate.
const ROTATIONS: u64 = 6;
/// Connections at a time, half of them over IPv6.
const VISITORS: u64 = 8;

/// What the traffic must have led to, or the test would promise more than it holds: what to look for in the records.
const KINDS: [(&str, &[u8]); 12] = [
    ("IPv4", b"{\"host\":\"127.0.0.1\""),
    ("IPv6", b"{\"host\":\"::1\""),
    ("a user with a space", b"\"authuser\":\"two words\""),
    ("an empty user", b"\"authuser\":\"\","),
    ("no request line", b"\"request\":null,\"response\":\"408\""),
    ("half a request", b"\"response\":\"408\""),
    ("a bad request", b"\"response\":\"400\""),
    ("a request as of HTTP/0.9", b"\"request\":\"GET /page\""),
    ("bytes beyond ASCII", b"\\\\xc3"),
    ("quotes in a value", b"\"agent\":\"say \\\\\\\"hello"),
    ("control bytes", b"\"authuser\":\"control \\\\x01"),
    ("an empty value", b"\"agent\":\"\"}"),
];

#[tokio::test]
async fn every_line_that_httpd_writes_arrives_once_and_reads_as_it_should() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 4).await?;
    let keys = json!({
        "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }],
    });
    let scene = scene.on(|host| host.with_flow("access_log*", keys));
    let log = scene.host.log("access_log");
    let httpd = Httpd::start(&log).await?;
    let agent = scene.host.start()?;

    let answered = Arc::new(AtomicU64::new(0));
    let mut visits = JoinSet::new();
    for seed in 0..VISITORS {
        let address = if seed % 2 == 0 { httpd.strict() } else { httpd.lenient() };
        visits.spawn(visitor::visit(address, REQUESTS / VISITORS, seed, Arc::clone(&answered)));
        visits.spawn(visitor::dawdle(address, b""));
        visits.spawn(visitor::dawdle(address, b"GET /never HTTP/1.1\r\nHost: loc"));
    }
    for rotation in 1..=2 {
        wait::until("a third of the requests has been answered", wait::LONG, async || {
            Ok((answered.load(Ordering::Relaxed) > rotation * REQUESTS / 3).then_some(()))
        })
        .await?;
        writer::rename(&log, &scene.host.log(&format!("access_log.{rotation}")))?;
        httpd.restart_gracefully()?;
    }
    while let Some(visit) = visits.join_next().await {
        visit??;
    }
    httpd.stop().await?;

    let files = files(&scene)?;
    ensure!(files.len() == 3, "the logs are {files:?}");
    let expected = oracle::records(&files)?;
    ensure!(expected.len() >= LINES, "{} lines of {REQUESTS} requests", expected.len());
    for (kind, content) in KINDS {
        let is_there =
            expected.iter().any(|record| record.windows(content.len()).any(|window| window == content));
        ensure!(is_there, "the log has nothing of {kind}");
    }

    // Broken requests carry no number, so some lines are equal: they are counted.
    let metrics = scene.host.settled(expected.len() as u64).await?;
    let balance = scene.balance(expected.iter().map(Vec::as_slice)).await?;
    balance.exact().with_context(|| scene.host.agent_log())?;
    ensure!(metrics.sum("kinetail_records_acked_total")? == expected.len() as u64);
    ensure!(metrics.left_behind()? == 0);
    ensure!(metrics.sum("kinetail_records_possibly_repeated_total")? == 0);
    ensure!(metrics.sum("kinetail_files_rotated_total")? == 2);
    agent.stop().await
}

/// The old children write on to what was renamed, and what was renamed before is compressed.
#[tokio::test]
async fn every_line_arrives_once_while_logrotate_rotates_and_compresses() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 4).await?;
    let keys = json!({
        "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }],
    });
    let scene = scene.on(|host| host.with_flow("access_log", keys));
    let log = scene.host.log("access_log");
    let httpd = Httpd::start(&log).await?;
    let mut logrotate = Logrotate::new(
        scene.host.path(),
        &format!(
            "\"{}\" {{\nrotate 50\ncreate\ncompress\ndelaycompress\nsharedscripts\npostrotate\n{}\nendscript\n}}\n",
            log.display(),
            httpd.graceful()
        ),
    )?;
    let agent = scene.host.start()?;

    let answered = Arc::new(AtomicU64::new(0));
    let mut visits = JoinSet::new();
    for seed in 0..VISITORS {
        let address = if seed % 2 == 0 { httpd.strict() } else { httpd.lenient() };
        visits.spawn(visitor::visit(address, ROTATED_REQUESTS / VISITORS, seed, Arc::clone(&answered)));
    }
    for rotation in 1..=ROTATIONS {
        wait::until("the next part of the requests has been answered", wait::LONG, async || {
            let part = rotation * ROTATED_REQUESTS / (ROTATIONS + 1);
            Ok((answered.load(Ordering::Relaxed) > part).then_some(()))
        })
        .await?;
        // The visitors go on meanwhile.
        logrotate = spawn_blocking(move || logrotate.run().map(|()| logrotate)).await??;
    }
    while let Some(visit) = visits.join_next().await {
        visit??;
    }
    httpd.stop().await?;

    let files = files(&scene)?;
    let compressed = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "gz"));
    ensure!(compressed.count() as u64 == ROTATIONS - 1, "the logs are {files:?}");
    let expected = oracle::records(&files)?;
    let metrics = scene.host.settled(expected.len() as u64).await?;
    let balance = scene.balance(expected.iter().map(Vec::as_slice)).await?;
    balance.exact().with_context(|| scene.host.agent_log())?;
    ensure!(metrics.sum("kinetail_files_rotated_total")? == ROTATIONS);
    ensure!(metrics.sum("kinetail_bytes_lost_total")? == 0);
    agent.stop().await
}

/// The log and what it was rotated to.
fn files(scene: &Scene) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(scene.host.log(""))?.map(|file| Ok(file?.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
