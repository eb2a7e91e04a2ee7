//! The books of the proxy: one entry for each record that was offered, and what became of it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Mode;

/// How the agent was answered about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No answer yet, or none ever.
    Unanswered,
    /// It was told that the stream has it.
    Accepted,
    /// It was told that the stream does not have it.
    Refused,
}

/// One record in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The payload.
    pub data: Vec<u8>,
    /// What decides its shard; empty if it is for Firehose.
    pub partition_key: String,
    /// Whether the endpoint has it from this request.
    pub taken: bool,
    /// What the agent was told.
    pub fate: Fate,
}

/// One request that was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When the last byte of it had been read.
    pub arrived: SystemTime,
    /// When its answer had been written; none if it never was.
    pub answered: Option<SystemTime>,
    /// Whether the mode did it any harm.
    pub harmed: bool,
    /// Its records; empty for anything but `PutRecords` and `PutRecordBatch`.
    pub entries: Vec<Entry>,
}

impl Request {
    /// A request that has just been read, with what it offers.
    pub(super) fn of(body: Option<&Value>) -> Result<Request> {
        let records = body.map(|body| body["Records"].as_array().context("no records")).transpose()?;
        let entries = records.into_iter().flatten().map(entry).collect::<Result<_>>()?;
        Ok(Request { arrived: SystemTime::now(), answered: None, harmed: false, entries })
    }

    /// Notes the endpoint's own answer to the entries that were forwarded, in their order.
    pub(super) fn take(&mut self, operation: Operation, forwarded: &[bool], answer: &Value) -> Result<()> {
        let results = answer[operation.verdicts()].as_array().context("an answer without records")?;
        let mut results = results.iter();
        for (entry, forwarded) in self.entries.iter_mut().zip(forwarded) {
            if *forwarded {
                entry.taken =
                    results.next().context("an answer with too few records")?["ErrorCode"].is_null();
            }
        }
        ensure!(results.next().is_none(), "an answer with too many records");
        Ok(())
    }

    /// Notes that it came to harm.
    pub(super) fn harm(&mut self) {
        self.harmed = true;
    }

    /// Which of its entries are forwarded in this mode.
    pub(super) fn forwarded(&self, mode: Mode) -> Vec<bool> {
        let is_forwarded = |entry: &Entry| {
            if let Mode::Refuse { percent } = mode {
                fastrand::u8(..100) >= percent
            } else if let Mode::RefuseShard { shard } = mode {
                super::shard(&entry.partition_key) != shard
            } else {
                true
            }
        };
        self.entries.iter().map(is_forwarded).collect()
    }

    /// Whether one of its payloads has this in it.
    pub(super) fn holds(&self, word: &str) -> bool {
        let has = |data: &[u8]| data.windows(word.len()).any(|window| window == word.as_bytes());
        self.entries.iter().any(|entry| has(&entry.data))
    }

    /// Notes that the agent has been told what was taken and what was not.
    pub(super) fn answer(&mut self) {
        self.answered = Some(SystemTime::now());
        for entry in &mut self.entries {
            entry.fate = if entry.taken { Fate::Accepted } else { Fate::Refused };
        }
    }
}

/// What offers entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Of Kinesis.
    PutRecords,
    /// Of Firehose.
    PutRecordBatch,
}

impl Operation {
    /// That of a request with this `X-Amz-Target`, if it offers anything.
    pub(super) fn of(target: &str) -> Option<Operation> {
        match target.rsplit_once('.')?.1 {
            "PutRecords" => Some(Operation::PutRecords),
            "PutRecordBatch" => Some(Operation::PutRecordBatch),
            _ => None,
        }
    }

