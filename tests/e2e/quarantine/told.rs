//! What a flow does with lines that do not match, and what its log tells of them.

use anyhow::{Result, ensure};
use kinetail_tests::writer::Writer;
use serde_json::json;

use super::{LOG, covered, mixed, scene, shown_is_empty};

#[tokio::test]
async fn a_flow_can_send_or_drop_what_does_not_match() -> Result<()> {
    for (policy, series) in [
        ("raw", "kinetail_lines_sent_raw_total"),
        ("drop", "kinetail_lines_dropped_total{reason=\"unmatched\"}"),
    ] {
        let scene = scene(json!({ "onParseError": policy })).await?;
        let mut writer = Writer::of(scene.host.log(LOG), mixed)?;
        writer.write(100)?;
        let agent = scene.host.start()?;
        let metrics = covered(&scene.host, 100).await?;
        ensure!(metrics.one(series)? == 20, "{metrics:?}");
        let sent = scene.payloads().await?;
        let raw = sent.iter().filter(|record| record.starts_with(b"no access line")).count();
        ensure!((sent.len(), raw) == if policy == "raw" { (100, 20) } else { (80, 0) }, "{}", sent.len());
        ensure!(shown_is_empty(&scene.host)? && !scene.host.state("quarantine").exists());
        agent.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_log_tells_what_scripts_look_for() -> Result<()> {
    let scene = scene(json!({ "log.emitInternalMetrics": true }))
        .await?
        .on(|host| host.with("log.statusReportingPeriodSeconds", json!(1)));
    let mut writer = Writer::of(scene.host.log(LOG), mixed)?;
    writer.write(100)?;
    let agent = scene.host.start()?;
    covered(&scene.host, 100).await?;
    agent.stop().await?;
    let bytes: usize = writer.written().map(<[u8]>::len).sum();
    let id = format!("kinesis:s:{}", scene.host.log(LOG).display());
    let said = scene.host.said()?;
    for words in [
        format!(
            "Agent: Progress: 100 records parsed ({bytes} bytes), and 80 records sent successfully to destinations. Uptime: "
        ),
        format!(
            "FileTailer[{id}]: Tailer Progress: Tailer has parsed 100 records ({bytes} bytes), transformed 80 records, \
             skipped 20 records, and has successfully sent 80 records to destination."
        ),
        format!("FileTailer[{id}]: Tailer is 0.000000 MB (0 bytes) behind."),
        format!("FileTailer[{id}]: File Tailer Status: {{"),
    ] {
        ensure!(said.contains(&words), "`{words}` is missing in\n{said}");
    }
    ensure!(!said.contains("Agent: Status"), "{said}");
    Ok(())
}
