//! What cannot be sent is kept, and nothing of it is lost: not by a crash (G1), not by a full disk, which holds up no other
//! line (G7), and not beyond a bound that is kept (G5). What leaves it is counted by its reason, or is in the stream.

#[path = "quarantine/disk.rs"]
mod disk;
#[path = "quarantine/told.rs"]
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Mode;
use kinetail_tests::host::Host;
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer, line};
use serde_json::{Value, json};

const LOG: &str = "access_log";

/// Of so many lines one does not match.
const BAD_EVERY: u64 = 5;

const KEPT: &str = "kinetail_lines_quarantined_total{reason=\"unmatched\"}";
const HELD: &str = "kinetail_quarantined_lines";

/// A flow that reads combined access lines, with further keys.
fn flow(host: &Host, keys: &Value) -> Value {
    let steps = json!([{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }]);
    let mut flow = host.flow(LOG, json!({ "name": "access", "dataProcessingOptions": steps }));
    if let (Some(flow), Some(keys)) = (flow.as_object_mut(), keys.as_object()) {
        flow.extend(keys.clone());
    }
    flow
}

async fn scene(keys: Value) -> Result<Scene> {
    let scene = Scene::new(Throughput::Unlimited, 2).await?;
    let flow = flow(&scene.host, &keys);
    Ok(scene.on(|host| host.with("flows", json!([flow]))))
}

/// An access line, or one that is none.
fn mixed(number: u64) -> Vec<u8> {
    if number % BAD_EVERY == 1 { bad(number) } else { line(number) }
}

/// A line that no access log has, with bytes that are no text.
fn bad(number: u64) -> Vec<u8> {
    let mut bad = format!("no access line seq={number} ").into_bytes();
    bad.extend_from_slice(b"\xff\n");
    bad
}

/// The lines of `writer` that do not match, by the offset at which they stand.
fn bad_of(writer: &Writer) -> BTreeMap<u64, Vec<u8>> {
    let mut at = 0;
    let mut lines = BTreeMap::new();
    for line in writer.written() {
        if line.starts_with(b"no access line") {
            lines.insert(at, line.to_vec());
        }
        at += line.len() as u64;
    }
    lines
}

/// What a command prints that ends with this code.
fn said(host: &Host, code: i32, words: &[&str]) -> Result<String> {
    let output = host.kinetail(words)?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.code() == Some(code), "`{words:?}` ended with {}: {out}{err}", output.status);
    Ok(out + &err)
}

/// What is in the quarantine.
fn shown(host: &Host) -> Result<Vec<Value>> {
    let text = said(host, 0, &["quarantine", "show", "--limit", "1000000", "--json"])?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// What is in the quarantine, by its offset; nothing of it is there twice.
fn kept(host: &Host) -> Result<BTreeMap<u64, Vec<u8>>> {
    let mut lines = BTreeMap::new();
    for entry in shown(host)? {
        let bytes = match (entry["line"].as_str(), entry["lineBase64"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, text) => base64(text.context("a line")?)?,
        };
        ensure!(entry["path"] == host.log(LOG).to_str().context("a path")?, "{entry}");
        let before = lines.insert(entry["offset"].as_u64().context("an offset")?, bytes);
        ensure!(before.is_none(), "it is there twice: {entry}");
    }
    Ok(lines)
}

fn base64(text: &str) -> Result<Vec<u8>> {
    let mut bits = 0_u32;
    let (mut count, mut bytes) = (0, Vec::new());
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for sign in text.bytes().filter(|sign| *sign != b'=') {
        let value = ALPHABET.iter().position(|known| *known == sign).context("base64")?;
        bits = (bits << 6) | u32::try_from(value)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff)?);
        }
    }
    Ok(bytes)
}

/// Waits until a checkpoint covers all `lines` that this run of the agent has read.
async fn covered(host: &Host, lines: u64) -> Result<Metrics> {
    host.settled(lines).await?;
    let covered = host.until("a checkpoint covers all", wait::LONG, |metrics| {
        Ok(metrics.sum("kinetail_repeatable_records")? == 0)
    });
    let metrics = covered.await?;
    metrics.balance()?;
    Ok(metrics)
}

/// How many bytes the quarantine has.
fn size(host: &Host) -> Result<u64> {
    let mut size = 0;
    for file in fs::read_dir(host.state("quarantine"))? {
        size += file?.metadata()?.len();
    }
    Ok(size)
}

fn numbers<'a>(lines: impl Iterator<Item = &'a Vec<u8>>) -> BTreeSet<Option<u64>> {
    lines.map(|line| kinetail_tests::writer::number(line)).collect()
}

