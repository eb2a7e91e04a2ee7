//! What an operator decides on where a file is read: set to another offset, or forgotten.
//!
//! A file that is set begins a new generation: what is on its way of the old one settles by itself, and a crash in
//! between repeats and never skips. An offset is believed only at a line's beginning. Where no agent runs, the same is
//! done to what the checkpoint knows.

use std::io;
use std::path::Path;

use tokio::time::Instant;
use tracing::warn;

use super::Source;
use super::disk::{Content, Disk};
use super::evidence::{self, Opened};
use super::files::Files;
use super::identity::{Inode, Original, Verdict, judge};
use super::pattern::{Pattern, is_compressed};
use crate::position::{FileId, Generation, Mark, Offset, Position, Tail};

/// How far around a refused offset line ends are looked for.
const NEARBY: usize = 1024 * 1024;

/// From where a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// From this byte on, which begins a line.
    At(Offset),
    /// From behind its last newline.
    LastNewline,
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amended {
    /// How far the file was read; nothing if it was not known.
    pub before: Option<Offset>,
    /// From where it is read now; nothing if it is not read any more.
    pub now: Option<Offset>,
    /// How many bytes it has; nothing if it is gone.
    pub size: Option<u64>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// The flow does not read it.
    #[error("the pattern `{pattern}` does not match it")]
    NotMatched {
        /// The flow's pattern.
        pattern: String,
    },
    /// Its offsets would be those of the file that it was made from.
    #[error("it is compressed; name the file that it was made from")]
    Compressed,
    /// It is not there.
    #[error("there is no such file")]
    Absent,
    /// It cannot be opened.
    #[error("it cannot be read")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its bytes cannot be read.
    #[error("could not look for the beginnings of its lines")]
    Read(#[source] io::Error),
    /// The offset lies behind its end.
    #[error("it has {size} bytes, so {offset} is behind its end")]
    BehindEnd {
        /// What was asked for.
        offset: Offset,
        /// What it has.
        size: u64,
    },
    /// The offset is in the middle of a line.
    #[error("no line begins at {offset}; {}", nearest(*.before, *.after))]
    WithinLine {
        /// What was asked for.
        offset: Offset,
        /// Where the line begins, if that is near.
        before: Option<Offset>,
        /// Where the next one begins, if that is near.
        after: Option<Offset>,
    },
    /// Nothing is known of it.
    #[error("nothing is known of it")]
    Unknown,
}

fn nearest(before: Option<Offset>, after: Option<Offset>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("the nearest that do begin at {before} and {after}"),
        (Some(only), None) | (None, Some(only)) => format!("the nearest that does begins at {only}"),
        (None, None) => "none begins near".to_owned(),
    }
}

/// The place in `file` that is meant by `goal`.
fn locate(file: &dyn Content, size: u64, goal: Goal) -> Result<Position, AmendError> {
    let offset = match goal {
        Goal::LastNewline => return evidence::behind_last_newline(file, size).map_err(AmendError::Read),
        Goal::At(offset) => offset,
    };
    if offset.to_raw() > size {
        return Err(AmendError::BehindEnd { offset, size });
    }
    let (before, after) = line_beginnings(file, size, offset).map_err(AmendError::Read)?;
    if before != Some(offset) {
        return Err(AmendError::WithinLine { offset, before, after });
    }
    let tail = evidence::read_tail(file, offset).map_err(AmendError::Read)?;
    Ok(Position { offset, tail: tail.unwrap_or_default() })
}

/// Where the line begins that holds `offset`, and where the next one does, as far as that is [`NEARBY`].
fn line_beginnings(
    file: &dyn Content,
    size: u64,
    offset: Offset,
) -> io::Result<(Option<Offset>, Option<Offset>)> {
    let start = Offset::from_raw(offset.to_raw().saturating_sub(NEARBY as u64));
    let mut bytes = vec![0; 2 * NEARBY];
    let read = evidence::read_full_at(file, &mut bytes, start)?;
    let bytes = bytes.get(..read).unwrap_or_default();
    let at = usize::try_from(offset.since(start)).unwrap_or(bytes.len()).min(bytes.len());
    let (left, right) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    let begin_of_file = (start == Offset::START).then_some(Offset::START);
    let before = memchr::memrchr(b'\n', left).map(|newline| start.advance(newline + 1)).or(begin_of_file);
    let after = memchr::memchr(b'\n', right).map(|newline| start.advance(at + newline + 1));
    Ok((before, after.filter(|after| after.to_raw() <= size)))
}

/// Opens the file at `path`; nothing if nothing is there.
fn open(pattern: &Pattern, disk: &dyn Disk, path: &Path) -> Result<Option<Opened>, AmendError> {
    if is_compressed(path.as_os_str()) {
        return Err(AmendError::Compressed);
    }
    match evidence::open(disk, path, pattern.literal_prefix()) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.is_absence() => Ok(None),
        Err(error) => Err(AmendError::Open(Box::new(error))),
    }
}

fn not_matched(pattern: &Pattern) -> AmendError {
    AmendError::NotMatched { pattern: pattern.as_text().to_owned() }
}

