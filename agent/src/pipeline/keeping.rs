//! The one task that writes the state directory: the quarantine, and then the checkpoint that may pass its lines.
//!
//! What it is told of a flow it is told in order: lines for the quarantine before the batch that stands for their bytes, and
//! what was refused before the rest is acked. So whatever a checkpoint says is safe was written before, and is synced with
//! it. (G1)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::replay::Verdict;
use super::spools::Spools;
use super::strays::Gathered;
use super::vigil::Pulse;
use crate::checkpoint::{Keeper, Note, Parked, Store, StoreError};
use crate::loss::Cause;
use crate::metrics::Metrics;
use crate::position::{FileId, FlowId, Mark};
use crate::quarantine::{Quarantine, Stray};
use crate::send::Refused;

/// What it is told.
#[derive(Debug)]
pub(super) enum Message {
    /// By the flow that is called so.
    Flow(usize, News),
    /// Flows begin; and who waits until that is on the disk, or is told that it cannot be.
    Enter(Entry, oneshot::Sender<bool>),
    /// Flows that have said everything end; their positions are parked with those that are already.
    Leave {
        /// What they are called.
        indices: Vec<usize>,
        /// Who waits for all that is parked then.
        answer: oneshot::Sender<Parked>,
    },
    /// What was said so far is to be on the disk; and who waits for that, or is told that it cannot be.
    Save(oneshot::Sender<bool>),
}

/// Flows that begin.
#[derive(Debug)]
pub(super) struct Entry {
    /// Who they are.
    pub(super) entrants: Vec<Entrant>,
    /// What is left of the positions that were parked.
    pub(super) parked: Parked,
}

/// A flow that begins.
#[derive(Debug)]
pub(super) struct Entrant {
    /// What it is called in messages.
    pub(super) index: usize,
    pub(super) id: FlowId,
    pub(super) metrics: Arc<Metrics>,
    /// Where its spool is, if it has one.
    pub(super) spool: Option<PathBuf>,
    /// The files that it begins with.
    pub(super) notes: Vec<Note>,
}

/// What a flow has to say.
#[derive(Debug)]
pub(super) enum News {
    /// To the checkpoint.
    Note(Note),
    /// Lines that do not match.
    Strays(Gathered),
    /// Records that the stream will never take.
    Refused(Vec<Refused>),
    /// What became of lines that were lent by the quarantine.
    Replayed {
        /// Those that are in the stream.
        taken: Vec<u64>,
        /// Those that stay.
        back: Vec<u64>,
        /// Who waits for it.
        answer: oneshot::Sender<Verdict>,
    },
}

/// Writes what it is told.
#[derive(Debug)]
pub(super) struct Keeping {
    /// At work while there is something to write.
    pub(super) pulse: Arc<Pulse>,
    pub(super) keeper: Keeper,
    pub(super) store: Arc<Store>,
    pub(super) quarantine: Arc<Quarantine>,
    /// Who is called by which index.
    pub(super) flows: BTreeMap<usize, FlowId>,
    /// The spools of those that have one.
    pub(super) spools: Spools,
}

impl Keeping {
    /// Keeps the checkpoint until all senders are done; then writes it a last time, and says whether that succeeded.
    pub(super) async fn run(mut self, mut told: mpsc::Receiver<Message>) -> bool {
        loop {
            self.pulse.set(false);
            let due = self.keeper.due();
            let sweep = self.spools.due();
            // Receiving loses nothing when the time comes first.
            tokio::select! {
                message = told.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
                () = sleep_until(due), if due.is_some() => drop(self.save().await),
                () = sleep_until(sweep), if sweep.is_some() => self.sweep().await,
            }
        }
        if self.keeper.due().is_some() {
            self.save().await;
        }
        self.keeper.due().is_none()
    }

    async fn take(&mut self, message: Message) {
        self.pulse.set(true);
        match message {
            Message::Flow(index, news) => self.hear(index, news).await,
            Message::Enter(entry, answer) => {
                self.enter(entry);
                // Who asked may be gone by now, here and below.
                answer.send(self.save().await).ok();
            }
            Message::Leave { indices, answer } => {
                for index in indices {
                    self.keeper.leave(index);
                    self.flows.remove(&index).iter().for_each(|flow| self.spools.leave(flow));
                }
                answer.send(self.keeper.parked().clone()).ok();
            }
            Message::Save(answer) => {
                answer.send(self.save().await).ok();
            }
        }
    }

