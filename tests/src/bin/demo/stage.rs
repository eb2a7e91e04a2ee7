//! What runs: the cloud, a host whose agent sends there through the proxy, and the writer of its log.
//!
//! The agent's counters begin at 0 with each of its runs. What a run has settled is kept when it is killed; what it had
//! read and not settled is read again by the next one, so it does not count as read.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use anyhow::{Context, Result};
use kinetail_tests::agent::Agent;
use kinetail_tests::binary;
use kinetail_tests::cloud::{Cloud, Settings};
use kinetail_tests::crash;
use kinetail_tests::faults::{Fate, Faults};
use kinetail_tests::host::Host;
use kinetail_tests::page::AgentData;
use kinetail_tests::writer::{Load, Writer};
use serde_json::json;

use crate::replay::Replay;

/// The length of a window: five minutes in the template, less here so that several are seen.
pub(crate) const WINDOW: Duration = Duration::from_secs(5);
/// The name of the log.
pub(crate) const LOG: &str = "access_log";

/// Lines written in a second.
const RATE: u32 = 4000;
/// Shards of the input stream.
const SHARDS: i32 = 2;

/// All that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The streams, the functions and CloudWatch.
    pub(crate) cloud: Cloud,
    /// What the agent takes for the input stream.
    pub(crate) faults: Faults,
    /// The machine that logs.
    pub(crate) host: Host,
    agent: RefCell<Option<Agent>>,
    ended: Cell<Ended>,
    load: RefCell<Option<Load>>,
    over: Cell<Over>,
}

/// What the runs that have ended had settled and used.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    acked: u64,
    dropped: u64,
    cpu: Duration,
}

/// What the writer had written in the end.
#[derive(Clone, Copy, Debug, Default)]
struct Over {
    lines: u64,
    /// The length of the log then. What is behind that, somebody else has written.
    log_bytes: u64,
}

impl Stage {
    /// Starts all of it.
    pub(crate) async fn start(replay: Replay, reference: &str) -> Result<Stage> {
        let settings = Settings { shards: SHARDS, ..Settings::new(WINDOW, reference) };
        let cloud = Cloud::start(binary::bootstrap()?, settings).await?;
        let faults = Faults::start(cloud.endpoint.address())?;
        let option =
            json!({ "optionName": "LOGTOJSON", "logFormat": replay.format(), "jsonTypes": "native" });
        let keys = json!({ "dataProcessingOptions": [option], "addPosition": true });
        let host = Host::new(&faults.url())?.with_flow(&format!("{LOG}*"), keys);
        let agent = RefCell::new(Some(host.start()?));
        let writer = Writer::of(host.log(LOG), move |number| replay.line(number))?;
        let load = RefCell::new(Some(Load::start(writer, RATE)));
        Ok(Stage { cloud, faults, host, agent, ended: Cell::default(), load, over: Cell::default() })
    }

    /// Rotates the log to this name.
    pub(crate) fn rotate(&self, name: &str) -> Result<()> {
        self.load.borrow().as_ref().context("nobody writes")?.with(|writer| writer.rotate(name))
    }

    /// Kills the agent, starts it again, and says how many records it had published that a crash would repeat.
    pub(crate) async fn crash(&self) -> Result<u64> {
        let cpu = self.cpu()?;
        let agent = self.agent.take().context("no agent runs")?;
        let bound = crash::kill_at_published_bound(&self.host, &self.faults, agent).await?;
        let metrics = self.host.metrics()?.context("the agent has published nothing")?;
        let ended = self.ended.get();
        self.ended.set(Ended {
            acked: ended.acked + metrics.sum("kinetail_records_acked_total")?,
            dropped: ended.dropped + metrics.left_behind()?,
            cpu,
        });
        // They are entered; until the next run publishes its own there are none.
        fs::remove_file(self.host.state("metrics.prom"))?;
        self.agent.replace(Some(self.host.start()?));
        Ok(bound)
    }

    /// Ends the writing; what was written comes back.
    pub(crate) async fn finish(&self) -> Result<Writer> {
        let load = self.load.borrow().as_ref().map(|load| load.with(|writer| writer.count()));
        self.over.set(Over { lines: load.context("nobody writes")?, log_bytes: u64::MAX });
        let load = self.load.take().context("nobody writes")?;
        let writer = load.stop().await?;
        let log_bytes = fs::metadata(self.host.log(LOG))?.len();
        self.over.set(Over { lines: writer.count(), log_bytes });
        Ok(writer)
    }

    /// Stops the agent as the service manager would.
    pub(crate) async fn stop(&self) -> Result<()> {
        let agent = self.agent.take().context("no agent runs")?;
        agent.stop().await
    }

    /// Records of which the agent was told that the stream has them, and the requests that it took.
    pub(crate) fn accepted(&self) -> (u64, usize) {
        self.faults.look(|requests| {
            let entries = requests.iter().flat_map(|request| &request.entries);
            (entries.filter(|entry| entry.fate == Fate::Accepted).count() as u64, requests.len())
        })
    }

    /// What the agent says of itself, all its runs together.
    pub(crate) fn agent(&self) -> Result<AgentData> {
        let Ended { acked, dropped, .. } = self.ended.get();
        let mut data = AgentData {
            written: self.written()?,
            read: acked + dropped,
            acked,
            dropped,
            ..AgentData::default()
        };
        if let Some(metrics) = self.host.metrics()? {
            data.read += metrics.sum("kinetail_lines_read_total")?;
            data.acked += metrics.sum("kinetail_records_acked_total")?;
            data.dropped += metrics.left_behind()?;
            data.unacked = metrics.sum("kinetail_unacked_records")?;
            data.lag_bytes = metrics.sum("kinetail_lag_bytes")?;
            data.oldest = seconds(metrics.number("kinetail_oldest_undelivered_seconds")?);
        }
        if let Some(agent) = &*self.agent.borrow() {
            data.memory_mib = agent.usage()?.memory.resident;
        }
        data.cpu = self.cpu()?;
        Ok(data)
    }

    /// Whether this run of the agent says that nothing is left to read or to send.
    pub(crate) fn is_idle(&self) -> Result<bool> {
        let Some(metrics) = self.host.metrics()? else { return Ok(false) };
        Ok(metrics.sum("kinetail_unacked_records")? + metrics.sum("kinetail_lag_bytes")? == 0)
    }

    /// The CPU time of all runs so far.
    fn cpu(&self) -> Result<Duration> {
        let running = self.agent.borrow().as_ref().map(Agent::usage).transpose()?;
        Ok(self.ended.get().cpu + running.map_or(Duration::ZERO, |usage| seconds(usage.cpu_seconds)))
    }

    /// Lines written so far: by the writer, and behind its end by anybody else.
    fn written(&self) -> Result<u64> {
        if let Some(load) = &*self.load.borrow() {
            return Ok(load.with(|writer| writer.count()));
        }
        let Over { lines, log_bytes } = self.over.get();
        let mut log = File::open(self.host.log(LOG)).context("failed to open the log")?;
        log.seek(SeekFrom::Start(log_bytes.min(log.metadata()?.len())))?;
        let mut added = Vec::new();
        log.read_to_end(&mut added)?;
        Ok(lines + added.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>())
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
