//! Answers what an operator wants done with the quarantine: lines sent after all, lines cleared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::replay::Verdict;
use super::roster::Member;
use crate::chain::Chain;
use crate::control::{Answer, Picked, Replayed};
use crate::loss::Cause;
use crate::position::{FlowId, heir};
use crate::quarantine::{Entry, Filter, JournalError, Quarantine};

/// How long one answer may take: less than a client waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many bytes of lines are taken out at once: small enough for the least that a flow may hold.
const ROUND_BYTES: usize = 64 * 1024;

/// The quarantine, and who asks for it.
#[derive(Debug)]
pub(super) struct Ward {
    pub(super) quarantine: Arc<Quarantine>,
}

impl Ward {
    /// Sends lines that match by now; one round of them.
    pub(super) async fn replay(&self, flows: &[Arc<Member>], picked: &Picked, after: u64) -> Answer {
        let filter = match filter(flows, picked) {
            Ok(filter) => filter,
            Err(reason) => return Answer::Refused { reason },
        };
        let deadline = Instant::now() + PATIENCE;
        let lent = self.with(move |quarantine| quarantine.lend(&filter, after, ROUND_BYTES)).await;
        let entries = match lent {
            Ok(entries) => entries,
            Err(reason) => return Answer::Refused { reason },
        };
        let mut replayed = Replayed { next: entries.last().map(|entry| entry.number), ..Replayed::default() };
        let (mut back, mut answers) = (Vec::new(), Vec::new());
        for (index, entries) in by_heir(entries, flows) {
            let Some(Member { joint, replayer }) = index.and_then(|index| flows.get(index)).map(Arc::as_ref)
            else {
                replayed.unclaimed += entries.len() as u64;
                back.extend(entries.iter().map(|entry| entry.number));
                continue;
            };
            let mut sorted = replayer.sort(&entries);
            replayed.unmatched += sorted.unmatched.len() as u64;
            back.append(&mut sorted.unmatched);
            let (left, sent) = replayer.send(sorted, joint, deadline).await;
            replayed.held_up += left.len() as u64;
            back.extend(left);
            answers.extend(sent);
        }
        // What stays is the quarantine's again before the answer says so.
        self.with(move |quarantine| {
            quarantine.give_back(&back);
            Ok(())
        })
        .await
        .unwrap_or_default();
        for (records, answered) in answers {
            let known = in_time(deadline, answered).await;
            replayed.count(records, known.map(|verdict| (verdict.sent, verdict.refused)));
        }
        Answer::Replayed(replayed)
    }

    /// Removes lines.
    pub(super) async fn clear(&self, flows: &[Arc<Member>], picked: &Picked) -> Answer {
        let filter = match filter(flows, picked) {
            Ok(filter) => filter,
            Err(reason) => return Answer::Refused { reason },
        };
        match self.with(move |quarantine| quarantine.clear(&filter)).await {
            Ok(cleared) => Answer::Cleared { entries: cleared.entries, lines: cleared.lines },
            Err(reason) => Answer::Refused { reason },
        }
    }

    /// Does something with the quarantine, on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Quarantine) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, String> {
        let quarantine = Arc::clone(&self.quarantine);
        let acting = spawn_blocking(move || act(&quarantine));
        let acted = acting.await;
        self.quarantine.tell();
        match acted {
            Ok(acted) => acted.map_err(|error| Chain(&error).to_string()),
            // A panic in it has ended the process already.
            Err(_) => Err("the agent is ending".to_owned()),
        }
    }
}

/// What came before the deadline.
async fn in_time(deadline: Instant, answer: oneshot::Receiver<Verdict>) -> Option<Verdict> {
    timeout_at(deadline, answer).await.ok()?.ok()
}

/// Which entries are meant by the words of an operator.
fn filter(flows: &[Arc<Member>], Picked { flow, reason }: &Picked) -> Result<Filter, String> {
    let named = |text: &String| {
        let known = flows.iter().find(|known| known.joint.name == *text).map(|known| known.joint.id.clone());
        known.unwrap_or_else(|| FlowId::from_text(text.clone()))
    };
    let cause = |label: &String| {
        Cause::from_label(label).ok_or_else(|| format!("`{label}` is no reason for which lines are kept"))
    };
    let configured = flows.iter().map(|flow| flow.joint.id.clone()).collect();
    Ok(Filter { flow: flow.as_ref().map(named), cause: reason.as_ref().map(cause).transpose()?, configured })
}

/// The entries of each flow that may send them.
fn by_heir(entries: Vec<Entry>, flows: &[Arc<Member>]) -> BTreeMap<Option<usize>, Vec<Entry>> {
    let mut sorted: BTreeMap<Option<usize>, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        sorted.entry(heir(&entry.flow, flows.iter().map(|flow| &flow.joint.id))).or_default().push(entry);
    }
    sorted
}
