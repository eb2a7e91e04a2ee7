//! Many files: what they cost while all are quiet, and while a few are written to and a tree of directories comes and
//! goes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use kinetail_tests::usage;

use crate::agent::{self, Agent};
use crate::books::Books;
use crate::endpoint::Endpoint;
use crate::figures::Run;
use crate::lines::Lines;
use crate::records::Shape;

/// How long the agent may come to rest.
const REST: Duration = Duration::from_secs(5);
/// How many files are in one directory.
const IN_ONE_DIRECTORY: u32 = 500;
/// Directories of the tree that comes and goes, and the files in each.
const TREE: u32 = 10;
/// How often it does, in a second.
const CHURNS: u32 = 4;

/// How many files, and what happens to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) files: u32,
    /// How many of them are written to, one line after the other.
    pub(crate) active: u32,
    /// Lines a second, all together.
    pub(crate) rate: u32,
    /// How long the silence is watched, and then the load, in seconds.
    pub(crate) secs: u32,
}

/// What the agent has used in a while.
struct Used {
    cpu_percent: f64,
    switches_per_s: f64,
}

/// Ships one line of each file, watches the agent do nothing, then watches it follow the load.
pub(crate) fn run(binary: &Path, shape: Shape, seed: u64, load: Load) -> anyhow::Result<Run> {
    let dir = tempfile::tempdir().context("failed to make a directory for the logs")?;
    let path = |number: u32| dir.path().join(format!("{}/{number}.log", number / IN_ONE_DIRECTORY));
    let mut lines = Lines::seeded(seed);
    for number in 0..load.files {
        let mut text = Vec::new();
        lines.append(&mut text);
        let path = path(number);
        fs::create_dir_all(path.parent().context("a file has a directory")?)
            .and_then(|()| fs::write(&path, text))
            .context("failed to write the logs")?;
    }
    let more = load.rate.checked_mul(load.secs).context("that is too many lines")?;
    let all = load.files.checked_add(more).context("that is too many lines")?;

    let endpoint = Endpoint::start(shape, Books::awaiting(all as usize))?;
    let start = Instant::now();
    let mut agent = Agent::start(binary, &dir.path().join("**/*.log"), shape, &endpoint)?;
    agent.wait_until_taken(&endpoint, u64::from(load.files))?;
    let started = start.elapsed().as_secs_f64();
    agent::pause(REST);
    let at_start = usage::cpu_seconds(agent.pid())?;
    let idle = watched(&agent, || {
        agent::pause(Duration::from_secs(u64::from(load.secs)));
        Ok(())
    })?;
    let idle_memory = usage::memory(agent.pid())?;

    let active: Vec<PathBuf> = (0..load.active).map(path).collect();
    let busy = watched(&agent, || write(&mut lines, &active, load, dir.path()).context("failed to write"))?;
    agent.wait_until_taken(&endpoint, u64::from(all))?;
    let memory = usage::memory(agent.pid())?;
    let open_files = usage::open_files(agent.pid(), dir.path())?;
    let watches = usage::inotify_watches(agent.pid())?;
    agent.stop()?;

    endpoint.books().even_balance()?;
    Ok(Run::new([
        ("start_s", started),
        ("start_cpu_s", at_start),
        ("idle_cpu_percent", idle.cpu_percent),
        ("idle_context_switches_per_s", idle.switches_per_s),
        ("idle_rss_mib", idle_memory.resident),
        ("busy_cpu_percent", busy.cpu_percent),
        ("busy_context_switches_per_s", busy.switches_per_s),
        ("busy_rss_mib", memory.resident),
        ("peak_rss_mib", memory.peak),
        ("open_files", open_files as f64),
        ("inotify_watches", watches as f64),
    ]))
}

/// What the agent uses while `act` is done.
fn watched(agent: &Agent, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Used> {
    let (start, cpu, switches) =
        (Instant::now(), usage::cpu_seconds(agent.pid())?, usage::context_switches(agent.pid())?);
    act()?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Used {
        cpu_percent: (usage::cpu_seconds(agent.pid())? - cpu) / seconds * 100.0,
        switches_per_s: (usage::context_switches(agent.pid())? - switches) / seconds,
    })
}

/// Writes to the files in turn, at the load's rate, while a tree comes and goes.
fn write(lines: &mut Lines, active: &[PathBuf], load: Load, dir: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for path in active {
        files.push(OpenOptions::new().append(true).open(path)?);
    }
    let tree = dir.join("tree");
    let churn_every = (load.rate / CHURNS).max(1);
    let start = Instant::now();
    let mut line = Vec::new();
    for (nth, file) in (0..load.rate * load.secs).zip((0..files.len()).cycle()) {
        let due = start + Duration::from_secs(1) * nth / load.rate;
        agent::pause(due.saturating_duration_since(Instant::now()));
        if nth % churn_every == 0 {
            grow(&tree)?;
        } else if nth % churn_every == churn_every / 2 && tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        line.clear();
        lines.append(&mut line);
        if let Some(file) = files.get_mut(file) {
            file.write_all(&line)?;
        }
    }
    Ok(())
}

/// Makes directories with empty files in them.
fn grow(tree: &Path) -> std::io::Result<()> {
    for number in 0..TREE {
        let directory = tree.join(format!("{number}/deep"));
        fs::create_dir_all(&directory)?;
        File::create(directory.join("app.log"))?;
    }
    Ok(())
}
