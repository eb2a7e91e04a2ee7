//! Whether each part of the agent moves that has something to do. Pure: it is looked at regularly, and the looks are counted.
//!
//! A part shows with a [`Sign`] how often it has moved, and for how long it may show nothing: a reader until it looks at
//! its files again, a sender until its call has had an answer or none in time and the pause after it is over. One that has
//! nothing to do, or waits for another that has, may be silent for ever. Who is silent for longer hangs: the work is there,
//! and nobody says why it is not done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts the moves of one part, which alone writes it. Odd while there is something to do.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    /// There is something to do from now on, or nothing.
    pub(super) fn set(&self, is_at_work: bool) {
        if self.is_at_work() != is_at_work {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It moved, and has more to do.
    pub(super) fn beat(&self) {
        self.0.fetch_add(2, Ordering::Relaxed);
    }

    /// Whether there is something to do.
    pub(super) fn is_at_work(&self) -> bool {
        self.moves() % 2 == 1
    }

    /// How often it moved.
    pub(super) fn moves(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A part of the agent; those of a flow with what it is called in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What reads a flow's files.
    Reader(usize),
    /// The memory that a reader waits for.
    Room(usize),
    /// What offers a flow's records to its stream.
    Sender(usize),
    /// What writes the state directory.
    Keeper,
}

/// What a part shows of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) part: Part,
    /// Another number than at the last look if it moved since.
    pub(super) moves: u64,
    /// For how long it may show nothing; none for ever.
    pub(super) patience: Option<Duration>,
}

/// Watches all parts.
#[derive(Debug)]
pub(super) struct Vigil {
    period: Duration,
    /// What each showed at the last look, and for how many looks before.
    seen: BTreeMap<Part, (u64, u32)>,
}

impl Vigil {
    /// Is going to look each `period`. A look that comes late counts as one in time: what held it up has held up the parts,
    /// too.
    pub(super) fn new(period: Duration) -> Vigil {
        Vigil { period, seen: BTreeMap::new() }
    }

    /// Looks at all parts; gives those that hang, with how long they have been silent.
    pub(super) fn look(&mut self, signs: &[Sign]) -> Vec<(Part, Duration)> {
        let last = std::mem::take(&mut self.seen);
        let mut hung = Vec::new();
        for Sign { part, moves, patience } in signs {
            let Some(patience) = patience else { continue };
            let looks = match last.get(part) {
                Some((before, looks)) if before == moves => looks.saturating_add(1),
                Some(_) | None => 0,
            };
            self.seen.insert(*part, (*moves, looks));
            let silent = self.period.saturating_mul(looks);
            if silent > *patience {
                hung.push((*part, silent));
            }
        }
        hung
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);

    /// Shows a vigil these moves and patiences of one part, in seconds; gives how long it was silent at each look at which
    /// it hung.
    fn looks(shown: &[(u64, Option<u64>)]) -> Vec<Option<u64>> {
        let mut vigil = Vigil::new(PERIOD);
        let look = |(moves, patience): &(u64, Option<u64>)| {
            let patience = patience.map(Duration::from_secs);
            let hung = vigil.look(&[Sign { part: Part::Reader(0), moves: *moves, patience }]);
            hung.first().map(|(_, silent)| silent.as_secs())
        };
        shown.iter().map(look).collect()
    }

    #[test]
    fn a_pulse_is_at_work_until_it_rests() {
        let pulse = Pulse::default();
        assert!(!pulse.is_at_work());
        pulse.set(true);
        let begun = pulse.moves();
        pulse.set(true);
        assert_eq!((pulse.is_at_work(), pulse.moves()), (true, begun), "the same work");
        pulse.beat();
        assert!(pulse.is_at_work() && pulse.moves() != begun);
        pulse.set(false);
        assert!(!pulse.is_at_work());
        pulse.set(true);
        assert!(pulse.is_at_work() && pulse.moves() != begun, "other work");
    }

    #[test]
    fn one_hangs_that_is_silent_for_longer_than_it_may_be() {
        assert_eq!(looks(&[(5, Some(2)); 5]), [None, None, None, Some(3), Some(4)]);
    }

    #[test]
    fn a_move_ends_it() {
        let shown = [(5, Some(0)), (5, Some(0)), (6, Some(0)), (6, Some(0))];
        assert_eq!(looks(&shown), [None, Some(1), None, Some(1)]);
    }

    #[test]
    fn one_with_nothing_to_do_never_hangs_and_is_looked_at_anew_afterwards() {
        let shown = [(5, Some(0)), (5, None), (5, None), (5, Some(0)), (5, Some(0))];
        assert_eq!(looks(&shown), [None, None, None, None, Some(1)]);
    }

    #[test]
    fn one_that_hangs_is_not_hidden_by_one_that_moves() {
        let mut vigil = Vigil::new(PERIOD);
        let patience = Some(Duration::ZERO);
        for turn in 0..3 {
            let signs = [
                Sign { part: Part::Reader(0), moves: turn, patience },
                Sign { part: Part::Reader(1), moves: 0, patience },
                Sign { part: Part::Sender(0), moves: turn, patience },
                Sign { part: Part::Keeper, moves: turn, patience },
            ];
            let hung: Vec<Part> = vigil.look(&signs).into_iter().map(|(part, _)| part).collect();
            assert_eq!(hung, if turn == 0 { vec![] } else { vec![Part::Reader(1)] });
        }
    }

    proptest! {
        /// By the slow definition: it hangs if it has shown the same for longer than it may now, and was never at rest.
        #[test]
        fn one_hangs_exactly_if_it_has_shown_the_same_for_too_long(
            shown in proptest::collection::vec((0u64..2, proptest::option::weighted(0.9, 0u64..4)), 0..60),
        ) {
            for (look, told) in looks(&shown).into_iter().enumerate() {
                let (moves, patience) = shown[look];
                let before = shown[..look].iter().rev();
                let same = before.take_while(|(other, other_patience)| *other == moves && other_patience.is_some());
                let silent = same.count() as u64;
                let hangs = patience.is_some_and(|patience| silent > patience);
                prop_assert_eq!(told, hangs.then_some(silent));
            }
        }
    }
}
