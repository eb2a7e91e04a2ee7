//! Where a file of the last run, or what a truncation took away, is now.
//!
//! Looks in the directory where the file was last seen, at every regular file, whether the pattern leads there or
//! not: with an exact name, `access_log.1` is outside it. Then it looks into archives. Proofs decide, not names.

use std::io;
use std::iter::{once, once_with};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Archive, Unfinished};
use super::beside;
use super::disk::{Content, Disk, Stat};
use super::evidence::{self, OpenError, Opened};
use super::identity::{Change, Evidence, Inode, Original, Proof, Verdict, judge};
use super::pattern::{is_compressed, plain_name};
use super::recent::Recent;
use super::sights::Sights;
use super::table::{Table, Tailed};
use crate::position::{FileId, Generation, Head, Mark, Offset, Position, Tail};

/// What became of a file of the last run.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It, or its copy, is here.
    Same(PathBuf, Box<Opened>),
    /// Its inode is here, but holds something else.
    Altered(Change, PathBuf, Box<Opened>),
    /// Something is where it was last seen, or has its inode here, but cannot be looked at.
    Unreadable(OpenError),
    /// An archive that may hold it is not whole, or not yet.
    Unfinished(Box<Unfinished>),
    /// Nowhere.
    Gone,
}

/// An archive that was decoded to its end.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) path: PathBuf,
    /// What the archive was at that time.
    pub(super) stat: Stat,
    /// None where it turned out to be that of another file.
    pub(super) archive: Option<Arc<Archive>>,
}

/// Finds `known` at its last path, or among `sights`. What was `tried` before is not decoded again.
pub(super) fn find(
    disk: &dyn Disk,
    known: &Generation,
    sights: &mut Sights<'_>,
    reach: &Path,
    tried: &[Tried],
) -> Outcome {
    let mut altered = None;
    let mut copy: Option<(PathBuf, Opened)> = None;
    let mut unreadable = None;
    let mut unfinished = None;
    // Its last path first: most files have not moved.
    let others = once_with(|| sights.of(known)).flatten();
    for path in once(known.path.clone()).chain(others) {
        // One that was made earlier holds less.
        let is_whole = copy.as_ref().is_some_and(|(_, copy)| copy.stat.size >= known.size);
        if is_whole && is_compressed(path.as_os_str()) {
            break;
        }
        let opened = match open(disk, &path, reach, known.identity.head, tried) {
            Ok(Some(opened)) => opened,
            Ok(None) => continue,
            Err(OpenError::Unfinished(archive)) if may_hold(&archive, known) => {
                unfinished = unfinished.or(Some(archive));
                continue;
            }
            Err(error) => {
                let is_inode =
                    |stat: Stat| (stat.device, stat.inode) == (known.identity.device, known.identity.inode);
                if !error.is_absence() && (path == known.path || disk.stat(&path).is_ok_and(is_inode)) {
                    unreadable = Some(error);
                }
                continue;
            }
        };
        // Of an empty file only its birth tells whether its number was used again.
        if known.identity.head.len == 0 && known.born > 0 && known.born != opened.stat.born {
            continue;
        }
        let Ok(evidence) = evidence_of(&path, &opened, known) else { continue };
        match judge(&evidence) {
            Verdict::Same => return Outcome::Same(path, Box::new(opened)),
            Verdict::Changed(change) => altered = Some((change, path, opened)),
            Verdict::Copy if copy.as_ref().is_none_or(|(_, copy)| copy.stat.size < opened.stat.size) => {
                copy = Some((path, opened));
            }
            // Of a file that is too short to be proved, the archive that its name and time lead to is it.
            Verdict::Unclear | Verdict::Unrelated if is_archive_of(&path, &opened, known, &evidence) => {
                copy = copy.or(Some((path, opened)));
            }
            Verdict::Copy | Verdict::CopyBeside | Verdict::Unclear | Verdict::Unrelated => {}
        }
    }
    match (copy, unfinished, altered, unreadable) {
        (Some((path, opened)), _, _, _) => Outcome::Same(path, Box::new(opened)),
        (None, Some(unfinished), _, _) => Outcome::Unfinished(unfinished),
        (None, None, Some((change, path, opened)), _) => Outcome::Altered(change, path, Box::new(opened)),
        (None, None, None, Some(error)) => Outcome::Unreadable(error),
        (None, None, None, None) => Outcome::Gone,
    }
}

