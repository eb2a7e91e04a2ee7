//! Rows to the metrics of CloudWatch. Pure.
//!
//! - here is what can be published, and what of it one row says;
//! - [`call`] puts the data of many rows into calls that the service takes.
//!
//! Does not know who makes the calls.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>.

pub mod call;

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use crate::ascii::ascii;
use crate::reason::Reason;
use crate::rows::{Counted, Requests, Row, Whole};

/// How long ago, and how far ahead, the time of a datum may be.
const OLDEST: Duration = Duration::from_secs(14 * 24 * 3600);
const NEWEST: Duration = Duration::from_secs(2 * 3600);

/// One value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// What it is of.
    pub identity: Identity,
    /// What it says.
    pub value: Value,
}

/// What tells a datum from others, which are summed where it does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The first second of its window.
    pub time: i64,
    /// How closely it is kept.
    pub resolution: Resolution,
    /// The metric.
    pub metric: Metric,
    /// What it is counted by.
    pub dimensions: Vec<(Dimension, String)>,
}

/// What a datum says. Never infinite and never no number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A sum.
    Sum(f64),
    /// Several values, as far as they can be told together.
    Set {
        /// How many. At least one.
        count: f64,
        /// All together.
        sum: f64,
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
}

/// Everything that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Requests, by the dimensions of the settings.
    Requests,
    /// Bytes sent, by application.
    Bytes,
    /// How long requests took, by application, where it is logged.
    Latency,
    /// Lines that were counted.
    Lines,
    /// Requests of sources that are not in the reference.
    UnknownRequests,
    /// Things that were set aside instead of being counted: lines, whole records that could not be opened, or rows that
    /// could not be published.
    LinesSetAside,
    /// Repeats that were recognised and not counted: whole records, or lines by their position.
    RepeatsSkipped,
    /// How long after their own time lines arrived, where they have one.
    Lateness,
    /// How long ago the reference was last known to be the current one.
    ReferenceAge,
}

/// What a value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Count,
    /// Bytes.
    Bytes,
    /// Millionths of a second.
    Microseconds,
    /// Seconds.
    Seconds,
}

/// What requests can be counted by. Each combination of values is a metric of its own, with its own price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// The application's name.
    Application,
    /// `1xx` to `5xx`, or `none`.
    StatusClass,
    /// Whom to ask about the application.
    Contact,
    /// The status itself, or `none`.
    Code,
}

/// How closely the service keeps a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// By the second, for windows of less than a minute.
    Second,
    /// By the minute.
    Minute,
}

/// A row whose window the service takes data of.
#[derive(Clone, Debug)]
pub struct TimelyRow {
    row: Row,
    time: i64,
    resolution: Resolution,
}

impl TimelyRow {
    /// The row, if data of its window can be published when it is `now`.
    ///
    /// # Errors
    /// If its window is too long ago or too far ahead, or has no time.
    pub fn new(row: Row, now: DateTime) -> Result<TimelyRow, Reason> {
        let seconds = |text: &str| DateTime::from_str(text, Format::DateTime).map(|time| time.secs());
        let start = seconds(&row.window_start).map_err(|_| Reason::NotARow)?;
        let end = seconds(&row.window_end).map_err(|_| Reason::NotARow)?;
        let now = now.secs();
        if start < now.saturating_sub_unsigned(OLDEST.as_secs()) {
            return Err(Reason::TooOld);
        }
        if start > now.saturating_add_unsigned(NEWEST.as_secs()) {
            return Err(Reason::TooNew);
        }
        let is_short = end.saturating_sub(start) < 60;
        let resolution = if is_short { Resolution::Second } else { Resolution::Minute };
        Ok(TimelyRow { row, time: start, resolution })
    }

