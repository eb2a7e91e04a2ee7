//! Tumbling windows of one shard. Pure.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>: each record belongs to one window, by
//! the time at which the stream took it and by nothing in it; the state that an invocation answers is what the next one
//! of the same window and shard is given; a state beyond 1 MB ends the window early. That windows begin at multiples of
//! their length since the epoch is taken from the examples there.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::moment::Moment;

/// The most that a state may have, written as JSON. The page says 1 MB; this is the smaller reading of that.
pub const STATE_LIMIT: usize = 1_000_000;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Its first moment.
    pub start: Moment,
    /// The first moment behind it.
    pub end: Moment,
}

impl Window {
    /// The window of this length that a record belongs to which arrived at that moment.
    #[must_use]
    pub fn of(arrived: Moment, length: Duration) -> Window {
        let start = arrived.floor(length);
        Window { start, end: start.plus(length) }
    }
}

/// A window that has begun: at least one invocation of it has been made.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Which.
    pub window: Window,
    /// What the last invocation answered.
    state: Value,
    state_bytes: usize,
}

impl Open {
    /// A window that begins, with an empty state.
    #[must_use]
    pub fn new(window: Window) -> Open {
        Open { window, state: json!({}), state_bytes: 2 }
    }

    /// What the next invocation is given.
    #[must_use]
    pub fn state(&self) -> &Value {
        &self.state
    }

    /// How large that is.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.state_bytes
    }

    /// An invocation has answered this state.
    pub fn keep(&mut self, state: Value) {
        self.state_bytes = state.to_string().len();
        self.state = state;
    }

    /// Whether it ends early because of its state.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.state_bytes > STATE_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_state_ends_its_window_only_beyond_the_limit() {
        let mut open = Open::new(Window::of(Moment::EPOCH, Duration::from_secs(1)));
        assert!(!open.is_too_large());
        for (letters, expected) in [(STATE_LIMIT - 2, false), (STATE_LIMIT - 1, true)] {
            open.keep(json!("a".repeat(letters)));
            assert_eq!(open.is_too_large(), expected, "{letters}");
        }
    }

    proptest! {
        #[test]
        fn a_window_holds_its_moment_and_touches_its_neighbours(
            millis in 0_u64..4_000_000_000_000,
            seconds in 1_u64..=900,
        ) {
            let length = Duration::from_secs(seconds);
            let moment = Moment::from_millis(millis);
            let window = Window::of(moment, length);
            prop_assert!(window.start <= moment && moment < window.end);
            prop_assert_eq!(window.start.to_millis() % (seconds * 1000), 0);
            prop_assert_eq!(Window::of(window.end, length).start, window.end);
        }
    }
}
