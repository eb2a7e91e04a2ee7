//! How many bytes a flow may hold at once: nothing is read that has no room.
//!
//! Does not know what the bytes are. Each flow has a share of its own, so that a flow whose stream is away starves
//! no other. What is charged is given back when its [`Charge`] is dropped. (G5)

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One flow's share of the memory.
#[derive(Debug)]
pub struct Budget {
    account: Mutex<Account>,
    freed: Condvar,
}

#[derive(Debug)]
struct Account {
    share: usize,
    held: usize,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A share of `share` bytes.
    #[must_use]
    pub fn new(share: usize) -> Arc<Budget> {
        Arc::new(Budget { account: Mutex::new(Account { share, held: 0 }), freed: Condvar::new() })
    }

    /// Holds `bytes` more as soon as they fit; gives up after `patience`. More than the whole share is let in when
    /// nothing else is held: a single record can be larger than a small share, and must not wait for ever.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: usize, patience: Duration) -> Option<Charge> {
        let has_no_room = |account: &mut Account| account.held != 0 && account.held + bytes > account.share;
        let waited = self.freed.wait_timeout_while(self.account(), patience, has_no_room);
        let (mut account, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return None;
        }
        account.held += bytes;
        Some(Charge { budget: Arc::clone(self), bytes })
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.account().held
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn share(&self) -> usize {
        self.account().share
    }

    /// Makes the share larger or smaller. What is held beyond a smaller one stays until it is given back.
    pub fn set_share(&self, share: usize) {
        self.account().share = share;
        self.freed.notify_all();
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge {
    /// Holds `bytes` more if they fit; says whether they did.
    #[must_use]
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let mut account = self.budget.account();
        let fits = account.held + bytes <= account.share;
        if fits {
            account.held += bytes;
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.account().held -= self.bytes;
        self.budget.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(100);
        let first = budget.charge(60, PATIENCE).unwrap();
        let mut second = budget.charge(30, PATIENCE).unwrap();
        assert!(!second.try_grow(11));
        assert!(second.try_grow(10));
        drop(first);
        assert_eq!(budget.held(), 40);
        drop(second);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn more_than_the_share_is_let_in_alone() {
        let budget = Budget::new(100);
        let large = budget.charge(500, PATIENCE).unwrap();
        assert_eq!(budget.held(), 500);
        drop(large);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn who_waits_is_let_in_when_there_is_room() {
        let budget = Budget::new(100);
        let first = budget.charge(80, PATIENCE).unwrap();
        let waiting = Arc::clone(&budget);
        let other = std::thread::spawn(move || waiting.charge(50, PATIENCE).unwrap().bytes);
        drop(first);
        assert_eq!(other.join().unwrap(), 50);
    }

    #[test]
    fn who_waits_is_let_in_when_the_share_grows_and_a_smaller_one_holds_at_once() {
        let budget = Budget::new(100);
        let mut first = budget.charge(80, PATIENCE).unwrap();
        let waiting = Arc::clone(&budget);
        let other = std::thread::spawn(move || waiting.charge(50, PATIENCE));
        budget.set_share(130);
        let other = other.join().unwrap();
        assert_eq!(budget.held(), 130);
        drop(other);
        budget.set_share(60);
        assert!(!first.try_grow(1));
        assert!(budget.charge(1, Duration::from_millis(1)).is_none());
        drop(first);
        assert!(budget.charge(60, PATIENCE).is_some());
    }

    #[test]
    fn who_waits_in_vain_goes_on_without() {
        let budget = Budget::new(100);
        let first = budget.charge(80, PATIENCE);
        assert!(budget.charge(50, Duration::from_millis(1)).is_none());
        assert_eq!(budget.held(), 80);
        drop(first);
    }

    proptest! {
        /// Whatever grows and goes, no more than the share is held, and the sum is right.
        #[test]
        fn growing_never_passes_the_share(steps in proptest::collection::vec((any::<bool>(), 0usize..60), 0..40)) {
            let budget = Budget::new(100);
            let mut charges = vec![budget.charge(0, PATIENCE).unwrap()];
            for (grow, bytes) in steps {
                if grow {
                    let last = charges.last_mut().unwrap();
                    let before = last.bytes;
                    let grew = last.try_grow(bytes);
                    prop_assert_eq!(last.bytes, if grew { before + bytes } else { before });
                } else {
                    charges.remove(0);
                    charges.push(budget.charge(0, PATIENCE).unwrap());
                }
                prop_assert!(budget.held() <= 100);
                prop_assert_eq!(budget.held(), charges.iter().map(|charge| charge.bytes).sum::<usize>());
            }
        }
    }
}
