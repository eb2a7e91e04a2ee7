//! Joins the steps with bounded channels; the only place that starts threads and tasks.
//!
//! ```text
//!   reader, a plain thread for each flow        network, one thread for all         disk
//!   source ▶ split ▶ parse ▶ batch ──parcels──▶ send, several calls at once ──notes──▶ checkpoint
//! ```
//!
//! Each flow has its own channel, its own share of the memory and its own sender: what goes wrong with one stream
//! stops nothing else. (G5, G7) Stopping is the pipeline running dry: readers stop, each channel closes behind the
//! last line, each step finishes what it holds, the checkpoint is written last. (G3)

mod attendant;
mod first_start;
mod joint;
mod reader;
mod report;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::batch::Batcher;
use crate::checkpoint::{Found, Keeper, Note, State, Store, StoreError};
use crate::config::{Agent, Config, Flow};
use crate::position::FlowId;
use crate::send::{Aws, AwsError, Kinesis, Sender, Stream};
use crate::shutdown::Signals;
use crate::source::{Change, HostNameError, Resume, Source, System, Watch, host_name};
use crate::takeover;
use attendant::Attendant;
use joint::Joint;
use reader::{Desk, OnTheWay, Parcel, Reader};
use report::Reporter;

/// Calls of one flow on their way at once: enough to fill a line with 100 ms to the service, few enough that little
/// is repeated after a crash.
const REQUESTS_IN_FLIGHT: usize = 4;

/// Parcels between a reader and the network. Two for each request in flight keep the network busy while a reader
/// waits for the disk; what they hold is charged to the memory budget, so this bounds latency, not bytes.
const PARCELS_QUEUED: usize = 2 * REQUESTS_IN_FLIGHT;

/// Notes to the checkpoint. Each batch makes two; a sender that has to wait for one waits for the disk.
const NOTES_QUEUED: usize = 256;

/// How long the last checkpoint may take beyond the deadline of a stop.
const LAST_CHECKPOINT: Duration = Duration::from_secs(5);

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state directory.
    #[error("could not start from the last checkpoint")]
    State(#[source] StoreError),
    /// The Java agent's store.
    #[error(
        "could not take over the Java agent's positions; without them lines would be lost or sent again, so nothing is \
         started; move the store away to start without them"
    )]
    Takeover(#[source] takeover::StoreError),
    /// The access to the service.
    #[error("could not prepare the connection to Kinesis")]
    Aws(#[source] AwsError),
    /// The operating system.
    #[error("could not start {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The host's name.
    #[error("could not find out what `addPosition` adds as `@host`")]
    Host(#[source] HostNameError),
    /// A task of ours.
    #[error("a task ended before its time")]
    Task(#[source] tokio::task::JoinError),
    /// The disk, at the end.
    #[error(
        "the last checkpoint could not be written; what was sent since the one before is sent again at the next start"
    )]
    LastCheckpoint,
}

/// Runs the agent until it is asked to stop.
///
/// # Errors
/// If it can't start. Once it runs, it ends only as asked.
pub fn run(config: Config) -> Result<(), RunError> {
    let host = config.flows.iter().any(|flow| flow.adds_position).then(host_name).transpose();
    let host = host.map_err(RunError::Host)?.map(Arc::from);
    let store = Arc::new(Store::open(&config.agent.state_directory).map_err(RunError::State)?);
    let found = match store.load().map_err(RunError::State)? {
        Found::Nothing => first_start::take_over(&config).map_err(RunError::Takeover)?,
        found @ (Found::State(_) | Found::Damaged) => found,
    };
    let system = |what| move |source| RunError::System { what, source };
    // One thread for the network: signing and encryption of all flows together take less than one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("the network's thread"))?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(system("listening to signals"))?;
        // Until the service can be reached at all there is nothing that must be brought to an end in order.
        let aws = tokio::select! {
            aws = Aws::connect(&config.agent.kinesis) => aws.map_err(RunError::Aws)?,
            signal = signals.next() => {
                info!(reason = signal, "stopped before anything was started");
                return Ok(());
            }
        };
        run_flows(config, host, store, found, &aws, &mut signals).await
    });
    // What is still blocked on a dead disk or stream must not keep the process from ending.
    runtime.shutdown_background();
    result
}

