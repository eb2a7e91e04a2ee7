//! Joins the steps with bounded channels; the only place that starts threads and tasks.
//!
//! ```text
//!   reader, a plain thread for each flow        network, one thread for all         disk
//!   source ▶ split ▶ parse ▶ batch ──parcels──▶ send, several calls at once ──messages──▶ quarantine, checkpoint
//! ```
//!
//! Each flow has its own channel, its own share of the memory and its own sender: what goes wrong with one stream
//! stops nothing else. (G5, G7) `flows` starts and ends them, one by one when the configuration changes. Stopping is the pipeline running dry: readers stop, each channel closes behind the
//! last line, each step finishes what it holds, the checkpoint is written last. (G3)

mod attendant;
mod cloudwatch;
mod counts;
mod exporting;
mod first_start;
mod flows;
mod instance;
mod joint;
mod keeping;
mod learning;
mod on_the_way;
mod quarantine;
mod reader;
mod record_maker;
mod replay;
mod report;
mod resume;
mod roster;
mod running;
mod sending;
mod shipper;
mod spools;
mod strays;
mod unprocessed;
mod vigil;
mod watchdog;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::checkpoint::{Found, Keeper, State, Store, StoreError};
use crate::config::Config;
use crate::metrics::Metric;
use crate::quarantine::Quarantine;
use crate::requests::{Request, Requests};
use crate::send::{Aws, AwsError};
use crate::source::HostNameError;
use crate::supervisor::Supervisor;
use crate::takeover;
use attendant::Attendant;
use cloudwatch::CloudWatch;
use flows::Flows;
use keeping::Keeping;
use quarantine::Ward;
use report::Reporter;
use roster::Roster;
pub use shipper::Shipper;
use spools::Spools;
use watchdog::Watchdog;

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

/// Runs the agent until one of the requests that `listen` hears asks it to stop; the `supervisor` is told how it is.
///
/// # Errors
/// If it can't start. Once it runs, it ends only as asked.
pub fn run(
    config: Config,
    listen: impl FnOnce() -> io::Result<Requests>,
    supervisor: &Supervisor,
) -> Result<(), RunError> {
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
            reason = requests.stop() => {
                info!(reason, "stopped before anything was started");
                return Ok(());
            }
        };
        run_flows(config, store, found, aws, &mut requests, supervisor).await
    });
    // What is still blocked on a dead disk or stream must not keep the process from ending.
    runtime.shutdown_background();
    result
}

async fn run_flows(
    config: Config,
    store: Arc<Store>,
    found: Found,
    aws: Aws,
    requests: &mut Requests,
    supervisor: &Supervisor,
) -> Result<(), RunError> {
    let Config { agent, flows, sources, .. } = config;
    let roster = Arc::new(Roster::new(&agent));
    roster.agent.add(Metric::CheckpointsSetAside, store.damaged());
    let quarantine =
        Quarantine::open(&agent.state_directory, agent.quarantine_bytes, Arc::clone(&roster.agent));
    let quarantine = Arc::new(quarantine);
    let last = match &found {
        Found::State(state) => state.clone(),
        Found::Nothing | Found::Damaged => State::default(),
    };
    let (messages, told) = mpsc::channel(MESSAGES_QUEUED);
    let pulse = Arc::default();
    let mut keeping = Keeping {
        pulse: Arc::clone(&pulse),
        keeper: Keeper::new(Arc::clone(&roster.agent), last, Instant::now()),
        store: Arc::clone(&store),
        quarantine: Arc::clone(&quarantine),
        flows: BTreeMap::new(),
        spools: Spools::default(),
    };
    let (asked, ward) = (messages.downgrade(), Ward { quarantine: Arc::clone(&quarantine) });
    let (state_directory, metrics_listen) = (agent.state_directory.clone(), agent.metrics_listen.clone());
    let mut all = Flows::new(agent, sources, aws, messages, quarantine, Arc::clone(&roster));
    all.start(flows, found, &mut keeping).await?;
    let keeping = tokio::spawn(keeping.run(told));
    let attendant = Attendant::start(Arc::clone(&roster), asked, ward, state_directory);
    let mut reporter = Reporter::new(Arc::clone(&roster), store);
    // Last, as it says that all others are there.
    let mut watchdog = Watchdog::new(supervisor, Arc::clone(&roster), pulse);
    // All arms only wait: for a request, for the time to tell, for who asks, for the time to look. Only the first ends.
    let end = tokio::select! {
        end = lead(all, keeping, &roster, requests, supervisor) => end?,
        () = reporter.run() => return Ok(()),
        () = attendant.attend() => return Ok(()),
        () = exporting::export(metrics_listen, &roster) => return Ok(()),
        () = watchdog.run() => return Ok(()),
    };
    let End::Dry(cloudwatch) = end else { return Ok(()) };
    if let Some(cloudwatch) = cloudwatch {
        cloudwatch.finish().await;
    }
    reporter.finish().await;
    info!("stopped");
    Ok(())
}

/// How all flows ended.
enum End {
    /// With everything sent, or the deadline. CloudWatch is to be told last.
    Dry(Option<CloudWatch>),
    /// As somebody could not wait for that.
    AtOnce,
}

/// Does what is asked, until that is to stop; then lets the flows run dry.
async fn lead(
    mut flows: Flows,
    keeping: JoinHandle<bool>,
    roster: &Roster,
    requests: &mut Requests,
    supervisor: &Supervisor,
) -> Result<End, RunError> {
    let reason = loop {
        let request = tokio::select! {
            request = requests.next() => request,
            ended = flows.ended() => return Err(RunError::Task(ended)),
        };
        match request {
            Request::Stop(reason) => break reason,
            Request::Tell => roster.asked.notify_one(),
            // Who asks for the end does not wait for a reload.
            Request::Reload => tokio::select! {
                () = flows.reload() => {}
                reason = requests.stop() => break reason,
            },
        }
    };
    info!(reason, "stopping: sends what is read");
    supervisor.tell("STOPPING=1");
    tokio::select! {
        stopped = stop(flows, keeping) => stopped.map(End::Dry),
        reason = requests.stop() => {
            warn!(reason, "asked to stop again: ends at once; what the last checkpoint does not cover is sent again at the next start");
            Ok(End::AtOnce)
        }
    }
}

/// Lets the pipeline run dry, up to the deadline; then writes the checkpoint.
async fn stop(flows: Flows, keeping: JoinHandle<bool>) -> Result<Option<CloudWatch>, RunError> {
    let (cloudwatch, deadline) = flows.finish().await;
    // A disk that hangs must not keep the process from ending.
    match timeout_at(deadline + LAST_CHECKPOINT, keeping).await {
        Ok(Ok(true)) => Ok(cloudwatch),
        Ok(Ok(false)) | Err(_) => Err(RunError::LastCheckpoint),
        Ok(Err(error)) => Err(RunError::Task(error)),
    }
}
