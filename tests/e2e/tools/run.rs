//! One run: the agent follows one way to rotate, first undisturbed, then killed, and the books are closed.

use std::collections::BTreeSet;
use std::env;
use std::fmt;

use anyhow::{Context, Result, ensure};
use kinetail_tests::crash::{self, End};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::logrotate;
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::Scene;
use kinetail_tests::server::GoesOn;
use kinetail_tests::{wait, writer};
use serde_json::json;

use crate::rotator::Rotator;
use crate::ways::{Destroys, Way};

/// Rotations of a run, unless `KINETAIL_ROTATIONS` says otherwise.
const ROTATIONS: u32 = 5;
/// Rotations that go with a kill.
const WITH_A_KILL: u32 = 3;
/// How many of them come before the next agent, after every other kill. After the rest it comes at once.
const WHILE_DOWN: u32 = 2;
/// Lines between two rotations, from and to. The fewest are more than what proves who a file is.
const LINES: (u64, u64) = (40, 250);
/// How long a renamed file is waited for. Shorter than by default, so that files come to their end in the run.
const GRACE_MILLIS: u64 = 2000;

/// What became of the lines of one run.
#[derive(Debug)]
pub(crate) struct Told {
    what: String,
    rotations: u64,
    kills: usize,
    written: usize,
    /// Lines that are in no file any more.
    destroyed: usize,
    /// Those of them that were delivered.
    recovered: usize,
    loss: Loss,
    repeated: u64,
}

/// Bytes that could not be delivered while nobody killed the agent.
#[derive(Clone, Copy, Debug)]
struct Loss {
    reported: u64,
    real: u64,
}

/// Follows `way` with an agent that is given `pattern`.
pub(crate) async fn run(way: &Way, pattern: &str) -> Result<Told> {
    let what = format!("{}, `{pattern}`", way.name);
    let seed = fastrand::u64(..);
    let told = async {
        let mut run = Run::new(way, pattern, seed).await?;
        let rotations = rotations()?;
        let kills = (rotations / WITH_A_KILL / 2).max(1);
        let loss = run.undisturbed(rotations.saturating_sub(kills * WITH_A_KILL).max(1)).await?;
        run.killed(kills).await?;
        run.tell(&what, loss).await.with_context(|| run.scene.host.agent_log())
    };
    told.await.with_context(|| format!("{what}, seed {seed}"))
}

struct Run<'a> {
    way: &'a Way,
    scene: Scene,
    rotator: Rotator<'a>,
    random: fastrand::Rng,
    /// The ends of the agents so far.
    ends: Vec<End>,
    /// Lines written by the servers that have ended.
    written: u64,
}

