//! From the Java agent to kinetail and back: no line is lost on the way, and none comes twice that need not (G1, G8).
//!
//! The Java agent's side is written in Python (`java_store.py`) and shares nothing with ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::java::Store;
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::writer::Writer;
use serde_json::{Value, json};

/// A host on which the Java agent ran, with its store.
async fn scene(initial_position: &str) -> Result<(Scene, Store)> {
    let scene = Scene::new(Throughput::Unlimited, 2).await?;
    let store = Store::at(scene.host.path().join("java/checkpoints"));
    fs::create_dir(scene.host.path().join("java"))?;
    let scene = scene.on(|host| {
        host.with("checkpointFile", json!(store.path()))
            .with_flow("access_log*", json!({ "initialPosition": initial_position }))
    });
    Ok((scene, store))
}

fn flow(scene: &Scene) -> String {
    format!("kinesis:{STREAM}:{}", scene.host.log("access_log*").display())
}

/// Where the line with this number begins.
fn offset(lines: &[Vec<u8>], number: usize) -> u64 {
    lines.iter().take(number).map(|line| line.len() as u64).sum()
}

fn lines(writer: &Writer) -> Vec<Vec<u8>> {
    writer.written().map(<[u8]>::to_vec).collect()
}

/// Lets a file seem to have been written to that long ago.
fn age(file: &Path, seconds: u64) -> Result<()> {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    Ok(File::options().write(true).open(file)?.set_modified(time)?)
}

/// Every file below a directory, byte by byte.
fn bytes(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(bytes(&path)?);
        } else {
            files.insert(path.clone(), fs::read(path)?);
        }
    }
    Ok(files)
}

/// What a command has told, if it ended with this code.
#[track_caller]
fn told(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    (out, err)
}

/// How often the agent has said this, in all its runs.
fn said(scene: &Scene, text: &str) -> Result<usize> {
    let log = fs::read_to_string(scene.host.path().join("agent.stderr"))?;
    Ok(log.matches(text).count())
}

fn has_said(scene: &Scene, text: &str) -> Result<()> {
    ensure!(said(scene, text)? > 0, "`{text}` is missing; {}", scene.host.agent_log());
    Ok(())
}

/// How far each file is safe, as `checkpoint show` says.
fn positions(scene: &Scene) -> Result<BTreeMap<String, u64>> {
    let (out, _) = told(&scene.host.kinetail(&["checkpoint", "show", "--json"])?, 0);
    let state: Value = serde_json::from_str(&out)?;
    let files = state["flows"][0]["files"].as_array().context("no files")?;
    let position = |file: &Value| Some((file["path"].as_str()?.to_owned(), file["offset"].as_u64()?));
    files.iter().map(|file| position(file).context("no position")).collect()
}

/// The Java agent read 100 of 300 lines; then the file was rotated.
fn rotated_since(scene: &Scene, store: &Store) -> Result<(Writer, u64)> {
    let mut old = Writer::numbered_from(scene.host.log("access_log.2"), 1_000_000)?;
    old.write(20)?;
    age(&scene.host.log("access_log.2"), 3600)?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(300)?;
    let offset = offset(&lines(&writer), 100);
    store.save(&flow(scene), &scene.host.log("access_log"), offset)?;
    writer.rotate("access_log.1")?;
    writer.write(50)?;
    // Within one thousandth of a second nothing is newer to the Java agent, nor to us.
    age(&scene.host.log("access_log.1"), 60)?;
    store.change(&format!(
        "update FILE_CHECKPOINTS set lastModifiedTime = {}",
        fs::metadata(scene.host.log("access_log.1"))?
            .modified()?
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_millis()
    ))?;
    Ok((writer, offset))
}

