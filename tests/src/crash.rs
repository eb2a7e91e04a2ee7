//! The end of an agent's life, and what it costs.
//!
//! A kill at any moment may cost what was published then, and what was taken since. At one moment that can be checked
//! exactly: what the agent publishes is up to a second old, and in that second it goes on sending. So the stream is made to take
//! some records and to say nothing of it, then nothing is taken any more: these records are the ones that will come
//! again, and what is published after that must cover them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::agent::Agent;
use crate::faults::{Faults, Mode, Request};
use crate::host::Host;
use crate::wait;

/// How long a checkpoint, or the metrics, may be in the making: what happened after they were drawn up and before the
/// file was written does not stand in them.
const IN_THE_MAKING: Duration = Duration::from_secs(1);

/// The end of one life of an agent.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The most records that may come again after it, by what the agent had published.
    pub bound: u64,
    /// From here on the next life speaks.
    pub next: SystemTime,
}

impl End {
    /// The end of an agent that has ended now and may cost `bound` records.
    #[must_use]
    pub fn now(bound: u64) -> End {
        End { bound, next: SystemTime::now() }
    }
}

/// Kills `agent` without warning.
///
/// # Errors
/// If it had ended before, or the metrics cannot be read.
pub async fn kill(host: &Host, faults: &Faults, agent: Agent) -> Result<End> {
    agent.kill()?;
    faults.quiet().await?;
    // Killed before it published, nothing is told.
    let told = drawn_up(&host.state("metrics.prom"));
    let published = host.metrics()?.map_or(Ok(0), |metrics| metrics.sum("kinetail_repeatable_records"))?;
    Ok(End::now(published + faults.look(|requests| taken_since(requests, told))))
}

/// The moment that a file of the agent's state tells of.
#[must_use]
pub fn drawn_up(path: &Path) -> SystemTime {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified());
    written.map_or(SystemTime::UNIX_EPOCH, |written| written - IN_THE_MAKING)
}

/// Records that the endpoint took from requests that came since then: what was published then cannot know of them.
fn taken_since(requests: &[Request], then: SystemTime) -> u64 {
    let entries =
        requests.iter().filter(|request| request.arrived >= then).flat_map(|request| &request.entries);
    entries.map(|entry| u64::from(entry.taken)).sum()
}

/// How many records of each life the endpoint took again: in a later one, which the end of the former has cost, or in
/// the same.
///
/// A record that comes for the third time is owed to the end between the second and the third.
#[must_use]
pub fn repeats(requests: &[Request], ends: &[End]) -> (Vec<u64>, u64) {
    let mut cost = vec![0; ends.len() + 1];
    let mut within = 0;
    let mut taken = BTreeMap::new();
    for request in requests {
        let life = ends.iter().take_while(|end| end.next <= request.arrived).count();
        for entry in request.entries.iter().filter(|entry| entry.taken) {
            match taken.insert(entry.data.as_slice(), life) {
                None => {}
                Some(before) if before == life => within += 1,
                Some(before) => cost.get_mut(before).into_iter().for_each(|cost| *cost += 1),
            }
        }
    }
    (cost, within)
}

/// Kills `agent` while the stream has records that it never heard of, and says how many it had published that a crash
/// would repeat. The proxy passes requests again afterwards.
///
/// # Errors
/// If the agent sends or publishes nothing, or had ended before.
pub async fn kill_at_published_bound(host: &Host, faults: &Faults, agent: Agent) -> Result<u64> {
    let before = faults.look(<[Request]>::len);
    faults.set(Mode::HoldAnswers);
    wait::until("records are taken", wait::LONG, async || {
        Ok(faults.look(|requests| requests.iter().skip(before).any(is_taken_in_silence)).then_some(()))
    })
    .await?;
    faults.set(Mode::Hold);
    // The first may have been counted before the hold and written after it.
    for _ in 0..2 {
        let before = written(host);
        wait::until(
            "metrics are published",
            wait::LONG,
            async || Ok((written(host) != before).then_some(())),
        )
        .await?;
    }
    let bound = host.until("metrics are there", wait::LONG, |_| Ok(true)).await?;
    agent.kill()?;
    faults.quiet().await?;
    faults.set(Mode::Pass);
    bound.sum("kinetail_repeatable_records")
}

fn is_taken_in_silence(request: &Request) -> bool {
    request.answered.is_none() && request.entries.iter().any(|entry| entry.taken)
}

/// Which writing of the metrics this is.
fn written(host: &Host) -> Option<(u64, i64, i64)> {
    let metadata = fs::metadata(host.state("metrics.prom")).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}
