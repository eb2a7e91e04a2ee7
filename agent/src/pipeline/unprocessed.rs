//! Tells an operator of lines that are sent as they are, since a step failed: the first at once, more only once in a
//! while, with their number.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::parse::Failure;

/// How long nothing more is said.
const PAUSE: Duration = Duration::from_secs(600);

/// What is to be told, and when the last was.
#[derive(Debug)]
pub(super) struct Unprocessed {
    flow: String,
    told: Option<Instant>,
    /// Lines that were not told of, and what the last of them failed for.
    untold: Option<(u64, Failure)>,
}

impl Unprocessed {
    /// Of the flow of this name.
    pub(super) fn of(flow: &str) -> Unprocessed {
        Unprocessed { flow: flow.to_owned(), told: None, untold: None }
    }

    /// Notes so many lines.
    pub(super) fn note(&mut self, lines: u64, failure: Failure) {
        let before = self.untold.map_or(0, |(lines, _)| lines);
        self.untold = Some((before + lines, failure));
    }

    /// Says what is due at `now`.
    pub(super) fn tell(&mut self, now: Instant) {
        if let Some((lines, failure)) = self.due(now) {
            warn!(
                lines,
                reason = %failure,
                "a step of flow {} cannot work on what it is given; sends these lines as they are (counted in \
                 kinetail_lines_unprocessed_total)",
                self.flow
            );
        }
    }

    fn due(&mut self, now: Instant) -> Option<(u64, Failure)> {
        if self.told.is_some_and(|told| now < told + PAUSE) {
            return None;
        }
        let due = self.untold.take()?;
        self.told = Some(now);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_more_after_a_while() {
        let (mut unprocessed, start) = (Unprocessed::of("f"), Instant::now());
        assert_eq!(unprocessed.due(start), None);
        unprocessed.note(1, Failure::NoObject);
        assert_eq!(unprocessed.due(start), Some((1, Failure::NoObject)));
        unprocessed.note(2, Failure::NoObject);
        unprocessed.note(3, Failure::OpenQuote);
        assert_eq!(unprocessed.due(start + PAUSE / 2), None);
        assert_eq!(unprocessed.due(start + PAUSE), Some((5, Failure::OpenQuote)));
        assert_eq!(unprocessed.due(start + 3 * PAUSE), None);
    }
}
