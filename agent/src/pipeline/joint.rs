//! What the steps of one flow share, whichever thread they are on.

use std::sync::{Arc, Mutex, PoisonError};

use super::on_the_way::OnTheWay;
use crate::budget::Budget;
use crate::calls::Calls;
use crate::config::Flow;
use crate::metrics::Metrics;
use crate::position::FlowId;
use crate::report::java::{Detail, Processing};
use crate::report::{Pace, Samples};
use crate::send::Health;
use crate::source::Bell;

/// What the steps of one flow share, and what it is called.
#[derive(Debug)]
pub(super) struct Joint {
    /// What it is called in messages; no other flow ever was.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) id: FlowId,
    pub(super) stream: String,
    pub(super) processing: Processing,
    /// What the log is told of it beside its progress.
    pub(super) detail: Detail,
    pub(super) metrics: Arc<Metrics>,
    pub(super) calls: Arc<Calls>,
    pub(super) bell: Arc<Bell>,
    pub(super) on_the_way: Arc<OnTheWay>,
    pub(super) budget: Arc<Budget>,
    pub(super) health: Arc<Health>,
    /// How far the flow was in the last minute.
    pub(super) samples: Mutex<Samples>,
}

impl Joint {
    /// For a flow that is `index` in messages and whose batches may hold `bytes`.
    pub(super) fn new(flow: &Flow, index: usize, bytes: usize) -> Joint {
        Joint {
            index,
            name: flow.name.clone(),
            id: flow.id.clone(),
            stream: flow.stream.clone(),
            processing: flow.processing,
            detail: flow.detail,
            metrics: Arc::default(),
            calls: Arc::default(),
            bell: Arc::default(),
            on_the_way: Arc::default(),
            budget: Budget::new(bytes),
            health: Arc::default(),
            samples: Mutex::default(),
        }
    }

    /// How fast it was in the last minute.
    pub(super) fn pace(&self) -> Pace {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).pace()
    }
}
