//! Which file is read next. Pure.
//!
//! Files stand in two lanes: those that are written to, in turn, a block each, so that none waits for another's end; and
//! the backlog, rotations that are to be read to their end, one after the other, the oldest first. Where both lanes have
//! something to read, each gets its share of the bytes: new lines flow while old ones are caught up with. (G4)

use std::collections::{BTreeMap, BTreeSet};

use crate::position::FileId;

/// Where a file stands that may have bytes to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// It is written to.
    Live,
    /// It was rotated; of these the one that was modified first is read first, in milliseconds since the epoch.
    Backlog {
        /// When it was modified.
        modified: i64,
    },
}

/// How many of a hundred bytes are read from the backlog while both lanes have something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// So many of a hundred; none if that starves one of the lanes.
    #[must_use]
    pub fn of_hundred(bytes: u8) -> Option<Share> {
        (1..=99).contains(&bytes).then_some(Share(bytes))
    }
}

/// Files that may have bytes to read, each at most once.
#[derive(Debug)]
pub(super) struct Lanes {
    share: Share,
    /// By their turn.
    live: BTreeMap<u64, FileId>,
    backlog: BTreeSet<(i64, FileId)>,
    members: BTreeMap<FileId, Place>,
    /// The next turn.
    turn: u64,
    /// How many bytes the backlog is owed, in hundredths. It never grows beyond a few blocks: what one lane did not want
    /// while it was empty is not made up for.
    owed: i64,
}

/// Where a file stands in its lane.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// With this turn.
    Live(u64),
    /// By when it was modified.
    Backlog(i64),
}

impl Lanes {
    pub(super) fn new(share: Share) -> Lanes {
        Lanes {
            share,
            live: BTreeMap::new(),
            backlog: BTreeSet::new(),
            members: BTreeMap::new(),
            turn: 0,
            owed: 0,
        }
    }

    /// Puts a file into its lane, or into its other lane.
    pub(super) fn add(&mut self, id: FileId, lane: Lane) {
        let place = match lane {
            Lane::Live if matches!(self.members.get(&id), Some(Place::Live(_))) => return,
            Lane::Live => Place::Live(self.turn),
            Lane::Backlog { modified } => Place::Backlog(modified),
        };
        self.remove(id);
        self.members.insert(id, place);
        match place {
            Place::Live(turn) => {
                self.live.insert(turn, id);
                self.turn += 1;
            }
            Place::Backlog(modified) => {
                self.backlog.insert((modified, id));
            }
        }
    }

    /// The file that is next.
    pub(super) fn first(&self) -> Option<FileId> {
        let (live, backlog) = (self.live.values().next().copied(), self.backlog.first().map(|(_, id)| *id));
        match (live, backlog) {
            (Some(live), Some(backlog)) => Some(if self.owed >= 0 { backlog } else { live }),
            (live, backlog) => live.or(backlog),
        }
    }

    /// So many bytes were read of the file, and there may be more: in its lane, the next file of those that are written
    /// to is before it.
    pub(super) fn took(&mut self, id: FileId, bytes: u64) {
        let Some(place) = self.members.get(&id) else { return };
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX / 100);
        let share = i64::from(self.share.0);
        match place {
            Place::Live(_) => {
                self.owed += bytes.saturating_mul(share);
                self.remove(id);
                self.add(id, Lane::Live);
            }
            Place::Backlog(_) => self.owed -= bytes.saturating_mul(100 - share),
        }
        if self.live.is_empty() || self.backlog.is_empty() {
            self.owed = 0;
        }
    }

    /// There is nothing to read in the file now.
    pub(super) fn remove(&mut self, id: FileId) {
        match self.members.remove(&id) {
            Some(Place::Live(turn)) => {
                self.live.remove(&turn);
            }
            Some(Place::Backlog(modified)) => {
                self.backlog.remove(&(modified, id));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: Lane = Lane::Backlog { modified: 1 };
    const NEW: Lane = Lane::Backlog { modified: 2 };

    fn id(number: u32) -> FileId {
        (1..number).fold(FileId::FIRST, |id, _| id.next())
    }

    /// Lanes with these files, and a share of so many of a hundred.
    fn lanes(share: u8, files: &[(u32, Lane)]) -> Lanes {
        let mut lanes = Lanes::new(Share::of_hundred(share).unwrap());
        files.iter().for_each(|(number, lane)| lanes.add(id(*number), *lane));
        lanes
    }

    /// Reads `count` blocks of a byte each; gives the numbers of the files they are of.
    fn read(lanes: &mut Lanes, count: usize) -> Vec<u32> {
        let next = |_| {
            let first = lanes.first()?;
            lanes.took(first, 1);
            Some(first.to_raw())
        };
        (0..count).map_while(next).collect()
    }

    #[track_caller]
    fn check(share: u8, files: &[(u32, Lane)], expected: &[u32]) {
        assert_eq!(read(&mut lanes(share, files), expected.len()), expected);
    }

    #[test]
    fn files_that_are_written_to_are_read_in_turn() {
        check(50, &[(1, Lane::Live), (2, Lane::Live), (3, Lane::Live)], &[1, 2, 3, 1, 2]);
    }

    #[test]
    fn of_the_backlog_the_oldest_is_read_to_its_end() {
        let mut lanes = lanes(50, &[(1, NEW), (2, OLD)]);
        assert_eq!(read(&mut lanes, 3), [2, 2, 2]);
        lanes.remove(id(2));
        assert_eq!(read(&mut lanes, 2), [1, 1]);
    }

    #[test]
    fn both_lanes_get_their_share() {
        check(50, &[(1, Lane::Live), (2, OLD)], &[2, 1, 2, 1]);
        check(25, &[(1, Lane::Live), (2, OLD)], &[2, 1, 1, 1, 2, 1, 1, 1]);
    }

    #[test]
    fn what_one_lane_did_not_want_is_not_made_up_for() {
        let mut lanes = lanes(50, &[(1, Lane::Live)]);
        read(&mut lanes, 100);
        lanes.add(id(2), OLD);
        assert_eq!(read(&mut lanes, 4), [2, 1, 2, 1]);
    }

    #[test]
    fn a_file_changes_its_lane() {
        let mut lanes = lanes(50, &[(1, Lane::Live), (2, Lane::Live)]);
        lanes.add(id(1), OLD);
        assert_eq!(read(&mut lanes, 4), [1, 2, 1, 2]);
        lanes.remove(id(1));
        assert_eq!(read(&mut lanes, 2), [2, 2]);
    }

    #[test]
    fn no_share_starves_a_lane() {
        assert_eq!((Share::of_hundred(0), Share::of_hundred(100)), (None, None));
    }

    proptest! {
        /// Whatever the share and the sizes of the blocks: while both lanes want to read, each gets its share of the
        /// bytes, but for a block.
        #[test]
        fn the_share_is_kept(share in 1u8..100, blocks in proptest::collection::vec(1u64..1000, 1..200)) {
            let mut lanes = lanes(share, &[(1, Lane::Live), (2, OLD)]);
            let (mut all, mut backlog) = (0u64, 0u64);
            for bytes in blocks {
                let first = lanes.first().unwrap();
                all += bytes;
                backlog += if first == id(2) { bytes } else { 0 };
                lanes.took(first, bytes);
                prop_assert!((all * u64::from(share)).abs_diff(backlog * 100) <= 100 * 1000);
            }
        }
    }
}
