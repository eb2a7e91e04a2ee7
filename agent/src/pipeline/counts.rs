//! What a reader counts by itself: the shared counters are told once a chunk, not once a line.

use crate::loss::Reason;
use crate::metrics::{Metric, Metrics};

/// What was counted since the shared counters were last told.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) joined: u64,
    pub(super) header: u64,
    pub(super) footer: u64,
    pub(super) kept: u64,
    pub(super) dropped: u64,
    pub(super) raw: u64,
    pub(super) repaired: u64,
    pub(super) unprocessed: u64,
    pub(super) truncated: u64,
}

impl Counts {
    /// Tells the shared counters.
    pub(super) fn tell(&self, metrics: &Metrics) {
        metrics.add(Metric::UnackedRecords, self.records + self.kept);
        metrics.add(Metric::RepeatableRecords, self.records);
        metrics.add(Metric::LinesRead, self.lines);
        metrics.add(Metric::BytesRead, self.bytes);
        metrics.add(Metric::LinesJoined, self.joined);
        metrics.add(Metric::HeaderLinesSkipped, self.header);
        metrics.add(Metric::FooterLinesSkipped, self.footer);
        metrics.add(Metric::LinesDropped(Reason::Unmatched), self.dropped);
        metrics.add(Metric::LinesSentRaw, self.raw);
        metrics.add(Metric::LinesRepaired, self.repaired);
        metrics.add(Metric::LinesUnprocessed, self.unprocessed);
        metrics.add(Metric::LinesTruncated, self.truncated);
    }
}
