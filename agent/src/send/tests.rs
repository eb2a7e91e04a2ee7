//! The sender against a stand-in stream that plays a script, on paused time.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::time::Instant;

use super::*;
use crate::batch::{
    Added, Batcher, Closed, Limits, Order, Packing, PartitionKey, RECORD_BYTES, Settings, Terminator,
};
use crate::parse::{Parser, Surroundings};
use crate::position::{FileId, Mark, Offset, Position, Tail};
use crate::split::Line;

/// What the stand-in does with one call.
enum Act {
    Accept,
    /// Refuses the records at these places of the request.
    Refuse(&'static [usize]),
    Fail(Remedy, Outcome),
    /// Refuses every request that holds this record, as invalid; accepts others.
    Poison(&'static [u8]),
    /// Cannot be reached before this moment; accepts everything then.
    Away(Instant),
}

struct Script {
    acts: Mutex<VecDeque<Act>>,
    /// What was offered in each call.
    offered: Mutex<Vec<Vec<Vec<u8>>>>,
}

impl Stream for &Script {
    async fn offer(&self, batch: &Batch, indices: &[usize]) -> Result<Answer, Fault> {
        let records: Vec<Vec<u8>> = indices.iter().map(|index| batch.data(*index).to_vec()).collect();
        self.offered.lock().unwrap().push(records.clone());
        let mut acts = self.acts.lock().unwrap();
        let fault =
            |remedy, outcome| Fault { remedy, outcome, code: "Code".to_owned(), source: "cause".into() };
        match acts.pop_front().unwrap_or(Act::Accept) {
            Act::Accept => Ok(Answer::Accepted),
            Act::Refuse(places) => Ok(Answer::PerRecord(
                (0..indices.len()).map(|place| places.contains(&place).then(|| "Full".to_owned())).collect(),
            )),
            Act::Fail(remedy, outcome) => Err(fault(remedy, outcome)),
            Act::Away(until) if Instant::now() < until => {
                acts.push_front(Act::Away(until));
                Err(fault(Remedy::Again, Outcome::NotTaken))
            }
            Act::Away(_) => Ok(Answer::Accepted),
            Act::Poison(poison) => {
                acts.push_front(Act::Poison(poison));
                if records.iter().any(|record| record == poison) {
                    Err(fault(Remedy::Split, Outcome::NotTaken))
                } else {
                    Ok(Answer::Accepted)
                }
            }
        }
    }
}

/// A batch of these lines.
pub(super) fn batch(lines: &[&[u8]]) -> Batch {
    packed_batch(lines, Packing::None)
}

/// A batch of these lines, packed in entries.
pub(super) fn packed_batch(lines: &[&[u8]], packing: Packing) -> Batch {
    let settings = Settings {
        limits: Limits::new(500, Limits::DEFAULT_BYTES).unwrap(),
        linger: Duration::from_secs(1),
        key: PartitionKey::Random,
        terminator: Terminator::default(),
        packing,
        packed_bytes: Settings::DEFAULT_PACKED_BYTES,
        record_bytes: RECORD_BYTES,
        order: Order::Free,
    };
    let now = Instant::now();
    let mut batcher = Batcher::new(settings, fastrand::Rng::with_seed(1), &Arc::default());
    batcher.turn_to(FileId::FIRST, Mark { place: 0, turn: 0, first: None });
    let (mut parser, around) = (Parser::default(), Surroundings::at(Duration::ZERO));
    let mut at = Offset::START;
    for line in lines {
        let record = parser.parse(&Line::alone(line), &around, batcher.buffer()).unwrap();
        assert_eq!(batcher.add(&record, at, now), Added::Whole);
        at = at.advance(line.len());
    }
    let len = lines.iter().map(|line| line.len() as u64).sum();
    let end = Position { offset: Offset::from_raw(len), tail: Tail::default() };
    batcher.cover(FileId::FIRST, Offset::START, end, now);
    match batcher.close(now) {
        Closed::Batch(batch) => batch,
        closed @ (Closed::Dropped(_) | Closed::Nothing) => unreachable!("{closed:?} of records"),
    }
}

/// Delivers the lines `a` to `d` under a script; gives what each call offered, what was refused, and the counts.
async fn deliver_all(acts: impl IntoIterator<Item = Act>) -> (Vec<String>, Vec<Refused>, Arc<Metrics>) {
    let script = Script { acts: Mutex::new(acts.into_iter().collect()), offered: Mutex::default() };
    let metrics = Arc::new(Metrics::default());
    metrics.add(Metric::UnackedRecords, 4);
    let sender = Sender::new(
        &script,
        "in".to_owned(),
        Waits::DEFAULT,
        Arc::clone(&metrics),
        Arc::default(),
        Arc::default(),
    );
    let Delivered { acked, refused } = sender.deliver(batch(&[b"a", b"b", b"c", b"d"])).await;
    assert_eq!(acked.iter().map(|acked| acked.span().bytes()).collect::<Vec<_>>(), [4]);
    let offered = script.offered.into_inner().unwrap();
    (offered.into_iter().map(|call| String::from_utf8(call.concat()).unwrap()).collect(), refused, metrics)
}

/// The same where nothing is refused for good.
async fn deliver(acts: impl IntoIterator<Item = Act>) -> (Vec<String>, Arc<Metrics>) {
    let (offered, refused, metrics) = deliver_all(acts).await;
    assert!(refused.is_empty(), "{refused:?}");
    (offered, metrics)
}

#[track_caller]
fn check_books(metrics: &Metrics, acked: u64, unacked: u64, repeated: u64) {
    assert_eq!(metrics.get(Metric::RecordsAcked), acked);
    assert_eq!(metrics.get(Metric::RecordsPossiblyRepeated), repeated);
    assert_eq!(metrics.get(Metric::UnackedRecords), unacked);
}

#[tokio::test(start_paused = true)]
async fn only_refused_records_are_offered_again() {
    let (offered, metrics) = deliver([Act::Refuse(&[1, 3]), Act::Refuse(&[0])]).await;
    assert_eq!(offered, ["abcd", "bd", "b"]);
    check_books(&metrics, 4, 0, 0);
    assert_eq!(metrics.get(Metric::RecordsRefused), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_unknown_outcome_is_made_again_and_counted() {
    let (offered, metrics) =
        deliver([Act::Refuse(&[0, 1]), Act::Fail(Remedy::Again, Outcome::Unknown)]).await;
    assert_eq!(offered, ["abcd", "ab", "ab"]);
    check_books(&metrics, 4, 0, 2);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_last_attempt_and_no_wait_beyond_the_longest() {
    let began = Instant::now();
    let acts = (0..200).map(|_| Act::Fail(Remedy::Act, Outcome::NotTaken));
    let (offered, metrics) = deliver(acts).await;
    assert_eq!(offered.len(), 201);
    assert!(began.elapsed() <= 200 * Waits::DEFAULT.longest());
    assert!(began.elapsed() >= 100 * Waits::DEFAULT.longest());
    check_books(&metrics, 4, 0, 0);
    assert_eq!(metrics.get(Metric::FailingFlows), 0, "it is well again");
}

#[tokio::test(start_paused = true)]
async fn after_an_hour_without_a_stream_everything_is_there_within_one_longest_wait() {
    const HOUR: Duration = Duration::from_secs(3600);
    let began = Instant::now();
    let (offered, metrics) = deliver([Act::Away(began + HOUR)]).await;
    let late = began.elapsed().saturating_sub(HOUR);
    assert!(late <= Waits::DEFAULT.longest(), "{late:?}");
    let attempts = HOUR.as_secs() / Waits::DEFAULT.longest().as_secs();
    assert!((attempts..=4 * attempts).contains(&(offered.len() as u64)), "{} attempts", offered.len());
    assert!(offered.iter().all(|call| call == "abcd"));
    check_books(&metrics, 4, 0, 0);
    assert_eq!(metrics.get(Metric::RequestsFailed), offered.len() as u64 - 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_can_never_succeed_is_found_and_given_back_alone() {
    let (offered, refused, metrics) = deliver_all([Act::Poison(b"c")]).await;
    // Alone it is offered twice: the stream has taken another one in between, so the fault is the record's.
    assert_eq!(offered, ["abcd", "ab", "cd", "c", "d", "c"]);
    check_books(&metrics, 3, 1, 0);
    let [Refused { index: 2, origin, records: 1, data, why }] = refused.as_slice() else {
        unreachable!("{refused:?}")
    };
    assert_eq!(*origin, Some((FileId::FIRST, Offset::from_raw(2))));
    assert_eq!((data.as_slice(), why.as_str()), (b"c".as_slice(), "the call failed (Code): cause"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_dropped_while_the_stream_took_nothing_yet() {
    let invalid = || Act::Fail(Remedy::Split, Outcome::NotTaken);
    let (offered, metrics) = deliver((0..5).map(|_| invalid())).await;
    assert_eq!(offered, ["abcd", "ab", "a", "b", "cd", "c", "d", "a", "b"]);
    check_books(&metrics, 4, 0, 0);
}