impl Source {
    /// Reads `path` from `goal` on.
    ///
    /// # Errors
    /// If the flow has nothing to do with it, or no line begins there.
    pub fn set(&mut self, path: &Path, goal: Goal, now: Instant) -> Result<Amended, AmendError> {
        let pattern = &self.settings.pattern;
        let opened = open(pattern, &*self.disk, path)?.ok_or(AmendError::Absent)?;
        let known = self.files.known(&opened.stat);
        if known.is_none() && !pattern.matches(path) {
            return Err(not_matched(pattern));
        }
        let size = opened.stat.size;
        let position = locate(&*opened.file, size, goal)?;
        let before = known.and_then(|id| self.files.read_to(id));
        self.begin_at(known, path, opened, position, now);
        let amended = Amended { before, now: Some(position.offset), size: Some(size) };
        warn!(file = %path.display(), offset = position.offset.to_raw(),
              "an operator set from where file is read{}", amended.consequence());
        Ok(amended)
    }

    /// Knows nothing of `path` any more. What is there and matches the pattern is new then, and read from its
    /// beginning.
    ///
    /// # Errors
    /// If nothing was known of it.
    pub fn forget(&mut self, path: &Path, now: Instant) -> Result<Amended, AmendError> {
        let opened = open(&self.settings.pattern, &*self.disk, path)?;
        let known = match &opened {
            Some(opened) => self.files.known(&opened.stat),
            None => self.files.by_path(path),
        };
        let inode = opened.as_ref().map(|opened| (opened.stat.device, opened.stat.inode));
        let is_meant = |past: &Generation| {
            past.path == path || Some((past.identity.device, past.identity.inode)) == inode
        };
        let past = self.files.table.past().find(|past| is_meant(past)).map(|past| past.position.offset);
        if known.is_none() && past.is_none() {
            return Err(AmendError::Unknown);
        }
        let before = known.and_then(|id| self.files.read_to(id)).or(past);
        let size = opened.as_ref().map(|opened| opened.stat.size);
        let mut begins = None;
        match (opened, known) {
            (Some(opened), _) if self.settings.pattern.matches(path) => {
                self.begin_at(known, path, opened, Position::default(), now);
                begins = Some(Offset::START);
            }
            (_, Some(id)) => self.files.table.forget(id),
            (_, None) => {}
        }
        self.files.table.unremember(|past| is_meant(past) || Some(past.file) == known);
        let amended = Amended { before, now: begins, size };
        warn!(file = %path.display(), "an operator had file forgotten{}", amended.consequence());
        Ok(amended)
    }

    fn begin_at(
        &mut self,
        known: Option<FileId>,
        path: &Path,
        opened: Opened,
        position: Position,
        now: Instant,
    ) {
        let id = self.files.begin_at(known, path, opened, position, now);
        self.add([id]);
    }
}

impl Files {
    fn read_to(&self, id: FileId) -> Option<Offset> {
        self.table.get(id).map(|tailed| tailed.position().offset)
    }

    /// Ends a file's generation, if one is known, and begins another at `position`.
    fn begin_at(
        &mut self,
        known: Option<FileId>,
        path: &Path,
        opened: Opened,
        position: Position,
        now: Instant,
    ) -> FileId {
        let before = known.and_then(|id| self.table.get(id)).map(|tailed| {
            (tailed.path.clone(), tailed.mark, (tailed.in_reach, tailed.leaving, tailed.superseded))
        });
        known.into_iter().for_each(|id| self.table.forget(id));
        let (path, mark, stands) = before
            .map_or((path.to_owned(), None, (true, false, false)), |(path, mark, stands)| {
                (path, Some(mark), stands)
            });
        // The old generation is still in mind here, so that the new one does not get the mark of lines read before.
        let id = self.table.admit(&path, opened, position, mark, now);
        self.table.edit(id, |tailed| (tailed.in_reach, tailed.leaving, tailed.superseded) = stands);
        self.table.tell(id);
        self.table.unremember(|past| Some(past.file) == known);
        id
    }
}

impl Amended {
    /// What it means for the lines, as the end of a sentence.
    #[must_use]
    pub fn consequence(&self) -> String {
        match (self.before, self.now) {
            (Some(before), Some(now)) if now < before => {
                format!(": {} bytes are sent again", before.since(now))
            }
            (Some(before), Some(now)) if now > before => {
                format!(": {} bytes are skipped and never sent", now.since(before))
            }
            (Some(_), Some(_)) => ": it was there before".to_owned(),
            (None, Some(Offset::START)) => ": all of it is read".to_owned(),
            (None, Some(now)) => format!(": {now} bytes are skipped and never sent"),
            (_, None) => ": it is not read any more".to_owned(),
        }
    }
}

