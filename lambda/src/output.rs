//! Rows into the output stream.
//!
//! Does not know what a row says. Each row is a record of its own, under its id, so that a row that is sent twice meets
//! the same shard and is recognised behind it. The verdict of the stream is per record: refused ones, and only those, are
//! offered again, in their order. The SDK's own retries are off, as only we know which records are left.

use std::borrow::Cow;
use std::ops::Range;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use md5::{Digest, Md5};
use tracing::warn;

use crate::chain::Chain;
use crate::fault::{Fault, Outcome, Remedy};
use crate::patience::{Deadline, Patience, Pause};
use crate::rows::Row;

/// What a request may hold. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
const REQUEST_RECORDS: usize = 500;
const REQUEST_BYTES: usize = 5 * 1024 * 1024;

/// What a partition key may have.
const KEY_CHARACTERS: usize = 256;

/// The stream that rows go into.
#[derive(Clone, Debug)]
pub struct Output {
    client: Client,
    stream: String,
}

/// Rows that the stream has not taken.
#[derive(Debug, thiserror::Error)]
#[error("the stream `{stream}` has not taken {rows} of {all} rows")]
pub struct OutputError {
    stream: String,
    rows: usize,
    all: usize,
    #[source]
    source: Fault,
}

/// A row as the stream takes it.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    data: Vec<u8>,
}

impl Output {
    /// Sends to `stream`.
    #[must_use]
    pub fn new(client: Client, stream: String) -> Output {
        Output { client, stream }
    }

    /// Sends the rows, until all of them are taken or the deadline is there.
    ///
    /// # Errors
    /// If the stream has not taken all of them. Some may be in it.
    pub async fn send(&self, rows: &[Row], deadline: Deadline) -> Result<(), OutputError> {
        let entries: Vec<Entry> = rows.iter().map(Entry::of).collect();
        let mut done = 0;
        for request in requests(&entries) {
            let entries = entries.get(request).unwrap_or_default();
            if let Err((left, source)) = self.put(entries, deadline).await {
                let (stream, all) = (self.stream.clone(), rows.len());
                let rows = all.saturating_sub(done + entries.len()) + left;
                return Err(OutputError { stream, rows, all, source });
            }
            done += entries.len();
        }
        Ok(())
    }

    /// Offers the entries of one request until none is left; otherwise says how many are, and why.
    async fn put(&self, entries: &[Entry], deadline: Deadline) -> Result<(), (usize, Fault)> {
        let mut patience = Patience::until(deadline);
        let mut left: Vec<&Entry> = entries.iter().collect();
        loop {
            let fault = match self.attempt(&left, deadline).await {
                Ok(verdicts) => {
                    let refusal = verdicts.iter().find_map(|verdict| verdict.error_code.clone());
                    left = again(left, &verdicts);
                    if left.is_empty() {
                        return Ok(());
                    }
                    refused(refusal)
                }
                Err(fault) => {
                    if fault.outcome == Outcome::Unknown {
                        warn!(rows = left.len(), error = %Chain(&fault),
                              "the output stream did not say whether it has taken the rows; they may be sent twice");
                    }
                    fault
                }
            };
            match fault.remedy {
                Remedy::Again if patience.pause().await == Pause::Over => {}
                Remedy::Again | Remedy::Split | Remedy::Act => return Err((left.len(), fault)),
            }
        }
    }

    async fn attempt(
        &self,
        entries: &[&Entry],
        deadline: Deadline,
    ) -> Result<Vec<PutRecordsResultEntry>, Fault> {
        let record = |entry: &&Entry| {
            PutRecordsRequestEntry::builder()
                .data(Blob::new(entry.data.clone()))
                .partition_key(&entry.key)
                .build()
        };
        let records = entries.iter().map(record).collect::<Result<Vec<_>, _>>();
        let records = records.map_err(|error| Fault::unanswered("Construction", error.into()))?;
        let call = self.client.put_records().stream_name(&self.stream).set_records(Some(records)).send();
        let answer = match tokio::time::timeout_at(deadline.instant(), call).await {
            Ok(answer) => answer.map_err(Fault::of)?,
            Err(_) => return Err(Fault::out_of_time()),
        };
        if answer.records.len() != entries.len() {
            let message = format!("{} verdicts on {} records", answer.records.len(), entries.len());
            return Err(Fault::unanswered("Response", message.into()));
        }
        Ok(answer.records)
    }
}

