//! The services behind the functions in trouble: nothing is lost, and nothing is counted twice that need not be.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::primitives::Blob;
use kinetail_tests::cloud::cloudwatch::Fault;
use kinetail_tests::cloud::{BUCKET, OUTPUT, Way};
use kinetail_tests::endpoint;
use kinetail_tests::faults::{Entry, Fate, Mode, offered_after_acceptance};
use kinetail_tests::wait;

use crate::scene::{REFERENCE, SHOP, STRANGER, Scene, many, said, settings};

/// Time enough for some attempts, two seconds before the end of which the functions give up.
const SHORT: Duration = Duration::from_secs(4);

#[tokio::test]
async fn cloudwatch_is_asked_again_when_it_throttles_or_fails() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    scene.cloud.cloudwatch.fail_next(3, Fault::Throttle);
    scene.cloud.cloudwatch.fail_next(2, Fault::InternalError);
    scene.put(SHOP, 200, 30).await?;
    scene.put(STRANGER, 404, 20).await?;
    scene.balance().await?;
    let asked = scene.cloud.to_cloudwatch.look(<[_]>::len);
    ensure!(asked >= 6, "CloudWatch was asked {asked} times");
    let history = scene.cloud.input.history();
    ensure!(history.iter().all(|invoked| invoked.failure.is_none()), "the function gave up: {history:?}");
    Ok(())
}

/// Whether CloudWatch has taken data that it did not answer for, nobody can know: they are sent again, and that is told.
#[tokio::test]
async fn data_whose_answer_is_lost_count_twice_and_the_log_says_so() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    scene.cloud.cloudwatch.fail_next(1, Fault::InternalErrorAfter);
    // One record, so that one window has all of it.
    scene.put(SHOP, 200, 1).await?;
    scene.cloud.settled(wait::LONG).await?;
    said(&scene.cloud.aggregate, "they may be counted twice").await?;
    scene.expect(SHOP.application, "2xx", 1);
    scene.balance().await?;
    Ok(())
}

/// Waits until a call of the function that publishes has come to the end of its time.
async fn gives_up(scene: &Scene) -> Result<()> {
    match &scene.cloud.publish {
        Some(publish) => {
            said(publish, "could not publish every row; the service is to send the others again").await
        }
        None => said(&scene.cloud.aggregate, "rows of the window were not taken").await,
    }
}

/// Everything is refused for longer than a call of a function lasts.
async fn cloudwatch_is_away_past_the_deadline(way: Way) -> Result<()> {
    let mut settings = settings(way, REFERENCE);
    settings.input.function_timeout = SHORT;
    settings.output.function_timeout = SHORT;
    let mut scene = Scene::with(settings).await?;
    scene.cloud.to_cloudwatch.set(Mode::Away);
    scene.put(SHOP, 200, 30).await?;
    scene.put(STRANGER, 404, 20).await?;
    gives_up(&scene).await?;
    ensure!(scene.cloud.cloudwatch.all().is_empty(), "CloudWatch was not away");
    scene.cloud.to_cloudwatch.set(Mode::Pass);
    scene.balance().await?;
    Ok(())
}

#[tokio::test]
async fn rows_that_cannot_be_published_in_time_are_published_later() -> Result<()> {
    cloudwatch_is_away_past_the_deadline(Way::OutputStream).await
}

#[tokio::test]
async fn a_window_that_cannot_be_published_in_time_is_published_later() -> Result<()> {
    cloudwatch_is_away_past_the_deadline(Way::Direct).await
}