/// The stream has the records of all good lines.
async fn has_the_good(scene: &Scene, writer: &Writer) -> Result<()> {
    let good: Vec<Vec<u8>> =
        writer.written().filter(|line| !line.starts_with(b"no access line")).map(<[u8]>::to_vec).collect();
    let arrived = wait::until("the good lines have arrived", wait::LONG, async || {
        let have = scene.payloads().await?;
        Ok((numbers(have.iter()) == numbers(good.iter())).then_some(()))
    });
    arrived.await.with_context(|| scene.host.agent_log())
}

#[tokio::test]
async fn kills_cost_no_line_that_is_to_be_kept_and_keep_none_twice() -> Result<()> {
    let scene = scene(json!({})).await?;
    let load = Load::start(Writer::of(scene.host.log(LOG), mixed)?, 2000);
    for _ in 0..4 {
        let agent = scene.host.start()?;
        let before = shown(&scene.host)?.len();
        let grows = wait::until("more is kept", wait::LONG, async || {
            Ok((shown(&scene.host)?.len() > before + 50).then_some(()))
        });
        grows.await.with_context(|| scene.host.agent_log())?;
        agent.kill()?;
    }
    let writer = load.stop().await?;
    let agent = scene.host.start()?;
    has_the_good(&scene, &writer).await?;
    let all = bad_of(&writer);
    let complete = wait::until("all bad lines are kept", wait::LONG, async || {
        Ok((kept(&scene.host)?.len() >= all.len()).then_some(()))
    });
    complete.await.with_context(|| scene.host.agent_log())?;
    ensure!(kept(&scene.host)? == all, "what is kept is not what does not match");
    scene
        .host
        .until("the metrics tell of them", wait::LONG, |metrics| Ok(metrics.sum(HELD)? == all.len() as u64))
        .await?;
    agent.stop().await?;
    ensure!(kept(&scene.host)? == all, "after the stop it is another");
    Ok(())
}

#[tokio::test]
async fn the_oldest_make_room_within_the_bound_and_are_counted() -> Result<()> {
    const BOUND: u64 = 1 << 20;
    let scene = scene(json!({})).await?.on(|host| host.with("quarantineBytes", json!(BOUND)));
    let mut writer = Writer::of(scene.host.log(LOG), bad)?;
    writer.write(10_000)?;
    let agent = scene.host.start()?;
    let metrics = covered(&scene.host, 10_000).await?;
    let evicted = metrics.one("kinetail_lines_dropped_total{reason=\"evicted\"}")?;
    let held = metrics.sum(HELD)?;
    ensure!(evicted > 1000 && evicted + held == 10_000, "{evicted} evicted, {held} held");
    ensure!(metrics.sum("kinetail_quarantine_bytes")? == size(&scene.host)?);
    ensure!(size(&scene.host)? <= BOUND && size(&scene.host)? > BOUND * 3 / 4);
    // Those that are left are the youngest.
    let youngest = bad_of(&writer).into_iter().skip(usize::try_from(evicted)?);
    ensure!(kept(&scene.host)? == youngest.collect::<BTreeMap<_, _>>());
    ensure!(scene.host.said()?.contains("the quarantine is full and loses its oldest lines"));
    agent.stop().await
}

