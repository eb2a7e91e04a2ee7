//! One flow's plain thread: files to batches.
//!
//! Everything between the disk and the channel to the network happens here, one step calling the next: no line ever
//! crosses a thread. It stops reading when there is no memory or the channel is full: the files are the queue. (G5) But
//! it never stops looking: a file that is rotated twice while the stream is away must be opened before its name is gone.
//! (G1)

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, timeout};

use super::counts::Counts;
use super::joint::Joint;
use super::on_the_way::OnTheWay;
use super::record_maker::{RecordMaker, RecordWriter};
use super::replay::Replay;
use super::strays::{Gathered, Strays};
use super::unprocessed::Unprocessed;
use super::vigil::Pulse;
use crate::batch::{Added, Batch, Batcher, Closed};
use crate::budget::{Budget, Charge};
use crate::loss::Dropped;
use crate::metrics::Metrics;
use crate::parse::{Mismatch, Record};
use crate::position::{Offset, Position};
use crate::quarantine::OnMismatch;
use crate::source::{Bell, Change, Chunk, Source};
use crate::split::{Line, Role, split};

/// The steps in which a batch's memory is charged: small, so that a quiet flow holds little.
const STEP: usize = 64 * 1024;

/// What a step costs: the batch's bytes, and four thirds of them for the request's body in base64.
const STEP_COST: usize = STEP + STEP / 3 * 4 + 2 * 1024;

/// How long the reader waits for memory or for room in the channel before it looks after its files again.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a reader gives to the network.
#[derive(Debug)]
pub(super) enum Parcel {
    /// Records to send, and the memory they hold.
    Batch(Batch, Option<Charge>),
    /// Only lines that were dropped.
    Dropped(Vec<Dropped>),
    /// Lines for the quarantine, before the batch that stands for their bytes.
    Strays(Gathered),
    /// Lines of the quarantine that are to be sent after all.
    Replay(Replay),
    /// What became of a file.
    Change(Change),
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) source: Source,
    pub(super) bell: Arc<Bell>,
    pub(super) maker: RecordMaker,
    pub(super) desk: Desk,
    /// Beats with each round.
    pub(super) pulse: Arc<Pulse>,
}

impl Reader {
    /// Reads until it is told to stop; then sends on what it has read.
    pub(super) fn run(mut self) {
        while !self.bell.is_stopped() {
            self.pulse.beat();
            let now = Instant::now();
            self.source.look(now);
            self.source.answer(now);
            self.source.changes().into_iter().for_each(|change| self.desk.forward(change, now));
            // While the stream takes nothing there is no use in reading, but in looking there is.
            if self.desk.flush() && !self.read(now) {
                self.desk.room.set(false);
                self.source.wait(self.desk.deadline(), self.desk.batcher.linger(), now);
            }
            if self.desk.is_due(now) {
                self.desk.close(now);
            }
        }
        let now = Instant::now();
        self.source.changes().into_iter().for_each(|change| self.desk.forward(change, now));
        self.desk.close(now);
        while !self.desk.flush() {}
    }

    /// Takes the next bytes of a file; says whether there were any.
    fn read(&mut self, now: Instant) -> bool {
        let chunk = self.source.read(now, |change| self.desk.forward(change, now));
        let Some(chunk) = chunk else { return false };
        let mut writer = self.maker.writer(chunk.mark());
        let (file, taken) = (chunk.file(), self.desk.take(&chunk, &mut writer, now));
        self.source.advance(file, taken.end, now);
        if let Some(footer) = taken.footer {
            self.source.end_records(file, footer);
            // The checkpoint is to know of the footer before anything behind it can be safe.
            self.source.changes().into_iter().for_each(|change| self.desk.forward(change, now));
        }
        self.desk.strays.tell(self.source.path(file), now);
        if !taken.is_all {
            self.source.read_again(file);
        }
        true
    }
}

/// How far a chunk was taken.
struct Taken {
    /// Behind the last line that was.
    end: Position,
    /// Whether that is its last whole line. If not, there was no room for the rest, or it is to be read as another part.
    is_all: bool,
    /// Where the file's footer begins, if it was come upon.
    footer: Option<Offset>,
}

/// How far into its chunk the reader is.
#[derive(Debug, Default)]
struct Done {
    /// Behind the last line that was dealt with.
    end: usize,
    /// Up to where batches know which bytes they stand for.
    covered: usize,
}

