//! Many records in one: what reads packed records with the libraries of others finds every line, once, whatever is refused
//! on the way. Holds G1, G3 and G4 to account.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::books::Books;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::{self, Mode};
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::writer::{self, Load, Writer};
use kinetail_tests::{oracle, packs, wait};
use serde_json::{Value, json};

/// Lines of each file.
const LINES: u64 = 20_000;

/// Each way of packing, with the first bytes of what it gives.
fn packings() -> [(Value, &'static [u8]); 4] {
    [
        (json!({ "packing": "lines" }), b"{"),
        (json!({ "packing": "lines", "compression": "gzip" }), b"\x1f\x8b"),
        (json!({ "packing": "lines", "compression": "zstd" }), b"\x28\xb5\x2f\xfd"),
        (json!({ "packing": "kpl" }), b"\xf3\x89\x9a\xc2"),
    ]
}

/// A scene whose host sends access logs as JSON, packed.
async fn scene(mut keys: Value) -> Result<Scene> {
    keys["dataProcessingOptions"] = json!([{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }]);
    keys["packedRecordBytes"] = json!(8192);
    keys["retryMaxBackoffMillis"] = json!(50);
    Ok(Scene::new(Throughput::Unlimited, 3).await?.on(|host| host.with_flow("access_log*", keys)))
}

fn books(expected: &[Vec<u8>], lines: &[Vec<u8>]) -> Books {
    Books::of(expected.iter().map(Vec::as_slice)).against(lines.iter().map(Vec::as_slice))
}

#[tokio::test]
async fn every_line_is_in_one_pack_whatever_is_refused() -> Result<()> {
    for (keys, magic) in packings() {
        let what = keys.to_string();
        let scene = scene(keys).await?;
        let paths = [scene.host.log("access_log"), scene.host.log("access_log_shop")];
        for (path, first) in paths.iter().zip([0, 1_000_000]) {
            Writer::numbered_from(path, first)?.write(LINES)?;
        }
        let expected = oracle::records(&paths)?;
        scene.faults.set(Mode::Refuse { percent: 30 });
        let agent = scene.host.start()?;
        let metrics = scene.host.settled(2 * LINES).await.with_context(|| what.clone())?;

        let records = scene.payloads().await?;
        books(&expected, &packs::lines(&records)?).balance().exact().with_context(|| what.clone())?;
        // Packs that had to go early may hold one line.
        let packed = records.iter().filter(|data| data.starts_with(magic)).count();
        ensure!(packed * 10 > records.len() * 9, "{what}: {packed} of {} are packed", records.len());
        ensure!((records.len() as u64) < 2 * LINES / 10, "{what}: {} records", records.len());
        ensure!(metrics.sum("kinetail_records_acked_total")? == 2 * LINES, "{what}");
        ensure!(metrics.sum("kinetail_entries_acked_total")? == records.len() as u64, "{what}");
        ensure!(metrics.sum("kinetail_records_refused_total")? > 0, "{what}: nothing was refused");
        ensure!(metrics.sum("kinetail_records_possibly_repeated_total")? == 0, "{what}");
        scene.offered_once().with_context(|| what.clone())?;
        agent.stop().await?;
    }
    Ok(())
}

/// Where order is kept, the stream has each file's lines in their order, whatever is refused or fails: behind a request whose
/// outcome nobody knows the same records come once more, and nothing else. (G4)
#[tokio::test]
async fn the_stream_keeps_the_order_of_each_file() -> Result<()> {
    const FILES: u64 = 5;
    for (packing, modes) in [
        (json!({ "packing": "lines" }), [Mode::Refuse { percent: 40 }, Mode::Refuse { percent: 80 }]),
        (json!({ "packing": "kpl" }), [Mode::Refuse { percent: 40 }, Mode::InternalError]),
        (
            json!({ "packing": "lines", "compression": "zstd" }),
            [Mode::Refuse { percent: 40 }, Mode::ResetAfter],
        ),
    ] {
        let (what, is_lost) = (packing.to_string(), modes.contains(&Mode::ResetAfter));
        let mut keys = packing;
        keys["order"] = json!("file");
        let scene = scene(keys).await?;
        let loads: Vec<Load> = (0..FILES)
            .map(|file| {
                let path = scene.host.log(&format!("access_log_{file}"));
                Ok(Load::start(Writer::numbered_from(path, file * 1_000_000)?, 400))
            })
            .collect::<Result<_>>()?;
        let agent = scene.host.start()?;
        for mode in modes.iter().cycle().take(6) {
            scene.faults.set(*mode);
            tokio::time::sleep(Duration::from_millis(700)).await;
            scene.faults.set(Mode::Pass);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let mut lines = 0;
        for load in loads {
            lines += load.stop().await?.count();
        }
        scene.host.settled(lines).await.with_context(|| what.clone())?;
        ensure!(scene.faults.look(faults::refused) > 0, "{what}: nothing was refused");

        let records = scene.endpoint.read(STREAM).await?;
        let data: Vec<Vec<u8>> = records.iter().map(|record| record.data.clone()).collect();
        let mut keys = BTreeMap::new();
        let mut next: BTreeMap<u64, u64> = BTreeMap::new();
        let mut last: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (record, lines) in records.iter().zip(packs::lines_of_each(&data)?) {
            let numbers: Vec<u64> = lines
                .iter()
                .map(|line| number(line).context("a line without its number"))
                .collect::<Result<_>>()?;
            let file = numbers.first().context("an empty record")? / 1_000_000;
            ensure!(numbers.iter().all(|number| number / 1_000_000 == file), "{what}: two files in a record");
            let key = keys.entry(file).or_insert(&record.partition_key);
            ensure!(*key == &record.partition_key, "{what}: file {file} has two keys");
            if is_lost && last.get(&file) == Some(&record.data) {
                continue;
            }
            for number in numbers {
                let expected = next.entry(file).or_insert(file * 1_000_000);
                ensure!(number == *expected, "{what}: {number} in the place of {expected}");
                *expected += 1;
            }
            last.insert(file, record.data.clone());
        }
        ensure!(next.iter().map(|(file, next)| next - file * 1_000_000).sum::<u64>() == lines, "{what}");
        ensure!(keys.values().collect::<BTreeSet<_>>().len() == keys.len(), "{what}: files share a key");
        agent.stop().await?;
    }
    Ok(())
}

/// The number of the line that became this record.
fn number(record: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(record).ok()?;
    let (_, rest) = text.split_once("seq=")?;
    rest.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

/// A crash repeats packs, and loses none. (G2)
#[tokio::test]
async fn kills_repeat_no_more_than_the_agent_said() -> Result<()> {
    let scene = scene(json!({ "packing": "lines", "compression": "zstd" })).await?;
    let path = scene.host.log("access_log");
    let load = Load::start(Writer::of(&path, writer::line)?, 4_000);
    let mut bound = 0;
    for _ in 0..4 {
        let agent = scene.host.start()?;
        scene
            .host
            .until("packs are taken", wait::LONG, |metrics| {
                Ok(metrics.sum("kinetail_entries_acked_total")? > 5)
            })
            .await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let metrics = scene.host.metrics()?.context("nothing is published")?;
        agent.kill()?;
        scene.faults.quiet().await?;
        // What came between the last word of it and the kill is at most what is written in that time.
        bound += metrics.one("kinetail_repeatable_records")? + 3 * 4_000;
    }
    let writer = load.stop().await?;
    let agent = scene.host.start()?;
    let expected = oracle::records([&path])?;
    ensure!(expected.len() as u64 == writer.count());
    let mut balance = Books::default().balance();
    wait::until("every line has arrived", 2 * wait::LONG, async || {
        balance = books(&expected, &packs::lines(&scene.payloads().await?)?).balance();
        Ok((balance.missing == 0).then_some(()))
    })
    .await
    .with_context(|| scene.host.agent_log())?;
    balance.complete()?;
    ensure!(balance.repeated <= bound, "{} repeated of at most {bound}", balance.repeated);
    agent.stop().await
}

/// An entry that the stream never takes is kept as it is, and goes as it is when it is replayed.
#[tokio::test]
async fn a_pack_that_is_refused_for_good_is_kept_whole() -> Result<()> {
    let scene = scene(json!({ "packing": "lines", "name": "access" })).await?;
    let path = scene.host.log("access_log");
    let mut writer = Writer::open(&path)?;
    writer.write(1_000)?;
    let poison = "\"GET /poison HTTP/1.1\"";
    writer.write_raw(
        format!("192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] {poison} 200 7 \"-\" \"-\"\n").as_bytes(),
    )?;
    writer.write(1_000)?;
    let expected = oracle::records([&path])?;
    scene.faults.set(Mode::Invalid { word: "/poison" });
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(2_001).await?;
    let kept = metrics.one("kinetail_lines_quarantined_total{reason=\"refused\"}")?;
    ensure!((2..2_001).contains(&kept), "{kept} lines are kept");
    let delivered = metrics.sum("kinetail_records_acked_total")?;
    ensure!(delivered + kept == 2_001, "{delivered} are in the stream");

    scene.faults.set(Mode::Pass);
    let replayed = scene.host.kinetail(&["quarantine", "replay", "--flow", "access"])?;
    ensure!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    let records = scene.endpoint.read(STREAM).await?;
    let records: Vec<Vec<u8>> = records.into_iter().map(|record| record.data).collect();
    books(&expected, &packs::lines(&records)?).balance().exact()?;
    agent.stop().await
}
