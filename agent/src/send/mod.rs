//! Step 5: batches to the stream.
//!
//! [`Sender`] offers a batch, settles what the stream said of each record, and offers the rest again, until nothing
//! is left: there is a longest wait and no last attempt. (G1) Only what the stream refuses as invalid, alone in a
//! request and again after it took others, is given back as [`Refused`]. It does not know files: a batch carries its spans,
//! and gives them back as [`Acked`] when all its records are dealt with.

mod access;
mod arn;
mod aws;
mod connections;
mod health;
mod kinesis;
mod pace;
mod proxy;
mod settle;
mod stream;
mod wallet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{error, info, warn};

pub use access::{Access, Keys, Patience, Role, UserAgent};
pub use arn::StreamArn;
pub use aws::{Aws, AwsError};
pub use health::{Health, Trouble};
pub use kinesis::Kinesis;
pub use pace::{Ceilings, Waits, WaitsError};
pub use proxy::{Proxy, ProxyError};
#[cfg(test)]
pub(crate) use settle::tests::acked;
pub use settle::{Acked, Answer, AnswerError, again, read_answer};
pub use stream::{Fault, Outcome, Remedy, Stream};

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
    /// Records that the stream will never take, in the order of the batch. They still count as unacked.
    pub refused: Vec<Refused>,
}

/// A record that the stream will never take.
#[derive(Debug)]
pub struct Refused {
    /// Its place in the batch.
    pub index: usize,
    /// Where its line begins, if it is of a file.
    pub origin: Option<(FileId, Offset)>,
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
        Sender { stream, name, waits, metrics, calls, taken: AtomicU64::new(0), health }
    }

    /// Offers `batch` until each of its records is taken or refused for good. Ends only with that.
    pub async fn deliver(&self, batch: Batch) -> Delivered {
        let mut refused = Vec::new();
        let mut ceilings = self.waits.ceilings();
        let mut groups = vec![(0..batch.records()).collect::<Vec<usize>>()];
        // Records that were refused as invalid, alone, and how many others the stream had taken then.
        let mut suspects = BTreeMap::new();
        while let Some(mut left) = groups.pop() {
            while !left.is_empty() {
                self.metrics.add(Metric::RequestsSent, 1);
                self.calls.note_offer(left.len() as u64);
                let wait = match self.stream.offer(&batch, &left).await {
                    Ok(answer) => {
                        left = self.settle(&batch, left, &answer);
                        ceilings.wait(fastrand::f64())
                    }
                    Err(fault) => {
                        self.note_fault(&fault, left.len());
                        match fault.remedy {
                            Remedy::Again => ceilings.wait(fastrand::f64()),
                            Remedy::Act => self.long_wait(),
                            Remedy::Split if left.len() > 1 => {
                                groups.push(left.split_off(left.len() / 2));
                                continue;
                            }
                            Remedy::Split => {
                                let Some(index) = left.first().copied() else { break };
                                let taken = self.taken.load(Ordering::Relaxed);
                                match suspects.insert(index, taken) {
                                    Some(before) if taken > before => {
                                        refused.push(self.refuse(&batch, index, &fault));
                                        break;
                                    }
                                    // It may be the stream that takes nothing, and not the record's fault.
                                    Some(_) => self.long_wait(),
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
                if !left.is_empty() {
                    tokio::time::sleep(wait).await;
                }
            }
        }
        refused.sort_by_key(|refused| refused.index);
        Delivered { acked: settle::settled(&batch), refused }
    }

    /// A wait for what does not mend itself soon; of two agents not the same, so that they do not come back together.
    fn long_wait(&self) -> Duration {
        self.waits.longest().mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Counts what was taken, and gives what is left.
    fn settle(&self, batch: &Batch, offered: Vec<usize>, answer: &Answer) -> Vec<usize> {
        let left = again(&offered, answer);
        let taken = offered.len() - left.len();
        let bytes =
            |indices: &[usize]| indices.iter().map(|index| batch.data(*index).len() as u64).sum::<u64>();
        let bytes = bytes(&offered) - bytes(&left);
        self.metrics.add(Metric::RecordsAcked, taken as u64);
        self.metrics.add(Metric::BytesSent, bytes);
        self.calls.note_answer(taken as u64, bytes, left.len() as u64);
        self.metrics.subtract(Metric::UnackedRecords, taken as u64);
        self.metrics.add(Metric::RecordsRefused, left.len() as u64);
        self.taken.fetch_add(taken as u64, Ordering::Relaxed);
        match answer {
            Answer::Accepted => self.note_well(),
            Answer::PerRecord(verdicts) => self.note_refusals(verdicts),
        }
        left
    }

    /// The stream will never take the record at `index`.
    fn refuse(&self, batch: &Batch, index: usize, fault: &Fault) -> Refused {
        error!(stream = %self.name, reason = Cause::Refused.label(), error = %Chain(fault),
               "the stream refuses a record as invalid; keeps it in the quarantine");
        let (origin, data) = (batch.origin(index), batch.data(index).to_vec());
        Refused { index, origin, data, why: Chain(fault).to_string() }
    }

    fn note_fault(&self, fault: &Fault, offered: usize) {
        self.metrics.add(Metric::RequestsFailed, 1);
        self.calls.note_failure();
        if fault.outcome == Outcome::Unknown {
            self.metrics.add(Metric::RecordsPossiblyRepeated, offered as u64);
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

    fn note_refusals(&self, verdicts: &[Option<String>]) {
        self.metrics.set(Metric::FailingFlows, 0);
        let mut codes = BTreeMap::new();
        for code in verdicts.iter().flatten() {
            *codes.entry(code.as_str()).or_insert(0_usize) += 1;
        }
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

#[cfg(test)]
mod tests;
