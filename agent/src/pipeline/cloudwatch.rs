//! Tells CloudWatch of the calls of all flows, at intervals and beside everything else.
//!
//! Delivery does not know of it: what the senders note costs the same whether or not anybody asks for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::joint::Joint;
use crate::metrics::Metric;
use crate::report::cloudwatch::{Look, Publisher, Settings};
use crate::send::Aws;
use crate::source::host_name;

/// How long a stop waits for CloudWatch.
const LAST: Duration = Duration::from_secs(2);

/// Sends the metrics of `flows`, as `settings` say, until `stopping` is noticed; then a last time. Never ends before, nor
/// begins where there are no settings.
pub(super) async fn tell(flows: &[Joint], settings: Option<&Settings>, aws: &Aws, stopping: &Notify) {
    let (Some(settings), Some(first)) = (settings, flows.first()) else { return stopping.notified().await };
    let client = aws.cloudwatch(settings.endpoint.as_deref(), settings.region.as_deref());
    // What belongs to no flow is counted with the first.
    let metrics = Arc::clone(&first.metrics);
    // Where the host has no name, its metrics have none either.
    let mut publisher = Publisher::new(client, settings, host_name().unwrap_or_default(), metrics);
    let mut failures = vec![0; flows.len()];
    let mut tick = interval_at(Instant::now() + settings.period, settings.period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both arms only wait.
        let is_last = tokio::select! {
            _ = tick.tick() => false,
            () = stopping.notified() => true,
        };
        let looks: Vec<Look<'_>> =
            flows.iter().zip(&mut failures).map(|(flow, count)| look(flow, count)).collect();
        publisher.publish(&looks).await;
        if is_last {
            return;
        }
    }
}

/// Has `telling` tell a last time. What CloudWatch does not take in time is lost with the process; no line is.
pub(super) async fn finish(telling: impl Future<Output = ()>, stopping: &Notify) {
    stopping.notify_one();
    timeout(LAST, telling).await.unwrap_or_default();
}

/// What is to be told of a flow. `failures` are the looks in a row that have found a file which cannot be read.
fn look<'a>(flow: &'a Joint, failures: &mut u64) -> Look<'a> {
    let is_failing = flow.metrics.get(Metric::UnreadableFiles) > 0;
    *failures = if is_failing { failures.saturating_add(1) } else { 0 };
    Look { stream: &flow.stream, calls: flow.calls.take(), failures: *failures }
}
