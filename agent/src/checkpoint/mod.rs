//! Step 6: how far each file is safe, and when that is written down.
//!
//! [`Keeper`] takes [`Note`]s of what is on its way and what was settled; `ledger` makes safe positions of them,
//! `format` bytes, `store` a file that survives a power cut. It does not know how files are read, nor how records are
//! sent. (G2)

mod format;
mod ledger;
mod store;

use std::collections::BTreeMap;
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

/// The positions of flows that do not run.
pub type Parked = Vec<(FlowId, Vec<Generation>)>;

/// Keeps the checkpoint of all flows.
#[derive(Debug)]
pub struct Keeper {
    /// Those that run, by what they are called in notes.
    flows: BTreeMap<usize, Flow>,
    /// Flows that do not run, as they are not configured any more: their positions wait for them.
    parked: Parked,
    /// Counts what is not one flow's alone.
    agent: Arc<Metrics>,
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
    records: BTreeMap<usize, u64>,
}

impl Keeper {
    /// Keeps the positions of the last run. What is not one flow's alone is counted by `agent`.
    #[must_use]
    pub fn new(agent: Arc<Metrics>, last: State, now: Instant) -> Keeper {
        let State { generation, flows: parked } = last;
        Keeper {
            flows: BTreeMap::new(),
            parked,
            agent,
            generation,
            changed: false,
            next: now,
            failing: false,
        }
    }

    /// Takes up a flow, which is `index` in notes: no other may have been.
    pub fn enter(&mut self, index: usize, id: FlowId, metrics: Arc<Metrics>) {
        self.flows.insert(index, Flow { id, ledger: Ledger::default(), metrics, unsaved_records: 0 });
        self.changed = true;
    }

    /// Parks the positions of a flow that ends.
    pub fn leave(&mut self, index: usize) {
        let Some(Flow { id, ledger, .. }) = self.flows.remove(&index) else { return };
        self.parked.push((id, ledger.files().cloned().collect()));
        self.changed = true;
    }

    /// The positions of flows that do not run.
    #[must_use]
    pub fn parked(&self) -> &Parked {
        &self.parked
    }

    /// Keeps `parked`, what others have left of it.
    pub fn park(&mut self, parked: Parked) {
        self.parked = parked;
        self.changed = true;
    }

    /// Takes a note of the flow at `index`.
    pub fn note(&mut self, index: usize, note: Note) {
        let Some(flow) = self.flows.get_mut(&index) else { return };
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
        self.flows.get(&index)?.ledger.file(file)
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
        let mut records = BTreeMap::new();
        let mut flows = self.parked.clone();
        for (index, flow) in &mut self.flows {
            flow.unsaved_records += flow.ledger.take_safe_records();
            records.insert(*index, flow.unsaved_records);
            flows.push((flow.id.clone(), flow.ledger.files().cloned().collect()));
        }
        Snapshot { state: State { generation: self.generation, flows }, records }
    }

    /// That a snapshot is on the disk.
    pub fn saved(&mut self, snapshot: &Snapshot) {
        for (index, records) in &snapshot.records {
            // A flow may have left meanwhile.
            if let Some(flow) = self.flows.get_mut(index) {
                flow.unsaved_records -= records;
                flow.metrics.subtract(Metric::RepeatableRecords, *records);
            }
        }
        self.agent.add(Metric::CheckpointsWritten, 1);
        if std::mem::take(&mut self.failing) {
            info!("checkpoints are written again");
        }
    }

    /// That a snapshot could not be written. It is tried again.
    pub fn unsaved(&mut self, error: &StoreError) {
        self.held_back();
        if !std::mem::replace(&mut self.failing, true) {
            error!(error = %Chain(error), "could not write checkpoint; goes on, tries again each second, \
                   and after a crash would send again all that is sent meanwhile");
        }
    }

    /// That a snapshot was not written, as what its positions have passed is not on the disk. It is tried again.
    pub fn held_back(&mut self) {
        self.agent.add(Metric::CheckpointsFailed, 1);
        self.changed = true;
    }
}
