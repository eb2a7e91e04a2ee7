//! Which bytes of which file are on their way, and up to where each file is safe. Pure.
//!
//! Batches are settled in any order; the safe offset moves only over an unbroken run, so that it never steps over
//! bytes that a crash would lose. (G1, G2)

use std::collections::BTreeMap;

use crate::loss::Dropped;
use crate::position::{FileId, Generation, Offset, Position, Share, Span};
use crate::send::Acked;

/// The files of one flow, as far as they matter after a crash.
#[derive(Debug, Default)]
pub struct Ledger {
    files: BTreeMap<FileId, File>,
    /// Records before safe offsets since that was last asked.
    safe_records: u64,
}

#[derive(Debug)]
struct File {
    /// Its position is the safe one.
    generation: Generation,
    /// Bytes on their way, by their start.
    open: BTreeMap<Offset, Open>,
    /// Nothing more will be read of it: when nothing is on its way any more, it is forgotten.
    ended: bool,
}

#[derive(Debug)]
struct Open {
    end: Position,
    records: usize,
    settled: bool,
}

impl Ledger {
    /// Notes a file that is new, or has another name, head or size than before. Its position counts only if it is
    /// new, or lies before the one that is known: then it is read from there again.
    pub fn know(&mut self, generation: Generation) {
        match self.files.get_mut(&generation.file) {
            Some(file) => {
                let safe = file.generation.position;
                let back = generation.position.offset < safe.offset;
                file.generation = generation;
                if !back {
                    file.generation.position = safe;
                }
            }
            None => {
                let file = File { generation, open: BTreeMap::new(), ended: false };
                self.files.insert(file.generation.file, file);
            }
        }
    }

    /// Notes that a share of a batch is on its way.
    pub fn open(&mut self, share: Share) {
        if let Some(file) = self.files.get_mut(&share.span.file()) {
            let open = Open { end: share.span.end(), records: share.records, settled: false };
            file.open.insert(share.span.start(), open);
        }
    }

    /// Notes that the stream has taken the records of a span.
    pub fn ack(&mut self, acked: Acked) {
        self.settle(acked.span());
    }

    /// Notes that the lines of a span are left behind: what is lost on purpose must not hold the file back for ever.
    pub fn drop(&mut self, dropped: Dropped) {
        self.open(Share { span: dropped.span(), records: 0 });
        self.settle(dropped.span());
    }

