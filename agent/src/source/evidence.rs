//! What a file shows of itself, read for `source/identity.rs` to judge.
//!
//! Knows how to open and look, not what it means. Opens regular files only, never waits for a device or a pipe, and
//! follows a link only to where its owner could have read too. What its name says is compressed shows what was compressed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Archive, Format, Trial, Unfinished};
use super::disk::{Content, Disk, Kind, Stat};
use super::identity::{Evidence, Inode, Original, Proof};
use super::mark;
use super::pattern::is_compressed;
use crate::layout::newlines;
use crate::position::{Generation, Head, Identity, Offset, Position, Tail};

/// Why a file that was found is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The system refuses.
    #[error("could not open `{path}`")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A directory, pipe, socket or device.
    #[error("`{path}` is not a regular file")]
    NotRegular { path: PathBuf },
    /// A link by somebody else to somewhere else: following it would show files to those who may not read them.
    #[error("`{path}` is a link of another user that leads out of `{reach}`")]
    ForeignLink { path: PathBuf, reach: PathBuf },
    /// It is compressed otherwise than archives are that are read.
    #[error("`{path}` is compressed, but not as .gz, .zst, .bz2 or .xz")]
    UnknownFormat { path: PathBuf },
    /// An archive that is not whole, or not yet.
    #[error(transparent)]
    Unfinished(Box<Unfinished>),
}

impl OpenError {
    /// Whether nothing is there.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            OpenError::Open { source, .. } => {
                matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            }
            OpenError::NotRegular { .. }
            | OpenError::ForeignLink { .. }
            | OpenError::UnknownFormat { .. }
            | OpenError::Unfinished(_) => false,
        }
    }
}

/// A file that is open, and how it looked then.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn Content>,
    pub(crate) stat: Stat,
    pub(crate) identity: Identity,
}

impl Opened {
    /// The digest of its inode.
    pub(crate) fn place(&self) -> u64 {
        mark::place(self.identity.device, self.identity.inode, self.stat.born)
    }
}

/// Opens the regular file at `path` and reads its head; an archive after all of it was decoded, if that takes no longer
/// than others should wait. A link must belong to root or to us, or lead to somewhere below `reach`.
pub(crate) fn open(disk: &dyn Disk, path: &Path, reach: &Path) -> Result<Opened, OpenError> {
    let opened = open_if(disk, path, reach, Head::default())?;
    Ok(opened.expect("every file begins with no bytes"))
}

/// The same, but for who has the time: an archive after all of it was decoded.
pub(crate) fn open_patiently(disk: &dyn Disk, path: &Path, reach: &Path) -> Result<Opened, OpenError> {
    match open(disk, path, reach) {
        Err(OpenError::Unfinished(archive)) if archive.goes_on() => {
            let mut trial = begin_trial(disk, path, reach)?;
            while trial.take_turn().map_err(OpenError::Unfinished)? > 0 {}
            let archive = trial.finish().map_err(OpenError::Unfinished)?;
            look(path, Arc::new(archive))
        }
        opened => opened,
    }
}

/// Opens the archive at `path` under the same rule, to decode it turn by turn.
pub(crate) fn begin_trial(disk: &dyn Disk, path: &Path, reach: &Path) -> Result<Trial, OpenError> {
    let (file, _) = open_regular(disk, path, reach)?;
    let format = Format::of(path).ok_or_else(|| OpenError::UnknownFormat { path: path.to_owned() })?;
    Trial::begin(file, path, format)
}

/// How the open file that was found at `path` looks.
pub(crate) fn look(path: &Path, file: Arc<dyn Content>) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::Open { path: path.to_owned(), source };
    let stat = file.stat().map_err(failed)?;
    let head = read_head(&*file, Head::BYTES).map_err(failed)?;
    Ok(Opened { identity: Identity { device: stat.device, inode: stat.inode, head }, file, stat })
}

