//! The command line: one file for each command. Knows words and exit codes, no bytes.
//!
//! Everything is written through the two writers that are handed in, so that what a person reads can be tested, and
//! so that a reader that goes away (`kinetail check | head`) is no defect.

mod arguments;
mod check;
mod checkpoint;
mod completions;
mod explain;
mod handback;
mod man;
mod parse;
mod pipe;
mod quarantine;
mod reference;
mod run;
mod status;
mod takeover;
mod version;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::arguments::{Arguments, Command};
use crate::config::Sources;
use crate::exit::Exit;

/// Where files that add flows are looked for, whichever is the main file.
const DROP_INS: &str = "/etc/aws-kinesis/agent.d";

/// Does what the command line says; the first of `args` is the program's name.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    // Not locked: the agent writes its log to the same places from other threads.
    match dispatch(args.into_iter().collect(), &mut io::stdout(), &mut io::stderr()) {
        Ok(exit) => exit,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                tell(&mut io::stderr(), format_args!("kinetail: cannot write: {error}"));
            }
            Exit::Failed
        }
    }
}

fn dispatch(args: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let arguments = match Arguments::try_parse_from(with_command(args)) {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            write!(out, "{}", error.render())?;
            return Ok(Exit::Done);
        }
        Err(error) => {
            write!(err, "{}", error.render())?;
            return Ok(Exit::Misconfigured);
        }
    };
    match arguments.command {
        Command::Run(args) => Ok(run::run(&args, err, run::start)),
        Command::Check(args) => check::run(&sources(&args.file), &args, out, err),
        Command::Parse(args) => parse::run(&args, err),
        Command::Pipe(args) => Ok(pipe::run(&args, err)),
        Command::Status(args) => status::run(&args, out, err),
        Command::Checkpoint(command) => checkpoint::run(&command, out, err),
        Command::Reference(args) => reference::run(args.form(), out),
        Command::Quarantine(command) => quarantine::run(&command, out, err),
        Command::Version => version::run(out),
        Command::Completions(args) => completions::run(args.shell, out),
        Command::Man(args) => man::run(args.command.as_deref(), out, err),
    }
}

/// The command line with the command that it means: options alone are those of `run`, as the Java agent took them.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let is_option = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"-");
    let is_our_own = |arg: &OsString| ["-h", "--help", "-V", "--version"].iter().any(|own| arg == own);
    if args.get(1).is_some_and(|first| is_option(first) && !is_our_own(first)) {
        args.insert(1, "run".into());
    }
    args
}

/// Where the configuration with the main file `main` comes from, in this environment.
fn sources(main: &Path) -> Sources {
    let state_directory = state_directory(env::var_os("STATE_DIRECTORY"));
    Sources { main: main.to_path_buf(), drop_ins: Some(PathBuf::from(DROP_INS)), state_directory }
}

/// The state directory that the service manager names: the first, as systemd puts colons between several.
fn state_directory(variable: Option<OsString>) -> Option<PathBuf> {
    env::split_paths(&variable?).next().filter(|directory| !directory.as_os_str().is_empty())
}

/// Writes a line that the command does not depend on.
fn tell(err: &mut dyn Write, line: impl std::fmt::Display) {
    // If nobody listens, there is nobody to be told so.
    writeln!(err, "{line}").ok();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// What a command line writes to standard output and to standard error, and how it ends.
    #[track_caller]
    fn run_line(line: &str) -> (String, String, Exit) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = dispatch(line.split(' ').map(OsString::from).collect(), &mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit)
    }

    #[track_caller]
    fn check_usage_error(line: &str, message: &str) {
        let (out, err, exit) = run_line(line);
        assert_eq!((out.as_str(), exit), ("", Exit::Misconfigured));
        assert!(err.contains(message), "{err}");
    }

    #[track_caller]
    fn check_command(line: &str, expected: &str) {
        let args = with_command(line.split(' ').map(OsString::from).collect());
        assert_eq!(args.join(" ".as_ref()), expected);
    }

    #[test]
    fn the_definition_does_not_contradict_itself() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_alone_mean_run() {
        check_command("kinetail -c FILE", "kinetail run -c FILE");
        check_command("kinetail --configuration=FILE", "kinetail run --configuration=FILE");
        check_command("kinetail -L DEBUG", "kinetail run -L DEBUG");
    }

    #[test]
    fn a_command_and_our_own_options_stay_as_they_are() {
        for line in
            ["kinetail", "kinetail check -c", "kinetail --help", "kinetail -V", "kinetail run -c FILE"]
        {
            check_command(line, line);
        }
    }

    #[test]
    fn the_first_state_directory_is_ours() {
        for (variable, expected) in [("/a", Some("/a")), ("/a:/b", Some("/a")), ("", None)] {
            assert_eq!(state_directory(Some(variable.into())), expected.map(PathBuf::from));
        }
        assert_eq!(state_directory(None), None);
    }

    #[test]
    fn the_help_is_for_a_person() {
        let (out, err, exit) = run_line("kinetail --help");
        assert_eq!((err.as_str(), exit), ("", Exit::Done));
        for part in [
            "kinetail tails log files",
            "Usage: kinetail <COMMAND>",
            "run          Tail, parse and ship until told to stop",
            "Examples:\n  Is the configuration right",
            "78  the configuration or the command line is wrong",
        ] {
            assert!(out.contains(part), "`{part}` is missing in:\n{out}");
        }
    }

    #[test]
    fn every_command_has_help_that_begins_with_what_it_does() {
        for command in Arguments::command().get_subcommands() {
            let (out, _, exit) = run_line(&format!("kinetail {} --help", command.get_name()));
            assert_eq!(exit, Exit::Done);
            assert!(out.starts_with(&command.get_about().unwrap().to_string()), "{out}");
        }
    }

    #[test]
    fn the_help_names_every_exit_code() {
        let (out, _, _) = run_line("kinetail --help");
        for exit in Exit::ALL {
            assert!(out.contains(&format!("\n  {:<2}  ", exit.code())), "{} is missing", exit.code());
        }
    }

    #[test]
    fn a_wrong_command_line_is_a_wrong_configuration() {
        check_usage_error("kinetail", "Usage: kinetail <COMMAND>");
        check_usage_error("kinetail run -c a -c b", "cannot be used multiple times");
        check_usage_error("kinetail parse --format NGINX", "COMBINEDAPACHELOG");
        check_usage_error("kinetail run somewhere", "unexpected argument");
        check_usage_error("kinetail man nothing", "there is no command `nothing`");
    }

    #[test]
    fn version_is_told_in_both_ways() {
        let expected = format!("kinetail {}\n", env!("CARGO_PKG_VERSION"));
        for line in ["kinetail version", "kinetail --version"] {
            assert_eq!(run_line(line), (expected.clone(), String::new(), Exit::Done));
        }
    }

    #[test]
    fn completions_and_manual_know_every_command() {
        let (completions, _, _) = run_line("kinetail completions bash");
        let (page, _, _) = run_line("kinetail man");
        for command in Arguments::command().get_subcommands() {
            assert!(completions.contains(&format!("kinetail,{})", command.get_name())), "{completions}");
            assert!(page.contains(&format!("kinetail\\-{}(1)", command.get_name())), "{page}");
            let (page, _, exit) = run_line(&format!("kinetail man {}", command.get_name()));
            assert_eq!(exit, Exit::Done);
            assert!(page.contains(&format!(".TH kinetail-{}", command.get_name())), "{page}");
        }
    }
}
