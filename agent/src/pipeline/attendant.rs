//! Answers what an operator asks on the control socket.
//!
//! Each question goes to who owns the answer, and none of them waits for it: a reader answers between two of its
//! reads, the checkpoint between two notes. What does not answer in time is left out, or said to have failed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::joint::Joint;
use super::keeping::{Message, News};
use super::quarantine::Ward;
use super::roster::{Member, Roster};
use crate::chain::Chain;
use crate::checkpoint::Note;
use crate::control::{
    Agent, Amendment, Answer, Explained, File, Flow, Outcome, Request, Run, Server, Status, Trouble, Watching,
};
use crate::loss::{Cause, Reason};
use crate::metrics::Metric;
use crate::position::{FileId, Generation, Offset};
use crate::source::{AmendError, Amended, Explanation, Listed, Source, Survey};

/// How long a reader may take: one whose stream is away looks up from its waiting twice in this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The files of a flow that are listed; a status of ten thousand helps nobody.
const FILES: usize = 1000;

/// What a flow's reader said, if it did in time.
type Answered<T> = (Arc<Member>, Option<T>);

/// How far each file of a flow is safe.
type Safe = BTreeMap<FileId, Offset>;

/// Answers for all flows.
#[derive(Debug)]
pub(super) struct Attendant {
    roster: Arc<Roster>,
    /// To ask the checkpoint. Not held open by us: it ends with the last sender.
    messages: mpsc::WeakSender<Message>,
    ward: Ward,
    state_directory: PathBuf,
    started: Instant,
    /// Nothing if there is no socket to be had.
    server: Option<Server>,
}

impl Attendant {
    /// Opens the socket. An agent that cannot have one ships logs all the same.
    pub(super) fn start(
        roster: Arc<Roster>,
        messages: mpsc::WeakSender<Message>,
        ward: Ward,
        state_directory: PathBuf,
    ) -> Attendant {
        let server = Server::bind(&state_directory)
            .inspect_err(|error| {
                warn!(directory = %state_directory.display(), error = %Chain(error),
                      "could not open the control socket; goes on, and `kinetail status` will find nobody");
            })
            .ok();
        Attendant { roster, messages, ward, state_directory, started: Instant::now(), server }
    }

    /// Answers for as long as it is polled.
    pub(super) async fn attend(&self) {
        let serve = async {
            if let Some(server) = &self.server {
                server.serve(async |request| self.answer(request).await).await;
            }
        };
        let tell = async {
            loop {
                self.roster.asked.notified().await;
                self.status().await.to_string().lines().for_each(|line| info!("{line}"));
            }
        };
        join(serve, tell).await;
    }

    async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status(self.status().await),
            Request::Explain { path } => self.explain(path).await,
            Request::Replay { picked, after } => {
                self.ward.replay(&self.roster.members(), &picked, after).await
            }
            Request::Clear { picked } => self.ward.clear(&self.roster.members(), &picked).await,
            Request::Set { path, to } => {
                let answered = self.ask(|| {
                    let path = path.clone();
                    move |source, now| source.set(&path, to.goal(), now)
                });
                amended(answered.await)
            }
            Request::Forget { path } => {
                let answered = self.ask(|| {
                    let path = path.clone();
                    move |source, now| source.forget(&path, now)
                });
                amended(answered.await)
            }
        }
    }

    /// Puts a question to all readers at once, and waits for their answers.
    async fn ask<T, Q>(&self, question: impl Fn() -> Q) -> Vec<Answered<T>>
    where
        T: Send + 'static,
        Q: FnOnce(&mut Source, Instant) -> T + Send + 'static,
    {
        let deadline = Instant::now() + PATIENCE;
        let ask = |member: Arc<Member>| (member.joint.bell.ask(question()), member);
        let asked: Vec<_> = self.roster.members().into_iter().map(ask).collect();
        let mut answers = Vec::new();
        for (answer, member) in asked {
            answers.push((member, in_time(deadline, answer).await));
        }
        answers
    }

    /// How far each file of each of these flows is safe.
    async fn safe<T>(&self, flows: &[Answered<T>]) -> Vec<Safe> {
        let deadline = Instant::now() + PATIENCE;
        let mut safe = Vec::new();
        for (member, _) in flows {
            safe.push(self.safe_of(member.joint.index, deadline).await.unwrap_or_default());
        }
        safe
    }

    async fn safe_of(&self, index: usize, deadline: Instant) -> Option<Safe> {
        let messages = self.messages.upgrade()?;
        let (answer, answered) = oneshot::channel();
        let asked = Message::Flow(index, News::Note(Note::Asked(answer)));
        timeout_at(deadline, messages.send(asked)).await.ok()?.ok()?;
        let files = in_time(deadline, answered).await?;
        Some(files.into_iter().map(|file: Generation| (file.file, file.position.offset)).collect())
    }

    async fn explain(&self, path: PathBuf) -> Answer {
        let explained = self.ask(|| {
            let path = path.clone();
            move |source, _| source.explain(&path)
        });
        let explained = explained.await;
        let safe = self.safe(&explained).await;
        let flows = explained.into_iter().zip(safe).map(|((member, explanation), safe)| {
            let flow = &member.joint;
            let explanation: Explanation = explanation.ok_or_else(|| no_answer(flow))?;
            Ok(Explained::new(&flow.name, &explanation, |listed| file(listed, &safe)))
        });
        match flows.collect() {
            Ok(flows) => Answer::Explained { flows },
            Err(reason) => Answer::Refused { reason },
        }
    }

    async fn status(&self) -> Status {
        let surveys = self.ask(|| |source: &mut Source, _| source.survey()).await;
        let safe = self.safe(&surveys).await;
        let agent = Agent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            state_directory: self.state_directory.clone(),
            run: if self.roster.is_stopping() { Run::Stopping } else { Run::Running },
        };
        let flows = surveys.into_iter().zip(safe);
        Status {
            agent,
            flows: flows.map(|((flow, survey), safe)| status_of(&flow.joint, survey, &safe)).collect(),
        }
    }
}

