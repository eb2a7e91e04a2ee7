//! The flows that run: how one begins, how it ends, and which of both a new configuration asks for.
//!
//! A flow that ends stops reading, has what it offered answered, and leaves its positions parked in the checkpoint. One that
//! begins takes over what is parked for it. So a flow that is changed is one that ends and one that begins, and all others
//! do not notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::cloudwatch::CloudWatch;
use super::joint::{Joint, kept_within};
use super::keeping::{Entrant, Entry, Keeping, Message};
use super::learning::learn;
use super::record_maker::RecordMaker;
use super::resume::resume;
use super::roster::{Manner, Roster};
use super::running::{Running, finish};
use super::sending;
use super::{RunError, instance};
use crate::chain::Chain;
use crate::checkpoint::{Found, Parked, State};
use crate::config::{self, Agent, Config, Flow, Sources};
use crate::metrics::Metric;
use crate::position::FlowId;
use crate::quarantine::Quarantine;
use crate::send::Aws;
use crate::source::{Resume, Source, System, Watch, host_name};

/// How long a reader that has nobody to give lines to may take to end.
const LAST_ROUND: Duration = Duration::from_secs(5);

/// When a checkpoint is tried again that flows wait for.
const AGAIN: Duration = Duration::from_secs(1);

/// The flows that run, and what each is started with.
#[derive(Debug)]
pub(super) struct Flows {
    agent: Agent,
    sources: Sources,
    aws: Aws,
    messages: mpsc::Sender<Message>,
    quarantine: Arc<Quarantine>,
    roster: Arc<Roster>,
    cloudwatch: Option<CloudWatch>,
    running: Vec<Running>,
    /// Those that are to end. Kept here, so that a stop finds them if it comes before they have.
    leaving: Vec<Running>,
    /// How many there were so far.
    count: usize,
    /// All that are configured, in their order.
    order: Vec<FlowId>,
}

impl Flows {
    /// None yet, of those who will tell `messages` and be told of by `roster`.
    pub(super) fn new(
        agent: Agent,
        sources: Sources,
        aws: Aws,
        messages: mpsc::Sender<Message>,
        quarantine: Arc<Quarantine>,
        roster: Arc<Roster>,
    ) -> Flows {
        Flows {
            agent,
            sources,
            aws,
            messages,
            quarantine,
            roster,
            cloudwatch: None,
            running: Vec::new(),
            leaving: Vec::new(),
            count: 0,
            order: Vec::new(),
        }
    }

    /// Starts all flows of a configuration, which go on from what was found.
    ///
    /// # Errors
    /// If one cannot be started, or if it is the first start and cannot be written down.
    pub(super) async fn start(
        &mut self,
        flows: Vec<Flow>,
        found: Found,
        keeping: &mut Keeping,
    ) -> Result<(), RunError> {
        self.order = flows.iter().map(|flow| flow.id.clone()).collect();
        let (begun, entry) = self.prepare(flows, found).await?;
        keeping.start(entry, begun.is_first).map_err(RunError::State)?;
        self.begin(begun).await
    }

