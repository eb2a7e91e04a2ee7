//! One open file from one position: bytes, end, or the news that it is not what it was.
//!
//! Does not know names, patterns or other files. Each read begins with the bytes before the position, which were
//! read before: if they are not the same any more, the file was truncated or rewritten, and nothing after them is
//! believed. One system call does both.

use std::io;

use memchr::memchr;

use super::chunk::Chunk;
use super::disk::Content;
use super::evidence::read_full_at;
use crate::position::{FileId, Mark, Offset, Position, Tail};

/// How many bytes are read at once. Large enough that a system call costs little per byte, small enough to stay in
/// the processor's cache while it is split and parsed.
const BLOCK_BYTES: usize = 256 * 1024;

/// The longest line that is kept whole: a record's limit. What is longer is cut behind it, as the Java agent does.
pub(crate) const LINE_BYTES: usize = 1024 * 1024;

/// The reader's buffer, used for one file after the other.
#[derive(Debug)]
pub(crate) struct Block {
    /// The bytes before the position, then those from it on.
    bytes: Vec<u8>,
}

impl Block {
    /// An empty block. It is charged as [`Block::BYTES`].
    pub(crate) fn new() -> Block {
        Block { bytes: vec![0; Tail::BYTES + BLOCK_BYTES] }
    }

    /// What a block holds, but for the rare line that needs more.
    pub(crate) const BYTES: usize = Tail::BYTES + BLOCK_BYTES;

    /// The bytes that the last read brought, which was of `file`.
    pub(crate) fn chunk(&self, file: FileId, mark: Mark, extent: &Extent) -> Chunk<'_> {
        let chunk = Chunk::new(file, mark, extent.start, self.window(extent), extent.before);
        match extent.cut {
            Some(end) => chunk.cut(end),
            None if extent.last => chunk.last(),
            None => chunk,
        }
    }

    /// The bytes of the last read that had not been read before.
    pub(crate) fn fresh(&self, extent: &Extent) -> &[u8] {
        self.window(extent).get(extent.before..).unwrap_or_default()
    }

    fn window(&self, extent: &Extent) -> &[u8] {
        self.bytes.get(..extent.before + extent.len).unwrap_or_default()
    }
}

/// Where in the block the bytes are that a read brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) start: Offset,
    /// Bytes before `start`.
    before: usize,
    /// Bytes from `start` on.
    len: usize,
    last: bool,
    /// Where the one line ends that is too long to keep.
    cut: Option<Position>,
    /// Fewer bytes came than were asked for: there is nothing behind them now.
    pub(crate) is_short: bool,
}

impl Extent {
    /// How many bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.len as u64
    }

    /// How large the file is at least.
    pub(crate) fn end(&self) -> u64 {
        self.cut.map_or(self.start.advance(self.len), |end| end.offset).to_raw()
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    /// Bytes from the position on, at least one line of them.
    Bytes(Extent),
    /// NUL bytes up to here: left by a truncation under a writer that does not append.
    Nuls(Position),
    /// Nothing yet.
    End,
    /// The bytes before the position are not those that were read, or not there any more.
    Changed,
}

/// How far one file was read.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) position: Position,
    /// How much to read next: a block, or more where a block held no newline.
    want: usize,
    /// How far a line that is longer than [`LINE_BYTES`] was searched for its newline.
    searched: usize,
}

impl Cursor {
    pub(crate) fn at(position: Position) -> Cursor {
        Cursor { position, want: BLOCK_BYTES, searched: 0 }
    }

    /// Moves to `position`, behind whole lines.
    pub(crate) fn advance(&mut self, position: Position) {
        *self = Cursor::at(position);
    }

