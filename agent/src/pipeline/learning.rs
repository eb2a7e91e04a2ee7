//! What streams say of themselves, asked once before the flows begin that send to them. A stream that cannot be asked, or may
//! not, is taken for one as all were for long.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::info;

use crate::chain::Chain;
use crate::config::Flow;
use crate::send::{Aws, Destination};

/// How long the start waits for the answers: longer than they take where the service can be reached at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Has `flows` keep records whole that their streams take whole.
pub(super) async fn learn(flows: &mut [Flow], aws: &Aws) {
    let destinations: BTreeMap<String, &Destination> =
        flows.iter().map(|flow| (flow.destination.to_string(), &flow.destination)).collect();
    let asked = destinations.into_iter().map(|(id, destination)| async move {
        let described = timeout(PATIENCE, destination.describe(aws)).await;
        let why = match described {
            Ok(Ok(described)) => return Some((id, described?.record_bytes?)),
            Ok(Err(fault)) => Chain(&fault).to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        info!(
            stream = destination.name(),
            reason = why,
            "the stream does not say how large records it takes; keeps to 1 MiB"
        );
        None
    });
    let known: BTreeMap<String, usize> = join_all(asked).await.into_iter().flatten().collect();
    for flow in flows {
        if let Some(bytes) = known.get(&flow.destination.to_string()) {
            flow.admit(*bytes);
        }
    }
}
