//! What could not be read, kept in S3 with its reason, so that nothing is lost in silence and nothing blocks a shard.
//!
//! Does not know how a thing was found to be unreadable. The things of one call become one object, whose key follows
//! from the call's own records: a repeat of the call overwrites it. A thing that S3 does not take is told in the log;
//! it never fails the call.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Serialize;
use tracing::{error, info};

use crate::chain::Chain;
use crate::event::{Arrival, Event, Record};
use crate::reason::Reason;
use crate::s3::Bucket;

/// What is kept of one thing.
const THING_BYTES: usize = 64 * 1024;

/// What an object may hold: a call with nothing but garbage must not fill the memory of the function.
const OBJECT_BYTES: usize = 4 * 1024 * 1024;

/// Room for the last line, which counts what is left out.
const LAST_LINE_BYTES: usize = 4 * 1024;

/// How many things are told in the log if S3 does not take them, and how much of each.
const TOLD: usize = 10;
const TOLD_BYTES: usize = 1024;

/// How long S3 may take for an object.
const STORE: Duration = Duration::from_millis(1_500);

/// Where things are set aside.
#[derive(Debug)]
pub struct Aside {
    bucket: Bucket,
    prefix: String,
}

/// What tells the object of one call from those of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which function was called.
    pub function: &'static str,
    /// The shard whose records it was called with.
    pub shard: String,
    /// When it was called, as far as its records tell.
    pub moment: DateTime,
    /// The first sequence number of the call, or what else names it.
    pub first: String,
}

/// The things of one call, as they will stand in the object: one JSON text a line.
#[derive(Debug, Default)]
pub struct Pile {
    text: Vec<u8>,
    /// How many things there are, by reason, and how many of them have no room in the text.
    counts: BTreeMap<Reason, u64>,
    left_out: BTreeMap<&'static str, u64>,
}

impl Aside {
    /// Things are set aside in `bucket`, with keys that begin with `prefix`.
    #[must_use]
    pub fn new(bucket: Bucket, prefix: String) -> Aside {
        Aside { bucket, prefix }
    }

    /// Keeps the things of a call, if there are any.
    pub async fn store(&self, pile: Pile, place: &Place) {
        let count = pile.count();
        if count == 0 {
            return;
        }
        let key = key(&self.prefix, place);
        let (text, told) = (pile.to_text(), pile.first());
        match self.bucket.write(&key, text, STORE).await {
            Ok(()) => info!(count, key, reasons = ?pile.counts, "set aside what could not be read"),
            Err(error) => error!(count, key, reasons = ?pile.counts, first = ?told, error = %Chain(&error),
                                 "could not keep what was set aside; only this line tells of it"),
        }
    }
}

impl Place {
    /// Where the things go that `function` finds in `event`. The same for each repeat of the event.
    #[must_use]
    pub fn of(function: &'static str, event: &Event) -> Place {
        let record = event.records.first();
        let window = event.window.as_ref();
        let start = || window.and_then(|window| DateTime::from_str(&window.start, Format::DateTime).ok());
        let arrived = record.and_then(|record| record.arrived).map(moment);
        let first = match (record, window) {
            (Some(record), _) => record.sequence_number.as_str().to_owned(),
            (None, Some(window)) => format!("window-{}", window.start),
            (None, None) => "none".to_owned(),
        };
        Place {
            function,
            shard: event.shard.clone().unwrap_or_else(|| "unknown-shard".to_owned()),
            moment: arrived.or_else(start).unwrap_or(DateTime::from_secs(0)),
            first,
        }
    }
}

impl Pile {
    /// A line inside `record`.
    pub fn line(&mut self, reason: Reason, record: &Record, line: &[u8]) {
        self.add(reason, Some(record), Some(line));
    }

    /// All of `record`.
    pub fn record(&mut self, reason: Reason, record: &Record) {
        self.add(reason, Some(record), record.data.as_deref().ok());
    }

    /// What did not come in a record: the state of a window, or a row.
    pub fn without_record(&mut self, reason: Reason, content: &[u8]) {
        self.add(reason, None, Some(content));
    }

