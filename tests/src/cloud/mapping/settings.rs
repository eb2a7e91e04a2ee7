//! What an event source mapping is told.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>

use std::time::Duration;

use crate::cloud::moment::Moment;

/// Where a mapping begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record.
    TrimHorizon,
    /// At the first record that arrives after the mapping has begun.
    Latest,
    /// At the first record that arrived then or later.
    At(Moment),
}

/// The settings of a mapping, by the names of the service. There is one batch of a shard at a time, which windows need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `StartingPosition`.
    pub start: Start,
    /// `BatchSize`: records of one invocation at the most.
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`: how long a batch may wait to be full.
    pub batching_window: Duration,
    /// `TumblingWindowInSeconds`; none for no windows.
    pub tumbling_window: Option<Duration>,
    /// `BisectBatchOnFunctionError`.
    pub bisects: bool,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub reports_item_failures: bool,
    /// `MaximumRetryAttempts`; none for no end.
    pub retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; none for no bound.
    pub record_age: Option<Duration>,
    /// How long the function may take.
    pub function_timeout: Duration,
    /// `DestinationConfig.OnFailure`: the bucket for what is given up; none to give it up without a trace.
    pub on_failure: Option<String>,
}

impl Default for Settings {
    /// The service's defaults.
    fn default() -> Settings {
        Settings {
            start: Start::TrimHorizon,
            batch_size: 100,
            batching_window: Duration::ZERO,
            tumbling_window: None,
            bisects: false,
            reports_item_failures: false,
            retries: None,
            record_age: None,
            function_timeout: Duration::from_secs(3),
            on_failure: None,
        }
    }
}
