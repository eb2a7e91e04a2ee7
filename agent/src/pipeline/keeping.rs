//! The one task that writes the state directory: the quarantine, and then the checkpoint that may pass its lines.
//!
//! What it is told of a flow it is told in order: lines for the quarantine before the batch that stands for their bytes, and
//! what was refused before the rest is acked. So whatever a checkpoint says is safe was written before, and is synced with
//! it. (G1)

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::replay::Verdict;
use super::spools::Spools;
use super::strays::Gathered;
use crate::checkpoint::{Keeper, Note, Store};
use crate::loss::Cause;
use crate::position::{FileId, FlowId, Mark};
use crate::quarantine::{Quarantine, Stray};
use crate::send::Refused;

/// What a flow has to say.
#[derive(Debug)]
pub(super) enum Message {
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
    pub(super) keeper: Keeper,
    pub(super) store: Arc<Store>,
    pub(super) quarantine: Arc<Quarantine>,
    /// Who is called by which index.
    pub(super) flows: Vec<FlowId>,
    /// The spools of those that have one.
    pub(super) spools: Spools,
}

impl Keeping {
    /// Keeps the checkpoint until all senders are done; then writes it a last time, and says whether that succeeded.
    pub(super) async fn run(mut self, mut told: mpsc::Receiver<(usize, Message)>) -> bool {
        loop {
            let due = self.keeper.due();
            let sweep = self.spools.due();
            // Receiving loses nothing when the time comes first.
            tokio::select! {
                message = told.recv() => match message {
                    Some((index, message)) => self.take(index, message).await,
                    None => break,
                },
                () = sleep_until(due), if due.is_some() => self.save().await,
                () = sleep_until(sweep), if sweep.is_some() => self.sweep().await,
            }
        }
        if self.keeper.due().is_some() {
            self.save().await;
        }
        self.keeper.due().is_none()
    }

    async fn take(&mut self, index: usize, message: Message) {
        match message {
            Message::Note(note) => self.keeper.note(index, note),
            Message::Strays(mut gathered) => {
                let strays = std::mem::take(&mut gathered.strays);
                let strays = strays.into_iter().map(|(file, stray)| (Some(file), stray)).collect();
                self.keep(index, strays).await;
            }
            Message::Refused(refused) => {
                let strays = refused.into_iter().map(|refused| self.stray(index, refused)).collect();
                self.keep(index, strays).await;
            }
            Message::Replayed { taken, back, answer } => {
                let verdict = Verdict { sent: taken.len() as u64, refused: back.len() as u64 };
                self.write(move |quarantine| {
                    quarantine.remove(&taken);
                    quarantine.give_back(&back);
                })
                .await;
                // Who asked may be gone by now.
                answer.send(verdict).ok();
            }
        }
    }

    /// A record that was refused, as a line of its file.
    fn stray(&self, index: usize, refused: Refused) -> (Option<FileId>, Stray) {
        let Refused { origin, data: bytes, why, .. } = refused;
        let (file, offset) = origin.unzip();
        // A file is told of, with its mark, before the first batch that has a line of it.
        let known = file.and_then(|file| self.keeper.file(index, file)?.mark);
        let mark = known.unwrap_or(Mark { place: 0, turn: 0, first: None });
        let (lines, offset) = (1, offset.unwrap_or_default());
        (file, Stray { mark, offset, lines, cause: Cause::Refused, why, bytes })
    }

    /// Gives lines to the quarantine.
    async fn keep(&self, index: usize, strays: Vec<(Option<FileId>, Stray)>) {
        let Some(flow) = self.flows.get(index).cloned() else { return };
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

    /// Writes a checkpoint, without holding up the network.
    async fn save(&mut self) {
        let snapshot = self.keeper.snapshot(Instant::now());
        let store = Arc::clone(&self.store);
        let saving =
            self.write(move |quarantine| (quarantine.sync().then(|| store.save(&snapshot.state)), snapshot));
        match saving.await {
            Some((Some(result), snapshot)) => {
                if result.is_ok() {
                    self.spools.saved(&snapshot.state);
                    self.sweep().await;
                }
                self.keeper.saved(snapshot.records(), result);
            }
            Some((None, _)) => self.keeper.held_back(),
            None => {}
        }
    }

    /// Removes what is delivered from the spools.
    async fn sweep(&mut self) {
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