/// Opens a file; an archive only if it begins with `head`, and is not known to be that of another file.
fn open(
    disk: &dyn Disk,
    path: &Path,
    reach: &Path,
    head: Head,
    tried: &[Tried],
) -> Result<Option<Opened>, OpenError> {
    let is_it = |tried: &&Tried| tried.path == path && disk.stat(path).is_ok_and(|stat| stat == tried.stat);
    match tried.iter().find(is_it) {
        Some(Tried { archive: Some(archive), .. }) => {
            evidence::look(path, Arc::clone(archive) as Arc<dyn Content>).map(Some)
        }
        Some(Tried { archive: None, .. }) => Ok(None),
        None => evidence::open_if(disk, path, reach, head),
    }
}

/// Whether an archive that cannot be read may hold `known`: it begins like it, or, where that cannot be seen, its name and
/// time say so.
fn may_hold(archive: &Unfinished, known: &Generation) -> bool {
    let head = known.identity.head;
    let begins = head.len > 0 && archive.readable >= u64::from(head.len);
    begins || archive.path == known.path || beside::may_become(known, &archive.path, &archive.stat)
}

/// Whether nothing speaks against an archive's being that of `known`, which has a short head.
fn is_archive_of(path: &Path, archive: &Opened, known: &Generation, evidence: &Evidence) -> bool {
    let agrees = evidence.head == Proof::Part
        && evidence.reaches
        && (!evidence.begun || evidence.tail != Proof::Fails);
    // Of an empty file there is nothing that could speak against it.
    agrees
        && known.identity.head.len > 0
        && is_compressed(path.as_os_str())
        && archive.stat.size >= known.size
        && beside::may_become(known, path, &archive.stat)
}

/// Whether `archive` is what the file at `plain` is called when it is compressed.
fn is_archive_name(archive: &Path, plain: &Path) -> bool {
    plain_name(archive.as_os_str().as_bytes()) == Some(plain.as_os_str().as_bytes())
}

/// What the file at `path` shows beside `known`, whose inode is gone or holds something else.
fn evidence_of(path: &Path, opened: &Opened, known: &Generation) -> io::Result<Evidence> {
    let evidence = evidence::beside(opened, &known.identity, &known.position, Original::Gone)?;
    // A file and its archive have two inodes; equal numbers are chance.
    let is_one_kind = is_compressed(path.as_os_str()) == is_compressed(known.path.as_os_str());
    Ok(if is_one_kind { evidence } else { Evidence { inode: Inode::Other, ..evidence } })
}

/// The copy of a file that does not hold any more what was read of it.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) path: PathBuf,
    pub(super) opened: Opened,
    /// Up to where it is read: as far as the file itself was, or to its own end if that comes before.
    pub(super) position: Position,
}