    /// The row's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.row.id
    }

    /// What the row says.
    fn data(&self, dimensions: &[Dimension]) -> Vec<Datum> {
        let datum = |metric, dimensions, value| Datum {
            identity: Identity { time: self.time, resolution: self.resolution, metric, dimensions },
            value,
        };
        match &self.row.counted {
            Counted::Requests(requests) => {
                let by = dimensions.iter().map(|dimension| (*dimension, dimension.value(requests))).collect();
                let application = || vec![(Dimension::Application, Dimension::Application.value(requests))];
                let mut data = vec![
                    datum(Metric::Requests, by, Value::sum(requests.count)),
                    datum(Metric::Bytes, application(), Value::sum(requests.bytes)),
                ];
                let latency = requests.latency.and_then(|took| {
                    Value::set(took.count, took.sum_micros, took.min_micros, took.max_micros)
                });
                data.extend(latency.map(|value| datum(Metric::Latency, application(), value)));
                data
            }
            Counted::UnknownSources(unknown) => {
                vec![datum(Metric::UnknownRequests, vec![], Value::sum(unknown.count))]
            }
            Counted::Window(whole) => {
                let Whole { lines, set_aside, repeated_records, repeated_lines, .. } = whole;
                let set_aside = set_aside.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
                let repeats = repeated_records.saturating_add(*repeated_lines);
                let lateness = whole.lateness.and_then(|late| {
                    Value::set(late.count, late.sum_seconds, late.min_seconds, late.max_seconds)
                });
                // A set of one, so that the ages that several shards know of are not summed.
                let age = whole.reference_age_seconds.and_then(|age| Value::set(1, age, age, age));
                let mut data = vec![
                    datum(Metric::Lines, vec![], Value::sum(*lines)),
                    datum(Metric::LinesSetAside, vec![], Value::sum(set_aside)),
                    datum(Metric::RepeatsSkipped, vec![], Value::sum(repeats)),
                ];
                data.extend(lateness.map(|value| datum(Metric::Lateness, vec![], value)));
                data.extend(age.map(|value| datum(Metric::ReferenceAge, vec![], value)));
                data
            }
        }
    }
}

impl Datum {
    /// That things were set aside `now`, outside any window.
    #[must_use]
    pub fn set_aside(count: u64, now: DateTime) -> Datum {
        let identity = Identity {
            time: now.secs(),
            resolution: Resolution::Minute,
            metric: Metric::LinesSetAside,
            dimensions: vec![],
        };
        Datum { identity, value: Value::sum(count) }
    }
}

impl Value {
    fn sum(count: u64) -> Value {
        Value::Sum(float(count))
    }

    /// Nothing if there are no values: the service takes no empty set.
    fn set(count: u64, sum: u64, min: u64, max: u64) -> Option<Value> {
        let set = Value::Set { count: float(count), sum: float(sum), min: float(min), max: float(max) };
        (count > 0).then_some(set)
    }

    /// Both together.
    fn with(self, other: Value) -> Value {
        let (count, sum, min, max) = self.parts();
        let (more, add, low, high) = other.parts();
        match (self, other) {
            (Value::Sum(_), Value::Sum(_)) => Value::Sum(sum + add),
            (Value::Set { .. }, _) | (_, Value::Set { .. }) => {
                Value::Set { count: count + more, sum: sum + add, min: min.min(low), max: max.max(high) }
            }
        }
    }

    /// Count, sum, least and greatest.
    fn parts(self) -> (f64, f64, f64, f64) {
        match self {
            Value::Sum(sum) => (1.0, sum, sum, sum),
            Value::Set { count, sum, min, max } => (count, sum, min, max),
        }
    }
}

/// A count as the service takes it: beyond 2^53 the nearest number that it can hold.
#[expect(clippy::cast_precision_loss, reason = "the service has no other numbers")]
fn float(count: u64) -> f64 {
    count as f64
}

impl Metric {
    /// Every metric there is.
    pub const ALL: [Metric; 9] = [
        Metric::Requests,
        Metric::Bytes,
        Metric::Latency,
        Metric::Lines,
        Metric::UnknownRequests,
        Metric::LinesSetAside,
        Metric::RepeatsSkipped,
        Metric::Lateness,
        Metric::ReferenceAge,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Requests => "Requests",
            Metric::Bytes => "Bytes",
            Metric::Latency => "Latency",
            Metric::Lines => "Lines",
            Metric::UnknownRequests => "UnknownRequests",
            Metric::LinesSetAside => "LinesSetAside",
            Metric::RepeatsSkipped => "RepeatsSkipped",
            Metric::Lateness => "Lateness",
            Metric::ReferenceAge => "ReferenceAge",
        }
    }

    /// What it is counted in.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Metric::Bytes => Unit::Bytes,
            Metric::Latency => Unit::Microseconds,
            Metric::Lateness | Metric::ReferenceAge => Unit::Seconds,
            Metric::Requests
            | Metric::Lines
            | Metric::UnknownRequests
            | Metric::LinesSetAside
            | Metric::RepeatsSkipped => Unit::Count,
        }
    }
}

impl Dimension {
    /// Every dimension there is.
    pub const ALL: [Dimension; 4] =
        [Dimension::Application, Dimension::StatusClass, Dimension::Contact, Dimension::Code];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::Application => "Application",
            Dimension::StatusClass => "StatusClass",
            Dimension::Contact => "Contact",
            Dimension::Code => "Code",
        }
    }

    /// The dimension of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Dimension> {
        Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == name)
    }

    /// What it is for these requests.
    fn value(self, requests: &Requests) -> String {
        let class = |status| matches!(status, 100..=599).then(|| format!("{}xx", status / 100));
        let none = || "none".to_owned();
        match self {
            Dimension::Application => ascii(&requests.application),
            Dimension::Contact => ascii(&requests.contact),
            Dimension::StatusClass => requests.status.and_then(class).unwrap_or_else(none),
            Dimension::Code => requests.status.map_or_else(none, |status| status.to_string()),
        }
    }
}