impl Entry {
    fn of(row: &Row) -> Entry {
        // A row is texts and whole numbers, which can always be written.
        Entry { key: key(&row.id).into_owned(), data: serde_json::to_vec(row).unwrap_or_default() }
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }
}

/// The partition key of a row: its id, or if that is too long for a key, its checksum.
fn key(id: &str) -> Cow<'_, str> {
    if id.chars().count() <= KEY_CHARACTERS {
        return Cow::Borrowed(id);
    }
    Cow::Owned(Md5::digest(id.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The entries of each request, in their order. An entry that is too large alone is alone.
fn requests(entries: &[Entry]) -> Vec<Range<usize>> {
    let mut requests = vec![];
    let (mut first, mut bytes) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let is_full = index - first == REQUEST_RECORDS || bytes + entry.bytes() > REQUEST_BYTES;
        if is_full && index > first {
            requests.push(first..index);
            (first, bytes) = (index, 0);
        }
        bytes += entry.bytes();
    }
    if first < entries.len() {
        requests.push(first..entries.len());
    }
    requests
}

/// What is still to be offered, in the order in which it was.
fn again<T>(offered: Vec<T>, verdicts: &[PutRecordsResultEntry]) -> Vec<T> {
    // A verdict with neither a code nor a sequence number is none.
    let is_taken =
        |verdict: &PutRecordsResultEntry| verdict.error_code.is_none() && verdict.sequence_number.is_some();
    let refused = offered.into_iter().zip(verdicts).filter(|(_, verdict)| !is_taken(verdict));
    refused.map(|(entry, _)| entry).collect()
}

/// The fault of records that were refused each by itself. Every such refusal passes.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsResultEntry.html>
fn refused(code: Option<String>) -> Fault {
    Fault {
        remedy: Remedy::Again,
        outcome: Outcome::NotTaken,
        code: code.unwrap_or_else(|| "NoVerdict".to_owned()),
        source: "the stream refused records".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::*;

    fn taken() -> PutRecordsResultEntry {
        PutRecordsResultEntry::builder().sequence_number("1").shard_id("shardId-000000000000").build()
    }

    fn full() -> PutRecordsResultEntry {
        PutRecordsResultEntry::builder().error_code("ProvisionedThroughputExceededException").build()
    }

    #[track_caller]
    fn check(verdicts: &[PutRecordsResultEntry], expected: &[usize]) {
        assert_eq!(again((0..verdicts.len()).collect(), verdicts), expected);
    }

    #[test]
    fn only_what_was_refused_is_offered_again_in_its_order() {
        check(&[taken(), taken()], &[]);
        check(&[full(), taken(), full(), taken(), full()], &[0, 2, 4]);
    }

    #[test]
    fn a_verdict_that_says_nothing_is_no_verdict() {
        check(&[taken(), PutRecordsResultEntry::builder().build()], &[1]);
    }

    #[test]
    fn a_row_whose_id_is_no_key_has_its_checksum() {
        assert_eq!(key("in/shardId-0/a"), "in/shardId-0/a");
        assert_eq!(key(&"\u{e9}".repeat(256)), "\u{e9}".repeat(256));
        assert_eq!(key(&"x".repeat(257)).len(), 32);
        assert_ne!(key(&"x".repeat(257)), key(&"x".repeat(258)));
    }

    proptest! {
        #[test]
        fn requests_have_every_entry_once_and_keep_the_limits(sizes in vec(0_usize..400_000, 0..700), small in any::<bool>()) {
            let size = |size: &usize| if small { size / 1_000 } else { *size };
            let entries: Vec<Entry> = sizes.iter().map(|bytes| Entry { key: "k".to_owned(), data: vec![0; size(bytes)] }).collect();
            let requests = requests(&entries);
            prop_assert_eq!(requests.iter().cloned().flatten().collect::<Vec<_>>(), (0..entries.len()).collect::<Vec<_>>());
            for request in requests {
                prop_assert!(request.len() <= REQUEST_RECORDS && !request.is_empty());
                prop_assert!(entries[request].iter().map(Entry::bytes).sum::<usize>() <= REQUEST_BYTES);
            }
        }
    }
}