/// Finds the fullest copy of `known`, which was truncated or rewritten itself, among the files that are not in `table`.
///
/// # Errors
/// If there is none but perhaps in an archive that is not whole, or not yet.
pub(super) fn find_copy(
    disk: &dyn Disk,
    known: &Generation,
    reach: &Path,
    table: &Table,
    recent: &Recent,
) -> Result<Option<Copy>, Box<Unfinished>> {
    let mut unfinished = None;
    let mut whole: Option<Copy> = None;
    let mut shorter = None;
    // Most of a directory's files are known, and cost no opening.
    let is_known = |stat: Stat| table.by_inode(stat.device, stat.inode).is_some();
    let plain = beside::plain_files(disk, &known.path);
    let archives = once_with(|| {
        let mut archives = beside::archives(disk, &known.path);
        // While a copy is being compressed it is there itself.
        let is_begun = |path: &Path| plain.iter().any(|plain| is_archive_name(path, plain));
        archives.retain(|(path, stat)| !is_known(*stat) && !is_begun(path));
        beside::likely(known, archives.iter())
    });
    for path in plain.iter().cloned().chain(archives.flatten()) {
        if whole.is_some() && is_compressed(path.as_os_str()) {
            break;
        }
        if disk.stat(&path).is_ok_and(is_known) {
            continue;
        }
        let opened = match evidence::open_if(disk, &path, reach, known.identity.head) {
            Ok(Some(opened)) => opened,
            Err(OpenError::Unfinished(archive)) if may_hold(&archive, known) => {
                unfinished = unfinished.or(Some(archive));
                continue;
            }
            Ok(None) | Err(_) => continue,
        };
        if is_known(opened.stat) {
            continue;
        }
        if evidence_of(&path, &opened, known).is_ok_and(|evidence| judge(&evidence) == Verdict::Copy) {
            // One that was made earlier holds less.
            if whole.as_ref().is_none_or(|other| other.opened.stat.size < opened.stat.size) {
                whole = Some(Copy { path, opened, position: known.position });
            }
            continue;
        }
        let end =
            end_before(&opened, known.identity.head, known.position, |end| recent.tail(known.file, end));
        if let Ok(Some(position)) = end {
            shorter = shorter.or(Some(Copy { path, opened, position }));
        }
    }
    let found = whole.or(shorter);
    match unfinished {
        Some(unfinished) if found.is_none() => Err(unfinished),
        Some(_) | None => Ok(found),
    }
}

/// The end of `copy`, if that comes before `position` in a file with this `head` and all of it is known to have been
/// read there: `read` gives the proofs of what was.
fn end_before(
    copy: &Opened,
    head: Head,
    position: Position,
    read: impl FnOnce(Offset) -> Option<Tail>,
) -> io::Result<Option<Position>> {
    let offset = Offset::from_raw(copy.stat.size);
    if offset >= position.offset || !evidence::is_telling(head) || copy.identity.head != head {
        return Ok(None);
    }
    let Some(tail) = read(offset) else { return Ok(None) };
    Ok((evidence::read_tail(&*copy.file, offset)? == Some(tail)).then_some(Position { offset, tail }))
}

/// Where the bytes of a file come from whose inode is unknown.
#[derive(Debug)]
pub(crate) enum Origin {
    /// From nowhere that is known: it is new.
    None,
    /// From this open file, which does not hold them itself any more and was read up to here.
    Copied(FileId, Position),
    /// From a file that was removed, or that was read beyond its copy's end; up to here it is read, it goes on under this
    /// mark, and its footer begins there.
    Remembered(Position, Option<Mark>, Option<Offset>),
    /// From this file, which is still whole: nothing is to be read of a copy, which ends here.
    Beside(FileId, Position),
    /// Perhaps from a file of which nothing can be read now.
    Hidden,
    /// Perhaps from a file that is known; too little of either is left to tell.
    Unclear,
    /// It begins like a file that is known, and goes on otherwise: a copy that was written to, or no copy at all.
    Forked,
}

