//! What a JVM logs through log4j2 or logback arrives, each entry in one record and whole: through a pipe, or out of files
//! that are rotated. Commands, patterns and flows are those of `packaging/doc/log4j.md`. Holds G1 and G3 to account.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kinetail_tests::books::Books;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::jvm::{Appender, Backend, Entry, Plan, Program};
use kinetail_tests::pipe::{Ends, Pipe};
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::wait;
use serde_json::{Value, json};

/// Entries of a program that is not killed.
const ENTRIES: u32 = 3000;
/// What a pipe of the kernel holds, unless it is told otherwise.
const PIPE_BYTES: usize = 65536;

fn page() -> Result<String> {
    Ok(fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/doc/log4j.md"))?)
}

/// The blocks of the page in this language.
fn blocks(language: &str) -> Result<Vec<String>> {
    let page = page()?;
    let blocks = page.split("```").filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    Ok(blocks.map(str::to_owned).collect())
}

/// What stands behind `kinetail pipe --stream app` in the page's only command with this word, as the shell reads it.
fn words(word: &str) -> Result<Vec<String>> {
    let commands = blocks("sh")?;
    let mut commands = commands.iter().filter(|command| command.contains(word));
    let (Some(command), None) = (commands.next(), commands.next()) else {
        anyhow::bail!("the page has not one command with {word}");
    };
    let script = format!("java() {{ :; }}; kinetail() {{ printf '%s\\n' \"$@\"; }}; {command}");
    let output = Command::new("sh").args(["-c", &script]).output()?;
    let words = String::from_utf8(output.stdout)?;
    let words: Vec<&str> = words.lines().collect();
    let words = words.strip_prefix(&["pipe", "--stream", "app"]).context("another command")?;
    Ok(words.iter().map(|&word| word.to_owned()).collect())
}

/// The command for the console of a backend.
fn console(backend: Backend) -> Result<Vec<String>> {
    words(match backend {
        Backend::Log4j2 => "%d{ISO8601}",
        Backend::Logback => "%logger{36}",
    })
}

async fn scene() -> Result<Scene> {
    Scene::new(Throughput::Unlimited, 4).await
}

/// `kinetail pipe` with these words, before the scene's stream.
fn pipe(scene: &Scene, words: &[String], ends: &Ends) -> Result<Pipe> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Pipe::to(&scene.host, (STREAM, &scene.faults.url()), &words, ends.reader()?)
}

/// What is in the stream.
async fn records(scene: &Scene) -> Result<Vec<Value>> {
    let payloads = scene.payloads().await?;
    payloads.iter().map(|payload| Ok(serde_json::from_slice(payload)?)).collect()
}

/// The entry that a record of `LOG4J` says.
fn entry(record: &Value) -> Result<Entry> {
    let text = |field: &str| record[field].as_str().map(str::to_owned);
    let needed = |field: &str| text(field).with_context(|| format!("no {field} in {record}"));
    ensure!(!record["timestamp"].is_null(), "no time in {record}");
    Ok(Entry {
        level: needed("level")?,
        thread: needed("thread")?,
        logger: needed("logger")?,
        message: needed("message")?,
        trace: text("stackTrace").unwrap_or_default(),
    })
}

/// The entries of a book as a backend prints them.
fn printed(book: Vec<Entry>, backend: Backend) -> Vec<Entry> {
    let printed = book.into_iter().map(|mut entry| {
        let trace = entry.trace.trim_end().lines().map(|line| match line.strip_suffix(" more") {
            Some(frames) if backend == Backend::Logback => format!("{frames} common frames omitted"),
            Some(_) | None => line.to_owned(),
        });
        entry.trace = trace.collect::<Vec<_>>().join("\n");
        entry
    });
    printed.collect()
}

/// Whether each entry that was logged is in the stream once, and nothing else.
async fn check(scene: &Scene, logged: &[Entry]) -> Result<()> {
    let delivered: Vec<Entry> = records(scene).await?.iter().map(entry).collect::<Result<_>>()?;
    let text = |entries: &[Entry]| entries.iter().map(|entry| format!("{entry:?}")).collect::<Vec<_>>();
    let (logged, delivered) = (text(logged), text(&delivered));
    let books = Books::of(logged.iter().map(String::as_bytes));
    books.against(delivered.iter().map(String::as_bytes)).balance().exact()
}

