//! Positions of the Java agent: taken over from its store at the first start, and handed back to it.
//!
//! [`take`] makes what `checkpoint` would have held, [`hand_back`] the other way round. The Java agent follows one file of
//! a flow at a time and proves nothing, so that each of its rows is held against the files that are there: `store` reads
//! and writes the rows, `row` understands them, `prove` says what they are worth, `finding` tells it, `handback` decides
//! what the Java agent is to go by. Does not know how anything is read or sent. (G1, G8)

mod finding;
mod handback;
mod prove;
mod row;
mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use finding::{Finding, What};
pub use handback::{Fate, Returned, hand_back};
pub use row::{RawRow, Row, RowError};
pub use store::StoreError;

use crate::position::{FlowId, Generation};
use crate::source::{Disk, Pattern};

/// Where the Java agent's store is if its configuration does not say.
pub const DEFAULT_STORE: &str = "/var/run/aws-kinesis-agent/checkpoints";

/// What a store is worth.
#[derive(Debug)]
pub struct Takeover {
    /// The flows of the configuration of which it has a position, each with its files.
    pub flows: Vec<(FlowId, Vec<Generation>)>,
    /// What an operator should know.
    pub findings: Vec<Finding>,
}

/// The store to take over from: the configured one, or the one that is there by default.
#[must_use]
pub fn locate(configured: &Path) -> Option<PathBuf> {
    // One that cannot be looked at is there: to go on without would be to lose its positions.
    let is_there = |path: &&Path| path.try_exists().unwrap_or(true);
    [configured, Path::new(DEFAULT_STORE)].into_iter().find(is_there).map(Path::to_owned)
}

/// Reads the Java agent's `store`, and proves the positions of these flows against the files on `disk`. Changes nothing.
///
/// # Errors
/// If the store can't be read.
pub fn take(store: &Path, flows: &[(&FlowId, &Pattern)], disk: &dyn Disk) -> Result<Takeover, StoreError> {
    let mut findings = Vec::new();
    let mut rows = BTreeMap::<FlowId, Vec<Row>>::new();
    for raw in store::read(store)? {
        match Row::read(&raw) {
            Ok(row) => rows.entry(row.flow.clone()).or_default().push(row),
            Err(error) => findings.push(Finding::BadRow(error)),
        }
    }
    let mut taken = Vec::new();
    for (flow, pattern) in flows {
        let mut rows = rows.remove(flow).unwrap_or_default();
        // No row grows too old: the latest of a flow is always the best that is known of it.
        rows.sort_by_key(|row| std::cmp::Reverse(row.updated));
        let Some((latest, earlier)) = rows.split_first() else {
            findings.push(Finding::Flow((*flow).clone(), What::Unknown));
            continue;
        };
        let (files, told) = prove::prove(latest, earlier, pattern, disk);
        findings.extend(told.into_iter().map(|what| Finding::Flow((*flow).clone(), what)));
        taken.push(((*flow).clone(), files));
    }
    for (flow, rows) in rows {
        if let Some(latest) = rows.into_iter().max_by_key(|row| row.updated) {
            let what = What::NotConfigured { path: latest.path, stored: latest.offset };
            findings.push(Finding::Flow(flow, what));
        }
    }
    Ok(Takeover { flows: taken, findings })
}

#[cfg(test)]
mod tests;
