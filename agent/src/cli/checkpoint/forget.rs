//! `kinetail checkpoint forget`: has nothing known of a file.

use std::io::{self, Write};

use super::{absolute, amend, configured};
use crate::cli::checkpoint::words::Forget;
use crate::control::Request;
use crate::exit::Exit;
use crate::source::{self, System};

/// Has the file forgotten, and tells what that means.
pub(super) fn run(args: &Forget, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let (config, path) = match (configured(&args.configuration, err), absolute(&args.path, err)) {
        (Ok(config), Ok(path)) => (config, path),
        (Err(exit), _) | (_, Err(exit)) => return Ok(exit),
    };
    let request = Request::Forget { path: path.clone() };
    amend(
        &config,
        &path,
        &request,
        |flow, files| source::forget(&flow.source.pattern, &System, files, &path),
        out,
        err,
    )
}
