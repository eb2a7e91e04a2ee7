//! What was counted of one window of one shard, within a fixed size whatever arrives. Pure.
//!
//! Lines of known applications are counted exactly, by application, contact and status ([`counts`]). Those of unknown
//! sources are counted exactly in total, and by source as far as a fixed number of counters reaches ([`heavy`]). Lines
//! that say where they stood are counted once ([`seen`]). Between two calls of the service all of it is the window's
//! [`state`], which is never larger than [`STATE_BYTES`].
//!
//! Does not know which application a source belongs to, when the window begins or ends, nor what becomes of its counts.
//! Every line that is given to [`Window::count`] is in exactly one of the counts by status, or is a repeat.

pub mod counts;
pub mod heavy;
pub mod seen;
pub mod state;

use std::collections::BTreeMap;

use crate::event::{Arrival, SequenceNumber};
use crate::reason::Reason;
use crate::reference::Application;
use crate::request::Request;

use counts::{Applications, Counts, STATUS_BYTES, STATUSES, Spread, Statuses, add};
use heavy::{COUNTER_BYTES, COUNTERS, HeavyHitters};
use seen::{SEEN_BYTES, Seen, Sight};

/// No state is as large as this, written as JSON. The service takes 1 MB, with the rest of the reply.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>
pub const STATE_BYTES: usize = 900_000;

/// A stream keeps records for at most 365 days.
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>
const LATEST_SECONDS: u64 = 365 * 24 * 3600;

/// What the counts of known applications may take of a state: 1,500 statuses of applications and their names.
const KNOWN_BYTES: usize = 260_000;

/// From here on a window is full. What is left is for the applications that come first in the same call.
const FULL_BYTES: usize = KNOWN_BYTES / 4 * 3;

/// What everything of a fixed number of fields takes of a state, at most: the sequence numbers of 128 digits, the
/// reasons, and the names of all fields.
const FIXED_BYTES: usize = 2_000;

/// The parts of a state, each at its largest: base64 makes four characters of three bytes, and the statuses of unknown
/// sources and of what has found no room are counted apart.
const _: () = assert!(
    KNOWN_BYTES
        + 2 * (STATUSES + 1) * STATUS_BYTES
        + COUNTERS * COUNTER_BYTES
        + (SEEN_BYTES + 10).div_ceil(3) * 4
        + FIXED_BYTES
        < STATE_BYTES
);

/// The source of a request that does not say where it came from.
const NO_SOURCE: &str = "-";

/// What was counted of one window of one shard; if it was full before its end, of one part of it.
#[derive(Clone, Debug)]
pub struct Window {
    first: Option<SequenceNumber>,
    last: Option<SequenceNumber>,
    tally: Tally,
    known: Applications,
    /// Requests that found no room among the known ones.
    other: Statuses,
    unknown: Statuses,
    sources: HeavyHitters,
    seen: Seen,
}

/// What is counted of a window as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were counted.
    pub lines: u64,
    /// What was set aside, by the name of the reason.
    pub set_aside: BTreeMap<&'static str, u64>,
    /// Records that were passed over because they had been counted already.
    pub repeated_records: u64,
    /// Lines that were passed over because lines of their positions had been counted already.
    pub repeated_lines: u64,
    /// Lines that were counted although nobody knows any more whether they had been.
    pub untold_lines: u64,
    /// By how many seconds lines arrived after their own time; nothing if none says its time.
    pub lateness: Option<Spread>,
}

impl Window {
    /// A window of which nothing has been counted.
    #[must_use]
    pub fn new() -> Window {
        Window {
            first: None,
            last: None,
            tally: Tally::default(),
            known: Applications::default(),
            other: Statuses::default(),
            unknown: Statuses::default(),
            sources: HeavyHitters::new(COUNTERS),
            seen: Seen::new(SEEN_BYTES),
        }
    }

    /// The part behind this one: it has no counts, but remembers what was counted.
    #[must_use]
    pub fn next_part(self) -> Window {
        Window { last: self.last, seen: self.seen, ..Window::new() }
    }

    /// Whether a record has been counted already.
    #[must_use]
    pub fn holds(&self, number: &SequenceNumber) -> bool {
        self.last.as_ref().is_some_and(|last| number <= last)
    }

    /// Notes a record that is passed over, as the window holds it.
    pub fn repeat(&mut self) {
        self.tally.repeated_records = add(self.tally.repeated_records, 1);
    }

    /// Notes the record whose lines are counted from here on.
    pub fn begin(&mut self, number: &SequenceNumber) {
        if self.first.is_none() {
            self.first = Some(number.clone());
        }
        self.last = Some(number.clone());
    }

