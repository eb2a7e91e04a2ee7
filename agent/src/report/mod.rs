//! Who is told what was counted: readers of `metrics.rs`, none of which counts anything itself.
//!
//! `progress` is the line for the person who reads the log, `prometheus` the text for the monitoring, `pace` how fast
//! it goes.

mod pace;
mod progress;
mod prometheus;

pub use pace::{Pace, Samples};
pub use progress::{catching_up, progress};
pub use prometheus::prometheus;
