//! The command line.

pub(crate) mod parse;
