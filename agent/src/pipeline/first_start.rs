//! What there is to go on from where no checkpoint is: the positions of the Java agent.
//!
//! Tells of each flow where it goes on, or why it does not. A store that may hold positions, but cannot be read now, stops
//! the start: without them lines would be skipped, and there is no second first start. (G1)

use tracing::{error, info, warn};

use crate::chain::Chain;
use crate::checkpoint::{Found, State};
use crate::config::Config;
use crate::source::System;
use crate::takeover::{self, StoreError};

/// What there is to go on from at the very first start: the Java agent's positions, if its store is here.
pub(super) fn take_over(config: &Config) -> Result<Found, StoreError> {
    let Some(path) = takeover::locate(&config.agent.java_store) else { return Ok(Found::Nothing) };
    info!(file = %path.display(), "takes over the positions of the Java agent");
    let flows: Vec<_> = config.flows.iter().map(|flow| (&flow.id, &flow.source.pattern)).collect();
    match takeover::take(&path, &flows, &System) {
        Ok(taken) => {
            for finding in taken.findings {
                if finding.is_trouble() { warn!("{finding}") } else { info!("{finding}") }
            }
            Ok(Found::State(State { generation: 0, flows: taken.flows }))
        }
        Err(error) if error.can_be_mended() => Err(error),
        Err(error) => {
            error!(error = %Chain(&error), "the Java agent's positions are lost; starts as if it had never run");
            Ok(Found::Nothing)
        }
    }
}
