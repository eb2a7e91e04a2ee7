//! A million lines, from the files of two hosts to CloudWatch: every one of them counted, by application and status, and
//! every repeat named (G1, G2).
//!
//! On the way both agents are killed, a shard is split, an invocation fails, and the answers of two get lost. One host
//! says where its lines are from: its repeats within a window of a shard are taken out again; those of the other host
//! are counted. What must come out is counted in SQL from the records that are in the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::binary;
use kinetail_tests::cloud::cloudwatch::dimensions;
use kinetail_tests::cloud::cloudwatch::request::Dimensions;
use kinetail_tests::cloud::mapping::Fault;
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::cloud::{Cloud, INPUT, REFERENCE, Settings};
use kinetail_tests::crash;
use kinetail_tests::endpoint::Stored;
use kinetail_tests::faults::Faults;
use kinetail_tests::host::Host;
use kinetail_tests::oracle;
use kinetail_tests::wait;
use kinetail_tests::writer::{self, Load, Writer};
use serde_json::json;

/// Lines of each host; more where the machine is so slow that the load brings more until all has happened.
const LINES: u64 = 500_000;
/// Lines a second of each host.
const RATE: u32 = 7_000;
/// Between two things that happen; a multiple of it is the whole run.
const PHASE: Duration = Duration::from_secs(10);
/// The length of a window; the run takes more than two of them.
const WINDOW: Duration = Duration::from_secs(20);
/// How long the functions may take for what is left at the end.
const SETTLED: Duration = Duration::from_secs(240);

/// Applications in the reference, each with as many hosts.
const APPLICATIONS: u64 = 20;
const HOSTS: u64 = 10;
/// One line of so many is of a host that is not in the reference.
const UNKNOWN: u64 = 16;

/// A host with its agent, what stands between it and the stream, and what it writes.
struct Machine {
    host: Host,
    faults: Faults,
    agent: Agent,
    load: Load,
}

impl Machine {
    /// A host that names itself in the path of its requests.
    fn start(cloud: &Cloud, name: &'static str, adds_position: bool) -> Result<Machine> {
        let faults = Faults::start(cloud.endpoint.address())?;
        let host = Host::new(&faults.url())?;
        let keys = json!({
            "jsonTypes": "native",
            "addPosition": adds_position,
            "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }],
        });
        let host = host.with_flow("access_log", keys);
        let writer = Writer::of(host.log("access_log"), move |number| line(name, number))?;
        let agent = host.start()?;
        Ok(Machine { host, faults, agent, load: Load::start(writer, RATE) })
    }

    /// Kills the agent while the stream has records that it never heard of, and starts it again.
    async fn kill(self) -> Result<Machine> {
        let Machine { host, faults, agent, load } = self;
        crash::kill_at_published_bound(&host, &faults, agent).await?;
        let agent = host.start()?;
        Ok(Machine { host, faults, agent, load })
    }

    /// Kills the agent as a window begins, so that what comes again comes within the window of what the stream has.
    async fn kill_within_a_window(self) -> Result<Machine> {
        let now = Moment::now();
        self.load.run(now.floor(WINDOW).plus(WINDOW).since(now)).await;
        self.kill().await
    }

    /// Writes what is missing to [`LINES`], waits until all of it is delivered, and stops the agent.
    async fn finish(self) -> Result<Finished> {
        let mut writer = self.load.stop().await?;
        writer.write(LINES.saturating_sub(writer.count()))?;
        let lines = writer.count();
        self.host
            .until("all is delivered", 2 * wait::LONG, |metrics| {
                let left = metrics.sum("kinetail_unacked_records")? + metrics.sum("kinetail_lag_bytes")?;
                Ok(left == 0 && taken(&self.faults) >= lines)
            })
            .await?
            .balance()?;
        self.agent.stop().await?;
        Ok(Finished { lines, taken: taken(&self.faults) })
    }
}

