//! `kinetail checkpoint explain`: who a file is taken for, whether it is read, and why.

use std::io::{self, Write};
use std::path::Path;

use super::{absolute, configured, failed, files_of, saved};
use crate::cli::checkpoint::words::Explain;
use crate::cli::tell;
use crate::config::Config;
use crate::control::{Answer, AskError, Explained, File, Kin, Look, Request, ask};
use crate::exit::Exit;
use crate::source::{self, System};

/// Has the running agent explain the file, or does it from the checkpoint and the disk.
pub(super) fn run(args: &Explain, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let (config, path) = match (configured(&args.configuration, err), absolute(&args.path, err)) {
        (Ok(config), Ok(path)) => (config, path),
        (Err(exit), _) | (_, Err(exit)) => return Ok(exit),
    };
    let request = Request::Explain { path: path.clone() };
    let flows = match ask(&config.agent.state_directory, &request) {
        Ok(Answer::Explained { flows }) => flows,
        Ok(Answer::Refused { reason }) => {
            tell(err, format_args!("kinetail: {reason}"));
            return Ok(Exit::Failed);
        }
        Ok(Answer::Status(_) | Answer::Amended { .. } | Answer::Replayed(_) | Answer::Cleared { .. }) => {
            tell(err, "kinetail: the agent answered something else");
            return Ok(Exit::Failed);
        }
        Err(error @ AskError::Nobody { .. }) => {
            tell(err, format_args!("kinetail: {error}; told from the checkpoint and the disk"));
            match from_disk(&config, &path, err) {
                Ok(flows) => flows,
                Err(exit) => return Ok(exit),
            }
        }
        Err(error @ (AskError::Silent { .. } | AskError::Failed { .. } | AskError::Codec(_))) => {
            return Ok(failed(&error, err));
        }
    };
    write(&path, &flows, out)?;
    Ok(Exit::Done)
}

fn from_disk(config: &Config, path: &Path, err: &mut dyn Write) -> Result<Vec<Explained>, Exit> {
    let mut state = saved(&config.agent.state_directory, err)?.unwrap_or_default();
    let explained = config.flows.iter().map(|flow| {
        let known = files_of(&mut state, flow).map(|files| files.as_slice());
        let explanation = source::explain(&flow.source, &System, known, path);
        Explained::new(&flow.name, &explanation, File::saved)
    });
    Ok(explained.collect())
}

fn write(path: &Path, flows: &[Explained], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", path.display())?;
    if let Some(Look { device, inode, head_crc, head_bytes, size }) = flows.iter().find_map(|flow| flow.looks)
    {
        writeln!(
            out,
            "  inode {inode} on device {device}, {size} bytes; the first {head_bytes} have CRC-32 {head_crc:08x}"
        )?;
    }
    for Explained { flow, is_read, why, kin, .. } in flows {
        let whether = if *is_read { "read" } else { "not read" };
        writeln!(out, "flow {flow}: {whether}; {why}")?;
        if let Some(Kin { file, row }) = kin {
            writeln!(out, "  taken for {}, inode {} on device {}", file.path, file.inode, file.device)?;
            writeln!(out, "  as {row}")?;
            writeln!(out, "  {file}")?;
        }
    }
    Ok(())
}
