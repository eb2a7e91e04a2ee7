//! Step 2: cuts the bytes of one file into lines, or into the groups of lines that become one record. Pure: no clock, no
//! disk, no logging.
//!
//! Does not know what a line means, nor that files rotate. What has not ended yet is not given out, however long ago it
//! was begun: its bytes are left in the chunk and read again with what ends it. Every byte before that belongs to one
//! line, also those that are no records: of the header, and from the footer on.

use crate::layout::{End, Layout, newlines};
use crate::source::{Chunk, Part};

/// One line, its newline included where it has one; or all the lines of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    bytes: &'a [u8],
    /// How far into its chunk the line ends. What lies before is this line and its predecessors.
    end: usize,
    /// How many lines it is. Never 0.
    lines: u64,
    role: Role,
}

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is to be a record.
    Record,
    /// It stands at the beginning of its file, and is left out.
    Header,
    /// It matches the footer: it is left out, and everything behind it comes as [`Role::Rest`] when it is read again.
    Footer,
    /// It stands behind the footer, and is left out.
    Rest,
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

    /// How many lines of the file it is.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// What it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// A line that did not come from a file: of `kinetail parse`, and of tests.
    #[must_use]
    pub fn alone(bytes: &'a [u8]) -> Line<'a> {
        Line { bytes, end: bytes.len(), lines: 1, role: Role::Record }
    }
}

/// The whole lines of a chunk, in order.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    layout: &'a Layout,
    bytes: &'a [u8],
    /// What the next line belongs to; none behind a footer.
    part: Option<Part>,
    end: usize,
    /// The last one ends with the bytes, whether or not that shows.
    is_last: bool,
    /// Where the bytes are the beginning of one record: how many lines end in what follows.
    lines_cut: Option<u64>,
}

/// Cuts `chunk` into lines, or records of lines. The last one, whose end does not show, is one only if the chunk says so.
#[must_use]
pub fn split<'a>(chunk: &Chunk<'a>) -> Lines<'a> {
    let (is_last, lines_cut) = (chunk.is_last(), chunk.lines_cut());
    Lines { is_last, lines_cut, ..Lines::of(chunk.bytes(), chunk.layout(), chunk.part()) }
}

impl<'a> Lines<'a> {
    /// Those of `bytes` that did not come from `source`, and begin in this part of a file.
    #[must_use]
    pub fn of(bytes: &'a [u8], layout: &'a Layout, part: Part) -> Lines<'a> {
        Lines { layout, bytes, part: Some(part), end: 0, is_last: false, lines_cut: None }
    }

    /// The same where the file ends with the bytes.
    #[must_use]
    pub fn finished(self) -> Lines<'a> {
        Lines { is_last: true, ..self }
    }

    /// The part of the file that follows on what was given out.
    #[must_use]
    pub fn part(&self) -> Part {
        self.part.unwrap_or(Part::Rest)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let part = self.part?;
        let rest = self.bytes.get(self.end..).filter(|rest| !rest.is_empty())?;
        let pieces = part.pieces(self.layout);
        let len = match pieces.first_end(rest) {
            End::At(len) => len,
            End::Beyond(_) if self.lines_cut.is_some() => rest.len(),
            End::Beyond(_) if self.is_last => pieces.first_end_of_all(rest),
            End::Beyond(_) => return None,
        };
        self.end += len;
        let bytes = rest.get(..len)?;
        let role = match part {
            Part::Header { lines } => {
                let left = lines.saturating_sub(1);
                self.part = Some(if left == 0 { Part::Records } else { Part::Header { lines: left } });
                Role::Header
            }
            Part::Records if self.layout.is_footer(bytes) => {
                self.part = None;
                Role::Footer
            }
            Part::Records => Role::Record,
            Part::Rest => Role::Rest,
        };
        let lines = if pieces.idle().is_none() { 1 } else { self.count_lines(bytes) };
        Some(Line { bytes, end: self.end, lines, role })
    }
}

impl Lines<'_> {
    /// How many lines a record of several has that ends here.
    fn count_lines(&self, record: &[u8]) -> u64 {
        let begun = || u64::from(!record.ends_with(b"\n"));
        newlines(record) + self.lines_cut.unwrap_or_else(begun)
    }
}

#[cfg(test)]
mod tests;
