//! An event source mapping: reads the shards of a stream and invokes a function with what it reads.
//!
//! - [`settings`] is what it is told; [`record`] a record and how an event shows it;
//! - [`plan`] decides what is invoked with what, from [`batch`], [`windows`] and [`failure`]: all of it pure;
//! - [`reader`] reads one shard.
//!
//! What stands here only carries out the plan, shard by shard: one invocation at a time for each, a shard only after the
//! shards that it was split or merged from. <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>.
//!
//! A mapping that is disabled forgets nothing, so one that is enabled again goes on where it had stopped. What the
//! service does meanwhile with the state of a window that is open, it does not say; here it is kept.

pub mod batch;
pub mod failure;
pub mod plan;
pub mod reader;
pub mod record;
pub mod settings;
pub mod windows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::background::Background;
use crate::cloud::moment::Moment;
use crate::cloud::objects::Objects;
use crate::cloud::runtime::{ACCOUNT, Function};
use crate::endpoint::{self, Endpoint, REGION};
use crate::wait;
use failure::GivenUp;
use plan::{Call, Invocation, Plan, Step};
use reader::{Batch, Reader};
use record::Source;
use settings::{Settings, Start};
use windows::Window;

/// Between two looks at a shard, and at the list of shards. The service looks once a second.
const PAUSE: Duration = Duration::from_millis(50);

/// What is done to an invocation on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The function is not invoked; the invocation counts as failed.
    Before,
    /// The function is invoked and its answer is lost; the invocation counts as failed.
    After,
}

/// What an invocation was and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// The shard.
    pub shard: String,
    /// How many records it had.
    pub records: usize,
    /// Its window.
    pub window: Option<Window>,
    /// Which call of the window it was.
    pub call: Call,
    /// Why there was no answer; none if there was one, whatever it said.
    pub failure: Option<String>,
}

/// A running mapping; dropping it ends it in the middle of whatever it does.
#[derive(Debug)]
pub struct Mapping {
    shared: Arc<Shared>,
    _loop: Background,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    stream: String,
    settings: Settings,
    function: Arc<Function>,
    objects: Arc<Objects>,
    is_enabled: watch::Sender<bool>,
    faults: Mutex<VecDeque<Fault>>,
    history: Mutex<Vec<Invoked>>,
    given_up: Mutex<Vec<GivenUp>>,
    shards: Mutex<BTreeMap<String, Progress>>,
    trouble: Mutex<Option<String>>,
}

/// How far a shard is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// All that arrived before this is dealt with; none if something is still to be done.
    Reading { settled_until: Option<Moment>, is_closed: bool },
    /// It has ended, and all of it is dealt with.
    Finished,
}

