//! What a record can hold: whatever can be read is counted, and the rest is in S3 with its reason and stops nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kinetail_tests::cloud::mapping::stream_arn;
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::cloud::{BUCKET, INPUT, Way};
use kinetail_tests::wait;
use serde_json::{Value, json};

use crate::scene::{SHOP, STRANGER, Scene, WINDOW, requests, settings};

/// What becomes of a record.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The lines of this file are counted.
    Counted(&'static str),
    /// The record is set aside with this reason.
    SetAside(&'static str),
    /// Each of its lines is set aside with this reason.
    LinesSetAside(&'static str),
}

/// Every file of `fixtures/records/packed`.
const PACKINGS: [(&str, Fate); 21] = [
    ("lines", Fate::Counted("combined.native")),
    ("aggregate", Fate::Counted("combined.native")),
    ("gzip", Fate::Counted("combined.native")),
    ("zstd", Fate::Counted("combined.native")),
    ("aggregate-several-keys", Fate::Counted("combined.strings")),
    ("gzip-members", Fate::Counted("hosts.native")),
    ("zstd-frames", Fate::Counted("hosts.native")),
    ("zstd-aggregate", Fate::Counted("hosts.native")),
    ("aggregate-zstd", Fate::Counted("hosts.native")),
    ("aggregate-mixed", Fate::Counted("hosts.native")),
    ("zstd-aggregate-gzip", Fate::Counted("hosts.native")),
    ("bomb-gzip", Fate::SetAside("too-large")),
    ("bomb-zstd", Fate::SetAside("too-large")),
    ("bomb-zstd-size-unsaid", Fate::SetAside("too-large")),
    ("bomb-aggregate", Fate::SetAside("too-large")),
    ("deep", Fate::SetAside("too-deep")),
    ("cut-gzip", Fate::SetAside("not-gzip")),
    ("cut-zstd", Fate::SetAside("not-zstd")),
    ("garbage-after-gzip", Fate::SetAside("not-gzip")),
    ("garbage-after-zstd", Fate::SetAside("not-zstd")),
    ("aggregate-wrong-md5", Fate::LinesSetAside("not-json")),
];

/// A reference with one of the hosts of the golden records.
const REFERENCE: &str = "Host,ApplicationName,Contact\n192.0.2.1,shop,ops\n";

fn fixture(path: &str) -> Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path);
    fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Application and class of each line of a golden file, read without our parser.
fn golden(name: &str) -> Result<Vec<(&'static str, String)>> {
    let text = String::from_utf8(fixture(&format!("records/{name}.jsonl"))?)?;
    let read = |line: &str| -> Result<(&'static str, String)> {
        let line: Value = serde_json::from_str(line)?;
        let address: Option<IpAddr> = line["host"].as_str().and_then(|host| host.parse().ok());
        let is_shop = address.is_some_and(|address| address.to_canonical().to_string() == SHOP.host);
        let source = if is_shop { SHOP } else { STRANGER };
        let status = match (line["response"].as_u64(), line["response"].as_str()) {
            (Some(status), _) => Some(status),
            (None, Some(text)) => Some(text.parse()?),
            (None, None) => None,
        };
        let class = status.map_or_else(|| "none".to_owned(), |status| format!("{}xx", status / 100));
        Ok((source.application, class))
    };
    text.lines().map(read).collect()
}

/// What stands in the objects of the bucket, by sequence number.
fn set_aside(scene: &Scene) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut things: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for key in scene.cloud.objects.keys(BUCKET, "set-aside/aggregate/") {
        let object = scene.cloud.objects.get(BUCKET, &key).context("an object is gone")?;
        for line in String::from_utf8(object.to_vec())?.lines() {
            let thing: Value = serde_json::from_str(line)?;
            let number = thing["sequenceNumber"].as_str().context("a thing without its record")?;
            things.entry(number.to_owned()).or_default().push(thing);
        }
    }
    Ok(things)
}

/// The bytes of a thing.
fn content(thing: &Value) -> Result<Vec<u8>> {
    ensure!(thing["isCut"] == false, "{thing} is cut");
    match (thing["line"].as_str(), thing["data"].as_str()) {
        (Some(text), None) => Ok(text.as_bytes().to_vec()),
        (None, Some(data)) => Ok(base64_simd::STANDARD.decode_to_vec(data)?),
        (Some(_), Some(_)) | (None, None) => anyhow::bail!("{thing} has not one content"),
    }
}

#[tokio::test]
async fn every_packing_is_counted_or_set_aside_with_its_reason_and_none_blocks() -> Result<()> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/records/packed"))?;
    ensure!(files.count() == PACKINGS.len(), "a file of `packed` is not in the table");
    let mut scene = Scene::with(settings(Way::Direct, REFERENCE)).await?;
    let payloads: Vec<Vec<u8>> = PACKINGS
        .iter()
        .map(|(name, _)| fixture(&format!("records/packed/{name}.bin")))
        .collect::<Result<_>>()?;
    let numbers = scene.put_records(payloads.clone()).await?;
    // Behind all of them in the only shard.
    scene.put(SHOP, 200, 10).await?;

    let mut expected: BTreeMap<String, Vec<(&str, Vec<u8>)>> = BTreeMap::new();
    for (((_, fate), number), data) in PACKINGS.iter().zip(numbers).zip(payloads) {
        match fate {
            Fate::Counted(name) => {
                for (application, class) in golden(name)? {
                    scene.expect(application, &class, 1);
                }
            }
            Fate::SetAside(reason) => drop(expected.insert(number, vec![(*reason, data)])),
            Fate::LinesSetAside(reason) => {
                let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                expected.insert(number, lines.map(|line| (*reason, line.to_vec())).collect());
            }
        }
    }
    scene.set_aside = expected.values().map(|things| things.len() as u64).sum();
    scene.balance().await?;

    let found = set_aside(&scene)?;
    ensure!(found.keys().eq(expected.keys()), "{:?} are set aside", found.keys());
    for (number, things) in &expected {
        let found = &found[number];
        ensure!(found.len() == things.len(), "{found:?} are set aside of {number}");
        for (thing, (reason, data)) in found.iter().zip(things) {
            ensure!(thing["reason"] == *reason, "{thing} is not set aside as {reason}");
            ensure!(content(thing)? == *data, "{thing} is not what was put");
        }
    }
    Ok(())
}

/// Records of a stream that chooses the shard itself cannot be put into the emulator: the event is one that was seen.
#[tokio::test]
async fn a_record_without_a_partition_key_is_counted() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    let mut event: Value = serde_json::from_slice(&fixture("events/auto-distribution.json")?)?;
    let records = event["Records"].as_array().context("no records")?;
    let key = |record: &Value| record["kinesis"].get("partitionKey").cloned();
    ensure!(records.iter().map(key).eq([Some(Value::Null), None]), "the fixture has keys");
    let start = Moment::now().floor(WINDOW);
    event["window"] = json!({ "start": start.to_string(), "end": start.plus(WINDOW).to_string() });
    event["state"] = json!({});
    event["shardId"] = json!("shardId-000000000006");
    event["eventSourceARN"] = json!(stream_arn(INPUT));
    event["isFinalInvokeForWindow"] = json!(true);
    event["isWindowTerminatedEarly"] = json!(false);
    let answer = scene.cloud.aggregate.invoke(event.to_string(), wait::LONG).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    ensure!(answer["state"] == json!({}), "{answer}");
    scene.requests.insert(requests("shop", "none"), 1);
    scene.requests.insert(requests("blog", "none"), 1);
    scene.balance().await?;
    Ok(())
}
