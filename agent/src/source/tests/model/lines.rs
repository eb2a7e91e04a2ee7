//! The lines that were written in the model, each with a number of its own that its text says.
//!
//! Knows nothing of which file holds which of them.

use super::file::Piece;
use crate::position::Tail;

/// What came of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    First,
    Second,
    Whole,
}

/// All lines that were written, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<Line>);

/// What stands behind the number of a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Padding {
    /// The number all along, in so many bytes, so that the proof of a position is its own.
    Own(u32),
    /// Nothing that tells a line from another.
    Alike,
}

/// A line that was written.
#[derive(Clone, Copy, Debug)]
struct Line {
    padding: Padding,
    /// Whether it was written in halves.
    halved: bool,
    /// Whether both halves are written.
    ended: bool,
    /// Whether its first half may be taken for a line, as its file was rotated or copied in between.
    torn: bool,
}

impl Lines {
    /// A new line, with this behind its number.
    pub(super) fn begin(&mut self, padding: Padding) -> u32 {
        self.add(padding, false)
    }

    /// A new line of which the first half is written.
    pub(super) fn begin_half(&mut self) -> u32 {
        self.add(Padding::Own(0), true)
    }

    fn add(&mut self, padding: Padding, halved: bool) -> u32 {
        self.0.push(Line { padding, halved, ended: false, torn: false });
        u32::try_from(self.0.len() - 1).unwrap()
    }

    /// Its second half is written.
    pub(super) fn end(&mut self, line: u32) {
        self.0[line as usize].ended = true;
    }

    /// Its first half may be taken for a line.
    pub(super) fn tear(&mut self, line: u32) {
        self.0[line as usize].torn = true;
    }

    /// Which line a text is, and which part of it, if such a one was written and may come.
    pub(super) fn recognise(&self, text: &str) -> Option<(u32, Part)> {
        let number = text.get(..5)?.parse().ok()?;
        let line = self.0.get(usize::try_from(number).ok()?)?;
        let part = [Part::Whole, Part::First, Part::Second].into_iter().find(|part| match part {
            Part::Whole => (!line.halved || line.ended) && self.text(number, *part) == text,
            Part::First => line.halved && line.torn && self.text(number, *part) == text,
            Part::Second => line.ended && line.torn && self.text(number, *part) == text,
        })?;
        Some((number, part))
    }

    pub(super) fn is_halved(&self, line: u32) -> bool {
        self.0[line as usize].halved
    }

    pub(super) fn text(&self, number: u32, part: Part) -> String {
        let line = self.0[number as usize];
        let id = format!("{number:05}");
        match part {
            Part::First => id + "first",
            Part::Second => id + "second\n",
            Part::Whole if line.halved => format!("{id}first{id}second\n"),
            Part::Whole => match line.padding {
                Padding::Own(bytes) => id.repeat(1 + bytes as usize / id.len()) + "\n",
                Padding::Alike => id + &".".repeat(5 * Tail::BYTES) + "\n",
            },
        }
    }

    pub(super) fn text_of(&self, piece: Piece) -> String {
        match piece {
            Piece::Nuls(len) => "\0".repeat(len),
            Piece::Line(line) => self.text(line, Part::Whole),
            Piece::Half(line) => self.text(line, Part::First),
        }
    }
}
