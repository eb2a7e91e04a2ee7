//! Step 6: how far each file is safe.
