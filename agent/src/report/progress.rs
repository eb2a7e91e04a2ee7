//! The periodic line of a flow that catches up with rotated files.

use tracing::info;

use crate::metrics::{Metric, Metrics};
use crate::report::Pace;

/// Logs how far a flow is with its rotated files, if any are left to read.
pub fn catching_up(flow: &str, metrics: &Metrics, pace: Pace) {
    let files = metrics.get(Metric::BacklogFiles);
    if files > 0 {
        let seconds_left = pace.left.map(|left| left.as_secs());
        info!(
            files,
            bytes = metrics.get(Metric::BacklogBytes),
            bytes_per_second = pace.bytes_per_second,
            seconds_left,
            "flow {flow} catches up with rotated files"
        );
    }
}
