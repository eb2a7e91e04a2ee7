//! Lines that could not become records in the stream, kept for an operator. (G1, G7)
//!
//! [`Quarantine`] is one bounded journal for all flows, in the state directory: `entry` is what is kept of a line,
//! `format` the bytes of it, `segment` one file, `directory` all of them, `journal` what is done with them, `error` what may
//! go wrong. What is given to it is written at once and on the disk after
//! [`Quarantine::sync`], which goes before each checkpoint, so that no position passes a line that a crash could lose. It
//! does not know how lines are parsed or sent. Every call may wait for the disk.

mod directory;
mod entry;
mod error;
mod format;
mod journal;
mod segment;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, info};

pub use directory::load;
pub use entry::{Entry, Filter, OnMismatch, Stray, Tally};
pub use error::JournalError;
pub use format::FrameError;
pub use journal::Journal;
pub use segment::Tallies;

use crate::chain::Chain;
use crate::loss::Reason;
use crate::metrics::{Metric, Metrics};
use crate::position::{FlowId, heir};

/// The quarantine of a running agent, shared by those who fill it and those who ask for it.
#[derive(Debug)]
pub struct Quarantine {
    state: Mutex<State>,
    /// What the metrics are not told of yet: whoever reads them is to see a line in one place, never in two or none.
    counts: Mutex<Vec<Count>>,
    /// Who counts for which flow, and for those whose heir it is.
    flows: Mutex<Vec<(FlowId, Arc<Metrics>)>>,
    /// Counts what is nobody's.
    agent: Arc<Metrics>,
}

/// Something that the metrics of a flow are to be told.
#[derive(Debug)]
struct Count {
    /// Nothing if it is nobody's.
    flow: Option<FlowId>,
    metric: Metric,
    change: Change,
}

#[derive(Debug)]
enum Change {
    More(u64),
    Less(u64),
    Now(u64),
}

#[derive(Debug)]
struct State {
    journal: Journal,
    failing: bool,
    unsynced: bool,
    evicting: bool,
}

impl Quarantine {
    /// The quarantine in the state directory `directory`, with `bytes` on the disk at most, which nobody
    /// [is of](Quarantine::is_of) yet. What is nobody's is counted by `agent`.
    ///
    /// What cannot be read of it is counted and left out; a directory that cannot be written to is tried again with each
    /// line.
    #[must_use]
    pub fn open(directory: &Path, bytes: u64, agent: Arc<Metrics>) -> Quarantine {
        let (journal, damaged) = Journal::open(directory, bytes);
        let state = Mutex::new(State { journal, failing: false, unsynced: false, evicting: false });
        let quarantine = Quarantine { state, counts: Mutex::default(), flows: Mutex::default(), agent };
        quarantine.note_damaged(&damaged);
        quarantine.with(|_| ());
        quarantine.tell();
        quarantine
    }

    /// Says who fills it from now on: what other flows have left in it is counted by their heirs. May wait for the disk.
    pub fn is_of(&self, flows: Vec<(FlowId, Arc<Metrics>)>) {
        *self.flows() = flows;
        self.with(|_| ());
    }

    /// Keeps `strays` of the flow `flow`, each with where its file is; those that are kept already are not kept twice.
    pub fn keep(&self, flow: &FlowId, strays: &[(Arc<Path>, Stray)]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.with(|state| {
            for (at, (path, stray)) in strays.iter().enumerate() {
                match state.journal.keep(flow, path, millis, stray) {
                    Ok(()) => {
                        self.count(
                            Some(flow),
                            Metric::LinesQuarantined(stray.cause),
                            Change::More(stray.lines),
                        );
                        self.count(Some(flow), Metric::UnackedRecords, Change::Less(stray.lines));
                        if std::mem::take(&mut state.failing) {
                            info!("the quarantine is written again");
                        }
                    }
                    Err(error) => {
                        note_failure(state, &error);
                        let rest = strays.get(at..).unwrap_or_default();
                        let lines = rest.iter().map(|(_, stray)| stray.lines).sum();
                        self.count(Some(flow), Metric::LinesDropped(Reason::Unkept), Change::More(lines));
                        self.count(Some(flow), Metric::UnackedRecords, Change::Less(lines));
                        return;
                    }
                }
            }
        });
    }

    /// Brings everything that was kept to the disk; says whether it is there. If not, no checkpoint may pass it, and it is to
    /// be tried again.
    pub fn sync(&self) -> bool {
        self.with(|state| match state.journal.sync() {
            Ok(()) => {
                if std::mem::take(&mut state.unsynced) {
                    info!("the quarantine is on the disk again, and checkpoints go on");
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut state.unsynced, true) {
                    error!(error = %Chain(&error), "could not bring the quarantine to the disk; goes on, tries again each second, \
                           and until then writes no checkpoint, so that after a crash all that is sent meanwhile would be \
                           sent again; mend the disk");
                }
                false
            }
        })
    }

