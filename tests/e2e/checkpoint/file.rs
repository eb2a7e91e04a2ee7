//! A checkpoint as it lies on the disk, read without the agent's code: its header, its checksum, the offset of its one
//! file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What a whole checkpoint of one flow with one file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) generation: u64,
    /// Everything before it is delivered; 0 while the file is not known.
    pub(super) offset: u64,
}

/// Reads it.
///
/// # Errors
/// If it is not whole.
pub(super) fn read(path: &Path) -> Result<Checkpoint> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    parse(&text).with_context(|| format!("`{}` is not whole: {text}", path.display()))
}

fn parse(text: &str) -> Result<Checkpoint> {
    let (header, json) = text.split_once('\n').context("no header")?;
    let fields = header.strip_prefix("kinetail checkpoint v1 generation=").context("not version 1")?;
    let (generation, crc) = fields.split_once(" crc=").context("no checksum")?;
    ensure!(u32::from_str_radix(crc, 16)? == crc32fast::hash(json.as_bytes()), "wrong checksum");
    let json: Value = serde_json::from_str(json)?;
    let offset = json["flows"][0]["files"][0]["offset"].as_u64().unwrap_or(0);
    Ok(Checkpoint { generation: generation.parse()?, offset })
}
