//! Every fault of the stream, one after the other, under each way of packing and of order: nothing is missing, what came twice
//! had an outcome that nobody told, and nothing is offered again of which the agent was told that the stream has it. Holds G1, G3,
//! G4 and G5 to account.
//!
//! The table in `packaging/doc/operations.md` says of each fault what is held here.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::Client;
use kinetail_tests::agent::Agent;
use kinetail_tests::books::Books;
use kinetail_tests::endpoint::{self, Endpoint, Stored, Throughput};
use kinetail_tests::faults::{self, Fate, Faults, Mode, Request};
use kinetail_tests::host::Host;
use kinetail_tests::python::Emulator;
use kinetail_tests::scene::STREAM;
use kinetail_tests::writer::{self, Load, Writer};
use kinetail_tests::{packs, wait};
use serde_json::json;

/// Files of a host, and lines a second in each.
const FILES: u64 = 4;
const RATE: u32 = 80;
/// The numbers of the lines of one file.
const NUMBERS: u64 = 1_000_000;
/// Shards of a stream at first.
const SHARDS: i32 = 4;
/// How far the other clock is off.
const SKEW_SECONDS: i64 = 3 * 3600;
/// What the agent may hold if nothing is configured, and what a process needs beside that.
const MEMORY_MIB: u32 = 32 + 24;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// Something between the agent and the stream.
    Is(Mode),
    /// The shard that was written to last refuses.
    ShardIsFull,
    /// The stream is deleted; after a while there is an empty one of its name.
    StreamIsDeleted,
    /// The stream gets twice as many shards.
    StreamIsResharded,
}

/// Whether lines come twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeats {
    /// None: the agent was told what was not taken.
    No,
    /// The records of the requests that came to harm: the stream has them, and nobody told the agent.
    Yes,
}

/// A row of the table.
struct Fault {
    harm: Harm,
    /// How many requests have to come to harm.
    times: usize,
    repeats: Repeats,
}

const fn fault(harm: Harm, times: usize, repeats: Repeats) -> Fault {
    Fault { harm, times, repeats }
}

/// What takes until the time-out, or mends itself with the first answer, is seen once.
const FAULTS: [Fault; 19] = [
    fault(Harm::Is(Mode::Refuse { percent: 40 }), 4, Repeats::No),
    fault(Harm::Is(Mode::Refuse { percent: 100 }), 4, Repeats::No),
    fault(Harm::ShardIsFull, 4, Repeats::No),
    fault(Harm::Is(Mode::Reject { code: "ProvisionedThroughputExceededException" }), 4, Repeats::No),
    fault(Harm::Is(Mode::InternalError), 4, Repeats::No),
    fault(Harm::Is(Mode::Unavailable), 4, Repeats::Yes),
    fault(Harm::Is(Mode::ResetBefore), 4, Repeats::No),
    fault(Harm::Is(Mode::ResetAfter), 4, Repeats::Yes),
    fault(Harm::Is(Mode::Silence), 1, Repeats::No),
    fault(Harm::Is(Mode::HoldAnswers), 1, Repeats::Yes),
    fault(Harm::Is(Mode::Trickle), 1, Repeats::Yes),
    fault(Harm::Is(Mode::Truncate), 4, Repeats::Yes),
    fault(Harm::Is(Mode::Shorten), 4, Repeats::Yes),
    fault(Harm::Is(Mode::Reject { code: "ExpiredTokenException" }), 4, Repeats::No),
    fault(Harm::Is(Mode::Skew { seconds: SKEW_SECONDS }), 1, Repeats::No),
    // As a service answers what is signed for another region.
    fault(Harm::Is(Mode::Reject { code: "InvalidSignatureException" }), 4, Repeats::No),
    fault(Harm::Is(Mode::Reject { code: "AccessDeniedException" }), 4, Repeats::No),
    fault(Harm::StreamIsDeleted, 4, Repeats::No),
    fault(Harm::StreamIsResharded, 4, Repeats::No),
];

