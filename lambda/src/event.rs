//! What the service sends to a consumer of a Kinesis stream and what it takes back, as our own types.
//!
//! Does not know what the bytes of a record mean. A record whose bytes cannot be had is that record's error and never
//! the event's: a call that fails is repeated with all its records, and by default for as long as they live.
//!
//! The types of the crate `aws_lambda_events` are not used: they take only texts as values of a state, refuse a
//! partition key that is null and an event without records, and their reply to a window cannot name a failed record.
//!
//! Sources: <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// One call: records of one shard, in the order of their sequence numbers.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawEvent")]
pub struct Event {
    /// The records. Empty in the last call of a window that had none left.
    pub records: Vec<Record>,
    /// The window that all the records fall into, if the consumer has windows.
    pub window: Option<Window>,
}

/// Why an event cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Windows of different shards are counted apart, so one without its shard cannot be counted.
    #[error("the event has a window but no shard")]
    NoShard,
    /// The same, for the stream.
    #[error("the event has a window but no stream")]
    NoStream,
}

/// One record of the stream.
#[derive(Debug)]
pub struct Record {
    /// Its name within the shard.
    pub sequence_number: SequenceNumber,
    /// What its sender chose the shard by. A stream that chooses by itself has records without one.
    pub partition_key: Option<String>,
    /// When the stream took it; this, and nothing in its data, decides on its window.
    pub arrived: Option<Arrival>,
    /// Its bytes, or why they cannot be had.
    pub data: Result<Vec<u8>, DataError>,
}

/// Why the bytes of one record cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no text to decode.
    #[error("the record has no data")]
    Absent,
    /// The text is not what bytes are sent as.
    #[error("the data of the record is not base64")]
    NotBase64(#[source] base64_simd::Error),
}

/// The name of a record within its shard. Never empty.
///
/// It is a number of up to 129 digits, and its order that of the records in their shard.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html>
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct SequenceNumber(String);

/// The error of a sequence number without a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number must not be empty")]
pub struct EmptySequenceNumber;

impl TryFrom<String> for SequenceNumber {
    type Error = EmptySequenceNumber;

    fn try_from(text: String) -> Result<SequenceNumber, EmptySequenceNumber> {
        if text.is_empty() { Err(EmptySequenceNumber) } else { Ok(SequenceNumber(text)) }
    }
}

impl SequenceNumber {
    /// The number as the service writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of two numbers the longer one is larger, once zeros in front are left off.
    fn by_size(&self) -> (usize, &str) {
        let digits = self.0.trim_start_matches('0');
        (digits.len(), digits)
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &SequenceNumber) -> Ordering {
        self.by_size().cmp(&other.by_size())
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &SequenceNumber) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &SequenceNumber) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SequenceNumber {}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When the stream took a record, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(u64);

impl Arrival {
    /// The milliseconds since the epoch.
    #[must_use]
    pub fn to_millis(self) -> u64 {
        self.0
    }

    /// The service writes seconds with three decimals, which a binary fraction meets only nearly.
    fn from_seconds(seconds: f64) -> Option<Arrival> {
        let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
        let nearest = since_epoch.checked_add(Duration::from_micros(500))?.as_millis();
        u64::try_from(nearest).ok().map(Arrival)
    }
}

/// A stretch of time whose records of one shard are counted together, over as many calls as it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Its first moment, as the service writes it: `2020-12-09T07:04:00Z`.
    pub start: String,
    /// The first moment behind it.
    pub end: String,
    /// The shard.
    pub shard: String,
    /// The stream, by its resource name.
    pub stream: String,
    /// What the reply to the call before said; an empty object in the first call.
    pub state: Value,
    /// Whether this is the window's last call.
    pub is_final: bool,
    /// Whether the service has ended the window before its time, as when its state is too large.
    pub is_ended_early: bool,
}

/// How far a call has dealt with its records.
///
/// The service goes on behind what is named here and takes an empty or missing name for the failure of every record.
/// There is no way to say that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Every record is dealt with.
    Done,
    /// Every record before this one is dealt with.
    ResumeFrom(SequenceNumber),
}

/// The reply to a call with a window, which fails without a state.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowReply {
    /// What the next call of the window is given.
    pub state: Value,
    /// How far this call has come.
    pub reply: Reply,
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawReply::new(None, self).serialize(serializer)
    }
}

