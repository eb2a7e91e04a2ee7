//! Standard input to a segment. Knows descriptors, not which segment or why.
//!
//! Out of a pipe, bytes are looked at with tee(2), and splice(2) moves them into the file in the kernel: at every moment each
//! byte is in the pipe or in the spool. So a program that is killed loses and repeats nothing that it was given, as long as
//! somebody holds the pipe (<https://man7.org/linux/man-pages/man2/splice.2.html>). SIGKILL may end a move between two pages of
//! the file, in the middle of a line; the next program at the same pipe goes on there.
//! What is no pipe (a file, a socket, a terminal) is read and written.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice, tee};
use nix::libc::loff_t;
use nix::unistd::pipe2;

use super::instance::{Lost, is_full};
use super::portion::{Line, Patience, portion};
use crate::layout::Records;

/// How much a pipe is asked to hold: what a busy server writes in the tenth of a second that the disk may hesitate. It is
/// the most that a pipe may hold for a user without privileges by default (`fs.pipe-max-size`).
const PIPE_BYTES: u32 = 1 << 20;

/// How much is read at once of what is no pipe.
const COPY_BYTES: usize = 256 * 1024;

/// How much less than all a pipe holds when the next atomic write waits for room (PIPE_BUF, pipe(7)).
const ATOMIC_BYTES: usize = 4096;

/// Standard input.
#[derive(Debug)]
pub(super) struct Inlet {
    input: File,
    way: Way,
    /// What was seen last.
    seen: Vec<u8>,
    /// Whether what was taken last ended a line.
    pub(super) line: Line,
}

/// How bytes are moved.
#[derive(Debug)]
enum Way {
    /// Out of a pipe.
    Splice {
        /// A pipe of our own in which bytes are looked at that stay in the other.
        look: (File, OwnedFd),
        /// How many bytes are looked at, at most: as many as stand in each.
        capacity: usize,
    },
    /// Out of anything else.
    Copy {
        /// Which of the bytes that were read are not written yet: the beginning of a line, or what found no room.
        held: Range<usize>,
    },
}

/// Where bytes go.
pub(super) struct Place<'a> {
    /// The segment.
    pub(super) file: &'a File,
    /// Its end, which moves with each byte.
    pub(super) end: &'a mut u64,
}

/// What became of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Bytes of it are in the segment.
    Bytes,
    /// The beginning of a line waits for its end.
    Held,
    /// Nothing, as it is the beginning of a record that is to go somewhere else.
    Record,
    /// Nobody writes any more, and all is taken.
    End,
}

/// Why bytes were not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no room on the disk.
    NoSpace,
    /// The segment could not be written.
    Segment(io::Error),
    /// Standard input could not be read.
    Input(io::Error),
}

impl Inlet {
    /// Takes from `input`, not much more than `most` at once.
    pub(super) fn new(input: OwnedFd, most: usize) -> io::Result<Inlet> {
        let input = File::from(input);
        let way = if input.metadata()?.file_type().is_fifo() {
            splicing(&input, most)?
        } else {
            Way::Copy { held: 0..0 }
        };
        let bytes = match &way {
            Way::Splice { capacity, .. } => *capacity,
            Way::Copy { .. } => COPY_BYTES.min(most),
        };
        Ok(Inlet { input, way, seen: vec![0; bytes], line: Line::Whole })
    }

    /// The number of the pipe, if it is one that lives no longer than those who hold it, and keeps what stands in it as long.
    /// One with a name (fifo(7)) does not.
    pub(super) fn pipe(&self) -> Option<u64> {
        let link = fs::read_link(format!("/proc/self/fd/{}", self.input.as_raw_fd())).ok()?;
        link.to_str()?.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
    }

    /// What to poll.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// Whether it has read lines that could not be written.
    pub(super) fn holds_lines(&self) -> bool {
        matches!(&self.way, Way::Copy { held } if whole(&self.seen, held, self.line, Patience::Left) > 0)
    }