/// What was counted until the books were balanced last.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Lines that came twice.
    repeated: u64,
    /// Records of which the agent says that they may have.
    possible: u64,
    /// Entries that had no answer.
    unanswered: u64,
}

/// One agent before a stream that goes wrong in one way after the other.
struct Column<K> {
    client: Client,
    faults: Faults,
    host: Host,
    is_ordered: bool,
    writers: Vec<Writer>,
    /// What was in streams that have been deleted.
    gone: Vec<Stored>,
    /// The books when they were balanced last.
    last: Last,
    _kinesis: K,
}

impl Column<Endpoint> {
    async fn of_ours(packing: &str, order: &str) -> Result<Column<Endpoint>> {
        let kinesis = Endpoint::start(Throughput::Unlimited)?;
        let faults = Faults::start(kinesis.address())?;
        let client = endpoint::client(kinesis.address());
        Column::new(kinesis, client, faults, packing, order).await
    }
}

impl Column<Emulator> {
    async fn of_another(kinesis: Emulator, packing: &str, order: &str) -> Result<Column<Emulator>> {
        let faults = Faults::start(kinesis.address())?;
        let client = endpoint::client(kinesis.address());
        Column::new(kinesis, client, faults, packing, order).await
    }
}

impl<K> Column<K> {
    async fn new(
        kinesis: K,
        client: Client,
        faults: Faults,
        packing: &str,
        order: &str,
    ) -> Result<Column<K>> {
        let keys = json!({
            "packing": packing,
            "order": order,
            "packedRecordBytes": 1024,
            "retryInitialBackoffMillis": 20,
            "retryMaxBackoffMillis": 200,
        });
        // Beside it, 10 s for the call itself.
        let host = Host::new(&faults.url())?.with("socketTimeoutMillis", json!(200));
        let host = host.with_flow("app.log.*", keys);
        let path = |file: u64| host.log(&format!("app.log.{file}"));
        let writers = (0..FILES).map(|file| Writer::numbered_from(path(file), file * NUMBERS));
        let (writers, is_ordered) = (writers.collect::<Result<_>>()?, order == "file");
        let column = Column {
            client,
            faults,
            host,
            is_ordered,
            writers,
            gone: Vec::new(),
            last: Last::default(),
            _kinesis: kinesis,
        };
        column.create_stream().await?;
        Ok(column)
    }

    /// Plays every row.
    async fn play(mut self, faults: &[Fault]) -> Result<()> {
        let agent = self.host.start()?;
        for fault in faults {
            self.suffer(fault)
                .await
                .with_context(|| format!("{:?}\n{}", fault.harm, self.host.agent_log()))?;
        }
        self.end(agent).await
    }

    /// Writes all the time while one thing goes wrong until it is well again, and balances the books.
    async fn suffer(&mut self, fault: &Fault) -> Result<()> {
        let before = self.calls_for_help()?;
        let loads: Vec<Load> = self.writers.drain(..).map(|writer| Load::start(writer, RATE)).collect();
        self.more(1, "records are accepted before", is_accepted).await?;
        let has_shown = |request: &Request| match fault.harm {
            Harm::Is(_) | Harm::ShardIsFull => request.harmed,
            Harm::StreamIsDeleted => is_refused_whole(request),
            Harm::StreamIsResharded => is_accepted(request),
        };
        match fault.harm {
            Harm::Is(mode) => self.faults.set(mode),
            Harm::ShardIsFull => {
                let key = self.last_key().context("nothing was offered")?;
                self.faults.set(Mode::RefuseShard { shard: faults::shard(&key) });
            }
            Harm::StreamIsDeleted => self.delete_stream().await?,
            Harm::StreamIsResharded => self.reshard().await?,
        }
        self.more(fault.times, "it has shown", has_shown).await?;
        if fault.harm == Harm::StreamIsDeleted {
            self.create_stream().await?;
        }
        self.faults.set(Mode::Pass);
        self.more(1, "records are accepted again", is_accepted).await?;
        for load in loads {
            self.writers.push(load.stop().await?);
        }
        if let Harm::Is(Mode::Skew { .. }) = fault.harm {
            ensure!(self.calls_for_help()? == before, "somebody is asked to mend what mends itself");
            ensure!(self.host.said()?.contains("this host's clock is off"), "nobody is told why");
        }
        self.balance(fault.repeats).await
    }

