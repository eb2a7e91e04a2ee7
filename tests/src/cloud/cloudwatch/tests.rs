//! As the SDK for Rust sees it.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::retry::RetryConfig;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::types::MetricDatum;

use super::*;

fn client(service: &CloudWatch, retries: RetryConfig) -> Client {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(crate::endpoint::REGION))
        .credentials_provider(Credentials::new("a", "b", None, None, "local"))
        .retry_config(retries)
        .endpoint_url(service.url())
        .build();
    Client::from_conf(config)
}

/// The code of the error, if there is one.
async fn put(client: &Client, value: f64) -> Result<(), Option<String>> {
    let datum = MetricDatum::builder().metric_name("M").value(value).build();
    let request = client.put_metric_data().namespace("N").metric_data(datum);
    request.send().await.map(drop).map_err(|error| error.code().map(str::to_owned))
}

#[tokio::test]
async fn what_is_refused_is_not_kept_and_says_why() {
    let service = CloudWatch::start().unwrap();
    let client = client(&service, RetryConfig::disabled());
    assert_eq!(put(&client, f64::NAN).await, Err(Some("InvalidParameterValue".to_owned())));
    assert_eq!(service.refusals().len(), 1);
    service.fail_next(1, Fault::Throttle);
    service.fail_next(1, Fault::InternalError);
    assert_eq!(put(&client, 1.0).await, Err(Some("Throttling".to_owned())));
    assert_eq!(put(&client, 1.0).await, Err(Some("InternalServiceError".to_owned())));
    assert_eq!(service.all(), []);
    assert_eq!(put(&client, 1.0).await, Ok(()));
    assert_eq!(service.all().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_repeated_after_a_lost_answer_counts_twice() {
    let service = CloudWatch::start().unwrap();
    let client = client(&service, RetryConfig::standard());
    service.fail_next(1, Fault::InternalErrorAfter);
    assert_eq!(put(&client, 3.0).await, Ok(()));
    assert!((service.sum("M", &Dimensions::new()) - 6.0).abs() < f64::EPSILON);
}
