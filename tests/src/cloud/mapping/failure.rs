//! What an invocation's answer means for its records, and what is written about records that are given up. Pure.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>.

use serde_json::{Value, json};

use super::record::Number;
use crate::cloud::moment::Moment;

/// How an invocation went.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Every record is dealt with.
    Done(Value),
    /// Every record before this one of the batch is dealt with; of the first, none is.
    From(usize, Value),
    /// No record is dealt with.
    Failed(String),
}

/// What an answer is held against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The records of the batch.
    pub numbers: &'a [&'a Number],
    /// Whether the invocation was one of a window.
    pub has_window: bool,
    /// Whether the mapping looks at the records that the answer names.
    pub reports_item_failures: bool,
}

/// Reads an answer.
///
/// An answer to an invocation with a window must have a `state`. No answer, an empty or absent list of failures is
/// success; an empty, absent or unknown `itemIdentifier` fails the batch; of several, the lowest is the checkpoint.
#[must_use]
pub fn verdict(answer: &[u8], expected: Expected<'_>) -> Verdict {
    let answer = match serde_json::from_slice::<Value>(answer) {
        Ok(answer) => answer,
        Err(_) if answer.is_empty() => Value::Null,
        Err(error) => return Verdict::Failed(format!("the answer is not JSON: {error}")),
    };
    let state = match (expected.has_window, answer.get("state")) {
        (true, None) => return Verdict::Failed("the answer has no state".to_owned()),
        (true, Some(state)) => state.clone(),
        (false, _) => Value::Null,
    };
    let failures = match answer.get("batchItemFailures") {
        Some(Value::Array(failures)) if expected.reports_item_failures => failures.as_slice(),
        Some(Value::Null) | None => &[],
        Some(_) if !expected.reports_item_failures => &[],
        Some(other) => return Verdict::Failed(format!("`batchItemFailures` is no list: {other}")),
    };
    let mut first = None;
    for failure in failures {
        let name = failure.get("itemIdentifier").and_then(Value::as_str).unwrap_or_default();
        let Some(index) = expected.numbers.iter().position(|number| number.as_str() == name) else {
            return Verdict::Failed(format!("the answer names `{name}`, which is no record of the batch"));
        };
        first = Some(first.map_or(index, |first: usize| first.min(index)));
    }
    match first {
        None => Verdict::Done(state),
        Some(index) => Verdict::From(index, state),
    }
}

/// Why records are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// They have been tried as often as they may.
    RetryAttemptsExhausted,
    /// They are older than the mapping wants.
    RecordAgeExceeded,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Condition::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Condition::RecordAgeExceeded => "RecordAgeExceeded",
        }
    }
}

/// Records that the mapping has given up.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// Why.
    pub condition: Condition,
    /// How often they had been tried.
    pub attempts: u32,
    /// The event with all of them.
    pub payload: String,
    /// The shard.
    pub shard: String,
    /// The stream, by its resource name.
    pub stream: String,
    /// How many.
    pub records: usize,
    /// The first and the last of them, if there is any: the last invocation of a window may have none.
    pub ends: Option<[(Number, Moment); 2]>,
}

impl GivenUp {
    /// What the service writes about them into a bucket: the whole invocation.
    #[must_use]
    pub fn to_json(&self, function: &str, now: Moment) -> Value {
        let end = |index: usize| self.ends.as_ref().and_then(|ends| ends.get(index));
        let number = |index| end(index).map(|(number, _)| number.as_str());
        let arrived = |index| end(index).map(|(_, arrived)| arrived.to_string());
        json!({
            "requestContext": {
                "requestId": uuid(),
                "functionArn": function,
                "condition": self.condition.as_str(),
                "approximateInvokeCount": self.attempts,
            },
            "responseContext": {
                "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
            },
            "version": "1.0",
            "timestamp": now.to_string(),
            "KinesisBatchInfo": {
                "shardId": self.shard,
                "startSequenceNumber": number(0),
                "endSequenceNumber": number(1),
                "approximateArrivalOfFirstRecord": arrived(0),
                "approximateArrivalOfLastRecord": arrived(1),
                "batchSize": self.records,
                "streamArn": self.stream,
            },
            "payload": self.payload,
        })
    }

