//! `kinetail run`: the agent itself.

use std::io::Write;
use std::path::PathBuf;
use std::{env, panic, process};

use tracing::{error, info};

use crate::chain::Chain;
use crate::cli::arguments::Run;
use crate::cli::{sources, tell};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::requests::Requests;
use crate::supervisor::Supervisor;
use crate::{log, pipeline};

/// Reads the configuration and hands it to `start`, which returns when the agent has ended.
///
/// What is wrong with the configuration, or may be, is told before anything starts.
pub(super) fn run(args: &Run, err: &mut dyn Write, start: impl FnOnce(Config) -> Exit) -> Exit {
    let ignored = [("-l", args.log_file.is_some()), ("-L", args.log_level.is_some())];
    for (option, _) in ignored.iter().filter(|(_, is_given)| *is_given) {
        tell(err, format_args!("kinetail: warning: `{option}` of the Java agent 1.x has no effect"));
    }
    match config::load(&sources(&args.configuration.file)) {
        Ok(config) => {
            for warning in &config.warnings {
                tell(err, warning);
            }
            start(config)
        }
        Err(problems) => {
            tell(err, problems);
            Exit::Misconfigured
        }
    }
}

/// Runs the agent; returns when it has ended.
pub(super) fn start(config: Config) -> Exit {
    let directory =
        env::var_os("LOGS_DIRECTORY").map_or_else(|| PathBuf::from(log::DIRECTORY), PathBuf::from);
    log::start(Some(directory), env::var("KINETAIL_LOG").ok().as_deref());
    end_at_panics();
    info!("kinetail {} starts with {} flow(s)", env!("CARGO_PKG_VERSION"), config.flows.len());
    match pipeline::run(config, Requests::of_signals, &Supervisor::of_environment()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            error!(error = %Chain(&error), "could not go on");
            Exit::Failed
        }
    }
}

/// A thread that is gone would leave a flow that looks alive and ships nothing. The process ends instead, and goes on from
/// its checkpoint when it is started again.
pub(super) fn end_at_panics() {
    panic::set_hook(Box::new(|panic| {
        error!(
            "defect, please report it: {panic}; ends at once, and goes on from the checkpoint when started again"
        );
        end(Exit::Panicked);
    }));
}

#[expect(clippy::exit, reason = "after a panic nothing that is shared can be trusted")]
fn end(exit: Exit) -> ! {
    process::exit(exit.code().into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::cli::arguments::Configuration;

    /// Runs with a configuration of this text; returns what was told, without the directory, and how it ended.
    #[track_caller]
    fn check(text: &str, log_level: Option<&str>, told: &str, exit: Exit, is_started: bool) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("agent.json");
        fs::write(&file, text).unwrap();
        let configuration = Configuration { file };
        let args = Run { configuration, log_file: None, log_level: log_level.map(str::to_owned) };
        let (mut err, mut started) = (Vec::new(), false);
        let ended = run(&args, &mut err, |config| {
            started = true;
            assert_eq!(config.flows[0].source.pattern.literal_prefix(), Path::new("/a"));
            Exit::Done
        });
        let err = String::from_utf8(err).unwrap().replace(&format!("{}/", directory.path().display()), "");
        assert_eq!((err.as_str(), ended, started), (told, exit, is_started));
    }

    #[test]
    fn a_good_configuration_starts() {
        check(r#"{"flows": [{"filePattern": "/a/b", "kinesisStream": "s"}]}"#, None, "", Exit::Done, true);
    }

    #[test]
    fn a_wrong_configuration_starts_nothing_and_everything_wrong_is_told() {
        let told = "agent.json:1:12: this flow needs `filePattern`\nagent.json:1:12: this flow needs `kinesisStream`\n";
        check(r#"{"flows": [{}]}"#, None, told, Exit::Misconfigured, false);
    }

    #[test]
    fn warnings_are_told_and_it_starts() {
        let told = "kinetail: warning: `-L` of the Java agent 1.x has no effect\n\
                    agent.json:1:2: warning: `colour` is not a known key and has no effect\n";
        let text = r#"{"colour": 1, "flows": [{"filePattern": "/a/b", "kinesisStream": "s"}]}"#;
        check(text, Some("DEBUG"), told, Exit::Done, true);
    }
}
