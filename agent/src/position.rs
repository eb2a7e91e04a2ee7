//! Where a byte came from: which file, at which offset, and how that is proved later.
//!
//! Knows nothing of disks or of what a byte means. The types here cannot hold a wrong value and are passed on by all
//! the steps.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// A byte position in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The beginning of a file.
    pub const START: Offset = Offset(0);

    /// The position as it is written down.
    #[must_use]
    pub fn to_raw(self) -> u64 {
        self.0
    }

    /// The position that was written down as `raw`.
    #[must_use]
    pub fn from_raw(raw: u64) -> Offset {
        Offset(raw)
    }

    /// The position `len` bytes further on.
    #[must_use]
    pub fn advance(self, len: usize) -> Offset {
        Offset(self.0 + len as u64)
    }

    /// How many bytes lie between `earlier` and here; 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of bytes on this host, for as long as it exists, whatever its path.
///
/// Opaque and small: batches, ledger and checkpoint pass it on; only `source` knows which inode and which content
/// it stands for. Unique within its flow and within one run of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(NonZeroU32);

impl FileId {
    /// The first name that a flow gives.
    pub const FIRST: FileId = FileId(NonZeroU32::MIN);

    /// The name after this one.
    ///
    /// # Panics
    /// After four billion files: the agent then starts again from its checkpoint.
    #[must_use]
    pub fn next(self) -> FileId {
        FileId(self.0.checked_add(1).expect("an agent sees fewer than 2^32 files in one run"))
    }

    /// The number, for log lines.
    #[must_use]
    pub fn to_raw(self) -> u32 {
        self.0.get()
    }
}

/// The checksum of the bytes just before a position: the proof that a file still holds there what we have read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// CRC-32 of the bytes.
    pub crc: u32,
    /// How many they are: 64, or as many as there are before the position.
    pub len: u8,
}

impl Tail {
    /// How many bytes before a position its proof covers.
    pub const BYTES: usize = 64;

    /// The proof of the position at the end of `before`, of which at most the last [`Tail::BYTES`] count.
    #[must_use]
    pub fn of(before: &[u8]) -> Tail {
        let last = before.last_chunk::<{ Tail::BYTES }>().map_or(before, <[u8; Tail::BYTES]>::as_slice);
        let len = u8::try_from(last.len()).expect("64 fits into a byte");
        Tail { crc: crc32fast::hash(last), len }
    }
}

/// The checksum of a file's first bytes. It proves who a file is; it does not name it: two live files with equal
/// heads are two files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// CRC-32 of the bytes.
    pub crc: u32,
    /// How many they are: [`Head::BYTES`], or as many as the file had when it was last looked at.
    pub len: u16,
}

impl Head {
    /// How many bytes a whole head covers.
    pub const BYTES: usize = 1024;

    /// The head of a file that begins with `bytes`, of which at most the first [`Head::BYTES`] count.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Head {
        let first = bytes.first_chunk::<{ Head::BYTES }>().map_or(bytes, <[u8; Head::BYTES]>::as_slice);
        let len = u16::try_from(first.len()).expect("1024 fits into 16 bits");
        Head { crc: crc32fast::hash(first), len }
    }

    /// Whether it covers [`Head::BYTES`] and so never changes again.
    #[must_use]
    pub fn is_whole(self) -> bool {
        usize::from(self.len) == Head::BYTES
    }
}

/// Who a file is: where its inode is, and how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file system's device number. It may change at a reboot.
    pub device: u64,
    /// The inode number. It may be used again when the file is gone.
    pub inode: u64,
    /// The checksum of the first bytes.
    pub head: Head,
}

/// A place in one file, with its proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// How far.
    pub offset: Offset,
    /// The checksum of the bytes before it, taken from the bytes as they were read.
    pub tail: Tail,
}

/// What tells one generation of a file from all others of this host, in this run and in every later one: what a record
/// that says its position says of its file.
///
/// Never given to two generations, as far as that can be proved: of two different lines with equal marks and offsets one
/// would be taken for a repeat of the other. How it is made, `source/mark.rs` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// A digest of the inode and of its birth.
    pub place: u64,
    /// Which generation of this inode it is, as far as those before are known; the first is 0.
    pub turn: u32,
    /// A checksum of the first line that was read of it and of where that begins; none before that.
    pub first: Option<u32>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}-{:08x}", self.place, self.turn, self.first.unwrap_or_default())
    }
}

/// One file as it was last seen, and how far it is dealt with: what the checkpoint keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its name within this run.
    pub file: FileId,
    /// Who it is.
    pub identity: Identity,
    /// What its lines say that they are from; none if an agent knew it that had no marks.
    pub mark: Option<Mark>,
    /// Whether its name was taken from it: it will come to an end.
    pub leaving: bool,
    /// Where its footer begins, once that is found: from there on it has no records.
    pub footer: Option<Offset>,
    /// The checksum of its very first bytes, which are left where it is cut in the middle of its head; of no bytes if an
    /// agent knew it that did not note them.
    pub first: Head,
    /// Whether it is a copy beside its original, which gives the lines up to this position.
    pub beside: bool,
    /// Where it was last seen.
    pub path: PathBuf,
    /// Everything before this needs no reading any more.
    pub position: Position,
    /// Its size when it was last seen.
    pub size: u64,
    /// Its time of modification then, in milliseconds since the epoch.
    pub modified: i64,
    /// When it was made, in nanoseconds since the epoch; 0 where its file system or an agent that knew it does not say.
    pub born: u64,
}

