//! Joins the steps with bounded channels; the only place that starts threads and tasks.
//!
//! ```text
//!   reader, a plain thread for each flow        network, one thread for all         disk
//!   source ▶ split ▶ parse ▶ batch ──parcels──▶ send, several calls at once ──messages──▶ quarantine, checkpoint
//! ```
//!
//! Each flow has its own channel, its own share of the memory and its own sender: what goes wrong with one stream
//! stops nothing else. (G5, G7) Stopping is the pipeline running dry: readers stop, each channel closes behind the
//! last line, each step finishes what it holds, the checkpoint is written last. (G3)

mod attendant;
mod cloudwatch;
mod counts;
mod first_start;
mod instance;
mod joint;
mod keeping;
mod on_the_way;
mod quarantine;
mod reader;
mod record_maker;
mod replay;
mod report;
mod sending;
mod shipper;
mod spools;
mod strays;
mod unprocessed;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::batch::Batcher;
use crate::checkpoint::{Found, Keeper, State, Store, StoreError};
use crate::config::{Agent, Config, Flow};
use crate::metrics::Metric;
use crate::position::FlowId;
use crate::quarantine::Quarantine;
use crate::send::{Aws, AwsError, Kinesis, Sender};
use crate::shutdown::StopRequests;
use crate::source::{HostNameError, Resume, Source, System, Watch, host_name};
use crate::takeover;
use attendant::Attendant;
use joint::Joint;
use keeping::Keeping;
use quarantine::Ward;
use reader::{Desk, Parcel, Reader};
use record_maker::RecordMaker;
use replay::Replayer;
use report::Reporter;
use sending::Sending;
pub use shipper::Shipper;
use spools::Spools;
use strays::Strays;
use unprocessed::Unprocessed;

/// Parcels between a reader and the network. Two for each request in flight keep the network busy while a reader
/// waits for the disk; what they hold is charged to the memory budget, so this bounds latency, not bytes.
const PARCELS_QUEUED: usize = 2 * sending::REQUESTS_IN_FLIGHT;

/// Messages to the task that writes the state directory. Each batch makes two; a sender that has to wait for one waits
/// for the disk.
const MESSAGES_QUEUED: usize = 256;

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
        source: io::Error,
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

impl RunError {
    /// Whether all that is in the way is another agent on the same state directory.
    #[must_use]
    pub fn is_held_by_another(&self) -> bool {
        matches!(self, RunError::State(StoreError::Locked { .. }))
    }
}

