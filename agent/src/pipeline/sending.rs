//! One flow's task on the network's thread: parcels to the stream, several calls at once.
//!
//! It tells in order, of each flow, what is on its way and what became of it, to the one task that writes that down.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use super::keeping::{Message, News};
use super::on_the_way::OnTheWay;
use super::reader::Parcel;
use super::replay::{self, Replay, Verdict};
use crate::batch::{Batch, Order};
use crate::budget::Charge;
use crate::checkpoint::Note;
use crate::metrics::Metrics;
use crate::position::FileId;
use crate::send::{Delivered, Refused, Sender, Stream};
use crate::source::Change;

/// Calls of one flow on their way at once: enough to fill a line with 100 ms to the service, few enough that little
/// is repeated after a crash.
pub(super) const REQUESTS_IN_FLIGHT: usize = 4;

/// Brings a flow's parcels to its stream.
#[derive(Debug)]
pub(super) struct Sending<S> {
    /// What the flow is called in messages.
    pub(super) index: usize,
    pub(super) sender: Sender<S>,
    pub(super) on_the_way: Arc<OnTheWay>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) messages: mpsc::Sender<Message>,
    /// Whether a file may have one record on its way at most.
    pub(super) order: Order,
}

/// Where a batch is from. What it holds of the memory is given back when this is dropped.
#[derive(Debug)]
enum Origin {
    Files { _charge: Option<Charge> },
    Quarantine { numbers: Vec<u64>, answer: oneshot::Sender<Verdict>, _charge: Charge },
}

impl<S: Stream> Sending<S> {
    /// Sends until the reader's end is closed and everything is settled.
    pub(super) async fn run(self, mut parcels: mpsc::Receiver<Parcel>) {
        let deliver = async |batch: Batch, origin: Origin| {
            let files = self.files(&batch);
            (batch.opened(), self.sender.deliver(batch).await, origin, files)
        };
        let mut delivering = FuturesUnordered::new();
        // Files of which something is on its way, and what waits for one of them.
        let (mut busy, mut waiting) = (BTreeSet::new(), None);
        let mut open = true;
        while open || !delivering.is_empty() {
            let has_place = open && waiting.is_none() && delivering.len() < REQUESTS_IN_FLIGHT;
            // Receiving loses nothing when the other arm wins, and neither does asking which delivery is done.
            tokio::select! {
                parcel = parcels.recv(), if has_place => match parcel {
                    Some(Parcel::Batch(batch, charge)) => {
                        self.note(Note::Opened(batch.shares().to_vec())).await;
                        let files = self.files(&batch);
                        if busy.is_disjoint(&files) {
                            busy.extend(files);
                            delivering.push(deliver(batch, Origin::Files { _charge: charge }));
                        } else {
                            waiting = Some((batch, charge));
                        }
                    }
                    Some(Parcel::Dropped(dropped)) => self.note(Note::Dropped(dropped)).await,
                    Some(Parcel::Strays(gathered)) => self.tell(News::Strays(gathered)).await,
                    Some(Parcel::Replay(Replay { batch, numbers, answer, charge })) => {
                        delivering.push(deliver(batch, Origin::Quarantine { numbers, answer, _charge: charge }));
                    }
                    Some(Parcel::Change(change)) => {
                        if let Some(note) = note(change) {
                            self.note(note).await;
                        }
                    }
                    None => open = false,
                },
                Some((opened, delivered, origin, files)) = delivering.next(), if !delivering.is_empty() => {
                    self.on_the_way.remove(opened);
                    self.settle(delivered, origin).await;
                    busy.retain(|file| !files.contains(file));
                    if let Some((batch, charge)) = waiting.take_if(|(batch, _)| busy.is_disjoint(&self.files(batch))) {
                        busy.extend(self.files(&batch));
                        delivering.push(deliver(batch, Origin::Files { _charge: charge }));
                    }
                }
            }
        }
    }

    /// The files of a batch whose order is kept.
    fn files(&self, batch: &Batch) -> BTreeSet<FileId> {
        match self.order {
            Order::Free => BTreeSet::new(),
            Order::File => (0..batch.entries()).filter_map(|index| Some(batch.origin(index)?.0)).collect(),
        }
    }

    /// Tells what became of a batch.
    async fn settle(&self, Delivered { acked, refused }: Delivered, origin: Origin) {
        match origin {
            Origin::Files { .. } => {
                if !refused.is_empty() {
                    self.tell(News::Refused(refused)).await;
                }
                self.note(Note::Acked(acked)).await;
            }
            Origin::Quarantine { numbers, answer, .. } => {
                let is_refused =
                    |index: usize| refused.iter().any(|refused: &Refused| refused.index == index);
                let (mut taken, mut back) = (Vec::new(), Vec::new());
                for (index, number) in numbers.into_iter().enumerate() {
                    if is_refused(index) { &mut back } else { &mut taken }.push(number);
                }
                replay::end(&self.metrics, taken.len() as u64, back.len() as u64);
                self.tell(News::Replayed { taken, back, answer }).await;
            }
        }
    }

    async fn tell(&self, news: News) {
        // The one who is told ends after all senders; if it did not, there is nobody left to tell.
        self.messages.send(Message::Flow(self.index, news)).await.unwrap_or_default();
    }

    async fn note(&self, note: Note) {
        self.tell(News::Note(note)).await;
    }
}

/// What the checkpoint is told of a change. Bytes that were skipped are part of a batch's share.
pub(super) fn note(change: Change) -> Option<Note> {
    match change {
        Change::Known(generation) => Some(Note::Known(generation)),
        Change::Ended(file) => Some(Note::Ended(file)),
        Change::Skipped(_) => None,
    }
}
