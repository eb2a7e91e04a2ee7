//! The periodic line in the log.

use tracing::info;

use crate::loss::Reason;
use crate::metrics::{Description, Metric};

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
