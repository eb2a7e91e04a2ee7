//! The function `aggregate`: the records of one call into the state of their window, and at its end into rows.
//!
//! Does not know how anything is counted or read; it is where the steps meet. A call either is dealt with whole, or
//! leaves the state as it was and has its records sent again. Rows of a call that is repeated have the ids that they had,
//! and are recognised by them; only if the reference has changed in between, the last records may be joined otherwise,
//! and be published for both applications.

use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::{error, info};

use crate::aside::{Aside, Pile, Place};
use crate::chain::Chain;
use crate::event::{self, Event, Record, Reply, WindowReply};
use crate::fault::Fault;
use crate::output::{Output, OutputError};
use crate::patience::Deadline;
use crate::publish::Publisher;
use crate::reason::Reason;
use crate::reference::Reference;
use crate::reference::object::{NoReference, ReferenceObject};
use crate::request::Fields;
use crate::rows::{Frame, Row, rows};
use crate::unpack::Unpacker;
use crate::window::Window;

/// The function `aggregate`.
pub struct Aggregate {
    reference: ReferenceObject,
    reader: Reader,
    target: Target,
    aside: Aside,
}

/// Where the rows of a window go.
#[derive(Debug)]
pub enum Target {
    /// Into a stream.
    Stream(Output),
    /// To CloudWatch at once.
    CloudWatch(Publisher),
}

