//! Tells the metrics at intervals: a line in the log, and a file for the monitoring.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::joint::Joint;
use super::roster::{Manner, Roster};
use crate::chain::Chain;
use crate::checkpoint::{Store, StoreError};
use crate::metrics::Metric;
use crate::report::catching_up;
use crate::report::java::{Counts, Detail, Loudness};

/// How often the file for the monitoring is written, if a value changed.
const PUBLISH: Duration = Duration::from_secs(1);

/// The file for the monitoring, in the state directory.
const FILE: &str = "metrics.prom";

/// Tells how far the agent is.
pub(super) struct Reporter {
    roster: Arc<Roster>,
    store: Arc<Store>,
    started: Instant,
    published: String,
    /// What is being written. Kept while it is waited for: who gives up the wait and publishes again must not write
    /// beside it.
    publishing: Option<JoinHandle<Published>>,
    failing: bool,
}

/// What became of a text for the monitoring.
type Published = (Result<(), StoreError>, String);

impl Reporter {
    pub(super) fn new(roster: Arc<Roster>, store: Arc<Store>) -> Reporter {
        let started = Instant::now();
        Reporter { roster, store, started, published: String::new(), publishing: None, failing: false }
    }

    /// Tells at intervals, for as long as it is polled.
    pub(super) async fn run(&mut self) {
        let mut tick = interval(PUBLISH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Instant::now();
        loop {
            let now = tick.tick().await;
            self.publish(now).await;
            if self.roster.manner().period.is_some_and(|period| now >= told + period) {
                told = now;
                self.tell();
                for member in self.roster.members() {
                    let flow = &member.joint;
                    catching_up(&flow.name, &flow.metrics, flow.pace());
                }
            }
        }
    }

    /// Tells a last time.
    pub(super) async fn finish(&mut self) {
        self.publish(Instant::now()).await;
        self.tell();
    }

    /// Tells the log in the Java agent's words: these are the only periodic lines, so that scripts and people find one
    /// account of each flow.
    fn tell(&self) {
        let uptime = self.started.elapsed();
        let (members, Manner { detail, .. }) = (self.roster.members(), self.roster.manner());
        let flows = members.iter().map(|member| &member.joint);
        let counted = |flow: &Joint| Counts::of(&flow.metrics, flow.processing);
        let counts: Vec<Counts> = flows.clone().map(counted).collect();
        let all = Counts::sum(&[Counts::sum(&counts), self.roster.gone()]);
        info!("{}", all.agent_progress(uptime));
        say(all.loudness(detail), &all.agent_behind());
        if detail == Detail::Internal {
            let flows = flows.clone().zip(&counts);
            let mut status: serde_json::Map<_, _> = flows
                .map(|(flow, counts)| {
                    (flow.id.to_string(), counts.flow_status(&flow.metrics, flow.service()))
                })
                .collect();
            status.insert("Agent".to_owned(), all.agent_status(uptime));
            info!("Agent: Status: {}", serde_json::Value::Object(status));
        }
        for (flow, counts) in flows.zip(&counts) {
            let id = flow.id.as_str();
            info!("{}", counts.flow_progress(id));
            say(counts.loudness(flow.detail), &counts.flow_behind(id));
            if flow.detail == Detail::Internal {
                info!(
                    "FileTailer[{id}]: File Tailer Status: {}",
                    counts.flow_status(&flow.metrics, flow.service())
                );
            }
        }
    }

    /// Writes the file for the monitoring, if a value changed. Not on this thread: a disk that hangs must not hold up
    /// the network.
    async fn publish(&mut self, now: Instant) {
        let members = self.roster.members();
        for member in &members {
            let Joint { metrics, on_the_way, budget, buffers, samples, sent, .. } = &member.joint;
            let age =
                on_the_way.oldest().map_or(Duration::ZERO, |opened| now.saturating_duration_since(opened));
            metrics.set(Metric::OldestUndeliveredSeconds, age.as_secs());
            metrics.set(Metric::HeldBytes, budget.held() as u64);
            let (read, behind) = (metrics.get(Metric::BytesRead), metrics.get(Metric::LagBytes));
            samples.lock().unwrap_or_else(PoisonError::into_inner).note(now, read, behind);
            buffers.release();
            let taken = metrics.get(Metric::BytesSent);
            sent.lock().unwrap_or_else(PoisonError::into_inner).note(now, taken, 0);
        }
        self.settle().await;
        let text = self.roster.exposition();
        if text != self.published {
            let store = Arc::clone(&self.store);
            let publishing = tokio::task::spawn_blocking(move || (store.publish(FILE, &text), text));
            self.publishing = Some(publishing);
            self.settle().await;
        }
    }

    /// Waits for what is being written.
    async fn settle(&mut self) {
        let Some(publishing) = &mut self.publishing else { return };
        let published = publishing.await;
        self.publishing = None;
        match published {
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
}

fn say(loudness: Loudness, text: &str) {
    match loudness {
        Loudness::Silent => {}
        Loudness::Debug => debug!("{text}"),
        Loudness::Info => info!("{text}"),
        Loudness::Warn => warn!("{text}"),
    }
}