    /// Notes that nothing more will be read of a file.
    pub fn end(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.ended = true;
        }
        self.forget_if_done(id);
    }

    fn settle(&mut self, span: Span) {
        let Some(file) = self.files.get_mut(&span.file()) else { return };
        if let Some(open) = file.open.get_mut(&span.start()) {
            open.settled = true;
        }
        while let Some(first) = file.open.first_entry()
            && first.get().settled
            && *first.key() == file.generation.position.offset
        {
            let open = first.remove();
            file.generation.position = open.end;
            self.safe_records += open.records as u64;
        }
        self.forget_if_done(span.file());
    }

    fn forget_if_done(&mut self, id: FileId) {
        if self.files.get(&id).is_some_and(|file| file.ended && file.open.is_empty()) {
            self.files.remove(&id);
        }
    }

    /// The files, each with its safe position.
    pub fn files(&self) -> impl Iterator<Item = &Generation> {
        self.files.values().map(|file| &file.generation)
    }

    /// The file with this name, with its safe position.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&Generation> {
        self.files.get(&id).map(|file| &file.generation)
    }

    /// How many records have come to lie before a safe offset since this was last asked.
    pub fn take_safe_records(&mut self) -> u64 {
        std::mem::take(&mut self.safe_records)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::position::{Head, Identity, Tail};
    use crate::send::acked;

    fn generation(offset: u64) -> Generation {
        Generation {
            file: FileId::FIRST,
            identity: Identity { device: 1, inode: 2, head: Head::default() },
            mark: None,
            leaving: false,
            footer: None,
            first: Head::default(),
            beside: false,
            path: PathBuf::from("/log"),
            position: position(offset),
            size: 0,
            modified: 0,
            born: 0,
        }
    }

    fn position(offset: u64) -> Position {
        Position { offset: Offset::from_raw(offset), tail: Tail::default() }
    }

    fn span(start: u64, end: u64) -> Span {
        Span::new(FileId::FIRST, Offset::from_raw(start), position(end)).unwrap()
    }

    fn safe(ledger: &Ledger) -> Option<u64> {
        ledger.files().next().map(|file| file.position.offset.to_raw())
    }

    /// Spans of these lengths are acked in this order; after each the safe offset is as expected.
    #[track_caller]
    fn check(lengths: &[u64], order: &[usize], expected: &[u64]) {
        let mut ledger = Ledger::default();
        ledger.know(generation(0));
        let mut spans = Vec::new();
        let mut start = 0;
        for length in lengths {
            spans.push(span(start, start + length));
            ledger.open(Share { span: span(start, start + length), records: 1 });
            start += length;
        }
        for (index, expected) in order.iter().zip(expected) {
            ledger.ack(acked(spans[*index]));
            assert_eq!(safe(&ledger), Some(*expected));
        }
        assert_eq!(ledger.take_safe_records(), order.len() as u64);
    }

    #[test]
    fn it_moves_with_each_ack_in_order() {
        check(&[10, 5, 7], &[0, 1, 2], &[10, 15, 22]);
    }

    #[test]
    fn a_gap_holds_it_back_until_the_gap_is_filled() {
        check(&[10, 5, 7], &[2, 1, 0], &[0, 0, 22]);
    }

    #[test]
    fn bytes_that_are_not_on_their_way_yet_are_a_gap_too() {
        let mut ledger = Ledger::default();
        ledger.know(generation(100));
        ledger.drop(Dropped::counted(span(110, 120)));
        assert_eq!(safe(&ledger), Some(100));
        ledger.drop(Dropped::counted(span(100, 110)));
        assert_eq!(safe(&ledger), Some(120));
    }

    #[test]
    fn a_new_name_does_not_move_it_but_going_back_does() {
        let mut ledger = Ledger::default();
        ledger.know(generation(100));
        ledger.know(Generation { path: PathBuf::from("/log.1"), ..generation(150) });
        assert_eq!(safe(&ledger), Some(100));
        assert_eq!(ledger.files().next().unwrap().path, PathBuf::from("/log.1"));
        ledger.know(generation(40));
        assert_eq!(safe(&ledger), Some(40));
    }

    #[test]
    fn a_file_that_ended_is_kept_until_all_of_it_is_acked() {
        let mut ledger = Ledger::default();
        ledger.know(generation(0));
        ledger.open(Share { span: span(0, 10), records: 1 });
        ledger.end(FileId::FIRST);
        assert_eq!(safe(&ledger), Some(0));
        ledger.ack(acked(span(0, 10)));
        assert_eq!(safe(&ledger), None);
    }

    proptest! {
        /// The safe offset is always the acked prefix.
        #[test]
        fn the_safe_offset_is_the_acked_prefix(
            lengths in proptest::collection::vec(1u64..50, 1..12),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let mut ledger = Ledger::default();
            ledger.know(generation(0));
            let mut ends = Vec::new();
            for length in &lengths {
                let start = ends.last().copied().unwrap_or(0);
                ledger.open(Share { span: span(start, start + length), records: 1 });
                ends.push(start + length);
            }
            let mut is_acked = vec![false; lengths.len()];
            for index in order {
                let index = index.index(lengths.len());
                let start = index.checked_sub(1).map_or(0, |before| ends[before]);
                if !is_acked[index] {
                    ledger.ack(acked(span(start, ends[index])));
                }
                is_acked[index] = true;
                let prefix = is_acked.iter().take_while(|acked| **acked).count();
                prop_assert_eq!(safe(&ledger), Some(prefix.checked_sub(1).map_or(0, |last| ends[last])));
            }
        }
    }
}