    /// Counts a line, unless one of its position was counted already.
    pub fn count(
        &mut self,
        request: &Request<'_>,
        application: Option<&Application>,
        arrived: Option<Arrival>,
    ) {
        match request.position.as_ref().map(|position| self.seen.note(position)) {
            None | Some(Sight::New) => {}
            Some(Sight::Untold) => self.tally.untold_lines = add(self.tally.untold_lines, 1),
            Some(Sight::Repeat) => {
                self.tally.repeated_lines = add(self.tally.repeated_lines, 1);
                return;
            }
        }
        self.tally.lines = add(self.tally.lines, 1);
        if let Some(seconds) = lateness_seconds(request, arrived) {
            Spread::note(&mut self.tally.lateness, seconds);
        }
        match application {
            Some(application) => {
                if self.known.note(application, request, KNOWN_BYTES).is_err() {
                    self.other.note(request);
                }
            }
            None => {
                self.unknown.note(request);
                self.sources.note(request.source.as_deref().unwrap_or(NO_SOURCE));
            }
        }
    }

    /// Notes that something was set aside.
    pub fn set_aside(&mut self, reason: Reason) {
        let count = self.tally.set_aside.entry(reason.as_str()).or_default();
        *count = add(*count, 1);
    }

    /// Whether further applications may soon find no room: then the rows of this part are to be sent on and the next
    /// one is to be begun.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.known.bytes() > FULL_BYTES
    }

    /// The first record that was counted in this part.
    #[must_use]
    pub fn first(&self) -> Option<&SequenceNumber> {
        self.first.as_ref()
    }

    /// What was counted as a whole.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The counts of known applications, in the order of their names, contacts and statuses.
    pub fn known(&self) -> impl Iterator<Item = (&Application, Option<u16>, &Counts)> {
        let by_status = |(application, statuses)| statuses_of(application, statuses);
        self.known.iter().flat_map(by_status)
    }

    /// The counts of known applications that found no room among the others, by status.
    pub fn other(&self) -> impl Iterator<Item = (Option<u16>, &Counts)> {
        self.other.iter()
    }

    /// How many requests of known applications found no room among the others.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.other.count()
    }

    /// The counts of unknown sources, by status.
    pub fn unknown(&self) -> impl Iterator<Item = (Option<u16>, &Counts)> {
        self.unknown.iter()
    }

    /// How many requests came from unknown sources.
    #[must_use]
    pub fn unknown_count(&self) -> u64 {
        self.unknown.count()
    }

    /// The unknown sources with the most requests.
    #[must_use]
    pub fn sources(&self) -> &HeavyHitters {
        &self.sources
    }
}

impl Default for Window {
    fn default() -> Window {
        Window::new()
    }
}

fn statuses_of<'a>(
    application: &'a Application,
    statuses: &'a BTreeMap<Option<u16>, Counts>,
) -> impl Iterator<Item = (&'a Application, Option<u16>, &'a Counts)> {
    statuses.iter().map(move |(status, counts)| (application, *status, counts))
}