#[tokio::test]
async fn what_was_kept_is_sent_once_the_configuration_is_mended() -> Result<()> {
    let mut scene = scene(json!({})).await?;
    // The log is a common one: no line has what the flow looks for.
    let common = |number: u64| {
        format!("192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] \"GET /page?seq={number} HTTP/1.1\" 200 7\n")
            .into_bytes()
    };
    let mut writer = Writer::of(scene.host.log(LOG), common)?;
    writer.write(1200)?;
    writer.write_raw(&bad(9999))?;
    let replay = ["quarantine", "replay", "--flow", "access"];
    let refused = said(&scene.host, 1, &replay)?;
    ensure!(
        refused.contains("nothing was sent: no kinetail runs") && refused.contains("start it"),
        "{refused}"
    );

    let agent = scene.host.start()?;
    covered(&scene.host, 1201).await?;
    ensure!(scene.payloads().await?.is_empty(), "an unmatched line was sent");
    let listed = said(&scene.host, 0, &["quarantine", "list"])?;
    ensure!(listed.contains("flow access, unmatched: 1201 records") && listed.contains(LOG), "{listed}");
    let status = said(&scene.host, 0, &["status"])?;
    ensure!(status.contains("1201 lines in the quarantine; see `kinetail quarantine list`"), "{status}");
    let log = scene.host.said()?;
    ensure!(log.contains("lines do not match in flow access; keeps them in the quarantine"), "{log}");
    ensure!(log.contains("offset=0") && log.contains("expected"), "{log}");
    agent.stop().await?;

    let steps = json!([{ "optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG" }]);
    let flow = flow(&scene.host, &json!({ "dataProcessingOptions": steps }));
    scene = scene.on(|host| host.with("flows", json!([flow])));
    let agent = scene.host.start()?;
    // Those of the former agent stand there until this one has published.
    let runs =
        |metrics: &Metrics| Ok(metrics.sum(HELD)? == 1201 && metrics.sum("kinetail_lines_read_total")? == 0);
    scene.host.until("it runs", wait::LONG, runs).await?;
    let replayed = said(&scene.host, 1, &replay)?;
    ensure!(replayed.contains("1200 sent\n1 still do not match, and stay"), "{replayed}");
    let sent: Vec<Vec<u8>> = scene.payloads().await?;
    ensure!(sent.len() == 1200 && numbers(sent.iter()) == (0..1200).map(Some).collect());
    ensure!(sent.iter().all(|record| record.starts_with(b"{\"host\":\"192.0.2.7\"")));
    ensure!(shown(&scene.host)?.len() == 1);
    let metrics = scene.host.until("the metrics tell of it", wait::LONG, |metrics| {
        Ok(metrics.sum(HELD)? == 1 && metrics.sum("kinetail_unacked_records")? == 0)
    });
    let metrics = metrics.await?;
    metrics.balance()?;
    ensure!(metrics.sum("kinetail_lines_released_total")? == 1200, "{metrics:?}");
    ensure!(metrics.sum("kinetail_lines_read_total")? == 0, "{metrics:?}");
    agent.stop().await?;
    // What was sent stays away after a start, too.
    ensure!(shown(&scene.host)?.len() == 1);

    let cleared = said(&scene.host, 0, &["quarantine", "clear", "--reason", "unmatched"])?;
    ensure!(cleared == "1 record removed\n", "{cleared}");
    ensure!(said(&scene.host, 0, &["quarantine", "list"])? == "nothing is in the quarantine\n");
    Ok(())
}

#[tokio::test]
async fn what_the_stream_refuses_for_good_is_kept_and_sent_when_it_takes_it() -> Result<()> {
    let scene = scene(json!({})).await?;
    scene.faults.set(Mode::Invalid { word: "seq=77 " });
    let mut writer = Writer::open(scene.host.log(LOG))?;
    writer.write(200)?;
    let agent = scene.host.start()?;
    let metrics = covered(&scene.host, 200).await?;
    ensure!(metrics.one("kinetail_lines_quarantined_total{reason=\"refused\"}")? == 1, "{metrics:?}");
    ensure!(metrics.sum("kinetail_records_acked_total")? == 199, "{metrics:?}");
    let shown = shown(&scene.host)?;
    let [entry] = shown.as_slice() else { anyhow::bail!("{shown:?}") };
    let at: usize = writer.written().take(77).map(<[u8]>::len).sum();
    ensure!(entry["offset"] == at && entry["reason"] == "refused", "{entry}");

    // It is refused still.
    let replay = ["quarantine", "replay", "--reason", "refused"];
    let replayed = said(&scene.host, 1, &replay)?;
    ensure!(replayed.contains("0 sent\n"), "{replayed}");
    scene.faults.set(Mode::Pass);
    let replayed = wait::until("it is sent", wait::LONG, async || {
        let output = scene.host.kinetail(&replay)?;
        Ok(shown_is_empty(&scene.host)?.then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    });
    replayed.await.with_context(|| scene.host.agent_log())?;
    let sent = scene.payloads().await?;
    ensure!(sent.len() == 200 && numbers(sent.iter()) == (0..200).map(Some).collect());
    covered(&scene.host, 200).await?;
    agent.stop().await
}

fn shown_is_empty(host: &Host) -> Result<bool> {
    Ok(shown(host)?.is_empty())
}

#[tokio::test]
async fn the_running_agent_clears_and_counts_it() -> Result<()> {
    let scene = scene(json!({})).await?;
    let mut writer = Writer::of(scene.host.log(LOG), mixed)?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    covered(&scene.host, 100).await?;
    ensure!(said(&scene.host, 0, &["quarantine", "clear", "--flow", "other"])? == "0 records removed\n");
    ensure!(said(&scene.host, 0, &["quarantine", "clear", "--flow", "access"])? == "20 records removed\n");
    let metrics =
        scene.host.until("it is counted", wait::LONG, |metrics| Ok(metrics.sum(HELD)? == 0)).await?;
    ensure!(metrics.one("kinetail_lines_dropped_total{reason=\"cleared\"}")? == 20);
    metrics.balance()?;
    agent.stop().await
}
