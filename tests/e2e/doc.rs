//! The pages of `packaging/doc` are true where they can be tried: every `kinetail` command on them is run, in the page's order,
//! on a host on which the page makes sense, and every link on them leads somewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::binary;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::java::Store;
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::wait;
use kinetail_tests::writer::Writer;
use nix::sys::signal::Signal;
use serde_json::json;

/// Lines in the log of the host.
const LINES: u64 = 100;
/// Where the pages say that things are.
const LOGS: &str = "/var/log/httpd/";
const CONFIGURATION: &str = "/etc/aws-kinesis/agent.json";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> Result<String> {
    fs::read_to_string(root().join("packaging/doc").join(name)).with_context(|| name.to_owned())
}

/// The lines of a page's blocks of shell commands.
fn commands(page: &str) -> Vec<&str> {
    let mut is_inside = false;
    let inside = page.lines().map(str::trim).filter(|line| {
        let was_inside = is_inside;
        is_inside = if was_inside { *line != "```" } else { *line == "```sh" };
        was_inside && is_inside
    });
    inside.collect()
}

/// A host whose log is read, with an agent or without.
struct Stage {
    scene: Scene,
    agent: Option<Agent>,
}

impl Stage {
    /// The log is of the combined format; the flow expects that, or another.
    async fn new(format: &str) -> Result<Stage> {
        let scene = Scene::new(Throughput::Unlimited, 1).await?;
        let scene = scene.on(|host| {
            let store = host.path().join("java/checkpoints");
            host.with("checkpointFile", json!(store))
        });
        Writer::open(scene.host.log("access_log"))?.write(LINES)?;
        Ok(Stage { scene, agent: None }.expecting(format))
    }

    fn expecting(self, format: &str) -> Stage {
        let steps = json!([{ "optionName": "LOGTOJSON", "logFormat": format }]);
        let keys = json!({ "dataProcessingOptions": steps });
        Stage { scene: self.scene.on(|host| host.with_flow("access_log", keys)), ..self }
    }

    async fn start(&mut self) -> Result<()> {
        self.agent = Some(self.scene.host.start()?);
        self.scene.host.settled(LINES).await.map(drop)
    }

    /// Runs one line of a page; says whether it was a command of kinetail.
    async fn run(&mut self, line: &str) -> Result<bool> {
        let host = &self.scene.host;
        match line {
            "systemctl stop aws-kinesis-agent" => {
                self.agent.take().context("an agent runs")?.stop().await?;
            }
            "systemctl reload aws-kinesis-agent" => {
                self.agent.as_ref().context("an agent runs")?.signal(Signal::SIGHUP)?;
                let is_done = async || Ok(host.said()?.contains("reloaded: ").then_some(()));
                wait::until("it has reloaded", wait::LONG, is_done).await?;
            }
            _ => {}
        }
        let Some(words) = line.strip_prefix("kinetail ") else { return Ok(false) };
        // The host has its own configuration, which it names itself, and its logs elsewhere.
        let logs = format!("{}/", host.path().join("logs").display());
        let words = words.replace(&format!("-c {CONFIGURATION}"), "").replace(CONFIGURATION, "");
        let words = words.replace(LOGS, &logs);
        let mut words: Vec<&str> = words.split_whitespace().collect();
        let configuration = host.config().display().to_string();
        // It takes the file without a word before it.
        words.extend(if words.first() == Some(&"check") {
            vec![configuration.as_str()]
        } else {
            vec!["-c", &configuration]
        });
        let output = Command::new(binary::agent()?).args(&words).env_clear().output()?;
        // Lines that do not match are what is looked for.
        let is_looked_for = words.first() == Some(&"parse") && output.status.code() == Some(1);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() || is_looked_for, "`{line}` ended with {}: {err}", output.status);
        ensure!(!out.is_empty() || !err.is_empty(), "`{line}` said nothing");
        Ok(true)
    }
}

/// Runs the commands of a page; an agent is started after so many of them.
async fn check(name: &str, mut stage: Stage, before: usize) -> Result<()> {
    let text = page(name)?;
    stage.scene.host.configure()?;
    let mut run = 0;
    for line in commands(&text) {
        if run == before && stage.agent.is_none() && line.starts_with("kinetail ") {
            stage.start().await?;
        }
        if line == "systemctl reload aws-kinesis-agent" {
            stage = stage.expecting("COMBINEDAPACHELOG");
            stage.scene.host.configure()?;
        }
        run += usize::from(stage.run(line).await.with_context(|| stage.scene.host.agent_log())?);
    }
    ensure!(run > before, "{name} has {run} commands");
    Ok(())
}

#[tokio::test]
async fn the_commands_of_troubleshooting_are_true() -> Result<()> {
    // Nothing matches, until the reload mends that.
    check("troubleshooting.md", Stage::new("APACHEERRORLOG").await?, 0).await
}

#[tokio::test]
async fn the_commands_of_migration_are_true() -> Result<()> {
    let stage = Stage::new("COMBINEDAPACHELOG").await?;
    let log = stage.scene.host.log("access_log");
    fs::create_dir_all(stage.scene.host.path().join("java"))?;
    let store = Store::at(stage.scene.host.path().join("java/checkpoints"));
    store.save(&format!("kinesis:{STREAM}:{}", log.display()), &log, 0)?;
    check("migration.md", stage, 3).await
}

#[tokio::test]
async fn the_commands_of_security_are_true() -> Result<()> {
    check("security.md", Stage::new("COMBINEDAPACHELOG").await?, 0).await
}

/// What of a heading a link names: <https://docs.github.com/en/get-started/writing-on-github>.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign))
        .map(|sign| if sign == ' ' { '-' } else { sign })
        .collect()
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let mut links = 0;
    let pages = fs::read_dir(root().join("packaging/doc"))?.map(|page| Ok(page?.path()));
    let pages: Vec<PathBuf> = pages.chain([Ok(root().join("README.md"))]).collect::<Result<_>>()?;
    for page in pages {
        let text = fs::read_to_string(&page)?;
        let here = page.parent().context("a directory")?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") || link.contains(char::is_whitespace) {
                continue;
            }
            links += 1;
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { here.join(file) };
            let target =
                fs::read_to_string(&target).with_context(|| format!("{}: {link}", page.display()))?;
            let is_there = fragment.is_empty()
                || target.contains(&format!("<a name=\"{fragment}\">"))
                || target.lines().any(|line| line.starts_with('#') && anchor(line) == fragment);
            ensure!(is_there, "{}: {link} leads nowhere", page.display());
        }
    }
    ensure!(links > 20, "only {links} links were found");
    Ok(())
}