async fn run_flows(
    config: Config,
    host: Option<Arc<str>>,
    store: Arc<Store>,
    found: Found,
    aws: &Aws,
    signals: &mut Signals,
) -> Result<(), RunError> {
    let Config { agent, flows, .. } = config;
    let now = Instant::now();
    let share = agent.max_memory_bytes / flows.len().max(1);
    let (resumes, parked) = resume(&flows, found);
    let is_first = resumes.iter().any(|resume| matches!(resume, Resume::FirstStart));
    let joint = |flow| Joint::new(flow, share.saturating_sub(Source::BLOCK_BYTES));
    let joints: Vec<Joint> = flows.iter().map(joint).collect();
    let named = flows.iter().zip(&joints).map(|(flow, joint)| (flow.id.clone(), Arc::clone(&joint.metrics)));
    let mut keeper = Keeper::new(named.collect(), parked, now);

    // Every flow's files are found, and that is on disk, before the first byte is read: a crash in the first second
    // must not make another first start of it.
    let mut sources = Vec::new();
    for (index, ((flow, joint), resume)) in flows.iter().zip(&joints).zip(resumes).enumerate() {
        let (bell, metrics) = (Arc::clone(&joint.bell), Arc::clone(&joint.metrics));
        let mut source =
            Source::start(flow.source.clone(), Arc::new(System), Watch::new(bell), resume, metrics, now);
        for note in source.changes().into_iter().filter_map(note) {
            keeper.note(index, note);
        }
        sources.push(source);
    }
    let first = keeper.snapshot(now);
    match store.save(&first.state) {
        Err(error) if is_first => return Err(RunError::State(error)),
        // What the last checkpoint says of each flow stays true, so a full disk does not keep them from going on.
        result => keeper.saved(first.records(), result),
    }

    let (notes, noted) = mpsc::channel(NOTES_QUEUED);
    let keeping = tokio::spawn(keep(keeper, Arc::clone(&store), noted));
    let mut sending = Vec::new();
    for (index, ((flow, joint), source)) in flows.into_iter().zip(&joints).zip(sources).enumerate() {
        info!(stream = flow.stream, file = flow.source.pattern.as_text(), "started flow {}", flow.name);
        let (parcels, parceled) = mpsc::channel(PARCELS_QUEUED);
        let sender = sender(&flow, joint, aws);
        let on_the_way = Arc::clone(&joint.on_the_way);
        sending.push(tokio::spawn(send(index, parceled, sender, on_the_way, notes.clone())));
        read(flow, host.clone(), joint, source, parcels)?;
    }
    let attendant = Attendant::start(&joints, notes.downgrade(), agent.state_directory.clone());
    drop(notes);
    let mut reporter = Reporter::new(&joints, store);

    // All arms only wait: for a signal, for a task that never ends by itself, for the time to tell, for who asks.
    tokio::select! {
        signal = signals.next() => info!(reason = signal, "stopping: sends what is read"),
        ended = ended(&mut sending) => return Err(RunError::Task(ended)),
        () = reporter.run(agent.status_period) => {}
        () = attendant.attend() => {}
    }
    for joint in &joints {
        joint.bell.stop();
    }
    tokio::select! {
        stopped = stop(&agent, sending, keeping) => stopped?,
        signal = signals.next() => {
            warn!(reason = signal, "asked to stop again: ends at once; what the last checkpoint does not cover is sent again at the next start");
            return Ok(());
        }
        () = reporter.run(agent.status_period) => {}
        () = attendant.attend() => {}
    }
    reporter.finish().await;
    info!("stopped");
    Ok(())
}

/// Where each flow goes on. A flow that is new inherits the positions of one that vanished, if that had the same
/// destination or the same pattern: it was edited. Gives what is left of the last checkpoint, too.
fn resume(flows: &[Flow], found: Found) -> (Vec<Resume>, State) {
    let State { generation, flows: mut known } = match found {
        Found::State(state) => state,
        Found::Nothing => return (vec![Resume::FirstStart; flows.len()], State::default()),
        Found::Damaged => {
            for flow in flows {
                warn!(
                    file = flow.source.pattern.as_text(),
                    "no checkpoint can be trusted; reads all these files \
                      from their beginning, and sends again what was sent of them"
                );
            }
            return (vec![Resume::From(Vec::new()); flows.len()], State::default());
        }
    };
    let mut resumes: Vec<Option<Resume>> = vec![None; flows.len()];
    let mut take = |fits: &dyn Fn(&FlowId, &FlowId) -> bool| {
        for (flow, resume) in flows.iter().zip(&mut resumes).filter(|(_, resume)| resume.is_none()) {
            if let Some(at) = known.iter().position(|(id, _)| fits(id, &flow.id)) {
                let (id, files) = known.remove(at);
                if id != flow.id {
                    info!(
                        "flow {} takes over the positions of {id}, which is not configured any more",
                        flow.id
                    );
                }
                *resume = Some(Resume::From(files));
            }
        }
    };
    take(&|known, flow| known == flow);
    take(&|known, flow| known.pattern() == flow.pattern());
    take(&|known, flow| known.destination() == flow.destination());
    let resumes = resumes.into_iter().map(|resume| resume.unwrap_or(Resume::FirstStart)).collect();
    (resumes, State { generation, flows: known })
}

fn sender(flow: &Flow, joint: &Joint, aws: &Aws) -> Sender<Kinesis> {
    let (metrics, health) = (Arc::clone(&joint.metrics), Arc::clone(&joint.health));
    Sender::new(Kinesis::new(aws, &flow.stream), flow.stream.clone(), flow.waits, metrics, health)
}

