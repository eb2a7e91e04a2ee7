//! Every line of every file of a flow arrives, once, as it should look. Holds G1, G7 and G8 to account.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::Mode;
use kinetail_tests::oracle;
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Load, Writer};
use serde_json::{Value, json};

/// A scene whose host has one flow.
async fn scene(pattern: &str, keys: Value) -> Result<Scene> {
    Ok(Scene::new(Throughput::Unlimited, 2).await?.on(|host| host.with_flow(pattern, keys)))
}

fn combined() -> Value {
    json!({ "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }] })
}

/// The agent's exit code when it ends by itself.
async fn exit_code(mut agent: Agent) -> Result<Option<i32>> {
    Ok(agent.ended().await?.code())
}

#[tokio::test]
async fn raw_lines_arrive_as_they_are() -> Result<()> {
    let scene = scene("app.log", json!({})).await?;
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    for line in ["one\n", "two\r\n", "\n", "\n", "\u{00e9}\t\u{0}\n"] {
        writer.write_raw(line.as_bytes())?;
    }
    writer.write_raw(b"\xff\xfe not UTF-8\n")?;
    writer.write(2000)?;
    let agent = scene.host.start()?;
    // The two empty lines are equal, so a second offer could not be told from the first: counted, not matched.
    let metrics = scene.host.settled(writer.count()).await?;
    scene.balance(writer.written()).await?.exact()?;
    ensure!(metrics.sum("kinetail_records_acked_total")? == writer.count());
    ensure!(metrics.sum("kinetail_records_possibly_repeated_total")? == 0);
    agent.stop().await
}

#[tokio::test]
async fn access_lines_become_json_and_others_are_kept() -> Result<()> {
    let scene = scene("access_log", combined()).await?;
    let path = scene.host.log("access_log");
    let mut writer = Writer::open(&path)?;
    writer.write(1500)?;
    writer
        .write_raw(b"2001:db8::1 - a b@c [03/Feb/2021:04:05:06 +0100] \"-\" 408 - \"\" \"\\\"x\\\\\" 7\n")?;
    let expected = oracle::records([&path])?;
    for line in ["\n", "no access line\n", "192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] \"GET\n"] {
        writer.write_raw(line.as_bytes())?;
    }
    let agent = scene.host.start()?;
    let metrics = scene.delivered_exactly(agent, expected.iter().map(Vec::as_slice), 3).await?;
    ensure!(metrics.one("kinetail_lines_quarantined_total{reason=\"unmatched\"}")? == 3);
    Ok(())
}

#[tokio::test]
async fn files_that_live_at_the_same_time_are_all_read() -> Result<()> {
    let scene = scene("*access_log*", json!({})).await?;
    let names = ["access_log", "shop_access_log", "blog_access_log-2026"];
    let mut writers = names
        .iter()
        .zip(1..)
        .map(|(name, millions)| Writer::numbered_from(scene.host.log(name), millions * 1_000_000))
        .collect::<Result<Vec<_>>>()?;
    let agent = scene.host.start()?;
    let mut lines = 0;
    for round in 1..=5 {
        for writer in &mut writers {
            writer.write(100 * round)?;
            lines += 100 * round;
        }
        // All three grow while all three have been read before.
        scene.host.settled(lines).await?;
    }
    scene.delivered_exactly(agent, writers.iter().flat_map(Writer::written), 0).await?;
    Ok(())
}

#[tokio::test]
async fn directories_may_have_wildcards() -> Result<()> {
    let scene = scene("*/logs/**/access.log", json!({})).await?;
    let folders = ["shop/logs", "shop/logs/a/b", "blog/logs/c"];
    let mut written = Vec::new();
    for (folder, millions) in folders.iter().zip(1..) {
        let folder = scene.host.log(folder);
        fs::create_dir_all(&folder)?;
        let mut writer = Writer::numbered_from(folder.join("access.log"), millions * 1_000_000)?;
        writer.write(100)?;
        written.push(writer);
        Writer::open(folder.join("error.log"))?.write(10)?;
    }
    let agent = scene.host.start()?;
    scene.delivered_exactly(agent, written.iter().flat_map(Writer::written), 0).await?;
    Ok(())
}

#[tokio::test]
async fn files_and_directories_that_appear_later_are_read_from_their_start() -> Result<()> {
    let scene = scene("*/access_log*", json!({ "initialPosition": "END_OF_FILE" })).await?;
    let agent = scene.host.start()?;
    scene.host.until("the agent runs", wait::LONG, |_| Ok(true)).await?;
    let mut writers = Vec::new();
    let mut lines = 0;
    for (path, millions) in ["old/access_log", "old/access_log_2", "new/access_log"].iter().zip(1..) {
        let path = scene.host.log(path);
        fs::create_dir_all(path.parent().context("a log is in a directory")?)?;
        let mut writer = Writer::numbered_from(&path, millions * 1_000_000)?;
        writer.write(200)?;
        lines += 200;
        writers.push(writer);
        scene.host.settled(lines).await?;
    }
    scene.delivered_exactly(agent, writers.iter().flat_map(Writer::written), 0).await?;
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_file_is_behind_what_was_there_before() -> Result<()> {
    let scene = scene("app.log", json!({ "initialPosition": "END_OF_FILE" })).await?;
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(1000)?;
    let agent = scene.host.start()?;
    let load = Load::start(writer, 500);
    scene
        .host
        .until("lines are acked", wait::LONG, |metrics| Ok(metrics.sum("kinetail_records_acked_total")? > 0))
        .await?;
    let writer = load.stop().await?;

    // Where the end was when the agent looked is not known, but from there on nothing may be missing.
    let mut first = None;
    wait::until("the last line arrives", wait::LONG, async || {
        let numbers: Vec<u64> =
            scene.payloads().await?.iter().filter_map(|data| writer::number(data)).collect();
        first = numbers.iter().copied().min();
        Ok(numbers.contains(&(writer.count() - 1)).then_some(()))
    })
    .await?;
    let first = first.context("nothing arrived")?;
    ensure!(first >= 1000, "line {first} was there before");
    let expected = writer.written().skip(usize::try_from(first)?);
    scene.delivered_exactly(agent, expected, 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_line_waits_for_its_newline() -> Result<()> {
    let scene = scene("app.log", json!({})).await?;
    let mut file = fs::File::create(scene.host.log("app.log"))?;
    file.write_all(b"whole\nbeg")?;
    let agent = scene.host.start()?;
    scene.host.settled(1).await?;
    // Ends one line and begins the next: a half that was sent would be a line too many.
    file.write_all(b"un and ended\nhal")?;
    scene.host.settled(2).await?;
    file.write_all(b"f\n")?;
    let expected: [&[u8]; 3] = [b"whole\n", b"begun and ended\n", b"half\n"];
    scene.delivered_exactly(agent, expected, 0).await?;
    Ok(())
}

#[tokio::test]
async fn the_last_line_of_a_finished_file_needs_no_newline() -> Result<()> {
    let scene = scene("app.log*", json!({ "rotationGraceMillis": 2000 })).await?;
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(10)?;
    writer.write_raw(b"the last line")?;
    let agent = scene.host.start()?;
    scene.host.settled(10).await?;
    writer.rotate("app.log.1")?;
    writer.write(10)?;
    // The renamed file is finished when nobody has written to it for the grace time.
    let settled =
        |metrics: &kinetail_tests::metrics::Metrics| Ok(metrics.sum("kinetail_lines_read_total")? == 21);
    scene.host.until("the last line is read", wait::LONG, settled).await?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_line_that_no_record_holds_is_cut_and_ends_with_the_terminator() -> Result<()> {
    const RECORD_BYTES: usize = 1_048_576;
    let scene = scene("app.log", json!({ "truncatedRecordTerminator": "#CUT\n" })).await?;
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write_raw(b"before\n")?;
    writer.write_raw(&[vec![b'x'; 1_200_000], vec![b'\n']].concat())?;
    writer.write_raw(b"after\n")?;
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(3).await?;
    ensure!(metrics.sum("kinetail_lines_truncated_total")? == 1);

    let mut records = scene.endpoint.read(STREAM).await?;
    records.sort_by_key(|record| record.data.len());
    let [after, before, long] = records.as_slice() else { anyhow::bail!("{} records", records.len()) };
    ensure!(after.data == b"after\n" && before.data == b"before\n");
    ensure!(long.data.len() + long.partition_key.len() == RECORD_BYTES);
    let text = long.data.strip_suffix(b"#CUT\n").context("no terminator")?;
    ensure!(text.iter().all(|byte| *byte == b'x'));
    agent.stop().await
}

/// Checks how long the records are that become of lines with 0.5, 3 and 5 MB.
async fn check_large_records(keys: Value, mode: Mode, limit: usize) -> Result<()> {
    /// The longest key that the agent makes.
    const KEY_BYTES: usize = 16;
    let scene = scene("app.log", keys).await?;
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    let lines = [500_000, 3_000_000, 5_000_000];
    for len in lines {
        writer.write_raw(&[vec![b'x'; len - 1], vec![b'\n']].concat())?;
    }
    scene.faults.set(mode);
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(3).await.with_context(|| scene.host.agent_log())?;
    let cut = lines.into_iter().filter(|len| *len > limit).count();
    ensure!(metrics.sum("kinetail_lines_truncated_total")? == cut as u64);
    let mut sizes: Vec<usize> = scene.faults.look(|requests| {
        requests.iter().flat_map(|request| &request.entries).map(|entry| entry.data.len()).collect()
    });
    sizes.sort_unstable();
    ensure!(sizes.len() == lines.len(), "{sizes:?}");
    for (line, size) in lines.into_iter().zip(sizes) {
        let is_right = if line > limit { (limit - KEY_BYTES..limit).contains(&size) } else { size == line };
        ensure!(is_right, "of {line} bytes {size}");
    }
    agent.stop().await
}

#[tokio::test]
async fn a_stream_that_takes_larger_records_gets_longer_lines_whole() -> Result<()> {
    check_large_records(json!({ "requestBytes": 10 << 20 }), Mode::TakeLarge { record_kib: 4096 }, 4 << 20)
        .await
}

#[tokio::test]
async fn a_record_is_no_larger_than_a_request() -> Result<()> {
    check_large_records(json!({ "requestBytes": 2 << 20 }), Mode::TakeLarge { record_kib: 4096 }, 2 << 20)
        .await
}

#[tokio::test]
async fn a_stream_that_may_not_be_asked_is_taken_for_one_with_the_old_limit() -> Result<()> {
    check_large_records(json!({}), Mode::Deny { operation: "DescribeStreamSummary" }, 1 << 20).await
}

#[tokio::test]
async fn two_flows_may_read_one_file() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 1).await?;
    scene.endpoint.create_stream("json", 1).await?;
    let scene = scene.on(|host| {
        let raw = host.flow("access_log", json!({ "name": "raw" }));
        let mut keys = combined();
        keys["kinesisStream"] = json!("json");
        let json = host.flow("access_log", keys);
        host.with("flows", json!([raw, json]))
    });
    let path = scene.host.log("access_log");
    let mut writer = Writer::open(&path)?;
    writer.write(1000)?;
    let agent = scene.host.start()?;
    scene.host.settled(2000).await?;
    scene.balance(writer.written()).await?.exact()?;
    let expected = oracle::records([&path])?;
    let delivered = scene.endpoint.read("json").await?;
    let books = kinetail_tests::books::Books::of(expected.iter().map(Vec::as_slice));
    books.against(delivered.iter().map(|record| record.data.as_slice())).balance().exact()?;
    agent.stop().await
}

/// A stream that is not there stops its own flow, loudly, and no other (G7); when somebody makes it, the flow goes on
/// without a restart.
#[tokio::test]
async fn a_flow_whose_stream_is_missing_stops_no_other() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 1).await?;
    let scene = scene.on(|host| {
        let missing =
            host.flow("app.log", json!({ "kinesisStream": "missing", "retryMaxBackoffMillis": 1000 }));
        let there = host.flow("app.log", json!({}));
        host.with("flows", json!([missing, there]))
    });
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    // More than what a flow's memory and channel hold: the one that is stuck stops reading.
    writer.write(60_000)?;
    let agent = scene.host.start()?;
    let is_told = |metrics: &kinetail_tests::metrics::Metrics| {
        let acked = metrics.sum("kinetail_records_acked_total")?;
        Ok(acked == writer.count() && metrics.sum("kinetail_failing_flows")? == 1)
    };
    scene.host.until("the other flow has delivered everything", wait::LONG, is_told).await?;
    scene.balance(writer.written()).await?.exact()?;
    ensure!(
        scene.host.agent_log().contains("ResourceNotFoundException"),
        "it is not told which stream is missing"
    );

    scene.endpoint.create_stream("missing", 1).await?;
    let metrics = scene.host.settled(2 * writer.count()).await?;
    ensure!(metrics.sum("kinetail_failing_flows")? == 0);
    let delivered = scene.endpoint.read("missing").await?;
    let books = kinetail_tests::books::Books::of(writer.written());
    books.against(delivered.iter().map(|record| record.data.as_slice())).balance().exact()?;
    agent.stop().await
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_every_mistake_named() -> Result<()> {
    let scene = scene("app.log", json!({ "maxBufferSizeRecords": 501, "initialPosition": "MIDDLE" })).await?;
    let host = scene.host.with("maxMemoryBytes", json!("much"));
    ensure!(exit_code(host.start()?).await? == Some(78));
    let log = host.agent_log();
    for key in ["maxBufferSizeRecords", "initialPosition", "maxMemoryBytes"] {
        ensure!(log.contains(key), "`{key}` is not named: {log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_agent_on_the_same_state_ends_and_the_first_goes_on() -> Result<()> {
    let scene = scene("app.log", json!({})).await?;
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(10)?;
    let first = scene.host.start()?;
    scene.host.settled(10).await?;
    ensure!(exit_code(scene.host.start()?).await? == Some(1), "{}", scene.host.agent_log());
    writer.write(10)?;
    scene.delivered_exactly(first, writer.written(), 0).await?;
    Ok(())
}