impl Mapping {
    /// Begins to invoke `function` with the records of a stream. What is given up goes to `objects`, if the settings
    /// name a bucket for it.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(
        endpoint: &Endpoint,
        stream: &str,
        function: Arc<Function>,
        objects: Arc<Objects>,
        settings: Settings,
    ) -> Result<Mapping> {
        let shared = Arc::new(Shared {
            client: endpoint::client(endpoint.address()),
            stream: stream.to_owned(),
            settings,
            function,
            objects,
            is_enabled: watch::Sender::new(true),
            faults: Mutex::default(),
            history: Mutex::default(),
            given_up: Mutex::default(),
            shards: Mutex::default(),
            trouble: Mutex::default(),
        });
        let background = Background::start("mapping", coordinate(Arc::clone(&shared)))?;
        Ok(Mapping { shared, _loop: background })
    }

    /// Stops it after the invocations that run.
    pub fn disable(&self) {
        self.shared.is_enabled.send_replace(false);
    }

    /// Lets it go on where it had stopped.
    pub fn enable(&self) {
        self.shared.is_enabled.send_replace(true);
    }

    /// Does this to the next invocations, as many as `count`, after those that have been asked for already.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        lock(&self.shared.faults).extend(std::iter::repeat_n(fault, count));
    }

    /// All invocations so far, in the order in which they ended.
    #[must_use]
    pub fn history(&self) -> Vec<Invoked> {
        lock(&self.shared.history).clone()
    }

    /// What has been given up so far.
    #[must_use]
    pub fn given_up(&self) -> Vec<GivenUp> {
        lock(&self.shared.given_up).clone()
    }

    /// Waits until all that was in the stream at the time of the call is dealt with, windows included.
    ///
    /// # Errors
    /// If that is never so; with the last trouble and the end of what the function has said.
    pub async fn drained(&self, limit: Duration) -> Result<()> {
        let asked = Moment::now();
        let listed = self.shared.list().await?;
        let drained = wait::until("the mapping is drained", limit, async || {
            let shards = lock(&self.shared.shards);
            let is_drained = |shard: &Shard| match shards.get(&shard.shard_id) {
                Some(Progress::Finished) => true,
                Some(Progress::Reading { settled_until, .. }) => {
                    settled_until.is_some_and(|until| until >= asked)
                }
                None => false,
            };
            Ok(listed.iter().all(is_drained).then_some(()))
        });
        drained.await.map_err(|error| {
            let trouble = lock(&self.shared.trouble).clone().unwrap_or_default();
            let shards = lock(&self.shared.shards).clone();
            anyhow!("{error:#}\ntrouble: {trouble}\nshards: {shards:?}\n{}", self.shared.function.log())
        })
    }
}