/// Sets `path` in what the checkpoint knows of a flow with this pattern.
///
/// # Errors
/// If the flow has nothing to do with it, or no line begins there.
pub fn set(
    pattern: &Pattern,
    disk: &dyn Disk,
    known: &mut Vec<Generation>,
    path: &Path,
    goal: Goal,
) -> Result<Amended, AmendError> {
    let opened = open(pattern, disk, path)?.ok_or(AmendError::Absent)?;
    let size = opened.stat.size;
    let position = locate(&*opened.file, size, goal)?;
    let rows = take(known, |row| is_of(row, &opened));
    let Some(last) = rows.last() else {
        if !pattern.matches(path) {
            return Err(not_matched(pattern));
        }
        known.push(generation(path, &opened, position));
        return Ok(Amended { before: None, now: Some(position.offset), size: Some(size) });
    };
    let before = rows.iter().map(|row| row.position.offset).min();
    // Lines that were read under a mark never get it again.
    let is_back = rows.iter().any(|row| position.offset < row.position.offset);
    let anew = |mark: Mark| Mark { turn: mark.turn.saturating_add(1), first: None, ..mark };
    let mark = last.mark.map(|mark| if is_back { anew(mark) } else { mark });
    let (file, leaving) = (last.file, last.leaving);
    known.push(Generation { file, mark, leaving, ..generation(&last.path, &opened, position) });
    Ok(Amended { before, now: Some(position.offset), size: Some(size) })
}

/// Takes `path` out of what the checkpoint knows of a flow with this pattern.
///
/// # Errors
/// If nothing was known of it.
pub fn forget(
    pattern: &Pattern,
    disk: &dyn Disk,
    known: &mut Vec<Generation>,
    path: &Path,
) -> Result<Amended, AmendError> {
    let opened = open(pattern, disk, path)?;
    let rows =
        take(known, |row| row.path == path || opened.as_ref().is_some_and(|opened| is_of(row, opened)));
    let before = rows.iter().map(|row| row.position.offset).min().ok_or(AmendError::Unknown)?;
    let size = opened.map(|opened| opened.stat.size);
    let now = size.filter(|_| pattern.matches(path)).map(|_| Offset::START);
    Ok(Amended { before: Some(before), now, size })
}

/// Takes the rows out that are meant.
fn take(known: &mut Vec<Generation>, is_meant: impl Fn(&Generation) -> bool) -> Vec<Generation> {
    let (taken, kept) = known.drain(..).partition(|row| is_meant(row));
    *known = kept;
    taken
}

/// Whether `row` is of this inode; after a reboot its device may have another number.
fn is_of(row: &Generation, opened: &Opened) -> bool {
    evidence::beside(opened, &row.identity, &row.position, Original::Gone)
        .is_ok_and(|evidence| evidence.inode == Inode::Same || judge(&evidence) == Verdict::Same)
}

/// What the checkpoint is to know of a file that it does not know yet.
fn generation(path: &Path, opened: &Opened, position: Position) -> Generation {
    Generation {
        file: FileId::FIRST,
        identity: opened.identity,
        mark: None,
        path: path.to_owned(),
        position,
        size: opened.stat.size,
        modified: opened.stat.modified,
        born: opened.stat.born,
        leaving: false,
        footer: None,
        first: evidence::read_head(&*opened.file, Tail::BYTES).unwrap_or_default(),
        beside: false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The slow definition: every line beginning, from a walk over all bytes.
        #[test]
        fn the_nearest_beginnings_are_those_on_both_sides(text in "[ab\n]{0,40}", at in 0u64..45) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("log");
            std::fs::write(&path, &text).unwrap();
            let (file, size) = (File::open(&path).unwrap(), text.len() as u64);
            let mut beginnings: Vec<u64> = vec![0];
            beginnings.extend((1..=size).filter(|end| text.as_bytes()[usize::try_from(*end).unwrap() - 1] == b'\n'));
            let found = locate(&file, size, Goal::At(Offset::from_raw(at)));
            if at > size {
                let is_behind = matches!(found, Err(AmendError::BehindEnd { .. }));
                prop_assert!(is_behind);
            } else if beginnings.contains(&at) {
                let tail = evidence::read_tail(&file, Offset::from_raw(at)).unwrap().unwrap();
                prop_assert_eq!(found.unwrap(), Position { offset: Offset::from_raw(at), tail });
            } else {
                let Err(AmendError::WithinLine { before, after, .. }) = found else {
                    return Err(TestCaseError::fail("no line begins there"));
                };
                let raw = |offset: Option<Offset>| offset.map(Offset::to_raw);
                prop_assert_eq!(raw(before), beginnings.iter().copied().rfind(|begin| *begin < at));
                prop_assert_eq!(raw(after), beginnings.iter().copied().find(|begin| *begin > at));
            }
        }
    }

    #[test]
    fn a_line_end_that_is_far_is_not_looked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let text = format!("a\n{}\n", "x".repeat(3 * NEARBY));
        std::fs::write(&path, &text).unwrap();
        let middle = Offset::from_raw(2 + NEARBY as u64 * 3 / 2);
        let error = locate(&File::open(&path).unwrap(), text.len() as u64, Goal::At(middle)).unwrap_err();
        assert!(error.to_string().ends_with("; none begins near"), "{error}");
    }
}
