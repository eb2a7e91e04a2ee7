//! The alarms of the demo: those of the template that windows of five seconds can have, and how each stands.
//!
//! A window's counts arrive after its end, so an alarm looks at a window only [`LATENESS`] after that. Repeats that were
//! recognised are no reason for an alarm: they are what a crash costs.

use std::collections::BTreeMap;
use std::time::Duration;

use kinetail_tests::cloud::cloudwatch::CloudWatch;
use kinetail_tests::cloud::cloudwatch::alarm::{Alarm, Comparison, Missing, State, Statistic};
use kinetail_tests::cloud::cloudwatch::request::Dimensions;
use kinetail_tests::cloud::cloudwatch::statistics::Statistics;
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::page::{AlarmData, AlarmState};

use crate::join::UNKNOWN;
use crate::stage::WINDOW;

/// How long after its end a window's counts may take to arrive.
const LATENESS: Duration = Duration::from_secs(2);

/// All alarms, and how they stood.
#[derive(Debug)]
pub(crate) struct Alarms {
    created: Moment,
    states: BTreeMap<&'static str, AlarmState>,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    UnknownSources,
    LargestShare,
    NoData,
    SetAside,
}

impl Alarms {
    /// The alarms, created now.
    pub(crate) fn new() -> Alarms {
        Alarms { created: Moment::now(), states: BTreeMap::new() }
    }

    /// How they stand, and in a sentence each those that now stand otherwise than before.
    pub(crate) fn look(&mut self, cloudwatch: &CloudWatch) -> (Vec<AlarmData>, Vec<String>) {
        let now = Moment::now().minus(LATENESS);
        let all: Vec<AlarmData> =
            Subject::ALL.iter().map(|subject| subject.stands(cloudwatch, self.created, now)).collect();
        let changed = all.iter().filter_map(|alarm| {
            let name = Subject::ALL.iter().map(|subject| subject.name()).find(|name| *name == alarm.name)?;
            let before = self.states.insert(name, alarm.state).unwrap_or(AlarmState::InsufficientData);
            (before != alarm.state).then(|| transition(before, alarm)).flatten()
        });
        let changed = changed.collect();
        (all, changed)
    }
}

/// What is said of a change; nothing when all becomes well that was not known to be otherwise.
fn transition(before: AlarmState, alarm: &AlarmData) -> Option<String> {
    let AlarmData { name, reason, .. } = alarm;
    match (before, alarm.state) {
        (_, AlarmState::Alarm) => Some(format!("alarm: {name} ({reason})")),
        (AlarmState::Alarm, AlarmState::Ok | AlarmState::InsufficientData) => {
            Some(format!("alarm over: {name} ({reason})"))
        }
        (AlarmState::Ok | AlarmState::InsufficientData, AlarmState::Ok | AlarmState::InsufficientData) => {
            None
        }
    }
}

impl Subject {
    const ALL: [Subject; 4] =
        [Subject::UnknownSources, Subject::LargestShare, Subject::NoData, Subject::SetAside];

    fn name(self) -> &'static str {
        match self {
            Subject::UnknownSources => "Unknown sources",
            Subject::LargestShare => "Largest share",
            Subject::NoData => "No data",
            Subject::SetAside => "Set aside",
        }
    }

    fn alarm(self) -> Alarm {
        let (threshold, comparison, missing, datapoints) = match self {
            Subject::UnknownSources => (100.0, Comparison::GreaterThan, Missing::NotBreaching, 1),
            Subject::LargestShare => (50.0, Comparison::GreaterThan, Missing::NotBreaching, 1),
            Subject::NoData => (1.0, Comparison::LessThan, Missing::Breaching, 3),
            Subject::SetAside => (0.0, Comparison::GreaterThan, Missing::NotBreaching, 1),
        };
        Alarm {
            metric: self.name().to_owned(),
            dimensions: Dimensions::new(),
            statistic: Statistic::Sum,
            threshold,
            comparison,
            period: WINDOW,
            periods: 3,
            datapoints,
            missing,
        }
    }

    fn series(self, cloudwatch: &CloudWatch) -> BTreeMap<Moment, Statistics> {
        let all = |metric| cloudwatch.series(metric, &Dimensions::new());
        match self {
            Subject::UnknownSources => all("UnknownRequests"),
            Subject::LargestShare => largest_shares(cloudwatch),
            Subject::NoData => all("Lines"),
            Subject::SetAside => all("LinesSetAside"),
        }
    }

    fn stands(self, cloudwatch: &CloudWatch, created: Moment, now: Moment) -> AlarmData {
        let (alarm, series) = (self.alarm(), self.series(cloudwatch));
        let (state, since) = alarm.evaluate(&series, created, now);
        let state = match state {
            State::Ok => AlarmState::Ok,
            State::Alarm => AlarmState::Alarm,
            State::InsufficientData => AlarmState::InsufficientData,
        };
        let newest = series.range(..now).next_back().map_or(0.0, |(_, statistics)| statistics.sum);
        let reason = match self {
            Subject::UnknownSources => {
                format!("{newest} requests in the newest window; fires above {}", alarm.threshold)
            }
            Subject::LargestShare => {
                format!(
                    "{newest:.0} % of one application in the newest window; fires above {} %",
                    alarm.threshold
                )
            }
            Subject::NoData => format!("{newest} lines in the newest window; fires after 3 without any"),
            Subject::SetAside => format!("{newest} in the newest window; fires above {}", alarm.threshold),
        };
        AlarmData { name: self.name().to_owned(), state, since_millis: since.to_millis(), reason }
    }
}

/// Of each window the largest share that a known application has in all requests, in percent.
fn largest_shares(cloudwatch: &CloudWatch) -> BTreeMap<Moment, Statistics> {
    let mut windows: BTreeMap<Moment, BTreeMap<String, f64>> = BTreeMap::new();
    for datum in cloudwatch.all().into_iter().filter(|datum| datum.metric == "Requests") {
        let application = datum.dimensions.get("Application").cloned().unwrap_or_default();
        *windows.entry(datum.at).or_default().entry(application).or_default() += datum.statistics.sum;
    }
    let largest = |applications: &BTreeMap<String, f64>| {
        let all: f64 = applications.values().sum();
        let known = applications.iter().filter(|(name, _)| *name != UNKNOWN);
        known.map(|(_, count)| 100.0 * count / all.max(1.0)).fold(0.0, f64::max)
    };
    windows.iter().map(|(at, applications)| (*at, Statistics::of(largest(applications)))).collect()
}
