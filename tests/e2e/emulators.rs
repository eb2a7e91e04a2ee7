//! Our stand-ins of CloudWatch and S3 beside emulators that we did not write, under the same requests by the SDK for
//! Rust: what the one answers, the other must answer as well.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StatisticSet};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use kinetail_tests::cloud::cloudwatch::{CloudWatch, dimensions};
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::cloud::objects::Objects;
use kinetail_tests::endpoint::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Throughput};
use kinetail_tests::python::{self, Emulator};
use kinetail_tests::scene::Scene;
use kinetail_tests::writer::Writer;
use serde_json::{Value, json};

const NAMESPACE: &str = "kinetail/emulators";

/// Reads sums back from an emulator: `URL NAMESPACE FROM TO`, seconds; prints `{application: [sum, count, min, max]}`.
const READ: &str = r#"
import boto3, json, sys
url, namespace, start, end = sys.argv[1:]
client = boto3.client("cloudwatch", endpoint_url=url, region_name="eu-central-1",
                      aws_access_key_id="AKIDLOCAL", aws_secret_access_key="local-secret")
found = {}
for application in ["shop", "blog", "many"]:
    points = client.get_metric_statistics(
        Namespace=namespace, MetricName="Requests", Dimensions=[{"Name": "Application", "Value": application}],
        StartTime=int(start), EndTime=int(end), Period=60,
        Statistics=["Sum", "SampleCount", "Minimum", "Maximum"])["Datapoints"]
    found[application] = [sum(p["Sum"] for p in points), sum(p["SampleCount"] for p in points),
                          min(p["Minimum"] for p in points), max(p["Maximum"] for p in points)]
print(json.dumps(found))
"#;

fn cloudwatch(url: &str) -> aws_sdk_cloudwatch::Client {
    use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "local"))
        .endpoint_url(url)
        .build();
    aws_sdk_cloudwatch::Client::from_conf(config)
}

fn s3(url: &str) -> aws_sdk_s3::Client {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "local"))
        .force_path_style(true)
        .endpoint_url(url)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Two requests: one of each kind of value, and one that is large enough for the SDK to compress it.
async fn publish(client: &aws_sdk_cloudwatch::Client, seconds: i64) -> Result<()> {
    let datum = |application: &str, seconds| {
        let dimension = Dimension::builder().name("Application").value(application).build();
        let time = aws_sdk_cloudwatch::primitives::DateTime::from_secs(seconds);
        MetricDatum::builder().metric_name("Requests").timestamp(time).dimensions(dimension)
    };
    let set = StatisticSet::builder().sample_count(3.0).sum(9.0).minimum(1.0).maximum(5.0).build();
    let few = vec![
        datum("shop", seconds).value(7.0).build(),
        datum("shop", seconds + 60).statistic_values(set).build(),
        datum("blog", seconds).set_values(Some(vec![2.0, 4.0])).set_counts(Some(vec![1.0, 3.0])).build(),
    ];
    let many = (0..500_u32).map(|number| datum("many", seconds).value(f64::from(number)).build()).collect();
    for data in [few, many] {
        client.put_metric_data().namespace(NAMESPACE).set_metric_data(Some(data)).send().await?;
    }
    Ok(())
}

#[tokio::test]
async fn cloudwatch_keeps_the_same_sums_as_ministack() -> Result<()> {
    let ours = CloudWatch::start()?;
    let theirs = Emulator::ministack().await?;
    // A whole minute, a while ago.
    let seconds = i64::try_from(Moment::now().to_millis() / 60_000 * 60)? - 600;
    publish(&cloudwatch(&ours.url()), seconds).await?;
    publish(&cloudwatch(&theirs.url()), seconds).await?;

    let (from, to) = (seconds.to_string(), (seconds + 300).to_string());
    let read = python::run(READ, &[&theirs.url(), NAMESPACE, &from, &to])?;
    let theirs: BTreeMap<String, Value> =
        serde_json::from_str::<Value>(&read)?.as_object().context("an object")?.clone().into_iter().collect();
    let mut found = BTreeMap::new();
    for application in ["shop", "blog", "many"] {
        let one = ours.statistics("Requests", &dimensions([("Application", application)]));
        let one = one.with_context(|| format!("nothing was published of {application}"))?;
        found.insert(application.to_owned(), json!([one.sum, one.count, one.minimum, one.maximum]));
    }
    ensure!(found == theirs, "ours: {found:?}\ntheirs: {theirs:?}");
    ensure!(found.get("shop") == Some(&json!([16.0, 4.0, 1.0, 7.0])), "{found:?}");
    Ok(())
}

