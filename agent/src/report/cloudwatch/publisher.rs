//! Brings data to CloudWatch, at intervals and beside everything else. With `send` the only place that knows the AWS SDK.
//!
//! A call that fails costs nothing but its data's place in the queue: they are sent with the next. Only what CloudWatch
//! calls wrong is left out, as it would be the next time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataError;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit, StatisticSet};
use tracing::{info, warn};

use super::datum::{self, Datum, Look, Unit};
use super::queue::Queue;
use super::{Dimensions, Settings};
use crate::chain::Chain;
use crate::metrics::{Metric, Metrics};

/// How long it may take to learn the instance's id: where there is no instance, nobody answers.
const IDENTITY: Duration = Duration::from_secs(5);

/// What CloudWatch says of data that it will never take.
const WRONG: [&str; 4] = [
    "InvalidParameterValue",
    "InvalidParameterCombination",
    "MissingParameter",
    "InvalidParameterValueException",
];

/// Brings data to CloudWatch.
#[derive(Debug)]
pub struct Publisher {
    client: Client,
    namespace: String,
    dimensions: Dimensions,
    /// What the host is called, where it is no instance.
    host: String,
    /// The value of the dimension `Instance`, once it is known.
    instance: Option<String>,
    queue: Queue,
    metrics: Arc<Metrics>,
    /// Whether the last call failed, so that only a change is told.
    is_failing: bool,
}

impl Publisher {
    /// A publisher that calls CloudWatch through `client`, on a host called `host`, and counts in `metrics`.
    #[must_use]
    pub fn new(client: Client, settings: &Settings, host: String, metrics: Arc<Metrics>) -> Publisher {
        Publisher {
            client,
            namespace: settings.namespace.clone(),
            dimensions: settings.dimensions,
            host,
            instance: None,
            queue: Queue::new(settings.queue),
            metrics,
            is_failing: false,
        }
    }

    /// Sends what was seen in the period that ends now, and what still waits.
    pub async fn publish(&mut self, looks: &[Look<'_>]) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let dropped = self.queue.push(datum::data(looks, now));
        self.metrics.add(Metric::CloudWatchDataDropped, dropped as u64);
        self.identify().await;
        while self.queue.front().len() > 0 {
            let data: Vec<MetricDatum> = self.queue.front().map(|datum| self.to_sdk(datum)).collect();
            let count = data.len();
            let call = self.client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data));
            match call.send().await {
                Ok(_) => self.queue.settle(count),
                Err(error) if is_wrong(&error) => {
                    self.note_failure(&error, "CloudWatch refuses metrics as wrong; leaves them out");
                    self.metrics.add(Metric::CloudWatchDataDropped, count as u64);
                    self.queue.settle(count);
                    continue;
                }
                Err(error) => {
                    let text = "CloudWatch does not take metrics; they wait, within `cloudwatch.metricsQueueSize`, and \
                                nothing else does; to send none set `cloudwatch.emitMetrics` to false";
                    return self.note_failure(&error, text);
                }
            }
            if std::mem::take(&mut self.is_failing) {
                info!("CloudWatch takes metrics again");
            }
        }
    }

    /// Finds out, once, what the instance is called.
    async fn identify(&mut self) {
        if self.dimensions == Dimensions::Destination || self.instance.is_some() {
            return;
        }
        let imds = aws_config::imds::Client::builder().max_attempts(1).build();
        let id = tokio::time::timeout(IDENTITY, imds.get("/latest/meta-data/instance-id")).await;
        let id = id.ok().and_then(Result::ok).map(String::from);
        // A dimension must not be empty.
        self.instance = [id, Some(self.host.clone())].into_iter().flatten().find(|name| !name.is_empty());
    }

    fn to_sdk(&self, Datum { name, destination, at, statistics }: &Datum) -> MetricDatum {
        let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let instance = self.instance.as_deref().map(|instance| dimension("Instance", instance));
        let dimensions = [dimension("Destination", destination)].into_iter().chain(instance);
        let statistics = StatisticSet::builder()
            .sample_count(to_float(statistics.count))
            .sum(to_float(statistics.sum))
            .minimum(to_float(statistics.least))
            .maximum(to_float(statistics.most));
        MetricDatum::builder()
            .metric_name(name.as_str())
            .set_dimensions(Some(dimensions.collect()))
            .timestamp(DateTime::from_secs(i64::try_from(at.as_secs()).unwrap_or(i64::MAX)))
            .unit(match name.unit() {
                Unit::Count => StandardUnit::Count,
                Unit::Bytes => StandardUnit::Bytes,
            })
            .statistic_values(statistics.build())
            .build()
    }

    fn note_failure(&mut self, error: &SdkError<PutMetricDataError>, text: &str) {
        self.metrics.add(Metric::CloudWatchRequestsFailed, 1);
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(error = reason(error), "{text}");
        }
    }
}

/// Whether CloudWatch says that the data are wrong, and not that it or the agent is in trouble.
fn is_wrong(error: &SdkError<PutMetricDataError>) -> bool {
    error.code().is_some_and(|code| WRONG.contains(&code))
}

/// What went wrong, for the log: in the service's own words if it has said something.
fn reason(error: &SdkError<PutMetricDataError>) -> String {
    match error.code() {
        Some(code) => format!("{code}: {}", error.message().unwrap_or("no message")),
        None => Chain(error).to_string(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "CloudWatch has no other numbers; counts of a period are below 2⁵³"
)]
fn to_float(value: u64) -> f64 {
    value as f64
}