/// What came before the deadline.
async fn in_time<T>(deadline: Instant, answer: oneshot::Receiver<T>) -> Option<T> {
    timeout_at(deadline, answer).await.ok()?.ok()
}

fn no_answer(flow: &Joint) -> String {
    format!("the reader of flow {} did not answer; it may be stopping, or its disk may hang", flow.name)
}

fn amended(answered: Vec<Answered<Result<Amended, AmendError>>>) -> Answer {
    let amendment = |(member, result): (Arc<Member>, Option<_>)| match (&member.joint, result) {
        (flow, Some(result)) => Amendment::new(&flow.name, result),
        (flow, None) => {
            Amendment { flow: flow.name.clone(), outcome: Outcome::Refused { reason: no_answer(flow) } }
        }
    };
    Answer::Amended { flows: answered.into_iter().map(amendment).collect() }
}

fn file(listed: &Listed, safe: &Safe) -> File {
    File::new(listed, safe.get(&listed.generation.file).copied())
}

fn status_of(flow: &Joint, survey: Option<Survey>, safe: &Safe) -> Flow {
    let of = |metric| flow.metrics.get(metric);
    let pace = flow.pace();
    let now = Instant::now();
    let ago = |moment: Instant| now.saturating_duration_since(moment).as_secs();
    let trouble = flow.health.trouble().map(|trouble| Trouble {
        error: trouble.words,
        began_seconds_ago: ago(trouble.began),
        last_seconds_ago: ago(trouble.last),
    });
    let dropped = |reason: Reason| (reason.label().to_owned(), of(Metric::LinesDropped(reason)));
    let quarantined = |cause: Cause| (cause.label().to_owned(), of(Metric::LinesQuarantined(cause)));
    let watching = survey
        .as_ref()
        .map(|survey| if survey.is_watched { Watching::Notified } else { Watching::EverySecond });
    let mut files = survey.map_or_else(Vec::new, |survey| survey.files);
    let backlog_files_compressed = files.iter().filter(|file| file.is_compressed_backlog()).count();
    files.sort_by(|one, other| {
        other.behind().cmp(&one.behind()).then_with(|| one.generation.path.cmp(&other.generation.path))
    });
    Flow {
        name: flow.name.clone(),
        id: flow.id.to_string(),
        stream: flow.destination.name().to_owned(),
        lag_bytes: of(Metric::LagBytes),
        oldest_undelivered_seconds: flow.on_the_way.oldest().map_or(0, ago),
        backlog_bytes: of(Metric::BacklogBytes),
        backlog_files: of(Metric::BacklogFiles),
        backlog_files_compressed: backlog_files_compressed as u64,
        bytes_per_second: pace.bytes_per_second,
        seconds_left: pace.left.map(|left| left.as_secs()),
        lines_read: of(Metric::LinesRead),
        records_acked: of(Metric::RecordsAcked),
        unacked_records: of(Metric::UnackedRecords),
        repeatable_records: of(Metric::RepeatableRecords),
        lines_quarantined: Cause::ALL.into_iter().map(quarantined).collect(),
        quarantined_lines: of(Metric::QuarantinedLines),
        lines_dropped: Reason::ALL.into_iter().map(dropped).collect(),
        open_files: of(Metric::OpenFiles),
        trouble,
        watching,
        files_left_out: files.len().saturating_sub(FILES),
        files: files.iter().take(FILES).map(|listed| file(listed, safe)).collect(),
    }
}
