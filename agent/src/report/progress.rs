//! The periodic line in the log.

use tracing::info;

use crate::loss::Reason;
use crate::metrics::{Description, Metric, Metrics};
use crate::report::Pace;

/// Logs how far all flows together are.
pub fn progress(values: &[(&'static Description, u64)]) {
    let value = |metric| values.iter().find(|(row, _)| row.metric == metric).map_or(0, |(_, value)| *value);
    info!(
        read = value(Metric::LinesRead),
        acked = value(Metric::RecordsAcked),
        unmatched = value(Metric::LinesDropped(Reason::Unmatched)),
        refused = value(Metric::LinesDropped(Reason::Refused)),
        on_the_way = value(Metric::UnackedRecords),
        bytes_behind = value(Metric::LagBytes),
        oldest_seconds = value(Metric::OldestUndeliveredSeconds),
        "progress"
    );
}

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
