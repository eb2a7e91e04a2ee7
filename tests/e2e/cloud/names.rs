//! What becomes a name in CloudWatch: what the settings say of known applications, and never a source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kinetail_tests::cloud::Way;
use kinetail_tests::cloud::cloudwatch::dimensions;
use kinetail_tests::cloud::cloudwatch::request::Dimensions;
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::python;
use kinetail_tests::wait;
use serde_json::{Value, json};

use crate::scene::{BLOG, REFERENCE, SHOP, STRANGER, Scene, line, many, settings};

/// Different unknown sources of the attack, in records of so many lines.
const ATTACKERS: u64 = 200_000;
const LINES_OF_RECORD: u64 = 1_000;
/// Known applications beside them, each with so many lines in every record.
const APPLICATIONS: u32 = 20;
const LINES_OF_APPLICATION: u64 = 3;
/// What no state may have.
const STATE_LIMIT: u64 = 900_000;

#[tokio::test]
async fn an_attack_of_unknown_sources_hides_no_application_and_costs_no_metric() -> Result<()> {
    let (reference, known) = many(APPLICATIONS);
    let mut scene = Scene::with(settings(Way::Direct, &reference)).await?;
    let record = |record: u64| {
        let attackers = (0..LINES_OF_RECORD).map(|place| record * LINES_OF_RECORD + place);
        let attack = attackers.map(|source| line(&format!("2001:db8:{:x}::{:x}", source >> 8, source), 404));
        let beside = (0..LINES_OF_APPLICATION).flat_map(|_| known.iter().cloned());
        attack.chain(beside).collect::<Vec<_>>().join("\n").into_bytes()
    };
    let records: Vec<Vec<u8>> = (0..ATTACKERS / LINES_OF_RECORD).map(record).collect();
    let count = records.len() as u64;
    scene.at_start_of_window().await?;
    scene.put_records(records).await?;
    scene.expect("UNKNOWN", "4xx", ATTACKERS);
    scene.expect_many(APPLICATIONS, count * LINES_OF_APPLICATION);
    scene.balance().await?;

    let published = scene.cloud.cloudwatch.all();
    let series: BTreeSet<(&str, &Dimensions)> =
        published.iter().map(|datum| (datum.metric.as_str(), &datum.dimensions)).collect();
    // Requests and bytes of each application and of UNKNOWN, and those that are there but once.
    let alone = ["Lines", "LinesSetAside", "ReferenceAge", "RepeatsSkipped", "UnknownRequests"];
    let applications = series.len().checked_sub(alone.len()).context("metrics are missing")?;
    ensure!(applications == 2 * (APPLICATIONS as usize + 1), "there are {} series: {series:?}", series.len());
    let none = Dimensions::new();
    ensure!(alone.iter().all(|metric| series.contains(&(*metric, &none))), "{series:?}");
    ensure!(published.iter().flat_map(|datum| datum.dimensions.values()).all(|value| !value.contains(':')));

    let log = scene.cloud.aggregate.log();
    let sizes: Vec<u64> = log
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("state_bytes="))
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let largest = sizes.iter().max().context("the log says no state")?;
    // The known applications alone have less than the least.
    ensure!((10_000..STATE_LIMIT).contains(largest), "states have {sizes:?} bytes");
    Ok(())
}

/// What the dashboard and the alarms of the deployed template read, held against what `publish` has sent.
#[tokio::test]
async fn every_metric_that_the_template_names_is_sent() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/templates/metrics.py");
    let output =
        Command::new(python::program("python")?).arg(script).env("PYTHONDONTWRITEBYTECODE", "1").output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let named: Vec<Value> = serde_json::from_slice(&output.stdout)?;

    let mut scene = Scene::new(Way::OutputStream).await?;
    let now = Moment::now().to_millis();
    let record =
        json!({ "host": SHOP.host, "response": 200, "bytes": 7, "durationMicros": 1200, "time": now });
    scene.put_records(vec![record.to_string().into_bytes()]).await?;
    scene.expect(SHOP.application, "2xx", 1);
    scene.balance().await?;

    let published = scene.cloud.cloudwatch.all();
    let sent: BTreeSet<(String, BTreeSet<String>)> = published
        .into_iter()
        .map(|datum| {
            (format!("{} {}", datum.namespace, datum.metric), datum.dimensions.into_keys().collect())
        })
        .collect();
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let own = named.iter().filter(|metric| !text(&metric["namespace"]).starts_with("AWS/"));
    let own: BTreeSet<(String, BTreeSet<String>)> = own
        .map(|metric| {
            let by = metric["dimensions"].as_array().into_iter().flatten().map(text).collect();
            (format!("{} {}", text(&metric["namespace"]), text(&metric["name"])), by)
        })
        .collect();
    assert_eq!(own, sent);
    Ok(())
}

#[tokio::test]
async fn contact_and_code_are_dimensions_where_they_are_wanted() -> Result<()> {
    let mut settings = settings(Way::Direct, REFERENCE);
    settings.variables.insert("DIMENSIONS".to_owned(), "Application,StatusClass,Contact,Code".to_owned());
    let mut scene = Scene::with(settings).await?;
    let lines = [(SHOP, 200, 3), (SHOP, 204, 2), (BLOG, 200, 4), (STRANGER, 404, 1)];
    for (source, status, count) in lines {
        scene.put(source, status, count).await?;
    }
    let named = |application, class, contact, code| {
        dimensions([
            ("Application", application),
            ("StatusClass", class),
            ("Contact", contact),
            ("Code", code),
        ])
    };
    scene.requests = BTreeMap::from([
        (named("shop", "2xx", "ops", "200"), 3),
        (named("shop", "2xx", "ops", "204"), 2),
        (named("blog", "2xx", "press", "200"), 4),
        (named("UNKNOWN", "4xx", "UNKNOWN", "404"), 1),
    ]);
    scene.balance().await?;
    Ok(())
}

/// CloudWatch takes ASCII only. Names that differ in other characters only are two all the same.
#[tokio::test]
async fn applications_of_all_the_world_are_told_apart_in_ascii() -> Result<()> {
    let reference = "Host,ApplicationName,Contact\n192.0.2.1,b\u{fc}cher,\n192.0.2.2,b\u{f6}cher,\n";
    let mut scene = Scene::with(settings(Way::Direct, reference)).await?;
    for (host, count) in [("192.0.2.1", 3), ("192.0.2.2", 4)] {
        scene.put_records(vec![line(host, 200).into_bytes(); count]).await?;
    }
    scene.cloud.settled(wait::LONG).await?;
    let published = scene.cloud.totals()?.requests;
    let names: Vec<&String> =
        published.keys().filter_map(|dimensions| dimensions.get("Application")).collect();
    let is_ours = |name: &&String| name.is_ascii() && name.starts_with("b?cher~");
    ensure!(names.len() == 2 && names.iter().all(is_ours), "{names:?}");
    let mut counts: Vec<u64> = published.values().copied().collect();
    counts.sort_unstable();
    ensure!(counts == [3, 4], "{published:?}");
    scene.requests = published;
    scene.balance().await?;
    Ok(())
}
