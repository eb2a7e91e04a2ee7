//! Where our own log goes.
