//! What a restart costs: after `kill -9` repeats within the published bound (G2), after SIGTERM nothing (G3), and never
//! a line (G1).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::crash::{self, End};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Request;
use kinetail_tests::oracle;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Load, Writer};
use serde_json::{Value, json};

/// Lines a second of the load.
const RATE: u32 = 5000;
/// Kills at moments that nobody has prepared.
const RANDOM_KILLS: usize = 20;
/// Kills while the stream keeps silent about what it took, so that what is published can be checked exactly.
const HELD_KILLS: usize = 6;
/// The longest that an agent lives under random kills; half of it on average.
const LIFE_MILLIS: u64 = 1400;
/// Kills of an agent whose records say where their lines are from.
const PLACED_KILLS: u32 = 6;

async fn scene() -> Result<Scene> {
    let scene = Scene::new(Throughput::Unlimited, 4).await?;
    let keys = json!({
        "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }],
    });
    Ok(scene.on(|host| host.with_flow("access_log", keys)))
}

/// What a kill may cost.
struct Kill {
    /// The most records that may come again by the endpoint's books, if they were kept up to the kill.
    by_endpoint: Option<u64>,
    end: End,
}

/// Kills without warning.
async fn kill(scene: &Scene, agent: Agent) -> Result<Kill> {
    let end = crash::kill(&scene.host, &scene.faults, agent).await?;
    // Killed before its first checkpoint, nothing is covered.
    let covered = crash::drawn_up(&scene.host.state("checkpoint"));
    let by_endpoint = scene.faults.look(|requests| taken_beyond(requests, covered));
    Ok(Kill { by_endpoint: Some(by_endpoint), end })
}

/// Records that the endpoint took and that a checkpoint of that moment cannot cover.
///
/// Everything that was not answered then is not covered, nor what stands behind it in the file, answered or not: the
/// safe offset never steps over a gap. Lines are numbered in file order, so one number separates the two.
fn taken_beyond(requests: &[Request], covered: SystemTime) -> u64 {
    let open = requests.iter().filter(|request| request.answered.is_none_or(|answered| answered >= covered));
    let first = open.flat_map(numbers).min().unwrap_or(u64::MAX);
    let taken: BTreeSet<u64> = requests
        .iter()
        .flat_map(|request| request.entries.iter())
        .filter(|entry| entry.taken)
        .filter_map(|entry| writer::number(&entry.data))
        .filter(|number| *number >= first)
        .collect();
    taken.len() as u64
}

fn numbers(request: &Request) -> impl Iterator<Item = u64> {
    request.entries.iter().filter_map(|entry| writer::number(&entry.data))
}

/// Waits until this agent has had records accepted.
async fn at_work(scene: &Scene, agent: &Agent) -> Result<()> {
    let since = agent.started();
    wait::until("records are accepted", wait::LONG, async || {
        let is = |request: &Request| request.arrived >= since && request.answered.is_some();
        Ok(scene.faults.look(|requests| requests.last().is_some_and(is)).then_some(()))
    })
    .await
    .with_context(|| scene.host.agent_log())
}

#[tokio::test]
async fn a_kill_costs_no_line_and_repeats_within_the_bound() -> Result<()> {
    let scene = scene().await?;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let path = scene.host.log("access_log");
    let load = Load::start(Writer::open(&path)?, RATE);
    let mut agent = scene.host.start()?;
    let mut kills = Vec::new();
    for round in 0..RANDOM_KILLS + HELD_KILLS {
        // Every agent may die before it has done anything, but those that are held have something to hold.
        let life = Duration::from_millis(random.u64(..LIFE_MILLIS));
        load.run(life).await;
        if round < RANDOM_KILLS {
            kills.push(kill(&scene, agent).await?);
        } else {
            at_work(&scene, &agent).await?;
            let by_metric = crash::kill_at_published_bound(&scene.host, &scene.faults, agent).await?;
            kills.push(Kill { by_endpoint: None, end: End::now(by_metric) });
        }
        agent = scene.host.start()?;
    }
    at_work(&scene, &agent).await?;
    load.stop().await?;

    let expected = oracle::records([&path])?;
    scene.delivered(expected.iter().map(Vec::as_slice)).await.with_context(|| format!("seed {seed}"))?;
    scene.host.metrics()?.context("nothing is published")?.balance()?;
    agent.stop().await?;

    let ends: Vec<End> = kills.iter().map(|kill| kill.end).collect();
    let (cost, within) = scene.faults.look(|requests| crash::repeats(requests, &ends));
    ensure!(within == 0, "seed {seed}: {within} repeats without a kill");
    for (round, (kill, repeats)) in kills.iter().zip(&cost).enumerate() {
        let Kill { by_endpoint, end: End { bound: by_metric, .. } } = kill;
        let within = by_endpoint.is_none_or(|bound| *repeats <= bound) && repeats <= by_metric;
        ensure!(
            within,
            "seed {seed}: kill {round} cost {repeats} repeats; {by_endpoint:?} by the endpoint, {by_metric} published"
        );
        // What was taken in silence must come again, or the bound was never put to the test.
        ensure!(by_endpoint.is_some() || *repeats > 0, "seed {seed}: kill {round} cost nothing");
    }
    Ok(())
}

