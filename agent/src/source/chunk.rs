//! What `source` gives to `split`: some bytes of one file, and enough of what stands before them to prove any
//! position among them.

use crate::layout::{Layout, Records};
use crate::position::{FileId, Mark, Offset, Position, Tail};

/// Which part of its file some bytes begin in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The lines at its beginning that are no records; so many of them are left.
    Header {
        /// Never 0.
        lines: u64,
    },
    /// What is to be sent.
    Records,
    /// What stands behind its footer.
    Rest,
}

impl Part {
    /// How bytes of this part fall into pieces: into lines, where there are no records.
    #[must_use]
    pub(crate) fn pieces(self, layout: &Layout) -> &Records {
        match self {
            Part::Header { .. } | Part::Rest => &Records::EachLine,
            Part::Records => &layout.records,
        }
    }
}

/// Where a record ends that is too long to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The place behind it.
    pub(crate) end: Position,
    /// How many lines end in what is not kept of it.
    pub(crate) lines: u64,
}

/// Bytes of one file as they were read: one whole record at least.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    file: FileId,
    mark: Mark,
    start: Offset,
    /// Up to [`Tail::BYTES`] bytes before `start`, then the bytes from `start` on.
    window: &'a [u8],
    /// How many bytes of `window` stand before `start`.
    before: usize,
    /// Which part of the file the first of them belongs to, and how records are told from each other.
    part: Part,
    layout: &'a Layout,
    /// The last record ends with the bytes, whether or not that shows.
    last: bool,
    /// The bytes are the beginning of one record that is too long to keep.
    cut: Option<Cut>,
}

impl<'a> Chunk<'a> {
    /// The bytes of `window` behind its first `before` bytes, which are those of `file` from `start` on.
    #[must_use]
    pub(crate) fn new(
        file: FileId,
        mark: Mark,
        start: Offset,
        window: &'a [u8],
        before: usize,
        layout: &'a Layout,
    ) -> Chunk<'a> {
        let (before, part) = (before.min(window.len()), Part::Records);
        Chunk { file, mark, start, window, before, part, layout, last: false, cut: None }
    }

    /// The first bytes of a part, though of no file: of tests.
    #[must_use]
    pub fn alone(bytes: &'a [u8], part: Part, layout: &'a Layout) -> Chunk<'a> {
        let mark = Mark { place: 0, turn: 0, first: None };
        Chunk::new(FileId::FIRST, mark, Offset::START, bytes, 0, layout).within(part)
    }

    /// The same where the file has another part.
    #[must_use]
    pub(crate) fn within(self, part: Part) -> Chunk<'a> {
        Chunk { part, ..self }
    }

    /// The same where the last record ends with the bytes.
    #[must_use]
    pub fn last(self) -> Chunk<'a> {
        Chunk { last: true, ..self }
    }

    /// The same as the beginning of one record that goes on.
    #[must_use]
    pub(crate) fn cut(self, cut: Cut) -> Chunk<'a> {
        Chunk { cut: Some(cut), ..self.last() }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> FileId {
        self.file
    }

    /// What the file is called wherever its lines go.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Where in the file the bytes begin.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.window.get(self.before..).unwrap_or_default()
    }

    /// Which part of the file the bytes begin in.
    #[must_use]
    pub fn part(&self) -> Part {
        self.part
    }

    /// How the bytes fall into records.
    #[must_use]
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// How many lines end in what is not kept of the one record that the bytes begin; none if it is not cut.
    #[must_use]
    pub fn lines_cut(&self) -> Option<u64> {
        self.cut.map(|cut| cut.lines)
    }

    /// Whether the last record ends with the bytes, even without a newline or another record behind it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The place `len` bytes into the chunk, proved by the bytes before it; behind a record that was cut, the place
    /// where the next begins.
    #[must_use]
    pub fn position(&self, len: usize) -> Position {
        if let Some(cut) = self.cut
            && len == self.bytes().len()
        {
            return cut.end;
        }
        let until = self.window.get(..self.before + len).unwrap_or(self.window);
        Position { offset: self.start.advance(len), tail: Tail::of(until) }
    }
}
