//! The configuration that the options of `kinetail pipe --stream` stand for. It is written beside the state, so that every
//! other command can be pointed to it, and what is wrong with it is told as of any other.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::{env, io, process};

use nix::unistd::geteuid;
use serde_json::{Map, Value, json};

use crate::cli::arguments::PipeOptions;

/// Where root keeps it.
const ROOTS_DIRECTORY: &str = "/var/lib/kinetail/pipe";

/// Why there is no such configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum OptionsError {
    #[error("`--format {format}` takes no `--pattern`")]
    Pattern { format: String },
    #[error(
        "neither $XDG_STATE_HOME nor $HOME is set: where to keep state must be said by `--state-directory`"
    )]
    NoDirectory,
    #[error("could not write `{}`; mend it, or name another `--state-directory`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Where what is taken in for `stream` is kept.
pub(super) fn state_directory(options: &PipeOptions, stream: &str) -> Result<PathBuf, OptionsError> {
    if let Some(directory) = &options.state_directory {
        return Ok(directory.clone());
    }
    if geteuid().is_root() {
        return Ok(Path::new(ROOTS_DIRECTORY).join(stream));
    }
    // https://specifications.freedesktop.org/basedir-spec/latest/
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Ok(home.ok_or(OptionsError::NoDirectory)?.join("kinetail/pipe").join(stream))
}

/// Writes it into `directory`; gives its path.
#[expect(
    clippy::disallowed_methods,
    reason = "it is written anew at each start, so it need not outlive a crash"
)]
pub(super) fn write(options: &PipeOptions, stream: &str, directory: &Path) -> Result<PathBuf, OptionsError> {
    let text = format!("{:#}\n", configuration(options, stream)?);
    let path = directory.join("agent.json");
    // Another instance must not find it half written.
    let begun = directory.join(format!("agent.json.{}", process::id()));
    let written = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| fs::write(&begun, text))
        .and_then(|()| fs::rename(&begun, &path));
    written.map_err(|source| OptionsError::Write { path: path.clone(), source })?;
    Ok(path)
}

fn configuration(options: &PipeOptions, stream: &str) -> Result<Value, OptionsError> {
    let PipeOptions { region, endpoint, format, pattern, json_types, .. } = options;
    let mut flow = Map::new();
    flow.insert("name".to_owned(), json!(stream));
    flow.insert("input".to_owned(), json!("pipe"));
    flow.insert("kinesisStream".to_owned(), json!(stream));
    if let Some(format) = format {
        let format = format.to_ascii_uppercase();
        let mut step = Map::new();
        step.insert("optionName".to_owned(), json!("LOGTOJSON"));
        step.insert("logFormat".to_owned(), json!(format));
        if let Some(pattern) = pattern {
            step.insert(pattern_key(format)?.to_owned(), json!(pattern));
        }
        flow.insert("dataProcessingOptions".to_owned(), json!([step]));
        flow.insert("jsonTypes".to_owned(), json!(json_types.word()));
    }
    let mut agent = Map::new();
    // A program that writes a few lines is no agent that somebody watches, and may lack the permission.
    agent.insert("cloudwatch.emitMetrics".to_owned(), json!(false));
    for (key, value) in [("kinesis.region", region), ("kinesis.endpoint", endpoint)] {
        if let Some(value) = value {
            agent.insert(key.to_owned(), json!(value));
        }
    }
    agent.insert("flows".to_owned(), json!([flow]));
    Ok(Value::Object(agent))
}

/// What the pattern of a format is called.
fn pattern_key(format: String) -> Result<&'static str, OptionsError> {
    match format.as_str() {
        "APACHE" => Ok("apacheLogFormat"),
        "APACHEERROR" => Ok("apacheErrorLogFormat"),
        "LOG4J" => Ok("log4jPattern"),
        "NGINX" => Ok("nginxLogFormat"),
        _ => Err(OptionsError::Pattern { format }),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Arguments, Command};
    use crate::config::{Sources, load};

    fn options(line: &[&str]) -> PipeOptions {
        let line = [&["kinetail", "pipe", "--stream", "s"], line].concat();
        let command = Arguments::try_parse_from(line).unwrap().command;
        if let Command::Pipe(args) = command { args.options } else { unreachable!("{command:?}") }
    }

    /// What `check` would say to the configuration that a command line stands for.
    #[track_caller]
    fn check(line: &[&str], flow: Value, told: &str) {
        let directory = tempfile::tempdir().unwrap();
        let main = write(&options(line), "s", directory.path()).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&main).unwrap()).unwrap();
        assert_eq!(written["flows"], json!([flow]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let loaded = load(&Sources { main, drop_ins: None, state_directory: Some(directory.path().into()) });
        let told_now = loaded.err().map(|problems| problems.to_string()).unwrap_or_default();
        assert_eq!(told_now.replace(&format!("{}/", directory.path().display()), ""), told);
    }

    #[test]
    fn a_stream_alone_takes_lines_as_they_are() {
        let flow = json!({"name": "s", "input": "pipe", "kinesisStream": "s"});
        check(&[], flow.clone(), "");
        check(&["--region", "eu-west-3", "--endpoint", "https://localhost:4566"], flow, "");
    }

    #[test]
    fn a_format_makes_records_of_lines() {
        let flow = json!({
            "name": "s", "input": "pipe", "kinesisStream": "s", "jsonTypes": "native",
            "dataProcessingOptions": [
                {"optionName": "LOGTOJSON", "logFormat": "LOG4J", "log4jPattern": "%d %p %m%n"}
            ],
        });
        check(&["--format", "log4j", "--pattern", "%d %p %m%n", "--json-types", "native"], flow, "");
    }

    #[test]
    fn what_is_wrong_is_told_as_of_any_configuration() {
        let flow = json!({
            "name": "s", "input": "pipe", "kinesisStream": "s", "jsonTypes": "strings",
            "dataProcessingOptions": [{"optionName": "LOGTOJSON", "logFormat": "LOG4J"}],
        });
        check(
            &["--format", "log4j"],
            flow,
            "agent.json:6:9: this item of `dataProcessingOptions` needs `log4jPattern`",
        );
    }

    #[test]
    fn a_format_without_a_pattern_takes_none() {
        let refused = configuration(&options(&["--format", "syslog", "--pattern", "x"]), "s").unwrap_err();
        assert_eq!(refused.to_string(), "`--format SYSLOG` takes no `--pattern`");
    }
}
