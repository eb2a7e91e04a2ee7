//! How an alarm stands, from what was published. Pure.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html#alarm-evaluation> and
//! `#alarms-and-missing-data` there. The service looks at a few periods more than it is told to, so that late data still
//! count; here the whole history is looked at again each time, so what comes late counts as if it had come in time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::request::Dimensions;
use super::statistics::Statistics;
use crate::cloud::moment::Moment;

/// What of a period is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The sum of its values.
    Sum,
    /// Their mean.
    Average,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
    /// How many there are.
    SampleCount,
}

/// What breaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// More than the threshold.
    GreaterThan,
    /// The threshold or more.
    AtLeast,
    /// Less than the threshold.
    LessThan,
    /// The threshold or less.
    AtMost,
}

/// What a period without data counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the others decide, and without any the data are insufficient.
    Missing,
    /// One within the threshold.
    NotBreaching,
    /// One beyond it.
    Breaching,
    /// Nothing: the others decide, and without any the state stays.
    Ignore,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Within the threshold.
    Ok,
    /// Beyond it.
    Alarm,
    /// Too little is known.
    InsufficientData,
}

/// An alarm on one metric.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// The metric.
    pub metric: String,
    /// Which of its name.
    pub dimensions: Dimensions,
    /// What is compared.
    pub statistic: Statistic,
    /// With what.
    pub threshold: f64,
    /// How.
    pub comparison: Comparison,
    /// The length of a period.
    pub period: Duration,
    /// How many periods are looked at.
    pub periods: usize,
    /// How many of them must breach.
    pub datapoints: usize,
    /// What one without data counts as.
    pub missing: Missing,
}

impl Alarm {
    /// How the alarm stands at `now`, and since when, after it was created at `created`. Periods are aligned to the
    /// epoch, and only those that are over count.
    #[must_use]
    pub fn evaluate(
        &self,
        series: &BTreeMap<Moment, Statistics>,
        created: Moment,
        now: Moment,
    ) -> (State, Moment) {
        let mut stands = (State::InsufficientData, created);
        let mut end = created.floor(self.period).plus(self.period);
        while end <= now {
            let state = self.state(series, end, stands.0);
            if state != stands.0 {
                stands = (state, end);
            }
            end = end.plus(self.period.max(Duration::from_secs(1)));
        }
        stands
    }

    fn state(&self, series: &BTreeMap<Moment, Statistics>, end: Moment, before: State) -> State {
        let mut breaching = 0;
        let mut known = 0;
        let mut start = end;
        for _ in 0..self.periods {
            let behind = start;
            start = start.minus(self.period);
            let values = series.range(start..behind).map(|(_, statistics)| *statistics);
            let is_breaching = match (values.reduce(Statistics::and), self.missing) {
                (Some(statistics), _) => self.breaches(statistics),
                (None, Missing::Breaching) => true,
                (None, Missing::NotBreaching) => false,
                (None, Missing::Missing | Missing::Ignore) => continue,
            };
            known += 1;
            breaching += usize::from(is_breaching);
        }
        match (known, self.missing) {
            (0, Missing::Ignore) => before,
            (0, Missing::Missing | Missing::NotBreaching | Missing::Breaching) => State::InsufficientData,
            // With fewer known than must breach, those that are known decide.
            (_, _) if breaching >= self.datapoints.min(known) => State::Alarm,
            (_, _) => State::Ok,
        }
    }

