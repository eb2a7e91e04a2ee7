//! Reads one shard through the service's own interface, in its order and without a hole.
//!
//! The emulator numbers a record before it stores it, so one with a lower number may appear after one with a higher. A
//! record is therefore taken only when a second look, [`SETTLING`] after the first one that showed it, shows what
//! stands before it. The service itself needs no such care.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;

use super::record::{Number, Record};
use super::settings::Start;
use crate::cloud::moment::Moment;

/// How long after a record one with a lower number may appear.
pub const SETTLING: Duration = Duration::from_millis(200);

/// Records of one call at the most: the service's own limit.
const RECORDS_PER_CALL: i32 = 10_000;

/// Reads one shard.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    stream: String,
    shard: String,
    position: Position,
    seen: Option<Seen>,
}

/// What a first look has shown.
#[derive(Debug)]
struct Seen {
    last: Number,
    at: Moment,
}

#[derive(Debug)]
enum Position {
    Start(Start),
    After(Number),
}

/// What was read.
#[derive(Debug)]
pub struct Batch {
    /// The records, in the order of the shard.
    pub records: Vec<Record>,
    /// All that arrived before this has been given out now; none if there is more to read first.
    pub until: Option<Moment>,
}

impl Reader {
    /// Begins to read a shard of a stream.
    #[must_use]
    pub fn new(client: Client, stream: &str, shard: &str, start: Start) -> Reader {
        let (stream, shard) = (stream.to_owned(), shard.to_owned());
        Reader { client, stream, shard, position: Position::Start(start), seen: None }
    }

    /// Looks for records; none if it is too early for a second look.
    ///
    /// # Errors
    /// If the stream does not answer.
    pub async fn read(&mut self) -> Result<Option<Batch>> {
        let now = Moment::now();
        if self.seen.as_ref().is_some_and(|seen| now.since(seen.at) < SETTLING) {
            return Ok(None);
        }
        if matches!(self.position, Position::Start(Start::Latest)) {
            self.position = self.latest().await?;
        }
        let mut records = self.look(&self.position).await?;
        let later = match self.seen.take() {
            Some(seen) => records.split_off(records.partition_point(|record| record.number <= seen.last)),
            None => std::mem::take(&mut records),
        };
        let until = later.is_empty().then(|| now.minus(SETTLING));
        self.seen = later.last().map(|record| Seen { last: record.number.clone(), at: now });
        if let Some(last) = records.last() {
            self.position = Position::After(last.number.clone());
        }
        Ok(Some(Batch { records, until }))
    }

    /// The place behind all that is there. An iterator of the type LATEST would have to be kept until a record comes,
    /// and lives for five minutes only.
    async fn latest(&self) -> Result<Position> {
        let mut position = Position::Start(Start::TrimHorizon);
        while let Some(last) = self.look(&position).await?.pop() {
            position = Position::After(last.number);
        }
        Ok(position)
    }

    async fn look(&self, position: &Position) -> Result<Vec<Record>> {
        let request = self.client.get_shard_iterator().stream_name(&self.stream).shard_id(&self.shard);
        let request = match position {
            Position::Start(Start::TrimHorizon) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            Position::Start(Start::Latest) => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::Start(Start::At(moment)) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(i64::try_from(moment.to_millis())?)),
            Position::After(number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number.as_str()),
        };
        let iterator = request.send().await?.shard_iterator.context("no iterator")?;
        let answer =
            self.client.get_records().shard_iterator(iterator).limit(RECORDS_PER_CALL).send().await?;
        let mut records = answer.records.into_iter().map(record).collect::<Result<Vec<Record>>>()?;
        if let Position::Start(Start::At(moment)) = position {
            // Asked for a time behind its last record, the emulator begins at the first one.
            records.retain(|record| record.arrived >= *moment);
        }
        Ok(records)
    }
}

fn record(record: aws_sdk_kinesis::types::Record) -> Result<Record> {
    let arrived = record.approximate_arrival_timestamp.context("a record without arrival")?;
    Ok(Record {
        number: Number::new(record.sequence_number),
        partition_key: record.partition_key.filter(|key| !key.is_empty()),
        arrived: Moment::from_millis(u64::try_from(arrived.to_millis()?)?),
        data: record.data.into_inner(),
    })
}
