//! The state of a window: what the service keeps of it between two calls, as JSON. Pure.
//!
//! It has a version. A call may be given what another release has written, so one of a newer version is refused, as is
//! one that this module cannot have written: a window that was read wrongly would be counted wrongly for good.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::SequenceNumber;
use crate::reason::Reason;
use crate::reference::Application;

use super::counts::{Applications, ByStatus, Counts, LARGEST, Spread, Statuses};
use super::heavy::{COUNTERS, Counter, HeavyHitters};
use super::seen::{SEEN_BYTES, Seen};
use super::{KNOWN_BYTES, Tally, Window};

/// The version that is written. The one that reads it reads no other.
const VERSION: u64 = 1;

/// Why a state cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another release has written it.
    #[error("the state of the window has version {0}; this release reads version {VERSION}")]
    Version(u64),
    /// It has other fields than a state.
    #[error("the state of the window does not have the shape of version {VERSION}")]
    Shape(#[source] serde_json::Error),
    /// Its bytes are no text of base64.
    #[error("the positions in the state of the window are not base64")]
    NotBase64(#[source] base64_simd::Error),
    /// A field has a value that is never written.
    #[error("the field `{0}` of the state of the window cannot have been written by this program")]
    Value(&'static str),
}

impl Window {
    /// The window that a state was written of. An empty object is a window of which nothing has been counted.
    ///
    /// # Errors
    /// If another version has written it, or nothing of ours has.
    pub fn from_state(state: &Value) -> Result<Window, StateError> {
        if state.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(Window::new());
        }
        match state.get("version").and_then(Value::as_u64) {
            Some(VERSION) | None => RawState::deserialize(state).map_err(StateError::Shape)?.try_into(),
            Some(other) => Err(StateError::Version(other)),
        }
    }

    /// The state, from which the next call goes on. As JSON it is shorter than [`STATE_BYTES`](super::STATE_BYTES).
    ///
    /// # Panics
    /// Never: a state has no map whose keys are other than texts, which is all that JSON cannot hold.
    #[must_use]
    pub fn to_state(&self) -> Value {
        serde_json::to_value(RawState::from(self)).expect("a state is made of texts and numbers")
    }
}

/// The state as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawState {
    version: u64,
    first: Option<String>,
    last: Option<String>,
    lines: u64,
    set_aside: Vec<(String, u64)>,
    repeated_records: u64,
    repeated_lines: u64,
    untold_lines: u64,
    lateness: Option<RawSpread>,
    /// Application, contact, and the counts of each status.
    known: Vec<(String, String, Vec<RawCounts>)>,
    other: Vec<RawCounts>,
    unknown: Vec<RawCounts>,
    /// Source, count and error.
    sources: Vec<(String, u64, u64)>,
    seen: String,
}

/// Count, sum, least and largest.
type RawSpread = (u64, u64, u64, u64);

/// Status, count, errors, bytes and latency.
type RawCounts = (Option<u16>, u64, u64, u64, Option<RawSpread>);

impl From<&Window> for RawState {
    fn from(window: &Window) -> RawState {
        let number =
            |number: &Option<SequenceNumber>| number.as_ref().map(|number| number.as_str().to_owned());
        let Window { first, last, tally, known, other, unknown, sources, seen } = window;
        let known = known.iter().map(|(Application { name, contact }, statuses)| {
            let statuses = statuses.iter().map(|(status, counts)| raw_counts(*status, counts));
            (name.to_string(), contact.to_string(), statuses.collect())
        });
        let statuses = |statuses: &Statuses| {
            statuses.iter().map(|(status, counts)| raw_counts(status, counts)).collect()
        };
        let sources = sources
            .counters()
            .iter()
            .map(|Counter { source, count, error }| (source.to_string(), *count, *error));
        RawState {
            version: VERSION,
            first: number(first),
            last: number(last),
            lines: tally.lines,
            set_aside: tally.set_aside.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            repeated_records: tally.repeated_records,
            repeated_lines: tally.repeated_lines,
            untold_lines: tally.untold_lines,
            lateness: tally.lateness.map(raw_spread),
            known: known.collect(),
            other: statuses(other),
            unknown: statuses(unknown),
            sources: sources.collect(),
            seen: base64_simd::STANDARD.encode_to_string(seen.to_bytes()),
        }
    }
}