/// Finds which of the files that are known `opened` is a copy of; of those that are `withheld` nothing can be read.
pub(super) fn origin(
    opened: &Opened,
    table: &Table,
    recent: &Recent,
    withheld: &[Generation],
) -> io::Result<Origin> {
    let (mut origin, mut longest) = (Origin::None, None);
    let mut beginning = [0; Head::BYTES];
    let beginning = evidence::read_beginning(&*opened.file, &mut beginning)?;
    let is_other = |tailed: &&Tailed| !tailed.file.is_inode(&opened.stat);
    let alike = table.index().beginning(beginning).into_iter();
    for (id, tailed) in alike.filter_map(|id| Some((id, table.get(id).filter(is_other)?))) {
        match origin_in(opened, id, tailed, recent)? {
            found @ Origin::Beside(..) => return Ok(found),
            found @ Origin::Remembered(end, ..) if end.offset.to_raw() == opened.stat.size => {
                return Ok(found);
            }
            // What was moved here was itself copied before, perhaps: the longest of them is what all of it is from.
            found @ (Origin::Copied(..) | Origin::Remembered(..)) if longest <= Some(tailed.size) => {
                (origin, longest) = (found, Some(tailed.size));
            }
            found @ Origin::Forked if longest.is_none() => origin = found,
            found @ Origin::Hidden if matches!(origin, Origin::None | Origin::Unclear) => origin = found,
            found @ Origin::Unclear if matches!(origin, Origin::None) => origin = found,
            Origin::Copied(..)
            | Origin::Remembered(..)
            | Origin::Forked
            | Origin::Unclear
            | Origin::Hidden
            | Origin::None => {}
        }
    }
    // What was read on in a copy tells no more how far it was read.
    let is_last =
        |past: &&Generation| past.mark.is_none_or(|mark| !table.is_read_beyond(mark, past.position));
    let past = table.past().filter(|past| may_be_copy(opened, &past.identity.head)).filter(is_last);
    for past in past {
        if matches!(origin, Origin::Copied(..) | Origin::Remembered(..)) {
            break;
        }
        // An inode is used again after a file's end, so that its number proves nothing.
        let evidence = evidence::beside(opened, &past.identity, &past.position, Original::Gone)?;
        match judge(&Evidence { inode: Inode::Other, ..evidence }) {
            Verdict::Copy => origin = Origin::Remembered(past.position, past.mark, past.footer),
            Verdict::Unclear => {
                let read = |end| recent.tail(past.file, end);
                if let Some(end) = end_before(opened, past.identity.head, past.position, read)? {
                    origin = Origin::Remembered(end, None, past.footer);
                } else if matches!(origin, Origin::None) {
                    origin = Origin::Unclear;
                }
            }
            Verdict::CopyBeside | Verdict::Same | Verdict::Changed(_) | Verdict::Unrelated => {}
        }
    }
    let is_like = |known: &Generation| {
        may_be_copy(opened, &known.identity.head)
            && evidence::read_head(&*opened.file, known.identity.head.len.into())
                .is_ok_and(|head| head == known.identity.head)
    };
    if matches!(origin, Origin::None) && withheld.iter().any(is_like) {
        origin = Origin::Hidden;
    }
    Ok(origin)
}

/// The same for one open file that begins alike.
fn origin_in(opened: &Opened, id: FileId, tailed: &Tailed, recent: &Recent) -> io::Result<Origin> {
    let (head, position) = (tailed.identity.head, tailed.position());
    // What cannot be read proves nothing, and must not hold up what can be.
    let (Ok(is_whole), Ok(stat)) = (evidence::still_holds(&tailed.file, head, &position), tailed.file.stat())
    else {
        return Ok(Origin::Hidden);
    };
    // One that was moved to another file system may still be written to, by who has it open: it is read to its end itself.
    if is_whole && let Some(end) = evidence::end_within(&*opened.file, opened.stat.size, &tailed.file)? {
        return Ok(Origin::Beside(id, end));
    }
    if is_whole
        && stat.links == 0
        && let Some(end) = evidence::end_within(&tailed.file, stat.size, &*opened.file)?
    {
        return Ok(Origin::Remembered(end, None, tailed.footer));
    }
    if !is_whole && let Some(end) = end_before(opened, head, position, |end| recent.tail(id, end))? {
        return Ok(Origin::Remembered(end, None, tailed.footer));
    }
    let original = if is_whole { Original::Whole } else { Original::Gone };
    // While the agent runs, no device gets another number: the same inode number on two devices is two files.
    let evidence = evidence::beside(opened, &tailed.identity, &position, original)?;
    Ok(match judge(&Evidence { inode: Inode::Other, ..evidence }) {
        Verdict::Copy => Origin::Copied(id, position),
        Verdict::Unclear => Origin::Unclear,
        Verdict::CopyBeside => Origin::Forked,
        Verdict::Same | Verdict::Changed(_) | Verdict::Unrelated => Origin::None,
    })
}

/// What an open file is now, beside what was `known` of it.
pub(super) fn compare(file: &Arc<dyn Content>, known: &Generation) -> io::Result<Verdict> {
    let opened = evidence::look_again(file, &known.identity)?;
    Ok(judge(&evidence::beside(&opened, &known.identity, &known.position, Original::Gone)?))
}

/// Whether a file can be a copy of one that begins with `known`: a cheap look before the proofs are read.
fn may_be_copy(found: &Opened, known: &Head) -> bool {
    let head = &found.identity.head;
    known.len > 0 && (head == known || (!known.is_whole() && head.len >= known.len))
}