impl Serialize for WindowReply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawReply::new(Some(&self.state), &self.reply).serialize(serializer)
    }
}

impl TryFrom<RawEvent> for Event {
    type Error = EventError;

    fn try_from(raw: RawEvent) -> Result<Event, EventError> {
        let RawEvent { records, window, state, shard, stream, is_final, is_ended_early } = raw;
        let window = match window {
            None => None,
            Some(RawWindow { start, end }) => Some(Window {
                start,
                end,
                shard: shard.ok_or(EventError::NoShard)?,
                stream: stream.ok_or(EventError::NoStream)?,
                state: state.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
                is_final: is_final.unwrap_or(false),
                is_ended_early: is_ended_early.unwrap_or(false),
            }),
        };
        let records = records.unwrap_or_default();
        Ok(Event { records: records.into_iter().map(|record| record.kinesis.into()).collect(), window })
    }
}

impl From<RawKinesis> for Record {
    fn from(raw: RawKinesis) -> Record {
        let RawKinesis { sequence_number, partition_key, data, approximate_arrival_timestamp } = raw;
        let arrived = approximate_arrival_timestamp.as_f64().and_then(Arrival::from_seconds);
        Record { sequence_number, partition_key, arrived, data: data.0 }
    }
}

/// An event as it is written. Fields that are not used, and those that the service adds one day, are passed over.
#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "Records")]
    records: Option<Vec<RawRecord>>,
    window: Option<RawWindow>,
    state: Option<Value>,
    #[serde(rename = "shardId")]
    shard: Option<String>,
    #[serde(rename = "eventSourceARN")]
    stream: Option<String>,
    #[serde(rename = "isFinalInvokeForWindow")]
    is_final: Option<bool>,
    #[serde(rename = "isWindowTerminatedEarly")]
    is_ended_early: Option<bool>,
}

#[derive(Deserialize)]
struct RawWindow {
    start: String,
    end: String,
}

#[derive(Deserialize)]
struct RawRecord {
    kinesis: RawKinesis,
}

/// What may be wrong in one record and must not fail the event is taken as any value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawKinesis {
    sequence_number: SequenceNumber,
    partition_key: Option<String>,
    #[serde(default)]
    data: RawData,
    #[serde(default)]
    approximate_arrival_timestamp: Value,
}

/// The bytes of one record, decoded from the text where it lies: almost all of an event is this.
struct RawData(Result<Vec<u8>, DataError>);

impl Default for RawData {
    fn default() -> RawData {
        RawData(Err(DataError::Absent))
    }
}

impl<'de> Deserialize<'de> for RawData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawData, D::Error> {
        deserializer.deserialize_any(RawDataVisitor)
    }
}

/// Takes any kind of value; only a text is data.
struct RawDataVisitor;

impl<'de> Visitor<'de> for RawDataVisitor {
    type Value = RawData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawData, E> {
        Ok(RawData(base64_simd::STANDARD.decode_to_vec(text).map_err(DataError::NotBase64)))
    }

