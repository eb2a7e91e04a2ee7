//! What somebody plants among the logs is not shipped: the agent may read more than whoever planted it. Holds G7 to
//! account: the logs beside it are read as ever.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::scene::Scene;
use kinetail_tests::writer::Writer;
use nix::sys::stat::{self, Mode, SFlag};
use nix::unistd;
use serde_json::json;

/// The user of whoever is not root: Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// Everything under the pattern is there before the agent starts, and is wanted from its first byte.
#[tokio::test]
async fn what_somebody_plants_among_the_logs_is_not_shipped() -> Result<()> {
    let from_start = json!({ "initialPosition": "START_OF_FILE" });
    let scene = Scene::new(Throughput::Unlimited, 1).await?;
    let scene = scene.on(|host| host.with_flow("access_log*", from_start));
    let log = |name: &str| scene.host.log(name);
    let mut writer = Writer::open(log("access_log"))?;
    writer.write(100)?;

    ensure!(fs::metadata("/etc/shadow")?.len() > 0, "there is nothing that could leak");
    plant_link(Path::new("/etc/shadow"), &log("access_log.1"))?;
    plant_link(Path::new("/etc"), &log("access_log.2"))?;
    plant_link(Path::new("/proc/self/environ"), &log("access_log.3"))?;
    unistd::mkfifo(&log("access_log.4"), Mode::S_IRWXU)?;
    // Linux's `/dev/zero`, which never ends: https://www.kernel.org/doc/Documentation/admin-guide/devices.txt
    let zero = stat::makedev(1, 5);
    stat::mknod(&log("access_log.5"), SFlag::S_IFCHR, Mode::S_IRWXU, zero).context("the test needs root")?;
    fs::create_dir(log("access_log.6"))?;
    fs::write(
        log("access_log.6").join("access_log"),
        "of a directory that the pattern does not lead into\n",
    )?;

    let agent = scene.host.start()?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    let told = scene.host.agent_log();
    for number in 1..=6 {
        let name = log(&format!("access_log.{number}"));
        let name = name.to_str().context("a path that is no text")?;
        let lines: Vec<&str> = told.lines().filter(|line| line.contains(name)).collect();
        ensure!(lines.len() == 1 && lines.iter().all(|line| line.contains("WARN")), "{name} in\n{told}");
    }
    Ok(())
}

/// Makes a link at `path` that is not root's.
fn plant_link(target: &Path, path: &Path) -> Result<()> {
    symlink(target, path)?;
    lchown(path, Some(NOBODY), Some(NOBODY)).context("the test needs root")
}
