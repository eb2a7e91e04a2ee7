//! The reference while it changes, is broken, out of reach or not there yet; and the fields that it is joined on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::cloud::cloudwatch::request::Dimensions;
use kinetail_tests::cloud::{BUCKET, REFERENCE as KEY, Way};
use kinetail_tests::wait;
use serde_json::{Value, json};

use crate::scene::{BLOG, REFERENCE, SHOP, STRANGER, Scene, Source, line, requests, said, settings};

/// The stranger has an application now.
const CHANGED: &str = "Host,ApplicationName,Contact\n192.0.2.1,shop,ops\n2001:db8::/64,blog,press\n\
    198.51.100.7,forum,ops\n";
/// Two rows of three are wrong.
const BROKEN: &str = "Host,ApplicationName,Contact\n192.0.2.999/33,shop,ops\n198.51.100.7,forum,ops\n\
    203.0.113.1,UNKNOWN,\n";
/// A look at the file each minute, and time to count what was put before.
const LOOKED_AGAIN: Duration = Duration::from_secs(120);

/// Puts a line every window until `is_over`; how many that were.
async fn put_until(scene: &mut Scene, source: Source, is_over: impl Fn(&Scene) -> bool) -> Result<usize> {
    let mut lines = 0;
    wait::until("the reference was looked at again", LOOKED_AGAIN, async || {
        scene.put_records(vec![line(source.host, 200).into_bytes()]).await?;
        lines += 1;
        scene.cloud.settled(wait::LONG).await?;
        Ok(is_over(scene).then_some(()))
    })
    .await
    .with_context(|| scene.cloud.aggregate.log())?;
    Ok(lines)
}

/// A line of each source is counted, so that the reference was looked at.
async fn begun() -> Result<Scene> {
    let mut scene = Scene::new(Way::Direct).await?;
    scene.put(SHOP, 200, 1).await?;
    scene.put(BLOG, 200, 1).await?;
    scene.put(STRANGER, 200, 1).await?;
    scene.balance().await?;
    Ok(scene)
}

async fn a_changed_one_is_used() -> Result<()> {
    let mut scene = begun().await?;
    scene.cloud.objects.put(BUCKET, KEY, CHANGED);
    let forum = requests("forum", "2xx");
    let sum = |scene: &Scene| scene.cloud.cloudwatch.sum("Requests", &forum);
    let lines = put_until(&mut scene, STRANGER, |scene| sum(scene) > 0.0).await?;
    // All of them but the last were counted before the look.
    scene.expect("UNKNOWN", "2xx", lines as u64 - 1);
    scene.expect("forum", "2xx", 1);
    scene.balance().await?;
    Ok(())
}

async fn a_broken_one_is_refused_whole() -> Result<()> {
    let mut scene = begun().await?;
    scene.cloud.objects.put(BUCKET, KEY, BROKEN);
    let is_told = |scene: &Scene| scene.cloud.aggregate.log().contains("the reference file is broken");
    let lines = put_until(&mut scene, STRANGER, is_told).await?;
    scene.expect("UNKNOWN", "2xx", lines as u64);
    let log = scene.cloud.aggregate.log();
    ensure!(log.contains("line 2: ") && log.contains("line 4: ") && !log.contains("line 3: "), "{log}");
    scene.put(SHOP, 200, 2).await?;
    scene.put(STRANGER, 200, 2).await?;
    scene.balance().await?;
    Ok(())
}

async fn the_last_one_is_used_while_s3_is_away() -> Result<()> {
    let mut scene = begun().await?;
    scene.cloud.objects.leave();
    let age = |scene: &Scene| {
        let ages = scene.cloud.cloudwatch.statistics("ReferenceAge", &Dimensions::new());
        ages.map_or(0.0, |ages| ages.maximum)
    };
    // Older than it can be as long as each look finds it.
    let lines = put_until(&mut scene, SHOP, |scene| age(scene) > 65.0).await?;
    scene.expect("shop", "2xx", lines as u64);
    scene.balance().await?;
    let log = scene.cloud.aggregate.log();
    ensure!(log.contains("could not read the reference file; goes on with the last good one"), "{log}");

    scene.cloud.objects.come_back()?;
    scene.put(BLOG, 200, 2).await?;
    scene.balance().await?;
    Ok(())
}

/// In one test, as each of them waits for the minute that is between two looks.
#[tokio::test]
async fn a_running_function_takes_a_good_file_and_nothing_worse_than_it_has() -> Result<()> {
    let (changed, broken, away) = tokio::join!(
        a_changed_one_is_used(),
        a_broken_one_is_refused_whole(),
        the_last_one_is_used_while_s3_is_away()
    );
    let failures: Vec<String> = [changed, broken, away]
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_cold_start_with_a_broken_file_uses_the_last_good_one() -> Result<()> {
    let mut scene = begun().await?;
    scene.cloud.objects.put(BUCKET, KEY, BROKEN);
    scene.cloud.aggregate.kill()?;
    scene.put(SHOP, 200, 3).await?;
    scene.put(STRANGER, 200, 2).await?;
    scene.balance().await?;
    said(&scene.cloud.aggregate, "begins with the last good reference file").await
}

#[tokio::test]
async fn without_any_file_calls_fail_until_there_is_one() -> Result<()> {
    let mut scene = Scene::new(Way::Direct).await?;
    // It is not looked at before the first call.
    scene.cloud.objects.remove(BUCKET, KEY);
    scene.put(SHOP, 200, 1).await?;
    let failure = wait::until("a call has failed", wait::LONG, async || {
        Ok(scene.cloud.input.history().into_iter().find_map(|invoked| invoked.failure))
    })
    .await?;
    let expected = format!("neither `{KEY}` nor `{KEY}.last-good` can be used as the reference");
    ensure!(failure.contains(&expected), "{failure}");
    scene.cloud.objects.put(BUCKET, KEY, REFERENCE);
    scene.balance().await?;
    Ok(())
}

/// Lines with one value of the field that is joined on, from a host that belongs to another application.
async fn check_join(field: &str, value: &str, application: &str) -> Result<()> {
    let reference = "Host,ApplicationName,Contact\n198.51.100.7,proxy,\n\
        www.example.org,shop,ops\n*.example.org,other,ops\n192.0.2.1,blog,ops\n";
    let mut settings = settings(Way::Direct, reference);
    settings.variables.insert("JOIN_FIELD".to_owned(), field.to_owned());
    let mut scene = Scene::with(settings).await?;
    let mut proxied = json!({ "host": "198.51.100.7", "response": 200 });
    proxied[field] = Value::from(value);
    scene.put_records(vec![proxied.to_string().into_bytes(); 3]).await?;
    scene.expect(application, "2xx", 3);
    // The field is not there.
    scene.put(STRANGER, 404, 2).await?;
    scene.balance().await?;
    Ok(())
}

#[tokio::test]
async fn a_virtual_host_can_be_joined_on() -> Result<()> {
    tokio::try_join!(
        check_join("vhost", "WWW.example.org:443", "shop"),
        check_join("vhost", "static.example.org", "other")
    )?;
    Ok(())
}

/// The last one: the proxy nearest to us wrote it, and the client may have written the others.
#[tokio::test]
async fn of_a_list_of_proxies_the_last_one_can_be_joined_on() -> Result<()> {
    tokio::try_join!(
        check_join("X-Forwarded-For", "203.0.113.9, 192.0.2.1", "blog"),
        check_join("X-Forwarded-For", "192.0.2.1, 203.0.113.9", "UNKNOWN")
    )?;
    Ok(())
}