    fn visit_unit<E: Error>(self) -> Result<RawData, E> {
        Ok(RawData::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<RawData, E> {
        Ok(RawData::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<RawData, E> {
        Ok(RawData::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<RawData, E> {
        Ok(RawData::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<RawData, E> {
        Ok(RawData::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawData, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| RawData::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawData, A::Error> {
        IgnoredAny.visit_map(map).map(|_| RawData::default())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawReply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a Value>,
    batch_item_failures: Vec<RawFailure<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawFailure<'a> {
    item_identifier: &'a str,
}

impl<'a> RawReply<'a> {
    fn new(state: Option<&'a Value>, reply: &'a Reply) -> RawReply<'a> {
        let batch_item_failures = match reply {
            Reply::Done => vec![],
            Reply::ResumeFrom(number) => vec![RawFailure { item_identifier: number.as_str() }],
        };
        RawReply { state, batch_item_failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use serde_json::json;

    const PLAIN: &str = include_str!("../../fixtures/events/kinesis.json");
    const WINDOW: &str = include_str!("../../fixtures/events/window.json");
    const FINAL: &str = include_str!("../../fixtures/events/window-final.json");
    const AUTO: &str = include_str!("../../fixtures/events/auto-distribution.json");

    fn event(text: &str) -> Event {
        serde_json::from_str(text).unwrap()
    }

    /// What a record is, in short: key, arrival, and its bytes as text.
    fn brief(record: &Record) -> (Option<&str>, Option<u64>, Option<&str>) {
        let data = record.data.as_deref().ok().map(|data| str::from_utf8(data).unwrap());
        (record.partition_key.as_deref(), record.arrived.map(Arrival::to_millis), data)
    }

    /// The records of an event, in short.
    #[track_caller]
    fn check(text: &str, expected: &[(Option<&str>, Option<u64>, Option<&str>)]) {
        assert_eq!(event(text).records.iter().map(brief).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_plain_event_has_records_and_no_window() {
        check(
            PLAIN,
            &[
                (Some("1"), Some(1_545_084_650_987), Some("Hello, this is a test.")),
                (Some("1"), Some(1_545_084_711_166), Some("This is only a test.")),
            ],
        );
        assert_eq!(event(PLAIN).window, None);
        let first = "49590338271490256608559692538361571095921575989136588898";
        assert_eq!(event(PLAIN).records[0].sequence_number.as_str(), first);
    }

    #[test]
    fn a_window_comes_with_its_bounds_and_its_state() {
        check(WINDOW, &[(Some("1"), Some(1_607_497_475_000), Some("Hello, this is a test."))]);
        let expected = Window {
            start: "2020-12-09T07:04:00Z".to_owned(),
            end: "2020-12-09T07:06:00Z".to_owned(),
            shard: "shardId-000000000006".to_owned(),
            stream: "arn:aws:kinesis:us-east-1:123456789012:stream/lambda-stream".to_owned(),
            state: json!({"1": 282, "2": 715}),
            is_final: false,
            is_ended_early: false,
        };
        assert_eq!(event(WINDOW).window, Some(expected));
    }

    #[test]
    fn the_last_call_of_a_window_may_have_no_record_and_any_state() {
        check(FINAL, &[]);
        let window = event(FINAL).window.unwrap();
        assert!(window.is_final && window.is_ended_early);
        assert_eq!(window.state["hosts"]["192.0.2.1"]["responses"], json!([200, 404]));
    }

    #[test]
    fn a_stream_that_chooses_the_shard_itself_has_records_without_a_key() {
        check(
            AUTO,
            &[
                (None, Some(1_545_084_650_987), Some("{\"host\":\"192.0.2.1\"}\n")),
                (None, Some(1_545_084_711_166), Some("{\"host\":\"2001:db8::1\"}\n")),
            ],
        );
    }

    #[test]
    fn an_event_may_come_without_records() {
        check("{}", &[]);
        check("{\"Records\": null, \"later\": 1}", &[]);
    }

    #[test]
    fn the_first_call_of_a_window_has_an_empty_state() {
        for state in ["", "\"state\": null,", "\"state\": {},"] {
            let bounds = "\"window\": {\"start\": \"a\", \"end\": \"b\"}";
            let text = format!("{{{state} {bounds}, \"shardId\": \"c\", \"eventSourceARN\": \"d\"}}");
            assert_eq!(event(&text).window.unwrap().state, json!({}), "{text}");
        }
    }

    #[test]
    fn a_window_without_its_shard_or_its_stream_is_refused() {
        let refusal = |event: Value| serde_json::from_value::<Event>(event).unwrap_err().to_string();
        let window = json!({"start": "a", "end": "b"});
        assert_eq!(refusal(json!({"window": window})), EventError::NoShard.to_string());
        assert_eq!(refusal(json!({"window": window, "shardId": "c"})), EventError::NoStream.to_string());
    }

    #[test]
    fn a_record_without_its_optional_fields_is_a_record() {
        let bare = json!({"Records": [{"kinesis": {"sequenceNumber": "1"}}]}).to_string();
        check(&bare, &[(None, None, None)]);
        assert!(matches!(event(&bare).records[0].data, Err(DataError::Absent)));
    }

    #[test]
    fn data_of_any_other_kind_are_absent() {
        for data in
            [json!(null), json!(true), json!(1), json!(-1), json!(1.5), json!(["YQ=="]), json!({"a": {}})]
        {
            let text = json!({"Records": [{"kinesis": {"sequenceNumber": "1", "data": data}}]}).to_string();
            assert!(matches!(event(&text).records[0].data, Err(DataError::Absent)), "{text}");
        }
    }

    #[test]
    fn data_may_be_written_with_escapes() {
        let text =
            r#"{"Records": [{"kinesis": {"sequenceNumber": "1", "data": "YT\u002fi\/w==", "later": 1}}]}"#;
        assert_eq!(event(text).records[0].data.as_deref().unwrap(), b"a?\xe2\xff");
    }

    #[test]
    fn a_time_that_is_none_does_not_fail_the_record() {
        for time in [json!(-1), json!(1e300), json!("noon"), json!(null)] {
            let kinesis = json!({"sequenceNumber": "1", "data": "", "approximateArrivalTimestamp": time});
            check(&json!({"Records": [{"kinesis": kinesis}]}).to_string(), &[(None, None, Some(""))]);
        }
    }

    #[test]
    fn a_sequence_number_is_never_empty() {
        assert_eq!(SequenceNumber::try_from(String::new()), Err(EmptySequenceNumber));
        let empty = json!({"Records": [{"kinesis": {"sequenceNumber": "", "data": ""}}]});
        assert!(serde_json::from_value::<Event>(empty).is_err());
    }

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_longer_sequence_number_is_larger() {
        assert!(number("9") < number("10"));
        assert!(number("49590338271490256608559692538361571095921575989136588898") > number(&"9".repeat(55)));
        assert_eq!(number("007"), number("7"));
        assert_eq!(number("007").as_str(), "007");
        assert!(number("0") < number("01"));
    }

    #[test]
    fn a_reply_names_the_record_to_go_on_from_or_none() {
        let resume = Reply::ResumeFrom(SequenceNumber::try_from("7".to_owned()).unwrap());
        let written = |reply: &Reply| serde_json::to_value(reply).unwrap();
        assert_eq!(written(&Reply::Done), json!({"batchItemFailures": []}));
        assert_eq!(written(&resume), json!({"batchItemFailures": [{"itemIdentifier": "7"}]}));
    }

    #[test]
    fn a_reply_to_a_window_always_has_a_state() {
        let reply = WindowReply { state: json!({"a": [1]}), reply: Reply::Done };
        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({"state": {"a": [1]}, "batchItemFailures": []})
        );
    }

    /// An event of records with these texts as their data.
    fn event_of(data: impl IntoIterator<Item = String>) -> Event {
        let record =
            |(number, data)| json!({"kinesis": {"sequenceNumber": format!("{number}"), "data": data}});
        let records: Vec<Value> = (1..).zip(data).map(|pair: (u32, String)| record(pair)).collect();
        serde_json::from_value(json!({ "Records": records })).unwrap()
    }

    proptest! {
        /// A poisoned record is its own error, wherever it stands among the 500 of a request.
        #[test]
        fn records_that_are_not_base64_do_not_fail_the_others(poisoned in vec(any::<bool>(), 500)) {
            let data = |is_poisoned: &bool| if *is_poisoned { "%" } else { "YQ==" }.to_owned();
            let event = event_of(poisoned.iter().map(data));
            let failed: Vec<bool> =
                event.records.iter().map(|record| matches!(record.data, Err(DataError::NotBase64(_)))).collect();
            prop_assert_eq!(failed, poisoned);
        }

        #[test]
        fn bytes_come_out_as_they_went_in(bytes in vec(any::<u8>(), 0..200)) {
            let event = event_of([base64_simd::STANDARD.encode_to_string(&bytes)]);
            prop_assert_eq!(event.records[0].data.as_ref().unwrap(), &bytes);
        }

        #[test]
        fn sequence_numbers_are_in_the_order_of_numbers(
            one in any::<u128>(),
            other in any::<u128>(),
            zeros in 0_usize..4,
        ) {
            let text = format!("{}{one}", "0".repeat(zeros));
            prop_assert_eq!(number(&text).cmp(&number(&other.to_string())), one.cmp(&other));
            prop_assert_eq!(number(&text), number(&one.to_string()));
        }

        #[test]
        fn every_millisecond_of_an_arrival_survives(millis in 0_u64..32_503_680_000_000) {
            let seconds: f64 = format!("{}.{:03}", millis / 1000, millis % 1000).parse().unwrap();
            prop_assert_eq!(Arrival::from_seconds(seconds).map(Arrival::to_millis), Some(millis));
        }
    }
}
