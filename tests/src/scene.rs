//! One stream, the proxy before it and one host: what most tests begin with, and the balance that they end with.

use std::fs;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, ensure};

use crate::agent::Agent;
use crate::books::{Balance, Books};
use crate::endpoint::{Endpoint, Throughput};
use crate::faults::{self, Faults};
use crate::host::Host;
use crate::metrics::Metrics;
use crate::wait;

/// The name of the stream.
pub const STREAM: &str = "s";

/// A stream with a proxy before it, and a host whose agent sends there.
#[derive(Debug)]
pub struct Scene {
    /// The emulator.
    pub endpoint: Endpoint,
    /// What the agent takes for it.
    pub faults: Faults,
    /// The machine.
    pub host: Host,
}

impl Scene {
    /// A scene with an empty stream of so many shards.
    ///
    /// # Errors
    /// If it cannot be set.
    pub async fn new(throughput: Throughput, shards: i32) -> Result<Scene> {
        let endpoint = Endpoint::start(throughput)?;
        endpoint.create_stream(STREAM, shards).await?;
        let faults = Faults::start(endpoint.address())?;
        let host = Host::new(&faults.url())?;
        Ok(Scene { endpoint, faults, host })
    }

    /// The same with `change` done to the host, most often to give it flows.
    #[must_use]
    pub fn on(mut self, change: impl FnOnce(Host) -> Host) -> Scene {
        self.host = change(self.host);
        self
    }

    /// The payloads in the stream, shard by shard.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn payloads(&self) -> Result<Vec<Vec<u8>>> {
        Ok(self.endpoint.read(STREAM).await?.into_iter().map(|record| record.data).collect())
    }

    /// How `written` stands against what is in the stream.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub async fn balance<'a>(&self, written: impl IntoIterator<Item = &'a [u8]>) -> Result<Balance> {
        let delivered = self.payloads().await?;
        Ok(Books::of(written).against(delivered.iter().map(Vec::as_slice)).balance())
    }

    /// Waits until everything written has arrived, at least once; for agents that died on the way.
    ///
    /// # Errors
    /// If something is missing after all, or came that nobody wrote.
    pub async fn delivered<'a>(&self, written: impl IntoIterator<Item = &'a [u8]>) -> Result<Balance> {
        let balance = self.arrived(written).await?;
        balance.complete()?;
        Ok(balance)
    }

    /// The same where more may have been written than `lines`, and have arrived.
    ///
    /// # Errors
    /// If one of them is missing after all.
    pub async fn arrived<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Balance> {
        let lines: Vec<&[u8]> = lines.into_iter().collect();
        let since = SystemTime::now();
        let mut last = None;
        let arrived = wait::until("every line has arrived", 2 * wait::LONG, async || {
            // The stream is read only when the agent says that nothing is left to do: it is costly.
            if !self.is_idle(since)? {
                return Ok(None);
            }
            let balance = self.balance(lines.iter().copied()).await?;
            let arrived = balance.missing == 0;
            last = Some(balance.clone());
            Ok(arrived.then_some(balance))
        });
        arrived.await.map_err(|error| match last {
            Some(balance) => anyhow!("{error:#}: {balance}\n{}", self.host.agent_log()),
            None => anyhow!("{error:#}; the agent never came to rest\n{}", self.host.agent_log()),
        })
    }

    /// Whether the agent has published since then that nothing is unread or unacked.
    fn is_idle(&self, since: SystemTime) -> Result<bool> {
        let Some(metrics) = self.host.metrics()? else { return Ok(false) };
        // Published once and not changed any more, or published just now.
        let published = fs::metadata(self.host.state("metrics.prom"))?.modified()?;
        let is_recent = published >= since || since.elapsed()? >= 2 * PUBLISHED_EVERY;
        let left = metrics.sum("kinetail_unacked_records")? + metrics.sum("kinetail_lag_bytes")?;
        Ok(is_recent && left == 0)
    }

    /// The end of every test in which nothing went wrong: the agent has read what was written and the lines that it
    /// had to leave behind, each record has arrived exactly once, all books agree, and the agent stops in order.
    ///
    /// # Errors
    /// If any of that is not so.
    pub async fn delivered_exactly<'a>(
        &self,
        agent: Agent,
        written: impl IntoIterator<Item = &'a [u8]>,
        left_behind: u64,
    ) -> Result<Metrics> {
        let written: Vec<&[u8]> = written.into_iter().collect();
        let count = written.len() as u64;
        let metrics = self.host.settled(count + left_behind).await?;
        let balance = self.balance(written).await?;
        balance.exact().with_context(|| self.host.agent_log())?;
        ensure!(metrics.sum("kinetail_records_acked_total")? == count, "acked is not what was delivered");
        ensure!(metrics.left_behind()? == left_behind, "left behind is not what had to be");
        self.offered_once()?;
        agent.stop().await?;
        Ok(metrics)
    }

    /// No entry was offered again after the agent had been told that the stream has it, and each that it was told
    /// nothing about is counted as possibly repeated. Contents must be unique.
    ///
    /// # Errors
    /// If not.
    pub fn offered_once(&self) -> Result<()> {
        let (again, unanswered) = self.faults.look(|requests| {
            let again = faults::offered_after_acceptance(requests);
            let example = again.first().map(|data| data.escape_ascii().to_string());
            (example, faults::unanswered(requests))
        });
        ensure!(again.is_none(), "offered again after it was accepted: {again:?}");
        let metrics = self.host.metrics()?.context("nothing is published")?;
        let counted = metrics.sum("kinetail_records_possibly_repeated_total")?;
        ensure!(unanswered <= counted, "{unanswered} entries had no answer, {counted} are counted");
        Ok(())
    }
}

/// How often the agent publishes, while anything changes.
const PUBLISHED_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
