//! The agent tells CloudWatch what the Java agent told it, and needs none of it: lines arrive whether CloudWatch is there,
//! away, or closed to it. Holds G5 and G8 to account.

use std::os::unix::fs::{lchown, symlink};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use kinetail_tests::background::Background;
use kinetail_tests::cloud::cloudwatch::{CloudWatch, Fault, dimensions};
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::Writer;
use serde_json::{Value, json};

/// How often metrics are sent here; the least that can be configured.
const PERIOD_MILLIS: u64 = 1_000;

const LINES: u64 = 3_000;

/// A scene with a flow from `app*.log`, whose metrics go to `url`, with further `keys` of the agent.
async fn scene(url: &str, keys: Value) -> Result<Scene> {
    let scene = Scene::new(Throughput::Unlimited, 2).await?;
    Ok(scene.on(|host| {
        let host = host
            .with_flow("app*.log", json!({}))
            .with("cloudwatch.emitMetrics", json!(true))
            .with("cloudwatch.endpoint", json!(url))
            .with("cloudwatch.metricsBufferTimeMillis", json!(PERIOD_MILLIS));
        let keys = keys.as_object().cloned().unwrap_or_default();
        keys.into_iter().fold(host, |host, (key, value)| host.with(&key, value))
    }))
}

/// Writes some lines, and waits until they are settled.
async fn ship(scene: &Scene) -> Result<Metrics> {
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(LINES)?;
    scene.host.settled(LINES).await
}

/// What CloudWatch has of a metric of the stream: samples and sum.
fn told(cloudwatch: &CloudWatch, metric: &str) -> (f64, f64) {
    let destination = dimensions([("Destination", "KinesisStream:s")]);
    cloudwatch.statistics(metric, &destination).map_or((0.0, 0.0), |told| (told.count, told.sum))
}

