//! What is wrong with a stream, as long as it is: the log tells the change and not the state, and an operator may ask.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a stream must have taken everything before it is said to be well again.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// How a stream is.
#[derive(Debug, Default)]
pub struct Health {
    trouble: Mutex<Option<Trouble>>,
    /// Until when it is left alone.
    resumes: Mutex<Option<Instant>>,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it said so far, each told once.
    pub codes: BTreeSet<String>,
    /// What it said last, in full.
    pub words: String,
    /// When it began.
    pub began: Instant,
    /// When it showed last.
    pub last: Instant,
}

impl Health {
    /// What is wrong now, or was a moment ago.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        locked(&self.trouble).clone()
    }

    /// Until when it is left alone, if a call waits.
    #[must_use]
    pub fn resumes(&self) -> Option<Instant> {
        locked(&self.resumes).filter(|resumes| *resumes > Instant::now())
    }

    /// Remembers that a call is to wait for so long.
    pub(super) fn note_wait(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut resumes = locked(&self.resumes);
        *resumes = (*resumes).max(Some(until));
    }

    /// Remembers what is wrong; says whether that is another thing than before.
    pub(super) fn note(&self, code: &str, words: String) -> bool {
        let now = Instant::now();
        let mut trouble = locked(&self.trouble);
        let trouble = trouble.get_or_insert_with(|| Trouble {
            codes: BTreeSet::new(),
            words: String::new(),
            began: now,
            last: now,
        });
        (trouble.last, trouble.words) = (now, words);
        trouble.codes.insert(code.to_owned())
    }

    /// The stream took everything; gives the trouble that has ended by that.
    pub(super) fn note_well(&self) -> Option<Trouble> {
        locked(&self.trouble).take_if(|known| known.last.elapsed() >= WELL_AFTER)
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_counts_until_it_is_over() {
        let health = Health::default();
        assert_eq!(health.resumes(), None);
        let now = Instant::now();
        health.note_wait(Duration::from_secs(9));
        health.note_wait(Duration::from_secs(2));
        assert_eq!(health.resumes(), Some(now + Duration::from_secs(9)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(health.resumes(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_news_once_and_ends_when_it_has_not_shown_for_long() {
        let health = Health::default();
        assert_eq!((health.trouble(), health.note_well()), (None, None));
        assert!(health.note("Full", "first".to_owned()));
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!health.note("Full", "second".to_owned()), "told already");
        assert!(health.note("Denied", "third".to_owned()));
        assert_eq!(health.note_well(), None, "it showed a moment ago");
        let codes = ["Denied", "Full"].map(str::to_owned).into();
        let trouble = Trouble { codes, words: "third".to_owned(), began, last: Instant::now() };
        assert_eq!(health.trouble(), Some(trouble.clone()));
        tokio::time::advance(WELL_AFTER).await;
        assert_eq!((health.note_well(), health.trouble()), (Some(trouble), None));
    }
}