/// What a record says of where its line is from.
fn place(record: &[u8]) -> Result<(String, String, u64)> {
    let record: Value = serde_json::from_slice(record)?;
    let text = |name: &str| record[name].as_str().map(str::to_owned);
    let offset = record["@offset"].as_u64();
    Some((text("@host"), text("@file"), offset))
        .and_then(|(host, file, offset)| Some((host?, file?, offset?)))
        .with_context(|| format!("no place in {record}"))
}

/// The record of every line of `files`, and where in its file the line begins.
fn placed(files: &[PathBuf]) -> Result<Vec<(Vec<u8>, u64)>> {
    let mut offsets = Vec::new();
    for file in files {
        let mut offset = 0;
        for line in fs::read(file)?.split_inclusive(|byte| *byte == b'\n') {
            offsets.push(offset);
            offset += line.len() as u64;
        }
    }
    let records = oracle::records(files)?;
    ensure!(records.len() == offsets.len(), "{} records of {} lines", records.len(), offsets.len());
    Ok(records.into_iter().zip(offsets).collect())
}

/// With `addPosition` a repeat can be told from a new line: it says that it is from the same place as its first copy,
/// and no other line says so.
#[tokio::test]
async fn every_copy_of_a_line_says_the_same_place_and_no_other_line_does() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 4).await?;
    let keys = json!({
        "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }],
        "addPosition": true,
    });
    let scene = scene.on(|host| host.with_flow("access_log*", keys));
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    let mut files = Vec::new();
    let mut agent = scene.host.start()?;
    for round in 0..PLACED_KILLS {
        let load = Load::start(writer, RATE);
        load.run(Duration::from_millis(random.u64(..LIFE_MILLIS))).await;
        // Every other time it is certain that something comes again.
        if round % 2 == 0 {
            at_work(&scene, &agent).await?;
            crash::kill_at_published_bound(&scene.host, &scene.faults, agent).await?;
        } else {
            kill(&scene, agent).await?;
        }
        writer = load.stop().await?;
        // What comes again is found under another name, with a new file in its place.
        let name = format!("access_log.{round}");
        writer.rotate(&name)?;
        files.push(scene.host.log(&name));
        writer.write(10)?;
        agent = scene.host.start()?;
    }
    files.push(scene.host.log("access_log"));
    let expected = placed(&files)?;
    let copies = wait::until("every line has arrived", wait::LONG, async || {
        let mut copies = BTreeMap::<u64, Vec<Vec<u8>>>::new();
        for record in scene.payloads().await? {
            copies.entry(writer::number(&record).context("no number")?).or_default().push(record);
        }
        Ok((copies.len() == expected.len()).then_some(copies))
    });
    let copies = copies.await.with_context(|| format!("seed {seed}: {}", scene.host.agent_log()))?;
    agent.stop().await?;

    let mut places = BTreeSet::new();
    for (copies, (record, offset)) in copies.values().zip(&expected) {
        let [first, others @ ..] = copies.as_slice() else { anyhow::bail!("a line without a copy") };
        let fields = record.strip_suffix(b"}\n").context("an object ends with a brace")?;
        ensure!(first.starts_with(fields), "seed {seed}: {}", first.escape_ascii());
        ensure!(others.iter().all(|other| other == first), "seed {seed}: copies of {}", first.escape_ascii());
        let place = place(first)?;
        ensure!(place.2 == *offset, "seed {seed}: {place:?} instead of {offset}");
        places.insert(place);
    }
    ensure!(places.len() == expected.len(), "seed {seed}: {} places of {}", places.len(), expected.len());
    let repeats = copies.values().map(|copies| copies.len() - 1).sum::<usize>();
    ensure!(repeats > 0, "seed {seed}: nothing came again");
    let generations: BTreeSet<_> = places.iter().map(|(_, file, _)| file).collect();
    ensure!(generations.len() == files.len(), "seed {seed}: {generations:?}");
    Ok(())
}

#[tokio::test]
async fn a_stop_under_load_costs_nothing_at_all() -> Result<()> {
    let scene = scene().await?;
    let path = scene.host.log("access_log");
    let load = Load::start(Writer::open(&path)?, RATE);
    let mut acked = 0;
    for _ in 0..4 {
        let agent = scene.host.start()?;
        at_work(&scene, &agent).await?;
        agent.stop().await?;
        // All that was read has been acked before the end.
        let metrics = scene.host.metrics()?.context("nothing is published")?;
        metrics.balance()?;
        ensure!(metrics.sum("kinetail_unacked_records")? == 0, "stopped with records on their way");
        ensure!(metrics.sum("kinetail_repeatable_records")? == 0, "stopped without a last checkpoint");
        acked += metrics.sum("kinetail_records_acked_total")?;
        ensure!(scene.payloads().await?.len() as u64 == acked, "acked is not what is in the stream");
    }
    let writer = load.stop().await?;
    let agent = scene.host.start()?;
    let expected = oracle::records([&path])?;
    scene.delivered(expected.iter().map(Vec::as_slice)).await?.exact()?;
    scene.offered_once()?;
    let metrics = scene.host.settled(writer.count() - acked).await?;
    ensure!(acked + metrics.sum("kinetail_records_acked_total")? == writer.count());
    agent.stop().await
}