    /// Waits for one that ends though nobody asked it to.
    pub(super) async fn ended(&mut self) -> JoinError {
        loop {
            for running in &mut self.running {
                if running.sending.is_finished()
                    && let Err(error) = (&mut running.sending).await
                {
                    return error;
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Reads the configuration again, and does what it asks for. One that is wrong changes nothing.
    pub(super) async fn reload(&mut self) {
        let sources = self.sources.clone();
        let loaded = spawn_blocking(move || config::load(&sources)).await;
        // A panic in it has ended the process already.
        let Ok(loaded) = loaded else { return };
        let config = match loaded {
            Ok(config) => config,
            Err(problems) => {
                problems.to_string().lines().for_each(|problem| error!("{problem}"));
                return error!(
                    "the configuration is wrong, and nothing is changed; mend it and reload again"
                );
            }
        };
        if let Err(error) = self.change(config).await {
            error!(error = %Chain(&error), "could not do all that the configuration says; mend that and reload again");
        }
    }

    /// Ends what is not wanted any more, and begins what is new.
    async fn change(&mut self, Config { mut agent, flows, warnings, .. }: Config) -> Result<(), RunError> {
        warnings.iter().for_each(|warning| warn!("{warning}"));
        self.keep_what_is_fixed(&mut agent);
        // With another access to the service each flow is another. Whether there is one is known before any ends.
        let aws = match agent.kinesis == self.agent.kinesis {
            true => None,
            false => Some(Aws::connect(&agent.kinesis).await.map_err(RunError::Aws)?),
        };
        self.order = flows.iter().map(|flow| flow.id.clone()).collect();
        let (goes_on, begins) = self.sort_out(flows, aws.is_some());
        let (went_on, ended, began) = (goes_on.len(), self.leaving.len(), begins.len());

        let parked = self.end(agent.kinesis.patience.of_a_call().unwrap_or(agent.shutdown_timeout)).await;
        (self.agent, self.aws) = (agent, aws.unwrap_or_else(|| self.aws.clone()));
        self.roster.set_manner(Manner::of(&self.agent));
        self.share_out(goes_on);
        let found = Found::State(State { generation: 0, flows: parked });
        let (begun, entry) = self.prepare(begins, found).await?;
        let mut is_saved = self.ask(|answer| Message::Enter(entry, answer)).await;
        // One that starts for the first time must not do so twice.
        while begun.is_first && is_saved == Some(false) {
            sleep(AGAIN).await;
            is_saved = self.ask(Message::Save).await;
        }
        self.begin(begun).await?;
        info!("reloaded: {went_on} flow(s) go on, {ended} ended, {began} began");
        Ok(())
    }

    /// Puts those that run to those that leave unless they are among `flows`; gives of these who goes on and who is new.
    fn sort_out(&mut self, flows: Vec<Flow>, is_every_other: bool) -> (Vec<Flow>, Vec<Flow>) {
        let leaves =
            |running: &mut Running| is_every_other || flows.iter().all(|flow| flow.text != running.flow.text);
        self.leaving = self.running.extract_if(.., leaves).collect();
        let runs = |flow: &Flow| self.running.iter().any(|running| running.flow.text == flow.text);
        flows.into_iter().partition(runs)
    }

    /// Takes back what only a start can change, and says so.
    fn keep_what_is_fixed(&self, agent: &mut Agent) {
        let fixed = [
            ("stateDirectory", agent.state_directory != self.agent.state_directory),
            ("quarantineBytes", agent.quarantine_bytes != self.agent.quarantine_bytes),
            ("metricsListen", agent.metrics_listen != self.agent.metrics_listen),
        ];
        for (key, _) in fixed.iter().filter(|(_, is_changed)| *is_changed) {
            warn!("`{key}` is another now; that takes a restart, and until then the old value counts");
        }
        agent.state_directory.clone_from(&self.agent.state_directory);
        agent.quarantine_bytes = self.agent.quarantine_bytes;
        agent.metrics_listen.clone_from(&self.agent.metrics_listen);
    }

    /// Gives each of `flows`, which go on, its part of what there is.
    fn share_out(&mut self, flows: Vec<Flow>) {
        let share = self.share();
        for flow in flows {
            let Some(running) = self.running.iter_mut().find(|running| running.flow.text == flow.text) else {
                continue;
            };
            let (joint, open_files) = (&running.member.joint, flow.source.open_files);
            joint.budget.set_share(share);
            joint.buffers.set_most(kept_within(share));
            // It does so between two of its reads; nobody waits for that.
            drop(joint.bell.ask(move |source, _| source.set_open_files(open_files)));
            running.flow = flow;
        }
    }

    /// What the batches of one flow may hold.
    fn share(&self) -> usize {
        (self.agent.max_memory_bytes / self.order.len().max(1)).saturating_sub(Source::BLOCK_BYTES)
    }

    /// Ends what is to leave; gives all positions that are parked then. What the stream does not take within `patience` is
    /// read again by who takes its place.
    async fn end(&mut self, patience: Duration) -> Parked {
        self.leaving.iter().for_each(|running| running.member.joint.bell.stop());
        finish(&mut self.leaving, Instant::now() + patience).await;
        for running in &mut self.leaving {
            // It may be waiting for a disk that hangs; what it counts from then on is nobody's.
            timeout(LAST_ROUND, &mut running.reading).await.ok();
        }
        // What they called since the last time, too.
        if let Some(cloudwatch) = self.cloudwatch.take() {
            cloudwatch.finish().await;
        }
        let indices = self.leaving.iter().map(|running| running.member.joint.index).collect();
        let parked = self.ask(|answer| Message::Leave { indices, answer }).await.unwrap_or_default();
        // Nothing is published in between, so that no count becomes less.
        for Running { flow, member, .. } in self.leaving.drain(..) {
            let discarded = member.joint.metrics.get(Metric::UnackedRecords);
            member.joint.metrics.add(Metric::RecordsDiscarded, discarded);
            self.roster.absorb(&member.joint);
            info!(stream = flow.destination.name(), discarded, "ended flow {}", flow.name);
        }
        self.introduce();
        parked
    }

    /// Finds the files of flows that are to begin, and what the checkpoint is to be told of them before they do.
    async fn prepare(&mut self, mut flows: Vec<Flow>, found: Found) -> Result<(Begun, Entry), RunError> {
        learn(&mut flows, &self.aws).await;
        let host = flows.iter().any(|flow| flow.adds_position).then(host_name).transpose();
        let host = host.map_err(RunError::Host)?.map(Arc::from);
        let (resumes, parked) = resume(&flows, found);
        let is_first = resumes.iter().any(|resume| matches!(resume, Resume::FirstStart));
        let (bytes, patience) = (self.share(), self.agent.kinesis.patience);
        let joint = |(index, flow): (usize, &Flow)| Joint::new(flow, index, bytes, patience);
        let joints: Vec<Joint> = (self.count..).zip(&flows).map(joint).collect();
        self.count += joints.len();
        let begins: Vec<_> = flows.into_iter().zip(joints).collect();
        // Looking at all files takes its time, and who runs already is not to wait for it.
        let found = spawn_blocking(move || find(begins, resumes)).await.map_err(RunError::Task)?;
        let (begins, entrants) = found.into_iter().unzip();
        Ok((Begun { begins, host, is_first }, Entry { entrants, parked }))
    }

    /// Has flows begin to read; those that cannot leave again, with their positions.
    async fn begin(&mut self, Begun { begins, host, .. }: Begun) -> Result<(), RunError> {
        let known = instance::know(begins.iter().map(|(flow, ..)| flow), &self.aws).await;
        let running = self.running.iter().map(|running| &running.member.joint);
        let joints = running.chain(begins.iter().map(|(_, joint, _)| joint));
        let named = joints.map(|joint| (joint.id.clone(), Arc::clone(&joint.metrics))).collect();
        let quarantine = Arc::clone(&self.quarantine);
        // A panic in it has ended the process already.
        spawn_blocking(move || quarantine.is_of(named)).await.unwrap_or_default();
        let (mut failed, mut result) = (Vec::new(), Ok(()));
        for (flow, joint, source) in begins {
            info!(
                stream = flow.destination.name(),
                file = flow.source.pattern.as_text(),
                "started flow {}",
                flow.name
            );
            let maker = RecordMaker::new(&flow, host.clone(), known.clone());
            let index = joint.index;
            match Running::start(flow, joint, source, maker, &self.aws, &self.messages) {
                Ok(running) => self.running.push(running),
                Err(error) => {
                    failed.push(index);
                    result = Err(error);
                }
            }
        }
        self.introduce();
        if !failed.is_empty() {
            self.ask(|answer| Message::Leave { indices: failed, answer }).await;
        }
        self.cloudwatch = CloudWatch::start(&self.roster, self.agent.cloudwatch.as_ref(), &self.aws);
        result
    }

    /// Says who runs to those who tell of it.
    fn introduce(&mut self) {
        self.running.sort_by_key(|running| self.order.iter().position(|id| *id == running.flow.id));
        self.roster.set_members(self.running.iter().map(|running| Arc::clone(&running.member)).collect());
        self.quarantine.tell();
    }

    /// Lets all of them run dry, those too that a reload has begun to end; gives who is to be told last, and until when all
    /// was to end. Nobody has anything to say any more.
    pub(super) async fn finish(mut self) -> (Option<CloudWatch>, Instant) {
        let deadline = Instant::now() + self.agent.shutdown_timeout;
        self.roster.stop();
        self.running.append(&mut self.leaving);
        self.running.iter().for_each(|running| running.member.joint.bell.stop());
        if !finish(&mut self.running, deadline).await {
            warn!(wait = ?self.agent.shutdown_timeout, "the stream did not take everything before the deadline; \
                  what is left is sent at the next start");
        }
        (self.cloudwatch, deadline)
    }

    /// Asks who keeps the checkpoint. There is always an answer: it ends after all who ask.
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(question(answer)).await.ok()?;
        answered.await.ok()
    }
}

/// A flow that is about to begin.
type Begins = (Flow, Joint, Source);

/// Flows that are about to begin.
struct Begun {
    begins: Vec<Begins>,
    /// What `addPosition` adds as `@host`.
    host: Option<Arc<str>>,
    /// Whether one starts for the first time.
    is_first: bool,
}

/// Finds the files of each flow, before the first byte of any is read.
fn find(begins: Vec<(Flow, Joint)>, resumes: Vec<Resume>) -> Vec<(Begins, Entrant)> {
    let now = Instant::now();
    let find = |((flow, joint), resume): ((Flow, Joint), Resume)| {
        let (watch, metrics) = (Watch::new(Arc::clone(&joint.bell)), Arc::clone(&joint.metrics));
        let mut source = Source::start(flow.source.clone(), Arc::new(System), watch, resume, metrics, now);
        let entrant = Entrant {
            index: joint.index,
            id: flow.id.clone(),
            metrics: Arc::clone(&joint.metrics),
            spool: flow.spool.as_ref().map(|spool| spool.directory.clone()),
            notes: source.changes().into_iter().filter_map(sending::note).collect(),
        };
        ((flow, joint, source), entrant)
    };
    begins.into_iter().zip(resumes).map(find).collect()
}
