//! The sudden end of an agent at a moment for which its published bound can be checked exactly.
//!
//! What the agent publishes is up to a second old, and in that second it goes on sending. So the stream is made to take
//! some records and to say nothing of it, then nothing is taken any more: these records are the ones that will come
//! again, and what is published after that must cover them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;

use crate::agent::Agent;
use crate::faults::{Faults, Mode, Request};
use crate::host::Host;
use crate::wait;

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
