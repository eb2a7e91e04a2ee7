//! Delivery streams of Firehose, as `moto` has them: what is in the bucket behind one is what was written. Holds G1, G3 and
//! G8 to account.

use anyhow::{Context, Result, ensure};
use kinetail_tests::books::Books;
use kinetail_tests::endpoint::REGION;
use kinetail_tests::faults::{self, Faults, Mode};
use kinetail_tests::host::Host;
use kinetail_tests::python::{self, Emulator};
use kinetail_tests::writer::Writer;
use kinetail_tests::{oracle, wait};
use serde_json::{Value, json};

/// Makes a bucket and a delivery stream into it: `URL REGION NAME`.
const CREATE: &str = r#"
import boto3, sys
url, region, name = sys.argv[1:]
options = dict(endpoint_url=url, region_name=region, aws_access_key_id="AKIDLOCAL", aws_secret_access_key="local-secret")
boto3.client("s3", **options).create_bucket(
    Bucket="delivered", CreateBucketConfiguration={"LocationConstraint": region})
boto3.client("firehose", **options).create_delivery_stream(
    DeliveryStreamName=name,
    ExtendedS3DestinationConfiguration={"RoleARN": "arn:aws:iam::123456789012:role/firehose",
                                        "BucketARN": "arn:aws:s3:::delivered"})
"#;

/// Prints what is in the bucket, one object after the other: `URL REGION`.
const READ: &str = r#"
import boto3, sys
url, region = sys.argv[1:]
client = boto3.client("s3", endpoint_url=url, region_name=region,
                      aws_access_key_id="AKIDLOCAL", aws_secret_access_key="local-secret")
for page in client.get_paginator("list_objects_v2").paginate(Bucket="delivered"):
    for item in page.get("Contents", []):
        sys.stdout.buffer.write(client.get_object(Bucket="delivered", Key=item["Key"])["Body"].read())
"#;

/// A host that sends to a delivery stream, and what is between them.
struct Stage {
    emulator: Emulator,
    faults: Faults,
    host: Host,
}

impl Stage {
    /// One whose host sends to the delivery stream `app`, which is not there yet.
    async fn new(keys: Value) -> Result<Stage> {
        let emulator = Emulator::moto().await?;
        let faults = Faults::start(emulator.address())?;
        // Nobody is there where Kinesis would be.
        let host = Host::new("http://127.0.0.1:9")?
            .with("firehose.endpoint", json!(faults.url()))
            .with("firehose.region", json!(REGION));
        let mut flow = host.flow("access_log", keys);
        let flow = flow.as_object_mut().context("a flow is an object")?;
        flow.remove("kinesisStream");
        flow.insert("deliveryStream".to_owned(), json!("app"));
        let flow = Value::Object(flow.clone());
        Ok(Stage { emulator, faults, host: host.with("flows", json!([flow])) })
    }

    fn create(&self) -> Result<()> {
        python::run(CREATE, &[&self.emulator.url(), REGION, "app"])?;
        Ok(())
    }

    fn delivered(&self) -> Result<Vec<u8>> {
        Ok(python::run(READ, &[&self.emulator.url(), REGION])?.into_bytes())
    }

    /// Everything in the bucket is what is expected, and nothing was offered again that had been taken.
    fn check(&self, expected: &[Vec<u8>]) -> Result<()> {
        let text = self.delivered()?;
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        Books::of(expected.iter().map(Vec::as_slice)).against(lines).balance().exact()?;
        let again = self
            .faults
            .look(|requests| faults::offered_after_acceptance(requests).first().map(|data| data.len()));
        ensure!(again.is_none(), "offered again after it was taken: {again:?} bytes");
        Ok(())
    }
}

#[tokio::test]
async fn every_line_is_in_the_bucket_whatever_is_refused() -> Result<()> {
    const LINES: u64 = 3_000;
    let combined = json!([{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }]);
    for keys in [
        json!({}),
        json!({ "aggregatedRecordSizeBytes": 5_120 }),
        json!({ "packing": "lines", "packedRecordBytes": 20_000 }),
    ] {
        let (what, joins) = (keys.to_string(), keys.as_object().is_some_and(|keys| !keys.is_empty()));
        let mut keys = keys;
        keys["dataProcessingOptions"] = combined.clone();
        keys["retryMaxBackoffMillis"] = json!(50);
        let stage = Stage::new(keys).await?;
        stage.create()?;
        let path = stage.host.log("access_log");
        Writer::open(&path)?.write(LINES)?;
        let expected = oracle::records([&path])?;
        stage.faults.set(Mode::Refuse { percent: 30 });
        let agent = stage.host.start()?;
        let metrics = stage.host.settled(LINES).await.with_context(|| what.clone())?;
        stage.check(&expected).with_context(|| what.clone())?;
        ensure!(metrics.sum("kinetail_records_refused_total")? > 0, "{what}: nothing was refused");
        ensure!(metrics.sum("kinetail_records_acked_total")? == LINES, "{what}");
        let entries = metrics.sum("kinetail_entries_acked_total")?;
        ensure!(if joins { entries * 5 < LINES } else { entries == LINES }, "{what}: {entries} entries");
        agent.stop().await?;
    }
    Ok(())
}

