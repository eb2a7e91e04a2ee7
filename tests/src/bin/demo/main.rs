//! The whole system on one machine, for a newcomer: a log that is written and rotated, the agent that ships it and is
//! killed on the way, the functions that count what arrives, CloudWatch, a page that shows all of it, and the balance.
//!
//! ```text
//!   replay ─▶ access_log ─▶ agent ─▶ stream ─▶ aggregate ─▶ stream ─▶ publish ─▶ CloudWatch
//!                  └──────────┴──────────┴───────────┴──────────┴─────────────┴─▶ board, account
//! ```
//!
//! - [`replay`] makes lines with today's time out of an access log, each with a number to know it by;
//! - [`stage`] is all that runs;
//! - [`board`] keeps the page up to date, with [`sources`] and [`alarms`];
//! - [`show`] shows how far it is, on a terminal in one line that changes;
//! - [`account`] is the balance in the end, with [`join`] to know whose a line is.
//!
//! Everything is on loopback and in a temporary directory. Exit code 0 only if nothing is missing, no more came twice
//! than the agent had said, and CloudWatch has exactly what the stream has, per application.

#![expect(clippy::print_stdout, reason = "the demo speaks to a person")]

mod account;
mod alarms;
mod board;
mod join;
mod replay;
mod show;
mod sources;
mod stage;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use kinetail_tests::binary;
use kinetail_tests::cloud::{INPUT, OUTPUT};
use kinetail_tests::endpoint::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use kinetail_tests::wait;
use kinetail_tests::writer::Writer;
use tokio::time::sleep;

use crate::account::Account;
use crate::board::Board;
use crate::join::Join;
use crate::replay::Replay;
use crate::show::Show;
use crate::stage::{LOG, Stage};

/// Between two things that happen to the log or the agent.
const PHASE: Duration = Duration::from_secs(5);

/// Ships an access log to a Kinesis stream on this machine, kills the agent on the way, counts what arrives in windows,
/// and shows all of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// An access log of your own, common or combined, to be replayed with today's times.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Whose hosts those in the log are: a CSV with the columns Host, `ApplicationName` and Contact.
    #[arg(long, value_name = "PATH")]
    reference: Option<PathBuf>,
    /// Keep everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let replay = Replay::load(&arguments.file.unwrap_or_else(|| fixtures.join("logs/access.log")))?;
    let reference = arguments.reference.unwrap_or_else(|| fixtures.join("reference/access.csv"));
    let reference = fs::read_to_string(&reference)
        .with_context(|| format!("failed to read `{}`", reference.display()))?;
    let join = Join::read(&reference)?;
    let replayed = replay.to_string();
    println!("building the agent and the functions");
    binary::agent()?;

    let stage = Stage::start(replay, &reference).await?;
    let mut board = Board::start(&stage)?;
    println!("open {}", board.url());
    println!("replaying {replayed}");

    let show = Show::new();
    let (writer, bound) = tokio::select! {
        run = run(&stage, &show) => run?,
        never = watch(&stage, &mut board, &show) => match never? {},
    };
    let stored = stage.cloud.endpoint.read(INPUT).await?;
    let account = Account::of(writer.written(), &stored, &join, bound, stage.cloud.totals()?)?;
    board.note_repeats(account.repeats_counted());
    refresh(&stage, &mut board, &show).await?;
    let is_good = tell(&account, &stage, &board, &show)?;
    if arguments.keep {
        invite(&stage, &board);
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped.context("failed to wait for Ctrl-C")?,
            never = watch_alarms(&stage, &mut board, &show) => match never? {},
        }
    }
    board.end().await;
    stage.stop().await?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What happens, from the first line written to the last one counted. What was written comes back, and how many records
/// the agent had published that the kill would repeat.
async fn run(stage: &Stage, show: &Show) -> Result<(Writer, u64)> {
    sleep(PHASE).await;
    stage.rotate("access_log.1")?;
    show.say("rotated: access_log is access_log.1 now, and there is a new access_log")?;
    sleep(PHASE).await;

    show.say("killing the agent with SIGKILL; the log goes on")?;
    let bound = stage.crash().await?;
    show.say(&format!("started it again; it had published that a crash repeats up to {bound} records"))?;
    sleep(PHASE).await;
    stage.rotate("access_log.2")?;
    show.say("rotated once more")?;
    sleep(PHASE).await;
    let writer = stage.finish().await?;
    show.say("the log is complete; waiting for the rest")?;

    deliver(stage, &writer).await?;
    stage.cloud.settled(wait::LONG).await?;
    Ok((writer, bound))
}

/// Waits until every line is in the stream. In vain or not, the account says it.
async fn deliver(stage: &Stage, writer: &Writer) -> Result<()> {
    let expected: BTreeSet<&[u8]> = writer.written().filter_map(replay::number).collect();
    let arrived = wait::until("every line has arrived", wait::LONG / 2, async || {
        // The stream is read only when the agent says that nothing is left to do: it is costly.
        if !stage.is_idle()? {
            return Ok(None);
        }
        let stored = stage.cloud.endpoint.read(INPUT).await?;
        let delivered = stored.iter().map(account::number).collect();
        Ok(expected.is_subset(&delivered).then_some(()))
    });
    arrived.await.unwrap_or_default();
    Ok(())
}

/// Keeps the page and the terminal up to date.
async fn watch(stage: &Stage, board: &mut Board, show: &Show) -> Result<Infallible> {
    loop {
        show.pause().await;
        refresh(stage, board, show).await?;
        show.numbers(&board.data(), stage.accepted())?;
    }
}

/// Keeps the page up to date, and says of alarms what becomes of them.
async fn watch_alarms(stage: &Stage, board: &mut Board, show: &Show) -> Result<Infallible> {
    loop {
        show.pause().await;
        refresh(stage, board, show).await?;
    }
}

async fn refresh(stage: &Stage, board: &mut Board, show: &Show) -> Result<()> {
    board.refresh(stage).await?.iter().try_for_each(|change| show.say(change))
}

/// Prints the account; whether it is as promised.
fn tell(account: &Account, stage: &Stage, board: &Board, show: &Show) -> Result<bool> {
    show.say("")?;
    println!("{account}");
    let agent = board.data().agent;
    println!(
        "  The agent has used {:.2} s of CPU, and {:.1} MiB of memory.",
        agent.cpu.as_secs_f64(),
        agent.memory_mib
    );
    let faults = account.faults();
    if faults.is_empty() {
        println!("  Nothing is missing, no more was repeated than promised, and all of it is counted.");
        return Ok(true);
    }
    println!("  That is not what was promised:");
    faults.iter().for_each(|fault| println!("  - {fault}"));
    println!("{}", stage.host.agent_log());
    Ok(false)
}

/// Says where everything is, for somebody's own client.
fn invite(stage: &Stage, board: &Board) {
    println!();
    println!("  page      {}", board.url());
    println!("  endpoint  {}", stage.cloud.endpoint.url());
    println!("  streams   {INPUT} and {OUTPUT} in {REGION}");
    println!("  keys      {ACCESS_KEY_ID} / {SECRET_ACCESS_KEY}");
    println!("  log       {}", stage.host.log(LOG).display());
    println!("  agent     {}", stage.host.config().display());
    println!("  Write to the log, watch the page, and read the streams with any SDK. Ctrl-C ends it.");
}
