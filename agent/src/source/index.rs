//! The files of one flow by what they have in common, so that none is ever compared with all others. Pure.
//!
//! Does not know what it means to be alike, and decides nothing. What it tells is what asking each file would tell.

use std::collections::BTreeSet;

use crate::position::{FileId, Head};

/// What a file is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) head: Head,
    /// Where its mark says that it is.
    pub(super) place: u64,
    /// Whether it may be written to though nothing is heard of it: its name was taken from it and it is not finished, or it
    /// has other names, such as the link that `rotatelogs -L` makes.
    pub(super) is_unheard: bool,
    /// Whether a descriptor is held for it.
    pub(super) is_open: bool,
    /// What is not read of it yet.
    pub(super) unread: Unread,
}

/// What is not read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// Bytes.
    pub(super) behind: u64,
    /// Bytes of them that are in the backlog.
    pub(super) backlog: u64,
    /// Files of the backlog that have any.
    pub(super) backlog_files: u64,
}

impl Unread {
    /// Of one file.
    pub(super) fn of(behind: u64, is_backlog: bool) -> Unread {
        let backlog = if is_backlog { behind } else { 0 };
        Unread { behind, backlog, backlog_files: u64::from(backlog > 0) }
    }

    /// Of both together.
    pub(super) fn plus(self, other: Unread) -> Unread {
        Unread {
            behind: self.behind + other.behind,
            backlog: self.backlog + other.backlog,
            backlog_files: self.backlog_files + other.backlog_files,
        }
    }

    fn minus(self, other: Unread) -> Unread {
        Unread {
            behind: self.behind - other.behind,
            backlog: self.backlog - other.backlog,
            backlog_files: self.backlog_files - other.backlog_files,
        }
    }
}

/// Files by their traits.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By length and checksum of their heads.
    heads: BTreeSet<(u16, u32, FileId)>,
    places: BTreeSet<(u64, FileId)>,
    unheard: BTreeSet<FileId>,
    open: BTreeSet<FileId>,
    unread: Unread,
}

impl Index {
    pub(super) fn add(&mut self, id: FileId, traits: Traits) {
        let Traits { head, place, is_unheard, is_open, unread } = traits;
        self.heads.insert((head.len, head.crc, id));
        self.places.insert((place, id));
        self.unheard.extend(is_unheard.then_some(id));
        self.open.extend(is_open.then_some(id));
        self.unread = self.unread.plus(unread);
    }

    pub(super) fn remove(&mut self, id: FileId, traits: Traits) {
        let Traits { head, place, is_unheard: _, is_open: _, unread } = traits;
        self.heads.remove(&(head.len, head.crc, id));
        self.places.remove(&(place, id));
        self.unheard.remove(&id);
        self.open.remove(&id);
        self.unread = self.unread.minus(unread);
    }

    /// The files whose heads, none of them empty, are the beginning of `bytes`.
    pub(super) fn beginning(&self, bytes: &[u8]) -> Vec<FileId> {
        let mut found = Vec::new();
        let mut crc = crc32fast::Hasher::new();
        let mut rest = bytes;
        let mut done = 0;
        // From one length that occurs to the next, so that no byte is summed up twice.
        while let Some((len, ..)) = self.heads.range((done + 1, 0, FileId::FIRST)..).next() {
            let Some((more, behind)) = rest.split_at_checked(usize::from(len - done)) else { break };
            (rest, done) = (behind, *len);
            crc.update(more);
            let sum = crc.clone().finalize();
            let alike = self.heads.range((done, sum, FileId::FIRST)..);
            found.extend(alike.take_while(|(len, crc, _)| (*len, *crc) == (done, sum)).map(|(_, _, id)| *id));
            if done == u16::MAX {
                break;
            }
        }
        found
    }

    /// The files whose heads still grow, as far as nothing speaks against their being the beginning of `bytes`.
    pub(super) fn growing(&self, bytes: &[u8]) -> Vec<FileId> {
        let empty = self.heads.range(..(1, 0, FileId::FIRST)).map(|(.., id)| *id);
        let whole = Head::BYTES - 1;
        empty.chain(self.beginning(bytes.get(..whole).unwrap_or(bytes))).collect()
    }

    /// The files that say they are at `place`.
    pub(super) fn at_place(&self, place: u64) -> impl Iterator<Item = FileId> {
        self.places.range((place, FileId::FIRST)..).take_while(move |(at, _)| *at == place).map(|(_, id)| *id)
    }

    pub(super) fn unheard(&self) -> impl Iterator<Item = FileId> {
        self.unheard.iter().copied()
    }

    pub(super) fn open(&self) -> &BTreeSet<FileId> {
        &self.open
    }

    /// The sum of what is not read yet.
    pub(super) fn unread(&self) -> Unread {
        self.unread
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn traits(text: &[u8], place: u64) -> Traits {
        Traits {
            head: Head::of(text),
            place,
            is_unheard: place.is_multiple_of(2),
            is_open: place.is_multiple_of(3),
            unread: Unread::of(place, place.is_multiple_of(2)),
        }
    }

    fn ids() -> impl Iterator<Item = FileId> {
        std::iter::successors(Some(FileId::FIRST), |id| Some(id.next()))
    }

    proptest! {
        /// It finds what comparing with each would find, also when some have gone.
        #[test]
        fn files_are_found_as_if_each_was_asked(
            files in prop::collection::vec((prop::collection::vec(0u8..2, 0..8), 0u64..6), 0..40),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            bytes in prop::collection::vec(0u8..2, 0..10),
            place in 0u64..6,
        ) {
            let mut index = Index::default();
            let mut known: Vec<(FileId, &[u8], u64)> =
                ids().zip(&files).map(|(id, (text, place))| (id, text.as_slice(), *place)).collect();
            known.iter().for_each(|(id, text, place)| index.add(*id, traits(text, *place)));
            for gone in gone {
                if !known.is_empty() {
                    let (id, text, place) = known.remove(gone.index(known.len()));
                    index.remove(id, traits(text, place));
                }
            }
            let all = |is: &dyn Fn(&[u8], u64) -> bool| -> BTreeSet<FileId> {
                known.iter().filter(|(_, text, place)| is(text, *place)).map(|(id, ..)| *id).collect()
            };
            let found: BTreeSet<FileId> = index.beginning(&bytes).into_iter().collect();
            prop_assert_eq!(found, all(&|text, _| !text.is_empty() && bytes.starts_with(text)));
            let growing: BTreeSet<FileId> = index.growing(&bytes).into_iter().collect();
            prop_assert_eq!(growing, all(&|text, _| text.len() < Head::BYTES && bytes.starts_with(text)));
            prop_assert_eq!(index.at_place(place).collect::<BTreeSet<_>>(), all(&|_, at| at == place));
            prop_assert_eq!(index.unheard().collect::<BTreeSet<_>>(), all(&|_, at| at % 2 == 0));
            prop_assert_eq!(index.open(), &all(&|_, at| at % 3 == 0));
            prop_assert_eq!(index.unread().behind, known.iter().map(|(_, _, place)| place).sum::<u64>());
        }
    }
}
