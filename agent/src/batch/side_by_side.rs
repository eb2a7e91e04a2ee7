//! The open packs of several files, whose records stand in one buffer in the order in which they came. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoIter;
use std::ops::Range;

use super::pack::Pack;
use crate::position::{FileId, Mark, Offset};

/// The open packs, each of its file.
#[derive(Debug, Default)]
pub(super) struct SideBySide {
    files: BTreeMap<FileId, OfFile>,
    /// Of a file that has none.
    empty: Pack,
    /// Where the last record ends.
    end: usize,
}

/// The open pack of one file.
#[derive(Debug)]
pub(super) struct OfFile {
    pub(super) pack: Pack,
    pub(super) mark: Mark,
    /// Where its records stand in the buffer; those that stand together as one.
    pub(super) places: Vec<Range<usize>>,
}

impl SideBySide {
    /// How many files have one.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether this one has.
    pub(super) fn has(&self, file: FileId) -> bool {
        self.files.contains_key(&file)
    }

    /// That of this file.
    pub(super) fn pack(&self, file: FileId) -> &Pack {
        self.files.get(&file).map_or(&self.empty, |of_file| &of_file.pack)
    }

    /// Where the last record ends.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Takes the record at `place`, which is the end of the buffer.
    pub(super) fn push(&mut self, file: FileId, mark: Mark, place: Range<usize>, line: Offset) {
        let new = || OfFile { pack: Pack::default(), mark, places: Vec::new() };
        let of_file = self.files.entry(file).or_insert_with(new);
        of_file.pack.push(place.len(), Some(file), line);
        self.end = place.end;
        match of_file.places.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            Some(_) | None => of_file.places.push(place),
        }
    }
}

impl IntoIterator for SideBySide {
    type Item = (FileId, OfFile);
    type IntoIter = IntoIter<FileId, OfFile>;

    fn into_iter(self) -> IntoIter<FileId, OfFile> {
        self.files.into_iter()
    }
}