/// The same, but an archive only if it begins with `head`: decoding it is dear.
pub(crate) fn open_if(
    disk: &dyn Disk,
    path: &Path,
    reach: &Path,
    head: Head,
) -> Result<Option<Opened>, OpenError> {
    let (file, _) = open_regular(disk, path, reach)?;
    let file = match Format::of(path) {
        Some(format) => match Archive::open(file, path, format, head)? {
            Some(archive) => Arc::new(archive),
            None => return Ok(None),
        },
        None if is_compressed(path.as_os_str()) => {
            return Err(OpenError::UnknownFormat { path: path.to_owned() });
        }
        None => file,
    };
    look(path, file).map(Some)
}

/// Opens the regular file at `path` under the same rule, and reads nothing of it.
pub(crate) fn open_regular(
    disk: &dyn Disk,
    path: &Path,
    reach: &Path,
) -> Result<(Arc<dyn Content>, Stat), OpenError> {
    let failed = |source| OpenError::Open { path: path.to_owned(), source };
    let link = disk.stat_link(path).map_err(failed)?;
    if link.kind == Kind::Link {
        let trusted = link.owner == 0 || link.owner == nix::unistd::geteuid().as_raw();
        let within = || Some(disk.real_path(path).ok()?.starts_with(disk.real_path(reach).ok()?));
        if !trusted && within() != Some(true) {
            return Err(OpenError::ForeignLink { path: path.to_owned(), reach: reach.to_owned() });
        }
    }
    // Not even opening a pipe or a device may wait; what was opened is what is looked at, not what the path said.
    let file = disk.open(path).map_err(failed)?;
    let stat = file.stat().map_err(failed)?;
    match stat.kind {
        Kind::File => Ok((file, stat)),
        Kind::Directory | Kind::Link | Kind::Other => Err(OpenError::NotRegular { path: path.to_owned() }),
    }
}

/// Whether what is at `path` has the inode of a known file. The device may have got another number at a reboot, and an
/// inode that was used again has another birth.
pub(crate) fn is_inode_of(known: &Generation, path: &Path, stat: &Stat) -> bool {
    known.identity.inode == stat.inode
        && (known.identity.device == stat.device || known.path == path)
        && (known.born == 0 || stat.born == 0 || known.born == stat.born)
}

/// Whether `file` begins with the bytes that stay when one that began with `first` is cut.
pub(crate) fn begins_with(file: &dyn Content, first: Head) -> bool {
    first.len > 0 && read_head(file, first.len.into()).is_ok_and(|now| now == first)
}

/// What an open file, known by `identity`, looks like now.
pub(crate) fn look_again(file: &Arc<dyn Content>, identity: &Identity) -> io::Result<Opened> {
    let (file, stat) = (Arc::clone(file), file.stat()?);
    let head = read_head(&*file, Head::BYTES)?;
    Ok(Opened { file, stat, identity: Identity { head, ..*identity } })
}

/// The head of `file` over its first `len` bytes, or over as many as it has.
pub(crate) fn read_head(file: &dyn Content, len: usize) -> io::Result<Head> {
    let mut bytes = [0; Head::BYTES];
    let wanted = bytes.get_mut(..len.min(Head::BYTES)).unwrap_or_default();
    read_beginning(file, wanted).map(Head::of)
}

/// The first bytes of `file`, as many as it has and `bytes` has room for.
pub(crate) fn read_beginning<'a>(file: &dyn Content, bytes: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let read = read_full_at(file, bytes, Offset::START)?;
    Ok(bytes.get(..read).unwrap_or_default())
}

/// The proof of `offset` from what `file` holds there now; `None` if the file does not reach it.
pub(crate) fn read_tail(file: &dyn Content, offset: Offset) -> io::Result<Option<Tail>> {
    let len = usize::try_from(offset.to_raw()).unwrap_or(usize::MAX).min(Tail::BYTES);
    let mut bytes = [0; Tail::BYTES];
    let wanted = bytes.get_mut(..len).unwrap_or_default();
    let read = read_full_at(file, wanted, Offset::from_raw(offset.to_raw() - len as u64))?;
    Ok((read == len).then(|| Tail::of(wanted)))
}

