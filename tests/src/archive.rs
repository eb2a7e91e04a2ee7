//! Files compressed by the tools that compress an operator's logs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Lets `tool` (gzip, xz, bzip2 or zstd) put a compressed file with this `ending` in the place of the one at `path`.
///
/// # Errors
/// If the tool is not there, or fails.
pub fn compress(tool: &str, path: &Path, ending: &str) -> Result<()> {
    let mut command = Command::new(tool);
    // Unlike the others, zstd leaves the plain file unless told not to.
    if tool == "zstd" {
        command.args(["--quiet", "--rm"]);
    }
    let status = command.arg(path).status().with_context(|| format!("failed to run `{tool}`"))?;
    ensure!(status.success(), "`{tool}` failed with {status}");
    let archive = format!("{}.{ending}", path.display());
    ensure!(Path::new(&archive).exists() && !path.exists(), "`{tool}` has not made `{archive}` of its file");
    Ok(())
}
