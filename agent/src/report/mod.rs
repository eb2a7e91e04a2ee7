//! Who is told what was counted: readers of `metrics.rs`, none of which counts anything itself.
//!
//! `progress` is the line for the person who reads the log, `prometheus` the text for the monitoring.

mod progress;
mod prometheus;

pub use progress::progress;
pub use prometheus::prometheus;
