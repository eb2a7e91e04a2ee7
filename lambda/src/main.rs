//! The program of every function of kinetail-lambda. Which of them it is, `_HANDLER` says.

use std::process::ExitCode;

fn main() -> ExitCode {
    kinetail_lambda::runtime::run()
}