    /// Takes up the first flows, before any reads: a crash in the first second must not make another first start of it.
    ///
    /// # Errors
    /// If that cannot be written down, and one would start for the first time again.
    pub(super) fn start(&mut self, entry: Entry, is_first: bool) -> Result<(), StoreError> {
        self.enter(entry);
        let snapshot = self.keeper.snapshot(Instant::now());
        match self.store.save(&snapshot.state) {
            Err(error) if is_first => return Err(error),
            // What the last checkpoint says of each flow stays true, so a full disk does not keep them from going on.
            Err(error) => self.keeper.unsaved(&error),
            Ok(()) => self.keeper.saved(&snapshot),
        }
        Ok(())
    }

    fn enter(&mut self, Entry { entrants, parked }: Entry) {
        self.keeper.park(parked);
        for Entrant { index, id, metrics, spool, notes } in entrants {
            if let Some(directory) = spool {
                self.spools.enter(id.clone(), directory);
            }
            self.flows.insert(index, id.clone());
            self.keeper.enter(index, id, metrics);
            notes.into_iter().for_each(|note| self.keeper.note(index, note));
        }
    }

    async fn hear(&mut self, index: usize, news: News) {
        match news {
            News::Note(note) => self.keeper.note(index, note),
            News::Strays(mut gathered) => {
                let strays = std::mem::take(&mut gathered.strays);
                let strays = strays.into_iter().map(|(file, stray)| (Some(file), stray)).collect();
                self.keep(index, strays).await;
            }
            News::Refused(refused) => {
                let strays = refused.into_iter().map(|refused| self.stray(index, refused)).collect();
                self.keep(index, strays).await;
            }
            News::Replayed { taken, back, answer } => {
                let verdict = Verdict { sent: taken.len() as u64, refused: back.len() as u64 };
                self.write(move |quarantine| {
                    quarantine.remove(&taken);
                    quarantine.give_back(&back);
                })
                .await;
                answer.send(verdict).ok();
            }
        }
    }

    /// An entry that was refused, as lines of its file.
    fn stray(&self, index: usize, refused: Refused) -> (Option<FileId>, Stray) {
        let Refused { origin, records: lines, data: bytes, why, .. } = refused;
        let (file, offset) = origin.unzip();
        // A file is told of, with its mark, before the first batch that has a line of it.
        let known = file.and_then(|file| self.keeper.file(index, file)?.mark);
        let mark = known.unwrap_or(Mark { place: 0, turn: 0, first: None });
        let offset = offset.unwrap_or_default();
        (file, Stray { mark, offset, lines, cause: Cause::Refused, why, bytes })
    }

    /// Gives lines to the quarantine.
    async fn keep(&self, index: usize, strays: Vec<(Option<FileId>, Stray)>) {
        let Some(flow) = self.flows.get(&index).cloned() else { return };
        let mut paths: Vec<(Option<FileId>, Arc<Path>)> = Vec::new();
        let mut placed = Vec::with_capacity(strays.len());
        for (file, stray) in strays {
            if paths.last().is_none_or(|(last, _)| *last != file) {
                let known = file.and_then(|file| self.keeper.file(index, file));
                paths.push((file, known.map_or(Path::new(""), |known| &known.path).into()));
            }
            placed.extend(paths.last().map(|(_, path)| (Arc::clone(path), stray)));
        }
        self.write(move |quarantine| quarantine.keep(&flow, &placed)).await;
    }

    /// Writes a checkpoint, without holding up the network; says whether it is on the disk.
    async fn save(&mut self) -> bool {
        self.pulse.set(true);
        let snapshot = self.keeper.snapshot(Instant::now());
        let store = Arc::clone(&self.store);
        let saving =
            self.write(move |quarantine| (quarantine.sync().then(|| store.save(&snapshot.state)), snapshot));
        match saving.await {
            Some((Some(Ok(())), snapshot)) => {
                self.spools.saved(&snapshot.state);
                self.sweep().await;
                self.keeper.saved(&snapshot);
                return true;
            }
            Some((Some(Err(error)), _)) => self.keeper.unsaved(&error),
            Some((None, _)) => self.keeper.held_back(),
            None => {}
        }
        false
    }

    /// Removes what is delivered from the spools.
    async fn sweep(&mut self) {
        self.pulse.set(true);
        let spools = std::mem::take(&mut self.spools);
        self.spools = self.write(move |_| spools.swept(Instant::now())).await.unwrap_or_default();
    }

    /// Has `act` write, on a thread that may wait for the disk. Nothing comes of it only after a panic, which has ended the
    /// process already.
    async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Quarantine) -> T + Send + 'static,
    ) -> Option<T> {
        let quarantine = Arc::clone(&self.quarantine);
        let written = spawn_blocking(move || act(&quarantine)).await.ok();
        self.quarantine.tell();
        written
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}