/// Where lines become records and records batches, within the flow's memory.
#[derive(Debug)]
pub(super) struct Desk {
    batcher: Batcher,
    budget: Arc<Budget>,
    /// Memory of the open batch, and how many bytes of its buffer that allows.
    charge: Option<Charge>,
    allowed: usize,
    /// Closed, but not on its way yet: as long as there is anything, nothing more is taken.
    outbox: VecDeque<Parcel>,
    parcels: mpsc::Sender<Parcel>,
    /// Where to wait for room in the channel.
    runtime: Handle,
    on_the_way: Arc<OnTheWay>,
    /// At work from the first wait for memory in vain until there is some, or no need of it.
    room: Arc<Pulse>,
    metrics: Arc<Metrics>,
    counts: Counts,
    unprocessed: Unprocessed,
    strays: Strays,
}

impl Desk {
    /// That of a flow, whose batches go to `parcels`.
    pub(super) fn new(
        batcher: Batcher,
        parcels: mpsc::Sender<Parcel>,
        joint: &Joint,
        unprocessed: Unprocessed,
        strays: Strays,
    ) -> Desk {
        Desk {
            batcher,
            budget: Arc::clone(&joint.budget),
            charge: None,
            allowed: 0,
            outbox: VecDeque::new(),
            parcels,
            runtime: Handle::current(),
            on_the_way: Arc::clone(&joint.on_the_way),
            room: Arc::clone(&joint.room),
            metrics: Arc::clone(&joint.metrics),
            counts: Counts::default(),
            unprocessed,
            strays,
        }
    }

    /// Makes records of the chunk's lines, as far as there is room.
    fn take(&mut self, chunk: &Chunk<'_>, writer: &mut RecordWriter<'_>, now: Instant) -> Taken {
        let (mut done, mut is_all, mut footer) = (Done::default(), true, None);
        self.batcher.turn_to(chunk.file(), chunk.mark());
        for line in split(chunk) {
            match line.role() {
                Role::Record => {
                    if !self.write(chunk, &line, &mut done, writer, now) {
                        is_all = false;
                        break;
                    }
                }
                Role::Header => self.counts.header += line.lines(),
                Role::Footer => {
                    (is_all, footer) = (false, Some(chunk.start().advance(done.end)));
                    self.counts.footer += line.lines();
                }
                Role::Rest => self.counts.footer += line.lines(),
            }
            self.counts.lines += line.lines();
            done.end = line.end();
        }
        self.cover(chunk, &mut done, now);
        let end = chunk.position(done.end);
        self.counts.bytes += end.offset.since(chunk.start());
        self.tell();
        self.unprocessed.tell(now);
        Taken { end, is_all, footer }
    }

    /// Makes a record of a line; says whether there was room for it.
    fn write(
        &mut self,
        chunk: &Chunk<'_>,
        line: &Line<'_>,
        done: &mut Done,
        writer: &mut RecordWriter<'_>,
        now: Instant,
    ) -> bool {
        let more = 2 * line.bytes().len();
        if self.batcher.buffered() + more > self.allowed && !self.grow(more) {
            self.cover(chunk, done, now);
            self.close(now);
            if !self.flush() || !self.open(more) {
                return false;
            }
        }
        let offset = chunk.start().advance(done.end);
        let mut raw = 0;
        let record = match writer.write(line, offset, self.batcher.buffer()) {
            Ok(record) => record,
            Err(mismatch) => match self.strays.policy {
                OnMismatch::Keep => return self.set_aside(chunk, line, done, &mismatch, now),
                OnMismatch::Drop => {
                    self.strays.note(offset, line, &mismatch);
                    self.counts.dropped += line.lines();
                    return true;
                }
                OnMismatch::SendRaw => {
                    self.strays.note(offset, line, &mismatch);
                    raw = line.lines();
                    Record::raw(line.bytes(), self.batcher.buffer())
                }
            },
        };
        let mut added = self.batcher.add(&record, offset, now);
        if added == Added::Full {
            self.cover(chunk, done, now);
            self.close(now);
            if !self.flush() || !self.open(record.len()) {
                self.batcher.discard(&record);
                return false;
            }
            added = self.batcher.add(&record, offset, now);
        }
        self.counts.records += 1;
        self.counts.raw += raw;
        self.counts.joined += line.lines() - 1;
        self.counts.repaired += u64::from(record.is_repaired());
        if let Some(failure) = record.failure() {
            self.counts.unprocessed += line.lines();
            self.unprocessed.note(line.lines(), failure);
        }
        self.counts.truncated += u64::from(added == Added::Cut);
        true
    }

