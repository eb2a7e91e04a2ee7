//! Which batches of a flow are on their way, by age.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// When the batches on their way were opened.
#[derive(Debug, Default)]
pub(super) struct OnTheWay(Mutex<BTreeMap<Instant, usize>>);

impl OnTheWay {
    pub(super) fn add(&self, opened: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(opened).or_default() += 1;
    }

    pub(super) fn remove(&self, opened: Instant) {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = batches.get_mut(&opened) {
            *count -= 1;
            if *count == 0 {
                batches.remove(&opened);
            }
        }
    }

    /// When the oldest was opened.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().next().copied()
    }
}
