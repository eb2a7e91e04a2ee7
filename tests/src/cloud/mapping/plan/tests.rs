//! Each history is written as what happens in turn; what the plan does is read back in short.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(5);

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

fn settings() -> Settings {
    Settings { batch_size: 3, reports_item_failures: true, retries: Some(1), ..Settings::default() }
}

fn windowed() -> Settings {
    Settings { tumbling_window: Some(WINDOW), ..settings() }
}

fn plan(settings: Settings) -> Plan {
    Plan::new(settings, Source { stream: "arn".to_owned(), shard: "shard".to_owned() })
}

fn record(number: usize, arrived: u64) -> Record {
    Record {
        number: Number::new(number.to_string()),
        partition_key: None,
        arrived: at(arrived),
        data: vec![],
    }
}

/// Gives the plan records by number and second of arrival; all up to the second `until` have been read.
fn read(plan: &mut Plan, records: &[(usize, u64)], until: u64) {
    let records = records.iter().map(|(number, arrived)| record(*number, *arrived)).collect();
    plan.read(records, at(until), at(until));
}

/// Numbers of the records, and for a window its first second, the state, and the call: `1,2 w5 {"n":1} Middle`.
fn shown(invocation: &Invocation) -> String {
    let event: Value = serde_json::from_str(&invocation.payload).unwrap();
    let numbers: Vec<&str> = event["Records"].as_array().unwrap().iter().map(number_of).collect();
    assert_eq!(numbers.len(), invocation.records);
    let Some(window) = invocation.window else { return numbers.join(",") };
    assert_eq!(event["window"]["start"], window.start.to_string());
    assert_eq!(event["window"]["end"], window.end.to_string());
    assert_eq!(event["isFinalInvokeForWindow"], invocation.call != Call::Middle);
    assert_eq!(event["isWindowTerminatedEarly"], invocation.call == Call::FinalEarly);
    let start = window.start.to_millis() / 1000;
    format!("{} w{start} {} {:?}", numbers.join(","), event["state"], invocation.call)
}

fn number_of(record: &Value) -> &str {
    record["kinesis"]["sequenceNumber"].as_str().unwrap()
}

/// What the plan does at this second.
fn next(plan: &mut Plan, second: u64) -> String {
    match plan.next(at(second)) {
        Step::Invoke(invocation) => shown(&invocation),
        Step::GiveUp(given_up) => format!("give up {} {:?}", given_up.records, given_up.condition),
        Step::Wait => "wait".to_owned(),
        Step::End => "end".to_owned(),
    }
}

fn answer(plan: &mut Plan, second: u64, answer: &str) -> Option<GivenUp> {
    plan.settle(Ok(answer.as_bytes()), at(second))
}

fn fail(plan: &mut Plan, second: u64) -> Option<GivenUp> {
    plan.settle(Err("lost".to_owned()), at(second))
}

/// Reads the records, then answers each invocation with the next answer until the plan waits, at second 100.
#[track_caller]
fn check(settings: Settings, records: &[(usize, u64)], until: u64, calls: &[(&str, &str)]) {
    let mut plan = plan(settings);
    read(&mut plan, records, until);
    for (expected, reply) in calls {
        assert_eq!(next(&mut plan, 100), *expected);
        assert!(answer(&mut plan, 100, reply).is_none());
    }
    assert_eq!(next(&mut plan, 100), "wait");
}

#[test]
fn without_windows_records_go_in_batches() {
    check(settings(), &[(1, 0), (2, 9), (3, 9), (4, 99)], 99, &[("1,2,3", ""), ("4", "{}")]);
}