impl TryFrom<RawState> for Window {
    type Error = StateError;

    fn try_from(raw: RawState) -> Result<Window, StateError> {
        let mut known = Applications::default();
        for (name, contact, statuses) in raw.known {
            let application = Application { name: name.into(), contact: contact.into() };
            for raw in statuses {
                let (status, counts) = counts(raw).ok_or(StateError::Value("known"))?;
                known
                    .restore(&application, status, counts, KNOWN_BYTES)
                    .map_err(|_| StateError::Value("known"))?;
            }
        }
        let sources = raw.sources.into_iter();
        let sources = sources.map(|(source, count, error)| Counter { source: source.into(), count, error });
        let seen = base64_simd::STANDARD.decode_to_vec(raw.seen).map_err(StateError::NotBase64)?;
        Ok(Window {
            first: number(raw.first, "first")?,
            last: number(raw.last, "last")?,
            tally: Tally {
                lines: raw.lines,
                set_aside: raw.set_aside.into_iter().map(reason).collect::<Result<_, _>>()?,
                repeated_records: raw.repeated_records,
                repeated_lines: raw.repeated_lines,
                untold_lines: raw.untold_lines,
                lateness: raw
                    .lateness
                    .map(|raw| spread(raw).ok_or(StateError::Value("lateness")))
                    .transpose()?,
            },
            known,
            other: statuses(raw.other).ok_or(StateError::Value("other"))?,
            unknown: statuses(raw.unknown).ok_or(StateError::Value("unknown"))?,
            sources: HeavyHitters::restore(COUNTERS, sources.collect())
                .ok_or(StateError::Value("sources"))?,
            seen: Seen::from_bytes(SEEN_BYTES, &seen).ok_or(StateError::Value("seen"))?,
        })
    }
}

fn number(text: Option<String>, field: &'static str) -> Result<Option<SequenceNumber>, StateError> {
    text.map(SequenceNumber::try_from).transpose().map_err(|_| StateError::Value(field))
}

fn reason((text, count): (String, u64)) -> Result<(&'static str, u64), StateError> {
    let known = Reason::ALL.iter().map(|reason| reason.as_str()).find(|known| *known == text);
    known.map(|reason| (reason, count)).ok_or(StateError::Value("setAside"))
}

fn raw_spread(Spread { count, sum, min, max }: Spread) -> RawSpread {
    (count, sum, min, max)
}

/// Some amounts, unless there are none, or one of the numbers is larger than is ever counted.
fn spread((count, sum, min, max): RawSpread) -> Option<Spread> {
    let is_own = count > 0 && min <= max && max <= sum && count.max(sum) <= LARGEST;
    is_own.then_some(Spread { count, sum, min, max })
}

fn raw_counts(status: Option<u16>, counts: &Counts) -> RawCounts {
    (status, counts.count, counts.errors, counts.bytes, counts.latency.map(raw_spread))
}

/// What was counted, unless one of the numbers is larger than is ever counted.
fn counts((status, count, errors, bytes, latency): RawCounts) -> Option<(Option<u16>, Counts)> {
    let latency = match latency {
        Some(raw) => Some(spread(raw)?),
        None => None,
    };
    let is_own = errors <= count && count.max(bytes) <= LARGEST;
    is_own.then_some((status, Counts { count, errors, bytes, latency }))
}

