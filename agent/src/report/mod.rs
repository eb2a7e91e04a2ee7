//! Who is told what was counted: readers of `metrics.rs`, none of which counts anything itself.
//!
//! `java` is the Java agent's periodic lines, `progress` our own of what that agent did not know, `prometheus` the text for
//! the monitoring and `exporter` who answers it over HTTP, `pace` how fast it goes, [`cloudwatch`] what the Java agent told CloudWatch.

pub mod cloudwatch;
mod exporter;
pub mod java;
mod pace;
mod progress;
mod prometheus;

pub use exporter::{Address, AddressError, Answer, Exporter, Page};
pub use pace::{Pace, Samples};
pub use progress::catching_up;
pub use prometheus::prometheus;
