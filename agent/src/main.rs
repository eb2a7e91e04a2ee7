//! Starts the library and turns how it ended into an exit code.

fn main() {}
