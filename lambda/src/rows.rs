//! What was counted of a window, as rows of the output stream: one line of JSON each. Pure.
//!
//! Does not know where rows go. Their shape is a promise to whoever reads them: fields may be added, so readers pass
//! over those that they do not know; of a kind that it does not know, a reader says so. The counts of the rows of
//! requests sum to the lines of their part's row of the window.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::SequenceNumber;
use crate::reference::{OTHER, UNKNOWN};
use crate::window::Window;
use crate::window::counts::{self, Counts};

/// How many unknown sources are named.
const SOURCES: usize = 100;

/// Where and when a window was counted, as far as the window does not know.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The name of the stream.
    pub stream: String,
    /// The shard.
    pub shard: String,
    /// The window's first moment, as the service writes it.
    pub start: String,
    /// The first moment behind it.
    pub end: String,
    /// How old the reference is; nothing if there is none.
    pub reference_age: Option<Duration>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The same for the same row only. A row that was written twice has the same one both times.
    pub id: String,
    /// The name of the stream that was counted.
    pub stream: String,
    /// The shard that was counted.
    pub shard: String,
    /// The window's first moment, as the service writes it: `2026-11-22T10:05:00Z`.
    pub window_start: String,
    /// The first moment behind it.
    pub window_end: String,
    /// The first sequence number that was counted. A window that was ended early, or was full, has several parts.
    pub part: String,
    /// What was counted.
    #[serde(flatten)]
    pub counted: Counted,
}

/// What a row says, by its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Counted {
    /// The requests of an application with one status.
    Requests(Requests),
    /// The sources that are not in the reference.
    UnknownSources(UnknownSources),
    /// The part as a whole.
    Window(Whole),
}

/// The requests of an application with one status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Its name; `UNKNOWN` for the sources that are not in the reference, `OTHER` for what was not told apart.
    pub application: String,
    /// Whom to ask about it.
    pub contact: String,
    /// The status; nothing if it is not known.
    pub status: Option<u16>,
    /// How many requests there are.
    pub count: u64,
    /// The bytes that were sent.
    pub bytes: u64,
    /// Those with a status of 500 or more.
    pub errors: u64,
    /// How long they took; nothing if that is not logged.
    pub latency: Option<Latency>,
    /// How much too high the count may be: not at all.
    pub count_error: u64,
}

/// How long requests took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// How many requests say so.
    pub count: u64,
    /// All of them together.
    pub sum_micros: u64,
    /// The shortest.
    pub min_micros: u64,
    /// The longest.
    pub max_micros: u64,
}

/// The sources that are not in the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnknownSources {
    /// How many requests came from all of them.
    pub count: u64,
    /// Those with the most requests, largest first.
    pub sources: Vec<Source>,
    /// What is left of the count without the counts of those named.
    pub other: u64,
    /// The largest error that a source may have. A source that is not named has at most as many requests as the last
    /// one that is, or as this says.
    pub count_error: u64,
}

/// One source that is not in the reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Its name; `-` for the requests that do not say where they came from.
    pub source: String,
    /// How many requests came from it, or fewer.
    pub count: u64,
    /// How many fewer there may be.
    pub count_error: u64,
}

/// A part of a window as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole {
    /// Lines that were counted.
    pub lines: u64,
    /// What was set aside, by its reason.
    pub set_aside: BTreeMap<String, u64>,
    /// Records that were passed over because they had been counted already.
    pub repeated_records: u64,
    /// Lines that were passed over because lines of their positions had been counted already.
    pub repeated_lines: u64,
    /// Lines that were counted although nobody knows any more whether they had been.
    pub untold_lines: u64,
    /// How late lines arrived; nothing if none says its time.
    pub lateness: Option<Lateness>,
    /// Lines that are counted under `OTHER`.
    pub overflowed: u64,
    /// How old the reference is; nothing if there is none.
    pub reference_age_seconds: Option<u64>,
}

/// How long after their own time lines arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lateness {
    /// How many lines say their time.
    pub count: u64,
    /// All of them together.
    pub sum_seconds: u64,
    /// The least late.
    pub min_seconds: u64,
    /// The latest.
    pub max_seconds: u64,
}

/// The rows of a window, or of a part of it: first those of known applications, at the end that of the whole.
#[must_use]
pub fn rows(window: &Window, frame: &Frame) -> Vec<Row> {
    let known = window.known().map(|(application, status, counts)| {
        requests(&application.name, &application.contact, status, counts)
    });
    let unknown = window.unknown().map(|(status, counts)| requests(UNKNOWN, UNKNOWN, status, counts));
    let other = window.other().map(|(status, counts)| requests(OTHER, OTHER, status, counts));
    let ends = [Counted::UnknownSources(unknown_sources(window)), Counted::Window(whole(window, frame))];

    let part = window.first().map_or("none", SequenceNumber::as_str);
    let row = |counted: Counted| Row {
        id: format!("{}/{}/{}/{part}/{}", frame.stream, frame.shard, frame.start, name(&counted)),
        stream: frame.stream.clone(),
        shard: frame.shard.clone(),
        window_start: frame.start.clone(),
        window_end: frame.end.clone(),
        part: part.to_owned(),
        counted,
    };
    known.chain(unknown).chain(other).map(Counted::Requests).chain(ends).map(row).collect()
}