    /// Gives a line that does not match to the quarantine; says whether there was room for it.
    fn set_aside(
        &mut self,
        chunk: &Chunk<'_>,
        line: &Line<'_>,
        done: &mut Done,
        mismatch: &Mismatch,
        now: Instant,
    ) -> bool {
        let place = (chunk.file(), chunk.mark(), chunk.start().advance(done.end));
        let mut has_room = self.strays.take(place, line, mismatch, Duration::ZERO);
        if !has_room {
            self.cover(chunk, done, now);
            self.close(now);
            has_room = self.flush() && self.strays.take(place, line, mismatch, PATIENCE);
        }
        if has_room {
            self.strays.note(place.2, line, mismatch);
            self.counts.kept += line.lines();
        }
        has_room
    }

    /// Notes which bytes of the chunk the open batch stands for: those that no batch was told of.
    fn cover(&mut self, chunk: &Chunk<'_>, done: &mut Done, now: Instant) {
        let from = std::mem::replace(&mut done.covered, done.end);
        self.batcher.cover(chunk.file(), chunk.start().advance(from), chunk.position(done.end), now);
    }

    /// Gets memory for `more` bytes in the open batch, or for a new one; says whether there is any.
    fn grow(&mut self, more: usize) -> bool {
        let Some(charge) = &mut self.charge else { return self.open(more) };
        let steps = more.div_ceil(STEP);
        let grew = charge.try_grow(steps * STEP_COST);
        if grew {
            self.allowed += steps * STEP;
        }
        grew
    }

    /// Gets memory for a new batch with `first` bytes; waits a moment for it, and says whether there is any.
    fn open(&mut self, first: usize) -> bool {
        let steps = first.div_ceil(STEP).max(1);
        self.charge = self.budget.charge(steps * STEP_COST, PATIENCE);
        self.allowed = self.charge.as_ref().map_or(0, |_| steps * STEP);
        self.room.set(self.charge.is_none());
        self.charge.is_some()
    }

    /// Passes on what became of a file, behind everything that was read before.
    fn forward(&mut self, change: Change, now: Instant) {
        match change {
            // The bytes are part of what the open batch stands for, so that their turn comes in order.
            Change::Skipped(span) => self.batcher.cover(span.file(), span.start(), span.end(), now),
            Change::Ended(_) => {
                // Nothing of a file may follow its end.
                self.close(now);
                self.outbox.push_back(Parcel::Change(change));
            }
            Change::Known(_) => self.outbox.push_back(Parcel::Change(change)),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.batcher.deadline()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.batcher.is_full() || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Closes the open batch.
    fn close(&mut self, now: Instant) {
        self.tell();
        let charge = self.charge.take();
        self.allowed = 0;
        self.outbox.extend(self.strays.close().map(Parcel::Strays));
        match self.batcher.close(now) {
            Closed::Batch(batch) => {
                self.on_the_way.add(batch.opened());
                self.outbox.push_back(Parcel::Batch(batch, charge));
            }
            Closed::Dropped(dropped) => self.outbox.push_back(Parcel::Dropped(dropped)),
            Closed::Nothing => {}
        }
    }

    /// Sends on its way what is closed, and waits a moment for room; says whether all of it is.
    fn flush(&mut self) -> bool {
        while let Some(parcel) = self.outbox.pop_front() {
            match self.parcels.try_send(parcel) {
                Ok(()) => {}
                // The other end is gone only when the deadline of a stop has passed: the checkpoint knows what was
                // sent, and the rest is read again.
                Err(TrySendError::Closed(_)) => self.outbox.clear(),
                Err(TrySendError::Full(parcel)) => {
                    self.outbox.push_front(parcel);
                    let room =
                        self.runtime.block_on(async { timeout(PATIENCE, self.parcels.reserve()).await });
                    match room {
                        Ok(Ok(room)) => {
                            if let Some(parcel) = self.outbox.pop_front() {
                                room.send(parcel);
                            }
                        }
                        Ok(Err(_)) => self.outbox.clear(),
                        Err(_) => return false,
                    }
                }
            }
        }
        true
    }

    /// Tells the shared counters, before a batch can be acked that they do not know.
    fn tell(&mut self) {
        std::mem::take(&mut self.counts).tell(&self.metrics);
    }
}