/// Reads what the agent has sent back from an emulator: `URL REGION`; prints `[sum, count, unit]`.
const READ_AGENT: &str = r#"
import boto3, json, sys, time
url, region = sys.argv[1:]
client = boto3.client("cloudwatch", endpoint_url=url, region_name=region,
                      aws_access_key_id="AKIDLOCAL", aws_secret_access_key="local-secret")
points = client.get_metric_statistics(
    Namespace="AWSKinesisAgent", MetricName="RecordsSent",
    Dimensions=[{"Name": "Destination", "Value": "KinesisStream:s"}],
    StartTime=int(time.time()) - 3600, EndTime=int(time.time()) + 60, Period=60,
    Statistics=["Sum", "SampleCount"])["Datapoints"]
print(json.dumps([sum(p["Sum"] for p in points), sum(p["SampleCount"] for p in points),
                  sorted({p["Unit"] for p in points})]))
"#;

#[tokio::test]
async fn what_the_agent_has_sent_reads_back_from_ministack() -> Result<()> {
    let cloudwatch = Emulator::ministack().await?;
    let scene = Scene::new(Throughput::Unlimited, 1).await?.on(|host| {
        host.with_flow("app.log", json!({}))
            .with("cloudwatch.emitMetrics", json!(true))
            .with("cloudwatch.endpoint", json!(cloudwatch.url()))
            .with("cloudwatch.region", json!(REGION))
    });
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(1_200)?;
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(1_200).await?;
    agent.stop().await?;
    let read: Value = serde_json::from_str(&python::run(READ_AGENT, &[&cloudwatch.url(), REGION])?)?;
    let requests = f64::from(u32::try_from(metrics.sum("kinetail_requests_sent_total")?)?);
    ensure!(read == json!([1_200.0, requests, ["Count"]]), "{read}");
    Ok(())
}

/// What a service answers to one request after the other.
async fn answers(client: &aws_sdk_s3::Client) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    let bucket = "referenced-data";
    let put = async |key: &str, content: &'static str| -> Result<String> {
        let request =
            client.put_object().bucket(bucket).key(key).body(ByteStream::from_static(content.as_bytes()));
        Ok(format!("{:?}", request.send().await?.e_tag()))
    };
    let get = async |key: &str, known: Option<&str>| -> Result<String> {
        let request = client.get_object().bucket(bucket).key(key);
        match request.set_if_none_match(known.map(str::to_owned)).send().await {
            Ok(answer) => {
                let tag = format!("{:?}", answer.e_tag());
                Ok(format!("{tag} {:?}", answer.body.collect().await?.to_vec()))
            }
            Err(error) => {
                let status = error.raw_response().map(|answer| answer.status().as_u16());
                // The body of a 304 is empty, so its code is not the service's.
                let code = if status == Some(304) { None } else { error.code() };
                Ok(format!("{status:?} {code:?}"))
            }
        }
    };
    answers.push(get("map.csv", None).await?);
    answers.push(put("map.csv", "Host,ApplicationName,Contact\n").await?);
    answers.push(get("map.csv", None).await?);
    let tag = client.get_object().bucket(bucket).key("map.csv").send().await?.e_tag.context("no tag")?;
    answers.push(get("map.csv", Some(&tag)).await?);
    answers.push(get("map.csv", Some("\"another\"")).await?);
    answers.push(put("map.csv", "").await?);
    answers.push(get("map.csv", Some(&tag)).await?);
    answers.push(put("set-aside/a b/ü+%.json", "{}").await?);
    answers.push(get("set-aside/a b/ü+%.json", None).await?);
    answers.push(get("set-aside/", None).await?);
    Ok(answers)
}

#[tokio::test]
async fn s3_answers_as_moto_does() -> Result<()> {
    let ours = Objects::start()?;
    let theirs = Emulator::moto().await?;
    let their_client = s3(&theirs.url());
    let place = BucketLocationConstraint::from(REGION);
    let place = CreateBucketConfiguration::builder().location_constraint(place).build();
    their_client.create_bucket().bucket("referenced-data").create_bucket_configuration(place).send().await?;
    let expected = answers(&their_client).await?;
    ensure!(answers(&s3(&ours.url())).await? == expected, "moto: {expected:#?}");
    ensure!(expected.first().is_some_and(|first| first == "Some(404) Some(\"NoSuchKey\")"), "{expected:#?}");
    ensure!(expected.get(3).is_some_and(|same| same == "Some(304) None"), "{expected:#?}");
    Ok(())
}