/// The books of a host at the end.
struct Finished {
    /// Lines that were written.
    lines: u64,
    /// Records that the stream took from it.
    taken: u64,
}

/// Records that the endpoint took.
fn taken(faults: &Faults) -> u64 {
    faults.look(|requests| {
        let entries = requests.iter().flat_map(|request| &request.entries);
        entries.map(|entry| u64::from(entry.taken)).sum()
    })
}

/// The line with a number: the number decides on all of it.
fn line(name: &str, number: u64) -> Vec<u8> {
    // Spread without a pattern, and the same in each run: the multiplier is that of Knuth's multiplicative hashing.
    let chance = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let source = if chance.is_multiple_of(UNKNOWN) {
        format!("198.51.100.{}", chance / UNKNOWN % 50)
    } else {
        address(chance / UNKNOWN % (APPLICATIONS * HOSTS))
    };
    let status = match chance / 7 % 20 {
        0 => 404,
        1 => 304,
        2 => 503,
        _ => 200,
    };
    let bytes = chance % 100_000;
    let line = format!(
        "{source} - - [22/Nov/2026:10:00:00 +0000] \"GET /{name}?seq={number} HTTP/1.1\" {status} {bytes} \
         \"https://shop.example/list\" \"load/1.0\"\n",
    );
    line.into_bytes()
}

/// The address of a host in the reference: every other one is of IPv6.
fn address(host: u64) -> String {
    if host.is_multiple_of(2) { format!("10.1.0.{host}") } else { format!("2001:db8::{host:x}") }
}

fn reference() -> String {
    let rows = (0..APPLICATIONS * HOSTS).map(|host| {
        let application = host % APPLICATIONS;
        format!("{},application {application},team-{}@example.org\n", address(host), application % 3)
    });
    std::iter::once("Host,ApplicationName,Contact\n".to_owned()).chain(rows).collect()
}

/// Where a record is from: whether its host says the place of its lines, and the line's number.
fn origin(record: &Stored) -> Result<(bool, u64)> {
    let says_place = record.data.windows(8).any(|part| part == b"\"@offset");
    let number = writer::number(&record.data).context("a record that nobody wrote")?;
    Ok((says_place, number))
}

/// The records that must be counted, in a file as the oracle reads it, and how many must not: a line that says its place
/// is counted once in each window of each shard.
fn to_be_counted(records: &[Stored], path: &Path) -> Result<u64> {
    let mut seen = BTreeSet::new();
    let mut skipped = 0;
    let mut file = BufWriter::new(File::create(path)?);
    for record in records {
        let (says_place, number) = origin(record)?;
        let window = record.arrived.floor(WINDOW);
        if says_place && !seen.insert((&record.shard, window, number)) {
            skipped += 1;
            continue;
        }
        write!(file, "{}\t", record.arrived.to_millis())?;
        file.write_all(&record.data)?;
    }
    file.flush()?;
    Ok(skipped)
}

/// Checks that every line of both hosts is in the stream. Says how many are there again: of the host that keeps silent
/// about the place of its lines, and of the other one.
fn repeats(records: &[Stored], silent: &Finished, placed: &Finished) -> Result<(u64, u64)> {
    let mut copies = BTreeMap::<_, u64>::new();
    for record in records {
        *copies.entry(origin(record)?).or_default() += 1;
    }
    let of_host = |says_place, host: &Finished| {
        let copies = (0..host.lines).map(|number| copies.get(&(says_place, number)));
        copies.map(|copies| Ok(copies.context("a line is missing")? - 1)).sum::<Result<u64>>()
    };
    Ok((of_host(false, silent)?, of_host(true, placed)?))
}

/// What CloudWatch has of the requests: by window, in milliseconds, and by application, contact and code.
fn published(cloud: &Cloud) -> BTreeMap<(u64, Dimensions), f64> {
    let mut sums = BTreeMap::new();
    for datum in cloud.cloudwatch.all().into_iter().filter(|datum| datum.metric == "Requests") {
        *sums.entry((datum.at.to_millis(), datum.dimensions)).or_insert(0.0) += datum.statistics.sum;
    }
    sums
}