    /// Reads on. `last` says that the file is finished: its last line counts without a newline.
    pub(crate) fn read(&mut self, file: &dyn Content, block: &mut Block, last: bool) -> io::Result<Read> {
        let before = usize::from(self.position.tail.len);
        let from = Offset::from_raw(self.position.offset.to_raw() - before as u64);
        let window = before + self.want;
        block.bytes.resize(window.max(Block::BYTES), 0);
        block.bytes.shrink_to(Block::BYTES);
        let read = read_full_at(file, block.bytes.get_mut(..window).unwrap_or_default(), from)?;
        let Some((proof, fresh)) = block.bytes.get(..read).and_then(|bytes| bytes.split_at_checked(before))
        else {
            return Ok(Read::Changed);
        };
        if Tail::of(proof) != self.position.tail {
            return Ok(Read::Changed);
        }
        if fresh.first() == Some(&0) {
            let nuls = fresh.iter().take_while(|byte| **byte == 0).count();
            let until = block.bytes.get(..before + nuls).unwrap_or_default();
            let position = Position { offset: self.position.offset.advance(nuls), tail: Tail::of(until) };
            // What is not on the disk need not be read from it: a truncation may leave a hole of any size.
            let data = if nuls == fresh.len() { file.behind_hole(position.offset) } else { position.offset };
            let is_proved = data.since(position.offset) >= Tail::BYTES as u64;
            let behind = Position { offset: data, tail: Tail::of(&[0; Tail::BYTES]) };
            return Ok(Read::Nuls(if is_proved { behind } else { position }));
        }
        if memchr(b'\n', fresh).is_none() {
            if fresh.len() == self.want {
                // A block without a newline: a longer one next time, or, beyond a record's limit, only a search.
                if self.want < LINE_BYTES {
                    self.want = (self.want * 2).min(LINE_BYTES);
                    return self.read(file, block, last);
                }
                return self.read_cut(file, last);
            }
            if fresh.is_empty() || !last {
                return Ok(Read::End);
            }
        }
        let (len, is_short) = (fresh.len(), fresh.len() < self.want);
        let last = last && is_short;
        Ok(Read::Bytes(Extent { start: self.position.offset, before, len, last, cut: None, is_short }))
    }