/// Lines longer than a record of Firehose are cut as the Java agent did; the ends of requests are those of Firehose.
#[tokio::test]
async fn the_limits_are_those_of_firehose() -> Result<()> {
    let stage = Stage::new(json!({ "truncatedRecordTerminator": "#CUT\n" })).await?;
    stage.create()?;
    let mut writer = Writer::open(stage.host.log("access_log"))?;
    let long = |byte: u8, len| [vec![byte; len], vec![b'\n']].concat();
    let mut expected = Vec::new();
    for byte in b'a'..=b'e' {
        writer.write_raw(&long(byte, 1_010_000))?;
        expected.push(long(byte, 1_010_000));
    }
    writer.write_raw(&long(b'x', 1_500_000))?;
    expected.push([vec![b'x'; 1_024_000 - 5], b"#CUT\n".to_vec()].concat());
    let agent = stage.host.start()?;
    let metrics = stage.host.settled(6).await?;
    stage.check(&expected)?;
    ensure!(metrics.sum("kinetail_lines_truncated_total")? == 1);
    let largest = stage.faults.look(|requests| {
        let bytes =
            |request: &faults::Request| request.entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        requests.iter().map(bytes).max()
    });
    ensure!(largest.is_some_and(|bytes| bytes <= 4 * 1024 * 1024), "{largest:?} bytes in a request");
    agent.stop().await
}

/// `moto` has the delivery stream in the account of one role, and none in that of the other.
#[tokio::test]
async fn delivery_streams_may_have_a_role_of_their_own() -> Result<()> {
    let Stage { emulator, faults, host } = Stage::new(json!({})).await?;
    let sts = Faults::start(emulator.address())?;
    sts.keep(10);
    let host = host
        .with("sts.endpoint", json!(sts.url()))
        .with("assumeRoleARN", json!("arn:aws:iam::210987654321:role/all"))
        .with("assumeRoleExternalId", json!("all"))
        .with("firehose.assumeRoleARN", json!("arn:aws:iam::123456789012:role/deliverer"))
        .with("firehose.assumeRoleExternalId", json!("outside"));
    let stage = Stage { emulator, faults, host };
    stage.create()?;
    let mut writer = Writer::open(stage.host.log("access_log"))?;
    writer.write(100)?;
    let agent = stage.host.start()?;
    stage.host.settled(100).await.with_context(|| stage.host.agent_log())?;
    let written: Vec<Vec<u8>> = writer.written().map(<[u8]>::to_vec).collect();
    stage.check(&written)?;
    let asked = sts.kept().into_iter().map(|request| String::from_utf8(request.body));
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    let is_own = |body: &String| body.contains("role%2Fdeliverer&") && body.contains("ExternalId=outside");
    ensure!(!asked.is_empty() && asked.iter().all(is_own), "{asked:?}");
    let keys = stage.faults.keys();
    ensure!(keys.len() == 1 && keys.iter().all(|key| key.starts_with("ASIA")), "{keys:?}");
    agent.stop().await
}

/// A delivery stream that is not there stops its flow, and says so, until it is.
#[tokio::test]
async fn a_delivery_stream_that_is_missing_is_waited_for() -> Result<()> {
    let stage = Stage::new(json!({ "retryMaxBackoffMillis": 500 })).await?;
    let path = stage.host.log("access_log");
    let mut writer = Writer::open(&path)?;
    writer.write(100)?;
    let agent = stage.host.start()?;
    stage
        .host
        .until("it says so", wait::LONG, |metrics| Ok(metrics.sum("kinetail_failing_flows")? == 1))
        .await?;
    ensure!(stage.host.agent_log().contains("ResourceNotFoundException"), "{}", stage.host.agent_log());
    stage.create()?;
    stage.host.settled(100).await?;
    let written: Vec<Vec<u8>> = writer.written().map(<[u8]>::to_vec).collect();
    stage.check(&written)?;
    agent.stop().await
}
