//! `kinetail quarantine list`: how many lines are kept, of which flows and files, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use super::arguments::List;
use super::{configured, failed, filter, name, time};
use crate::exit::Exit;
use crate::loss::Cause;
use crate::position::FlowId;
use crate::quarantine::{Tally, load};

/// The files of a row that are shown.
const FILES: usize = 5;

/// What is told of the entries of one flow that have one cause.
#[derive(Debug, Default)]
struct Row {
    tally: Tally,
    /// When the first and the last were kept.
    first: u64,
    last: u64,
    files: BTreeSet<PathBuf>,
}

/// Prints a row for each flow and reason.
pub(super) fn run(args: &List, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match configured(&args.configuration, err) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let filter = filter(&config, &args.pick);
    let mut rows: BTreeMap<(FlowId, Cause), Row> = BTreeMap::new();
    let loaded = load(&config.agent.state_directory, &mut |entry| {
        if filter.picks(&entry.flow, entry.stray.cause) {
            let row = rows.entry((entry.flow, entry.stray.cause)).or_default();
            if row.tally == Tally::default() {
                row.first = entry.millis;
            }
            row.last = entry.millis;
            row.tally.add(entry.stray.lines);
            row.files.insert(entry.path);
        }
    });
    if let Err(error) = loaded {
        return Ok(failed(&error, err));
    }
    if rows.is_empty() {
        writeln!(out, "nothing is in the quarantine")?;
    }
    for ((flow, cause), Row { tally, first, last, files }) in rows {
        writeln!(out, "flow {}, {}: {}", name(&config, &flow), cause.label(), amount(tally))?;
        writeln!(out, "  from {} to {}", time(first), time(last))?;
        for file in files.iter().take(FILES) {
            writeln!(out, "  {}", file.display())?;
        }
        if let Some(more) = files.len().checked_sub(FILES).filter(|more| *more > 0) {
            writeln!(out, "  and {more} files more")?;
        }
    }
    Ok(Exit::Done)
}

/// How many there are, for a person.
pub(super) fn amount(Tally { entries, lines }: Tally) -> String {
    let records = if entries == 1 { "1 record".to_owned() } else { format!("{entries} records") };
    if lines == entries { records } else { format!("{records} of {lines} lines") }
}
