//! Step 6: how far each file is safe, and when that is written down.
//!
//! [`Keeper`] takes [`Note`]s of what is on its way and what was settled; `ledger` makes safe positions of them,
//! `format` bytes, `store` a file that survives a power cut. It does not know how files are read, nor how records are
//! sent. (G2)

mod format;
mod ledger;
mod store;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info};

pub use format::{FormatError, State};
pub use ledger::Ledger;
pub use store::{Found, Holder, Store, StoreError, load};

use crate::chain::Chain;
use crate::loss::Dropped;
use crate::metrics::{Metric, Metrics};
use crate::position::{FileId, FlowId, Generation, Share};
use crate::send::Acked;

/// The least time between two checkpoints. What was acked in it is sent again after a crash.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a flow has to say of its files.
#[derive(Debug)]
pub enum Note {
    /// A file is new, or has another name, head or size.
    Known(Generation),
    /// A batch is on its way.
    Opened(Vec<Share>),
    /// A batch is dealt with.
    Acked(Vec<Acked>),
    /// Lines were left behind.
    Dropped(Vec<Dropped>),
    /// Nothing more will be read of a file.
    Ended(FileId),
    /// Somebody wants to know how far each file is safe.
    Asked(oneshot::Sender<Vec<Generation>>),
}

/// One flow's part of the checkpoint.
#[derive(Debug)]
struct Flow {
    id: FlowId,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    /// Records before safe offsets that are not on disk yet.
    unsaved_records: u64,
}

/// Keeps the checkpoint of all flows.
#[derive(Debug)]
pub struct Keeper {
    flows: Vec<Flow>,
    /// Flows of the last run that are not configured any more: their positions wait for them.
    parked: Vec<(FlowId, Vec<Generation>)>,
    generation: u64,
    changed: bool,
    next: Instant,
    failing: bool,
}

/// A checkpoint to write, and what it covers.
#[derive(Debug)]
pub struct Snapshot {
    /// What is to be on disk.
    pub state: State,
    records: Vec<u64>,
}

impl Keeper {
    /// Keeps the positions of `flows`; those of `parked`, of the last run, are written as they are.
    #[must_use]
    pub fn new(flows: Vec<(FlowId, Arc<Metrics>)>, parked: State, now: Instant) -> Keeper {
        let flow = |(id, metrics)| Flow { id, ledger: Ledger::default(), metrics, unsaved_records: 0 };
        let flows = flows.into_iter().map(flow).collect();
        let State { generation, flows: parked } = parked;
        Keeper { flows, parked, generation, changed: true, next: now, failing: false }
    }

    /// Takes a note of the flow at `index`.
    pub fn note(&mut self, index: usize, note: Note) {
        let Some(flow) = self.flows.get_mut(index) else { return };
        match note {
            Note::Known(generation) => flow.ledger.know(generation),
            Note::Opened(shares) => shares.into_iter().for_each(|share| flow.ledger.open(share)),
            Note::Acked(acked) => acked.into_iter().for_each(|acked| flow.ledger.ack(acked)),
            Note::Dropped(dropped) => dropped.into_iter().for_each(|dropped| flow.ledger.drop(dropped)),
            Note::Ended(file) => flow.ledger.end(file),
            Note::Asked(answer) => {
                // Who asked may be gone by now.
                answer.send(flow.ledger.files().cloned().collect()).ok();
                return;
            }
        }
        self.changed = true;
    }

    /// What the flow at `index` knows of a file that is on its way.
    #[must_use]
    pub fn file(&self, index: usize, file: FileId) -> Option<&Generation> {
        self.flows.get(index)?.ledger.file(file)
    }

    /// When the next checkpoint is to be written; never while nothing changes.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.changed.then_some(self.next)
    }

    /// What is to be written now.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        self.changed = false;
        self.next = now + INTERVAL;
        self.generation += 1;
        let mut records = Vec::new();
        let mut flows = self.parked.clone();
        for flow in &mut self.flows {
            flow.unsaved_records += flow.ledger.take_safe_records();
            records.push(flow.unsaved_records);
            flows.push((flow.id.clone(), flow.ledger.files().cloned().collect()));
        }
        Snapshot { state: State { generation: self.generation, flows }, records }
    }

    /// Whether a snapshot reached the disk. One that did not is tried again.
    pub fn saved(&mut self, records: &[u64], result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                for (flow, records) in self.flows.iter_mut().zip(records) {
                    flow.unsaved_records -= records;
                    flow.metrics.subtract(Metric::RepeatableRecords, *records);
                }
                self.count(Metric::CheckpointsWritten);
                if std::mem::take(&mut self.failing) {
                    info!("checkpoints are written again");
                }
            }
            Err(error) => {
                self.count(Metric::CheckpointsFailed);
                self.changed = true;
                if !std::mem::replace(&mut self.failing, true) {
                    error!(error = %Chain(&error), "could not write checkpoint; goes on, tries again each second, \
                           and after a crash would send again all that is sent meanwhile");
                }
            }
        }
    }

    /// That a snapshot was not written, as what its positions have passed is not on the disk. It is tried again.
    pub fn held_back(&mut self) {
        self.count(Metric::CheckpointsFailed);
        self.changed = true;
    }

    /// Counts what is not one flow's alone.
    fn count(&self, metric: Metric) {
        if let Some(flow) = self.flows.first() {
            flow.metrics.add(metric, 1);
        }
    }
}

impl Snapshot {
    /// The records of each flow that are safe once the state is on disk.
    #[must_use]
    pub fn records(&self) -> &[u64] {
        &self.records
    }
}
