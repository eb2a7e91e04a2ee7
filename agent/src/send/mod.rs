//! Step 5: batches to the stream.
//!
//! [`Sender`] offers a batch, settles what the stream said of each record, and offers the rest again, until nothing
//! is left: there is a longest wait and no last attempt. (G1) Only what the stream refuses as invalid, alone in a
//! request and again after it took others, is given back as [`Refused`]. It does not know files: a batch carries its spans,
//! and gives them back as [`Acked`] when all its records are dealt with.

mod access;
mod arn;
mod aws;
mod clock;
mod connections;
mod description;
mod destination;
mod exchange;
mod firehose;
mod health;
mod kinesis;
mod pace;
mod proxy;
mod settle;
mod stream;
mod waits;
mod wallet;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info, warn};

pub use access::{Access, Keys, Patience, Role, UserAgent};
pub use arn::StreamArn;
pub use aws::{Aws, AwsError};
pub use description::{Description, Distribution};
pub use destination::{Connected, Destination};
pub use health::{Health, Trouble};
pub use kinesis::Aggregation;
pub use proxy::{Proxy, ProxyError};
#[cfg(test)]
pub(crate) use settle::tests::acked;
pub use settle::{Acked, Answer, AnswerError, Form, again, read_answer, throttled};
use stream::is_throttling;
pub use stream::{Fault, Outcome, Remedy, Stream};
pub use waits::{Ceilings, Waits, WaitsError};

use pace::{Load, Pace};

use crate::batch::Batch;
use crate::calls::Calls;
use crate::chain::Chain;
use crate::loss::Cause;
use crate::metrics::{Metric, Metrics};
use crate::position::{FileId, Offset};

/// What became of a batch.
#[derive(Debug)]
pub struct Delivered {
    /// Its bytes, all of which are dealt with once the refused are.
    pub acked: Vec<Acked>,
    /// Entries that the stream will never take, in the order of the batch. Their records still count as unacked.
    pub refused: Vec<Refused>,
}

/// An entry that the stream will never take.
#[derive(Debug)]
pub struct Refused {
    /// Its place in the batch.
    pub index: usize,
    /// Where its first line begins, if it is of a file.
    pub origin: Option<(FileId, Offset)>,
    /// How many records it holds.
    pub records: u64,
    /// What was offered.
    pub data: Vec<u8>,
    /// What the stream said.
    pub why: String,
}

/// Brings the batches of one flow to its stream.
#[derive(Debug)]
pub struct Sender<S> {
    stream: S,
    /// The stream's name, for the log.
    name: String,
    waits: Waits,
    metrics: Arc<Metrics>,
    calls: Arc<Calls>,
    /// How many records the stream has taken. If that grows while it refuses one as invalid, the fault is the record's
    /// and not the stream's.
    taken: AtomicU64,
    pace: Mutex<Pace>,
    health: Arc<Health>,
}

impl<S: Stream> Sender<S> {
    /// A sender to `stream`, which the log calls `name`.
    #[must_use]
    pub fn new(
        stream: S,
        name: String,
        waits: Waits,
        metrics: Arc<Metrics>,
        calls: Arc<Calls>,
        health: Arc<Health>,
    ) -> Sender<S> {
        Sender {
            stream,
            name,
            waits,
            metrics,
            calls,
            taken: AtomicU64::new(0),
            pace: Mutex::default(),
            health,
        }
    }

    /// Offers `batch` until each of its entries is taken or refused for good. Ends only with that.
    pub async fn deliver(&self, batch: Batch) -> Delivered {
        let mut refused = Vec::new();
        let mut ceilings = self.waits.ceilings();
        let mut groups = vec![(0..batch.entries()).collect::<Vec<usize>>()];
        // Entries that were refused as invalid, alone, and how many records of others the stream had taken then.
        let mut suspects = BTreeMap::new();
        while let Some(mut left) = groups.pop() {
            while !left.is_empty() {
                let rest = self.wait_for_a_place(&batch, &mut left).await;
                self.metrics.add(Metric::RequestsSent, 1);
                self.calls.note_offer(records(&batch, &left));
                let wait = match self.stream.offer(&batch, &left).await {
                    Ok(answer) => {
                        let offered = left.len();
                        left = self.settle(&batch, left, &answer);
                        if left.len() < offered {
                            // The pace rules how much is offered. This rules how often what is refused whole.
                            ceilings = self.waits.ceilings();
                            Duration::ZERO
                        } else {
                            ceilings.wait(fastrand::f64())
                        }
                    }
                    Err(fault) => {
                        self.note_fault(&fault, &batch, &left);
                        match fault.remedy {
                            Remedy::Again => ceilings.wait(fastrand::f64()),
                            Remedy::Act => self.long_wait(),
                            Remedy::Split if left.len() > 1 => {
                                groups.push(rest);
                                groups.push(left.split_off(left.len() / 2));
                                continue;
                            }
                            Remedy::Split => {
                                let Some(index) = left.first().copied() else { break };
                                groups.push(rest);
                                let taken = self.taken.load(Ordering::Relaxed);
                                match suspects.insert(index, taken) {
                                    Some(before) if taken > before => {
                                        refused.push(self.refuse(&batch, index, &fault));
                                        break;
                                    }
                                    // It may be the stream that takes nothing, and not the record's fault.
                                    Some(_) => {
                                        self.pause(self.long_wait()).await;
                                        continue;
                                    }
                                    // First all others: if the stream takes one of them, it is the record's fault.
                                    None => {
                                        groups.insert(0, left);
                                        break;
                                    }
                                }
                            }
                        }
                    }
                };
                left.extend(rest);
                if !left.is_empty() {
                    self.pause(wait).await;
                }
            }
        }
        refused.sort_by_key(|refused| refused.index);
        Delivered { acked: settle::settled(&batch), refused }
    }