/// Why a call has failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// Without windows nothing says what is to be counted together.
    #[error("the event has no window: set `TumblingWindowInSeconds` of the event source mapping")]
    NoWindow,
    /// Without a reference, known applications would be counted as unknown ones.
    #[error("there is no reference to count with")]
    NoReference(#[source] NoReference),
    /// The rows of a window did not get away, and the event has no record to go on from.
    #[error("the rows of the window were not taken")]
    NotTaken(#[source] SendError),
}

/// Why rows did not get away.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Into the stream.
    #[error("could not send rows")]
    Output(#[source] OutputError),
    /// To CloudWatch.
    #[error("could not publish rows")]
    CloudWatch(#[source] Fault),
}

impl Aggregate {
    /// The function, with what it reads from and what it writes to.
    #[must_use]
    pub fn new(reference: ReferenceObject, fields: Fields, target: Target, aside: Aside) -> Aggregate {
        Aggregate { reference, reader: Reader { fields, unpacker: Unpacker::new() }, target, aside }
    }

    /// Deals with one event of the input stream.
    ///
    /// # Errors
    /// If the event cannot be counted, or if its window has ended and its rows did not get away.
    pub async fn handle(&mut self, event: Event, deadline: Deadline) -> Result<WindowReply, AggregateError> {
        let began = Instant::now();
        let place = Place::of("aggregate", &event);
        let Event { records, window: Some(frame), .. } = event else { return Err(AggregateError::NoWindow) };
        let current = self.reference.current().await.map_err(AggregateError::NoReference)?;
        let labels = Frame {
            stream: frame.stream_name().to_owned(),
            shard: frame.shard.clone(),
            start: frame.start.clone(),
            end: frame.end.clone(),
            reference_age: Some(current.age),
        };

        let mut pile = Pile::default();
        let mut window = open(&frame, &mut pile);
        let (tally, mut ready) =
            self.reader.count(&records, current.reference, &labels, &mut window, &mut pile);
        let is_over = frame.is_final || frame.is_ended_early;
        if is_over {
            ready.extend(rows(&window, &labels));
        }

        let count = ready.len();
        let sent = self.target.send(ready, &mut pile, deadline).await;
        let set_aside = pile.count();
        self.aside.store(pile, &place).await;
        let state = if is_over { Value::Object(Map::new()) } else { window.to_state() };
        info!(
            records = records.len(),
            lines = tally.lines,
            set_aside,
            repeats = tally.repeats,
            rows = count,
            state_bytes = state.to_string().len(),
            millis = began.elapsed().as_millis(),
            "counted a batch"
        );

        match (sent, records.into_iter().next()) {
            (Ok(()), _) => Ok(WindowReply { state, reply: Reply::Done }),
            (Err(error), Some(first)) => {
                error!(error = %Chain(&error), "could not send the rows of a window; the service is to repeat the call");
                Ok(WindowReply { state: frame.state, reply: Reply::ResumeFrom(first.sequence_number) })
            }
            (Err(error), None) => Err(AggregateError::NotTaken(error)),
        }
    }
}

/// The window as the call before left it. A state that cannot be read would stop the shard for as long as the window's
/// records live; so it is kept aside, and the window goes on without it.
fn open(frame: &event::Window, pile: &mut Pile) -> Window {
    match Window::from_state(&frame.state) {
        Ok(window) => window,
        Err(error) => {
            error!(shard = frame.shard, start = frame.start, error = %Chain(&error),
                   "could not read the state of a window; sets it aside and counts from here on");
            pile.without_record(Reason::State, frame.state.to_string().as_bytes());
            let mut window = Window::new();
            window.set_aside(Reason::State);
            window
        }
    }
}

impl Target {
    async fn send(&mut self, rows: Vec<Row>, pile: &mut Pile, deadline: Deadline) -> Result<(), SendError> {
        match self {
            Target::Stream(output) => output.send(&rows, deadline).await.map_err(SendError::Output),
            Target::CloudWatch(publisher) => {
                let texts: Vec<Vec<u8>> =
                    rows.iter().map(|row| serde_json::to_vec(row).unwrap_or_default()).collect();
                let report = publisher.publish(rows, deadline).await;
                let refused = u64::try_from(report.refused.len()).unwrap_or(u64::MAX);
                publisher.count_set_aside(refused, deadline).await;
                for (index, reason) in report.refused {
                    pile.without_record(reason, texts.get(index).map_or(&[], Vec::as_slice));
                }
                report.left.map_or(Ok(()), |(_, fault)| Err(SendError::CloudWatch(fault)))
            }
        }
    }
}

/// What makes requests of records.
struct Reader {
    fields: Fields,
    unpacker: Unpacker,
}

/// What the records of one call were, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CallTally {
    lines: u64,
    repeats: u64,
}

impl Reader {
    /// Counts the records that the window does not hold yet; what cannot be read goes onto the pile. A window that is full
    /// gives its rows out and goes on as another part: where it does depends on the records alone, so that a repeat of the
    /// call makes the same parts.
    fn count(
        &mut self,
        records: &[Record],
        reference: &Reference,
        labels: &Frame,
        window: &mut Window,
        pile: &mut Pile,
    ) -> (CallTally, Vec<Row>) {
        self.unpacker.begin_call();
        let mut tally = CallTally::default();
        let mut ready = vec![];
        for record in records {
            if window.is_full() {
                ready.extend(rows(window, labels));
                *window = std::mem::take(window).next_part();
            }
            if window.holds(&record.sequence_number) {
                window.repeat();
                tally.repeats += 1;
                continue;
            }
            window.begin(&record.sequence_number);
            let data = record.data.as_deref().map_err(event::DataError::reason);
            let lines = data.and_then(|data| self.unpacker.unpack(data).map_err(|error| error.reason()));
            let lines = match lines {
                Ok(lines) => lines,
                Err(reason) => {
                    window.set_aside(reason);
                    pile.record(reason, record);
                    continue;
                }
            };
            for line in lines {
                tally.lines += 1;
                match self.fields.read(line) {
                    Ok(request) => {
                        let application = request.source.as_deref().and_then(|source| reference.find(source));
                        window.count(&request, application, record.arrived);
                    }
                    Err(error) => {
                        window.set_aside(error.reason());
                        pile.line(error.reason(), record, line);
                    }
                }
            }
        }
        (tally, ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use crate::reference::OTHER;
    use crate::rows::Counted;

    const REFERENCE: &str = "Host,ApplicationName,Contact\n192.0.2.1,shop,ops\n";

    fn event(data: &[&[u8]]) -> Vec<Record> {
        let record = |(number, data): (usize, &&[u8])| {
            let data = base64_simd::STANDARD.encode_to_string(data);
            json!({"kinesis": {"sequenceNumber": format!("{}", 100 + number), "data": data}})
        };
        let records: Vec<Value> = data.iter().enumerate().map(record).collect();
        serde_json::from_value::<Event>(json!({ "Records": records })).unwrap().records
    }

    fn reader() -> Reader {
        Reader { fields: Fields::new("host"), unpacker: Unpacker::new() }
    }

    fn reference() -> Reference {
        Reference::parse(REFERENCE.as_bytes()).unwrap()
    }

    fn labels() -> Frame {
        Frame {
            stream: "in".to_owned(),
            shard: "shardId-0".to_owned(),
            start: "2026-11-22T10:05:00Z".to_owned(),
            end: "2026-11-22T10:10:00Z".to_owned(),
            reference_age: None,
        }
    }

    /// What is told of a call with records of these data.
    #[track_caller]
    fn check(data: &[&[u8]], lines: u64, set_aside: u64, known: u64, unknown: u64) {
        let (mut window, mut pile) = (Window::new(), Pile::default());
        let (tally, ready) = reader().count(&event(data), &reference(), &labels(), &mut window, &mut pile);
        assert!(ready.is_empty());
        assert_eq!(tally, CallTally { lines, repeats: 0 });
        assert_eq!(pile.count(), set_aside);
        assert_eq!(window.tally().set_aside.values().sum::<u64>(), set_aside);
        assert_eq!(window.known().map(|(_, _, counts)| counts.count).sum::<u64>(), known);
        assert_eq!(window.unknown_count(), unknown);
    }

    const SHOP: &[u8] = br#"{"host":"192.0.2.1","response":200}"#;
    const STRANGER: &[u8] = br#"{"host":"198.51.100.7","response":"404"}"#;

    #[test]
    fn each_line_is_counted_for_its_application_or_as_unknown() {
        check(&[SHOP, STRANGER, SHOP], 3, 0, 2, 1);
        check(&[&[SHOP, STRANGER].join(b"\n".as_slice())], 2, 0, 1, 1);
        check(&[b"{}"], 1, 0, 0, 1);
        check(&[], 0, 0, 0, 0);
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_the_rest_is_counted() {
        check(&[b"no json", SHOP], 2, 1, 1, 0);
        check(&[b"\x1f\x8bno gzip", SHOP], 1, 1, 1, 0);
        check(&[&[b"no json".as_slice(), SHOP].join(b"\n".as_slice())], 2, 1, 1, 0);
    }

    proptest! {
        /// A call that is repeated with the state that it made counts nothing twice, wherever it was cut.
        #[test]
        fn a_repeated_record_is_not_counted_again(known in vec(any::<bool>(), 1..30), cut in 0_usize..30) {
            let data: Vec<&[u8]> = known.iter().map(|known| if *known { SHOP } else { STRANGER }).collect();
            let records = event(&data);
            let (mut window, mut pile, mut reader) = (Window::new(), Pile::default(), reader());
            let cut = cut.min(records.len());
            reader.count(&records[..cut], &reference(), &labels(), &mut window, &mut pile);
            let mut window = Window::from_state(&window.to_state()).unwrap();
            let (tally, _) = reader.count(&records, &reference(), &labels(), &mut window, &mut pile);
            prop_assert_eq!(tally.repeats, cut as u64);
            prop_assert_eq!(window.tally().lines, records.len() as u64);
            prop_assert_eq!(window.unknown_count(), known.iter().filter(|known| !**known).count() as u64);
        }
    }

    /// More known applications and statuses than one part has room for, in one call: all of them exact, in several parts.
    #[test]
    fn a_call_that_fills_the_window_makes_parts_and_loses_nothing() {
        let host = |number: usize| format!("host-{number}.example");
        let row =
            |number| format!("{},application number {number},team-{number}@example.org\n", host(number));
        let csv = format!("Host,ApplicationName,Contact\n{}", (0..1000).map(row).collect::<String>());
        let reference = Reference::parse(csv.as_bytes()).unwrap();
        let line = |number: usize| {
            format!(r#"{{"host":"{}","response":{}}}"#, host(number % 1000), 200 + number / 1000)
        };
        let lines: Vec<String> = (0..5000).map(line).collect();
        let data: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        let (mut window, mut pile) = (Window::new(), Pile::default());
        let (_, mut ready) = reader().count(&event(&data), &reference, &labels(), &mut window, &mut pile);
        assert!(!ready.is_empty() && window.overflowed() == 0);
        ready.extend(rows(&window, &labels()));
        let ids: std::collections::BTreeSet<&str> = ready.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids.len(), ready.len());
        let counts = ready.iter().filter_map(|row| match &row.counted {
            Counted::Requests(requests) => Some((requests.application != OTHER, requests.count)),
            Counted::UnknownSources(_) | Counted::Window(_) => None,
        });
        assert_eq!(counts.filter(|(is_known, _)| *is_known).map(|(_, count)| count).sum::<u64>(), 5000);
    }

    #[test]
    fn a_state_that_cannot_be_read_is_set_aside_and_counted() {
        let frame = |state| event::Window {
            start: "2026-11-22T10:05:00Z".to_owned(),
            end: "2026-11-22T10:10:00Z".to_owned(),
            shard: "shardId-0".to_owned(),
            stream: "arn:aws:kinesis:eu-west-1:123456789012:stream/in".to_owned(),
            state,
            is_final: false,
            is_ended_early: false,
        };
        let mut pile = Pile::default();
        let window = open(&frame(json!({"version": 4_000_000_000_u64})), &mut pile);
        assert_eq!((pile.count(), window.tally().set_aside.get("state")), (1, Some(&1)));
        let mut pile = Pile::default();
        let window = open(&frame(json!({})), &mut pile);
        assert_eq!((pile.count(), window.tally().set_aside.len()), (0, 0));
    }
}