    /// How many things there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    fn add(&mut self, reason: Reason, record: Option<&Record>, content: Option<&[u8]>) {
        *self.counts.entry(reason).or_default() += 1;
        // The first that has no room closes the object: to write the next ones in vain would cost as much each time.
        if self.left_out.is_empty() {
            let line = thing(reason, record, content).to_json();
            if self.text.len() + line.len() < OBJECT_BYTES - LAST_LINE_BYTES {
                self.text.extend_from_slice(line.as_bytes());
                self.text.push(b'\n');
                return;
            }
        }
        *self.left_out.entry(reason.as_str()).or_default() += 1;
    }

    /// What the object holds.
    fn to_text(&self) -> Vec<u8> {
        let mut text = self.text.clone();
        if !self.left_out.is_empty() {
            let last = serde_json::json!({ "leftOut": self.left_out });
            text.extend_from_slice(last.to_string().as_bytes());
            text.push(b'\n');
        }
        text
    }

    /// The first things, for the log.
    fn first(&self) -> Vec<String> {
        let lines = self.text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(TOLD);
        lines
            .map(|line| String::from_utf8_lossy(line.get(..TOLD_BYTES).unwrap_or(line)).into_owned())
            .collect()
    }
}

/// One line of the object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thing<'a> {
    reason: &'static str,
    sequence_number: Option<&'a str>,
    partition_key: Option<&'a str>,
    arrived: Option<String>,
    /// What it is, if that is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    /// What it is otherwise, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    is_cut: bool,
}

impl Thing<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| format!("{{\"reason\":\"{}\"}}", self.reason))
    }
}

fn thing<'a>(reason: Reason, record: Option<&'a Record>, content: Option<&'a [u8]>) -> Thing<'a> {
    let content = content.unwrap_or_default();
    // Of a state nothing is cut: it is bounded, and can be counted only whole.
    let most = if reason == Reason::State { content.len() } else { THING_BYTES };
    let kept = content.get(..most).unwrap_or(content);
    let is_cut = kept.len() < content.len();
    let text = match str::from_utf8(kept) {
        Ok(text) => Some(text),
        // The cut may have gone through a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            kept.get(..error.valid_up_to()).and_then(|whole| str::from_utf8(whole).ok())
        }
        Err(_) => None,
    };
    Thing {
        reason: reason.as_str(),
        sequence_number: record.map(|record| record.sequence_number.as_str()),
        partition_key: record.and_then(|record| record.partition_key.as_deref()),
        arrived: record.and_then(|record| record.arrived).map(|arrived| written(moment(arrived))),
        line: text,
        data: if text.is_none() { Some(base64_simd::STANDARD.encode_to_string(kept)) } else { None },
        is_cut,
    }
}

/// The moment at which a record arrived.
#[must_use]
pub fn moment(arrived: Arrival) -> DateTime {
    i64::try_from(arrived.to_millis()).map_or(DateTime::from_secs(0), DateTime::from_millis)
}

/// A moment as RFC 3339 has it.
fn written(moment: DateTime) -> String {
    moment.fmt(Format::DateTime).unwrap_or_else(|_| format!("@{}", moment.secs()))
}

