//! Step 2: cuts the bytes of one file into lines. Pure: no clock, no disk, no logging.
//!
//! Does not know what a line means, nor that files rotate. A line that has not ended yet is not given out, however
//! long ago it was begun: its bytes are left in the chunk and read again with its newline.

use memchr::memchr;

use crate::source::Chunk;

/// One line, its newline included where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    bytes: &'a [u8],
    /// How far into its chunk the line ends. What lies before is this line and its predecessors.
    end: usize,
}

impl<'a> Line<'a> {
    /// The bytes as they stand in the file.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How far into its chunk the line reaches, newline included.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// A line that did not come from a file: of `kinetail parse`, and of tests.
    #[must_use]
    pub fn alone(bytes: &'a [u8]) -> Line<'a> {
        Line { bytes, end: bytes.len() }
    }
}

/// The whole lines of a chunk, in order.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    last: bool,
    end: usize,
}

/// Cuts `chunk` into lines. A last line without newline is one only if the chunk is its file's last.
#[must_use]
pub fn split<'a>(chunk: &Chunk<'a>) -> Lines<'a> {
    Lines { bytes: chunk.bytes(), last: chunk.is_last(), end: 0 }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.bytes.get(self.end..)?;
        let len = match memchr(b'\n', rest) {
            Some(newline) => newline + 1,
            None if self.last && !rest.is_empty() => rest.len(),
            None => return None,
        };
        self.end += len;
        Some(Line { bytes: rest.get(..len)?, end: self.end })
    }
}
