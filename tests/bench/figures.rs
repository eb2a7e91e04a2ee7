//! Figures of several runs: told one by one as JSON, and as a table of median, least and most.

use std::fmt;

/// One figure of one run. Its name ends in its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    name: &'static str,
    value: f64,
}

/// All figures of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run(Vec<Figure>);

/// The figures of one kind over all runs.
pub(crate) struct Table<'a>(pub(crate) &'a [Run]);

impl Run {
    /// The run that gave these values.
    pub(crate) fn new(figures: impl IntoIterator<Item = (&'static str, f64)>) -> Run {
        Run(figures.into_iter().map(|(name, value)| Figure { name, value }).collect())
    }

    /// The figures as one JSON object.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.0
            .iter()
            .map(|figure| (figure.name.to_owned(), figure.value.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | median | least | most |")?;
        writeln!(f, "| --- | ---: | ---: | ---: |")?;
        for Figure { name, .. } in self.0.first().iter().flat_map(|run| &run.0) {
            let mut values: Vec<_> = self.0.iter().filter_map(|run| run.value(name)).collect();
            values.sort_by(f64::total_cmp);
            let [median, least, most] =
                [quantile(&values, 0.5), quantile(&values, 0.0), quantile(&values, 1.0)];
            writeln!(f, "| {name} | {} | {} | {} |", Short(median), Short(least), Short(most))?;
        }
        Ok(())
    }
}

/// The value below which the share `part` of `sorted` lies, between its neighbours in proportion; 0 if there is none.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = last as f64 * part.clamp(0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between 0 and `last`"
    )]
    let below = place.floor() as usize;
    let at = |index: usize| sorted.get(index.min(last)).copied().unwrap_or_default();
    at(below) + (at(below + 1) - at(below)) * place.fract()
}

/// A number with about three digits that count.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.0.abs() {
            large if large >= 100.0 => 0,
            middle if middle >= 10.0 => 1,
            small if small >= 1.0 => 2,
            _ => 3,
        };
        write!(f, "{:.digits$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(values: &[f64], expected: &str) {
        let runs: Vec<_> = values.iter().map(|value| Run::new([("cpu_s_per_gb", *value)])).collect();
        assert_eq!(Table(&runs).to_string().lines().nth(2), Some(expected));
    }

    #[test]
    fn a_table_tells_median_least_and_most() {
        check(&[5.0], "| cpu_s_per_gb | 5.00 | 5.00 | 5.00 |");
        check(&[9.0, 5.0, 10.04], "| cpu_s_per_gb | 9.00 | 5.00 | 10.0 |");
        check(&[1.0, 4.0], "| cpu_s_per_gb | 2.50 | 1.00 | 4.00 |");
        check(&[1234.5, 0.05, 0.0512], "| cpu_s_per_gb | 0.051 | 0.050 | 1234 |");
    }

    #[test]
    fn a_run_is_one_json_object() {
        let run = Run::new([("wall_s", 1.5), ("requests", 3.0)]);
        assert_eq!(run.to_json(), serde_json::json!({"wall_s": 1.5, "requests": 3.0}));
    }

    proptest! {
        /// A quantile lies among the values, and a larger part never gives a smaller one.
        #[test]
        fn quantiles_rise(mut values in prop::collection::vec(-1e6..1e6, 1..30), a in 0.0..=1.0, b in 0.0..=1.0) {
            values.sort_by(f64::total_cmp);
            let (low, high) = (quantile(&values, f64::min(a, b)), quantile(&values, f64::max(a, b)));
            prop_assert!(values[0] <= low && low <= high + 1e-6 && high <= values[values.len() - 1]);
        }
    }
}