impl Resolution {
    /// In seconds, as the service has it.
    #[must_use]
    pub fn to_seconds(self) -> i32 {
        match self {
            Resolution::Second => 1,
            Resolution::Minute => 60,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::call::{CALL_BYTES, CALL_BYTES_FIXED, CALL_DATA, Call, calls};
    use crate::rows::{Latency, Lateness, UnknownSources};

    const START: &str = "2026-11-22T10:05:00Z";
    const START_SECONDS: i64 = 1_795_341_900;

    /// A moment so many seconds after the start of the window.
    fn after(seconds: i64) -> DateTime {
        DateTime::from_secs(START_SECONDS + seconds)
    }

    fn row(end: &str, counted: Counted) -> Row {
        Row {
            id: "in/shardId-0/1".to_owned(),
            stream: "in".to_owned(),
            shard: "shardId-0".to_owned(),
            window_start: START.to_owned(),
            window_end: end.to_owned(),
            part: "1".to_owned(),
            counted,
        }
    }

    pub(crate) fn requests(application: &str, status: Option<u16>, count: u64) -> Counted {
        let latency = Latency { count: 2, sum_micros: 30, min_micros: count, max_micros: 20 };
        Counted::Requests(Requests {
            application: application.to_owned(),
            contact: "ops".to_owned(),
            status,
            count,
            bytes: 7 * count,
            errors: 0,
            latency: (count % 2 == 1).then_some(latency),
            count_error: 0,
        })
    }

    pub(crate) fn timely(counted: Counted) -> TimelyRow {
        TimelyRow::new(row("2026-11-22T10:10:00Z", counted), after(600)).unwrap()
    }

    /// The data of these rows, which fit into one call, each as `name{dimensions} value`.
    #[track_caller]
    fn check(rows: Vec<Counted>, dimensions: &[Dimension], expected: &[&str]) {
        let rows: Vec<TimelyRow> = rows.into_iter().map(timely).collect();
        let [call] = <[Call; 1]>::try_from(calls(&rows, 0..rows.len(), dimensions)).unwrap();
        let told: Vec<String> = call.data.iter().map(told).collect();
        assert_eq!(told, expected);
        assert!(call.data.iter().all(|datum| datum.identity.time == START_SECONDS));
    }

    fn told(datum: &Datum) -> String {
        let name = |(dimension, value): &(Dimension, String)| format!("{}={value}", dimension.as_str());
        let dimensions: Vec<String> = datum.identity.dimensions.iter().map(name).collect();
        let value = match datum.value {
            Value::Sum(sum) => format!("{sum}"),
            Value::Set { count, sum, min, max } => format!("{count} {sum} {min} {max}"),
        };
        format!("{}{{{}}} {value}", datum.identity.metric.as_str(), dimensions.join(","))
    }

    const BOTH: [Dimension; 2] = [Dimension::Application, Dimension::StatusClass];

    #[test]
    fn statuses_of_a_class_are_summed() {
        check(
            vec![requests("shop", Some(404), 2), requests("shop", Some(410), 4), requests("shop", None, 6)],
            &BOTH,
            &[
                "Requests{Application=shop,StatusClass=4xx} 6",
                "Requests{Application=shop,StatusClass=none} 6",
                "Bytes{Application=shop} 84",
            ],
        );
    }

    #[test]
    fn latencies_are_told_together() {
        check(
            vec![requests("shop", Some(200), 3), requests("shop", Some(500), 5)],
            &[],
            &["Requests{} 8", "Bytes{Application=shop} 56", "Latency{Application=shop} 4 60 3 20"],
        );
    }

    #[test]
    fn requests_are_counted_by_what_was_asked_for() {
        let both = [Dimension::Contact, Dimension::Code];
        let bytes = "Bytes{Application=B?cher~7f8532e7} 14";
        check(
            vec![requests("B\u{fc}cher", Some(302), 2)],
            &both,
            &["Requests{Contact=ops,Code=302} 2", bytes],
        );
        check(vec![requests("B\u{fc}cher", None, 2)], &both[1..], &["Requests{Code=none} 2", bytes]);
    }

    #[test]
    fn a_window_is_told_also_where_it_is_empty() {
        let whole = Whole {
            lines: 0,
            set_aside: BTreeMap::new(),
            repeated_records: 0,
            repeated_lines: 0,
            untold_lines: 0,
            lateness: None,
            overflowed: 0,
            reference_age_seconds: None,
        };
        let unknown = UnknownSources { count: 0, sources: vec![], other: 0, count_error: 0 };
        check(
            vec![Counted::UnknownSources(unknown), Counted::Window(whole.clone())],
            &BOTH,
            &["Lines{} 0", "UnknownRequests{} 0", "LinesSetAside{} 0", "RepeatsSkipped{} 0"],
        );
        let set_aside = BTreeMap::from([("not-json".to_owned(), 3), ("too-deep".to_owned(), 4)]);
        let lateness = Some(Lateness { count: 9, sum_seconds: 40, min_seconds: 1, max_seconds: 30 });
        let whole = Whole {
            lines: 9,
            set_aside,
            repeated_records: 5,
            repeated_lines: 6,
            lateness,
            reference_age_seconds: Some(61),
            ..whole
        };
        check(
            vec![Counted::Window(whole.clone()), Counted::Window(whole)],
            &BOTH,
            &[
                "Lines{} 18",
                "LinesSetAside{} 14",
                "RepeatsSkipped{} 22",
                "Lateness{} 18 80 1 30",
                "ReferenceAge{} 2 122 61 61",
            ],
        );
    }

    #[test]
    fn short_windows_are_kept_by_the_second() {
        let resolution =
            |end: &str| TimelyRow::new(row(end, requests("a", None, 1)), after(0)).unwrap().resolution;
        assert_eq!(resolution("2026-11-22T10:05:59Z"), Resolution::Second);
        assert_eq!(resolution("2026-11-22T10:06:00Z"), Resolution::Minute);
    }

    #[test]
    fn a_window_that_the_service_takes_no_data_of_is_refused() {
        let refusal = |seconds| {
            TimelyRow::new(row("2026-11-22T10:10:00Z", requests("a", None, 1)), after(seconds)).err()
        };
        let days = 24 * 3600;
        assert_eq!(refusal(14 * days), None);
        assert_eq!(refusal(14 * days + 1), Some(Reason::TooOld));
        assert_eq!(refusal(-2 * 3600), None);
        assert_eq!(refusal(-2 * 3600 - 1), Some(Reason::TooNew));
        let timeless = TimelyRow::new(row("noon", requests("a", None, 1)), after(0));
        assert_eq!(timeless.err(), Some(Reason::NotARow));
    }

    #[test]
    fn names_are_there_once() {
        for (number, metric) in Metric::ALL.into_iter().enumerate() {
            assert!(Metric::ALL.iter().skip(number + 1).all(|other| other.as_str() != metric.as_str()));
        }
        for dimension in Dimension::ALL {
            assert_eq!(Dimension::from_name(dimension.as_str()), Some(dimension));
        }
    }

    fn sum(calls: &[Call], metric: Metric) -> f64 {
        let data = calls.iter().flat_map(|call| &call.data).filter(|datum| datum.identity.metric == metric);
        data.map(|datum| datum.value.parts().1).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However many rows there are and however long their names: every row is in one call, in order, nothing is lost
        /// or invented, and no call is too large.
        #[test]
        fn calls_keep_the_limits_and_the_sums(
            rows in vec((0_u32..3_000, 100_u16..600, 1_u64..1_000), 0..2_500),
            length in 0_usize..1_100,
        ) {
            let name = |number: &u32| format!("{number}{}", "x".repeat(length));
            let timely: Vec<TimelyRow> =
                rows.iter().map(|(number, status, count)| timely(requests(&name(number), Some(*status), *count))).collect();
            let calls = calls(&timely, 0..timely.len(), &BOTH);

            let covered: Vec<usize> = calls.iter().flat_map(|call| call.rows.clone()).collect();
            prop_assert_eq!(covered, (0..rows.len()).collect::<Vec<_>>());
            let all: u64 = rows.iter().map(|(_, _, count)| count).sum();
            prop_assert_eq!(sum(&calls, Metric::Requests), float(all));
            prop_assert_eq!(sum(&calls, Metric::Bytes), float(7 * all));
            for call in &calls {
                prop_assert!(!call.data.is_empty() && call.data.len() <= CALL_DATA);
                let bytes: usize = call.data.iter().map(|datum| datum.identity.bytes()).sum();
                prop_assert!(bytes + CALL_BYTES_FIXED <= CALL_BYTES);
                let identities: std::collections::BTreeSet<_> = call.data.iter().map(|datum| &datum.identity).collect();
                prop_assert_eq!(identities.len(), call.data.len());
            }
        }
    }
}
