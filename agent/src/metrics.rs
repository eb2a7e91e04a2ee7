//! The name, unit and meaning of everything counted. Knows nothing of who counts or who is told.
//!
//! The books balance: lines read + lines released from the quarantine = records acked + lines quarantined by cause +
//! lines dropped by reason + records discarded + records still on the way + lines joined to the record of an earlier line +
//! lines skipped in headers and from footers on; each term is counted where it happens, none is computed from the others.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::loss::{Cause, Reason};

/// Something that is counted. What each means stands in [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Lines that `split` has cut.
    LinesRead,
    /// Bytes that `split` has made lines of.
    BytesRead,
    /// Lines that are part of the record that an earlier line began.
    LinesJoined,
    /// Lines at the beginning of files that were left out.
    HeaderLinesSkipped,
    /// Lines left out from the footer of a file on.
    FooterLinesSkipped,
    /// Records that went past their record's limit.
    LinesTruncated,
    /// Lines whose invalid UTF-8 was replaced.
    LinesRepaired,
    /// Lines that were sent as they are, since a step failed.
    LinesUnprocessed,
    /// Records whose flow was ended by a reload before the stream took them.
    RecordsDiscarded,
    /// Records the stream has taken.
    RecordsAcked,
    /// Entries of requests the stream has taken.
    EntriesAcked,
    /// Payload of those entries.
    BytesSent,
    /// Lines sent as they are though they do not match.
    LinesSentRaw,
    /// Lines put into the quarantine, or found there, by cause.
    LinesQuarantined(Cause),
    /// Lines that left the quarantine, whatever became of them.
    LinesReleased,
    /// Lines left behind, by reason.
    LinesDropped(Reason),
    /// Lines in the quarantine.
    QuarantinedLines,
    /// What the quarantine takes up on the disk.
    QuarantineBytes,
    /// Entries of the quarantine that could not be read.
    QuarantineEntriesDamaged,
    /// Calls made.
    RequestsSent,
    /// Calls that failed as a whole.
    RequestsFailed,
    /// Records the stream refused for now.
    RecordsRefused,
    /// What is offered in a second at most.
    OfferLimit,
    /// Records offered again though the stream may have taken them.
    RecordsPossiblyRepeated,
    /// Files that were renamed or whose name another file took.
    FilesRotated,
    /// Files that became shorter, were rewritten or whose inode was used again.
    FilesTruncated,
    /// Files read again from their beginning as nothing could be proved.
    FilesReread,
    /// Archives that were to be read and cannot be.
    ArchivesDamaged,
    /// Bytes that were gone before they could be read.
    BytesLost,
    /// NUL bytes skipped.
    NulBytesSkipped,
    /// Checkpoints written.
    CheckpointsWritten,
    /// Checkpoints that could not be written.
    CheckpointsFailed,
    /// Checkpoints that could not be trusted.
    CheckpointsSetAside,
    /// Records in batches, and lines on their way to the quarantine.
    UnackedRecords,
    /// Records that a crash would send again.
    RepeatableRecords,
    /// Bytes not read yet.
    LagBytes,
    /// Bytes of rotated files not read yet.
    BacklogBytes,
    /// Rotated files not read to their end yet.
    BacklogFiles,
    /// Age of the oldest record that is on its way.
    OldestUndeliveredSeconds,
    /// Files held open.
    OpenFiles,
    /// Memory held.
    HeldBytes,
    /// Flows whose stream does not take what is offered.
    FailingFlows,
    /// Files that cannot be read.
    UnreadableFiles,
    /// Calls of CloudWatch that failed.
    CloudWatchRequestsFailed,
    /// Data that CloudWatch never got.
    CloudWatchDataDropped,
}

impl Metric {
    /// The value of its label `reason`, if it has one.
    #[must_use]
    pub fn label(self) -> Option<&'static str> {
        if let Metric::LinesDropped(reason) = self {
            Some(reason.label())
        } else if let Metric::LinesQuarantined(cause) = self {
            Some(cause.label())
        } else {
            None
        }
    }
}

