//! Calls that fail, functions that die, mappings that stop and start: each line is counted once all the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::primitives::Blob;
use kinetail_tests::cloud::mapping::settings::{Settings, Start};
use kinetail_tests::cloud::mapping::{Fault, Invoked, Mapping};
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::cloud::{OUTPUT, Way};
use kinetail_tests::endpoint;
use kinetail_tests::wait;
use serde_json::Value;

use crate::scene::{BLOG, REFERENCE, SHOP, STRANGER, Scene, line, requests, settings, taken};

/// A cloud whose batches are small, so that windows have many calls.
async fn scene(way: Way) -> Result<Scene> {
    let mut settings = settings(way, REFERENCE);
    settings.input.batch_size = 7;
    Scene::with(settings).await
}

/// Fails calls in the middle of a window and at its end.
async fn fail(scene: &mut Scene, fault: Fault) -> Result<()> {
    scene.cloud.input.fail_next(3, fault);
    scene.put(SHOP, 200, 40).await?;
    scene.put(STRANGER, 404, 11).await?;
    scene.fail_final(fault).await
}

/// The ids of the rows in the output stream.
async fn row_ids(scene: &Scene) -> Result<Vec<String>> {
    let id = |data: &[u8]| -> Result<String> {
        let row: Value = serde_json::from_slice(data)?;
        Ok(row["id"].as_str().context("a row without an id")?.to_owned())
    };
    scene.cloud.endpoint.read(OUTPUT).await?.iter().map(|record| id(&record.data)).collect()
}

#[tokio::test]
async fn a_call_that_was_never_made_is_made_again() -> Result<()> {
    let mut scene = scene(Way::Direct).await?;
    fail(&mut scene, Fault::Before).await?;
    scene.balance().await?;
    Ok(())
}

/// The function has counted and published before the answer is lost: it remembers the rows.
#[tokio::test]
async fn a_call_whose_answer_is_lost_counts_and_publishes_nothing_twice() -> Result<()> {
    let mut scene = scene(Way::Direct).await?;
    fail(&mut scene, Fault::After).await?;
    scene.balance().await?;
    Ok(())
}

/// The rows are sent twice, and published once.
#[tokio::test]
async fn rows_that_come_twice_are_published_once() -> Result<()> {
    let mut scene = scene(Way::OutputStream).await?;
    let output = scene.cloud.output.as_ref().context("no output")?;
    output.fail_next(1, Fault::Before);
    output.fail_next(1, Fault::After);
    fail(&mut scene, Fault::After).await?;
    scene.balance().await?;
    let ids = row_ids(&scene).await?;
    let distinct: BTreeSet<&String> = ids.iter().collect();
    ensure!(distinct.len() < ids.len(), "no row was sent twice: {ids:?}");
    let history = scene.cloud.output.as_ref().context("no output")?.history();
    let failed = history.iter().filter(|invoked| invoked.failure.is_some()).count();
    ensure!(failed == 2, "{failed} calls of `publish` have failed");
    Ok(())
}

#[tokio::test]
async fn a_function_that_is_killed_within_a_window_forgets_no_count() -> Result<()> {
    let mut scene = scene(Way::Direct).await?;
    scene.at_start_of_window().await?;
    scene.put(SHOP, 200, 30).await?;
    scene.put(STRANGER, 500, 5).await?;
    scene.all_taken().await?;
    let before = scene.cloud.input.history().len();
    scene.cloud.aggregate.kill()?;
    scene.put(BLOG, 301, 30).await?;
    scene.balance().await?;
    ensure!(scene.cloud.aggregate.cold_starts() == 2, "it was not started again");
    let history = scene.cloud.input.history();
    let windows =
        |range: &[Invoked]| -> BTreeSet<_> { range.iter().filter_map(|invoked| invoked.window).collect() };
    let (of_the_first, of_the_second) = history.split_at(before);
    let shared = windows(of_the_first).intersection(&windows(of_the_second)).count();
    ensure!(shared > 0, "no window had calls of both");
    Ok(())
}

#[tokio::test]
async fn a_mapping_that_is_enabled_again_goes_on_where_it_stopped() -> Result<()> {
    let mut scene = scene(Way::Direct).await?;
    scene.put(SHOP, 200, 60).await?;
    wait::until("the mapping has begun", wait::LONG, async || {
        Ok((taken(&scene.cloud.input.history()) > 0).then_some(()))
    })
    .await?;
    scene.cloud.input.disable();
    scene.put(STRANGER, 404, 200).await?;
    ensure!(taken(&scene.cloud.input.history()) < 260, "the mapping has not stopped");
    scene.cloud.input.enable();
    scene.balance().await?;
    Ok(())
}

/// Puts lines of each source into a stream of its own, all in a second of their own, and starts a mapping of it where
/// `start` says, given the moment between the first and the second. Then the third are put.
async fn check_start(start: impl Fn(Moment) -> Start, expected: [u64; 3]) -> Result<()> {
    const LATER: &str = "later";
    let mut scene = Scene::new(Way::Direct).await?;
    scene.cloud.endpoint.create_stream(LATER, 1).await?;
    let client = endpoint::client(scene.cloud.endpoint.address());
    let put = async |host: &str| -> Result<()> {
        let data = Blob::new(line(host, 200));
        client.put_record().stream_name(LATER).partition_key("k").data(data).send().await?;
        Ok(())
    };
    put(SHOP.host).await?;
    // The emulator knows the time of a record to the second.
    let next = Moment::from_millis((Moment::now().to_millis() / 1_000 + 1) * 1_000);
    wait::until("the next second", wait::LONG, async || Ok((Moment::now() >= next).then_some(()))).await?;
    put(BLOG.host).await?;
    let input = settings(Way::Direct, REFERENCE).input;
    let input = Settings { start: start(next), ..input };
    let (function, objects) = (Arc::clone(&scene.cloud.aggregate), Arc::clone(&scene.cloud.objects));
    let mapping = Mapping::start(&scene.cloud.endpoint, LATER, function, objects, input)?;
    mapping.drained(wait::LONG).await?;
    put(STRANGER.host).await?;
    mapping.drained(wait::LONG).await?;
    for (source, count) in [SHOP, BLOG, STRANGER].into_iter().zip(expected) {
        if count > 0 {
            scene.requests.insert(requests(source.application, "2xx"), count);
        }
    }
    scene.balance().await?;
    Ok(())
}

#[tokio::test]
async fn a_mapping_begins_at_the_time_that_it_is_told() -> Result<()> {
    check_start(Start::At, [0, 1, 1]).await
}

#[tokio::test]
async fn a_mapping_that_begins_at_the_end_counts_what_comes_then() -> Result<()> {
    check_start(|_| Start::Latest, [0, 0, 1]).await
}

#[tokio::test]
async fn a_mapping_that_begins_at_the_oldest_record_counts_all() -> Result<()> {
    check_start(|_| Start::TrimHorizon, [1, 1, 1]).await
}
