//! The proxy against the emulator, with the SDK as its client.

use std::collections::BTreeSet;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use super::*;
use crate::endpoint::{self, Endpoint, Throughput};

struct Bench {
    endpoint: Endpoint,
    faults: Faults,
    client: Client,
}

impl Bench {
    async fn new() -> Bench {
        let endpoint = Endpoint::start(Throughput::Unlimited).unwrap();
        endpoint.create_stream("s", 2).await.unwrap();
        let faults = Faults::start(endpoint.address()).unwrap();
        let direct = endpoint::client(faults.address());
        let config = direct.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Bench { endpoint, faults, client: Client::from_conf(config) }
    }

    /// Offers records; says which were accepted, or nothing if the request failed.
    async fn put(&self, records: &[&str]) -> Option<Vec<bool>> {
        let entries = records.iter().map(|data| {
            let entry = PutRecordsRequestEntry::builder().data(Blob::new(*data)).partition_key(*data);
            entry.build().unwrap()
        });
        let request = self.client.put_records().stream_name("s").set_records(Some(entries.collect()));
        let answer = request.send().await.ok()?;
        let accepted: Vec<bool> =
            answer.records().iter().map(|record| record.error_code().is_none()).collect();
        let refused = accepted.iter().filter(|accepted| !**accepted).count();
        assert_eq!(answer.failed_record_count(), i32::try_from(refused).ok());
        Some(accepted)
    }

    async fn stored(&self) -> BTreeSet<String> {
        let records = self.endpoint.read("s").await.unwrap();
        records.into_iter().map(|record| String::from_utf8(record.data).unwrap()).collect()
    }

    /// Fate and whether it was taken, of all entries so far.
    fn books(&self) -> Vec<(Fate, bool)> {
        let entry = |entry: &Entry| (entry.fate, entry.taken);
        self.faults
            .look(|requests| requests.iter().flat_map(|request| request.entries.iter().map(entry)).collect())
    }

    /// Waits until the books say so: an answer is noted when all of it is on its way, which may be after it has arrived.
    async fn noted(&self, expected: &[(Fate, bool)]) {
        let is_noted = async || Ok((self.books() == expected).then_some(()));
        let noted = wait::until("it is noted", wait::LONG, is_noted).await;
        assert!(noted.is_ok(), "{:?} is in the books, not {expected:?}", self.books());
    }
}

