//! `kinetail checkpoint set`: has a file read from another place.

use std::io::{self, Write};

use super::{absolute, amend, configured};
use crate::cli::checkpoint::words::Set;
use crate::control::Request;
use crate::exit::Exit;
use crate::source::{self, System};

/// Sets the place, and tells what that means.
pub(super) fn run(args: &Set, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let (config, path) = match (configured(&args.configuration, err), absolute(&args.path, err)) {
        (Ok(config), Ok(path)) => (config, path),
        (Err(exit), _) | (_, Err(exit)) => return Ok(exit),
    };
    let request = Request::Set { path: path.clone(), to: args.offset };
    let goal = args.offset.goal();
    amend(
        &config,
        &path,
        &request,
        |flow, files| source::set(&flow.source.pattern, &System, files, &path, goal),
        out,
        err,
    )
}
