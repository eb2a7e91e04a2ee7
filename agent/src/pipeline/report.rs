//! Tells the metrics at intervals: a line in the log, and a file for the monitoring.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use super::joint::Joint;
use crate::chain::Chain;
use crate::checkpoint::Store;
use crate::metrics::{Metric, Metrics, Values, sum};
use crate::report::{catching_up, progress, prometheus};

/// How often the file for the monitoring is written, if a value changed.
const PUBLISH: Duration = Duration::from_secs(1);

/// The file for the monitoring, in the state directory.
const FILE: &str = "metrics.prom";

/// Tells how far the agent is.
pub(super) struct Reporter<'a> {
    flows: &'a [Joint],
    store: Arc<Store>,
    published: String,
    failing: bool,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(flows: &'a [Joint], store: Arc<Store>) -> Reporter<'a> {
        Reporter { flows, store, published: String::new(), failing: false }
    }

    /// Tells at intervals, for as long as it is polled.
    pub(super) async fn run(&mut self, period: Option<Duration>) {
        let mut tick = interval(PUBLISH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = period.map(|period| Instant::now() + period);
        loop {
            let now = tick.tick().await;
            let values = self.publish(now).await;
            if next.is_some_and(|next| now >= next) {
                next = period.map(|period| now + period);
                progress(&values);
                for flow in self.flows {
                    catching_up(&flow.name, &flow.metrics, flow.pace());
                }
            }
        }
    }

    /// Tells a last time.
    pub(super) async fn finish(&mut self) {
        progress(&self.publish(Instant::now()).await);
    }

    /// Writes the file for the monitoring, if a value changed. Not on this thread: a disk that hangs must not hold up
    /// the network.
    async fn publish(&mut self, now: Instant) -> Values {
        for Joint { metrics, on_the_way, budget, samples, .. } in self.flows {
            let age =
                on_the_way.oldest().map_or(Duration::ZERO, |opened| now.saturating_duration_since(opened));
            metrics.set(Metric::OldestUndeliveredSeconds, age.as_secs());
            metrics.set(Metric::HeldBytes, budget.held() as u64);
            let (read, behind) = (metrics.get(Metric::BytesRead), metrics.get(Metric::LagBytes));
            samples.lock().unwrap_or_else(PoisonError::into_inner).note(now, read, behind);
        }
        let metrics: Vec<&Metrics> = self.flows.iter().map(|flow| flow.metrics.as_ref()).collect();
        let values = sum(&metrics);
        let text = prometheus(&values);
        if text != self.published {
            let store = Arc::clone(&self.store);
            let publishing = tokio::task::spawn_blocking(move || (store.publish(FILE, &text), text));
            match publishing.await {
                Ok((Ok(()), text)) => (self.published, self.failing) = (text, false),
                Ok((Err(error), _)) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        warn!(error = %Chain(&error), "could not write the metrics; will try again");
                    }
                }
                // A panic in it has ended the process already.
                Err(_) => {}
            }
        }
        values
    }
}