async fn a_console_arrives(backend: Backend) -> Result<()> {
    let scene = scene().await?;
    let ends = Ends::new()?;
    let pipe = pipe(&scene, &console(backend)?, &ends)?;
    let plan = Plan { backend, appender: Appender::Console, entries: ENTRIES, burst: 0 };
    let program = Program::start(&plan, scene.host.path(), ends.writer)?;
    let logged = printed(program.done().await?, backend);
    pipe.done().await?;
    ensure!(logged.len() == usize::try_from(ENTRIES)?, "{} were logged", logged.len());
    ensure!(logged.iter().any(|entry| entry.trace.len() > PIPE_BYTES), "none is larger than a pipe");
    check(&scene, &logged).await
}

#[tokio::test]
async fn entries_on_a_console_of_log4j2_arrive_whole() -> Result<()> {
    a_console_arrives(Backend::Log4j2).await
}

#[tokio::test]
async fn entries_on_a_console_of_logback_arrive_whole() -> Result<()> {
    a_console_arrives(Backend::Logback).await
}

/// The judge is a copy of the console that `tee` makes.
async fn json_arrives(backend: Backend) -> Result<()> {
    let scene = scene().await?;
    let (from, to) = (Ends::new()?, Ends::new()?);
    let pipe = pipe(&scene, &words("--format json")?, &to)?;
    let copy = scene.host.log("console");
    let mut tee = Command::new("tee").arg(&copy).stdin(from.reader()?).stdout(to.writer).spawn()?;
    let plan = Plan { backend, appender: Appender::Json, entries: ENTRIES, burst: 0 };
    let program = Program::start(&plan, scene.host.path(), from.writer)?;
    let logged = program.done().await?;
    pipe.done().await?;
    ensure!(tee.wait()?.success(), "`tee` failed");

    let console = fs::read_to_string(&copy)?;
    let lines: Vec<Value> = console.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let text = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>();
    let (written, delivered) = (text(&lines), text(&records(&scene).await?));
    let books = Books::of(written.iter().map(String::as_bytes));
    books.against(delivered.iter().map(String::as_bytes)).balance().exact()?;
    let messages: BTreeSet<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    ensure!(lines.len() == logged.len(), "{} lines of {} entries", lines.len(), logged.len());
    ensure!(logged.iter().all(|entry| messages.contains(entry.message.as_str())), "an entry is missing");
    // Nothing of a trace is cut away, as the page says.
    let deepest = logged.iter().map(|entry| entry.trace.matches("\tat ").count()).max();
    let printed = console.lines().map(|line| match backend {
        Backend::Log4j2 => line.matches(r"\tat ").count(),
        Backend::Logback => line.matches(r#""lineNumber""#).count(),
    });
    ensure!(deepest == printed.max() && deepest > Some(2000), "a trace is cut");
    Ok(())
}

#[tokio::test]
async fn json_of_log4j2_arrives_as_it_is() -> Result<()> {
    json_arrives(Backend::Log4j2).await
}

#[tokio::test]
async fn json_of_logback_arrives_as_it_is() -> Result<()> {
    json_arrives(Backend::Logback).await
}

async fn rolling_files_arrive(backend: Backend, flow: usize) -> Result<()> {
    let [page] = &blocks("json")?.into_iter().filter(|json| json.contains("flows")).collect::<Vec<_>>()[..]
    else {
        anyhow::bail!("the page has not one configuration");
    };
    let mut flow: Value = serde_json::from_str::<Value>(page)?["flows"][flow].take();
    let scene = scene().await?.on(|host| {
        flow["filePattern"] = json!(host.log("app.log"));
        flow["kinesisStream"] = json!(STREAM);
        host.with("flows", json!([flow]))
    });
    let agent = scene.host.start()?;
    let file = scene.host.log("app.log");
    let plan = Plan { backend, appender: Appender::File(&file), entries: 3 * ENTRIES, burst: 1 };
    let program = Program::start(&plan, scene.host.path(), Stdio::null())?;
    let logged = printed(program.done().await?, backend);
    let rotated = fs::read_dir(scene.host.log(""))?.count() - 1;
    ensure!(rotated > 2, "{rotated} rotated files");
    // Lines are counted one by one, also those within an entry.
    let entries = logged.len() as u64;
    let settled = scene.host.until("all entries are acked", wait::LONG, |metrics| {
        let acked = metrics.sum("kinetail_records_acked_total")?;
        Ok(acked >= entries && metrics.sum("kinetail_unacked_records")? == 0)
    });
    let metrics = settled.await?;
    metrics.balance()?;
    ensure!(metrics.left_behind()? == 0, "lines are left behind");
    check(&scene, &logged).await?;
    scene.offered_once()?;
    agent.stop().await
}

#[tokio::test]
async fn rolling_files_of_log4j2_arrive_once() -> Result<()> {
    rolling_files_arrive(Backend::Log4j2, 0).await
}

#[tokio::test]
async fn rolling_files_of_logback_arrive_once() -> Result<()> {
    rolling_files_arrive(Backend::Logback, 1).await
}

/// Only what each thread was just logging may be missing, and only the last thing on the console be torn.
#[tokio::test]
async fn what_a_killed_program_has_logged_arrives() -> Result<()> {
    let backend = Backend::Log4j2;
    let scene = scene().await?;
    let ends = Ends::new()?;
    let pipe = pipe(&scene, &console(backend)?, &ends)?;
    let plan = Plan { backend, appender: Appender::Console, entries: 10_000_000, burst: 0 };
    let program = Program::start(&plan, scene.host.path(), ends.writer)?;
    wait::until("it logs", wait::LONG, async || {
        Ok((program.entries()?.len() > usize::try_from(ENTRIES)?).then_some(()))
    })
    .await?;
    let logged = printed(program.kill()?, backend);
    pipe.done().await?;

    let delivered: Vec<Entry> = records(&scene).await?.iter().map(entry).collect::<Result<_>>()?;
    let book: BTreeSet<&Entry> = logged.iter().collect();
    let whole: BTreeSet<&Entry> = delivered.iter().filter(|entry| book.contains(entry)).collect();
    let torn: Vec<&Entry> = delivered.iter().filter(|entry| !book.contains(entry)).collect();
    ensure!(whole.len() + torn.len() == delivered.len(), "entries came twice");
    ensure!(torn.len() <= 1, "{} are torn: {torn:?}", torn.len());
    let last: BTreeMap<&str, &Entry> = logged.iter().map(|entry| (entry.thread.as_str(), entry)).collect();
    for entry in book.difference(&whole) {
        let is_last = last.get(entry.thread.as_str()) == Some(entry);
        let is_torn = torn.iter().any(|torn| torn.message.starts_with(&entry.message));
        ensure!(is_last || is_torn, "it is missing: {entry:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_that_the_end_cuts_off_arrives_as_far_as_it_goes() -> Result<()> {
    let scene = scene().await?;
    let mut ends = Ends::new()?;
    let pipe = pipe(&scene, &console(Backend::Log4j2)?, &ends)?;
    let text = "2026-11-23T10:00:00,123 INFO  [main] a.B - started\n2026-11-23T10:00:01,456 ERROR [main] a.B - no\n\
                java.lang.Error: so\n\tat a.B.main(B.ja";
    ends.writer.write_all(text.as_bytes())?;
    drop(ends);
    pipe.done().await?;
    let logged = |level: &str, message: &str, trace: &str| Entry {
        level: level.to_owned(),
        thread: "main".to_owned(),
        logger: "a.B".to_owned(),
        message: message.to_owned(),
        trace: trace.to_owned(),
    };
    let cut = logged("ERROR", "no", "java.lang.Error: so\n\tat a.B.main(B.ja");
    check(&scene, &[logged("INFO", "started", ""), cut]).await
}

/// As the page warns.
#[tokio::test]
async fn a_program_outlives_its_reader_and_log4j2_says_so() -> Result<()> {
    let scene = scene().await?;
    let ends = Ends::new()?;
    let pipe = pipe(&scene, &console(Backend::Log4j2)?, &ends)?;
    let appender = Appender::Console;
    let plan = Plan { backend: Backend::Log4j2, appender, entries: ENTRIES, burst: 1 };
    let writer = ends.writer.try_clone()?;
    drop(ends);
    let program = Program::start(&plan, scene.host.path(), writer)?;
    wait::until("it logs", wait::LONG, async || Ok((!program.entries()?.is_empty()).then_some(()))).await?;
    pipe.kill()?;
    let complaint = program.complaint();
    ensure!(program.done().await?.len() == usize::try_from(ENTRIES)?, "it did not log everything");
    ensure!(fs::read_to_string(complaint)?.contains("Broken pipe"), "nothing is said");
    Ok(())
}

/// What the page shows of the settings of log4j2 and logback is what the programs here run with.
#[test]
fn the_settings_on_the_page_are_those_that_run() -> Result<()> {
    let settings = |name: &str| -> Result<String> {
        let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("java").join(name);
        Ok(fs::read_to_string(path)?.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
    };
    let settings = settings("log4j2.xml")? + &settings("logback.xml")?;
    let shown = blocks("xml")?;
    ensure!(shown.len() == 5, "the page has {} of them", shown.len());
    for block in shown {
        let block: Vec<&str> = block.lines().map(str::trim).collect();
        ensure!(settings.contains(&block.join("\n")), "{block:#?} does not run");
    }
    Ok(())
}
