//! The services behind the functions in trouble: nothing is lost, and nothing is counted twice that need not be.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use kinetail_tests::cloud::cloudwatch::Fault;
use kinetail_tests::cloud::{OUTPUT, Way};
use kinetail_tests::faults::{Entry, Fate, Mode, offered_after_acceptance};
use kinetail_tests::wait;

use crate::scene::{REFERENCE, SHOP, STRANGER, Scene, said, settings};

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

/// Everything is refused for longer than a call of a function lasts.
async fn cloudwatch_is_away_past_the_deadline(way: Way, told: &str) -> Result<()> {
    let mut settings = settings(way, REFERENCE);
    settings.input.function_timeout = SHORT;
    settings.output.function_timeout = SHORT;
    let mut scene = Scene::with(settings).await?;
    scene.cloud.to_cloudwatch.set(Mode::Away);
    scene.put(SHOP, 200, 30).await?;
    scene.put(STRANGER, 404, 20).await?;
    let publisher = scene.cloud.publish.as_ref().unwrap_or(&scene.cloud.aggregate);
    said(publisher, told).await?;
    ensure!(scene.cloud.cloudwatch.all().is_empty(), "CloudWatch was not away");
    scene.cloud.to_cloudwatch.set(Mode::Pass);
    scene.balance().await?;
    Ok(())
}

#[tokio::test]
async fn rows_that_cannot_be_published_in_time_are_published_later() -> Result<()> {
    let told = "could not publish every row; the service is to send the others again";
    cloudwatch_is_away_past_the_deadline(Way::OutputStream, told).await
}

#[tokio::test]
async fn a_window_that_cannot_be_published_in_time_is_published_later() -> Result<()> {
    cloudwatch_is_away_past_the_deadline(Way::Direct, "rows of the window were not taken").await
}

#[tokio::test]
async fn only_rows_that_the_output_stream_refuses_are_offered_again() -> Result<()> {
    const APPLICATIONS: u64 = 40;
    let mut reference = "Host,ApplicationName,Contact\n".to_owned();
    reference.extend((0..APPLICATIONS).map(|number| format!("192.0.2.{number},app-{number},\n")));
    let mut scene = Scene::with(settings(Way::OutputStream, &reference)).await?;
    scene.cloud.to_streams.set(Mode::Refuse { percent: 50 });
    let lines = (0..APPLICATIONS).map(|number| crate::scene::line(&format!("192.0.2.{number}"), 200));
    scene.put_records(lines.map(String::into_bytes).collect()).await?;
    for number in 0..APPLICATIONS {
        scene.expect(&format!("app-{number}"), "2xx", 1);
    }
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
