//! The stream's answers, sorted. Pure; the only place that makes [`Acked`].
//!
//! A call that succeeded may still have refused any of its records: the verdict is per record, in the order they were
//! offered. An answer that does not fit the question proves nothing.

use memchr::memmem;
use serde_json::Value;

use super::stream::is_throttling;
use crate::batch::Batch;
use crate::position::Span;

/// Proof that the stream has accepted the bytes of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    span: Span,
}

impl Acked {
    /// The bytes.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}

/// What the stream said of one call's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took them all.
    Accepted,
    /// For each record in order: nothing if it took it, else the error code.
    PerRecord(Vec<Option<String>>),
}

/// An answer that is not one.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not the JSON of an answer.
    #[error("could not read the answer")]
    Json(#[source] serde_json::Error),
    /// Verdicts on more or fewer records than were offered.
    #[error("the answer has verdicts on {given} records, but {offered} were offered")]
    Length {
        /// How many it has.
        given: usize,
        /// How many there should be.
        offered: usize,
    },
}

/// The keys of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// How many entries were refused, being none, as it is written.
    none_failed: &'static [u8],
    /// The verdicts.
    verdicts: &'static str,
    /// What a verdict has if the entry was taken, and how its value begins.
    taken: &'static str,
    taken_begins: &'static [u8],
}

impl Form {
    /// That of Kinesis.
    /// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.
    pub const PUT_RECORDS: Form = Form {
        none_failed: br#""FailedRecordCount":0,"#,
        verdicts: "Records",
        taken: "SequenceNumber",
        taken_begins: br#""SequenceNumber":""#,
    };
    /// That of Firehose.
    /// Source: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.
    pub const PUT_RECORD_BATCH: Form = Form {
        none_failed: br#""FailedPutCount":0,"#,
        verdicts: "RequestResponses",
        taken: "RecordId",
        taken_begins: br#""RecordId":""#,
    };
}

