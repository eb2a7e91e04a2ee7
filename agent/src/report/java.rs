//! The Java agent's periodic lines, to the letter: scripts look for them. Pure.
//!
//! Counts are totals since the start. A line that does not match counts as parsed and as skipped whatever becomes of it
//! here, unless it is sent as it is; of a record of several lines that does not match each line counts. A flow whose lines
//! are sent as they are transforms none. Here all files of a flow are read at once, so that the files that are newer than
//! the one that the Java agent would be at are those behind rotated files that are not read to their end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::loss::{Cause, Reason};
use crate::metrics::{Metric, Metrics};

/// From here on an agent that is behind is worth a line.
const WORTH_A_LINE: u64 = 20 << 20;

/// From here on it is worth a warning.
const WORTH_A_WARNING: u64 = 40 << 20;

/// Whether the lines of a flow are made into something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processing {
    /// They are sent as they are.
    None,
    /// They are.
    Some,
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Nobody is to hear it.
    Silent,
    /// For who looks closely.
    Debug,
    /// For everybody.
    Info,
    /// Something may have to be done.
    Warn,
}

/// Who hears of what is not a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What matters.
    Plain,
    /// Also the counters themselves, as `log.emitInternalMetrics` says.
    Internal,
}

/// What the Java agent counts of a flow, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    bytes: u64,
    parsed: u64,
    transformed: u64,
    skipped: u64,
    sent: u64,
    behind: u64,
    newer_files: u64,
}

/// Whom the counters of a flow name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The one for streams.
    Kinesis,
    /// The one for delivery streams.
    Firehose,
}

impl Counts {
    /// The counts of one flow.
    #[must_use]
    pub fn of(metrics: &Metrics, processing: Processing) -> Counts {
        let of = |metric| metrics.get(metric);
        let left_out =
            of(Metric::LinesJoined) + of(Metric::HeaderLinesSkipped) + of(Metric::FooterLinesSkipped);
        let parsed = of(Metric::LinesRead).saturating_sub(left_out);
        let skipped = of(Metric::LinesQuarantined(Cause::Unmatched))
            + of(Metric::LinesDropped(Reason::Unmatched))
            + of(Metric::LinesDropped(Reason::Unkept));
        let transformed = match processing {
            Processing::None => 0,
            Processing::Some => parsed.saturating_sub(skipped + of(Metric::LinesSentRaw)),
        };
        Counts {
            bytes: of(Metric::BytesRead),
            parsed,
            transformed,
            skipped,
            sent: of(Metric::RecordsAcked),
            behind: of(Metric::LagBytes),
            newer_files: of(Metric::BacklogFiles),
        }
    }

    /// The counts of all flows together.
    #[must_use]
    pub fn sum(flows: &[Counts]) -> Counts {
        flows.iter().fold(Counts::default(), |sum, flow| Counts {
            bytes: sum.bytes + flow.bytes,
            parsed: sum.parsed + flow.parsed,
            transformed: sum.transformed + flow.transformed,
            skipped: sum.skipped + flow.skipped,
            sent: sum.sent + flow.sent,
            behind: sum.behind + flow.behind,
            newer_files: sum.newer_files + flow.newer_files,
        })
    }

    /// What stays of them when the flow is gone.
    #[must_use]
    pub fn of_the_gone(self) -> Counts {
        Counts { behind: 0, newer_files: 0, ..self }
    }

    /// How far the agent is.
    #[must_use]
    pub fn agent_progress(&self, uptime: Duration) -> String {
        let Counts { parsed, bytes, sent, .. } = self;
        format!(
            "Agent: Progress: {parsed} records parsed ({bytes} bytes), and {sent} records sent successfully to destinations. Uptime: {}ms",
            uptime.as_millis()
        )
    }

    /// How far the flow with this id is.
    #[must_use]
    pub fn flow_progress(&self, id: &str) -> String {
        let Counts { parsed, bytes, transformed, skipped, sent, .. } = self;
        format!(
            "FileTailer[{id}]: Tailer Progress: Tailer has parsed {parsed} records ({bytes} bytes), transformed {transformed} records, \
             skipped {skipped} records, and has successfully sent {sent} records to destination."
        )
    }

