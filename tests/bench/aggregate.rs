//! Counting: what the function `aggregate` costs for a line, holds at the largest event and takes to be ready.
//!
//! The lines are the bench's, made into records by the agent's own `parse`; the function is the built binary under the
//! stand-in of the Runtime API, with a reference of a hundred thousand hosts. It publishes by itself (direct mode), so
//! that the books can be closed: CloudWatch must have been told of every line.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use kinetail_tests::cloud::cloudwatch::CloudWatch;
use kinetail_tests::cloud::mapping::record::{Number, Record, Source};
use kinetail_tests::cloud::mapping::stream_arn;
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::cloud::objects::Objects;
use kinetail_tests::cloud::runtime::{Function, PAYLOAD_LIMIT};
use kinetail_tests::usage;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::figures::Run;
use crate::lines::Lines;
use crate::records::Packing;

/// The most records that the service puts into one event.
const RECORDS: usize = 10_000;
/// What lines are joined up to: Kinesis counts a record in units of 25 KB.
const PACK_BYTES: usize = 25_000;
/// What is left in an event for what stands around its records.
const ENVELOPE_BYTES: usize = 16 << 10;
/// Rows of the reference.
const HOSTS: usize = 100_000;
/// Lines that are made; events repeat them with new sequence numbers.
const LINES: usize = 200_000;
/// What a record begins with.
const HOST: &[u8] = b"{\"host\":\"";
/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What the function is given to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) packing: Packing,
    /// From how many sources.
    pub(crate) sources: u32,
    /// How many events are measured.
    pub(crate) calls: u32,
    /// Decides the lines.
    pub(crate) seed: u64,
}

/// Sends the largest events, and the end of their window.
pub(crate) fn run(agent: &Path, function: &Path, load: Load) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(agent, function, load))
}

async fn measure(agent: &Path, binary: &Path, load: Load) -> anyhow::Result<Run> {
    let Load { packing, sources, calls, seed } = load;
    let lines = from_sources(sources, parsed(agent, seed)?)?;
    let objects = Objects::start()?;
    objects.put("reference", "hosts.csv", reference(&lines)?);
    let cloudwatch = CloudWatch::start()?;
    let function = Function::start(binary, "aggregate", variables(&objects, &cloudwatch))?;
    let mut events = Events::new(&lines, packing)?;

    // The first call reads the reference; it is not measured, but counted.
    let (first, mut counted) = events.next(&json!({}), false)?;
    let mut state = answer(&function, first).await?["state"].take();
    let pid = *function.processes().first().context("the function has no process")?;
    let cpu_before = usage::cpu_seconds(pid)?;
    let (mut wall, mut measured, mut bytes, mut state_bytes) = (Duration::ZERO, 0, 0, 0);
    for _ in 0..calls {
        let (event, lines) = events.next(&state, false)?;
        bytes += event.len();
        let start = Instant::now();
        let mut answer = answer(&function, event).await?;
        wall += start.elapsed();
        state = answer["state"].take();
        state_bytes = state_bytes.max(state.to_string().len());
        measured += lines;
    }
    let cpu = usage::cpu_seconds(pid)? - cpu_before;
    let (end, last) = events.next(&state, true)?;
    answer(&function, end).await?;
    counted += measured + last;

    let told = cloudwatch.sum("Lines", &BTreeMap::new());
    ensure!(told == counted as f64, "{counted} lines were sent, {told} counted\n{}", function.log());
    ensure!(function.cold_starts() == 1, "the function was started again\n{}", function.log());
    let start = function.start_times().first().copied().flatten().context("no start was seen")?;
    let memory = usage::memory(pid)?;
    let (measured, calls) = (measured as f64, f64::from(calls));
    Ok(Run::new([
        ("lines_per_cpu_s", measured / cpu),
        ("cpu_us_per_line", cpu / measured * 1e6),
        ("lines_per_call", measured / calls),
        ("call_ms", wall.as_secs_f64() / calls * 1e3),
        ("event_mb", bytes as f64 / calls / 1e6),
        ("state_kb", state_bytes as f64 / 1e3),
        ("peak_rss_mib", memory.peak),
        ("start_to_first_poll_ms", start.as_secs_f64() * 1e3),
    ]))
}

/// Sends an event; what the function says to it.
async fn answer(function: &Function, event: Vec<u8>) -> anyhow::Result<Value> {
    let answer = function.invoke(event, LIMIT).await.with_context(|| function.log())?;
    let answer: Value = serde_json::from_slice(&answer).context("the answer is not JSON")?;
    ensure!(answer["batchItemFailures"] == json!([]), "it failed: {answer}\n{}", function.log());
    Ok(answer)
}

