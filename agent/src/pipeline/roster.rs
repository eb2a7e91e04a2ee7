//! The flows that run at a moment, for those who tell of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::joint::Joint;
use super::replay::Replayer;
use crate::config::Agent;
use crate::metrics::{Metrics, sum};
use crate::report::java::{Counts, Detail};
use crate::report::prometheus;

/// A flow that runs.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) joint: Joint,
    /// What sends its lines of the quarantine after all.
    pub(super) replayer: Replayer,
}

/// Who runs, and what there is to tell of all together.
#[derive(Debug)]
pub(super) struct Roster {
    /// Counts what is not one flow's alone, and what flows counted that are gone.
    pub(super) agent: Arc<Metrics>,
    /// Somebody wants the log to be told how everything is.
    pub(super) asked: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    members: Vec<Arc<Member>>,
    gone: Counts,
    is_stopping: bool,
    manner: Manner,
}

/// What the log is told from time to time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// How often, if at all.
    pub(super) period: Option<Duration>,
    /// What beside the progress.
    pub(super) detail: Detail,
}

impl Roster {
    /// Nobody runs yet.
    pub(super) fn new(agent: &Agent) -> Roster {
        let manner = Manner::of(agent);
        let state = State { members: Vec::new(), gone: Counts::default(), is_stopping: false, manner };
        Roster { agent: Arc::default(), asked: Notify::new(), state: Mutex::new(state) }
    }

    /// Who runs, in the order of the configuration.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.state().members.clone()
    }

    /// Says who runs from now on.
    pub(super) fn set_members(&self, members: Vec<Arc<Member>>) {
        self.state().members = members;
    }

    /// Counts of a flow that is gone what it counted.
    pub(super) fn absorb(&self, gone: &Joint) {
        self.agent.absorb(&gone.metrics);
        let mut state = self.state();
        state.gone = Counts::sum(&[state.gone, Counts::of(&gone.metrics, gone.processing).of_the_gone()]);
    }

    /// What flows have counted that are gone.
    pub(super) fn gone(&self) -> Counts {
        self.state().gone
    }

    /// All metrics, as Prometheus reads them.
    pub(super) fn exposition(&self) -> String {
        let members = self.members();
        let flows = members.iter().map(|member| member.joint.metrics.as_ref());
        let metrics: Vec<&Metrics> = flows.chain([self.agent.as_ref()]).collect();
        prometheus(&sum(&metrics))
    }

    pub(super) fn manner(&self) -> Manner {
        self.state().manner
    }

    pub(super) fn set_manner(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// Whether all of them come to their end.
    pub(super) fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// All of them come to their end.
    pub(super) fn stop(&self) {
        self.state().is_stopping = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manner {
    /// As configured.
    pub(super) fn of(agent: &Agent) -> Manner {
        Manner { period: agent.status_period, detail: agent.detail }
    }
}