/// By how many seconds a line arrived after its own time. A clock may be ahead of the stream's: then by none. A time that
/// is longer ago than any stream keeps its records is no time of this line.
fn lateness_seconds(request: &Request<'_>, arrived: Option<Arrival>) -> Option<u64> {
    let arrived = i64::try_from(arrived?.to_millis()).ok()?;
    let late = arrived.saturating_sub(request.time_millis?).max(0);
    u64::try_from(late / 1000).ok().filter(|seconds| *seconds <= LATEST_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::Ipv6Addr;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use crate::request::Position;

    fn number(number: u64) -> SequenceNumber {
        SequenceNumber::try_from(number.to_string()).unwrap()
    }

    fn request(source: &str, status: Option<u16>) -> Request<'static> {
        Request {
            source: Some(source.to_owned().into()),
            status,
            bytes: Some(10),
            duration_micros: None,
            time_millis: None,
            position: None,
        }
    }

    fn at(offset: u64) -> Request<'static> {
        let position = Position { host: "web-1".into(), file: "1-access_log".into(), offset };
        Request { position: Some(position), ..request("192.0.2.1", Some(200)) }
    }

    fn application(name: &str) -> Application {
        Application { name: name.into(), contact: format!("{name}-team").into() }
    }

    fn through_json(window: &Window) -> Window {
        let text = window.to_state().to_string();
        assert!(text.len() < STATE_BYTES, "{} bytes", text.len());
        Window::from_state(&serde_json::from_str(&text).unwrap()).unwrap()
    }

    /// How many lines were counted, passed over and counted in doubt.
    #[track_caller]
    fn check(window: &Window, lines: u64, repeated_lines: u64, untold_lines: u64) {
        let tally = window.tally();
        assert_eq!(
            (tally.lines, tally.repeated_lines, tally.untold_lines),
            (lines, repeated_lines, untold_lines)
        );
    }

    #[test]
    fn a_record_is_held_from_its_beginning_on() {
        let mut window = Window::new();
        assert!(!window.holds(&number(9)) && window.first().is_none());
        window.begin(&number(9));
        window.begin(&number(10));
        for (held, is_held) in [(8, true), (9, true), (10, true), (11, false)] {
            assert_eq!(through_json(&window).holds(&number(held)), is_held, "{held}");
        }
        window.repeat();
        assert_eq!((window.first(), window.tally().repeated_records), (Some(&number(9)), 1));
    }

    #[test]
    fn a_line_with_a_position_is_counted_once() {
        let mut window = Window::new();
        for offset in [0, 100, 0, 300, 200, 100] {
            window.count(&at(offset), None, None);
        }
        window.count(&request("192.0.2.1", None), None, None);
        check(&window, 5, 2, 0);
        assert_eq!(window.unknown_count(), 5);
    }

    #[test]
    fn the_next_part_has_no_counts_and_remembers_what_was_counted() {
        let mut window = Window::new();
        window.begin(&number(1));
        window.count(&at(0), Some(&application("shop")), None);
        window.count(&at(100), None, None);
        window.set_aside(Reason::NotJson);
        let mut next = window.next_part();
        assert!(next.first().is_none() && next.holds(&number(1)) && !next.holds(&number(2)));
        assert_eq!(next.tally(), &Tally::default());
        assert_eq!(
            (next.known().count(), next.unknown().count(), next.sources().counters().len()),
            (0, 0, 0)
        );
        next.count(&at(100), None, None);
        next.count(&at(200), None, None);
        check(&next, 1, 1, 0);
    }

    #[test]
    fn lateness_is_from_the_line_to_its_arrival_and_never_below_zero() {
        let arrived = |millis: u64| {
            let kinesis = serde_json::json!({"sequenceNumber": "1", "data": "",
                "approximateArrivalTimestamp": millis as f64 / 1000.0});
            let event: crate::event::Event =
                serde_json::from_value(serde_json::json!({"Records": [{"kinesis": kinesis}]})).unwrap();
            event.records[0].arrived
        };
        let mut window = Window::new();
        for (time, arrival) in [
            (Some(1_000), arrived(3_999)),
            (Some(5_000), arrived(4_000)),
            (Some(-7_000), arrived(0)),
            (None, arrived(4_000)),
            (Some(1_000), None),
        ] {
            let request = Request { time_millis: time, ..request("a", None) };
            window.count(&request, None, arrival);
        }
        let expected = Spread { count: 3, sum: 9, min: 0, max: 7 };
        assert_eq!(through_json(&window).tally().lateness, Some(expected));
    }

    #[test]
    fn a_request_without_a_source_is_counted_under_a_dash() {
        let mut window = Window::new();
        window.count(&Request { source: None, ..request("", Some(200)) }, None, None);
        assert_eq!(&*window.sources().top(1)[0].source, NO_SOURCE);
    }

    #[test]
    fn what_was_set_aside_is_counted_by_reason() {
        let mut window = Window::new();
        for reason in [Reason::NotJson, Reason::TooLarge, Reason::NotJson] {
            window.set_aside(reason);
        }
        let expected = BTreeMap::from([("not-json", 2), ("too-large", 1)]);
        assert_eq!(through_json(&window).tally().set_aside, expected);
    }

    #[test]
    fn applications_beyond_the_room_are_counted_as_others_and_the_window_is_full_before() {
        let mut window = Window::new();
        let mut was_full_at = None;
        for number in 0..3_000 {
            window.count(&request("a", Some(200)), Some(&application(&format!("app-{number}"))), None);
            if window.is_full() && was_full_at.is_none() {
                was_full_at = Some(number);
            }
        }
        let known = window.known().count();
        assert!(
            was_full_at.is_some_and(|full| full > 1_000 && full + 300 < known),
            "{was_full_at:?} {known}"
        );
        assert_eq!(window.overflowed(), 3_000 - known as u64);
        assert_eq!(through_json(&window).overflowed(), window.overflowed());
    }

    /// A line: of which application, if any, from where, what, and where it stood.
    type Line = (Option<u8>, u8, Option<u16>, Option<u64>, Option<(u8, u64)>);

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let status = option::of(199_u16..204);
        let micros = option::of(any::<u64>());
        vec((option::of(0_u8..4), any::<u8>(), status, micros, option::of((0_u8..3, 0_u64..40))), 0..100)
    }

    fn count(window: &mut Window, (name, source, status, duration_micros, position): &Line) {
        let position = position.map(|(file, offset)| Position {
            host: "web-1".into(),
            file: file.to_string().into(),
            offset,
        });
        let source = format!("192.0.2.{source}");
        let request = Request { duration_micros: *duration_micros, position, ..request(&source, *status) };
        let application = name.map(|name| application(&name.to_string()));
        window.count(&request, application.as_ref(), None);
    }

    proptest! {
        /// How lines fall into calls must not show in what is counted.
        #[test]
        fn a_state_between_two_lines_changes_nothing(lines in lines(), every in 1_usize..20) {
            let (mut whole, mut cut) = (Window::new(), Window::new());
            for (index, line) in lines.iter().enumerate() {
                count(&mut whole, line);
                count(&mut cut, line);
                if index % every == 0 {
                    cut = through_json(&cut);
                }
            }
            prop_assert_eq!(cut.to_state(), whole.to_state());
        }

        /// The counts are those that a map of all lines has.
        #[test]
        fn every_line_is_counted_once_where_it_belongs(lines in lines()) {
            let mut window = Window::new();
            let mut positions = std::collections::BTreeSet::new();
            let mut known: BTreeMap<(String, Option<u16>), u64> = BTreeMap::new();
            let mut unknown: BTreeMap<Option<u16>, u64> = BTreeMap::new();
            for line in &lines {
                count(&mut window, line);
                let (name, _, status, _, position) = line;
                if position.is_some_and(|position| !positions.insert(position)) {
                    continue;
                }
                match name {
                    Some(name) => *known.entry((name.to_string(), *status)).or_default() += 1,
                    None => *unknown.entry(*status).or_default() += 1,
                }
            }
            let sum = known.values().sum::<u64>() + unknown.values().sum::<u64>();
            prop_assert_eq!(window.tally().lines, sum);
            prop_assert_eq!(window.tally().repeated_lines, lines.len() as u64 - sum);
            let counted = window.known().map(|(application, status, counts)| {
                ((application.name.to_string(), status), counts.count)
            });
            prop_assert_eq!(counted.collect::<BTreeMap<_, _>>(), known);
            let counted = window.unknown().map(|(status, counts)| (status, counts.count));
            prop_assert_eq!(counted.collect::<BTreeMap<_, _>>(), unknown);
        }
    }

    /// Who attacks has as many addresses as he likes; a window has a fixed size.
    #[test]
    fn five_million_addresses_leave_the_known_exact_and_the_heaviest_unknown_right() {
        const ADDRESSES: u64 = 5_000_000;
        const HEAVY: u64 = 100;
        const STATUSES: [u16; 5] = [200, 304, 404, 500, 503];
        // Beside every 1,000 attackers come 4 to 16 requests of each heavy source, all in all as many as theirs: the
        // least heavy one has 0.2 % of all unknown requests, and the error is at most 0.1 % of them.
        let times = |source: u64| 4 + source * 12 / (HEAVY - 1);
        let applications: Vec<Application> =
            (0..200).map(|name| application(&format!("app-{name}"))).collect();

        let mut window = Window::new();
        let mut unknown = 0;
        for batch in 0..ADDRESSES / 1_000 {
            for turn in 0..1_000 {
                let bits = u128::from(batch * 1_000 + turn) * 0x9e37_79b9_7f4a_7c15;
                let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | bits).to_string();
                window.count(&request(&address, Some(404)), None, None);
                unknown += 1;
                if turn % 60 == 0 {
                    for source in (0..HEAVY).filter(|source| turn / 60 < times(*source)) {
                        window.count(&request(&format!("198.51.100.{source}"), Some(200)), None, None);
                        unknown += 1;
                    }
                }
            }
            for (application, turn) in applications.iter().zip(batch..) {
                let status = STATUSES[usize::try_from(turn % 5).unwrap()];
                window.count(&request("192.0.2.1", Some(status)), Some(application), None);
            }
            if batch % 50 == 0 {
                window = through_json(&window);
            }
        }
        window = through_json(&window);

        let batches = ADDRESSES / 1_000;
        let known: Vec<_> = window.known().collect();
        assert_eq!(known.len(), applications.len() * STATUSES.len());
        for (application, status, counts) in known {
            let errors = if status.unwrap() >= 500 { batches / 5 } else { 0 };
            let expected = Counts { count: batches / 5, errors, bytes: batches / 5 * 10, latency: None };
            assert_eq!(*counts, expected, "{application:?} {status:?}");
        }
        assert_eq!(window.unknown_count(), unknown);
        assert!(window.sources().floor() <= unknown / COUNTERS as u64, "{}", window.sources().floor());
        let mut heaviest: Vec<u64> = vec![];
        for counter in window.sources().top(100) {
            let source: u64 = counter.source.strip_prefix("198.51.100.").unwrap().parse().unwrap();
            let exact = times(source) * batches;
            assert!(counter.count - counter.error <= exact && exact <= counter.count, "{counter:?}: {exact}");
            assert!(counter.error <= window.sources().floor(), "{counter:?}");
            heaviest.push(source);
        }
        heaviest.sort_unstable();
        assert_eq!(heaviest, (0..HEAVY).collect::<Vec<u64>>());
    }
}
