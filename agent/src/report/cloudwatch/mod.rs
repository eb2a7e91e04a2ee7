//! The Java agent's metrics in CloudWatch: the same names, units and dimensions, so that alarms on them still hold.
//!
//! `datum` makes data of what was counted, `queue` holds them until CloudWatch has taken them, within bounds, and
//! `publisher` calls it. None of them knows who counts. Nothing waits for CloudWatch: while it is away, data wait in the
//! queue, and what finds no room there is left out and counted.

mod datum;
mod publisher;
mod queue;

use std::time::Duration;

pub use datum::Look;
pub use publisher::Publisher;

/// What is sent, and where it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of the metrics.
    pub namespace: String,
    /// Where CloudWatch is called: a URL, or a host for which `https` is meant; nothing for that of the region.
    pub endpoint: Option<String>,
    /// The region that metrics are sent to, if it is configured.
    pub region: Option<String>,
    /// How often metrics are sent.
    pub period: Duration,
    /// How many data may wait.
    pub queue: usize,
    /// What the metrics are told apart by.
    pub dimensions: Dimensions,
}

/// What the metrics are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimensions {
    /// The stream.
    Destination,
    /// The stream and the instance.
    DestinationAndInstance,
}
