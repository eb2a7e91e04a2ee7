//! `kinetail completions`: the completions for a shell, made of the definition of the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::arguments::Arguments;
use crate::exit::Exit;

/// Prints the completions for `shell`.
pub(super) fn run(shell: Shell, out: &mut dyn Write) -> io::Result<Exit> {
    // Generated beside, as the generator takes a failed write for a defect.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "kinetail", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Done)
}
