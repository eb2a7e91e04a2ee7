//! A file as the model knows it: what it holds, and what the source and the checkpoint know of it.

use tokio::time::Instant;

use super::super::simulated::Refusal;
use crate::position::Head;

/// A file, by its number in the model.
pub(super) type FileNumber = usize;

#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) pieces: Vec<Piece>,
    /// Its device and inode.
    pub(super) inode: (u64, u64),
    /// Whether it once lost a name: it may be finished, and then end in half a line.
    pub(super) rotated: bool,
    /// Whether it is a copy, to which nobody writes.
    pub(super) is_copy: bool,
    /// Whether the source knows it.
    pub(super) known: bool,
    /// Whether it was rotated beside one that the source knows, or that was itself.
    pub(super) follows: bool,
    /// How it begins as the checkpoint knows it, if that does.
    pub(super) saved: Option<Head>,
    pub(super) altered: Altered,
    pub(super) refusal: Option<Refusal>,
    /// When it was last written to, or lost a name.
    pub(super) active: Instant,
    /// Whether it was written to when it may have been closed: then it is no file that the agent remembers.
    pub(super) is_late: bool,
    /// Whether it ever had a second name.
    pub(super) was_linked: bool,
    /// Whether it was written to after its name was taken from it: its time does not say that the next one is newer.
    pub(super) is_overlapping: bool,
    /// Whether it was cut in its middle when it was last shortened.
    pub(super) is_cut: bool,
}

/// Whether a file was emptied or cut since the last checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Altered {
    No,
    /// And the source has not looked since.
    Unseen,
    Seen,
}

/// A part of what a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// What a truncation left.
    Nuls(usize),
    /// A whole line, by its number.
    Line(u32),
    /// The first half of a line.
    Half(u32),
}

impl File {
    /// The whole lines among its first pieces.
    pub(super) fn lines_within(&self, pieces: usize) -> impl Iterator<Item = u32> {
        self.pieces.iter().take(pieces).filter_map(|piece| match piece {
            Piece::Line(line) => Some(*line),
            Piece::Nuls(_) | Piece::Half(_) => None,
        })
    }

    /// The half of a line that it ends with.
    pub(super) fn half(&self) -> Option<u32> {
        match self.pieces.last() {
            Some(Piece::Half(line)) => Some(*line),
            Some(Piece::Nuls(_) | Piece::Line(_)) | None => None,
        }
    }
}
