//! What becomes of the lines of one flow that do not match.
//!
//! Lines for the quarantine are gathered here, in memory that is charged to the flow, and go before the batch that stands
//! for their bytes. The first mismatch is told with its place, the others once a minute with their number.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::budget::{Budget, Charge};
use crate::loss::Cause;
use crate::parse::Mismatch;
use crate::position::{FileId, Mark, Offset};
use crate::quarantine::{OnMismatch, Stray};
use crate::split::Line;

/// The steps in which memory is charged.
const STEP: usize = 64 * 1024;

/// How many bytes are gathered before they go on: the quarantine is written by the checkpoint's task, which is not to be
/// kept from its other work for long.
const GATHERED: usize = 1024 * 1024;

/// What a line costs beside its bytes.
const OVERHEAD: usize = size_of::<(FileId, Stray)>() + 128;

/// How often lines that do not match are told of.
const TELL: Duration = Duration::from_secs(60);

/// Lines for the quarantine, and the memory they hold until this is dropped.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) strays: Vec<(FileId, Stray)>,
    _charge: Option<Charge>,
}

/// Gathers the lines of one flow that do not match.
#[derive(Debug)]
pub(super) struct Strays {
    pub(super) policy: OnMismatch,
    /// What the log calls the flow.
    flow: String,
    budget: Arc<Budget>,
    gathered: Vec<(FileId, Stray)>,
    /// What they hold, and how much of it is charged.
    bytes: usize,
    charged: usize,
    charge: Option<Charge>,
    news: News,
}

/// What the log is to be told.
#[derive(Debug, Default)]
struct News {
    /// When it was told last.
    told: Option<Instant>,
    /// How many lines were found since then.
    lines: u64,
    /// The first of them.
    first: Option<(Offset, Mismatch)>,
}

impl Strays {
    pub(super) fn new(policy: OnMismatch, flow: String, budget: Arc<Budget>) -> Strays {
        let (gathered, news) = (Vec::new(), News::default());
        Strays { policy, flow, budget, gathered, bytes: 0, charged: 0, charge: None, news }
    }

    /// Notes that a line does not match, for the log.
    pub(super) fn note(&mut self, offset: Offset, line: &Line<'_>, mismatch: &Mismatch) {
        self.news.lines += line.lines();
        if self.news.first.is_none() {
            self.news.first = Some((offset, mismatch.clone()));
        }
    }

    /// Takes a line in; says whether there was memory for it, for which it waits for at most `patience`.
    pub(super) fn take(
        &mut self,
        (file, mark, offset): (FileId, Mark, Offset),
        line: &Line<'_>,
        mismatch: &Mismatch,
        patience: Duration,
    ) -> bool {
        let bytes = self.bytes + line.bytes().len() + OVERHEAD;
        if bytes > self.charged {
            let more = (bytes - self.charged).div_ceil(STEP) * STEP;
            let has_room = match &mut self.charge {
                Some(_) if bytes > GATHERED => false,
                Some(charge) => charge.try_grow(more),
                None => {
                    self.charge = self.budget.charge(more, patience);
                    self.charge.is_some()
                }
            };
            if !has_room {
                return false;
            }
            self.charged += more;
        }
        self.bytes = bytes;
        let (lines, cause, why) = (line.lines(), Cause::Unmatched, mismatch.to_string());
        let stray = Stray { mark, offset, lines, cause, why, bytes: line.bytes().to_vec() };
        self.gathered.push((file, stray));
        true
    }

    /// Everything that was gathered, if anything was.
    pub(super) fn close(&mut self) -> Option<Gathered> {
        (self.bytes, self.charged) = (0, 0);
        let (strays, charge) = (std::mem::take(&mut self.gathered), self.charge.take());
        (!strays.is_empty()).then_some(Gathered { strays, _charge: charge })
    }

    /// Tells the log of lines of the file at `path` that did not match, if there were any and it is time.
    pub(super) fn tell(&mut self, path: &Path, now: Instant) {
        let News { told, lines, first } = &mut self.news;
        if told.is_some_and(|told| now.saturating_duration_since(told) < TELL) {
            return;
        }
        let Some((offset, mismatch)) = first.take() else { return };
        let lines = std::mem::take(lines);
        let becomes = match self.policy {
            OnMismatch::Keep => "keeps them in the quarantine; see `kinetail quarantine list`",
            OnMismatch::SendRaw => "sends them as they are",
            OnMismatch::Drop => "drops them and counts them",
        };
        let again = if told.is_none() { "lines do not match" } else { "more lines do not match" };
        *told = Some(now);
        warn!(file = %path.display(), offset = offset.to_raw(), lines, reason = %mismatch,
              "{again} in flow {}; {becomes}", self.flow);
    }
}
