//! What the checkpoint on the disk says of the segments in the spools: what of them is delivered is swept away.
//!
//! Segments are sealed without anything being read or saved anew, as when an instance of `kinetail pipe` dies: so it is
//! tried again and again.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::checkpoint::State;
use crate::position::{FlowId, Offset};
use crate::spool::{self, Delivered};

/// How often segments are looked at that were not sealed when last looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// The spools of all flows that have one.
#[derive(Debug, Default)]
pub(super) struct Spools {
    spools: Vec<Spool>,
    next: Option<Instant>,
}

/// That of one flow.
#[derive(Debug)]
struct Spool {
    flow: FlowId,
    directory: PathBuf,
    delivered: Vec<Delivered>,
}

impl Spools {
    /// Looks after that of a flow, in `directory`, too; nothing of it is delivered.
    pub(super) fn enter(&mut self, flow: FlowId, directory: PathBuf) {
        self.spools.push(Spool { flow, directory, delivered: Vec::new() });
    }

    /// Leaves that of a flow alone.
    pub(super) fn leave(&mut self, flow: &FlowId) {
        self.spools.retain(|spool| spool.flow != *flow);
    }

    /// When to look again; none if there is nothing to look at.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Notes what is on the disk.
    pub(super) fn saved(&mut self, state: &State) {
        for spool in &mut self.spools {
            let files = state.flows.iter().filter(|(id, _)| *id == spool.flow).flat_map(|(_, files)| files);
            let delivered = files.map(|file| Delivered {
                path: file.path.clone(),
                place: (file.identity.device, file.identity.inode),
                end: file.position.offset.since(Offset::default()),
            });
            spool.delivered = delivered.collect();
        }
    }

    /// Has swept what is delivered.
    pub(super) fn swept(mut self, now: Instant) -> Spools {
        for spool in &self.spools {
            spool::sweep(&spool.directory, &spool.delivered);
        }
        self.next = (!self.spools.is_empty()).then_some(now + PERIOD);
        self
    }
}