    /// What an answer calls its verdicts.
    fn verdicts(self) -> &'static str {
        match self {
            Operation::PutRecords => "Records",
            Operation::PutRecordBatch => "RequestResponses",
        }
    }

    /// What an answer calls the number of those refused.
    fn failed(self) -> &'static str {
        match self {
            Operation::PutRecords => "FailedRecordCount",
            Operation::PutRecordBatch => "FailedPutCount",
        }
    }

    /// How it says that an entry is refused for now.
    fn refusal(self) -> Value {
        match self {
            Operation::PutRecords => json!({
                "ErrorCode": "ProvisionedThroughputExceededException",
                "ErrorMessage": "Rate exceeded for shard shardId-000000000000",
            }),
            Operation::PutRecordBatch => {
                json!({ "ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down." })
            }
        }
    }
}

fn entry(record: &Value) -> Result<Entry> {
    let data = record["Data"].as_str().context("a record without data")?;
    let data = base64_simd::STANDARD.decode_to_vec(data).context("data that is not base64")?;
    let partition_key = record["PartitionKey"].as_str().unwrap_or_default().to_owned();
    Ok(Entry { data, partition_key, taken: false, fate: Fate::Unanswered })
}

/// Takes the entries that are not to be forwarded out of a request's body.
pub(super) fn thin_out(body: &mut Value, forwarded: &[bool]) {
    let mut forwarded = forwarded.iter();
    if let Some(records) = body["Records"].as_array_mut() {
        records.retain(|_| forwarded.next() == Some(&true));
    }
}

/// An answer that says that everything was taken.
pub(super) fn fill_up(operation: Operation, entries: usize) -> Value {
    let taken = match operation {
        Operation::PutRecords => json!({ "SequenceNumber": "1", "ShardId": "shardId-000000000000" }),
        Operation::PutRecordBatch => json!({ "RecordId": "1" }),
    };
    json!({ operation.failed(): 0, operation.verdicts(): vec![taken; entries] })
}

/// Puts refusals into an answer where entries were not forwarded.
pub(super) fn fill_in(operation: Operation, answer: &Value, forwarded: &[bool]) -> Value {
    let mut taken = answer[operation.verdicts()].as_array().into_iter().flatten();
    let records: Vec<Value> = forwarded
        .iter()
        .map(|forwarded| {
            let result = if *forwarded { taken.next().cloned() } else { None };
            result.unwrap_or_else(|| operation.refusal())
        })
        .collect();
    let failed = records.iter().filter(|record| !record["ErrorCode"].is_null()).count();
    json!({ operation.failed(): failed, operation.verdicts(): records })
}

/// An answer without the verdict on the last entry.
pub(super) fn shortened(operation: Operation, answer: &[u8]) -> Result<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(answer)?;
    answer[operation.verdicts()].as_array_mut().context("an answer without records")?.pop();
    Ok(answer.to_string().into_bytes())
}

/// Entries that were offered although an earlier answer had said that the stream has them.
///
/// Contents must be unique. An entry that was on its way already when that answer was written counts as well: it was
/// offered twice at the same time, which is no better.
#[must_use]
pub fn offered_after_acceptance(requests: &[Request]) -> Vec<&[u8]> {
    let mut accepted: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut again = Vec::new();
    for entry in requests.iter().flat_map(|request| &request.entries) {
        let earlier = accepted.entry(&entry.data).or_default();
        if *earlier > 0 {
            again.push(entry.data.as_slice());
        }
        *earlier += usize::from(entry.fate == Fate::Accepted);
    }
    again
}

/// Entries that the agent was told are not in the stream.
#[must_use]
pub fn refused(requests: &[Request]) -> u64 {
    let entries = requests.iter().flat_map(|request| &request.entries);
    entries.map(|entry| u64::from(entry.fate == Fate::Refused)).sum()
}

/// Entries whose sender never heard what became of them.
#[must_use]
pub fn unanswered(requests: &[Request]) -> u64 {
    let entries = requests.iter().flat_map(|request| &request.entries);
    entries.map(|entry| u64::from(entry.fate == Fate::Unanswered)).sum()
}
