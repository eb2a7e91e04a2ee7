//! A record of a stream and how an event shows it. Pure.
//!
//! Does not look into the data.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::cloud::moment::Moment;
use crate::endpoint::REGION;

/// A sequence number: decimal, without leading zeros, too long for a machine's integers. Ordered as a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// A number from its digits.
    pub fn new(digits: impl Into<String>) -> Number {
        Number(digits.into())
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where records come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The stream, by its resource name.
    pub stream: String,
    /// The shard.
    pub shard: String,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its name within the shard.
    pub number: Number,
    /// What its sender chose the shard by; none where the stream chooses.
    pub partition_key: Option<String>,
    /// When the stream took it.
    pub arrived: Moment,
    /// The payload.
    pub data: Vec<u8>,
}

impl Record {
    /// The record as an element of an event's `Records`.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
    #[must_use]
    pub fn to_json(&self, source: &Source) -> Value {
        let mut kinesis = json!({
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": self.number.as_str(),
            "data": base64_simd::STANDARD.encode_to_string(&self.data),
            "approximateArrivalTimestamp": seconds(self.arrived),
        });
        if let (Some(key), Some(kinesis)) = (&self.partition_key, kinesis.as_object_mut()) {
            kinesis.insert("partitionKey".to_owned(), json!(key));
        }
        json!({
            "kinesis": kinesis,
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{}:{}", source.shard, self.number.as_str()),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/local",
            "awsRegion": REGION,
            "eventSourceARN": source.stream,
        })
    }
}

/// Seconds with three decimals, as the service writes them.
fn seconds(moment: Moment) -> Value {
    let millis = moment.to_millis();
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn numbers_are_ordered_by_value_and_not_by_text() {
        assert!(Number::new("9") < Number::new("10"));
        assert!(Number::new("19") < Number::new("20"));
        assert_eq!(Number::new("7").cmp(&Number::new("7")), Ordering::Equal);
    }

    /// The service's own example, as the functions are tested with it.
    #[test]
    fn an_event_shows_a_record_as_the_service_does() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/events/window.json");
        let event: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let mut expected = event["Records"][0].clone();
        expected["awsRegion"] = json!(REGION);
        expected["invokeIdentityArn"] = json!("arn:aws:iam::000000000000:role/local");
        let record = Record {
            number: Number::new("49590338271490256608559692538361571095921575989136588898"),
            partition_key: Some("1".to_owned()),
            arrived: Moment::from_millis(1_607_497_475_000),
            data: b"Hello, this is a test.".to_vec(),
        };
        let source = Source {
            stream: "arn:aws:kinesis:us-east-1:123456789012:stream/lambda-stream".to_owned(),
            shard: "shardId-000000000006".to_owned(),
        };
        assert_eq!(record.to_json(&source), expected);
    }

    #[test]
    fn a_record_without_a_key_has_no_such_field() {
        let record = Record {
            number: Number::new("1"),
            partition_key: None,
            arrived: Moment::from_millis(1_545_084_650_987),
            data: vec![],
        };
        let source = Source { stream: "s".to_owned(), shard: "h".to_owned() };
        let json = record.to_json(&source);
        assert_eq!(json["kinesis"].get("partitionKey"), None);
        assert_eq!(json["kinesis"]["approximateArrivalTimestamp"], json!(1_545_084_650.987));
    }
}