/// Reads the body of an answer to `offered` records.
///
/// # Errors
/// If it is not JSON or does not have one verdict for each record.
pub fn read_answer(body: &[u8], offered: usize, form: &Form) -> Result<Answer, AnswerError> {
    // Nearly every answer is this one. Inside a JSON string the quotes would be escaped, so the key can't be meant
    // otherwise; counting it is a hundred times cheaper than making objects of 500 entries.
    if memmem::find(body, form.none_failed).is_some()
        && memmem::find_iter(body, form.taken_begins).count() == offered
        && memmem::find(body, br#""ErrorCode""#).is_none()
    {
        return Ok(Answer::Accepted);
    }
    let value: Value = serde_json::from_slice(body).map_err(AnswerError::Json)?;
    let records = value.get(form.verdicts).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if records.len() != offered {
        return Err(AnswerError::Length { given: records.len(), offered });
    }
    let verdict = |record: &Value| match (record.get("ErrorCode"), record.get(form.taken)) {
        (None | Some(Value::Null), Some(Value::String(_))) => None,
        (Some(Value::String(code)), _) => Some(code.clone()),
        _ => Some("NoVerdict".to_owned()),
    };
    let verdicts: Vec<Option<String>> = records.iter().map(verdict).collect();
    Ok(if verdicts.iter().all(Option::is_none) { Answer::Accepted } else { Answer::PerRecord(verdicts) })
}

/// What is still to be offered, in the order it was, after `answer` to the records `offered`.
#[must_use]
pub fn again(offered: &[usize], answer: &Answer) -> Vec<usize> {
    match answer {
        Answer::Accepted => Vec::new(),
        Answer::PerRecord(verdicts) => offered
            .iter()
            .zip(verdicts)
            .filter(|(_, verdict)| verdict.is_some())
            .map(|(index, _)| *index)
            .collect(),
    }
}

/// Which of the entries `offered` were refused as too much at a time.
#[must_use]
pub fn throttled(offered: &[usize], answer: &Answer) -> Vec<usize> {
    match answer {
        Answer::Accepted => Vec::new(),
        Answer::PerRecord(verdicts) => {
            let is_throttled = |code: &Option<String>| code.as_deref().is_some_and(is_throttling);
            let refused = offered.iter().zip(verdicts).filter(|(_, code)| is_throttled(code));
            refused.map(|(index, _)| *index).collect()
        }
    }
}

/// Every record of `batch` is accepted, or handed on as refused.
pub(super) fn settled(batch: &Batch) -> Vec<Acked> {
    batch.shares().iter().map(|share| Acked { span: share.span }).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const KINESIS: Form = Form::PUT_RECORDS;

    /// An acked span, as only the stream's word could make it.
    pub(crate) fn acked(span: Span) -> Acked {
        Acked { span }
    }

    /// As the service answers: compact, in its own order of keys.
    fn body(verdicts: &[Option<&str>], form: &Form) -> Vec<u8> {
        let records: Vec<Value> = verdicts
            .iter()
            .map(|verdict| match verdict {
                None => json!({form.taken: "49590338271490256608559692538361571095921575989136588898", "ShardId": "shardId-000000000000"}),
                Some(code) => json!({"ErrorCode": code, "ErrorMessage": "Rate exceeded for shard \"x\""}),
            })
            .collect();
        let failed = verdicts.iter().flatten().count();
        let none_failed = std::str::from_utf8(form.none_failed).unwrap();
        let count = none_failed.replace(":0,", &format!(":{failed},"));
        format!("{{\"EncryptionType\":\"NONE\",{count}\"{}\":{}}}", form.verdicts, json!(records))
            .into_bytes()
    }

    const FULL: Option<&str> = Some("ProvisionedThroughputExceededException");

    #[track_caller]
    fn check(verdicts: &[Option<&str>], left: &[usize]) {
        let offered: Vec<usize> = (10..10 + verdicts.len()).collect();
        for form in [Form::PUT_RECORDS, Form::PUT_RECORD_BATCH] {
            let answer = read_answer(&body(verdicts, &form), offered.len(), &form).unwrap();
            assert_eq!(again(&offered, &answer), left);
        }
    }

    #[test]
    fn accepted_records_are_not_offered_again() {
        check(&[None, None, None], &[]);
    }

    #[test]
    fn only_refused_records_are_offered_again_in_their_order() {
        check(&[None, FULL, None, Some("InternalFailure")], &[11, 13]);
        check(&[FULL, FULL], &[10, 11]);
    }

    #[test]
    fn only_what_was_too_much_is_throttled() {
        let answer =
            read_answer(&body(&[None, FULL, Some("InternalFailure")], &KINESIS), 3, &KINESIS).unwrap();
        assert_eq!(throttled(&[4, 5, 6], &answer), [5]);
        assert_eq!(throttled(&[4, 5, 6], &Answer::Accepted), [0; 0]);
    }

    #[test]
    fn an_answer_of_another_length_proves_nothing() {
        for given in [0, 1, 3] {
            let error = read_answer(&body(&vec![None; given], &KINESIS), 2, &KINESIS).unwrap_err();
            assert!(matches!(error, AnswerError::Length { offered: 2, .. }), "{error}");
        }
        assert!(matches!(read_answer(b"<html>", 1, &KINESIS), Err(AnswerError::Json(_))));
        assert!(matches!(read_answer(b"{}", 1, &KINESIS), Err(AnswerError::Length { given: 0, offered: 1 })));
    }

    #[test]
    fn an_answer_of_another_service_proves_nothing() {
        let firehose = body(&[None, None], &Form::PUT_RECORD_BATCH);
        assert!(matches!(read_answer(&firehose, 2, &KINESIS), Err(AnswerError::Length { given: 0, .. })));
    }

    #[test]
    fn a_count_that_lies_is_not_believed() {
        let lie = br#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"},{"ErrorCode":"InternalFailure"}]}"#;
        assert_eq!(again(&[0, 1], &read_answer(lie, 2, &KINESIS).unwrap()), [1]);
        let silent = br#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"},{}]}"#;
        assert_eq!(again(&[0, 1], &read_answer(silent, 2, &KINESIS).unwrap()), [1]);
    }

    proptest! {
        /// What is left is exactly what was refused, whatever the answer looks like.
        #[test]
        fn nothing_is_forgotten_and_nothing_repeated(refused in proptest::collection::vec(any::<bool>(), 1..50)) {
            let verdicts: Vec<Option<&str>> = refused.iter().map(|refused| if *refused { FULL } else { None }).collect();
            let offered: Vec<usize> = (0..refused.len()).collect();
            let left = again(&offered, &read_answer(&body(&verdicts, &KINESIS), offered.len(), &KINESIS).unwrap());
            let expected: Vec<usize> = offered.iter().copied().filter(|index| refused[*index]).collect();
            prop_assert_eq!(left, expected);
        }
    }
}