/// What tells a row from the others of its part.
fn name(counted: &Counted) -> String {
    // Names may have slashes, which would else make one name of two.
    let escape = |name: &str| name.replace('%', "%25").replace('/', "%2F");
    match counted {
        Counted::Requests(Requests { application, contact, status, .. }) => {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            format!("requests/{}/{}/{status}", escape(application), escape(contact))
        }
        Counted::UnknownSources(_) => "unknownSources".to_owned(),
        Counted::Window(_) => "window".to_owned(),
    }
}

fn requests(application: &str, contact: &str, status: Option<u16>, counts: &Counts) -> Requests {
    Requests {
        application: application.to_owned(),
        contact: contact.to_owned(),
        status,
        count: counts.count,
        bytes: counts.bytes,
        errors: counts.errors,
        latency: counts.latency.map(|counts::Spread { count, sum, min, max }| Latency {
            count,
            sum_micros: sum,
            min_micros: min,
            max_micros: max,
        }),
        count_error: 0,
    }
}

fn unknown_sources(window: &Window) -> UnknownSources {
    let count = window.unknown_count();
    let sources = window.sources().top(SOURCES);
    let named = sources.iter().fold(0_u64, |sum, counter| sum.saturating_add(counter.count));
    UnknownSources {
        count,
        other: count.saturating_sub(named),
        count_error: window.sources().floor(),
        sources: sources
            .into_iter()
            .map(|counter| Source {
                source: counter.source.to_string(),
                count: counter.count,
                count_error: counter.error,
            })
            .collect(),
    }
}