#[tokio::test]
async fn the_lines_behind_the_java_agents_position_arrive_and_no_others() -> Result<()> {
    let (scene, store) = scene("START_OF_FILE").await?;
    let (mut writer, offset) = rotated_since(&scene, &store)?;
    let before = bytes(&scene.host.path().join("java"))?;
    let agent = scene.host.start()?;
    let rest: Vec<Vec<u8>> = lines(&writer).split_off(100);
    scene.delivered_exactly(agent, rest.iter().map(Vec::as_slice), 0).await?;
    let log = |name: &str| scene.host.log(name).display().to_string();
    has_said(
        &scene,
        &format!(
            "{}: taken over from {}@{offset}, which is {} now",
            flow(&scene),
            log("access_log"),
            log("access_log.1")
        ),
    )?;
    has_said(&scene, "1 older file(s) that the Java agent was done with count as read to their end")?;
    has_said(&scene, &format!("among them {}", log("access_log")))?;
    ensure!(bytes(&scene.host.path().join("java"))? == before, "the store was changed");

    // The second start goes on from a checkpoint of our own, whatever the store says.
    store.change("update FILE_CHECKPOINTS set offset = 0")?;
    writer.write(10)?;
    fs::remove_file(scene.host.state("metrics.prom"))?;
    let agent = scene.host.start()?;
    scene.host.settled(10).await?;
    let rest: Vec<Vec<u8>> = lines(&writer).split_off(100);
    scene.balance(rest.iter().map(Vec::as_slice)).await?.exact()?;
    agent.stop().await?;
    let takeovers = said(&scene, "takes over the positions")?;
    ensure!(takeovers == 1, "{takeovers} takeovers");
    Ok(())
}

#[tokio::test]
async fn of_a_file_that_is_gone_the_rotations_since_are_read() -> Result<()> {
    let (scene, store) = scene("END_OF_FILE").await?;
    let scene = scene.on(|host| host.with_flow("access_log", json!({ "initialPosition": "END_OF_FILE" })));
    let access_log = scene.host.log("access_log");
    let mut writer = Writer::open(&access_log)?;
    writer.write(100)?;
    age(&access_log, 60)?;
    store.save(&format!("kinesis:{STREAM}:{}", access_log.display()), &access_log, 10)?;
    writer.rotate("access_log.2")?;
    // Held open, so that its inode is not used again.
    let _held = File::open(scene.host.log("access_log.2"))?;
    fs::remove_file(scene.host.log("access_log.2"))?;
    writer.write(50)?;
    writer.rotate("access_log.1")?;
    writer.write(30)?;
    let agent = scene.host.start()?;
    let rest: Vec<Vec<u8>> = lines(&writer).split_off(100);
    scene.delivered_exactly(agent, rest.iter().map(Vec::as_slice), 0).await?;
    has_said(&scene, &format!("not taken over from {}@10: the file is gone", access_log.display()))
}

#[tokio::test]
async fn a_dry_run_tells_what_would_happen_and_changes_nothing() -> Result<()> {
    let (scene, store) = scene("END_OF_FILE").await?;
    let (_, offset) = rotated_since(&scene, &store)?;
    let dry = ["checkpoint", "takeover", "--dry-run"];
    // Writes the configuration.
    told(&scene.host.kinetail(&["checkpoint", "show"])?, 1);
    let before = bytes(scene.host.path())?;
    let (out, err) = told(&scene.host.kinetail(&dry)?, 0);
    let log = |name: &str| scene.host.log(name).display().to_string();
    let expected = [
        format!("taken over from {}@{offset}, which is {} now", log("access_log"), log("access_log.1")),
        "1 older file(s) that the Java agent was done with count as read to their end".to_owned(),
        format!(
            "1 newer file(s) that waited for the Java agent are read from their beginning, among them {}",
            log("access_log")
        ),
    ];
    let expected: String = expected.iter().map(|line| format!("{}: {line}\n", flow(&scene))).collect();
    ensure!((out.as_str(), err.as_str()) == (expected.as_str(), ""), "{out}{err}");
    ensure!(bytes(scene.host.path())? == before, "a dry run has changed something");

    // Half a transaction is undone in a copy.
    store.die()?;
    let before = bytes(scene.host.path())?;
    ensure!(before.keys().any(|path| path.ends_with("java/checkpoints-journal")), "there is no journal");
    let (out, _) = told(&scene.host.kinetail(&dry)?, 0);
    ensure!(out == expected, "{out}");
    ensure!(bytes(scene.host.path())? == before, "a dry run has changed something beside a journal");
    Ok(())
}

