//! What is answered over HTTP: the metrics, and whether lines are delivered. A process that lives and delivers nothing is not
//! well; one that has nothing to deliver is.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::joint::Joint;
use super::roster::Roster;
use crate::chain::Chain;
use crate::metrics::Metric;
use crate::report::{Address, Answer, Exporter, Page};

/// How long a record may be on its way before its flow is said to be unwell: longer than a stream is throttled in passing.
const LATE: Duration = Duration::from_secs(300);

/// How often it is tried to listen.
const AGAIN: Duration = Duration::from_secs(10);

/// Answers on `address` for as long as it is polled; without one, nobody.
pub(super) async fn export(address: Option<Address>, roster: &Roster) {
    let Some(address) = address else { return std::future::pending().await };
    let mut is_told = false;
    let exporter = loop {
        match Exporter::bind(&address).await {
            Ok(exporter) => break exporter,
            Err(error) if !is_told => {
                warn!(?address, error = %Chain(&error), "could not listen on `metricsListen`; goes on, and tries again");
                is_told = true;
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    };
    info!(?address, "answers /metrics and /health");
    exporter.serve(|page| answer(page, roster)).await;
}

fn answer(page: Page, roster: &Roster) -> Answer {
    match page {
        Page::Metrics => Answer::Well(roster.exposition()),
        Page::Health => {
            let (members, now) = (roster.members(), Instant::now());
            let ailments = members.iter().filter_map(|member| ailment(&member.joint, now));
            let ailments: String = ailments.map(|ailment| ailment + "\n").collect();
            match ailments.is_empty() {
                true => Answer::Well("every flow delivers what it reads\n".to_owned()),
                false => Answer::Unwell(ailments),
            }
        }
    }
}

/// What keeps a flow from delivering, if something does.
fn ailment(flow: &Joint, now: Instant) -> Option<String> {
    let age = flow.on_the_way.oldest().map_or(Duration::ZERO, |opened| now.saturating_duration_since(opened));
    if flow.metrics.get(Metric::FailingFlows) == 0 && age < LATE {
        return None;
    }
    let words = flow.health.trouble().map(|trouble| format!(": {}", trouble.words)).unwrap_or_default();
    let (name, age) = (&flow.name, age.as_secs());
    Some(
        format!("flow {name}: its oldest record has been on its way for {age} s{words}")
            .replace(['\n', '\r'], " "),
    )
}