/// The key of an object.
fn key(prefix: &str, place: &Place) -> String {
    let Place { function, shard, moment, first } = place;
    let written = written(*moment);
    let day = written.split_once('T').map_or(written.as_str(), |(day, _)| day).replace('-', "/");
    format!("{prefix}{function}/{day}/{shard}/{first}.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use serde_json::{Value, json};

    fn record(data: &[u8]) -> Record {
        let data = base64_simd::STANDARD.encode_to_string(data);
        let kinesis = json!({"sequenceNumber": "7", "partitionKey": "k", "data": data,
                             "approximateArrivalTimestamp": 1_545_084_650.987});
        let event = json!({"Records": [{ "kinesis": kinesis }]});
        serde_json::from_value::<Event>(event).unwrap().records.remove(0)
    }

    fn lines(pile: &Pile) -> Vec<Value> {
        let text = String::from_utf8(pile.to_text()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn check(content: &[u8], expected: &Value) {
        let mut pile = Pile::default();
        pile.line(Reason::NotJson, &record(b""), content);
        let mut whole = json!({"reason": "not-json", "sequenceNumber": "7", "partitionKey": "k",
                               "arrived": "2018-12-17T22:10:50.987Z", "isCut": false});
        for (key, value) in expected.as_object().unwrap() {
            whole[key] = value.clone();
        }
        assert_eq!(lines(&pile), [whole]);
    }

    #[test]
    fn text_is_kept_as_text_and_all_else_as_base64() {
        check("caf\u{e9} \"\n".as_bytes(), &json!({"line": "caf\u{e9} \"\n"}));
        check(b"\xff\x00", &json!({"data": "/wA="}));
        check(b"", &json!({"line": ""}));
    }

    #[test]
    fn a_long_thing_is_cut_between_two_characters() {
        let long = "x".repeat(THING_BYTES - 1);
        check(format!("{long}y").as_bytes(), &json!({"line": format!("{long}y")}));
        check(format!("{long}yz").as_bytes(), &json!({"line": format!("{long}y"), "isCut": true}));
        check(format!("{long}\u{e9}").as_bytes(), &json!({"line": long, "isCut": true}));
    }

    #[test]
    fn a_record_without_data_is_named_all_the_same() {
        let event = json!({"Records": [{"kinesis": {"sequenceNumber": "8", "data": "%"}}]});
        let record = serde_json::from_value::<Event>(event).unwrap().records.remove(0);
        let mut pile = Pile::default();
        pile.record(Reason::NotBase64, &record);
        assert_eq!(lines(&pile)[0]["sequenceNumber"], json!("8"));
        assert_eq!(lines(&pile)[0]["arrived"], Value::Null);
    }

    #[test]
    fn a_state_is_kept_without_a_record() {
        let mut pile = Pile::default();
        pile.without_record(Reason::State, br#"{"version":99}"#);
        assert_eq!(lines(&pile)[0]["line"], json!("{\"version\":99}"));
        assert_eq!(lines(&pile)[0]["sequenceNumber"], Value::Null);
    }

    #[test]
    fn a_repeat_of_a_call_has_the_same_key() {
        let moment = DateTime::from_millis(1_545_084_650_987);
        let place =
            Place { function: "aggregate", shard: "shardId-6".to_owned(), moment, first: "495".to_owned() };
        assert_eq!(key("set-aside/", &place), "set-aside/aggregate/2018/12/17/shardId-6/495.jsonl");
    }

    proptest! {
        /// Every thing is in the object or counted in its last line, and the object stays within its bound.
        #[test]
        fn nothing_is_forgotten(contents in vec((any::<u8>(), 0_usize..100_000), 0..150)) {
            let (mut pile, record) = (Pile::default(), record(b""));
            for (byte, len) in &contents {
                pile.line(Reason::NotJson, &record, &vec![*byte; *len]);
            }
            let written = lines(&pile);
            let left_out = written.last().and_then(|last| last["leftOut"]["not-json"].as_u64()).unwrap_or(0);
            let kept = written.iter().filter(|line| line.get("reason").is_some()).count() as u64;
            prop_assert_eq!(kept + left_out, contents.len() as u64);
            prop_assert_eq!(pile.count(), contents.len() as u64);
            prop_assert!(pile.to_text().len() <= OBJECT_BYTES);
        }

        /// What is not cut comes out as it went in.
        #[test]
        fn what_is_kept_is_what_came(content in vec(any::<u8>(), 0..100)) {
            let mut pile = Pile::default();
            pile.record(Reason::NotGzip, &record(&content));
            let thing = lines(&pile).remove(0);
            let kept = match thing.get("data").and_then(Value::as_str) {
                Some(data) => base64_simd::STANDARD.decode_to_vec(data).unwrap(),
                None => thing["line"].as_str().unwrap().as_bytes().to_vec(),
            };
            prop_assert_eq!(kept, content);
        }
    }
}
