//! What was wrong with the system of 2017 that this one takes the place of, defect by defect: none of it is so here.
//!
//! Its template and its function: <https://github.com/aws-samples/aws-big-data-blog/tree/master/aws-blog-serverless-log-analytics>.
//!
//! That the reference was read but once, and that a batch was published again in whole, have their tests in `reference`
//! and in `calls`; that contact and code were lost has one in `names`.

use anyhow::{Context, Result, ensure};
use kinetail_tests::cloud::cloudwatch::dimensions;
use kinetail_tests::cloud::{OUTPUT, Way};
use serde_json::{Value, json};

use crate::scene::{SHOP, STRANGER, Scene, line, many, requests, settings};

/// More than a `SMALLINT` holds, which bytes and counts were kept in, even if a window ends in between.
const MANY: u64 = 70_000;
const SMALLINT: f64 = 32_767.0;

/// The agent said `referer`, and only `referrer` was read.
#[tokio::test]
async fn a_line_counts_with_either_spelling_of_its_referrer() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    let with = |name: &str| {
        let mut line = json!({ "host": SHOP.host, "response": "200", "bytes": "1" });
        line[name] = json!("https://www.example.org/");
        line.to_string().into_bytes()
    };
    scene.put_records(vec![with("referer"), with("referrer")]).await?;
    scene.expect(SHOP.application, "2xx", 2);
    scene.balance().await?;
    Ok(())
}

#[tokio::test]
async fn counts_and_bytes_may_be_larger_than_a_smallint() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    let line = json!({ "host": SHOP.host, "response": 200, "bytes": MANY }).to_string();
    // Each record has a tenth.
    let record = vec![line; 7_000].join("\n").into_bytes();
    scene.put_records(vec![record; 10]).await?;
    scene.expect(SHOP.application, "2xx", MANY);
    scene.balance().await?;
    let of_shop = dimensions([("Application", SHOP.application)]);
    let bytes = scene.cloud.cloudwatch.sum("Bytes", &of_shop);
    #[expect(clippy::cast_precision_loss, reason = "it is far below what a double counts one by one")]
    let expected = (MANY * MANY) as f64;
    ensure!((bytes - expected).abs() < 0.5, "{bytes} bytes are counted, not {expected}");
    let series = scene.cloud.cloudwatch.series("Requests", &requests(SHOP.application, "2xx"));
    ensure!(series.values().any(|window| window.sum > SMALLINT), "no window is large enough: {series:?}");
    Ok(())
}

/// Hosts were cut after 16 characters.
#[tokio::test]
async fn hosts_join_however_long_they_are() -> Result<()> {
    let hosts = [
        ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "six"),
        ("web-01.department-of-long-names.example.org", "long"),
        ("203.0.113.254", "four"),
    ];
    let mut reference = "Host,ApplicationName,Contact\n".to_owned();
    reference.extend(hosts.iter().map(|(host, application)| format!("{host},{application},\n")));
    let mut scene = Scene::with(settings(Way::Direct, &reference)).await?;
    for (host, application) in hosts {
        scene.put_records(vec![line(host, 200).into_bytes()]).await?;
        scene.expect(application, "2xx", 1);
    }
    scene.balance().await?;
    Ok(())
}

/// The stream had CSV, and its reader took JSON.
#[tokio::test]
async fn the_rows_of_the_output_stream_are_json() -> Result<()> {
    let mut scene = Scene::new(Way::OutputStream).await?;
    scene.put(SHOP, 200, 3).await?;
    scene.balance().await?;
    let rows: Vec<Value> = scene
        .cloud
        .endpoint
        .read(OUTPUT)
        .await?
        .iter()
        .map(|record| serde_json::from_slice(&record.data))
        .collect::<Result<_, _>>()?;
    let row = rows.iter().find(|row| row["kind"] == "requests").context("no row of requests")?;
    for (field, value) in [
        ("application", json!("shop")),
        ("contact", json!("ops")),
        ("status", json!(200)),
        ("countError", json!(0)),
    ] {
        ensure!(row[field] == value, "`{field}` is not {value} in {row}");
    }
    let is_text = |field: &&str| row[*field].is_string();
    ensure!(["id", "stream", "shard", "windowStart", "windowEnd", "part"].iter().all(is_text), "{row}");
    Ok(())
}

/// All metrics of a batch were put in one call, however many there were.
#[tokio::test]
async fn a_window_has_more_metrics_than_one_call_takes() -> Result<()> {
    const APPLICATIONS: u32 = 1_200;
    let (reference, lines) = many(APPLICATIONS);
    let mut scene = Scene::with(settings(Way::Direct, &reference)).await?;
    // One record is in one window.
    scene.put_records(vec![lines.join("\n").into_bytes()]).await?;
    scene.expect_many(APPLICATIONS, 1);
    scene.balance().await?;
    let calls = scene.cloud.to_cloudwatch.look(<[_]>::len);
    ensure!(calls >= 3, "2,400 data were put in {calls} calls");
    Ok(())
}

/// Sources that are not in the reference had no name, and so no metric.
#[tokio::test]
async fn unknown_sources_have_a_name_and_a_metric() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    scene.put(STRANGER, 404, 5).await?;
    scene.put_records(vec![br#"{"response":200}"#.to_vec()]).await?;
    scene.expect("UNKNOWN", "2xx", 1);
    let totals = scene.balance().await?;
    ensure!(totals.unknown == 6, "{totals:?}");
    Ok(())
}