#[tokio::test]
async fn a_takeover_by_command_is_what_the_agent_goes_on_from() -> Result<()> {
    let (scene, store) = scene("END_OF_FILE").await?;
    let (writer, offset) = rotated_since(&scene, &store)?;
    told(&scene.host.kinetail(&["checkpoint", "takeover"])?, 0);
    let renamed = scene.host.log("access_log.1").display().to_string();
    ensure!(positions(&scene)?.get(&renamed) == Some(&offset), "{:?}", positions(&scene)?);

    // What is there is not replaced, unless that is asked for.
    let elsewhere = Store::at(scene.host.path().join("java/elsewhere"));
    let further = self::offset(&lines(&writer), 200);
    elsewhere.save(&flow(&scene), &scene.host.log("access_log.1"), further)?;
    let from = elsewhere.path().to_str().context("not UTF-8")?;
    let (_, err) = told(&scene.host.kinetail(&["checkpoint", "takeover", "--from", from])?, 1);
    ensure!(err.contains("there is a checkpoint") && err.contains("`--force` sets it aside"), "{err}");
    ensure!(positions(&scene)?.get(&renamed) == Some(&offset), "it was replaced");
    let before = fs::read(scene.host.state("checkpoint"))?;
    told(&scene.host.kinetail(&["checkpoint", "takeover", "--force", "--from", from])?, 0);
    ensure!(fs::read(scene.host.state("checkpoint.replaced"))? == before, "the old one was not kept");
    ensure!(positions(&scene)?.get(&renamed) == Some(&further), "it was not replaced");

    let agent = scene.host.start()?;
    let rest: Vec<Vec<u8>> = lines(&writer).split_off(200);
    scene.delivered_exactly(agent, rest.iter().map(Vec::as_slice), 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_store_that_another_process_holds_keeps_the_agent_from_starting() -> Result<()> {
    let (scene, store) = scene("END_OF_FILE").await?;
    let (writer, _) = rotated_since(&scene, &store)?;
    let lock = store.lock()?;
    let mut agent = scene.host.start()?;
    let status = agent.ended().await?;
    ensure!(status.code() == Some(1), "it ended with {status}");
    has_said(&scene, "stop the Java agent first")?;
    ensure!(!scene.host.state("checkpoint").exists(), "it wrote a checkpoint");
    drop(lock);
    let agent = scene.host.start()?;
    let rest: Vec<Vec<u8>> = lines(&writer).split_off(100);
    scene.delivered_exactly(agent, rest.iter().map(Vec::as_slice), 0).await?;
    Ok(())
}

#[tokio::test]
async fn with_a_store_that_is_none_the_agent_starts_as_if_for_the_first_time() -> Result<()> {
    let (scene, store) = scene("START_OF_FILE").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(30)?;
    fs::write(store.path(), "no store\n".repeat(1000))?;
    let agent = scene.host.start()?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    has_said(&scene, "is no store of the Java agent, or is damaged")?;
    has_said(&scene, "starts as if it had never run")?;
    Ok(())
}

#[tokio::test]
async fn handing_back_loses_nothing_and_taking_over_again_gives_the_same_positions() -> Result<()> {
    let (scene, store) = scene("START_OF_FILE").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    scene.host.settled(100).await?;
    writer.rotate("access_log.1")?;
    writer.write(80)?;
    scene.host.settled(180).await?;
    agent.stop().await?;
    let delivered: BTreeSet<Vec<u8>> = scene.payloads().await?.into_iter().collect();
    ensure!(delivered.len() == 180, "{} lines", delivered.len());
    // While nobody reads, both files of the pattern grow, and one appears.
    let mut other = Writer::numbered_from(scene.host.log("access_log-other"), 1_000_000)?;
    other.write(5)?;
    writer.write(20)?;
    for (name, seconds) in [("access_log.1", 30), ("access_log", 20), ("access_log-other", 10)] {
        age(&scene.host.log(name), seconds)?;
    }

    let before = positions(&scene)?;
    let (out, err) = told(&scene.host.kinetail(&["checkpoint", "handback"])?, 0);
    ensure!(err.is_empty(), "{err}");
    let log = |name: &str| scene.host.log(name).display().to_string();
    let goes_on = format!("the Java agent goes on in {}@{}", log("access_log"), before[&log("access_log")]);
    ensure!(out.contains(&goes_on), "`{goes_on}` is not in {out}");
    ensure!(out.contains(&format!("{} is newer than that", log("access_log-other"))), "{out}");
    ensure!(out.contains("1 older file(s) are read to their end"), "{out}");

    // What was sent and what the Java agent reads now are all lines.
    let directory = scene.host.path().join("logs");
    let mut arrived = delivered.clone();
    let follows = store.follow(&flow(&scene), &directory, "access_log*")?;
    let goes_on = (scene.host.log("access_log"), before[&log("access_log")]);
    ensure!(follows == [goes_on, (scene.host.log("access_log-other"), 0)], "{follows:?}");
    for (path, offset) in follows {
        let bytes = fs::read(path)?;
        let rest = bytes.get(usize::try_from(offset)?..).context("an offset beyond the end")?;
        arrived.extend(rest.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    }
    let written: BTreeSet<Vec<u8>> = lines(&writer).into_iter().chain(lines(&other)).collect();
    ensure!(arrived == written, "{} of {} lines", arrived.len(), written.len());

    told(&scene.host.kinetail(&["checkpoint", "takeover", "--force"])?, 0);
    let mut expected = before;
    expected.insert(log("access_log-other"), 0);
    ensure!(positions(&scene)? == expected, "{:?} instead of {expected:?}", positions(&scene)?);
    fs::remove_file(scene.host.state("metrics.prom"))?;
    let agent = scene.host.start()?;
    scene.host.settled(25).await?;
    scene.balance(written.iter().map(Vec::as_slice)).await?.exact()?;
    agent.stop().await
}

#[tokio::test]
async fn of_several_unfinished_files_the_oldest_is_handed_back() -> Result<()> {
    let (scene, store) = scene("START_OF_FILE").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    scene.host.settled(100).await?;
    agent.stop().await?;
    writer.write(10)?;
    writer.rotate("access_log.1")?;
    writer.write(80)?;
    age(&scene.host.log("access_log.1"), 30)?;
    let before = positions(&scene)?;
    told(&scene.host.kinetail(&["checkpoint", "handback"])?, 0);
    let directory = scene.host.path().join("logs");
    let follows = store.follow(&flow(&scene), &directory, "access_log*")?;
    let access_log = scene.host.log("access_log");
    let offset = before[&access_log.display().to_string()];
    ensure!(follows == [(scene.host.log("access_log.1"), offset), (access_log, 0)], "{follows:?}");
    Ok(())
}

#[tokio::test]
async fn while_somebody_works_with_it_nothing_is_taken_over_or_handed_back() -> Result<()> {
    let (scene, store) = scene("START_OF_FILE").await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(10)?;
    store.save(&flow(&scene), &scene.host.log("access_log"), 0)?;
    let agent = scene.host.start()?;
    scene.host.settled(10).await?;
    let rows = store.rows()?;
    for command in ["takeover", "handback"] {
        let (_, err) = told(&scene.host.kinetail(&["checkpoint", command])?, 1);
        ensure!(err.contains("works with the state directory"), "{command}: {err}");
    }
    agent.stop().await?;
    let lock = store.lock()?;
    let (_, err) = told(&scene.host.kinetail(&["checkpoint", "handback"])?, 1);
    ensure!(err.contains("stop the Java agent first"), "{err}");
    drop(lock);
    ensure!(store.rows()? == rows, "the store was changed");
    told(&scene.host.kinetail(&["checkpoint", "handback"])?, 0);
    ensure!(store.rows()? != rows, "nothing was handed back");
    Ok(())
}