impl Generation {
    /// How many bytes with records in them were there and not dealt with when it was last seen.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let end = self.footer.map_or(self.size, |footer| self.size.min(footer.to_raw()));
        end.saturating_sub(self.position.offset.to_raw())
    }
}

/// The bytes `[start, end)` of one file, and the proof of the position `end`. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    file: FileId,
    start: Offset,
    end: Position,
}

impl Span {
    /// The span from `start` to `end`; `None` if that is empty or backwards.
    #[must_use]
    pub fn new(file: FileId, start: Offset, end: Position) -> Option<Span> {
        (start < end.offset).then_some(Span { file, start, end })
    }

    /// The file whose bytes they are.
    #[must_use]
    pub fn file(&self) -> FileId {
        self.file
    }

    /// The first byte.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The position behind the last byte.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// How many bytes it covers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end.offset.since(self.start)
    }
}

/// The bytes of one file that a batch stands for, and how many records it made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The bytes.
    pub span: Span,
    /// The records.
    pub records: usize,
}

/// The Java agent's name of a flow, `kinesis:<stream>:<directory>/<glob>`: positions belong to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(String);

impl FlowId {
    /// The id of the flow that takes what matches `pattern` to `destination` (`kinesis:<stream>`).
    #[must_use]
    pub fn new(destination: &str, pattern: &str) -> FlowId {
        FlowId(format!("{destination}:{pattern}"))
    }

    /// The id that was written down as `text`.
    #[must_use]
    pub fn from_text(text: String) -> FlowId {
        FlowId(text)
    }

    /// The id as it is written down.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `kinesis:<stream>`.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.parts().map_or(&self.0, |(destination, _)| destination)
    }

    /// `<directory>/<glob>`.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.parts().map_or("", |(_, pattern)| pattern)
    }

    /// A pattern is a path, and a stream may be named by an ARN, which has colons.
    fn parts(&self) -> Option<(&str, &str)> {
        let path = self.0.find(":/");
        let at = path.or_else(|| self.0.match_indices(':').nth(1).map(|(at, _)| at))?;
        Some((self.0.get(..at)?, self.0.get(at + 1..)?))
    }
}

/// Which of `flows` has what belonged to the flow `id`: itself; or if that is not configured any more, the one that was most
/// likely made of it, with the same pattern or else the same destination.
pub fn heir<'a>(id: &FlowId, flows: impl Iterator<Item = &'a FlowId> + Clone) -> Option<usize> {
    let find = |fits: &dyn Fn(&FlowId) -> bool| flows.clone().position(fits);
    find(&|flow| flow == id)
        .or_else(|| find(&|flow| flow.pattern() == id.pattern()))
        .or_else(|| find(&|flow| flow.destination() == id.destination()))
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_covers_at_most_its_bytes() {
        let long = [b'x'; 100];
        assert_eq!(Tail::of(&long), Tail { crc: crc32fast::hash(&long[..64]), len: 64 });
        assert_eq!(Tail::of(b"abc"), Tail { crc: crc32fast::hash(b"abc"), len: 3 });
        assert_eq!(Tail::of(b""), Tail::default());
    }

    #[test]
    fn a_head_is_whole_at_1024_bytes() {
        assert!(!Head::of(&[b'x'; 1023]).is_whole());
        assert_eq!(Head::of(&[b'x'; 1024]), Head::of(&[b'x'; 5000]));
        assert!(Head::of(&[b'x'; 1024]).is_whole());
    }

    #[test]
    fn a_span_is_never_empty() {
        let at = |offset| Position { offset: Offset::from_raw(offset), tail: Tail::default() };
        assert_eq!(Span::new(FileId::FIRST, Offset::from_raw(5), at(5)), None);
        assert_eq!(Span::new(FileId::FIRST, Offset::from_raw(6), at(5)), None);
        assert_eq!(Span::new(FileId::FIRST, Offset::from_raw(5), at(9)).map(|span| span.bytes()), Some(4));
    }

    #[test]
    fn what_belonged_to_a_flow_has_its_heir() {
        let flows =
            ["kinesis:a:/x", "kinesis:b:/y", "kinesis:a:/y"].map(|id| FlowId::from_text(id.to_owned()));
        for (id, expected) in [
            ("kinesis:a:/y", Some(2)),
            ("kinesis:c:/y", Some(1)),
            ("kinesis:b:/z", Some(1)),
            ("kinesis:c:/z", None),
        ] {
            assert_eq!(heir(&FlowId::from_text(id.to_owned()), flows.iter()), expected, "{id}");
        }
    }

    #[test]
    fn a_flow_id_falls_into_its_parts() {
        let id = FlowId::new("kinesis:in", "/var/log/a:b*");
        assert_eq!(
            (id.as_str(), id.destination(), id.pattern()),
            ("kinesis:in:/var/log/a:b*", "kinesis:in", "/var/log/a:b*")
        );
    }
}
