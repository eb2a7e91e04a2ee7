//! Calls to CloudWatch.
//!
//! Does not know rows. A call that CloudWatch did not answer may have been counted: it is made again all the same, as a
//! metric that is counted twice is seen, and one that is missing is not; and it is told. The SDK's own retries are off,
//! for they would hide that.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit, StatisticSet};
use tracing::warn;

use crate::chain::Chain;
use crate::fault::{Fault, Outcome, Remedy};
use crate::metrics::call::Call;
use crate::metrics::{Datum, Unit, Value};
use crate::patience::{Deadline, Patience, Pause};

/// CloudWatch, with one namespace.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    client: Client,
    namespace: String,
}

impl CloudWatch {
    /// Publishes into `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: String) -> CloudWatch {
        CloudWatch { client, namespace }
    }

    /// Makes a call, again and again until CloudWatch takes it or the deadline is there.
    ///
    /// # Errors
    /// If CloudWatch will not take it, or did not in time.
    pub async fn put(&self, call: &Call, deadline: Deadline) -> Result<(), Fault> {
        let mut patience = Patience::until(deadline);
        loop {
            let Err(fault) = self.attempt(call, deadline).await else { return Ok(()) };
            if fault.outcome == Outcome::Unknown {
                warn!(data = call.data.len(), error = %Chain(&fault),
                      "CloudWatch did not say whether it has taken the data; they may be counted twice");
            }
            match fault.remedy {
                Remedy::Again if patience.pause().await == Pause::Over => {}
                Remedy::Again | Remedy::Split | Remedy::Act => return Err(fault),
            }
        }
    }

    async fn attempt(&self, call: &Call, deadline: Deadline) -> Result<(), Fault> {
        let data = call.data.iter().map(datum).collect();
        let call = self.client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data));
        match tokio::time::timeout_at(deadline.instant(), call.send()).await {
            Ok(answer) => answer.map(|_| ()).map_err(Fault::of),
            Err(_) => Err(Fault::out_of_time()),
        }
    }
}

/// A datum in the SDK's terms.
fn datum(datum: &Datum) -> MetricDatum {
    let identity = &datum.identity;
    let dimension = |(dimension, value): &(crate::metrics::Dimension, String)| {
        Dimension::builder().name(dimension.as_str()).value(value).build()
    };
    let builder = MetricDatum::builder()
        .metric_name(identity.metric.as_str())
        .set_dimensions(Some(identity.dimensions.iter().map(dimension).collect()))
        .timestamp(DateTime::from_secs(identity.time))
        .unit(match identity.metric.unit() {
            Unit::Count => StandardUnit::Count,
            Unit::Bytes => StandardUnit::Bytes,
            Unit::Microseconds => StandardUnit::Microseconds,
            Unit::Seconds => StandardUnit::Seconds,
        })
        .storage_resolution(identity.resolution.to_seconds());
    match datum.value {
        Value::Sum(sum) => builder.value(sum).build(),
        Value::Set { count, sum, min, max } => {
            let set = StatisticSet::builder().sample_count(count).sum(sum).minimum(min).maximum(max);
            builder.statistic_values(set.build()).build()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};

    use crate::metrics;
    use crate::metrics::call::{self, CALL_BYTES};
    use crate::metrics::tests::{requests, timely};

    /// Takes one request, and gives how many bytes its body has.
    fn serve() -> (String, thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut bytes = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if let Some(length) = line.to_lowercase().strip_prefix("content-length:") {
                    bytes = length.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; bytes];
            stream.read_exact(&mut body).unwrap();
            let head = b"HTTP/1.1 200 OK\r\nsmithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor\r\ncontent-length: 1\r\n\r\n\xa0";
            stream.get_mut().write_all(head).unwrap();
            bytes
        });
        (url, serving)
    }

    /// What the SDK really sends, before its compression, against what the limits are reckoned with.
    #[tokio::test]
    async fn a_call_is_never_larger_than_it_was_reckoned() {
        let credentials = Credentials::new("AKID", "secret", None, None, "test");
        for length in [1, 30, 300, 2_000] {
            let name = |number: usize| format!("{number:05}{}", "x".repeat(length));
            let rows: Vec<_> = (0..900).map(|number| timely(requests(&name(number), Some(200), 1))).collect();
            let call = call::calls(&rows, 0..rows.len(), &metrics::Dimension::ALL).remove(0);
            let (url, serving) = serve();
            let config = aws_sdk_cloudwatch::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("eu-west-1"))
                .credentials_provider(credentials.clone())
                .disable_request_compression(true)
                .endpoint_url(url)
                .build();
            let cloudwatch = CloudWatch::new(Client::from_conf(config), "x".repeat(255));
            let end = Deadline::before(u64::MAX / 2, std::time::SystemTime::now());
            cloudwatch.put(&call, end.at_most(std::time::Duration::from_secs(20))).await.unwrap();
            let sent = serving.join().unwrap();
            assert!(sent <= CALL_BYTES, "{} data with names of {length} have {sent} bytes", call.data.len());
            // Neither so careful that calls are made for nothing.
            assert!(call.rows.len() == rows.len() || sent > CALL_BYTES / 3 || call.data.len() > 950);
        }
    }
}
