//! As the SDK for Rust sees it.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;

use super::*;

fn client(service: &Objects) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(crate::endpoint::REGION))
        .credentials_provider(Credentials::new("a", "b", None, None, "local"))
        .retry_config(RetryConfig::disabled())
        .force_path_style(true)
        .endpoint_url(service.url())
        .build();
    Client::from_conf(config)
}

async fn get(client: &Client) -> Result<Vec<u8>, Option<String>> {
    let answer = client.get_object().bucket("b").key("k").send().await;
    let answer = answer.map_err(|error| error.code().map(str::to_owned))?;
    Ok(answer.body.collect().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_service_that_was_away_comes_back_with_its_objects() {
    let service = Objects::start().unwrap();
    let client = client(&service);
    service.put("b", "k", "content");
    assert_eq!(get(&client).await, Ok(b"content".to_vec()));
    service.leave();
    assert_eq!(get(&client).await, Err(None));
    service.come_back().unwrap();
    assert_eq!(get(&client).await, Ok(b"content".to_vec()));
}

#[tokio::test]
async fn faults_are_done_once_each_and_in_order() {
    let service = Objects::start().unwrap();
    let client = client(&service);
    service.put("b", "k", "content");
    service.fail_next(1, Fault::InternalError);
    service.fail_next(1, Fault::Slow(Duration::from_millis(50)));
    assert_eq!(get(&client).await, Err(Some("InternalError".to_owned())));
    let asked = tokio::time::Instant::now();
    assert_eq!(get(&client).await, Ok(b"content".to_vec()));
    assert!(asked.elapsed() >= Duration::from_millis(50));
    let statuses: Vec<u16> = service.requests().iter().map(|(_, status)| status.as_u16()).collect();
    assert_eq!(statuses, [500, 200]);
}
