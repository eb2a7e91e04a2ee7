//! What an operator may ask of a flow's files: which there are, how far each is read, and why one is read or not.
//!
//! Only looks. The reader owns its files, so it is asked through its bell and answers between two reads; where no
//! agent runs, the same is told from what the checkpoint knows.

use std::fmt;
use std::path::Path;

use tokio::time::Instant;

use super::disk::Disk;
use super::evidence::{self, Opened};
use super::files::Files;
use super::identity::{Evidence, Inode, Original, Verdict, judge};
use super::pattern::{Pattern, is_compressed};
use super::table::Tailed;
use super::{InitialPosition, Lane, Settings, Source};
use crate::chain::Chain;
use crate::position::{FileId, Generation, Identity, Offset};

/// Something that is done with a source between two of its reads.
pub(super) struct Question(Box<Act>);

type Act = dyn FnOnce(&mut Source, Instant) + Send;

impl Question {
    pub(super) fn new(question: impl FnOnce(&mut Source, Instant) + Send + 'static) -> Question {
        Question(Box::new(question))
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

/// Where a file stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is read, and more may come.
    Read,
    /// It was renamed, removed or replaced, and is read to its end.
    Leaving,
    /// It is read to its end, and nobody has written to it for long.
    Finished,
    /// It is not open any more, and kept in mind in case a copy of it appears; or only the checkpoint knows it.
    Remembered,
}

/// One file that a flow knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What is known of it. Its position is how far it is read; only in the checkpoint it is how far it is safe.
    pub generation: Generation,
    /// Where it stands.
    pub stage: Stage,
    /// In which lane it is read.
    pub lane: Lane,
}

impl Listed {
    /// A file that only the checkpoint knows.
    #[must_use]
    pub fn saved(generation: &Generation) -> Listed {
        let lane =
            if generation.leaving { Lane::Backlog { modified: generation.modified } } else { Lane::Live };
        Listed { generation: generation.clone(), stage: Stage::Remembered, lane }
    }

    fn open(files: &Files, id: FileId, tailed: &Tailed) -> Listed {
        let stage = match (tailed.finished, tailed.leaving) {
            (true, _) => Stage::Finished,
            (false, true) => Stage::Leaving,
            (false, false) => Stage::Read,
        };
        let lane = files.lane(id).unwrap_or(Lane::Live);
        Listed { generation: tailed.generation(id), stage, lane }
    }

    /// Bytes that are not read yet.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.generation.size.saturating_sub(self.generation.position.offset.to_raw())
    }

    /// Whether it is a compressed rotation that is not read to its end.
    #[must_use]
    pub fn is_compressed_backlog(&self) -> bool {
        self.behind() > 0 && self.lane != Lane::Live && is_compressed(self.generation.path.as_os_str())
    }
}

/// All files of a flow at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Those that are open.
    pub files: Vec<Listed>,
    /// Whether every directory tells of itself; if not, everything is looked at each second.
    pub is_watched: bool,
}

/// What an open file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Its inode and its head.
    pub identity: Identity,
    /// How many bytes it has.
    pub size: u64,
}

/// The known file that something is taken for, or was held beside last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// The file.
    pub file: Listed,
    /// Which row of the identity table applied, as a sentence.
    pub row: &'static str,
}

/// What a flow makes of a path, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is there; nothing if that cannot be opened.
    pub looks: Option<Looks>,
    /// Whom it is taken for; nothing if nothing that is known is like it.
    pub kin: Option<Kin>,
    /// Whether the flow reads it.
    pub is_read: bool,
    /// Why it does or does not.
    pub why: String,
}

impl Source {
    /// Answers what was asked since.
    pub fn answer(&mut self, now: Instant) {
        for Question(question) in self.watch.bell.questions() {
            question(self, now);
        }
    }

    /// All files that are open.
    #[must_use]
    pub fn survey(&self) -> Survey {
        Survey { files: self.open_files().collect(), is_watched: self.watch.is_complete() }
    }

    /// What this flow makes of `path`.
    #[must_use]
    pub fn explain(&self, path: &Path) -> Explanation {
        let past = self.files.table.past().map(Listed::saved);
        explain_among(&self.settings.pattern, &*self.disk, path, self.open_files().chain(past))
    }

    fn open_files(&self) -> impl Iterator<Item = Listed> {
        self.files.table.iter().map(|(id, tailed)| Listed::open(&self.files, id, tailed))
    }
}

/// What a flow with these `settings` would make of `path`, if the checkpoint knows these files of it; none if it never
/// ran.
#[must_use]
pub fn explain(
    settings: &Settings,
    disk: &dyn Disk,
    known: Option<&[Generation]>,
    path: &Path,
) -> Explanation {
    let saved = known.unwrap_or_default().iter().map(Listed::saved);
    let explanation = explain_among(&settings.pattern, disk, path, saved);
    if known.is_some() || !explanation.is_read {
        return explanation;
    }
    let why = match settings.initial_position {
        InitialPosition::Start => "the flow never ran; it is read from its beginning at the first start",
        InitialPosition::End => {
            "the flow never ran; at its first start, what is there counts as read up to the last newline"
        }
    };
    Explanation { why: why.to_owned(), ..explanation }
}

