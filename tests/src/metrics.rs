//! What the agent publishes in `metrics.prom`, read as any scraper would.
//!
//! Source of the format: <https://prometheus.io/docs/instrumenting/exposition_formats/>. Only what the agent uses is
//! understood; anything else is an error, not a guess.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// One reading of all metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Name and label set, as they stand, to the value, as it stands.
    samples: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads the text form.
    ///
    /// # Errors
    /// If a line is neither a comment nor a name with a value, or a sample is there twice.
    pub fn parse(text: &str) -> Result<Metrics> {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').with_context(|| format!("no value in `{line}`"))?;
            value.parse::<f64>().with_context(|| format!("no number in `{line}`"))?;
            let before = samples.insert(series.to_owned(), value.to_owned());
            ensure!(before.is_none(), "`{series}` is there twice");
        }
        Ok(Metrics { samples })
    }

    /// The whole number of the metric `name`, summed over its labels.
    ///
    /// # Errors
    /// If there is no such metric or it is not a whole number.
    pub fn sum(&self, name: &str) -> Result<u64> {
        let mut found = false;
        let mut sum = 0;
        for (series, value) in &self.samples {
            if series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{')) {
                found = true;
                sum += whole(series, value)?;
            }
        }
        ensure!(found, "the agent publishes no `{name}`");
        Ok(sum)
    }

    /// The whole number of one series, label set included, such as `kinetail_lines_dropped_total{reason="evicted"}`.
    ///
    /// # Errors
    /// If there is no such series or it is not a whole number.
    pub fn one(&self, series: &str) -> Result<u64> {
        let value = self.samples.get(series).with_context(|| format!("the agent publishes no `{series}`"))?;
        whole(series, value)
    }

    /// The number of one series, such as `kinetail_oldest_undelivered_seconds`, which need not be whole.
    ///
    /// # Errors
    /// If there is no such series.
    pub fn number(&self, series: &str) -> Result<f64> {
        let value = self.samples.get(series).with_context(|| format!("the agent publishes no `{series}`"))?;
        value.parse().with_context(|| format!("`{series}` is `{value}`, no number"))
    }

    /// How many lines are not in the stream, on purpose or in the quarantine.
    ///
    /// # Errors
    /// If the agent does not say so.
    pub fn left_behind(&self) -> Result<u64> {
        let (dropped, kept) =
            (self.sum("kinetail_lines_dropped_total")?, self.sum("kinetail_lines_quarantined_total")?);
        let released = self.sum("kinetail_lines_released_total")?;
        (dropped + kept).checked_sub(released).context("more left the quarantine than came")
    }

    /// The books of the agent itself: every line read, or taken out of the quarantine, is acked, put into the quarantine,
    /// dropped with a reason, discarded by a reload, still on its way, within the record of another line, or left out on purpose.
    ///
    /// # Errors
    /// If they do not balance.
    pub fn balance(&self) -> Result<()> {
        let read = self.sum("kinetail_lines_read_total")?;
        let acked = self.sum("kinetail_records_acked_total")?;
        let released = self.sum("kinetail_lines_released_total")?;
        let quarantined = self.sum("kinetail_lines_quarantined_total")?;
        let dropped = self.sum("kinetail_lines_dropped_total")?;
        let discarded = self.sum("kinetail_records_discarded_total")?;
        let unacked = self.sum("kinetail_unacked_records")?;
        let joined = self.sum("kinetail_lines_joined_total")?;
        let skipped = self.sum("kinetail_header_lines_skipped_total")?
            + self.sum("kinetail_footer_lines_skipped_total")?;
        ensure!(
            read + released == acked + quarantined + dropped + discarded + unacked + joined + skipped,
            "the agent's books do not balance: {read} read, {released} released, {acked} acked, {quarantined} \
             quarantined, {dropped} dropped, {discarded} discarded, {unacked} unacked, {joined} joined, {skipped} skipped"
        );
        Ok(())
    }
}

fn whole(series: &str, value: &str) -> Result<u64> {
    value.parse().with_context(|| format!("`{series}` is `{value}`, not a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP kinetail_lines_read_total Lines read.\n# TYPE kinetail_lines_read_total counter\n\
        kinetail_lines_read_total 18\nkinetail_lines_released_total 4\nkinetail_lines_joined_total 3\nkinetail_header_lines_skipped_total 2\n\
        kinetail_footer_lines_skipped_total 1\nkinetail_records_discarded_total 1\nkinetail_records_acked_total 6\n\
        kinetail_lines_quarantined_total{reason=\"unmatched\"} 3\nkinetail_lines_quarantined_total{reason=\"refused\"} 1\n\
        kinetail_lines_dropped_total{reason=\"unmatched\"} 2\nkinetail_lines_dropped_total{reason=\"evicted\"} 1\n\
        kinetail_unacked_records 2\nkinetail_oldest_undelivered_seconds 0.25\n";

    #[track_caller]
    fn check(name: &str, value: Option<u64>) {
        assert_eq!(Metrics::parse(TEXT).unwrap().sum(name).ok(), value);
    }

    #[test]
    fn labels_are_summed_and_names_are_whole() {
        check("kinetail_lines_read_total", Some(18));
        check("kinetail_lines_dropped_total", Some(3));
        check("kinetail_lines", None);
        check("kinetail_oldest_undelivered_seconds", None);
    }

    #[test]
    fn one_label_is_found_by_its_text() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.one("kinetail_lines_dropped_total{reason=\"evicted\"}").unwrap(), 1);
    }

    #[test]
    fn a_number_need_not_be_whole() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.number("kinetail_oldest_undelivered_seconds").ok(), Some(0.25));
        assert_eq!(metrics.number("kinetail_oldest").ok(), None);
    }

    #[test]
    fn books_with_a_line_too_few_do_not_balance() {
        Metrics::parse(TEXT).unwrap().balance().unwrap();
        for (right, wrong) in [
            ("acked_total 6", "acked_total 5"),
            ("discarded_total 1", "discarded_total 0"),
            ("joined_total 3", "joined_total 4"),
            ("released_total 4", "released_total 3"),
        ] {
            assert!(Metrics::parse(&TEXT.replace(right, wrong)).unwrap().balance().is_err());
        }
    }

    #[test]
    fn what_left_the_quarantine_is_not_left_behind_twice() {
        assert_eq!(Metrics::parse(TEXT).unwrap().left_behind().unwrap(), 3);
    }

    #[test]
    fn what_is_not_the_format_is_refused() {
        assert!(Metrics::parse("kinetail_lines_read_total\n").is_err());
        assert!(Metrics::parse("kinetail_lines_read_total many\n").is_err());
        assert!(Metrics::parse("a 1\na 2\n").is_err());
    }
}