    /// How often somebody was asked to act.
    fn calls_for_help(&self) -> Result<usize> {
        Ok(self.host.said()?.matches("until someone acts").count())
    }

    /// Waits until `count` more requests are as wanted.
    async fn more(&self, count: usize, what: &str, are: impl Fn(&Request) -> bool) -> Result<()> {
        let so_far = || self.faults.look(|requests| requests.iter().filter(|request| are(request)).count());
        let goal = so_far() + count;
        wait::until(what, wait::LONG, async || Ok((so_far() >= goal).then_some(()))).await
    }

    /// All books agree on what was written so far.
    async fn balance(&mut self, repeats: Repeats) -> Result<()> {
        let lines: u64 = self.writers.iter().map(Writer::count).sum();
        let metrics = self.host.settled(lines).await?;
        ensure!(metrics.sum("kinetail_records_acked_total")? == lines, "acked is not what was written");
        ensure!(metrics.left_behind()? == 0, "something was left behind");
        ensure!(metrics.sum("kinetail_failing_flows")? == 0, "it does not know that it is well");

        let mut stored = self.gone.clone();
        stored.extend(endpoint::read(&self.client, STREAM).await?);
        let data: Vec<Vec<u8>> = stored.iter().map(|record| record.data.clone()).collect();
        let packs = packs::lines_of_each(&data)?;
        let written = self.writers.iter().flat_map(Writer::written);
        let balance = Books::of(written).against(packs.iter().flatten().map(Vec::as_slice)).balance();
        balance.complete()?;
        let now = Last {
            repeated: balance.repeated,
            possible: metrics.sum("kinetail_records_possibly_repeated_total")?,
            unanswered: self.faults.look(faults::unanswered),
        };
        let last = std::mem::replace(&mut self.last, now);
        let repeated = now.repeated - last.repeated;
        ensure!((repeated > 0) == (repeats == Repeats::Yes), "{repeated} repeated of {repeats:?}");
        let (possible, unanswered) = (now.possible - last.possible, now.unanswered - last.unanswered);
        ensure!(repeated <= possible, "{repeated} repeated, {possible} counted as possible");
        ensure!(unanswered <= possible, "{unanswered} entries had no answer, {possible} are counted");
        self.faults.look(|requests| offers_agree(requests, &data))?;
        if self.is_ordered { in_order(&stored, &packs) } else { Ok(()) }
    }

    async fn end(&self, agent: Agent) -> Result<()> {
        let peak = agent.usage()?.memory.peak;
        ensure!(peak <= f64::from(MEMORY_MIB), "{peak} MiB in memory at the most");
        agent.stop().await
    }

    fn last_key(&self) -> Option<String> {
        self.faults.look(|requests| {
            let entry = requests.iter().rev().find_map(|request| request.entries.last())?;
            Some(entry.partition_key.clone())
        })
    }

    async fn create_stream(&self) -> Result<()> {
        endpoint::create_stream(&self.client, STREAM, SHARDS).await
    }

    /// Deletes the stream, while nobody writes to it, and keeps what was in it.
    async fn delete_stream(&mut self) -> Result<()> {
        self.faults.set(Mode::Reject { code: "LimitExceededException" });
        self.more(4, "nothing is on its way", is_refused_whole).await?;
        self.gone.extend(endpoint::read(&self.client, STREAM).await?);
        self.client.delete_stream().stream_name(STREAM).send().await?;
        let is_gone = async || {
            let summary = self.client.describe_stream_summary().stream_name(STREAM).send().await;
            Ok(summary.is_err().then_some(()))
        };
        wait::until("the stream is deleted", wait::LONG, is_gone).await?;
        self.faults.set(Mode::Pass);
        Ok(())
    }