fn whole(window: &Window, frame: &Frame) -> Whole {
    let tally = window.tally();
    Whole {
        lines: tally.lines,
        set_aside: tally.set_aside.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
        repeated_records: tally.repeated_records,
        repeated_lines: tally.repeated_lines,
        untold_lines: tally.untold_lines,
        lateness: tally.lateness.map(|counts::Spread { count, sum, min, max }| Lateness {
            count,
            sum_seconds: sum,
            min_seconds: min,
            max_seconds: max,
        }),
        overflowed: window.overflowed(),
        reference_age_seconds: frame.reference_age.map(|age| age.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use crate::reason::Reason;
    use crate::reference::Application;
    use crate::request::{Position, Request};

    fn frame(reference_age: Option<Duration>) -> Frame {
        Frame {
            stream: "ApplicationLogInputStream".to_owned(),
            shard: "shardId-000000000006".to_owned(),
            start: "2026-11-22T10:05:00Z".to_owned(),
            end: "2026-11-22T10:10:00Z".to_owned(),
            reference_age,
        }
    }

    fn application(name: &str, contact: &str) -> Application {
        Application { name: name.into(), contact: contact.into() }
    }

    fn request(source: &str, status: u16, bytes: u64) -> Request<'static> {
        Request {
            source: Some(source.to_owned().into()),
            status: Some(status),
            bytes: Some(bytes),
            duration_micros: None,
            time_millis: None,
            position: None,
        }
    }

    /// A window of a few lines in which every field of every row has something to say.
    fn small_window() -> Window {
        let arrived = serde_json::json!({"Records": [{"kinesis":
            {"sequenceNumber": "1", "approximateArrivalTimestamp": 1_795_342_000.5}}]});
        let event: crate::event::Event = serde_json::from_value(arrived).unwrap();
        let arrived = event.records[0].arrived;
        let mut window = Window::new();
        window.begin(
            &"49590338271490256608559692538361571095921575989136588898".to_owned().try_into().unwrap(),
        );
        window.repeat();
        let shop = application("shop", "team/a@example.org");
        let timed = Request { duration_micros: Some(1_500), ..request("192.0.2.1", 200, 1_000) };
        window.count(&timed, Some(&shop), None);
        window.count(&Request { duration_micros: Some(2_500), ..timed }, Some(&shop), None);
        window.count(&request("192.0.2.1", 503, 0), Some(&shop), None);
        let position = Position { host: "web-1".into(), file: "1a2b-access_log".into(), offset: 4096 };
        let placed = Request { position: Some(position), ..request("192.0.2.2", 404, 196) };
        window.count(&placed, Some(&application("100% \"blog\"", "")), arrived);
        window.count(&placed, Some(&shop), None);
        let late = Request { time_millis: Some(1_795_341_970_000), ..request("203.0.113.9", 200, 512) };
        window.count(&late, None, arrived);
        window.count(&Request { status: None, ..late }, None, arrived);
        window.count(&Request { source: None, ..request("", 200, 0) }, None, None);
        window.set_aside(Reason::NotJson);
        window.set_aside(Reason::TooLarge);
        window.set_aside(Reason::NotJson);
        window
    }

    fn lines(rows: &[Row]) -> String {
        rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect()
    }

    /// The rows of a window, compared with those in a file byte for byte, and read back.
    #[track_caller]
    fn check(window: &Window, frame: &Frame, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/rows").join(file);
        let rows = rows(window, frame);
        let golden = fs::read_to_string(&path).unwrap();
        assert_eq!(lines(&rows), golden);
        let read: Vec<Row> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, rows);
    }

    #[test]
    fn the_rows_of_a_window_are_as_they_were_promised() {
        check(&small_window(), &frame(Some(Duration::from_millis(42_900))), "small.jsonl");
    }

    #[test]
    fn a_window_without_records_has_its_rows_too() {
        check(&Window::new(), &frame(None), "empty.jsonl");
    }

    #[test]
    fn a_row_with_further_fields_is_read() {
        let row = rows(&Window::new(), &frame(None)).remove(1);
        let mut json = serde_json::to_value(&row).unwrap();
        json["later"] = serde_json::json!([1]);
        assert_eq!(serde_json::from_value::<Row>(json).unwrap(), row);
    }

    #[test]
    fn a_row_of_an_unknown_kind_is_refused_by_its_name() {
        let mut json = serde_json::to_value(&rows(&Window::new(), &frame(None))[0]).unwrap();
        json["kind"] = "gossip".into();
        let error = serde_json::from_value::<Row>(json).unwrap_err().to_string();
        assert!(error.contains("`gossip`"), "{error}");
    }

    #[test]
    fn rows_whose_names_differ_have_different_ids() {
        let mut window = Window::new();
        for (name, contact) in [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a", "b"), ("window", "")] {
            window.count(&request("a", 200, 0), Some(&application(name, contact)), None);
        }
        window.count(&Request { status: None, ..request("a", 0, 0) }, None, None);
        let rows = rows(&window, &frame(None));
        let ids: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!((ids.len(), rows.len()), (8, 8));
    }

    #[test]
    fn the_sources_that_are_not_named_are_counted_together() {
        let mut window = Window::new();
        for source in 0..150 {
            for _ in 0..=source / 50 {
                window.count(&request(&format!("192.0.2.{source}"), 200, 0), None, None);
            }
        }
        let sources = unknown_sources(&window);
        let counts: Vec<u64> = sources.sources.iter().map(|source| source.count).collect();
        assert_eq!(counts, [[3; 50], [2; 50]].concat());
        assert_eq!((sources.count, sources.other, sources.count_error), (300, 50, 0));
        for source in 150..1_100 {
            window.count(&request(&source.to_string(), 200, 0), None, None);
        }
        let sources = unknown_sources(&window);
        let named: u64 = sources.sources.iter().map(|source| source.count).sum();
        assert_eq!((sources.count, sources.other + named), (1_250, 1_250));
        assert!(sources.count_error > 0);
    }

    proptest! {
        #[test]
        fn the_counts_of_requests_sum_to_the_lines(
            lines in vec((option::of(0_u8..5), any::<u8>(), 0_u16..800, option::of(0_u64..50)), 0..300),
        ) {
            let mut window = Window::new();
            for (name, source, status, offset) in &lines {
                let position = offset.map(|offset| Position { host: "h".into(), file: "f".into(), offset });
                let request = Request { position, ..request(&source.to_string(), *status, 1) };
                let application = name.map(|name| application(&name.to_string(), "c"));
                window.count(&request, application.as_ref(), None);
            }
            let (mut counted, mut errors, mut whole) = (0, 0, None);
            for row in rows(&window, &frame(None)) {
                match row.counted {
                    Counted::Requests(requests) => {
                        counted += requests.count;
                        errors += requests.errors;
                    }
                    Counted::UnknownSources(_) => {}
                    Counted::Window(row) => whole = Some((row.lines, row.repeated_lines)),
                }
            }
            let mut seen = std::collections::BTreeSet::new();
            let first: Vec<_> = lines.iter().filter(|line| line.3.is_none_or(|offset| seen.insert(offset))).collect();
            prop_assert_eq!(counted, first.len() as u64);
            prop_assert_eq!(errors, first.iter().filter(|line| line.2 >= 500).count() as u64);
            prop_assert_eq!(whole, Some((counted, (lines.len() - first.len()) as u64)));
        }
    }
}
