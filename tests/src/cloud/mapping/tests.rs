//! The loop, against the emulator and functions in Python.

use std::fs;
use std::path::Path;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use serde_json::Value;

use super::*;
use crate::cloud::objects::Objects;
use crate::cloud::runtime::tests::function;
use crate::endpoint::Throughput;

const STREAM: &str = "s";

/// Keeps what the records of a window say in its state, and writes it down at its end.
const KEEPER: &str = "
import base64
def handler(event):
    numbers = (event['state'] or []) + [int(base64.b64decode(one['kinesis']['data'])) for one in event['Records']]
    if not event['isFinalInvokeForWindow']:
        return {'state': numbers}
    with open(os.path.dirname(sys.argv[0]) + '/ended', 'a') as file:
        file.write(json.dumps([event['shardId'], event['window']['start'], numbers]) + '\\n')
    return {'state': {}}
";

async fn endpoint(shards: i32) -> Endpoint {
    let endpoint = Endpoint::start(Throughput::Unlimited).unwrap();
    endpoint.create_stream(STREAM, shards).await.unwrap();
    endpoint
}

async fn put(endpoint: &Endpoint, numbers: std::ops::Range<u64>) {
    let entry = |number: u64| {
        let data = Blob::new(number.to_string());
        PutRecordsRequestEntry::builder().partition_key(number.to_string()).data(data).build().unwrap()
    };
    let records = numbers.map(entry).collect();
    let request = endpoint::client(endpoint.address()).put_records().stream_name(STREAM);
    let answer = request.set_records(Some(records)).send().await.unwrap();
    assert_eq!(answer.failed_record_count(), Some(0));
}

/// What the windows that have ended held. One that was ended twice, since its answer was lost, counts once.
fn ended(folder: &Path) -> Vec<u64> {
    let text = fs::read_to_string(folder.join("ended")).unwrap_or_default();
    let windows: BTreeSet<&str> = text.lines().collect();
    let numbers = |line: &&str| -> Vec<u64> {
        let window: Value = serde_json::from_str(line).unwrap();
        window[2].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
    };
    let mut all: Vec<u64> = windows.iter().flat_map(numbers).collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn every_record_is_counted_once_through_failures_a_kill_a_split_and_a_pause() {
    let endpoint = endpoint(2).await;
    let (function, folder) = function(KEEPER);
    let function = Arc::new(function);
    let settings = Settings {
        batch_size: 7,
        tumbling_window: Some(Duration::from_secs(1)),
        function_timeout: wait::LONG,
        ..Settings::default()
    };
    put(&endpoint, 0..100).await;
    let objects = Arc::new(Objects::start().unwrap());
    let mapping = Mapping::start(&endpoint, STREAM, Arc::clone(&function), objects, settings).unwrap();
    mapping.fail_next(3, Fault::Before);
    mapping.fail_next(3, Fault::After);
    put(&endpoint, 100..200).await;
    wait::until("some have been taken", wait::LONG, async || Ok((mapping.history().len() > 8).then_some(())))
        .await
        .unwrap();
    function.kill().unwrap();

    endpoint.split_shard(STREAM, "shardId-000000000000").await.unwrap();
    put(&endpoint, 200..300).await;
    mapping.drained(wait::LONG).await.unwrap();
    assert_eq!(ended(folder.path()), (0..300).collect::<Vec<_>>());

    mapping.disable();
    let before = mapping.history().len();
    put(&endpoint, 300..400).await;
    assert_eq!(mapping.history().len(), before);
    mapping.enable();
    mapping.drained(wait::LONG).await.unwrap();
    assert_eq!(ended(folder.path()), (0..400).collect::<Vec<_>>());

    let history = mapping.history();
    let shards: BTreeSet<&str> = history.iter().map(|invoked| invoked.shard.as_str()).collect();
    assert_eq!(shards.len(), 4, "two shards and the children of one");
    assert!(history.iter().all(|invoked| invoked.records <= 7));
    let failed = |text: &str| {
        history
            .iter()
            .filter(|invoked| invoked.failure.as_ref().is_some_and(|why| why.contains(text)))
            .count()
    };
    assert_eq!((failed("throttled"), failed("lost")), (3, 3));
}

#[tokio::test]
async fn what_is_given_up_lies_in_the_bucket_whole() {
    let endpoint = endpoint(1).await;
    let (function, _folder) = function("def handler(event):\n    raise ValueError('no')");
    let settings = Settings {
        retries: Some(1),
        on_failure: Some("bucket".to_owned()),
        function_timeout: wait::LONG,
        ..Settings::default()
    };
    put(&endpoint, 7..9).await;
    let objects = Arc::new(Objects::start().unwrap());
    let mapping =
        Mapping::start(&endpoint, STREAM, Arc::new(function), Arc::clone(&objects), settings).unwrap();
    mapping.drained(wait::LONG).await.unwrap();
    let keys = objects.keys("bucket", "aws/lambda/s/shardId-000000000000/");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let text = objects.get("bucket", &keys[0]).unwrap();
    let record: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(record["KinesisBatchInfo"]["batchSize"], 2);
    let payload: Value = serde_json::from_str(record["payload"].as_str().unwrap()).unwrap();
    // The base64 of "8".
    assert_eq!(payload["Records"][1]["kinesis"]["data"], "OA==");
    assert_eq!(mapping.given_up().len(), 1);
}

#[tokio::test]
async fn who_begins_at_the_end_does_not_see_what_was_there() {
    let endpoint = endpoint(1).await;
    let (function, _folder) = function("def handler(event):\n    return None");
    put(&endpoint, 0..5).await;
    let settings = Settings { start: Start::Latest, function_timeout: wait::LONG, ..Settings::default() };
    let objects = Arc::new(Objects::start().unwrap());
    let mapping = Mapping::start(&endpoint, STREAM, Arc::new(function), objects, settings).unwrap();
    mapping.drained(wait::LONG).await.unwrap();
    assert_eq!(mapping.history(), []);
    put(&endpoint, 5..8).await;
    mapping.drained(wait::LONG).await.unwrap();
    assert_eq!(mapping.history().iter().map(|invoked| invoked.records).sum::<usize>(), 3);
}