/// CloudWatch takes the first of several calls and is away for the others: those that it has are not put again.
async fn part_of_the_rows_is_published_in_time(way: Way) -> Result<()> {
    const APPLICATIONS: u32 = 1_200;
    let (reference, lines) = many(APPLICATIONS);
    let mut settings = settings(way, &reference);
    settings.output.batch_size = 10_000;
    settings.input.function_timeout = 2 * SHORT;
    settings.output.function_timeout = 2 * SHORT;
    let mut scene = Scene::with(settings).await?;
    scene.cloud.to_cloudwatch.set(Mode::HoldAnswers);
    scene.put_records(vec![lines.join("\n").into_bytes()]).await?;
    scene.expect_many(APPLICATIONS, 1);
    let taken = || scene.cloud.cloudwatch.all().len();
    wait::until("CloudWatch has something", wait::LONG, async || Ok((taken() > 0).then_some(()))).await?;
    // The answer that is held is given; the next call finds nobody.
    scene.cloud.to_cloudwatch.set(Mode::Away);
    gives_up(&scene).await?;
    let first = taken();
    ensure!(first < APPLICATIONS as usize * 2, "CloudWatch has all {first} data");
    scene.cloud.to_cloudwatch.set(Mode::Pass);
    scene.balance().await?;
    Ok(())
}

#[tokio::test]
async fn a_batch_of_rows_that_is_published_in_part_goes_on_with_the_rest() -> Result<()> {
    part_of_the_rows_is_published_in_time(Way::OutputStream).await
}

#[tokio::test]
async fn a_window_that_is_published_in_part_goes_on_with_the_rest() -> Result<()> {
    part_of_the_rows_is_published_in_time(Way::Direct).await
}

#[tokio::test]
async fn only_rows_that_the_output_stream_refuses_are_offered_again() -> Result<()> {
    const APPLICATIONS: u32 = 40;
    let (reference, lines) = many(APPLICATIONS);
    let mut scene = Scene::with(settings(Way::OutputStream, &reference)).await?;
    scene.cloud.to_streams.set(Mode::Refuse { percent: 50 });
    scene.put_records(lines.into_iter().map(String::into_bytes).collect()).await?;
    scene.expect_many(APPLICATIONS, 1);
    scene.balance().await?;

    scene.cloud.to_streams.look(|requests| -> Result<()> {
        let entries: Vec<&Entry> = requests.iter().flat_map(|request| &request.entries).collect();
        ensure!(entries.iter().any(|entry| entry.fate == Fate::Refused), "no row was refused");
        ensure!(offered_after_acceptance(requests).is_empty(), "rows were offered that the stream had");
        Ok(())
    })?;
    let rows = scene.cloud.endpoint.read(OUTPUT).await?;
    let distinct: BTreeSet<&[u8]> = rows.iter().map(|row| row.data.as_slice()).collect();
    ensure!(distinct.len() == rows.len(), "of {} rows {} are distinct", rows.len(), distinct.len());
    Ok(())
}

/// S3 does not take what is set aside: the log tells it, and nothing is held up.
#[tokio::test]
async fn what_cannot_be_set_aside_is_told_in_the_log_and_holds_nothing_up() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    scene.put(SHOP, 200, 1).await?;
    scene.balance().await?;
    scene.cloud.objects.leave();
    scene.put_records(vec![b"no json at all".to_vec()]).await?;
    scene.set_aside = 1;
    scene.put(SHOP, 200, 5).await?;
    scene.balance().await?;
    let log = scene.cloud.aggregate.log();
    ensure!(log.contains("only this line tells of it") && log.contains("no json at all"), "{log}");
    Ok(())
}

/// Somebody writes into the output stream what is no row: it is kept, counted where the alarm looks, and blocks no row.
#[tokio::test]
async fn what_is_no_row_is_set_aside_and_counted_and_blocks_nothing() -> Result<()> {
    let mut scene = Scene::new(Way::OutputStream).await?;
    let client = endpoint::client(scene.cloud.endpoint.address());
    let record = client.put_record().stream_name(OUTPUT).partition_key("k").data(Blob::new("no row at all"));
    record.send().await?;
    scene.set_aside = 1;
    scene.put(SHOP, 200, 3).await?;
    scene.balance().await?;
    let keys = scene.cloud.objects.keys(BUCKET, "set-aside/publish/");
    let [key] = keys.as_slice() else { anyhow::bail!("set aside are {keys:?}") };
    let kept = scene.cloud.objects.get(BUCKET, key).context("the object has gone")?;
    let kept = String::from_utf8(kept.to_vec())?;
    ensure!(kept.contains("not-a-row") && kept.contains("no row at all"), "{kept}");
    Ok(())
}
