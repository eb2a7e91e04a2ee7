//! `kinetail man`: the manual, made of the definition of the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::arguments::Arguments;
use crate::cli::tell;
use crate::exit::Exit;

/// Prints the page about `command`, or about the whole program.
pub(super) fn run(command: Option<&str>, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let mut program = Arguments::command();
    // Gives the commands their full names.
    program.build();
    let subject = match command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(subject) => subject.clone(),
            None => {
                tell(err, format_args!("kinetail: there is no command `{name}`"));
                return Ok(Exit::Misconfigured);
            }
        },
    };
    Man::new(subject).render(out)?;
    Ok(Exit::Done)
}
