//! Ten thousand files, of which a few speak: nothing is missing, and what is open stays within its bound. (G1, G5)

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::binary;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::scene::Scene;
use kinetail_tests::usage;
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Load, Writer};
use serde_json::json;

/// Files that hold a line and are quiet.
const QUIET: u64 = 10_000;
/// Directories that they are in.
const DIRECTORIES: u64 = 20;
/// Files that are written to all the time.
const ACTIVE: u64 = 50;
/// Lines a second of each.
const RATE: u32 = 40;
/// Files that may be open.
const OPEN: usize = 64;
/// Files that the active ones are rotated to.
const ROTATIONS: u64 = 3;
/// Trees that come and go in each of these.
const TREES: u64 = 30;
/// Watches of which a lively tree may have some at any moment.
const TREE_WATCHES: usize = 3;

/// The number of the first line of a writer; none comes near the next.
fn first(writer: u64) -> u64 {
    (writer + 1) * 1_000_000
}

/// A tree with files in it comes and goes so many times. Nothing is written to the files: nobody could say whether it
/// was seen.
async fn churn(logs: &Path) -> Result<()> {
    for round in 0..TREES {
        let tree = logs.join("tree");
        fs::create_dir_all(tree.join("a/b"))?;
        for number in 0..10 {
            fs::write(tree.join(format!("a/b/{round}-{number}.log")), "")?;
        }
        // Room for the agent and for the writers; sometimes the tree is seen, sometimes not.
        tokio::time::sleep(Duration::from_millis(round % 4 * 50)).await;
        fs::remove_dir_all(&tree)?;
    }
    Ok(())
}

fn within_bounds(agent: &Agent, logs: &Path) -> Result<()> {
    // One that is looked at, and one that is opened before another is closed.
    let open = usage::open_files(agent.pid(), logs)?;
    ensure!(open <= OPEN + 2, "{open} files are open");
    let watches = usage::inotify_watches(agent.pid())?;
    let most = usize::try_from(DIRECTORIES)? + 1 + TREE_WATCHES;
    ensure!(watches <= most, "{watches} watches");
    Ok(())
}

#[tokio::test]
async fn ten_thousand_files_a_lively_tree_and_a_kill_lose_no_line() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 4).await?;
    let scene = scene.on(|host| host.with_flow("**/*.log*", json!({})).with("maxOpenFiles", json!(OPEN)));
    let logs = scene.host.log("");
    let mut written = Vec::new();
    for number in 0..QUIET {
        let path = logs.join(format!("{}/{number}.log", number % DIRECTORIES));
        fs::create_dir_all(path.parent().context("a file has a directory")?)?;
        let line = writer::line(number);
        fs::write(path, &line)?;
        written.push(line);
    }
    let mut agent = scene.host.start()?;
    scene.host.settled(QUIET).await?;
    within_bounds(&agent, &logs)?;

    let active = |number: u64| logs.join(format!("{}/active-{number}.log", number % DIRECTORIES));
    let writers = (0..ACTIVE).map(|number| Writer::numbered_from(active(number), first(number)));
    let loads: Vec<Load> =
        writers.map(|writer| writer.map(|writer| Load::start(writer, RATE))).collect::<Result<_>>()?;
    for rotation in 0..ROTATIONS {
        churn(&logs).await?;
        within_bounds(&agent, &logs)?;
        if rotation == 1 {
            agent.kill()?;
            agent = scene.host.start()?;
        }
        for (number, load) in loads.iter().enumerate() {
            load.with(|writer| writer.rotate(&format!("active-{number}.log.{rotation}")))?;
        }
        churn(&logs).await?;
        within_bounds(&agent, &logs)?;
    }
    for load in loads {
        written.extend(load.stop().await?.written().map(<[u8]>::to_vec));
    }
    scene.delivered(written.iter().map(Vec::as_slice)).await?;
    let metrics = scene.host.metrics()?.context("nothing is published")?;
    metrics.balance()?;
    ensure!(metrics.sum("kinetail_bytes_lost_total")? == 0, "bytes are counted as lost");
    ensure!(metrics.sum("kinetail_open_files")? <= u64::try_from(OPEN)?);
    let settled = wait::until("only what is there is watched", wait::LONG, async || {
        within_bounds(&agent, &logs)?;
        Ok((usage::inotify_watches(agent.pid())? == usize::try_from(DIRECTORIES)? + 1).then_some(()))
    });
    settled.await.with_context(|| scene.host.agent_log())?;
    agent.stop().await
}

/// A program that becomes the agent, in a user namespace of its own in which `limit` is 0. The limits are those of the
/// kernel: <https://man7.org/linux/man-pages/man7/namespaces.7.html>.
fn limited(scene: &Scene, limit: &str) -> Result<PathBuf> {
    let program = scene.host.path().join("limited");
    let binary = binary::agent()?.display();
    let script = format!(
        "#!/bin/sh\nexec unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/{limit} && exec \"$@\"' \
         sh {binary} \"$@\"\n"
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// Under a limit the agent looks instead of listening, says so and names `sysctl`; when there is room again it listens.
async fn under_limit(limit: &str, sysctl: &str, again: &str) -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 1).await?;
    let scene = scene.on(|host| host.with_flow("*/access_log*", json!({})));
    fs::create_dir(scene.host.log("a"))?;
    let mut writer = Writer::open(scene.host.log("a/access_log"))?;
    writer.write(100)?;
    let agent = scene.host.start_as(&limited(&scene, limit)?)?;
    let mut lines = 100;
    scene.host.settled(lines).await?;
    ensure!(usage::inotify_watches(agent.pid())? == 0);
    ensure!(scene.host.agent_log().contains(sysctl), "{}", scene.host.agent_log());
    for rotation in 0..3 {
        writer.write(100)?;
        writer.rotate(&format!("access_log.{rotation}"))?;
        writer.write(100)?;
        lines += 200;
        scene.host.settled(lines).await?;
    }
    let raise = format!("echo 100 >/proc/sys/user/{limit}");
    let target = agent.pid().to_string();
    let raised = Command::new("nsenter")
        .args(["--user", "--preserve-credentials", "--target", &target, "sh", "-c", &raise])
        .status()
        .context("failed to run `nsenter`")?;
    ensure!(raised.success(), "could not raise the limit");
    let listening = wait::until("it listens again", wait::LONG, async || {
        Ok((usage::inotify_watches(agent.pid())? == 2 && scene.host.agent_log().contains(again))
            .then_some(()))
    });
    listening.await.with_context(|| scene.host.agent_log())?;
    writer.write(100)?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    Ok(())
}

#[tokio::test]
async fn without_an_inotify_instance_it_looks_until_there_is_one() -> Result<()> {
    let limit = "max_inotify_instances";
    under_limit(limit, "fs.inotify.max_user_instances", "file notifications are there again").await
}

#[tokio::test]
async fn without_inotify_watches_it_looks_until_there_are_some() -> Result<()> {
    let limit = "max_inotify_watches";
    under_limit(limit, "fs.inotify.max_user_watches", "every directory is watched again").await
}
