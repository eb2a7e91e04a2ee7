//! Tells CloudWatch of the calls of all flows, at intervals and beside everything else.
//!
//! Delivery does not know of it: what the senders note costs the same whether or not anybody asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::joint::Joint;
use super::roster::Roster;
use crate::metrics::Metric;
use crate::report::cloudwatch::{Look, Publisher, Settings};
use crate::send::Aws;
use crate::source::host_name;

/// How long a stop or a reload waits for CloudWatch.
const LAST: Duration = Duration::from_secs(2);

/// Tells CloudWatch; nobody where nothing is to be told.
#[derive(Debug)]
pub(super) struct CloudWatch {
    telling: JoinHandle<()>,
    stopping: Arc<Notify>,
}

impl CloudWatch {
    /// Begins to send the metrics of who runs, as `settings` say; nothing where there are none.
    pub(super) fn start(roster: &Arc<Roster>, settings: Option<&Settings>, aws: &Aws) -> Option<CloudWatch> {
        let settings = settings?;
        let client = aws.cloudwatch(settings.endpoint.as_deref(), settings.region.as_deref());
        // Where the host has no name, its metrics have none either.
        let host = host_name().unwrap_or_default();
        let publisher = Publisher::new(client, settings, host, Arc::clone(&roster.agent));
        let stopping = Arc::new(Notify::new());
        let telling = tell(Arc::clone(roster), publisher, settings.period, Arc::clone(&stopping));
        Some(CloudWatch { telling: tokio::spawn(telling), stopping })
    }

    /// Tells a last time. What CloudWatch does not take in time is lost; no line is.
    pub(super) async fn finish(mut self) {
        self.stopping.notify_one();
        if timeout(LAST, &mut self.telling).await.is_err() {
            self.telling.abort();
        }
    }
}

/// Tells until `stopping` is noticed; then a last time.
async fn tell(roster: Arc<Roster>, mut publisher: Publisher, period: Duration, stopping: Arc<Notify>) {
    let mut failures = BTreeMap::new();
    let mut tick = interval_at(Instant::now() + period, period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both arms only wait.
        let is_last = tokio::select! {
            _ = tick.tick() => false,
            () = stopping.notified() => true,
        };
        let members = roster.members();
        let looks: Vec<Look<'_>> = members
            .iter()
            .map(|member| look(&member.joint, failures.entry(member.joint.index).or_default()))
            .collect();
        publisher.publish(&looks).await;
        if is_last {
            return;
        }
    }
}

/// What is to be told of a flow. `failures` are the looks in a row that have found a file which cannot be read.
fn look<'a>(flow: &'a Joint, failures: &mut u64) -> Look<'a> {
    let is_failing = flow.metrics.get(Metric::UnreadableFiles) > 0;
    *failures = if is_failing { failures.saturating_add(1) } else { 0 };
    let destination = flow.destination.dimension();
    Look { stream: flow.destination.name(), destination, calls: flow.calls.take(), failures: *failures }
}
