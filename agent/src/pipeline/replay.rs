//! Lines of the quarantine that are to be sent after all.
//!
//! An operator asks for it round by round, so that nothing of it is remembered between two questions: each takes some lines
//! out, makes records of those that match by now, and has them go with the others of their flow. What is in the stream is
//! removed; everything else stays where it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::joint::Joint;
use super::reader::Parcel;
use super::record_maker::RecordMaker;
use crate::batch::{self, Added, Batch, Batcher, Closed, Order, Packing};
use crate::budget::Charge;
use crate::loss::Cause;
use crate::metrics::{Metric, Metrics};
use crate::parse::Record;
use crate::quarantine::Entry;
use crate::split::Line;

/// A batch of lines that were in the quarantine.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) batch: Batch,
    /// The number of the entry that each of its records was.
    pub(super) numbers: Vec<u64>,
    /// Who waits for what becomes of them.
    pub(super) answer: oneshot::Sender<Verdict>,
    pub(super) charge: Charge,
}

/// What became of a batch of lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    /// How many are in the stream.
    pub(super) sent: u64,
    /// How many it refused, which stay.
    pub(super) refused: u64,
}

/// What a flow needs to send such lines.
#[derive(Debug)]
pub(super) struct Replayer {
    maker: RecordMaker,
    batch: batch::Settings,
    /// To its sender. Not held open by us: that ends with the reader.
    parcels: mpsc::WeakSender<Parcel>,
}

/// Entries of one flow, sorted.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Records of those that match, with the number of each; and how many lines they are.
    batches: Vec<(Batch, Vec<u64>)>,
    lines: BTreeMap<u64, u64>,
    /// Those that do not.
    pub(super) unmatched: Vec<u64>,
}

impl Replayer {
    /// Sends what belongs to a flow. Each record is an entry of its own, as of each is told what became of it, and as one
    /// that was refused may be a pack already.
    pub(super) fn new(
        maker: RecordMaker,
        batch: batch::Settings,
        parcels: mpsc::WeakSender<Parcel>,
    ) -> Replayer {
        Replayer {
            maker,
            batch: batch::Settings { packing: Packing::None, order: Order::Free, ..batch },
            parcels,
        }
    }

    /// Makes records of those entries that match by now.
    pub(super) fn sort(&self, entries: &[Entry]) -> Sorted {
        let (now, mut maker) = (Instant::now(), self.maker.clone());
        let mut batcher = Batcher::new(self.batch.clone(), fastrand::Rng::new(), &Arc::default());
        let (mut sorted, mut numbers) = (Sorted::default(), Vec::new());
        for Entry { number, stray, .. } in entries {
            let record = match stray.cause {
                // It is a record already.
                Cause::Refused => Record::raw(&stray.bytes, batcher.buffer()),
                Cause::Unmatched => {
                    let mut writer = maker.writer(stray.mark);
                    let line = Line::alone(&stray.bytes);
                    let Ok(record) = writer.write(&line, stray.offset, batcher.buffer()) else {
                        sorted.unmatched.push(*number);
                        continue;
                    };
                    record
                }
            };
            if batcher.add(&record, stray.offset, now) == Added::Full {
                sorted.close(&mut batcher, &mut numbers, now);
                batcher.add(&record, stray.offset, now);
            }
            numbers.push(*number);
            sorted.lines.insert(*number, stray.lines);
        }
        sorted.close(&mut batcher, &mut numbers, now);
        sorted
    }

    /// Has the records of `sorted` go the way of all others; gives the entries that could not, and where to hear what
    /// becomes of how many others. Waits no longer than up to `deadline`.
    pub(super) async fn send(
        &self,
        sorted: Sorted,
        flow: &Joint,
        deadline: Instant,
    ) -> (Vec<u64>, Vec<(u64, oneshot::Receiver<Verdict>)>) {
        let (mut left, mut answers) = (Vec::new(), Vec::new());
        for (batch, numbers) in sorted.batches {
            let bytes: usize = (0..batch.entries()).map(|index| batch.data(index).len()).sum();
            // The reader may wait for memory, this thread may not.
            let charge = flow.budget.charge(bytes * 7 / 3, Duration::ZERO);
            let room = async { self.parcels.upgrade()?.reserve_owned().await.ok() };
            let room = tokio::time::timeout_at(deadline, room).await.ok().flatten();
            let (Some(charge), Some(room)) = (charge, room) else {
                left.extend(numbers);
                continue;
            };
            let lines = numbers.iter().filter_map(|number| sorted.lines.get(number)).sum();
            begin(&flow.metrics, numbers.len() as u64, lines);
            flow.on_the_way.add(batch.opened());
            let (answer, answered) = oneshot::channel();
            answers.push((numbers.len() as u64, answered));
            room.send(Parcel::Replay(Replay { batch, numbers, answer, charge }));
        }
        (left, answers)
    }
}

impl Sorted {
    fn close(&mut self, batcher: &mut Batcher, numbers: &mut Vec<u64>, now: Instant) {
        if let Closed::Batch(batch) = batcher.close(now) {
            self.batches.push((batch, std::mem::take(numbers)));
        }
    }
}

/// Counts records made of lines of the quarantine.
fn begin(metrics: &Metrics, records: u64, lines: u64) {
    metrics.add(Metric::UnackedRecords, records);
    metrics.add(Metric::RepeatableRecords, records);
    metrics.add(Metric::LinesReleased, lines);
    metrics.add(Metric::LinesJoined, lines.saturating_sub(records));
}

/// Counts what became of them.
pub(super) fn end(metrics: &Metrics, taken: u64, refused: u64) {
    metrics.subtract(Metric::UnackedRecords, refused);
    metrics.subtract(Metric::RepeatableRecords, taken + refused);
    metrics.add(Metric::LinesQuarantined(Cause::Refused), refused);
}