/// Starts a flow's reader. It ends when its bell says so; a panic in it ends the process.
fn read(
    flow: Flow,
    host: Option<Arc<str>>,
    joint: &Joint,
    source: Source,
    parcels: mpsc::Sender<Parcel>,
) -> Result<(), RunError> {
    let batcher = Batcher::new(flow.batch, fastrand::Rng::new());
    let (budget, metrics) = (Arc::clone(&joint.budget), Arc::clone(&joint.metrics));
    let desk = Desk::new(batcher, budget, parcels, Handle::current(), Arc::clone(&joint.on_the_way), metrics);
    let host = host.filter(|_| flow.adds_position);
    let reader = Reader { source, bell: Arc::clone(&joint.bell), parser: flow.parser, host, desk };
    let thread = std::thread::Builder::new().name(flow.name).spawn(move || reader.run());
    thread.map_err(|source| RunError::System { what: "a reader's thread", source })?;
    Ok(())
}

/// Brings a flow's parcels to its stream, several at once, until the reader's end is closed and all are settled.
async fn send(
    index: usize,
    mut parcels: mpsc::Receiver<Parcel>,
    sender: Sender<impl Stream>,
    on_the_way: Arc<OnTheWay>,
    notes: mpsc::Sender<(usize, Note)>,
) {
    // The checkpoint ends after its senders; if it did not, there is nobody left to tell.
    let tell = async |note| notes.send((index, note)).await.unwrap_or_default();
    let mut delivering = FuturesUnordered::new();
    let mut open = true;
    while open || !delivering.is_empty() {
        // Receiving loses nothing when the other arm wins, and neither does asking which delivery is done.
        tokio::select! {
            parcel = parcels.recv(), if open && delivering.len() < REQUESTS_IN_FLIGHT => match parcel {
                Some(Parcel::Batch(batch, charge)) => {
                    tell(Note::Opened(batch.shares().to_vec())).await;
                    let opened = batch.opened();
                    let sender = &sender;
                    delivering.push(async move { (sender.deliver(batch).await, opened, charge) });
                }
                Some(Parcel::Dropped(dropped)) => tell(Note::Dropped(dropped)).await,
                Some(Parcel::Change(change)) => {
                    if let Some(note) = note(change) {
                        tell(note).await;
                    }
                }
                None => open = false,
            },
            Some((acked, opened, _charge)) = delivering.next(), if !delivering.is_empty() => {
                on_the_way.remove(opened);
                tell(Note::Acked(acked)).await;
            }
        }
    }
}

/// What the checkpoint is told of a change. Bytes that were skipped are part of a batch's share.
fn note(change: Change) -> Option<Note> {
    match change {
        Change::Known(generation) => Some(Note::Known(generation)),
        Change::Ended(file) => Some(Note::Ended(file)),
        Change::Skipped(_) => None,
    }
}

/// Keeps the checkpoint until all senders are done; then writes it a last time, and says whether that succeeded.
async fn keep(mut keeper: Keeper, store: Arc<Store>, mut noted: mpsc::Receiver<(usize, Note)>) -> bool {
    loop {
        let due = keeper.due();
        // Receiving loses nothing when the time comes first.
        let is_due = tokio::select! {
            note = noted.recv() => match note {
                Some((index, note)) => {
                    keeper.note(index, note);
                    false
                }
                None => break,
            },
            () = sleep_until(due), if due.is_some() => true,
        };
        if is_due {
            save(&mut keeper, &store).await;
        }
    }
    if keeper.due().is_some() {
        save(&mut keeper, &store).await;
    }
    keeper.due().is_none()
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

/// Writes a checkpoint, without holding up the network.
async fn save(keeper: &mut Keeper, store: &Arc<Store>) {
    let snapshot = keeper.snapshot(Instant::now());
    let store = Arc::clone(store);
    let saving = tokio::task::spawn_blocking(move || (store.save(&snapshot.state), snapshot));
    // A panic in it has ended the process already.
    if let Ok((result, snapshot)) = saving.await {
        keeper.saved(snapshot.records(), result);
    }
}

/// Waits for a sender that ends though nobody asked it to.
async fn ended(sending: &mut [JoinHandle<()>]) -> tokio::task::JoinError {
    loop {
        for task in &mut *sending {
            if task.is_finished()
                && let Err(error) = task.await
            {
                return error;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Lets the pipeline run dry, up to the deadline; then writes the checkpoint.
async fn stop(
    agent: &Agent,
    sending: Vec<JoinHandle<()>>,
    keeping: JoinHandle<bool>,
) -> Result<(), RunError> {
    let deadline = Instant::now() + agent.shutdown_timeout;
    for mut task in sending {
        match timeout_at(deadline, &mut task).await {
            Ok(ended) => ended.map_err(RunError::Task)?,
            Err(_) => {
                warn!(wait = ?agent.shutdown_timeout, "the stream did not take everything before the deadline; \
                      what is left is sent at the next start");
                task.abort();
                task.await.ok();
            }
        }
    }
    // A disk that hangs must not keep the process from ending.
    match timeout_at(deadline + LAST_CHECKPOINT, keeping).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) | Err(_) => Err(RunError::LastCheckpoint),
        Ok(Err(error)) => Err(RunError::Task(error)),
    }
}
