//! Writes a second time what a failed sync has put in doubt.
//!
//! After such a failure the kernel may take bytes for written that it has thrown away, so that another sync of the same file
//! proves nothing: <https://www.postgresql.org/docs/current/runtime-config-error-handling.html> (`data_sync_retry`). What
//! reads as it was written goes into a new file, which is synced before the old one is cut; so at every moment one of both
//! has each line.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::{Journal, Open};
use crate::quarantine::directory::create;
use crate::quarantine::entry::Tally;
use crate::quarantine::error::JournalError;
use crate::quarantine::format::{self, HEADER};
use crate::quarantine::segment::{Tallies, subtract};

/// Whether a sync of a file can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// None has failed since it was opened.
    Sound,
    /// One has failed: the next may report success for bytes that were thrown away.
    Doubtful,
}

impl Journal {
    /// As if the last sync had failed.
    #[cfg(test)]
    pub(in crate::quarantine) fn doubt(&mut self) {
        self.open.iter_mut().for_each(|open| open.rest = Rest::Doubtful);
    }

    /// Brings the lines that are in doubt to the disk, in a new file.
    pub(super) fn write_again(&mut self) -> Result<(), JournalError> {
        let header = HEADER.len() as u64;
        while self.segments.len() > 1 && self.bytes() + header > self.bound {
            self.evict_first()?;
        }
        let (Some(open), Some(last)) = (&self.open, self.segments.back()) else { return Ok(()) };
        let (old, sound) = (last.path.clone(), open.synced.max(header));
        let doubted =
            frames(&old, sound).map_err(|source| JournalError::Read { path: old.clone(), source })?;
        let new = self.directory.join(format!("{:012}", self.next_file));
        let written = write(&self.directory, &new, &doubted);
        let written = written.and_then(|file| open.file.set_len(sound).map(|()| file));
        let file = written.map_err(|source| {
            // Its name is needed again.
            fs::remove_file(&new).ok();
            JournalError::Write { path: new.clone(), source }
        })?;
        // If it comes back after a power cut, it only has lines that are in the new file, too.
        if sound == header {
            fs::remove_file(&old).ok();
        }
        self.next_file += 1;
        self.open = None;
        let Some(before) = self.segments.pop_back() else { return Ok(()) };
        let others = self.segments.len();
        if sound > header {
            self.take_in(old, &before.removed, &mut Vec::new())?;
        }
        self.take_in(new, &before.removed, &mut Vec::new())?;
        for (number, place) in self.lent.range(before.first..) {
            let segment = self.segments.iter_mut().rfind(|segment| segment.first <= *number);
            segment.into_iter().for_each(|segment| segment.take_out(place));
        }
        let mut after = Tallies::new();
        for segment in self.segments.iter().skip(others) {
            for (key, tally) in &segment.held {
                let sum: &mut Tally = after.entry(key.clone()).or_default();
                *sum = [*sum, *tally].into_iter().sum();
            }
        }
        subtract(&mut self.lost, &before.held, &after);
        let synced = self.segments.back().map_or(0, |last| last.bytes);
        self.open = Some(Open { file, synced, rest: Rest::Sound });
        Ok(())
    }
}

/// The whole frames of the file at `path` from the byte `from` on.
fn frames(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let lines = bytes.get(from..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
    Ok(lines.filter(|line| format::read(line).is_ok()).flatten().copied().collect())
}

/// Makes a file that holds `frames`, and has it on the disk.
fn write(directory: &Path, path: &Path, frames: &[u8]) -> io::Result<File> {
    let mut file = create(directory, path)?;
    file.write_all(frames)?;
    file.sync_all()?;
    Ok(file)
}
