//! How many bytes may be held.
