//! Patterns to files that exist now.

/// A file pattern.
#[derive(Clone, Debug)]
pub struct Pattern {}

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("no pattern")]
pub struct PatternError;