impl<'a> Run<'a> {
    async fn new(way: &'a Way, pattern: &str, seed: u64) -> Result<Run<'a>> {
        let scene = Scene::new(Throughput::Unlimited, 2).await?;
        let scene = scene.on(|host| host.with_flow(pattern, json!({ "rotationGraceMillis": GRACE_MILLIS })));
        let rotator = Rotator::new(way, &scene.host)?;
        let random = fastrand::Rng::with_seed(seed);
        Ok(Run { way, scene, rotator, random, ends: Vec::new(), written: 0 })
    }

    /// Rotations that nothing happens between: what can be read arrives, and of the rest no more is reported than that.
    async fn undisturbed(&mut self, rotations: u32) -> Result<Loss> {
        let agent = self.scene.host.start()?;
        // What is renamed before an agent has ever looked is not the agent's.
        let host = &self.scene.host;
        host.until("the agent is there", wait::LONG, |_| Ok(true)).await?;
        self.rotator.serve(self.written, GoesOn::WhenTold)?;
        let is_open = |metrics: &Metrics| Ok(metrics.sum("kinetail_open_files")? > 0);
        host.until("the agent has found the log", wait::LONG, is_open).await?;
        self.rotator.go_on()?;
        for rotation in 1..=u64::from(rotations) {
            self.rotate().await?;
            let counter = match self.way.destroys {
                // What is removed before the agent has looked once is the tool's doing.
                Destroys::Removed => "kinetail_files_rotated_total",
                // Two truncations between two looks of the agent are one to it.
                Destroys::Nothing | Destroys::Lines if self.way.truncates() => {
                    "kinetail_files_truncated_total"
                }
                Destroys::Nothing | Destroys::Lines => continue,
            };
            let is_seen = |metrics: &Metrics| Ok(metrics.sum(counter)? >= rotation);
            self.scene.host.until("the agent has seen the rotation", wait::LONG, is_seen).await?;
        }
        self.serve_out().await?;
        let must = match self.way.destroys {
            // An agent that was there all the time has what is removed open.
            Destroys::Nothing | Destroys::Removed => self.all(),
            Destroys::Lines => self.held()?,
        };
        self.arrived(&must).await?;
        agent.stop().await?;
        self.ends.push(End::now(0));

        let metrics = self.scene.host.metrics()?.context("nothing is published")?;
        let delivered = self.delivered().await?;
        let missing = self.all().into_iter().filter(|number| !delivered.contains(number));
        let loss = Loss {
            reported: metrics.sum("kinetail_bytes_lost_total")?,
            real: missing.map(|number| writer::line(number).len() as u64).sum(),
        };
        ensure!(loss.reported <= loss.real, "{loss:?}; {}", self.scene.host.agent_log());
        let truncated = metrics.sum("kinetail_files_truncated_total")?;
        let expected = if self.way.truncates() { u64::from(rotations) } else { 0 };
        ensure!(
            truncated == expected || self.way.overwrites(),
            "{expected} truncations, {truncated} are counted; {}",
            self.scene.host.agent_log()
        );
        Ok(loss)
    }

    /// Kills between rotations, with some before the next agent starts.
    async fn killed(&mut self, kills: u32) -> Result<()> {
        let mut agent = self.scene.host.start()?;
        self.rotator.serve(self.written, GoesOn::AtOnce)?;
        for kill in 0..kills {
            let while_down = if kill % 2 == 0 { WHILE_DOWN } else { 0 };
            for _ in while_down..WITH_A_KILL {
                self.rotate().await?;
            }
            let lines = self.random.u64(0..LINES.1);
            self.rotator.grown(lines).await?;
            self.ends.push(crash::kill(&self.scene.host, &self.scene.faults, agent).await?);
            for _ in 0..while_down {
                self.rotate().await?;
            }
            agent = self.scene.host.start()?;
        }
        self.serve_out().await?;
        let must = if self.way.destroys == Destroys::Nothing { self.all() } else { self.held()? };
        self.arrived(&must).await?;
        agent.stop().await
    }

    /// Closes the books.
    async fn tell(&self, what: &str, loss: Loss) -> Result<Told> {
        let (cost, within) = self.scene.faults.look(|requests| crash::repeats(requests, &self.ends));
        let bounds: Vec<u64> = self.ends.iter().map(|end| end.bound).collect();
        let is_within = cost.iter().zip(&bounds).all(|(repeats, bound)| repeats <= bound);
        ensure!(
            within == 0 && is_within,
            "{within} repeats without an end of the agent; those of each end are {cost:?}, {bounds:?} were published",
        );
        let (all, held, delivered) = (self.all(), self.held()?, self.delivered().await?);
        let destroyed: Vec<u64> = all.difference(&held).copied().collect();
        Ok(Told {
            what: what.to_owned(),
            rotations: self.rotator.rotations,
            kills: self.ends.len() - 1,
            written: all.len(),
            destroyed: destroyed.len(),
            recovered: destroyed.iter().filter(|number| delivered.contains(number)).count(),
            loss,
            repeated: cost.iter().sum(),
        })
    }

    /// Lets the log grow, and rotates it.
    async fn rotate(&mut self) -> Result<()> {
        let lines = self.random.u64(LINES.0..LINES.1);
        self.rotator.grown(lines).await?;
        self.rotator.rotate().await
    }

    /// Lets the log grow for the last time, and ends the server.
    async fn serve_out(&mut self) -> Result<()> {
        self.rotator.grown(LINES.0).await?;
        self.written = self.rotator.stop().await?;
        Ok(())
    }

    /// The numbers of all lines written.
    fn all(&self) -> BTreeSet<u64> {
        (0..self.written).collect()
    }

    /// The numbers of the lines that are in some file.
    fn held(&self) -> Result<BTreeSet<u64>> {
        let lines = logrotate::lines(&self.scene.host.log(""))?;
        // What a truncation has cut in the middle is no line of ours.
        Ok(lines.iter().filter_map(|line| number(line)).collect())
    }

    /// Waits until the lines with these numbers have arrived.
    async fn arrived(&self, numbers: &BTreeSet<u64>) -> Result<()> {
        let lines: Vec<Vec<u8>> = numbers.iter().copied().map(writer::line).collect();
        self.scene.arrived(lines.iter().map(Vec::as_slice)).await?;
        Ok(())
    }

    /// The numbers of the lines that were delivered.
    async fn delivered(&self) -> Result<BTreeSet<u64>> {
        let mut payloads = self.scene.payloads().await?;
        // What is compressed in the middle of a line ends with the half of one.
        payloads.retain(|payload| self.way.destroys == Destroys::Nothing || payload.ends_with(b"\n"));
        let number = |payload: &Vec<u8>| {
            number(payload).with_context(|| format!("nobody wrote `{}`", payload.escape_ascii()))
        };
        payloads.iter().map(number).collect()
    }
}

/// The number of a line, if it is one of ours from beginning to end.
fn number(line: &[u8]) -> Option<u64> {
    writer::number(line).filter(|number| writer::line(*number) == line)
}

/// How often the log of one run is rotated.
fn rotations() -> Result<u32> {
    match env::var("KINETAIL_ROTATIONS") {
        Ok(text) => text.parse().context("`KINETAIL_ROTATIONS` is not a number"),
        Err(_) => Ok(ROTATIONS),
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { what, rotations, kills, written, destroyed, recovered, loss, repeated } = self;
        write!(
            f,
            "{what}: {rotations} rotations, {kills} kills, {written} lines, {repeated} repeated after kills"
        )?;
        if *destroyed > 0 {
            let Loss { reported, real } = loss;
            write!(
                f,
                "; {destroyed} destroyed by the tool, {recovered} of them delivered; \
                 {reported} bytes reported lost of {real} without a kill"
            )?;
        }
        Ok(())
    }
}
