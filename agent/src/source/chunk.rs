//! What `source` gives to `split`: some bytes of one file, and enough of what stands before them to prove any
//! position among them.

use crate::position::{FileId, Mark, Offset, Position, Tail};

/// Bytes of one file as they were read.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    file: FileId,
    mark: Mark,
    start: Offset,
    /// Up to [`Tail::BYTES`] bytes before `start`, then the bytes from `start` on.
    window: &'a [u8],
    /// How many bytes of `window` stand before `start`.
    before: usize,
    /// No byte will ever follow: the last line is whole even without a newline.
    last: bool,
    /// The bytes are the beginning of one line that is too long to keep, and this is the place behind its newline.
    cut: Option<Position>,
}

impl<'a> Chunk<'a> {
    /// The bytes of `window` behind its first `before` bytes, which are those of `file` from `start` on.
    #[must_use]
    pub(crate) fn new(file: FileId, mark: Mark, start: Offset, window: &'a [u8], before: usize) -> Chunk<'a> {
        Chunk { file, mark, start, window, before: before.min(window.len()), last: false, cut: None }
    }

    /// The same at the end of a file that will not grow any more.
    #[must_use]
    pub(crate) fn last(self) -> Chunk<'a> {
        Chunk { last: true, ..self }
    }

    /// The same as the beginning of one line that goes on to `end`.
    #[must_use]
    pub(crate) fn cut(self, end: Position) -> Chunk<'a> {
        Chunk { cut: Some(end), ..self.last() }
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

    /// Whether the file ends with these bytes for good.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The place `len` bytes into the chunk, proved by the bytes before it; behind a line that was cut, the place
    /// behind its newline.
    #[must_use]
    pub fn position(&self, len: usize) -> Position {
        if let Some(end) = self.cut
            && len == self.bytes().len()
        {
            return end;
        }
        let until = self.window.get(..self.before + len).unwrap_or(self.window);
        Position { offset: self.start.advance(len), tail: Tail::of(until) }
    }
}