    /// How much the agent has not read yet.
    #[must_use]
    pub fn agent_behind(&self) -> String {
        format!("Agent: Tailing is {}", self.behind())
    }

    /// How much the flow with this id has not read yet.
    #[must_use]
    pub fn flow_behind(&self, id: &str) -> String {
        format!("FileTailer[{id}]: Tailer is {}", self.behind())
    }

    fn behind(&self) -> String {
        let kib = self.behind / 1024;
        let millionths = u128::from(kib % 1024) * 1_000_000 / 1024;
        let newer = match self.newer_files {
            0 => String::new(),
            files => format!(" There are {files} file(s) newer than current file(s) being tailed."),
        };
        format!("{}.{millionths:06} MB ({} bytes) behind.{newer}", kib / 1024, self.behind)
    }

    /// How loud it is to be said how much is not read yet.
    #[must_use]
    pub fn loudness(&self, detail: Detail) -> Loudness {
        match (self.behind, detail) {
            (WORTH_A_WARNING.., _) => Loudness::Warn,
            (WORTH_A_LINE.., _) | (_, Detail::Internal) => Loudness::Info,
            (1.., Detail::Plain) => Loudness::Debug,
            (0, Detail::Plain) => Loudness::Silent,
        }
    }

    /// The agent's own counters by the Java agent's names, as far as they mean something here.
    #[must_use]
    pub fn agent_status(&self, uptime: Duration) -> Value {
        json!({
            "TotalBytesBehind": self.behind,
            "TotalFilesBehind": self.newer_files,
            "TotalBytesConsumed": self.bytes,
            "TotalRecordsParsed": self.parsed,
            "TotalRecordsSent": self.sent,
            "UpTimeMillis": u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// The counters of a flow by the Java agent's names, as far as they mean something here.
    #[must_use]
    pub fn flow_status(&self, metrics: &Metrics, service: Service) -> Value {
        let of = |metric| metrics.get(metric);
        let (service, calls) = match service {
            Service::Kinesis => ("Kinesis", "PutRecords"),
            Service::Firehose => ("Firehose", "BatchPut"),
        };
        let parser = |name: &str| format!("{service}Parser.Total{name}");
        let sender = |name: &str| format!("{service}Sender.Total{name}");
        json!({
            parser("BytesConsumed"): self.bytes,
            parser("RecordsParsed"): self.parsed,
            parser("RecordsProcessed"): self.transformed,
            parser("RecordsSkipped"): self.skipped,
            sender("RecordsAttempted"): self.sent + of(Metric::RecordsRefused),
            sender("RecordsSent"): self.sent,
            sender("RecordsFailed"): of(Metric::RecordsRefused),
            sender(&format!("{calls}Calls")): of(Metric::RequestsSent),
            sender(&format!("{calls}ServiceErrors")): of(Metric::RequestsFailed),
            "PublishingQueue.PendingRecords": of(Metric::UnackedRecords),
            "FileTailer.FilesBehind": self.newer_files,
            "FileTailer.BytesBehind": self.behind,
            "FileTailer.RecordsTruncated": of(Metric::LinesTruncated),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "kinesis:in:/var/log/httpd/access_log*";

    /// Ten lines: one in a header, two in the record of another, one that does not match; five of the records are sent.
    fn metrics() -> Metrics {
        let metrics = Metrics::default();
        for (metric, value) in [
            (Metric::LinesRead, 10),
            (Metric::BytesRead, 1234),
            (Metric::HeaderLinesSkipped, 1),
            (Metric::LinesJoined, 2),
            (Metric::LinesQuarantined(Cause::Unmatched), 1),
            (Metric::RecordsAcked, 5),
        ] {
            metrics.add(metric, value);
        }
        metrics
    }

    #[test]
    fn progress_is_told_in_the_java_agents_words() {
        let counts = Counts::of(&metrics(), Processing::Some);
        assert_eq!(
            counts.flow_progress(ID),
            "FileTailer[kinesis:in:/var/log/httpd/access_log*]: Tailer Progress: Tailer has parsed 7 records (1234 bytes), \
             transformed 6 records, skipped 1 records, and has successfully sent 5 records to destination."
        );
        assert_eq!(
            Counts::sum(&[counts, counts]).agent_progress(Duration::from_millis(30_012)),
            "Agent: Progress: 14 records parsed (2468 bytes), and 10 records sent successfully to destinations. Uptime: 30012ms"
        );
    }

    #[test]
    fn a_flow_without_processing_transforms_nothing() {
        assert!(Counts::of(&metrics(), Processing::None).flow_progress(ID).contains("transformed 0 records"));
    }

    #[track_caller]
    fn check_behind(behind: u64, newer_files: u64, text: &str, loudness: Loudness) {
        let counts = Counts { behind, newer_files, ..Counts::default() };
        assert_eq!(counts.agent_behind(), format!("Agent: Tailing is {text}"));
        assert_eq!(counts.flow_behind(ID), format!("FileTailer[{ID}]: Tailer is {text}"));
        assert_eq!(counts.loudness(Detail::Plain), loudness);
        assert_eq!(counts.loudness(Detail::Internal), loudness.max(Loudness::Info));
    }

    #[test]
    fn what_is_behind_is_told_in_whole_kibibytes_and_the_louder_the_more_it_is() {
        check_behind(0, 0, "0.000000 MB (0 bytes) behind.", Loudness::Silent);
        check_behind(1023, 0, "0.000000 MB (1023 bytes) behind.", Loudness::Debug);
        check_behind(1024, 0, "0.000976 MB (1024 bytes) behind.", Loudness::Debug);
        let newer = " There are 2 file(s) newer than current file(s) being tailed.";
        check_behind(
            (20 << 20) - 1,
            2,
            &format!("19.999023 MB (20971519 bytes) behind.{newer}"),
            Loudness::Debug,
        );
        check_behind(20 << 20, 0, "20.000000 MB (20971520 bytes) behind.", Loudness::Info);
        check_behind(40 << 20, 0, "40.000000 MB (41943040 bytes) behind.", Loudness::Warn);
    }

    #[test]
    fn counters_stand_under_the_java_agents_names() {
        let metrics = metrics();
        for (metric, value) in [
            (Metric::RecordsRefused, 3),
            (Metric::RequestsSent, 4),
            (Metric::RequestsFailed, 2),
            (Metric::UnackedRecords, 9),
            (Metric::LinesTruncated, 11),
            (Metric::LagBytes, 12),
            (Metric::BacklogFiles, 13),
        ] {
            metrics.add(metric, value);
        }
        let counts = Counts::of(&metrics, Processing::Some);
        let of_flow = json!({
            "KinesisParser.TotalBytesConsumed": 1234,
            "KinesisParser.TotalRecordsParsed": 7,
            "KinesisParser.TotalRecordsProcessed": 6,
            "KinesisParser.TotalRecordsSkipped": 1,
            "KinesisSender.TotalRecordsAttempted": 8,
            "KinesisSender.TotalRecordsSent": 5,
            "KinesisSender.TotalRecordsFailed": 3,
            "KinesisSender.TotalPutRecordsCalls": 4,
            "KinesisSender.TotalPutRecordsServiceErrors": 2,
            "PublishingQueue.PendingRecords": 9,
            "FileTailer.FilesBehind": 13,
            "FileTailer.BytesBehind": 12,
            "FileTailer.RecordsTruncated": 11,
        });
        assert_eq!(counts.flow_status(&metrics, Service::Kinesis), of_flow);
        let of_delivery = counts.flow_status(&metrics, Service::Firehose);
        assert_eq!(
            of_delivery["FirehoseSender.TotalBatchPutCalls"],
            of_flow["KinesisSender.TotalPutRecordsCalls"]
        );
        assert_eq!(of_delivery["FirehoseParser.TotalRecordsParsed"], 7);
        let of_agent = json!({
            "TotalBytesBehind": 12,
            "TotalFilesBehind": 13,
            "TotalBytesConsumed": 1234,
            "TotalRecordsParsed": 7,
            "TotalRecordsSent": 5,
            "UpTimeMillis": 2000,
        });
        assert_eq!(counts.agent_status(Duration::from_secs(2)), of_agent);
    }
}