    /// Splits each shard.
    async fn reshard(&self) -> Result<()> {
        let shards = self.client.list_shards().stream_name(STREAM).send().await?;
        for shard in shards.shards() {
            endpoint::split_shard(&self.client, STREAM, shard.shard_id()).await?;
        }
        Ok(())
    }
}

fn is_accepted(request: &Request) -> bool {
    request.entries.iter().any(|entry| entry.fate == Fate::Accepted)
}

fn is_refused_whole(request: &Request) -> bool {
    !request.entries.is_empty() && request.entries.iter().all(|entry| entry.fate == Fate::Refused)
}

/// What the stream has is what the proxy saw it take; each record as often as nobody told the agent that it has it, and once
/// more at the most.
fn offers_agree(requests: &[Request], stored: &[Vec<u8>]) -> Result<()> {
    let again = faults::offered_after_acceptance(requests);
    let example = again.first().map(|data| data.escape_ascii().to_string());
    ensure!(again.is_empty(), "{} offered again after they were accepted: {example:?}", again.len());
    let entries = requests.iter().flat_map(|request| &request.entries);
    let taken = || entries.clone().filter(|entry| entry.taken);
    let books = Books::of(taken().map(|entry| entry.data.as_slice()));
    books.against(stored.iter().map(Vec::as_slice)).balance().exact().context("taken against stored")?;
    let mut untold: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
    for entry in taken() {
        let (times, lost) = untold.entry(&entry.data).or_default();
        *times += 1;
        *lost += u64::from(entry.fate != Fate::Accepted);
    }
    for (data, (times, lost)) in untold {
        ensure!(times <= lost + 1, "{times} times in the stream, {lost} untold: {}", data.escape_ascii());
    }
    Ok(())
}

/// The stream has each file's lines in their order; a record that came again comes right behind itself.
fn in_order(stored: &[Stored], packs: &[Vec<Vec<u8>>]) -> Result<()> {
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    let mut last: BTreeMap<u64, &[u8]> = BTreeMap::new();
    for (record, lines) in stored.iter().zip(packs) {
        let numbers = lines.iter().map(|line| writer::number(line).context("a line without its number"));
        let numbers: Vec<u64> = numbers.collect::<Result<_>>()?;
        let file = numbers.first().context("an empty record")? / NUMBERS;
        if last.insert(file, &record.data) == Some(&record.data) {
            continue;
        }
        for number in numbers {
            let expected = next.entry(file).or_insert(file * NUMBERS);
            ensure!(number == *expected, "{number} in the place of {expected}");
            *expected += 1;
        }
    }
    Ok(())
}

async fn plays(packing: &str, order: &str) -> Result<()> {
    let column = Column::of_ours(packing, order).await?;
    column.play(&FAULTS).await.with_context(|| format!("packing {packing}, order {order}"))
}

/// Each column waits most of the time, for time-outs, so they do that together.
#[tokio::test]
async fn no_fault_loses_a_line_or_repeats_what_was_accepted() -> Result<()> {
    tokio::try_join!(plays("none", "free"), plays("lines", "free"), plays("kpl", "free"))?;
    Ok(())
}

#[tokio::test]
async fn no_fault_breaks_the_order_of_a_file() -> Result<()> {
    tokio::try_join!(plays("lines", "file"), plays("kpl", "file"))?;
    Ok(())
}

/// The same on the wire before emulators that others have written.
#[tokio::test]
async fn other_emulators_have_the_same_wire() -> Result<()> {
    let faults = [
        fault(Harm::Is(Mode::Refuse { percent: 40 }), 4, Repeats::No),
        fault(Harm::ShardIsFull, 4, Repeats::No),
        fault(Harm::Is(Mode::ResetAfter), 2, Repeats::Yes),
        fault(Harm::StreamIsDeleted, 4, Repeats::No),
    ];
    for kinesis in [Emulator::moto().await?, Emulator::ministack().await?] {
        Column::of_another(kinesis, "lines", "file").await?.play(&faults).await?;
    }
    Ok(())
}