#[track_caller]
fn check(stored: &BTreeSet<String>, expected: &[&str]) {
    assert_eq!(stored.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_passes_is_stored_and_noted() {
    let bench = Bench::new().await;
    assert_eq!(bench.put(&["a", "b"]).await, Some(vec![true, true]));
    check(&bench.stored().await, &["a", "b"]);
    bench.noted(&[(Fate::Accepted, true); 2]).await;
}

#[tokio::test]
async fn each_failure_leaves_what_it_should() {
    let bench = Bench::new().await;
    for (mode, data) in
        [(Mode::Away, "a"), (Mode::InternalError, "b"), (Mode::ResetBefore, "c"), (Mode::ResetAfter, "d")]
    {
        bench.faults.set(mode);
        assert_eq!(bench.put(&[data]).await, None, "{mode:?}");
    }
    check(&bench.stored().await, &["d"]);
    assert_eq!(bench.books(), [(Fate::Refused, false), (Fate::Unanswered, false), (Fate::Unanswered, true)]);
    assert_eq!(bench.faults.look(unanswered), 2);
}

#[tokio::test]
async fn refused_entries_are_not_stored_and_the_others_are() {
    let bench = Bench::new().await;
    let records: Vec<String> = (100..300).map(|number| number.to_string()).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    bench.faults.set(Mode::Refuse { percent: 50 });
    let accepted = bench.put(&records).await.unwrap();
    let expected: Vec<&str> =
        records.iter().zip(&accepted).filter(|(_, is)| **is).map(|(data, _)| *data).collect();
    assert!(!expected.is_empty() && expected.len() < records.len());
    check(&bench.stored().await, &expected);

    bench.faults.set(Mode::Refuse { percent: 100 });
    assert_eq!(bench.put(&["x", "y"]).await, Some(vec![false, false]));
    check(&bench.stored().await, &expected);
}

#[tokio::test]
async fn each_answer_that_is_lost_is_of_what_was_taken() {
    let bench = Bench::new().await;
    for (mode, data) in [(Mode::Unavailable, "a"), (Mode::Truncate, "b")] {
        bench.faults.set(mode);
        assert_eq!(bench.put(&[data]).await, None, "{mode:?}");
    }
    bench.faults.set(Mode::Shorten);
    // The SDK takes what it gets.
    assert_eq!(bench.put(&["c", "d"]).await, Some(vec![true]));
    check(&bench.stored().await, &["a", "b", "c", "d"]);
    assert_eq!(bench.books(), [(Fate::Unanswered, true); 4]);
    assert!(bench.faults.look(|requests| requests.iter().all(|request| request.harmed)));
}

#[tokio::test]
async fn what_is_rejected_is_not_stored() {
    let bench = Bench::new().await;
    bench.faults.set(Mode::Reject { code: "ExpiredTokenException" });
    assert_eq!(bench.put(&["a"]).await, None);
    bench.faults.set(Mode::Silence);
    tokio::select! {
        answer = bench.put(&["b"]) => unreachable!("answered with {answer:?}"),
        () = harmed(&bench, 2) => bench.faults.set(Mode::Pass),
    }
    assert_eq!(bench.put(&["c"]).await, Some(vec![true]));
    check(&bench.stored().await, &["c"]);
    bench.noted(&[(Fate::Refused, false), (Fate::Unanswered, false), (Fate::Accepted, true)]).await;
}

/// Waits until so many requests have come to harm.
async fn harmed(bench: &Bench, count: usize) {
    let harmed = |requests: &[Request]| requests.iter().filter(|request| request.harmed).count();
    let enough = async || Ok((bench.faults.look(harmed) >= count).then_some(()));
    wait::until("they have come to harm", wait::LONG, enough).await.unwrap();
}

#[tokio::test]
async fn one_shard_of_four_is_refused() {
    let bench = Bench::new().await;
    bench.faults.set(Mode::RefuseShard { shard: 2 });
    let keys: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let expected: Vec<bool> = keys.iter().map(|key| shard(key) != 2).collect();
    assert_eq!(bench.put(&keys).await, Some(expected.clone()));
    let count = expected.iter().filter(|is| !**is).count();
    assert!((10..40).contains(&count), "{count} of 100");
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_and_followed() {
    let bench = Bench::new().await;
    for seconds in [7200, -7200] {
        bench.faults.set(Mode::Skew { seconds });
        assert_eq!(bench.put(&["a"]).await, None);
        assert_eq!(bench.put(&["a"]).await, Some(vec![true]), "the SDK signs for the other clock");
        assert_eq!(bench.put(&["a"]).await, Some(vec![true]));
    }
    bench.faults.set(Mode::Pass);
    assert_eq!(bench.put(&["a"]).await, Some(vec![true]));
    let harmed = |requests: &[Request]| requests.iter().map(|request| request.harmed).collect::<Vec<_>>();
    assert_eq!(bench.faults.look(harmed), [true, false, false, true, false, false, false]);
}

#[tokio::test]
async fn what_is_held_is_forwarded_when_released() {
    let bench = Bench::new().await;
    bench.faults.set(Mode::Hold);
    let release = async {
        wait::until("it is held", wait::LONG, async || {
            Ok(bench.faults.look(|requests| (!requests.is_empty()).then_some(())))
        })
        .await
        .unwrap();
        check(&bench.stored().await, &[]);
        bench.faults.set(Mode::Pass);
    };
    let (answer, ()) = tokio::join!(bench.put(&["a"]), release);
    assert_eq!(answer, Some(vec![true]));
    check(&bench.stored().await, &["a"]);
}

#[tokio::test]
async fn an_answer_that_is_held_is_of_what_was_taken() {
    let bench = Bench::new().await;
    bench.faults.set(Mode::HoldAnswers);
    let release = async {
        wait::until("it is taken", wait::LONG, async || Ok((bench.stored().await.len() == 1).then_some(())))
            .await
            .unwrap();
        assert_eq!(bench.books(), [(Fate::Unanswered, true)]);
        bench.faults.set(Mode::Hold);
        assert_eq!(bench.books(), [(Fate::Unanswered, true)]);
        bench.faults.set(Mode::Pass);
    };
    let (answer, ()) = tokio::join!(bench.put(&["a"]), release);
    assert_eq!(answer, Some(vec![true]));
    bench.noted(&[(Fate::Accepted, true)]).await;
}

#[tokio::test]
async fn what_is_held_is_forgotten_when_its_sender_goes() {
    let bench = Bench::new().await;
    bench.faults.set(Mode::Hold);
    tokio::select! {
        answer = bench.put(&["a"]) => unreachable!("answered with {answer:?}"),
        held = wait::until("it is held", wait::LONG, async || {
            Ok(bench.faults.look(|requests| (!requests.is_empty()).then_some(())))
        }) => held.unwrap(),
    }
    bench.faults.quiet().await.unwrap();
    bench.faults.set(Mode::Pass);
    assert_eq!(bench.put(&["b"]).await, Some(vec![true]));
    check(&bench.stored().await, &["b"]);
    bench.noted(&[(Fate::Unanswered, false), (Fate::Accepted, true)]).await;
}

#[tokio::test]
async fn a_record_that_is_offered_after_it_was_accepted_is_found() {
    let bench = Bench::new().await;
    bench.put(&["a", "b"]).await.unwrap();
    bench.faults.set(Mode::ResetAfter);
    bench.put(&["c"]).await;
    bench.faults.set(Mode::Pass);
    bench.put(&["b", "c", "d"]).await.unwrap();
    bench.faults.look(|requests| assert_eq!(offered_after_acceptance(requests), [b"b"]));
}

#[tokio::test]
async fn a_stream_with_limits_refuses_what_is_too_much() {
    let endpoint = Endpoint::start(Throughput::Enforced).unwrap();
    endpoint.create_stream("s", 1).await.unwrap();
    let client = endpoint::client(endpoint.address());
    let entry = PutRecordsRequestEntry::builder().data(Blob::new("x")).partition_key("k").build().unwrap();
    let mut refused = 0;
    for _ in 0..6 {
        let request = client.put_records().stream_name("s").set_records(Some(vec![entry.clone(); 500]));
        refused += request.send().await.unwrap().failed_record_count().unwrap_or_default();
    }
    assert!(refused > 0);
}