#[test]
fn a_window_carries_its_state_from_call_to_call() {
    let records = [(1, 1), (2, 1), (3, 2), (4, 4)];
    let calls =
        [(r#"1,2,3 w0 {} Middle"#, r#"{"state":{"n":3}}"#), (r#"4 w0 {"n":3} Middle"#, r#"{"state":7}"#)];
    check(windowed(), &records, 4, &calls);
}

#[test]
fn a_batch_never_crosses_the_end_of_a_window() {
    let records = [(1, 4), (2, 5), (3, 12)];
    let calls = [
        ("1 w0 {} Final", r#"{"state":{"n":1}}"#),
        ("2 w5 {} Final", r#"{"state":{}}"#),
        ("3 w10 {} Middle", r#"{"state":{}}"#),
    ];
    check(windowed(), &records, 12, &calls);
}

#[test]
fn a_window_ends_without_records_when_its_time_has_passed_and_the_shard_was_read_beyond_it() {
    let mut plan = plan(windowed());
    read(&mut plan, &[(1, 1)], 2);
    assert_eq!(next(&mut plan, 2), "1 w0 {} Middle");
    answer(&mut plan, 2, r#"{"state":{"n":1}}"#);
    // The time has passed, but what arrived meanwhile has not been read.
    assert_eq!(next(&mut plan, 60), "wait");
    read(&mut plan, &[], 5);
    assert_eq!(next(&mut plan, 60), r#" w0 {"n":1} Final"#);
    answer(&mut plan, 60, r#"{"state":{}}"#);
    assert_eq!(next(&mut plan, 60), "wait");
    assert_eq!(plan.settled_until(), Some(at(5)));
}

#[test]
fn a_later_record_ends_the_window_before_it_is_counted() {
    let mut plan = plan(windowed());
    read(&mut plan, &[(1, 1)], 2);
    next(&mut plan, 2);
    answer(&mut plan, 2, r#"{"state":{"n":1}}"#);
    read(&mut plan, &[(2, 5)], 4);
    assert_eq!(next(&mut plan, 5), r#" w0 {"n":1} Final"#);
    answer(&mut plan, 5, r#"{"state":{}}"#);
    assert_eq!(next(&mut plan, 5), "2 w5 {} Middle");
}

#[test]
fn a_state_that_is_too_large_ends_the_window_early_and_the_rest_begins_anew() {
    let mut plan = plan(windowed());
    read(&mut plan, &[(1, 1), (2, 1), (3, 1), (4, 1)], 2);
    assert_eq!(next(&mut plan, 2), "1,2,3 w0 {} Middle");
    let state = "a".repeat(1_000_001);
    answer(&mut plan, 2, &json!({ "state": state }).to_string());
    let shown = next(&mut plan, 2);
    assert!(shown.starts_with(" w0 \"aaa") && shown.ends_with("\" FinalEarly"));
    answer(&mut plan, 2, r#"{"state":{}}"#);
    assert_eq!(next(&mut plan, 2), "4 w0 {} Middle");
}

#[test]
fn the_end_of_a_shard_ends_its_window() {
    let mut plan = plan(windowed());
    read(&mut plan, &[(1, 1)], 2);
    next(&mut plan, 2);
    answer(&mut plan, 2, r#"{"state":{"n":1}}"#);
    plan.end();
    assert_eq!(next(&mut plan, 2), r#" w0 {"n":1} Final"#);
    answer(&mut plan, 2, r#"{"state":{}}"#);
    assert_eq!(next(&mut plan, 2), "end");
}

#[test]
fn a_batch_waits_to_be_full_no_longer_than_the_batching_window() {
    let settings = Settings { batching_window: Duration::from_secs(10), ..settings() };
    let mut plan = plan(settings);
    read(&mut plan, &[(1, 1)], 1);
    assert_eq!(next(&mut plan, 10), "wait");
    assert_eq!(next(&mut plan, 11), "1");
    answer(&mut plan, 11, "");
    read(&mut plan, &[(2, 11), (3, 11), (4, 11)], 12);
    assert_eq!(next(&mut plan, 12), "2,3,4");
}

#[test]
fn the_end_of_a_window_does_not_wait_for_a_full_batch() {
    let mut plan = plan(Settings { batching_window: Duration::from_secs(300), ..windowed() });
    read(&mut plan, &[(1, 1)], 5);
    assert_eq!(next(&mut plan, 5), "1 w0 {} Final");
}

#[test]
fn a_failed_batch_is_tried_again_after_a_wait_and_then_given_up() {
    let mut plan = plan(settings());
    read(&mut plan, &[(1, 0), (2, 0)], 0);
    assert_eq!(next(&mut plan, 1), "1,2");
    assert!(fail(&mut plan, 1).is_none());
    assert_eq!(next(&mut plan, 1), "wait");
    assert_eq!(next(&mut plan, 2), "1,2");
    let given_up = fail(&mut plan, 2).unwrap();
    assert_eq!(
        (given_up.condition, given_up.attempts, given_up.records),
        (Condition::RetryAttemptsExhausted, 2, 2)
    );
    assert!(given_up.payload.contains("\"sequenceNumber\":\"2\""));
    assert_eq!(next(&mut plan, 2), "wait");
    assert!(plan.settled_until().is_some());
}

#[test]
fn without_a_bound_a_batch_blocks_its_shard_for_ever() {
    let mut plan = plan(Settings { retries: None, ..settings() });
    read(&mut plan, &[(1, 0)], 0);
    for second in (0..10_000).step_by(10) {
        assert_eq!(next(&mut plan, second), "1");
        assert!(fail(&mut plan, second).is_none());
    }
}

#[test]
fn a_batch_goes_on_from_the_record_that_is_named() {
    let mut plan = plan(windowed());
    read(&mut plan, &[(1, 0), (2, 0), (3, 0)], 6);
    assert_eq!(next(&mut plan, 10), "1,2,3 w0 {} Final");
    answer(&mut plan, 10, r#"{"state":{"n":1},"batchItemFailures":[{"itemIdentifier":"2"}]}"#);
    assert_eq!(next(&mut plan, 20), r#"2,3 w0 {"n":1} Final"#);
    answer(&mut plan, 20, r#"{"state":{}}"#);
    assert_eq!(next(&mut plan, 20), "wait");
}

#[test]
fn where_the_first_record_is_named_the_same_batch_comes_again_with_the_state_of_the_answer() {
    let mut plan = plan(Settings { bisects: true, retries: Some(1), ..windowed() });
    read(&mut plan, &[(1, 0), (2, 0)], 6);
    let first = r#"{"state":{"n":1},"batchItemFailures":[{"itemIdentifier":"1"}]}"#;
    assert_eq!(next(&mut plan, 10), "1,2 w0 {} Final");
    assert!(answer(&mut plan, 10, first).is_none());
    assert_eq!(next(&mut plan, 20), r#"1,2 w0 {"n":1} Final"#);
    // It uses up attempts, or it would come for ever.
    assert!(answer(&mut plan, 20, first).is_some());
}

#[test]
fn a_bisected_batch_finds_the_poison_and_loses_nothing_else() {
    let mut plan = plan(Settings { bisects: true, batch_size: 4, ..windowed() });
    read(&mut plan, &[(1, 0), (2, 0), (3, 0), (4, 0)], 6);
    let mut calls = Vec::new();
    let mut given_up = Vec::new();
    for second in (10..).step_by(10) {
        let call = next(&mut plan, second);
        if call == "wait" {
            break;
        }
        calls.push(call.clone());
        let has_poison = call.split(' ').next().unwrap().split(',').any(|number| number == "3");
        given_up.extend(if has_poison {
            fail(&mut plan, second)
        } else {
            answer(&mut plan, second, r#"{"state":{}}"#)
        });
    }
    let expected = [
        "1,2,3,4 w0 {} Final",
        "1,2 w0 {} Middle",
        "3,4 w0 {} Final",
        "3 w0 {} Middle",
        "3 w0 {} Middle",
        "4 w0 {} Final",
    ];
    assert_eq!(calls, expected);
    assert_eq!(given_up.len(), 1);
    assert_eq!(given_up[0].ends.as_ref().unwrap()[0].0, Number::new("3"));
}

#[test]
fn a_last_call_that_is_given_up_ends_its_window() {
    let mut plan = plan(Settings { retries: Some(0), ..windowed() });
    read(&mut plan, &[(1, 0)], 0);
    next(&mut plan, 1);
    answer(&mut plan, 1, r#"{"state":{}}"#);
    read(&mut plan, &[], 6);
    assert_eq!(next(&mut plan, 6), " w0 {} Final");
    assert_eq!(fail(&mut plan, 6).unwrap().ends, None);
    assert_eq!(next(&mut plan, 6), "wait");
    assert!(plan.settled_until().is_some());
}

#[test]
fn records_that_are_too_old_are_given_up_untried() {
    let mut plan = plan(Settings { record_age: Some(Duration::from_secs(60)), ..settings() });
    read(&mut plan, &[(1, 0), (2, 0), (3, 90)], 90);
    assert_eq!(next(&mut plan, 100), "give up 2 RecordAgeExceeded");
    assert_eq!(next(&mut plan, 100), "3");
}

/// What a function does with an invocation in a history.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Good,
    Lost,
    Partly(usize),
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![3 => Just(Reply::Good), 1 => Just(Reply::Lost), 1 => (0_usize..4).prop_map(Reply::Partly)]
}

proptest! {
    /// Whatever fails: every record is counted once, in order and in the window of its arrival, and each window that
    /// was begun ends once, with all its records counted before.
    #[test]
    fn every_record_is_counted_once_in_its_window(
        gaps in vec(0_u64..4, 1..40),
        replies in vec(reply(), 0..40),
        batch_size in 1_usize..5,
        bisects in any::<bool>(),
        chunk in 1_usize..6,
    ) {
        let arrivals: Vec<u64> = gaps.iter().scan(0, |second, gap| { *second += gap; Some(*second) }).collect();
        let mut plan = plan(Settings { retries: None, batch_size, bisects, ..windowed() });
        let mut rest: Vec<(usize, u64)> = (0..).zip(arrivals.iter().copied()).collect();
        let mut replies = replies.into_iter();
        let mut counted: Vec<(usize, u64)> = Vec::new();
        let mut ended: Vec<(u64, usize)> = Vec::new();
        let mut second = 1000;
        loop {
            second += 10;
            if rest.is_empty() {
                plan.end();
            } else {
                let part: Vec<_> = rest.drain(..chunk.min(rest.len())).collect();
                let until = rest.first().map_or(part[part.len() - 1].1, |next| next.1);
                read(&mut plan, &part, until);
            }
            let invocation = match plan.next(at(second)) {
                Step::Invoke(invocation) => invocation,
                Step::Wait => continue,
                Step::End => break,
                Step::GiveUp(given_up) => {
                    prop_assert!(false, "{:?}", given_up);
                    break;
                }
            };
            let event: Value = serde_json::from_str(&invocation.payload).unwrap();
            let numbers: Vec<usize> =
                event["Records"].as_array().unwrap().iter().map(|one| number_of(one).parse().unwrap()).collect();
            let start = invocation.window.unwrap().start.to_millis() / 1000;
            // The state says how many of the window have been counted so far.
            let so_far = event["state"].as_u64().unwrap_or_default();
            prop_assert_eq!(so_far, counted.iter().filter(|one| one.1 == start).count() as u64);
            let done = match replies.next().unwrap_or(Reply::Good) {
                Reply::Good => numbers.len(),
                Reply::Partly(done) if done > 0 && done < numbers.len() => done,
                Reply::Partly(_) | Reply::Lost => {
                    prop_assert!(fail(&mut plan, second).is_none());
                    continue;
                }
            };
            counted.extend(numbers[..done].iter().map(|number| (*number, start)));
            let failures: Vec<Value> =
                numbers[done..].iter().map(|number| json!({"itemIdentifier": number.to_string()})).collect();
            if failures.is_empty() && invocation.call != Call::Middle {
                ended.push((start, counted.iter().filter(|one| one.1 == start).count()));
            }
            let state = so_far + done as u64;
            let text = json!({"state": state, "batchItemFailures": failures}).to_string();
            prop_assert!(answer(&mut plan, second, &text).is_none());
        }
        let expected: Vec<(usize, u64)> =
            (0..).zip(arrivals.iter().map(|second| second - second % WINDOW.as_secs())).collect();
        prop_assert_eq!(&counted, &expected);
        let windows: BTreeSet<u64> = expected.iter().map(|one| one.1).collect();
        let expected: Vec<(u64, usize)> = windows
            .into_iter()
            .map(|start| (start, expected.iter().filter(|one| one.1 == start).count()))
            .collect();
        prop_assert_eq!(ended, expected);
    }
}
