//! Starts the library and turns how it ended into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kinetail::cli::run(std::env::args_os()).into()
}