    /// Where in the bucket: `aws/lambda/MAPPING/SHARD/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-UUID`.
    #[must_use]
    pub fn key(&self, mapping: &str, now: Moment) -> String {
        let time = now.to_string();
        let (day, _) = time.split_once('T').unwrap_or_default();
        let second = time.get(..19).unwrap_or_default().replace(':', ".");
        format!("aws/lambda/{mapping}/{}/{}/{second}-{}", self.shard, day.replace('-', "/"), uuid())
    }
}

fn uuid() -> String {
    let bits = fastrand::u128(..);
    let hex = format!("{bits:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATELESS: bool = false;
    const WINDOWED: bool = true;

    #[track_caller]
    fn check(has_window: bool, answer: &str, expected: Result<Option<usize>, &str>) {
        let numbers = ["8", "9", "10"].map(Number::new);
        let numbers: Vec<&Number> = numbers.iter().collect();
        let against = Expected { numbers: &numbers, has_window, reports_item_failures: true };
        let found = match verdict(answer.as_bytes(), against) {
            Verdict::Done(_) => Ok(None),
            Verdict::From(index, _) => Ok(Some(index)),
            Verdict::Failed(why) => Err(why),
        };
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|why| *why), "{answer}");
    }

    #[test]
    fn an_answer_without_failures_is_success() {
        for answer in
            ["", "null", "{}", "\"ok\"", r#"{"batchItemFailures": []}"#, r#"{"batchItemFailures": null}"#]
        {
            check(STATELESS, answer, Ok(None));
        }
    }

    #[test]
    fn the_lowest_record_named_is_where_it_goes_on() {
        let both = r#"{"batchItemFailures": [{"itemIdentifier": "10"}, {"itemIdentifier": "9"}]}"#;
        check(STATELESS, both, Ok(Some(1)));
        check(STATELESS, r#"{"batchItemFailures": [{"itemIdentifier": "10"}]}"#, Ok(Some(2)));
        let first = r#"{"batchItemFailures": [{"itemIdentifier": "8"}]}"#;
        check(STATELESS, first, Ok(Some(0)));
    }

    #[test]
    fn an_identifier_that_names_no_record_fails_the_batch() {
        for failure in [r#"{"itemIdentifier": ""}"#, r#"{"itemIdentifier": null}"#, r#"{"id": "9"}"#] {
            let answer = format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "10"}}, {failure}]}}"#);
            check(STATELESS, &answer, Err("the answer names ``, which is no record of the batch"));
        }
        let other = r#"{"batchItemFailures": [{"itemIdentifier": "7"}]}"#;
        check(STATELESS, other, Err("the answer names `7`, which is no record of the batch"));
    }

    #[test]
    fn a_window_needs_a_state_in_every_answer() {
        for answer in ["", "null", "{}", r#"{"batchItemFailures": []}"#] {
            check(WINDOWED, answer, Err("the answer has no state"));
        }
        check(WINDOWED, r#"{"state": {}}"#, Ok(None));
        let partly = r#"{"state": {}, "batchItemFailures": [{"itemIdentifier": "9"}]}"#;
        check(WINDOWED, partly, Ok(Some(1)));
    }

    #[test]
    fn failures_that_nobody_asked_for_are_passed_over() {
        let number = Number::new("8");
        let expected = Expected { numbers: &[&number], has_window: false, reports_item_failures: false };
        let answer = br#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#;
        assert_eq!(verdict(answer, expected), Verdict::Done(Value::Null));
    }

    #[test]
    fn what_is_given_up_is_found_under_its_shard_and_day() {
        let now = Moment::from_millis(1_607_497_475_123);
        let given_up = GivenUp {
            condition: Condition::RetryAttemptsExhausted,
            attempts: 3,
            payload: "{}".to_owned(),
            shard: "shardId-000000000001".to_owned(),
            stream: "s".to_owned(),
            records: 2,
            ends: Some([(Number::new("8"), now), (Number::new("9"), now)]),
        };
        let key = given_up.key("m", now);
        let expected = "aws/lambda/m/shardId-000000000001/2020/12/09/2020-12-09T07.04.35-";
        assert!(key.starts_with(expected) && key.len() == expected.len() + 36, "{key}");
        let json = given_up.to_json("f", now);
        assert_eq!(json["requestContext"]["condition"], "RetryAttemptsExhausted");
        assert_eq!(json["KinesisBatchInfo"]["startSequenceNumber"], "8");
        assert_eq!(json["KinesisBatchInfo"]["approximateArrivalOfLastRecord"], "2020-12-09T07:04:35.123Z");
        assert_eq!(json["payload"], "{}");
    }
}