    /// Moves what there is to `place`: whole lines, unless no patience is left; of `one` record only the rest.
    pub(super) fn take(
        &mut self,
        patience: Patience,
        one: Option<&Records>,
        place: &mut Place<'_>,
    ) -> Result<Taken, Refusal> {
        let Inlet { input, way, seen, line } = self;
        match way {
            Way::Splice { look: (look, look_in), capacity } => {
                let standing = match tee(&*input, &*look_in, *capacity, SpliceFFlags::SPLICE_F_NONBLOCK) {
                    Ok(0) => return Ok(Taken::End),
                    Ok(standing) => standing,
                    Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Taken::Held),
                    Err(errno) => return Err(Refusal::Input(errno.into())),
                };
                let seen = seen.get_mut(..standing).unwrap_or_default();
                look.read_exact(seen).map_err(Refusal::Input)?;
                let is_full = standing.saturating_add(ATOMIC_BYTES) > *capacity;
                let patience = if is_full { Patience::Spent } else { patience };
                let wanted = seen.get(..portion(seen, *line, patience)).unwrap_or_default();
                match rest(wanted, one) {
                    [] if !wanted.is_empty() => Ok(Taken::Record),
                    wanted => splice_all(input, wanted, line, place),
                }
            }
            Way::Copy { held } => {
                let mut patience = Patience::Left;
                if whole(seen, held, *line, patience) == 0 {
                    seen.copy_within(held.clone(), 0);
                    *held = 0..held.len();
                    match input.read(seen.get_mut(held.end..).unwrap_or_default()) {
                        Ok(0) if Range::is_empty(held) => return Ok(Taken::End),
                        Ok(0) => patience = Patience::Spent,
                        Ok(read) => held.end = held.end.saturating_add(read),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(Refusal::Input(error)),
                    }
                }
                let patience = if held.len() == seen.len() { Patience::Spent } else { patience };
                let wanted = whole(seen, held, *line, patience);
                let bytes = seen.get(held.clone()).and_then(|bytes| bytes.get(..wanted)).unwrap_or_default();
                match rest(bytes, one) {
                    [] if wanted > 0 => Ok(Taken::Record),
                    bytes => copy_all(bytes, held, line, place),
                }
            }
        }
    }

    /// Takes what there is and keeps nothing of it, which is told: writers must not wait for a disk that has no room.
    pub(super) fn discard(&mut self) -> io::Result<Lost> {
        let gone = match &mut self.way {
            Way::Copy { held } if !Range::is_empty(held) => std::mem::take(held),
            Way::Copy { .. } | Way::Splice { .. } => 0..self.input.read(&mut self.seen)?,
        };
        Ok(Lost::of(self.seen.get(gone).unwrap_or_default()))
    }
}

/// Moves as many bytes out of the pipe as were `seen` in it.
fn splice_all(input: &File, seen: &[u8], line: &mut Line, place: &mut Place<'_>) -> Result<Taken, Refusal> {
    let mut rest = seen;
    while !rest.is_empty() {
        let mut end = loff_t::try_from(*place.end).unwrap_or(loff_t::MAX);
        match splice(input, None, place.file, Some(&mut end), rest.len(), SpliceFFlags::empty()) {
            // Somebody else reads the same pipe.
            Ok(0) => break,
            Ok(moved) => rest = place.pass(rest, moved, line),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Refusal::of(errno.into())),
        }
    }
    Ok(if rest.len() == seen.len() { Taken::Held } else { Taken::Bytes })
}

/// How many of the bytes that are `held` of those that were read are to be written.
fn whole(read: &[u8], held: &Range<usize>, line: Line, patience: Patience) -> usize {
    portion(read.get(held.clone()).unwrap_or_default(), line, patience)
}

/// What of `lines` belongs to the record before them, if only `one` is wanted.
fn rest<'a>(lines: &'a [u8], one: Option<&Records>) -> &'a [u8] {
    let next = one.and_then(|records| records.first_begin(lines));
    next.and_then(|next| lines.get(..next)).unwrap_or(lines)
}

/// Writes `bytes`, the first of those that are `held`.
fn copy_all(
    bytes: &[u8],
    held: &mut Range<usize>,
    line: &mut Line,
    place: &mut Place<'_>,
) -> Result<Taken, Refusal> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match place.file.write_at(rest, *place.end) {
            Ok(written) => {
                rest = place.pass(rest, written, line);
                held.start = held.start.saturating_add(written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Refusal::of(error)),
        }
    }
    Ok(Taken::Bytes)
}

impl Place<'_> {
    /// Goes past the first `moved` of `bytes`, which are in the segment now; gives the rest.
    fn pass<'b>(&mut self, bytes: &'b [u8], moved: usize, line: &mut Line) -> &'b [u8] {
        *self.end = self.end.saturating_add(moved as u64);
        *line = line.behind(bytes.get(..moved).unwrap_or_default());
        bytes.get(moved..).unwrap_or_default()
    }
}

impl Refusal {
    fn of(error: io::Error) -> Refusal {
        if is_full(&error) { Refusal::NoSpace } else { Refusal::Segment(error) }
    }
}

/// Prepares to look into a pipe.
fn splicing(input: &File, most: usize) -> io::Result<Way> {
    let (look, look_in) = pipe2(OFlag::O_CLOEXEC)?;
    let wanted = i32::try_from(PIPE_BYTES).unwrap_or(i32::MAX);
    // Users without privileges may have used up what they may have; a smaller pipe only holds writers up sooner.
    fcntl(input, FcntlArg::F_SETPIPE_SZ(wanted)).ok();
    fcntl(&look_in, FcntlArg::F_SETPIPE_SZ(wanted)).ok();
    let size = |pipe: BorrowedFd<'_>| -> io::Result<usize> {
        Ok(usize::try_from(fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?).unwrap_or_default())
    };
    let capacity = size(input.as_fd())?.min(size(look_in.as_fd())?).min(most);
    Ok(Way::Splice { look: (File::from(look), look_in), capacity })
}