    /// Waits until entries of `left` may be offered; leaves in it those that may, and gives the others.
    async fn wait_for_a_place(&self, batch: &Batch, left: &mut Vec<usize>) -> Vec<usize> {
        let (rest, wait) = {
            let mut pace = self.pace();
            let count = pace.portion(left.iter().map(|index| load(batch, *index)));
            let rest = left.split_off(count.min(left.len()));
            (rest, pace.reserve(loads(batch, left), Instant::now()))
        };
        tokio::time::sleep(wait).await;
        rest
    }

    async fn pause(&self, wait: Duration) {
        self.health.note_wait(wait);
        tokio::time::sleep(wait).await;
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the pace learn what became of what was offered.
    fn keep_pace(&self, taken: Load, refused: Load) {
        let mut pace = self.pace();
        pace.note(taken, refused, Instant::now());
        let limit = pace.rate().unwrap_or(0);
        drop(pace);
        self.metrics.set(Metric::OfferLimit, limit);
    }

    /// A wait for what does not mend itself soon; of two agents not the same, so that they do not come back together.
    fn long_wait(&self) -> Duration {
        self.waits.longest().mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Counts what was taken, and gives what is left.
    fn settle(&self, batch: &Batch, offered: Vec<usize>, answer: &Answer) -> Vec<usize> {
        let left = again(&offered, answer);
        let bytes =
            |indices: &[usize]| indices.iter().map(|index| batch.data(*index).len() as u64).sum::<u64>();
        let bytes = bytes(&offered) - bytes(&left);
        let refused = records(batch, &left);
        let taken = records(batch, &offered) - refused;
        self.metrics.add(Metric::RecordsAcked, taken);
        self.metrics.add(Metric::EntriesAcked, (offered.len() - left.len()) as u64);
        self.metrics.add(Metric::BytesSent, bytes);
        self.calls.note_answer(taken, bytes, refused);
        self.metrics.subtract(Metric::UnackedRecords, taken);
        self.metrics.add(Metric::RecordsRefused, refused);
        self.taken.fetch_add(taken, Ordering::Relaxed);
        let throttled = throttled(&offered, answer);
        self.keep_pace(loads(batch, &offered).less(loads(batch, &left)), loads(batch, &throttled));
        match answer {
            Answer::Accepted => self.note_well(),
            Answer::PerRecord(verdicts) => self.note_refusals(batch, &offered, verdicts),
        }
        left
    }

    /// The stream will never take the entry at `index`.
    fn refuse(&self, batch: &Batch, index: usize, fault: &Fault) -> Refused {
        error!(stream = %self.name, reason = Cause::Refused.label(), error = %Chain(fault),
               "the stream refuses an entry as invalid; keeps it in the quarantine");
        let (origin, data) = (batch.origin(index), batch.data(index).to_vec());
        let records = batch.records(index) as u64;
        Refused { index, origin, records, data, why: Chain(fault).to_string() }
    }

    fn note_fault(&self, fault: &Fault, batch: &Batch, offered: &[usize]) {
        self.metrics.add(Metric::RequestsFailed, 1);
        self.calls.note_failure(&fault.code);
        if is_throttling(&fault.code) {
            self.keep_pace(Load::default(), loads(batch, offered));
        }
        if fault.outcome == Outcome::Unknown {
            self.metrics.add(Metric::RecordsPossiblyRepeated, records(batch, offered));
        }
        if fault.remedy == Remedy::Act {
            self.metrics.set(Metric::FailingFlows, 1);
        }
        if !self.health.note(&fault.code, Chain(fault).to_string()) {
            return;
        }
        match fault.remedy {
            Remedy::Again | Remedy::Split => {
                warn!(stream = %self.name, error = %Chain(fault), "request failed; offers its records again");
            }
            Remedy::Act => {
                error!(stream = %self.name, error = %Chain(fault),
                       "the stream can't be written to until someone acts; keeps trying, and the files keep the lines");
            }
        }
    }

    fn note_refusals(&self, batch: &Batch, offered: &[usize], verdicts: &[Option<String>]) {
        self.metrics.set(Metric::FailingFlows, 0);
        let mut codes = BTreeMap::new();
        for (index, verdict) in offered.iter().zip(verdicts) {
            if let Some(code) = verdict {
                *codes.entry(code.as_str()).or_insert(0) += batch.records(*index) as u64;
            }
        }
        codes.iter().for_each(|(code, records)| self.calls.note_refusal(code, *records));
        if let Some((code, count)) = codes.into_iter().max_by_key(|(_, count)| *count)
            && self.health.note(code, format!("it refuses records: {code}"))
        {
            warn!(stream = %self.name, reason = code, lines = count, "stream refuses records; offers them again");
        }
    }

    fn note_well(&self) {
        self.metrics.set(Metric::FailingFlows, 0);
        if let Some(known) = self.health.note_well() {
            info!(stream = %self.name, reason = ?known.codes, wait = ?known.last - known.began,
                  "trouble with stream ended");
        }
    }
}

/// What the entry at `index` demands of a shard.
fn load(batch: &Batch, index: usize) -> Load {
    Load::of(batch.data(index).len() + batch.key_len(index))
}

fn loads(batch: &Batch, indices: &[usize]) -> Load {
    indices.iter().map(|index| load(batch, *index)).sum()
}

/// How many records the entries of `batch` at `indices` hold.
fn records(batch: &Batch, indices: &[usize]) -> u64 {
    indices.iter().map(|index| batch.records(*index) as u64).sum()
}

#[cfg(test)]
mod tests;