    /// A line longer than [`LINE_BYTES`], the first of which are in the block: searches its newline without keeping
    /// what lies between.
    fn read_cut(&mut self, file: &dyn Content, last: bool) -> io::Result<Read> {
        let before = usize::from(self.position.tail.len);
        let start = self.position.offset;
        let mut searching = vec![0; Tail::BYTES + BLOCK_BYTES];
        self.searched = self.searched.max(LINE_BYTES);
        let end = loop {
            // The bytes before the place where the search goes on are the proof of the line's end.
            let from = start.advance(self.searched - Tail::BYTES);
            let read = read_full_at(file, &mut searching, from)?;
            let Some(fresh) = searching.get(Tail::BYTES..read) else { return Ok(Read::Changed) };
            let len = match memchr(b'\n', fresh) {
                Some(newline) => newline + 1,
                None if read < searching.len() && last => fresh.len(),
                None if read < searching.len() => return Ok(Read::End),
                None => {
                    self.searched += fresh.len();
                    continue;
                }
            };
            let until = searching.get(..Tail::BYTES + len).unwrap_or_default();
            break Position { offset: start.advance(self.searched + len), tail: Tail::of(until) };
        };
        Ok(Read::Bytes(Extent {
            start,
            before,
            len: LINE_BYTES,
            last: true,
            cut: Some(end),
            is_short: false,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::split::split;

    const MARK: Mark = Mark { place: 0, turn: 0, first: None };

    /// Reads `text` to its end and gives the lines with the offsets behind them.
    fn read_all(text: &[u8], last: bool) -> Vec<(Vec<u8>, u64)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let mut cursor = Cursor::at(Position::default());
        let mut block = Block::new();
        let mut lines = Vec::new();
        loop {
            let next = match cursor.read(&file, &mut block, last).unwrap() {
                Read::Bytes(extent) => {
                    let chunk = block.chunk(FileId::FIRST, MARK, &extent);
                    let mut end = 0;
                    for line in split(&chunk) {
                        end = line.end();
                        lines.push((line.bytes().to_vec(), chunk.position(end).offset.to_raw()));
                    }
                    chunk.position(end)
                }
                Read::Nuls(_) | Read::End | Read::Changed => return lines,
            };
            cursor.advance(next);
        }
    }

    #[track_caller]
    fn check(text: &[u8], last: bool, expected: &[(&[u8], u64)]) {
        let expected: Vec<(Vec<u8>, u64)> =
            expected.iter().map(|(line, end)| (line.to_vec(), *end)).collect();
        assert_eq!(read_all(text, last), expected);
    }

    #[test]
    fn whole_lines_come_and_a_begun_one_waits() {
        check(b"a\n\nbc\nrest", false, &[(b"a\n", 2), (b"\n", 3), (b"bc\n", 6)]);
    }

    #[test]
    fn the_last_line_of_a_finished_file_needs_no_newline() {
        check(b"a\nrest", true, &[(b"a\n", 2), (b"rest", 6)]);
    }

    #[test]
    fn a_line_longer_than_a_block_is_kept_whole() {
        let long = [vec![b'x'; BLOCK_BYTES + 5], b"\n".to_vec()].concat();
        let text = [b"a\n".as_slice(), &long, b"b\n"].concat();
        let end = 2 + long.len() as u64;
        check(&text, false, &[(b"a\n", 2), (&long, end), (b"b\n", end + 2)]);
    }

    #[test]
    fn a_line_longer_than_a_record_is_cut_and_the_next_is_intact() {
        let long = [vec![b'x'; 3 * LINE_BYTES], b"\n".to_vec()].concat();
        let text = [long.as_slice(), b"b\n"].concat();
        let end = long.len() as u64;
        check(&text, false, &[(&vec![b'x'; LINE_BYTES], end), (b"b\n", end + 2)]);
    }

    #[test]
    fn an_endless_line_waits_until_the_file_is_finished() {
        let long = vec![b'x'; 2 * LINE_BYTES];
        check(&long, false, &[]);
        check(&long, true, &[(&vec![b'x'; LINE_BYTES], long.len() as u64)]);
    }

    #[test]
    fn other_bytes_before_the_position_are_noticed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"other line\nmore\n").unwrap();
        let mut block = Block::new();
        let at = |text: &[u8]| Position { offset: Offset::from_raw(text.len() as u64), tail: Tail::of(text) };
        let mut read =
            |position| matches!(Cursor::at(position).read(&file, &mut block, false).unwrap(), Read::Changed);
        assert!(!read(at(b"other line\n")));
        assert!(read(at(b"first line\n")), "rewritten with the same size");
        assert!(read(at(&[b'x'; 500])), "truncated");
    }

    #[test]
    fn a_hole_is_skipped_without_reading_it() {
        let mut file = tempfile::tempfile().unwrap();
        let hole = 1 << 40;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(hole)).unwrap();
        file.write_all(b"line\n").unwrap();
        let mut block = Block::new();
        let mut cursor = Cursor::at(Position::default());
        let mut skips = 0;
        let line = loop {
            match cursor.read(&file, &mut block, false).unwrap() {
                Read::Nuls(position) => cursor.advance(position),
                Read::Bytes(extent) => break block.fresh(&extent),
                other @ (Read::End | Read::Changed) => panic!("{other:?}"),
            }
            skips += 1;
        };
        assert_eq!((line, cursor.position.offset.to_raw()), (b"line\n".as_slice(), hole));
        assert!(skips < 4, "{skips} reads for a hole of a terabyte");
    }

    #[test]
    fn nuls_left_by_a_truncation_are_told_apart() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"\0\0\0line\n").unwrap();
        let mut block = Block::new();
        let read = Cursor::at(Position::default()).read(&file, &mut block, false).unwrap();
        assert!(matches!(read, Read::Nuls(position) if position.offset.to_raw() == 3), "{read:?}");
    }
}