/// The resource name of a stream.
#[must_use]
pub fn stream_arn(stream: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a task for each shard whose parents are done with, for ever.
async fn coordinate(shared: Arc<Shared>) {
    let mut begun = BTreeSet::new();
    let mut is_first_look = true;
    loop {
        match shared.list().await {
            Ok(listed) => {
                shared.note(&listed, is_first_look);
                let is_pending = |id: &Option<String>| {
                    id.as_ref().is_some_and(|id| {
                        listed.iter().any(|shard| shard.shard_id == *id) && !shared.is_finished(id)
                    })
                };
                for shard in &listed {
                    let waits =
                        is_pending(&shard.parent_shard_id) || is_pending(&shard.adjacent_parent_shard_id);
                    if waits || shared.is_finished(&shard.shard_id) || !begun.insert(shard.shard_id.clone()) {
                        continue;
                    }
                    // A shard that appears later is read from its first record: nothing of it was there before.
                    let start = if is_first_look { shared.settings.start } else { Start::TrimHorizon };
                    tokio::spawn(follow(Arc::clone(&shared), shard.shard_id.clone(), start));
                }
                is_first_look = false;
            }
            Err(error) => shared.trouble(&error),
        }
        sleep(PAUSE).await;
    }
}

/// Carries out the plan of one shard until it has ended.
async fn follow(shared: Arc<Shared>, shard: String, start: Start) {
    let source = Source { stream: stream_arn(&shared.stream), shard: shard.clone() };
    let mut plan = Plan::new(shared.settings.clone(), source);
    let mut reader = Reader::new(shared.client.clone(), &shared.stream, &shard, start);
    let mut is_enabled = shared.is_enabled.subscribe();
    let mut closed_since = None;
    loop {
        if is_enabled.wait_for(|is_enabled| *is_enabled).await.is_err() {
            return;
        }
        let is_closed = shared.is_closed(&shard);
        if is_closed && closed_since.is_none() {
            closed_since = Some(Moment::now());
        }
        if plan.has_room() {
            match reader.read().await {
                Ok(Some(Batch { records, until })) => {
                    // It had been closed long enough before it was read to its end.
                    let is_settled =
                        closed_since.is_some_and(|since| until.is_some_and(|until| until >= since));
                    if is_settled && records.is_empty() {
                        plan.end();
                    }
                    plan.read(records, until.unwrap_or_default(), Moment::now());
                }
                Ok(None) => {}
                Err(error) => shared.trouble(&error.context(format!("reading `{shard}`"))),
            }
        }
        match plan.next(Moment::now()) {
            Step::Invoke(invocation) => {
                let answer = shared.invoke(&shard, invocation).await;
                let answer = answer.as_ref().map(AsRef::as_ref).map_err(Clone::clone);
                if let Some(given_up) = plan.settle(answer, Moment::now()) {
                    shared.give_up(given_up);
                }
            }
            Step::GiveUp(given_up) => shared.give_up(given_up),
            Step::Wait => sleep(PAUSE).await,
            Step::End => {
                lock(&shared.shards).insert(shard, Progress::Finished);
                return;
            }
        }
        // Whether the shard is closed is noted by who lists the shards, and only there.
        if let Some(Progress::Reading { settled_until, .. }) = lock(&shared.shards).get_mut(&shard) {
            *settled_until = plan.settled_until();
        }
    }
}

impl Shared {
    async fn list(&self) -> Result<Vec<Shard>> {
        let mut request = self.client.list_shards().stream_name(&self.stream);
        let mut shards = Vec::new();
        loop {
            let answer = request.send().await.context("listing the shards")?;
            shards.extend(answer.shards.unwrap_or_default());
            match answer.next_token {
                Some(token) => request = self.client.list_shards().next_token(token),
                None => return Ok(shards),
            }
        }
    }

    /// Notes which shards there are and which are closed. Who begins at the end of the stream has done with those that
    /// were closed before.
    fn note(&self, listed: &[Shard], is_first_look: bool) {
        let mut shards = lock(&self.shards);
        for shard in listed {
            let range = shard.sequence_number_range.as_ref();
            let is_closed = range.is_some_and(|range| range.ending_sequence_number.is_some());
            let known = shards
                .entry(shard.shard_id.clone())
                .or_insert(Progress::Reading { settled_until: None, is_closed });
            if let Progress::Reading { settled_until, .. } = *known {
                *known = match (is_first_look, self.settings.start) {
                    (true, Start::Latest) if is_closed => Progress::Finished,
                    (_, Start::TrimHorizon | Start::Latest | Start::At(_)) => {
                        Progress::Reading { settled_until, is_closed }
                    }
                };
            }
        }
    }

    fn is_finished(&self, shard: &str) -> bool {
        matches!(lock(&self.shards).get(shard), Some(Progress::Finished))
    }

    fn is_closed(&self, shard: &str) -> bool {
        matches!(lock(&self.shards).get(shard), Some(Progress::Reading { is_closed: true, .. }))
    }

    async fn invoke(&self, shard: &str, invocation: Invocation) -> Result<axum::body::Bytes, String> {
        let Invocation { payload, records, window, call } = invocation;
        let fault = lock(&self.faults).pop_front();
        let answer = match fault {
            Some(Fault::Before) => Err("the invocation was throttled on request".to_owned()),
            Some(Fault::After) | None => {
                let answer = self.function.invoke(payload, self.settings.function_timeout).await;
                match fault {
                    None => answer.map_err(|failure| format!("{:#}", anyhow::Error::from(failure))),
                    Some(Fault::Before | Fault::After) => Err("the answer was lost on request".to_owned()),
                }
            }
        };
        if let Err(failure) = &answer {
            *lock(&self.trouble) = Some(failure.clone());
        }
        let failure = answer.as_ref().err().cloned();
        lock(&self.history).push(Invoked { shard: shard.to_owned(), records, window, call, failure });
        answer
    }

    fn give_up(&self, given_up: GivenUp) {
        if let Some(bucket) = &self.settings.on_failure {
            let now = Moment::now();
            let text = given_up.to_json(&self.function.arn(), now).to_string();
            self.objects.put(bucket, &given_up.key(&self.stream, now), text.into_bytes());
        }
        lock(&self.given_up).push(given_up);
    }

    fn trouble(&self, error: &anyhow::Error) {
        *lock(&self.trouble) = Some(format!("{error:#}"));
    }
}

#[cfg(test)]
mod tests;
