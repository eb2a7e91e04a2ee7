//! `kinetail version`.

use std::io::{self, Write};

use crate::exit::Exit;

/// Prints the version.
pub(super) fn run(out: &mut dyn Write) -> io::Result<Exit> {
    writeln!(out, "kinetail {}", env!("CARGO_PKG_VERSION"))?;
    Ok(Exit::Done)
}