fn statuses(raw: Vec<RawCounts>) -> Option<Statuses> {
    Statuses::restore(raw.into_iter().map(counts).collect::<Option<ByStatus>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    use crate::request::Position;
    use crate::window::STATE_BYTES;
    use crate::window::counts::STATUSES;
    use crate::window::heavy::SOURCE_BYTES;

    /// The state goes to the service and comes back as text.
    fn through_json(window: &Window) -> Window {
        let text = window.to_state().to_string();
        Window::from_state(&serde_json::from_str(&text).unwrap()).unwrap()
    }

    /// A window with everything that it can have at its largest.
    fn largest() -> Window {
        let spread = Spread { count: LARGEST, sum: LARGEST, min: LARGEST, max: LARGEST };
        let counts = Counts { count: LARGEST, errors: LARGEST, bytes: LARGEST, latency: Some(spread) };
        let statuses: ByStatus = (0..100)
            .map(|number| Some(u16::MAX - number))
            .chain([None])
            .map(|status| (status, counts))
            .collect();
        assert_eq!(statuses.len(), STATUSES + 1);
        let mut window = Window::new();
        for number in 0.. {
            let name = format!("{number:08}{}", "\"é".repeat(60)).into();
            let application = Application { name, contact: "\\".repeat(256).into() };
            if window.known.restore(&application, Some(u16::MAX), counts, KNOWN_BYTES).is_err() {
                break;
            }
        }
        window.other = Statuses::restore(statuses.clone()).unwrap();
        window.unknown = Statuses::restore(statuses).unwrap();
        let source = |number| format!("{number:0width$}", width = SOURCE_BYTES).into();
        let counter = |number| Counter { source: source(number), count: LARGEST, error: LARGEST - 1 };
        window.sources = HeavyHitters::restore(COUNTERS, (0..COUNTERS).map(counter).collect()).unwrap();
        // Each line takes a byte; a file takes some more.
        for offset in 0..SEEN_BYTES as u64 - 64 {
            window.seen.note(&Position { host: "web-1".into(), file: "access_log".into(), offset });
        }
        let number = SequenceNumber::try_from("9".repeat(128)).unwrap();
        window.first = Some(number.clone());
        window.last = Some(number);
        window.tally = Tally {
            lines: LARGEST,
            set_aside: Reason::ALL.iter().map(|reason| (reason.as_str(), LARGEST)).collect(),
            repeated_records: LARGEST,
            repeated_lines: LARGEST,
            untold_lines: LARGEST,
            lateness: Some(spread),
        };
        window
    }

    #[test]
    fn the_largest_state_is_within_its_bound_and_can_be_read() {
        let window = largest();
        let text = window.to_state().to_string();
        assert!(text.len() < STATE_BYTES, "{} bytes", text.len());
        assert!(text.len() > STATE_BYTES / 10 * 9, "{} bytes are not the largest state", text.len());
        assert_eq!(through_json(&window).to_state().to_string(), text);
    }

    #[test]
    fn an_empty_object_is_a_window_of_which_nothing_was_counted() {
        let window = Window::from_state(&json!({})).unwrap();
        assert_eq!(window.to_state(), Window::new().to_state());
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let error = Window::from_state(&json!({"version": 2, "all": "new"})).unwrap_err();
        assert_eq!(error.to_string(), "the state of the window has version 2; this release reads version 1");
    }

    /// What is said of a state in which one field has another value.
    #[track_caller]
    fn check(field: &str, value: Value, expected: &str) {
        let mut state = largest().to_state();
        assert!(!state[field].is_null(), "{field}");
        state[field] = value;
        let error = Window::from_state(&state).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn what_this_program_cannot_have_written_is_refused() {
        for other in [json!(null), json!([]), json!("state"), json!({"1": 282}), json!({"version": "1"})] {
            let error = Window::from_state(&other).unwrap_err();
            assert!(matches!(error, StateError::Shape(_)), "{other}: {error}");
        }
        let shape = "does not have the shape of version 1";
        check("lines", json!(-1), shape);
        check("known", json!([["a", "b"]]), shape);
        check("seen", json!("%"), "not base64");
        check("seen", json!("AQEB"), "`seen`");
        check("first", json!(""), "`first`");
        check("last", json!(""), "`last`");
        check("setAside", json!([["boredom", 1]]), "`setAside`");
        check("lateness", json!([1, 2, 3, 1]), "`lateness`");
        check("unknown", json!([[200, 1, 2, 0, null]]), "`unknown`");
        check("other", json!([[200, u64::MAX, 2, 0, null]]), "`other`");
        check("sources", json!([["a", 1, 0], ["a", 1, 0]]), "`sources`");
        let many: Vec<Value> = (0..2_100).map(|status| json!([status, 1, 0, 0, null])).collect();
        check("known", json!([["a", "b", many]]), "`known`");
    }
}
