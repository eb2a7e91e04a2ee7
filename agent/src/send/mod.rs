//! Step 5: batches to the stream.

mod access;
mod pace;

pub use access::{Access, Keys, Role};
pub use pace::{Waits, WaitsError};
