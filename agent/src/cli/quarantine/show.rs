//! `kinetail quarantine show`: lines that are kept, and what is wrong with each.

use std::collections::VecDeque;
use std::io::{self, Write};

use serde_json::json;

use super::arguments::ShowKept;
use super::{configured, failed, filter, name, time};
use crate::config::Config;
use crate::exit::Exit;
use crate::quarantine::{Entry, Stray, load};

/// Prints the latest entries that are meant, oldest first.
pub(super) fn run(args: &ShowKept, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match configured(&args.configuration, err) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let filter = filter(&config, &args.pick);
    let mut latest = VecDeque::new();
    let loaded = load(&config.agent.state_directory, &mut |entry| {
        if filter.picks(&entry.flow, entry.stray.cause) {
            latest.push_back(entry);
            if latest.len() > args.limit {
                latest.pop_front();
            }
        }
    });
    if let Err(error) = loaded {
        return Ok(failed(&error, err));
    }
    for entry in latest {
        if args.json { write_json(&config, &entry, out) } else { write(&config, &entry, out) }?;
    }
    Ok(Exit::Done)
}

fn write(config: &Config, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let Entry { number, flow, path, millis, stray } = entry;
    let Stray { mark, offset, cause, why, bytes, .. } = stray;
    let (flow, cause, path) = (name(config, flow), cause.label(), path.display());
    writeln!(out, "{number}  {}  flow {flow}, {cause}: {why}", time(*millis))?;
    writeln!(out, "  {path}, generation {mark}, offset {offset}")?;
    for line in String::from_utf8_lossy(bytes).lines() {
        writeln!(out, "  > {}", harmless(line))?;
    }
    Ok(())
}

/// The text without what a terminal would obey.
fn harmless(text: &str) -> String {
    let mut harmless = String::new();
    for char in text.chars() {
        if char.is_control() { harmless.extend(char.escape_default()) } else { harmless.push(char) }
    }
    harmless
}

fn write_json(config: &Config, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let Entry { number, flow, path, millis, stray } = entry;
    let (key, line) = match str::from_utf8(&stray.bytes) {
        Ok(text) => ("line", text.to_owned()),
        Err(_) => ("lineBase64", base64_simd::STANDARD.encode_to_string(&stray.bytes)),
    };
    let json = json!({
        "number": number,
        "flow": name(config, flow),
        "reason": stray.cause.label(),
        "why": stray.why,
        "path": path.to_string_lossy(),
        "generation": stray.mark.to_string(),
        "offset": stray.offset.to_raw(),
        "lines": stray.lines,
        "timeMillis": millis,
        key: line,
    });
    writeln!(out, "{json}")
}