    fn breaches(&self, statistics: Statistics) -> bool {
        let value = match self.statistic {
            Statistic::Sum => statistics.sum,
            Statistic::Average => statistics.average(),
            Statistic::Minimum => statistics.minimum,
            Statistic::Maximum => statistics.maximum,
            Statistic::SampleCount => statistics.count,
        };
        match self.comparison {
            Comparison::GreaterThan => value > self.threshold,
            Comparison::AtLeast => value >= self.threshold,
            Comparison::LessThan => value < self.threshold,
            Comparison::AtMost => value <= self.threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(60);

    fn at(period: u64) -> Moment {
        Moment::from_millis(period * 60_000)
    }

    fn alarm(missing: Missing, datapoints: usize, periods: usize) -> Alarm {
        Alarm {
            metric: "UnknownRequests".to_owned(),
            dimensions: Dimensions::new(),
            statistic: Statistic::Sum,
            threshold: 100.0,
            comparison: Comparison::GreaterThan,
            period: PERIOD,
            periods,
            datapoints,
            missing,
        }
    }

    /// One letter a period: `x` beyond the threshold, `o` within it, `-` without data.
    #[track_caller]
    fn check(alarm: &Alarm, history: &str, expected: State, since: u64) {
        let mut series = BTreeMap::new();
        for (period, letter) in (0..).zip(history.chars()) {
            let value = match letter {
                'x' => 101.0,
                'o' => 100.0,
                _ => continue,
            };
            series.insert(at(period).plus(Duration::from_secs(7)), Statistics::of(value));
        }
        let now = at(history.len() as u64);
        assert_eq!(alarm.evaluate(&series, Moment::EPOCH, now), (expected, at(since)), "{history}");
    }

    #[test]
    fn the_threshold_itself_does_not_breach() {
        check(&alarm(Missing::Missing, 1, 1), "o", State::Ok, 1);
        check(&alarm(Missing::Missing, 1, 1), "ox", State::Alarm, 2);
        check(&alarm(Missing::Missing, 1, 1), "oxxo", State::Ok, 4);
    }

    #[test]
    fn m_of_n_periods_must_breach() {
        let two_of_three = alarm(Missing::NotBreaching, 2, 3);
        check(&two_of_three, "oox", State::Ok, 1);
        check(&two_of_three, "ooxx", State::Alarm, 4);
        check(&two_of_three, "oxox", State::Alarm, 4);
        check(&two_of_three, "xxoo", State::Ok, 4);
    }

    #[test]
    fn a_period_without_data_counts_as_it_is_told_to() {
        check(&alarm(Missing::Missing, 1, 1), "x-", State::InsufficientData, 2);
        check(&alarm(Missing::NotBreaching, 1, 1), "x-", State::Ok, 2);
        check(&alarm(Missing::Breaching, 1, 1), "o-", State::Alarm, 2);
        check(&alarm(Missing::Ignore, 1, 1), "x-", State::Alarm, 1);
        check(&alarm(Missing::Missing, 1, 3), "o--", State::Ok, 1);
        check(&alarm(Missing::Missing, 3, 3), "-", State::InsufficientData, 0);
    }

    #[test]
    fn a_period_that_is_not_over_does_not_count() {
        let series = BTreeMap::from([(at(3), Statistics::of(500.0))]);
        let alarm = alarm(Missing::NotBreaching, 1, 1);
        let almost = at(4).minus(Duration::from_millis(1));
        assert_eq!(alarm.evaluate(&series, at(0), almost).0, State::Ok);
        assert_eq!(alarm.evaluate(&series, at(0), at(4)), (State::Alarm, at(4)));
    }

    #[test]
    fn a_period_is_compared_as_a_whole() {
        let series: BTreeMap<Moment, Statistics> =
            (0..3).map(|second| (at(0).plus(Duration::from_secs(second)), Statistics::of(40.0))).collect();
        let stands = |statistic, comparison, threshold| {
            let alarm = Alarm { statistic, comparison, threshold, ..alarm(Missing::Missing, 1, 1) };
            alarm.evaluate(&series, at(0), at(1)).0
        };
        assert_eq!(stands(Statistic::Sum, Comparison::AtLeast, 120.0), State::Alarm);
        assert_eq!(stands(Statistic::Sum, Comparison::LessThan, 120.0), State::Ok);
        assert_eq!(stands(Statistic::Average, Comparison::AtMost, 40.0), State::Alarm);
        assert_eq!(stands(Statistic::Minimum, Comparison::GreaterThan, 40.0), State::Ok);
        assert_eq!(stands(Statistic::Maximum, Comparison::AtLeast, 40.0), State::Alarm);
        assert_eq!(stands(Statistic::SampleCount, Comparison::LessThan, 4.0), State::Alarm);
    }
}
