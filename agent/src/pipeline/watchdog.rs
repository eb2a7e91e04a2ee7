//! Tells the service manager how everything is, and that all is well only while that is so: each part moves, or says why
//! it does not. One that hangs is told to the log; then the service manager hears nothing, and starts the agent again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, warn};

use super::joint::Joint;
use super::roster::{Member, Roster};
use super::vigil::{Part, Pulse, Sign, Vigil};
use crate::loss::Cause;
use crate::metrics::Metric;
use crate::supervisor::Supervisor;

/// How often is looked where the service manager does not say how often it wants to hear.
const PERIOD: Duration = Duration::from_secs(20);

/// What a reader's round may take beside its waits, a write of the state directory, and a sender beside its call and the
/// pause after it. A disk or a machine that holds them up for longer may do so for ever.
const HOLD_UP: Duration = Duration::from_secs(15);

/// Looks at all parts, and tells.
#[derive(Debug)]
pub(super) struct Watchdog<'a> {
    supervisor: &'a Supervisor,
    roster: Arc<Roster>,
    keeper: Arc<Pulse>,
    period: Duration,
    vigil: Vigil,
    /// Those that hung at the last look.
    hung: Vec<Part>,
    is_ready_told: bool,
}

impl<'a> Watchdog<'a> {
    /// Watches those of the `roster`, and the `keeper` of the state directory.
    pub(super) fn new(supervisor: &'a Supervisor, roster: Arc<Roster>, keeper: Arc<Pulse>) -> Watchdog<'a> {
        // Two words may come late before the third is missed.
        let period = supervisor.watchdog().map_or(PERIOD, |watchdog| watchdog / 3);
        let vigil = Vigil::new(period);
        Watchdog { supervisor, roster, keeper, period, vigil, hung: Vec::new(), is_ready_told: false }
    }

    /// Says that the agent is ready, and then how it is, for as long as it is polled.
    pub(super) async fn run(&mut self) {
        let mut tick = interval(self.period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look();
        }
    }

    fn look(&mut self) {
        let members = self.roster.members();
        let flows = members.iter().flat_map(|member| signs(&member.joint));
        let signs: Vec<Sign> = flows.chain([self.keeper()]).collect();
        let hung = self.vigil.look(&signs);
        let words: Vec<String> = hung
            .iter()
            .map(|(part, silent)| {
                format!("{} hangs: silent for {} s", name(*part, &members), silent.as_secs())
            })
            .collect();
        self.log(hung.iter().map(|(part, _)| *part).collect(), &words);
        let status = status(&members, self.roster.is_stopping(), &words);
        let ready = if self.is_ready_told { "" } else { "READY=1\n" };
        let well = if words.is_empty() { "WATCHDOG=1\n" } else { "" };
        self.is_ready_told |= self.supervisor.tell(&format!("{ready}{well}STATUS={status}"));
    }

    fn keeper(&self) -> Sign {
        // The last checkpoint of a stop has a deadline of its own.
        let is_judged = self.keeper.is_at_work() && !self.roster.is_stopping();
        Sign { part: Part::Keeper, moves: self.keeper.moves(), patience: is_judged.then_some(HOLD_UP) }
    }

    /// Tells the log the change, not the state.
    fn log(&mut self, hung: Vec<Part>, words: &[String]) {
        if hung.iter().any(|part| !self.hung.contains(part)) {
            let then = match self.supervisor.watchdog() {
                Some(_) => "unless it moves soon, the service manager starts the agent again",
                None => "nobody watches the agent who would start it again",
            };
            error!("{}, with work to do, and nothing says why; {then}", words.join("; "));
        }
        if hung.is_empty() && !self.hung.is_empty() {
            warn!("what hung moves again");
        }
        self.hung = hung;
    }
}

/// What the parts of a flow show.
fn signs(flow: &Joint) -> [Sign; 3] {
    let index = flow.index;
    // Who is told to stop has a deadline, and who ends may leave work behind.
    let is_stopped = flow.bell.is_stopped();
    let is_sending = flow.on_the_way.oldest().is_some();
    let judge = |is_at_work: bool, patience: Option<Duration>| {
        patience.map(|patience| patience + HOLD_UP).filter(|_| is_at_work && !is_stopped)
    };
    let count = |metrics: &[Metric]| metrics.iter().map(|metric| flow.metrics.get(*metric)).sum::<u64>();
    let lines =
        [Metric::LinesRead].into_iter().chain(Cause::ALL.map(Metric::LinesQuarantined)).collect::<Vec<_>>();
    let calls = [Metric::RequestsSent, Metric::RequestsFailed, Metric::RecordsAcked, Metric::RecordsRefused];
    [
        Sign {
            part: Part::Reader(index),
            moves: flow.reading.moves(),
            patience: judge(flow.reading.is_at_work(), Some(flow.rescan)),
        },
        // As long as anything is on its way, or is put into the quarantine, what is missing is what that holds.
        Sign {
            part: Part::Room(index),
            moves: flow.room.moves() + count(&lines),
            patience: judge(flow.room.is_at_work() && !is_sending, Some(Duration::ZERO)),
        },
        Sign { part: Part::Sender(index), moves: count(&calls), patience: judge(is_sending, flow.silence) },
    ]
}

/// What the log calls a part.
fn name(part: Part, members: &[Arc<Member>]) -> String {
    let flow = |index: usize| {
        let member = members.iter().find(|member| member.joint.index == index);
        member.map_or("", |member| &member.joint.name)
    };
    match part {
        Part::Reader(index) => format!("the reader of flow {}", flow(index)),
        Part::Room(index) => format!("the wait of flow {} for memory", flow(index)),
        Part::Sender(index) => format!("the sender of flow {}", flow(index)),
        Part::Keeper => "the writer of the state directory".to_owned(),
    }
}

/// How everything is, on one line.
fn status(members: &[Arc<Member>], is_stopping: bool, hung: &[String]) -> String {
    let flows = || members.iter().map(|member| &member.joint);
    let behind: u64 = flows().map(|flow| flow.metrics.get(Metric::LagBytes)).sum();
    let doing = if is_stopping { "stopping, " } else { "" };
    let all = format!("{doing}{} flow(s), {behind} bytes behind", members.len());
    let trouble = |flow: &Joint| Some(format!("flow {}: {}", flow.name, flow.health.trouble()?.words));
    let parts: Vec<String> =
        [all].into_iter().chain(hung.iter().cloned()).chain(flows().filter_map(trouble)).collect();
    parts.join("; ").replace(['\n', '\r'], " ")
}
