//! The clock of the host, set back while the agent runs, and again before it is started. Time that only passes
//! (`CLOCK_MONOTONIC`) is not touched by that, nor are the times of files.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, ensure};
use kinetail_tests::scene::Scene;
use kinetail_tests::writer::Writer;

use super::{LINES, LOG, arrived, covered, file, scene};

/// Debian's libfaketime; the linker puts in the directory of the architecture. <https://github.com/wolfcw/libfaketime>
const LIBRARY: &str = "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1";

/// Starts the agent under a clock that is as far from the true one as the file `clock` says.
fn under_clock(scene: &Scene) -> Vec<OsString> {
    let mut file = OsString::from("FAKETIME_TIMESTAMP_FILE=");
    file.push(scene.host.path().join("clock"));
    let settings = [LIBRARY, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
    ["/usr/bin/env"].iter().chain(&settings).map(OsString::from).chain([file]).collect()
}

fn set_clock(scene: &Scene, offset: &str) -> Result<()> {
    fs::write(scene.host.path().join("clock"), offset).context("failed to set the clock")
}

/// The moment of each of the agent's own log lines, as it stands there.
fn moments(scene: &Scene) -> Result<Vec<String>> {
    let said = scene.host.said()?;
    Ok(said.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[tokio::test]
async fn a_clock_that_is_set_back_costs_no_line_and_no_repeat() -> Result<()> {
    let scene = scene().await?;
    let mut writer = Writer::open(scene.host.log(LOG))?;
    set_clock(&scene, "-0")?;
    let agent = scene.host.start_through(&under_clock(&scene))?;
    writer.write(LINES)?;
    covered(&scene, LINES).await?;
    let before = file::read(&scene.host.state("checkpoint"))?;

    set_clock(&scene, "-3600")?;
    writer.write(LINES)?;
    writer.rotate("access_log.1")?;
    writer.write(LINES)?;
    covered(&scene, 3 * LINES).await?;
    agent.stop().await?;
    let after = file::read(&scene.host.state("checkpoint"))?;
    ensure!(after.generation > before.generation, "{after:?} behind {before:?}");

    set_clock(&scene, "-7200")?;
    writer.write(LINES)?;
    let agent = scene.host.start_through(&under_clock(&scene))?;
    writer.write(LINES)?;
    arrived(&scene, 5 * LINES, 0).await?;
    agent.stop().await?;
    let last = file::read(&scene.host.state("checkpoint"))?;
    ensure!(last.generation > after.generation, "{last:?} behind {after:?}");

    scene.balance(writer.written()).await?.exact()?;
    scene.offered_once()?;
    // The agent did see another time.
    let moments = moments(&scene)?;
    let started = moments.first().context("the agent said nothing")?;
    let set_back = moments.iter().filter(|moment| *moment < started).count();
    ensure!(set_back > 2 && moments.last().is_some_and(|last| last < started), "{moments:?}");
    Ok(())
}
