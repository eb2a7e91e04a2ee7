//! What the steps of one flow share, whichever thread they are on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::on_the_way::OnTheWay;
use super::vigil::Pulse;
use crate::budget::Budget;
use crate::buffers::Buffers;
use crate::calls::Calls;
use crate::config::Flow;
use crate::metrics::Metrics;
use crate::position::FlowId;
use crate::report::java::{Detail, Processing, Service};
use crate::report::{Pace, Samples};
use crate::send::{Destination, Health, Patience};
use crate::source::Bell;

/// How many bytes a flow's buffers may be, kept and in use, before none is kept, where it may hold `share` bytes: a batch that is
/// still filled is larger than was known when its buffer was taken.
pub(super) fn kept_within(share: usize) -> usize {
    share / 4 * 3
}

/// What the steps of one flow share, and what it is called.
#[derive(Debug)]
pub(super) struct Joint {
    /// What it is called in messages; no other flow ever was.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) id: FlowId,
    pub(super) destination: Destination,
    pub(super) processing: Processing,
    /// What the log is told of it beside its progress.
    pub(super) detail: Detail,
    pub(super) metrics: Arc<Metrics>,
    pub(super) calls: Arc<Calls>,
    pub(super) bell: Arc<Bell>,
    pub(super) on_the_way: Arc<OnTheWay>,
    pub(super) budget: Arc<Budget>,
    pub(super) buffers: Arc<Buffers>,
    pub(super) health: Arc<Health>,
    /// Of the reader, as long as it runs.
    pub(super) reading: Arc<Pulse>,
    /// Of the reader, while it waits for memory.
    pub(super) room: Arc<Pulse>,
    /// How long the reader may find nothing to do before it looks again.
    pub(super) rescan: Duration,
    /// How long the sender may wait for an answer and before the next call, if there is a bound.
    pub(super) silence: Option<Duration>,
    /// How far the flow was in the last minute.
    pub(super) samples: Mutex<Samples>,
    /// How much its stream took in the last minute.
    pub(super) sent: Mutex<Samples>,
}

impl Joint {
    /// For a flow that is `index` in messages, whose batches may hold `bytes`, and whose calls have this `patience`.
    pub(super) fn new(flow: &Flow, index: usize, bytes: usize, patience: Patience) -> Joint {
        Joint {
            index,
            name: flow.name.clone(),
            id: flow.id.clone(),
            destination: flow.destination.clone(),
            processing: flow.processing,
            detail: flow.detail,
            metrics: Arc::default(),
            calls: Arc::default(),
            bell: Arc::default(),
            on_the_way: Arc::default(),
            budget: Budget::new(bytes),
            buffers: Buffers::new(kept_within(bytes)),
            health: Arc::default(),
            reading: Arc::default(),
            room: Arc::default(),
            rescan: flow.source.rescan,
            silence: patience.of_a_call().map(|call| call + flow.waits.longest()),
            samples: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// Whom the Java agent's counters name for it.
    pub(super) fn service(&self) -> Service {
        match self.destination {
            Destination::Kinesis(_) => Service::Kinesis,
            Destination::Firehose(_) => Service::Firehose,
        }
    }

    /// How fast it was in the last minute.
    pub(super) fn pace(&self) -> Pace {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).pace()
    }

    /// How many bytes its stream took in a second, over the last minute.
    pub(super) fn bytes_taken_per_second(&self) -> u64 {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).pace().bytes_per_second
    }
}
