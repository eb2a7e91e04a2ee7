//! What was counted, as data for CloudWatch. Pure: the time is an argument.
//!
//! Flows to the same stream are added together, as the Java agent did.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::calls::{Figures, Statistics};

/// The Java agent's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    RecordSendAttempts,
    RecordsSent,
    RecordSendErrors,
    BytesSent,
    ServiceErrors,
    ConsecutiveProcessingErrors,
}

impl Name {
    /// How CloudWatch knows it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Name::RecordSendAttempts => "RecordSendAttempts",
            Name::RecordsSent => "RecordsSent",
            Name::RecordSendErrors => "RecordSendErrors",
            Name::BytesSent => "BytesSent",
            Name::ServiceErrors => "ServiceErrors",
            Name::ConsecutiveProcessingErrors => "ConsecutiveProcessingErrors",
        }
    }

    /// What it is measured in.
    pub(super) fn unit(self) -> Unit {
        match self {
            Name::BytesSent => Unit::Bytes,
            Name::RecordSendAttempts
            | Name::RecordsSent
            | Name::RecordSendErrors
            | Name::ServiceErrors
            | Name::ConsecutiveProcessingErrors => Unit::Count,
        }
    }
}

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Bytes,
}

/// One metric of one destination in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datum {
    pub(super) name: Name,
    /// The value of the dimension `Destination`.
    pub(super) destination: String,
    /// When it was looked at, since 1970.
    pub(super) at: Duration,
    pub(super) statistics: Statistics,
}

/// What was seen of one flow at the end of a period.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// The name of the stream that it writes to.
    pub stream: &'a str,
    /// What the Java agent's dimension calls that stream.
    pub destination: String,
    /// What its calls came to in the period.
    pub calls: Figures,
    /// Periods in a row, up to this one, at whose end it had a file that cannot be read.
    pub failures: u64,
}

/// The data of a period that ended `at`.
pub(super) fn data(looks: &[Look<'_>], at: Duration) -> Vec<Datum> {
    let mut sums: BTreeMap<(String, Name), Statistics> = BTreeMap::new();
    let mut add = |destination: String, name, statistics: Statistics| {
        let sum = sums.entry((destination, name));
        sum.and_modify(|sum| *sum = sum.and(statistics)).or_insert(statistics);
    };
    for Look { stream, destination, calls, failures } in looks {
        let Figures { offered, taken, refused, bytes, failed } = *calls;
        let figures = [
            (Name::RecordSendAttempts, offered),
            (Name::RecordsSent, taken),
            (Name::RecordSendErrors, refused),
            (Name::BytesSent, bytes),
            (Name::ServiceErrors, failed),
        ];
        for (name, statistics) in figures {
            if let Some(statistics) = statistics {
                add(destination.clone(), name, statistics);
            }
        }
        // Its dimension was the stream's bare name; under that of all the others it is told, too.
        for destination in [destination.clone(), (*stream).to_owned()] {
            add(destination, Name::ConsecutiveProcessingErrors, Statistics::of(*failures));
        }
    }
    let datum = |((destination, name), statistics)| Datum { name, destination, at, statistics };
    sums.into_iter().map(datum).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(1_600_000_000);

    /// A datum of one value.
    pub(in super::super) fn datum(name: Name, destination: &str, value: u64) -> Datum {
        Datum { name, destination: destination.to_owned(), at: AT, statistics: Statistics::of(value) }
    }

    fn answered(taken: u64, refused: u64) -> Figures {
        Figures {
            offered: Some(Statistics::of(taken + refused)),
            taken: Some(Statistics::of(taken)),
            refused: Some(Statistics::of(refused)),
            bytes: Some(Statistics::of(taken * 10)),
            failed: Some(Statistics::of(0)),
        }
    }

    #[track_caller]
    fn check(looks: &[Look<'_>], expected: &[Datum]) {
        assert_eq!(data(looks, AT), expected);
    }

    #[test]
    fn a_call_is_told_as_the_java_agent_told_it() {
        check(
            &[Look {
                stream: "s",
                destination: "KinesisStream:s".to_owned(),
                calls: answered(7, 3),
                failures: 0,
            }],
            &[
                datum(Name::RecordSendAttempts, "KinesisStream:s", 10),
                datum(Name::RecordsSent, "KinesisStream:s", 7),
                datum(Name::RecordSendErrors, "KinesisStream:s", 3),
                datum(Name::BytesSent, "KinesisStream:s", 70),
                datum(Name::ServiceErrors, "KinesisStream:s", 0),
                datum(Name::ConsecutiveProcessingErrors, "KinesisStream:s", 0),
                datum(Name::ConsecutiveProcessingErrors, "s", 0),
            ],
        );
    }

    #[test]
    fn a_period_without_a_call_tells_only_that_all_is_well_or_for_how_long_it_is_not() {
        check(
            &[Look {
                stream: "s",
                destination: "KinesisStream:s".to_owned(),
                calls: Figures::default(),
                failures: 4,
            }],
            &[
                datum(Name::ConsecutiveProcessingErrors, "KinesisStream:s", 4),
                datum(Name::ConsecutiveProcessingErrors, "s", 4),
            ],
        );
    }

    #[test]
    fn flows_to_one_stream_are_added_together_and_others_are_not() {
        let look = |stream, taken| Look {
            stream,
            destination: format!("KinesisStream:{stream}"),
            calls: answered(taken, 0),
            failures: 0,
        };
        let data = data(&[look("a", 2), look("b", 5), look("a", 3)], AT);
        let sent = |destination: &str| {
            let is_meant =
                |datum: &&Datum| datum.name == Name::RecordsSent && datum.destination == destination;
            data.iter().find(is_meant).map(|datum| datum.statistics)
        };
        assert_eq!(sent("KinesisStream:a"), Some(Statistics { count: 2, sum: 5, least: 2, most: 3 }));
        assert_eq!(sent("KinesisStream:b"), Some(Statistics::of(5)));
    }
}
