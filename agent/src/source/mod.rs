//! Step 1: files to chunks of bytes.

mod chunk;
mod discover;
mod glob;

use std::time::Duration;

pub use chunk::Chunk;
pub use discover::{Pattern, PatternError};

/// Where the reading of a file begins that is there at a flow's first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialPosition {
    /// `START_OF_FILE`: at its beginning.
    Start,
    /// `END_OF_FILE`: behind its last newline.
    End,
}

/// Which files one flow reads, and from where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which files.
    pub pattern: Pattern,
    /// Where a file begins that is there at the flow's first start.
    pub initial_position: InitialPosition,
    /// How often everything is looked at though nothing was heard.
    pub rescan: Duration,
}