fn explain_among(
    pattern: &Pattern,
    disk: &dyn Disk,
    path: &Path,
    known: impl Iterator<Item = Listed>,
) -> Explanation {
    let not_read = |why| Explanation { looks: None, kin: None, is_read: false, why };
    let opened = match evidence::open_patiently(disk, path, pattern.literal_prefix()) {
        Ok(opened) => opened,
        Err(error) if error.is_absence() => return absent(path, known),
        Err(error) => {
            return not_read(format!("it is not read: {}", Chain(&error)));
        }
    };
    let looks = Some(Looks { identity: opened.identity, size: opened.stat.size });
    let (is_read, kin, why) = match (kin(disk, pattern, &opened, known), pattern.matches(path)) {
        (Some((kin, Verdict::Same)), true) if kin.file.generation.beside => {
            (false, Some(kin), READ_FROM_ORIGINAL.to_owned())
        }
        (Some((kin, Verdict::Same)), _) => {
            let how = if kin.file.stage == Stage::Remembered {
                "it is read on from where it is known"
            } else {
                "it is open"
            };
            let why = format!("{how}{}", if begins_later(&kin.file.generation) { BEGUN_LATER } else { "" });
            (true, Some(kin), why)
        }
        // Its own bytes are others than those it stands for, so they prove nothing.
        (Some((kin, Verdict::Changed(_))), false)
            if is_compressed(path.as_os_str()) && kin.file.stage != Stage::Remembered =>
        {
            let kin = Kin { row: "the compressed form of a known file", ..kin };
            (true, Some(kin), "it is open: the rest of the known file is read from it".to_owned())
        }
        (kin, false) => {
            let why = if is_compressed(path.as_os_str()) {
                "it is compressed, and is read only where a known file goes on in it".to_owned()
            } else {
                format!("the flow's pattern `{}` does not match it", pattern.as_text())
            };
            (false, kin.map(|(kin, _)| kin), why)
        }
        (Some((kin, Verdict::Changed(_))), true) => {
            (true, Some(kin), "it is read from its beginning as soon as that is seen".to_owned())
        }
        (Some((kin, Verdict::Copy)), true) => {
            (true, Some(kin), "it is read from where the known file was left".to_owned())
        }
        (Some((kin, Verdict::CopyBeside)), true) => (false, Some(kin), READ_FROM_ORIGINAL.to_owned()),
        (Some((kin, Verdict::Unclear)), true) => {
            (true, Some(kin), "it is read from its beginning".to_owned())
        }
        (Some((_, Verdict::Unrelated)) | None, true) => {
            (true, None, "it is new and is read from its beginning".to_owned())
        }
    };
    Explanation { looks, kin, is_read, why }
}

/// Nothing is at `path`; a file that was there may be read all the same.
fn absent(path: &Path, mut known: impl Iterator<Item = Listed>) -> Explanation {
    let Some(file) = known.find(|file| file.generation.path == path) else {
        return Explanation {
            looks: None,
            kin: None,
            is_read: false,
            why: "there is no such file".to_owned(),
        };
    };
    let is_read = matches!(file.stage, Stage::Read | Stage::Leaving);
    let why = if is_read { "its name is gone; it is open and read to its end" } else { "it is gone" };
    let kin = Kin { file, row: "a file was known under this name" };
    Explanation { looks: None, kin: Some(kin), is_read, why: why.to_owned() }
}

/// The known file that is most like what was opened; nothing if none is.
fn kin(
    disk: &dyn Disk,
    pattern: &Pattern,
    opened: &Opened,
    known: impl Iterator<Item = Listed>,
) -> Option<(Kin, Verdict)> {
    let judged = known.filter_map(|file| {
        let verdict = verdict(disk, pattern, opened, &file)?;
        (verdict != Verdict::Unrelated).then_some((Kin { file, row: verdict.meaning() }, verdict))
    });
    // Of equals the first: what is open comes before what is remembered.
    judged.min_by_key(|(_, verdict)| match verdict {
        Verdict::Same => 0,
        Verdict::Changed(_) => 1,
        Verdict::Copy => 2,
        Verdict::CopyBeside => 3,
        Verdict::Unclear => 4,
        Verdict::Unrelated => 5,
    })
}

/// What `opened` is beside a known file.
fn verdict(disk: &dyn Disk, pattern: &Pattern, opened: &Opened, known: &Listed) -> Option<Verdict> {
    let Generation { identity, position, path, .. } = &known.generation;
    let evidence = evidence::beside(opened, identity, position, Original::Gone).ok()?;
    let verdict = judge(&evidence);
    if evidence.inode == Inode::Same || verdict == Verdict::Unrelated {
        return Some(verdict);
    }
    let is_whole = evidence::open_patiently(disk, path, pattern.literal_prefix()).is_ok_and(|there| {
        (there.identity.device, there.identity.inode) == (identity.device, identity.inode)
            && evidence::still_holds(&*there.file, identity.head, position).unwrap_or(false)
    });
    let original = if is_whole { Original::Whole } else { Original::Gone };
    Some(judge(&Evidence { original, ..evidence }))
}

/// What is said of a copy beside its original.
const READ_FROM_ORIGINAL: &str =
    "its lines are read from its original; it is looked at again when that changes";

/// What is said of a file that begins behind its beginning.
const BEGUN_LATER: &str = "; what is before its offset was never read: it counted as read when the flow first started, \
                           or an operator set it there";

/// Whether nothing was read of a file, though it does not begin at its beginning.
fn begins_later(generation: &Generation) -> bool {
    generation.mark.is_some_and(|mark| mark.first.is_none()) && generation.position.offset != Offset::START
}