fn variables(objects: &Objects, cloudwatch: &CloudWatch) -> BTreeMap<String, String> {
    let pairs = [
        ("REFERENCE_BUCKET", "reference".to_owned()),
        ("REFERENCE_KEY", "hosts.csv".to_owned()),
        ("AWS_ENDPOINT_URL_S3", objects.url()),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.url()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The records of the bench's lines in the native profile, each without its newline.
fn parsed(agent: &Path, seed: u64) -> anyhow::Result<Vec<Vec<u8>>> {
    let dir = tempfile::tempdir().context("failed to make a directory for the log")?;
    let log = dir.path().join("access.log");
    let (mut lines, mut text) = (Lines::seeded(seed), Vec::new());
    (0..LINES).for_each(|_| lines.append(&mut text));
    std::fs::write(&log, text).context("failed to write the log")?;
    let output = Command::new(agent)
        .args(["parse", "--format", "COMBINEDAPACHELOG", "--json-types", "native"])
        .arg(&log)
        .stderr(Stdio::inherit())
        .output()
        .context("failed to run the agent")?;
    ensure!(output.status.success(), "the agent could not parse the bench's lines");
    Ok(output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// The lines as they would be from so many sources: each has one of the first hosts in place of its own.
fn from_sources(sources: u32, lines: Vec<Vec<u8>>) -> anyhow::Result<Vec<Vec<u8>>> {
    let cut = |line: &[u8]| {
        let host = line.strip_prefix(HOST)?;
        Some(host.split_at(memchr::memchr(b'"', host)?)).map(|(host, rest)| (host.to_vec(), rest.to_vec()))
    };
    let cut: Option<Vec<(Vec<u8>, Vec<u8>)>> = lines.iter().map(|line| cut(line)).collect();
    let cut = cut.context("a record does not begin with its host")?;
    let sources = usize::try_from(sources)?.min(cut.len());
    let mut random = fastrand::Rng::with_seed(0);
    let mut choose = || cut.get(random.usize(..sources)).map(|(host, _)| host.as_slice()).unwrap_or_default();
    Ok(cut.iter().map(|(_, rest)| [HOST, choose(), rest].concat()).collect())
}

/// A reference of [`HOSTS`] rows that knows every second source.
fn reference(lines: &[Vec<u8>]) -> anyhow::Result<Vec<u8>> {
    let mut hosts = std::collections::BTreeSet::new();
    for line in lines {
        let record: Value = serde_json::from_slice(line).context("a record is not JSON")?;
        hosts.insert(record["host"].as_str().context("a record has no host")?.to_owned());
    }
    let hosts: Vec<String> = hosts.into_iter().step_by(2).collect();
    let others = (0..=u32::MAX).map(|number| std::net::Ipv4Addr::from(0x0a00_0000 | number).to_string());
    let mut csv = b"Host,ApplicationName,Contact\n".to_vec();
    for (number, host) in hosts.into_iter().chain(others).take(HOSTS).enumerate() {
        let application = number % 200;
        writeln!(csv, "{host},application-{application},team-{}@example.org", application % 20)?;
    }
    Ok(csv)
}

/// Events as large as the service makes them.
struct Events {
    /// The data of records, each with its lines.
    packs: Vec<(Vec<u8>, usize)>,
    next: usize,
    number: u64,
}

impl Events {
    fn new(lines: &[Vec<u8>], packing: Packing) -> anyhow::Result<Events> {
        let mut packs = Vec::new();
        let mut pack: (Vec<u8>, usize) = (Vec::new(), 0);
        for line in lines {
            pack.0.extend_from_slice(line);
            pack.0.push(b'\n');
            pack.1 += 1;
            if packing == Packing::None || pack.0.len() >= PACK_BYTES {
                let (bytes, lines) = std::mem::take(&mut pack);
                packs.push((packed(bytes, packing)?, lines));
            }
        }
        Ok(Events { packs, next: 0, number: 0 })
    }

    /// The next event with the lines in it; the last one of the window if it `is_final`.
    fn next(&mut self, state: &Value, is_final: bool) -> anyhow::Result<(Vec<u8>, usize)> {
        let source = Source { stream: stream_arn("input"), shard: "shardId-000000000000".to_owned() };
        let now = Moment::now();
        let window = now.floor(Duration::from_secs(300));
        let room = PAYLOAD_LIMIT - ENVELOPE_BYTES - state.to_string().len();
        let (mut records, mut lines, mut bytes) = (Vec::new(), 0, 0);
        while records.len() < RECORDS {
            let (data, held) =
                self.packs.get(self.next % self.packs.len()).context("there is nothing to send")?;
            let number = Number::new(format!("4959{:052}", self.number));
            let key = Some(self.number.to_string());
            let record = Record { number, partition_key: key, arrived: now, data: data.clone() };
            let record = record.to_json(&source).to_string();
            if bytes + record.len() + 1 > room {
                break;
            }
            bytes += record.len() + 1;
            lines += held;
            self.next += 1;
            self.number += 1;
            records.push(record);
        }
        let rest = json!({
            "window": { "start": window.to_string(), "end": window.plus(Duration::from_secs(300)).to_string() },
            "state": state,
            "shardId": source.shard,
            "eventSourceARN": source.stream,
            "isFinalInvokeForWindow": is_final,
            "isWindowTerminatedEarly": false,
        });
        let rest = rest.to_string();
        let rest = rest.strip_prefix('{').context("an object begins with a brace")?;
        Ok((format!("{{\"Records\":[{}],{rest}", records.join(",")).into_bytes(), lines))
    }
}

fn packed(bytes: Vec<u8>, packing: Packing) -> anyhow::Result<Vec<u8>> {
    Ok(match packing {
        Packing::None | Packing::Lines => bytes,
        Packing::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&bytes)?;
            encoder.finish()?
        }
        Packing::Zstd => zstd::bulk::compress(&bytes, zstd::DEFAULT_COMPRESSION_LEVEL)?,
    })
}