/// Whether a value only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts up from the start of the process.
    Counter,
    /// Goes up and down; of several flows the sum.
    Gauge,
    /// Goes up and down; of several flows the largest.
    Worst,
}

/// What a metric is called and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The metric.
    pub metric: Metric,
    /// Its name, with unit.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What it says, in a sentence.
    pub help: &'static str,
}

const fn describe(metric: Metric, name: &'static str, kind: Kind, help: &'static str) -> Description {
    Description { metric, name, kind, help }
}

/// Everything there is, in the order of the way of the data. One line each, to be read as a table.
#[rustfmt::skip]
pub const TABLE: [Description; 49] = {
    use Kind::{Counter, Gauge, Worst};
    [
        describe(Metric::LinesRead, "kinetail_lines_read_total", Counter, "Lines read from files."),
        describe(Metric::BytesRead, "kinetail_bytes_read_total", Counter, "Bytes of those lines."),
        describe(Metric::LinesJoined, "kinetail_lines_joined_total", Counter, "Lines sent within the record that a line before them began."),
        describe(Metric::HeaderLinesSkipped, "kinetail_header_lines_skipped_total", Counter, "Lines left out at the beginning of files, as skipHeaderLines says."),
        describe(Metric::FooterLinesSkipped, "kinetail_footer_lines_skipped_total", Counter, "Lines left out from the one on that fileFooterPattern matches."),
        describe(Metric::LinesTruncated, "kinetail_lines_truncated_total", Counter, "Lines sent cut, as their record would be longer than the stream takes."),
        describe(Metric::LinesRepaired, "kinetail_lines_repaired_total", Counter, "Lines in whose JSON bytes that are not UTF-8 became U+FFFD."),
        describe(Metric::LinesUnprocessed, "kinetail_lines_unprocessed_total", Counter, "Lines sent as they are, since a step of dataProcessingOptions could not work on them."),
        describe(Metric::LinesSentRaw, "kinetail_lines_sent_raw_total", Counter, "Lines sent as they are though they do not match, as onParseError says."),
        describe(Metric::LinesQuarantined(Cause::Unmatched), "kinetail_lines_quarantined_total", Counter, "Lines put into the quarantine, or found there after a crash, by cause."),
        describe(Metric::LinesQuarantined(Cause::Refused), "kinetail_lines_quarantined_total", Counter, "Lines put into the quarantine, or found there after a crash, by cause."),
        describe(Metric::LinesReleased, "kinetail_lines_released_total", Counter, "Lines that left the quarantine: replayed, or dropped from it."),
        describe(Metric::LinesDropped(Reason::Unmatched), "kinetail_lines_dropped_total", Counter, "Lines left behind, by reason."),
        describe(Metric::LinesDropped(Reason::Unkept), "kinetail_lines_dropped_total", Counter, "Lines left behind, by reason."),
        describe(Metric::LinesDropped(Reason::Evicted), "kinetail_lines_dropped_total", Counter, "Lines left behind, by reason."),
        describe(Metric::LinesDropped(Reason::Cleared), "kinetail_lines_dropped_total", Counter, "Lines left behind, by reason."),
        describe(Metric::RecordsDiscarded, "kinetail_records_discarded_total", Counter, "Records not taken when a reload ended or changed their flow; who goes on from its positions reads their lines again."),
        describe(Metric::RecordsAcked, "kinetail_records_acked_total", Counter, "Records the stream has taken."),
        describe(Metric::EntriesAcked, "kinetail_entries_acked_total", Counter, "Entries of requests the stream has taken, which it counts and bills: packed ones hold many records."),
        describe(Metric::BytesSent, "kinetail_bytes_sent_total", Counter, "Payload bytes of the entries taken."),
        describe(Metric::RequestsSent, "kinetail_requests_sent_total", Counter, "PutRecords calls made."),
        describe(Metric::RequestsFailed, "kinetail_requests_failed_total", Counter, "PutRecords calls that failed as a whole; their records are offered again."),
        describe(Metric::RecordsRefused, "kinetail_records_refused_total", Counter, "Records refused one by one, most often as a shard was full; they are offered again."),
        describe(Metric::OfferLimit, "kinetail_offer_limit_records", Gauge, "Entries of up to 1 KiB that are offered in a second at most since the stream refused some as too many; 0 for any number."),
        describe(Metric::RecordsPossiblyRepeated, "kinetail_records_possibly_repeated_total", Counter, "Records offered again after a call whose outcome is unknown."),
        describe(Metric::UnackedRecords, "kinetail_unacked_records", Gauge, "Records read that are neither acked, dropped nor in the quarantine yet."),
        describe(Metric::RepeatableRecords, "kinetail_repeatable_records", Gauge, "Records that would be sent again if the process died now: those read that the checkpoint does not cover."),
        describe(Metric::OldestUndeliveredSeconds, "kinetail_oldest_undelivered_seconds", Worst, "How long the oldest record on its way has been waiting."),
        describe(Metric::LagBytes, "kinetail_lag_bytes", Gauge, "Bytes in the files that are not read yet."),
        describe(Metric::BacklogBytes, "kinetail_backlog_bytes", Gauge, "Bytes of these in files that were rotated."),
        describe(Metric::BacklogFiles, "kinetail_backlog_files", Gauge, "Rotated files that are not read to their end yet."),
        describe(Metric::OpenFiles, "kinetail_open_files", Gauge, "Files held open."),
        describe(Metric::UnreadableFiles, "kinetail_unreadable_files", Gauge, "Files that match a pattern and cannot be read."),
        describe(Metric::HeldBytes, "kinetail_held_bytes", Gauge, "Memory held for blocks, batches and requests."),
        describe(Metric::FailingFlows, "kinetail_failing_flows", Gauge, "Flows whose stream does not take what is offered until someone acts."),
        describe(Metric::QuarantinedLines, "kinetail_quarantined_lines", Gauge, "Lines in the quarantine that are not being replayed."),
        describe(Metric::QuarantineBytes, "kinetail_quarantine_bytes", Gauge, "What the quarantine takes up on the disk."),
        describe(Metric::QuarantineEntriesDamaged, "kinetail_quarantine_entries_damaged_total", Counter, "Entries of the quarantine that were torn by a crash or damaged by the disk."),
        describe(Metric::FilesRotated, "kinetail_files_rotated_total", Counter, "Files that were renamed, removed or replaced under their name."),
        describe(Metric::FilesTruncated, "kinetail_files_truncated_total", Counter, "Files that became shorter, were rewritten in place, or whose inode was used again."),
        describe(Metric::FilesReread, "kinetail_files_reread_total", Counter, "Files read from their beginning though they may be copies of what was read."),
        describe(Metric::ArchivesDamaged, "kinetail_archives_damaged_total", Counter, "Compressed rotations that were to be read and are damaged or cut short; nothing of them is read."),
        describe(Metric::BytesLost, "kinetail_bytes_lost_total", Counter, "Bytes known to have been in a file that was gone before they could be read."),
        describe(Metric::NulBytesSkipped, "kinetail_nul_bytes_skipped_total", Counter, "NUL bytes skipped that a truncation left under a writer that does not append."),
        describe(Metric::CheckpointsWritten, "kinetail_checkpoints_written_total", Counter, "Checkpoints that reached the disk."),
        describe(Metric::CheckpointsFailed, "kinetail_checkpoints_failed_total", Counter, "Checkpoints that could not be written; the one before stays in force."),
        describe(Metric::CheckpointsSetAside, "kinetail_checkpoints_set_aside_total", Counter, "Checkpoints found at the start that could not be trusted and are kept under another name."),
        describe(Metric::CloudWatchRequestsFailed, "kinetail_cloudwatch_requests_failed_total", Counter, "PutMetricData calls that failed; their data wait for the next."),
        describe(Metric::CloudWatchDataDropped, "kinetail_cloudwatch_data_dropped_total", Counter, "Data for CloudWatch that were left out, as too many waited or as it called them wrong."),
    ]
};