/// Reads until `bytes` is full or the file ends.
pub(crate) fn read_full_at(file: &dyn Content, bytes: &mut [u8], from: Offset) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..)
        && !rest.is_empty()
    {
        match file.read_at(rest, from.advance(read)) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// What `found` shows beside a file known by `identity` and read up to `position`.
pub(crate) fn beside(
    found: &Opened,
    identity: &Identity,
    position: &Position,
    original: Original,
) -> io::Result<Evidence> {
    let known = identity.head;
    let inode = match (found.identity.inode == identity.inode, found.identity.device == identity.device) {
        (true, true) => Inode::Same,
        // Of an empty file nothing proves that not only the number is the same.
        (true, false) if known.len > 0 => Inode::OtherDevice,
        (true | false, false) | (false, true) => Inode::Other,
    };
    let head = match read_head(&*found.file, usize::from(known.len))? {
        head if head != known => Proof::Fails,
        _ if is_telling(known) => Proof::Whole,
        _ => Proof::Part,
    };
    let tail = match read_tail(&*found.file, position.offset)? {
        Some(tail) if tail == position.tail && usize::from(tail.len) == Tail::BYTES => Proof::Whole,
        Some(tail) if tail == position.tail => Proof::Part,
        Some(_) | None => Proof::Fails,
    };
    let reaches = found.stat.size >= position.offset.to_raw();
    Ok(Evidence { inode, head, reaches, tail, begun: position.offset != Offset::START, original })
}

/// Whether a head tells a file from others: it is whole, and no hole, as these are all alike.
pub(crate) fn is_telling(head: Head) -> bool {
    head.is_whole() && head != Head::of(&[0; Head::BYTES])
}

/// Whether `file` still holds what is known of it: its head, and the bytes before `position`.
pub(crate) fn still_holds(file: &dyn Content, head: Head, position: &Position) -> io::Result<bool> {
    Ok(read_head(file, usize::from(head.len))? == head
        && read_tail(file, position.offset)? == Some(position.tail))
}

/// The end of `part`, which has `size` bytes, if it is the beginning of `whole`, as far as its head and its last bytes
/// can prove that.
pub(crate) fn end_within(part: &dyn Content, size: u64, whole: &dyn Content) -> io::Result<Option<Position>> {
    let offset = Offset::from_raw(size);
    let Some(tail) = read_tail(part, offset)? else { return Ok(None) };
    let head = read_head(part, Head::BYTES)?;
    let is_beginning =
        is_telling(head) && read_head(whole, Head::BYTES)? == head && read_tail(whole, offset)? == Some(tail);
    Ok(is_beginning.then_some(Position { offset, tail }))
}

/// How many newlines `file` has before `offset`; `most` where they are that many or more.
pub(crate) fn newlines_before(file: &dyn Content, offset: Offset, most: u64) -> io::Result<u64> {
    const STEP: usize = 64 * 1024;
    let mut bytes = vec![0; STEP];
    let (mut found, mut at) = (0, Offset::START);
    while found < most && at < offset {
        let len = usize::try_from(offset.since(at)).unwrap_or(STEP).min(STEP);
        let wanted = bytes.get_mut(..len).unwrap_or_default();
        let read = read_full_at(file, wanted, at)?;
        found += newlines(wanted.get(..read).unwrap_or_default());
        if read < len {
            break;
        }
        at = file.behind_hole(at.advance(read));
    }
    Ok(found.min(most))
}

/// The position behind the last newline of `file`, or its beginning if it has none.
pub(crate) fn behind_last_newline(file: &dyn Content, size: u64) -> io::Result<Position> {
    const STEP: usize = 64 * 1024;
    let mut bytes = vec![0; STEP];
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(STEP as u64);
        let len = usize::try_from(end - start).unwrap_or(STEP);
        let wanted = bytes.get_mut(..len).unwrap_or_default();
        let read = read_full_at(file, wanted, Offset::from_raw(start))?;
        if let Some(newline) = memchr::memrchr(b'\n', wanted.get(..read).unwrap_or_default()) {
            let offset = Offset::from_raw(start).advance(newline + 1);
            return Ok(Position { offset, tail: read_tail(file, offset)?.unwrap_or_default() });
        }
        end = start;
    }
    Ok(Position::default())
}
