//! The metrics as Prometheus reads them, for the textfile collector of its node exporter.
//!
//! Source of the form: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write;

use crate::metrics::{Description, Kind};

/// All values in Prometheus' text form.
#[must_use]
pub fn prometheus(values: &[(&'static Description, u64)]) -> String {
    let mut text = String::new();
    let mut before = "";
    for (Description { metric, name, kind, help }, value) in values {
        if *name != before {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge | Kind::Worst => "gauge",
            };
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes every write");
            before = name;
        }
        let written = match metric.label() {
            Some(label) => writeln!(text, "{name}{{reason=\"{label}\"}} {value}"),
            None => writeln!(text, "{name} {value}"),
        };
        written.expect("a string takes every write");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Reason;
    use crate::metrics::{Metric, Metrics, sum};

    #[test]
    fn each_name_is_described_once_and_each_value_stands_on_its_line() {
        let flow = Metrics::default();
        flow.add(Metric::LinesRead, 7);
        flow.add(Metric::LinesDropped(Reason::Unkept), 2);
        let text = prometheus(&sum(&[&flow]));
        assert!(
            text.contains("# TYPE kinetail_lines_read_total counter\nkinetail_lines_read_total 7\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "kinetail_lines_dropped_total{reason=\"unmatched\"} 0\nkinetail_lines_dropped_total{reason=\"unkept\"} 2\n"
            ),
            "{text}"
        );
        assert!(text.contains("# TYPE kinetail_lag_bytes gauge\n"), "{text}");
        assert_eq!(text.matches("# HELP kinetail_lines_dropped_total ").count(), 1);
    }
}