/// Runs the agent until one of the requests that `listen` hears asks it to stop.
///
/// # Errors
/// If it can't start. Once it runs, it ends only as asked.
pub fn run(config: Config, listen: impl FnOnce() -> io::Result<StopRequests>) -> Result<(), RunError> {
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
        let mut requests = listen().map_err(system("listening to signals"))?;
        // Until the service can be reached at all there is nothing that must be brought to an end in order.
        let aws = tokio::select! {
            aws = Aws::connect(&config.agent.kinesis) => aws.map_err(RunError::Aws)?,
            request = requests.next() => {
                info!(reason = request, "stopped before anything was started");
                return Ok(());
            }
        };
        run_flows(config, host, store, found, &aws, &mut requests).await
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
    requests: &mut StopRequests,
) -> Result<(), RunError> {
    let Config { agent, flows, .. } = config;
    let now = Instant::now();
    let share = agent.max_memory_bytes / flows.len().max(1);
    let (resumes, parked) = resume(&flows, found);
    let is_first = resumes.iter().any(|resume| matches!(resume, Resume::FirstStart));
    let joint = |flow| Joint::new(flow, share.saturating_sub(Source::BLOCK_BYTES));
    let joints: Vec<Joint> = flows.iter().map(joint).collect();
    let named = flows.iter().zip(&joints).map(|(flow, joint)| (flow.id.clone(), Arc::clone(&joint.metrics)));
    let named: Vec<_> = named.collect();
    let mut keeper = Keeper::new(named.clone(), parked, now);
    if let Some(joint) = joints.first() {
        joint.metrics.add(Metric::CheckpointsSetAside, store.damaged());
    }
    let quarantine = Quarantine::open(&agent.state_directory, agent.quarantine_bytes, named);
    let quarantine = Arc::new(quarantine);

    // Every flow's files are found, and that is on disk, before the first byte is read: a crash in the first second
    // must not make another first start of it.
    let mut sources = Vec::new();
    for (index, ((flow, joint), resume)) in flows.iter().zip(&joints).zip(resumes).enumerate() {
        let (bell, metrics) = (Arc::clone(&joint.bell), Arc::clone(&joint.metrics));
        let mut source =
            Source::start(flow.source.clone(), Arc::new(System), Watch::new(bell), resume, metrics, now);
        for note in source.changes().into_iter().filter_map(sending::note) {
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

    let known = instance::know(&flows, aws).await;
    let (messages, told) = mpsc::channel(MESSAGES_QUEUED);
    let keeping = Keeping {
        keeper,
        store: Arc::clone(&store),
        quarantine: Arc::clone(&quarantine),
        flows: flows.iter().map(|flow| flow.id.clone()).collect(),
        spools: Spools::of(&flows),
    };
    let keeping = tokio::spawn(keeping.run(told));
    let (mut sending, mut replayers) = (Vec::new(), Vec::new());
    for (index, ((flow, joint), source)) in flows.into_iter().zip(&joints).zip(sources).enumerate() {
        info!(stream = flow.stream, file = flow.source.pattern.as_text(), "started flow {}", flow.name);
        let (parcels, parceled) = mpsc::channel(PARCELS_QUEUED);
        let sender = sender(&flow, joint, aws);
        let on_the_way = Arc::clone(&joint.on_the_way);
        let task = Sending {
            index,
            sender,
            on_the_way,
            metrics: Arc::clone(&joint.metrics),
            messages: messages.clone(),
        };
        sending.push(tokio::spawn(task.run(parceled)));
        let maker = RecordMaker::new(&flow, host.clone(), known.clone());
        replayers.push(Replayer::new(maker.clone(), flow.batch.clone(), parcels.downgrade()));
        read(flow, maker, joint, source, parcels)?;
    }
    let ward = Ward { quarantine, replayers };
    let attendant = Attendant::start(&joints, messages.downgrade(), ward, agent.state_directory.clone());
    drop(messages);
    let mut reporter = Reporter::new(&joints, store, agent.detail);
    let (settings, stopping) = (agent.cloudwatch.as_ref(), Notify::new());
    let mut telling = pin!(cloudwatch::tell(&joints, settings, aws, &stopping));

    // All arms only wait: for a signal, for a task that never ends by itself, for the time to tell, for who asks.
    tokio::select! {
        request = requests.next() => info!(reason = request, "stopping: sends what is read"),
        ended = ended(&mut sending) => return Err(RunError::Task(ended)),
        () = reporter.run(agent.status_period) => {}
        () = attendant.attend() => {}
        () = &mut telling => {}
    }
    for joint in &joints {
        joint.bell.stop();
    }
    tokio::select! {
        stopped = stop(&agent, sending, keeping) => stopped?,
        request = requests.next() => {
            warn!(reason = request, "asked to stop again: ends at once; what the last checkpoint does not cover is sent again at the next start");
            return Ok(());
        }
        () = reporter.run(agent.status_period) => {}
        () = attendant.attend() => {}
        () = &mut telling => {}
    }
    cloudwatch::finish(telling, &stopping).await;
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
    let (metrics, calls) = (Arc::clone(&joint.metrics), Arc::clone(&joint.calls));
    let (name, health) = (flow.stream.clone(), Arc::clone(&joint.health));
    Sender::new(Kinesis::new(aws, &flow.stream), name, flow.waits, metrics, calls, health)
}

/// Starts a flow's reader. It ends when its bell says so; a panic in it ends the process.
fn read(
    flow: Flow,
    maker: RecordMaker,
    joint: &Joint,
    source: Source,
    parcels: mpsc::Sender<Parcel>,
) -> Result<(), RunError> {
    let batcher = Batcher::new(flow.batch, fastrand::Rng::new());
    let strays = Strays::new(flow.on_mismatch, flow.name.clone(), Arc::clone(&joint.budget));
    let desk = Desk::new(batcher, parcels, joint, Unprocessed::of(&flow.name), strays);
    let reader = Reader { source, bell: Arc::clone(&joint.bell), maker, desk };
    let thread = std::thread::Builder::new().name(flow.name).spawn(move || reader.run());
    thread.map_err(|source| RunError::System { what: "a reader's thread", source })?;
    Ok(())
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
