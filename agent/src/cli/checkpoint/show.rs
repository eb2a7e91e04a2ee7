//! `kinetail checkpoint show`: how far each file has been delivered.

use std::io::{self, Write};

use serde_json::json;

use super::{configured, saved};
use crate::checkpoint::State;
use crate::cli::checkpoint::words::Show;
use crate::cli::tell;
use crate::exit::Exit;
use crate::position::Generation;

/// Prints the checkpoint in the state directory of the configuration. Changes nothing, so that it may be asked while
/// the agent runs.
pub(super) fn run(args: &Show, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match configured(&args.configuration, err) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let directory = &config.agent.state_directory;
    let state = match saved(directory, err) {
        Ok(Some(state)) => state,
        Ok(None) => {
            tell(err, format_args!("kinetail: no checkpoint in `{}`", directory.display()));
            return Ok(Exit::Failed);
        }
        Err(exit) => return Ok(exit),
    };
    if args.json { write_json(&state, out) } else { write_text(&state, out) }?;
    Ok(Exit::Done)
}

/// Writes the positions of `state` for a person.
pub(in crate::cli) fn write_text(state: &State, out: &mut dyn Write) -> io::Result<()> {
    for (flow, files) in &state.flows {
        writeln!(out, "{flow}")?;
        if files.is_empty() {
            writeln!(out, "  no files yet")?;
        }
        for file in files {
            let behind = file.size.saturating_sub(file.position.offset.to_raw());
            writeln!(
                out,
                "  {}  safe to {} (of {}, {behind} behind)",
                file.path.display(),
                file.position.offset,
                file.size
            )?;
        }
    }
    Ok(())
}

fn write_json(state: &State, out: &mut dyn Write) -> io::Result<()> {
    let files = |files: &[Generation]| {
        let file = |file: &Generation| {
            json!({
                "path": file.path.to_string_lossy(),
                "device": file.identity.device,
                "inode": file.identity.inode,
                "mark": file.mark.map(|mark| mark.to_string()),
                "offset": file.position.offset.to_raw(),
                "size": file.size,
                "modifiedMillis": file.modified,
            })
        };
        files.iter().map(file).collect::<Vec<_>>()
    };
    let flows: Vec<_> =
        state.flows.iter().map(|(id, known)| json!({"flow": id.as_str(), "files": files(known)})).collect();
    writeln!(out, "{:#}", json!({"generation": state.generation, "flows": flows}))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::cli::arguments::Configuration;

    const CHECKPOINT: &str = include_str!("../../../../fixtures/checkpoint/v1");

    /// What is shown of a state directory with this checkpoint.
    #[track_caller]
    fn check(checkpoint: Option<&str>, json: bool) -> (String, String, Exit) {
        let directory = tempfile::tempdir().unwrap();
        let file: PathBuf = directory.path().join("agent.json");
        let flow = json!({"filePattern": "/a/b", "kinesisStream": "s"});
        fs::write(&file, json!({"stateDirectory": directory.path(), "flows": [flow]}).to_string()).unwrap();
        if let Some(checkpoint) = checkpoint {
            fs::write(directory.path().join("checkpoint"), checkpoint).unwrap();
        }
        let args = Show { configuration: Configuration { file }, json };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&args, &mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit)
    }

    #[test]
    fn each_file_stands_under_its_flow() {
        let (out, err, exit) = check(Some(CHECKPOINT), false);
        let expected = "kinesis:ApplicationLogInputStream:/var/log/httpd/access_log*\n  \
                        /var/log/httpd/access_log  safe to 4096 (of 5000, 904 behind)\n";
        assert_eq!((out.as_str(), err.as_str(), exit), (expected, "", Exit::Done));
    }

    #[test]
    fn programs_get_json() {
        let (out, _, exit) = check(Some(CHECKPOINT), true);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&value["flows"][0]["files"][0]["offset"], exit), (&json!(4096), Exit::Done));
    }

    #[test]
    fn a_missing_or_damaged_checkpoint_is_said() {
        let (out, err, exit) = check(None, false);
        assert!(out.is_empty() && err.contains("no checkpoint in"), "{err}");
        assert_eq!(exit, Exit::Failed);
        let (_, err, exit) = check(Some("damaged"), false);
        assert!(err.contains("can't be trusted: it does not begin with the header"), "{err}");
        assert_eq!(exit, Exit::Failed);
    }
}