    /// Takes entries out that `filter` picks, behind the one with the number `after`, as many as have room in `bytes`, one
    /// at least; they are to be [removed](Quarantine::remove) or [given back](Quarantine::give_back).
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn lend(&self, filter: &Filter, after: u64, bytes: usize) -> Result<Vec<Entry>, JournalError> {
        self.with(|state| state.journal.lend(filter, after, bytes))
    }

    /// Puts entries back that were lent and are not in the stream.
    pub fn give_back(&self, numbers: &[u64]) {
        self.with(|state| state.journal.give_back(numbers));
    }

    /// Removes entries that were lent and are in the stream now. Where that cannot be written down, they are there again
    /// after the next start.
    pub fn remove(&self, numbers: &[u64]) {
        self.with(|state| {
            if let Err(error) = state.journal.remove(numbers) {
                note_failure(state, &error);
            }
        });
    }

    /// Removes every entry that `filter` picks, and says what they were.
    ///
    /// # Errors
    /// If the disk cannot be read, or what is removed not be written down.
    pub fn clear(&self, filter: &Filter) -> Result<Tally, JournalError> {
        self.with(|state| {
            let cleared = state.journal.clear(filter)?;
            self.count_dropped(Reason::Cleared, &cleared);
            Ok(cleared.values().copied().sum())
        })
    }

    /// Tells the metrics what was counted since the last time. For the thread that publishes them.
    pub fn tell(&self) {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        let flows = self.flows();
        for Count { flow, metric, change } in counts {
            let owner = flow.and_then(|flow| flows.get(owner(&flow, &flows)?));
            let metrics = owner.map_or(&self.agent, |(_, metrics)| metrics);
            match change {
                Change::More(more) => metrics.add(metric, more),
                Change::Less(less) => metrics.subtract(metric, less),
                Change::Now(now) => metrics.set(metric, now),
            }
        }
    }

    /// Does something with the journal; then its size is counted.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut state);
        self.note_evicted(&mut state);
        self.count_dropped(Reason::Unkept, &state.journal.take_lost());
        let held = state.journal.tallies();
        let flows = self.flows();
        let held: Vec<_> = held.iter().map(|((of, _), tally)| (owner(of, &flows), tally.lines)).collect();
        let lines_of = |whose| held.iter().filter(|(owner, _)| *owner == whose).map(|(_, lines)| lines).sum();
        for (index, (flow, _)) in flows.iter().enumerate() {
            self.count(Some(flow), Metric::QuarantinedLines, Change::Now(lines_of(Some(index))));
        }
        self.count(None, Metric::QuarantinedLines, Change::Now(lines_of(None)));
        self.count(None, Metric::QuarantineBytes, Change::Now(state.journal.bytes()));
        result
    }

    fn flows(&self) -> MutexGuard<'_, Vec<(FlowId, Arc<Metrics>)>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, flow: Option<&FlowId>, metric: Metric, change: Change) {
        let count = Count { flow: flow.cloned(), metric, change };
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).push(count);
    }

    /// Counts entries that are not kept any more.
    fn count_dropped(&self, reason: Reason, tallies: &Tallies) {
        for ((flow, _), tally) in tallies {
            self.count(Some(flow), Metric::LinesDropped(reason), Change::More(tally.lines));
            self.count(Some(flow), Metric::LinesReleased, Change::More(tally.lines));
        }
    }

    fn note_damaged(&self, damaged: &[JournalError]) {
        let Some(first) = damaged.first() else { return };
        error!(error = %Chain(first), lines = damaged.len(),
               "part of the quarantine can't be read; a line that a crash tore is read again from its file, another is lost");
        self.count(None, Metric::QuarantineEntriesDamaged, Change::More(damaged.len() as u64));
    }

    fn note_evicted(&self, state: &mut State) {
        let evicted = state.journal.take_evicted();
        if evicted.is_empty() {
            return;
        }
        self.count_dropped(Reason::Evicted, &evicted);
        if !std::mem::replace(&mut state.evicting, true) {
            let lines: u64 = evicted.values().map(|tally| tally.lines).sum();
            error!(
                lines,
                reason = Reason::Evicted.label(),
                "the quarantine is full and loses its oldest lines, from now on without a word; mend what keeps lines from matching, \
                    `kinetail quarantine replay` or `clear` them, or raise `quarantineBytes`"
            );
        }
    }
}

/// Whose metrics tell of what belongs to `flow`, if that is anybody.
fn owner(flow: &FlowId, flows: &[(FlowId, Arc<Metrics>)]) -> Option<usize> {
    heir(flow, flows.iter().map(|(id, _)| id))
}

fn note_failure(state: &mut State, error: &JournalError) {
    if !std::mem::replace(&mut state.failing, true) {
        error!(error = %Chain(error), reason = Reason::Unkept.label(),
               "could not write to the quarantine; goes on, and loses the lines that belong there until the disk is mended");
    }
}

#[cfg(test)]
mod tests;