/// The counts of one flow. Each step's shell adds to them once per chunk or per batch, never per line.
#[derive(Debug)]
pub struct Metrics {
    values: [AtomicU64; TABLE.len()],
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics { values: [const { AtomicU64::new(0) }; TABLE.len()] }
    }
}

impl Metrics {
    fn value(&self, metric: Metric) -> &AtomicU64 {
        let row = TABLE.iter().zip(&self.values).find(|(description, _)| description.metric == metric);
        row.expect("every metric has a row in the table").1
    }

    /// Counts `more` of it.
    pub fn add(&self, metric: Metric, more: u64) {
        self.value(metric).fetch_add(more, Ordering::Relaxed);
    }

    /// Counts `less` of a gauge off.
    pub fn subtract(&self, metric: Metric, less: u64) {
        self.value(metric).fetch_sub(less, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, metric: Metric, value: u64) {
        self.value(metric).store(value, Ordering::Relaxed);
    }

    /// Counts what a flow has counted that is gone: what only grows must not become less.
    pub fn absorb(&self, gone: &Metrics) {
        for Description { metric, kind, .. } in &TABLE {
            match kind {
                Kind::Counter => self.add(*metric, gone.get(*metric)),
                Kind::Gauge | Kind::Worst => {}
            }
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self, metric: Metric) -> u64 {
        self.value(metric).load(Ordering::Relaxed)
    }
}

/// A value for each row of [`TABLE`].
pub type Values = Vec<(&'static Description, u64)>;

/// The counts of all flows together, in the order of [`TABLE`].
#[must_use]
pub fn sum(flows: &[&Metrics]) -> Values {
    let total = |description: &Description| {
        let values = flows.iter().map(|flow| flow.get(description.metric));
        match description.kind {
            Kind::Counter | Kind::Gauge => values.sum(),
            Kind::Worst => values.max().unwrap_or(0),
        }
    };
    TABLE.iter().map(|description| (description, total(description))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rules() {
        const ENDINGS: [&str; 7] = ["_total", "_bytes", "_seconds", "_lines", "_records", "_files", "_flows"];
        for Description { name, kind, help, .. } in TABLE {
            assert!(name.starts_with("kinetail_"), "{name} lacks the prefix");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            assert!(ENDINGS.iter().any(|end| name.ends_with(end)), "{name} has no unit");
            assert!(
                help.ends_with('.') && help.starts_with(char::is_uppercase),
                "help of {name} is no sentence"
            );
        }
    }

    #[test]
    fn each_metric_has_one_row_and_each_name_one_meaning() {
        let mut names = BTreeSet::new();
        for (at, row) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|other| other.metric == row.metric);
            assert_eq!(first, Some(at), "{:?} is there twice", row.metric);
            let labelled = row.metric.label().is_some();
            assert!(names.insert(row.name) || labelled, "{} is there twice", row.name);
        }
        let dropped = Reason::ALL.map(Metric::LinesDropped);
        for metric in Cause::ALL.map(Metric::LinesQuarantined).into_iter().chain(dropped) {
            assert!(TABLE.iter().any(|row| row.metric == metric), "{metric:?} is not counted");
        }
    }

    #[test]
    fn of_what_is_gone_counters_stay_and_gauges_do_not() {
        let (agent, gone) = (Metrics::default(), Metrics::default());
        for metric in [Metric::LinesRead, Metric::LagBytes, Metric::OldestUndeliveredSeconds] {
            gone.add(metric, 3);
        }
        agent.add(Metric::LinesRead, 2);
        agent.absorb(&gone);
        assert_eq!(agent.get(Metric::LinesRead), 5);
        assert_eq!((agent.get(Metric::LagBytes), agent.get(Metric::OldestUndeliveredSeconds)), (0, 0));
    }

    #[test]
    fn flows_are_added_and_the_worst_is_kept() {
        let flows = [Metrics::default(), Metrics::default()];
        for (flow, value) in flows.iter().zip([3, 5]) {
            flow.add(Metric::LinesRead, value);
            flow.set(Metric::OldestUndeliveredSeconds, value);
        }
        let of = |metric| {
            sum(&flows.each_ref()).iter().find(|(row, _)| row.metric == metric).map(|(_, value)| *value)
        };
        assert_eq!((of(Metric::LinesRead), of(Metric::OldestUndeliveredSeconds)), (Some(8), Some(5)));
    }
}