/// What it must have.
fn expected(records: &Path, reference: &Path) -> Result<BTreeMap<(u64, Dimensions), f64>> {
    let unknown = || ("UNKNOWN".to_owned(), "UNKNOWN".to_owned());
    let groups = oracle::groups(records, reference, WINDOW)?;
    let entries = groups.into_iter().map(|group| {
        let (application, contact) = group.application.unwrap_or_else(unknown);
        let status = group.status.to_string();
        let by = [("Application", &*application), ("Contact", &*contact), ("Code", &*status)];
        let count = u32::try_from(group.count).context("more requests than were written")?;
        Ok(((group.start, dimensions(by)), f64::from(count)))
    });
    entries.collect()
}

#[tokio::test]
async fn a_million_lines_are_counted_and_every_repeat_is_named() -> Result<()> {
    let mut settings = Settings::new(WINDOW, &reference());
    settings.variables.insert("DIMENSIONS".to_owned(), "Application,Contact,Code".to_owned());
    let cloud = Cloud::start(binary::bootstrap()?, settings).await?;
    let mut silent = Machine::start(&cloud, "silent", false)?;
    let mut placed = Machine::start(&cloud, "placed", true)?;

    silent.load.run(PHASE).await;
    silent = silent.kill().await?;
    cloud.input.fail_next(1, Fault::Before);
    placed.load.run(PHASE).await;
    cloud.endpoint.split_shard(INPUT, "shardId-000000000001").await?;
    cloud.input.fail_next(2, Fault::After);
    placed.load.run(PHASE).await;
    placed = placed.kill_within_a_window().await?;
    cloud.output.as_ref().context("there is an output stream")?.fail_next(1, Fault::After);
    placed.load.run(PHASE).await;
    let (silent, placed) = (silent.finish().await?, placed.finish().await?);
    let taken = silent.taken + placed.taken;

    let settled = cloud.settled(SETTLED).await;
    settled.with_context(|| cloud.aggregate.log())?;

    let records = cloud.endpoint.read(INPUT).await?;
    ensure!(records.len() as u64 == taken, "{} records are in the stream, {taken} were taken", records.len());
    let repeats = repeats(&records, &silent, &placed)?;
    ensure!(repeats.0 > 0 && repeats.1 > 0, "a kill has cost nothing: {repeats:?}");
    let lines = silent.lines + placed.lines;
    ensure!(
        taken == lines + repeats.0 + repeats.1,
        "{taken} were taken of {lines} lines, {repeats:?} repeats"
    );

    let dir = tempfile::tempdir()?;
    let (counted, reference) = (dir.path().join("records"), dir.path().join(REFERENCE));
    std::fs::write(&reference, self::reference())?;
    let skipped = to_be_counted(&records, &counted)?;
    ensure!(skipped > 0 && skipped <= repeats.1, "{skipped} of {repeats:?} repeats are within a window");

    let (published, expected) = (published(&cloud), expected(&counted, &reference)?);
    let windows: BTreeSet<u64> = expected.keys().map(|(start, _)| *start).collect();
    ensure!(windows.len() >= 3, "the run took {} windows", windows.len());
    for (key, count) in &expected {
        ensure!(published.get(key) == Some(count), "{key:?} is {:?}, not {count}", published.get(key));
    }
    ensure!(published.len() == expected.len(), "CloudWatch has more than the records: {published:?}");

    let totals = cloud.totals()?;
    ensure!(totals.lines == taken - skipped, "{} lines were counted", totals.lines);
    ensure!(totals.repeats == skipped, "{} repeats were recognised, {skipped} are there", totals.repeats);
    ensure!(totals.set_aside == 0, "{} lines were set aside", totals.set_aside);
    Ok(())
}