/// How often the agent has said something with these words.
fn said(scene: &Scene, words: &str) -> Result<usize> {
    Ok(scene.host.said()?.matches(words).count())
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand lines")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Holds what CloudWatch has against the agent's own books.
fn check_books(cloudwatch: &CloudWatch, metrics: &Metrics) -> Result<()> {
    let requests = float(metrics.sum("kinetail_requests_sent_total")?);
    let bytes = float(metrics.sum("kinetail_bytes_sent_total")?);
    for (metric, expected) in [
        ("RecordSendAttempts", (requests, float(LINES))),
        ("RecordsSent", (requests, float(LINES))),
        ("RecordSendErrors", (requests, 0.0)),
        ("BytesSent", (requests, bytes)),
        ("ServiceErrors", (requests, 0.0)),
    ] {
        let told = told(cloudwatch, metric);
        ensure!(told == expected, "{metric}: samples and sum are {told:?}, not {expected:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_java_agent_told_is_told() -> Result<()> {
    let cloudwatch = CloudWatch::start()?;
    let scene = scene(&cloudwatch.url(), json!({})).await?;
    let agent = scene.host.start()?;
    let metrics = ship(&scene).await?;
    // What belongs to the last period is told at the stop.
    agent.stop().await?;
    check_books(&cloudwatch, &metrics)?;
    ensure!(cloudwatch.refusals().is_empty(), "{:?}", cloudwatch.refusals());
    for datum in cloudwatch.all() {
        let unit = if datum.metric == "BytesSent" { "Bytes" } else { "Count" };
        ensure!(datum.namespace == "AWSKinesisAgent" && datum.unit.as_deref() == Some(unit), "{datum:?}");
        ensure!(!datum.is_high_resolution, "{datum:?}");
    }
    let both = [dimensions([("Destination", "KinesisStream:s")]), dimensions([("Destination", "s")])];
    ensure!(cloudwatch.dimensions("ConsecutiveProcessingErrors") == both);
    let errors = told(&cloudwatch, "ConsecutiveProcessingErrors");
    ensure!(errors.0 > 0.0 && errors.1 == 0.0, "{errors:?}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_read_raises_the_errors_in_a_row() -> Result<()> {
    let cloudwatch = CloudWatch::start()?;
    let scene = scene(&cloudwatch.url(), json!({})).await?;
    // A link that another user has planted is not followed.
    let link = scene.host.log("app-planted.log");
    symlink("/etc/passwd", &link)?;
    lchown(&link, Some(12_345), None)?;
    let agent = scene.host.start()?;
    let metrics = ship(&scene).await?;
    ensure!(metrics.one("kinetail_unreadable_files")? == 1);
    let bare = dimensions([("Destination", "s")]);
    wait::until("three looks in a row have found it", wait::LONG, async || {
        let told = cloudwatch.statistics("ConsecutiveProcessingErrors", &bare);
        Ok(told.filter(|told| told.maximum >= 3.0))
    })
    .await?;
    agent.stop().await
}

#[tokio::test]
async fn cloudwatch_being_away_costs_nothing_and_is_told_once() -> Result<()> {
    // Nobody listens there any more.
    let url = CloudWatch::start()?.url();
    let scene = scene(&url, json!({ "cloudwatch.metricsQueueSize": 3 })).await?;
    let agent = scene.host.start()?;
    ship(&scene).await?;
    let failed = "kinetail_cloudwatch_requests_failed_total";
    let metrics =
        scene.host.until("some calls have failed", wait::LONG, |metrics| Ok(metrics.one(failed)? >= 3));
    ensure!(
        metrics.await?.one("kinetail_cloudwatch_data_dropped_total")? > 0,
        "three data are all that may wait"
    );
    agent.stop().await?;
    ensure!(said(&scene, "CloudWatch does not take metrics")? == 1);
    ensure!(said(&scene, "CloudWatch")? == 1, "{}", scene.host.agent_log());
    Ok(())
}

#[tokio::test]
async fn what_waited_while_cloudwatch_was_closed_is_told_when_it_opens() -> Result<()> {
    let cloudwatch = CloudWatch::start()?;
    let scene = scene(&cloudwatch.url(), json!({})).await?;
    cloudwatch.fail_next(2, Fault::Deny);
    cloudwatch.fail_next(1, Fault::Throttle);
    let agent = scene.host.start()?;
    let metrics = ship(&scene).await?;
    let is_told = async || Ok((told(&cloudwatch, "RecordsSent").1 > 0.0).then_some(()));
    wait::until("CloudWatch has what waited", wait::LONG, is_told).await?;
    agent.stop().await?;
    check_books(&cloudwatch, &metrics)?;
    ensure!(said(&scene, "CloudWatch does not take metrics")? == 1 && said(&scene, "AccessDenied")? == 1);
    ensure!(said(&scene, "CloudWatch takes metrics again")? == 1, "{}", scene.host.agent_log());
    Ok(())
}

/// The metadata of an instance, of the second version: a token first. Source:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>.
async fn metadata(listener: std::net::TcpListener) {
    let token = async || ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "a-token");
    let id = async |headers: HeaderMap| match headers
        .get("x-aws-ec2-metadata-token")
        .map(|token| token.as_bytes())
    {
        Some(b"a-token") => (StatusCode::OK, "i-0123456789abcdef0"),
        Some(_) | None => (StatusCode::UNAUTHORIZED, ""),
    };
    let app =
        Router::new().route("/latest/api/token", put(token)).route("/latest/meta-data/instance-id", get(id));
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
    // Ends only if it cannot accept any more, which the agent will see.
    axum::serve(listener, app).await.unwrap_or_default();
}

#[tokio::test]
async fn the_instance_is_named_where_that_is_asked_for() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}", listener.local_addr()?);
    let _server = Background::start("metadata", metadata(listener))?;
    let cloudwatch = CloudWatch::start()?;
    let scene = scene(&cloudwatch.url(), json!({ "cloudwatch.tagInstance": true })).await?;
    let words = ["env".to_owned(), format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={url}")];
    let agent = scene.host.start_through(&words.map(Into::into))?;
    ship(&scene).await?;
    agent.stop().await?;
    let expected = dimensions([("Destination", "KinesisStream:s"), ("Instance", "i-0123456789abcdef0")]);
    let told = cloudwatch.statistics("RecordsSent", &expected).context("nothing is told of the instance")?;
    ensure!(told.sum == float(LINES) && cloudwatch.dimensions("RecordsSent") == [expected]);
    Ok(())
}
