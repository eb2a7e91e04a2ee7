//! Step 4: records to batches.

mod limits;

pub use limits::{Limits, LimitsError, PartitionKey, RECORD_BYTES, Settings, Terminator, TerminatorError};
