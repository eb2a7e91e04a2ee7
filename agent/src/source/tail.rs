//! One open file from one position: bytes, end, or the news that it is not what it was.
//!
//! Does not know names, patterns or other files. Each read begins with the bytes before the position, which were
//! read before: if they are not the same any more, the file was truncated or rewritten, and nothing after them is
//! believed. One system call does both.

use std::io;

use memchr::memchr_iter;

use super::chunk::{Chunk, Cut, Part};
use super::disk::Content;
use super::evidence::read_full_at;
use crate::layout::{End, Layout, Records, newlines};
use crate::position::{FileId, Mark, Offset, Position, Tail};

/// How many bytes are read at once. Large enough that a system call costs little per byte, small enough to stay in
/// the processor's cache while it is split and parsed.
const BLOCK_BYTES: usize = 256 * 1024;

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

    /// What a block holds, but for the rare record that needs more.
    pub(crate) const BYTES: usize = Tail::BYTES + BLOCK_BYTES;

    /// The bytes that the last read brought, which was of `file`.
    pub(crate) fn chunk<'a>(
        &'a self,
        file: FileId,
        mark: Mark,
        extent: &Extent,
        layout: &'a Layout,
    ) -> Chunk<'a> {
        let (_, window) = self.window(extent);
        let chunk = Chunk::new(file, mark, extent.start, window, extent.before, layout).within(extent.part);
        match extent.cut {
            Some(cut) => chunk.cut(cut),
            None if extent.last => chunk.last(),
            None => chunk,
        }
    }

    /// The bytes of the last read that had not been read before and are not of the header, and where they begin.
    pub(crate) fn fresh(&self, extent: &Extent) -> (Offset, &[u8]) {
        let fresh = self.window(extent).1.get(extent.before..).unwrap_or_default();
        let header = match extent.part {
            Part::Header { lines } => header_end(fresh, lines),
            Part::Records | Part::Rest => 0,
        };
        (extent.start.advance(header), fresh.get(header..).unwrap_or_default())
    }

    /// All bytes of the last read, and where they begin.
    pub(crate) fn window(&self, extent: &Extent) -> (Offset, &[u8]) {
        let start = extent.start.to_raw().saturating_sub(extent.before as u64);
        (Offset::from_raw(start), self.bytes.get(..extent.before + extent.len).unwrap_or_default())
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
    part: Part,
    last: bool,
    /// Where the one record ends that is too long to keep.
    cut: Option<Cut>,
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
        self.cut.map_or(self.start.advance(self.len), |cut| cut.end.offset).to_raw()
    }

    /// The same bytes, where the last record of them is to count as whole.
    pub(crate) fn closed(self) -> Extent {
        Extent { last: true, ..self }
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    /// Bytes from the position on, at least one record of them.
    Bytes(Extent),
    /// Whole lines of one record, to which more lines may belong.
    Held(Extent),
    /// NUL bytes up to here: left by a truncation under a writer that does not append.
    Nuls(Position),
    /// Nothing yet.
    End,
    /// The bytes before the position are not those that were read, or not there any more.
    Changed,
}

/// Where the first `lines` lines of `bytes` end.
fn header_end(bytes: &[u8], lines: u64) -> usize {
    let last = usize::try_from(lines.saturating_sub(1)).unwrap_or(usize::MAX);
    memchr_iter(b'\n', bytes).nth(last).map_or(bytes.len(), |newline| newline + 1)
}

/// How far one file was read.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) position: Position,
    /// How much to read next: a block, or more where a block held no whole record.
    want: usize,
    /// How far a record that is longer than is kept was searched for its end, from the position on.
    searched: Searched,
}

/// What was searched and is not kept.
#[derive(Clone, Copy, Debug, Default)]
struct Searched {
    bytes: usize,
    /// How many lines end in it, beyond what is kept.
    lines: u64,
}

impl Cursor {
    pub(crate) fn at(position: Position) -> Cursor {
        Cursor { position, want: BLOCK_BYTES, searched: Searched::default() }
    }

    /// Moves to `position`, behind whole records.
    pub(crate) fn advance(&mut self, position: Position) {
        *self = Cursor::at(position);
    }

    /// Reads on in this part of the file. `last` says that the file is finished: what is left of it is whole.
    pub(crate) fn read(
        &mut self,
        file: &dyn Content,
        block: &mut Block,
        layout: &Layout,
        part: Part,
        last: bool,
    ) -> io::Result<Read> {
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
        let (start, len, is_short) = (self.position.offset, fresh.len(), fresh.len() < self.want);
        let extent = Extent { start, before, len, part, last: last && is_short, cut: None, is_short };
        match part.pieces(layout).first_end(fresh) {
            End::At(_) => Ok(Read::Bytes(extent)),
            // A block without a whole record: a longer one next time, or, beyond a record's limit, only a search.
            End::Beyond(_) if !is_short && self.want < layout.record_bytes => {
                self.want = (self.want * 2).min(layout.record_bytes);
                self.read(file, block, layout, part, last)
            }
            End::Beyond(searched) if !is_short => {
                if self.searched.bytes < searched {
                    self.searched = Searched { bytes: searched, lines: 0 };
                }
                self.read_cut(file, part.pieces(layout), extent, last)
            }
            End::Beyond(_) if last && !fresh.is_empty() => Ok(Read::Bytes(extent)),
            End::Beyond(_) if fresh.ends_with(b"\n") => Ok(Read::Held(extent)),
            End::Beyond(_) => Ok(Read::End),
        }
    }

    /// A record of which the block holds `kept`, as much as is kept: searches its end without keeping what lies
    /// between.
    fn read_cut(
        &mut self,
        file: &dyn Content,
        records: &Records,
        kept: Extent,
        last: bool,
    ) -> io::Result<Read> {
        let start = self.position.offset;
        let mut searching = vec![0; Tail::BYTES + BLOCK_BYTES];
        let (len, is_held) = loop {
            // The bytes before the place where the search goes on are the proof of the record's end, and the last of
            // them says whether a line begins there.
            let from = start.advance(self.searched.bytes - Tail::BYTES);
            let read = read_full_at(file, &mut searching, from)?;
            let Some(since) = searching.get(Tail::BYTES - 1..read).filter(|since| !since.is_empty()) else {
                return Ok(Read::Changed);
            };
            match records.first_end(since) {
                End::At(end) => break (end - 1, false),
                End::Beyond(end) if read == searching.len() => {
                    self.searched.lines += newlines(since.get(1..end).unwrap_or_default());
                    self.searched.bytes += end - 1;
                }
                End::Beyond(_) if last => break (records.first_end_of_all(since) - 1, false),
                End::Beyond(_) if since.ends_with(b"\n") => break (since.len() - 1, true),
                End::Beyond(_) => return Ok(Read::End),
            }
        };
        let until = searching.get(..Tail::BYTES + len).unwrap_or_default();
        let end = Position { offset: start.advance(self.searched.bytes + len), tail: Tail::of(until) };
        let found = newlines(until.get(Tail::BYTES..).unwrap_or_default());
        let lines = self.searched.lines + found + u64::from(!until.ends_with(b"\n"));
        // Where the next record begins within the block, this one is not too long.
        let extent = match kept.len.checked_sub(self.searched.bytes + len) {
            Some(over) => Extent { len: kept.len - over, ..kept },
            None => Extent { cut: Some(Cut { end, lines }), ..kept },
        };
        Ok(if is_held { Read::Held(extent) } else { Read::Bytes(extent.closed()) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::expression::Expression;
    use crate::layout::RECORD_BYTES;
    use crate::split::split;

    const MARK: Mark = Mark { place: 0, turn: 0, first: None };

    /// Records that begin with a line that begins with `[`.
    fn brackets() -> Layout {
        let pattern = Expression::at_start(r"\[").unwrap();
        Layout {
            records: Records::BeginningWith { pattern, idle: Duration::from_secs(1) },
            ..Layout::default()
        }
    }

    /// Reads `text` to its end and gives the records with the offsets behind them.
    fn read_all(text: &[u8], layout: &Layout, last: bool) -> Vec<(Vec<u8>, u64)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let mut cursor = Cursor::at(Position::default());
        let mut block = Block::new();
        let mut lines = Vec::new();
        loop {
            let next = match cursor.read(&file, &mut block, layout, Part::Records, last).unwrap() {
                Read::Bytes(extent) => {
                    let chunk = block.chunk(FileId::FIRST, MARK, &extent, layout);
                    let mut end = 0;
                    for line in split(&chunk) {
                        end = line.end();
                        lines.push((line.bytes().to_vec(), chunk.position(end).offset.to_raw()));
                    }
                    chunk.position(end)
                }
                Read::Held(_) | Read::Nuls(_) | Read::End | Read::Changed => return lines,
            };
            cursor.advance(next);
        }
    }

    fn read_lines(position: Position, file: &std::fs::File, block: &mut Block) -> Read {
        Cursor::at(position).read(file, block, &Layout::default(), Part::Records, false).unwrap()
    }

    #[track_caller]
    fn check(text: &[u8], last: bool, expected: &[(&[u8], u64)]) {
        check_in(&Layout::default(), text, last, expected);
    }

    #[track_caller]
    fn check_in(layout: &Layout, text: &[u8], last: bool, expected: &[(&[u8], u64)]) {
        let short = |bytes: &[u8]| (bytes.len(), bytes.get(..20).unwrap_or(bytes).escape_ascii().to_string());
        let expected: Vec<_> = expected.iter().map(|(record, end)| (short(record), *end)).collect();
        let found: Vec<_> = read_all(text, layout, last);
        let found: Vec<_> = found.iter().map(|(record, end)| (short(record), *end)).collect();
        assert_eq!(found, expected);
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
        let long = [vec![b'x'; 3 * RECORD_BYTES], b"\n".to_vec()].concat();
        let text = [long.as_slice(), b"b\n"].concat();
        let end = long.len() as u64;
        check(&text, false, &[(&vec![b'x'; RECORD_BYTES], end), (b"b\n", end + 2)]);
    }

    #[test]
    fn an_endless_line_waits_until_the_file_is_finished() {
        let long = vec![b'x'; 2 * RECORD_BYTES];
        check(&long, false, &[]);
        check(&long, true, &[(&vec![b'x'; RECORD_BYTES], long.len() as u64)]);
    }

    #[test]
    fn a_record_of_lines_that_is_longer_than_a_block_is_kept_whole() {
        let long = [b"[a\n".to_vec(), b" at x\n".repeat(BLOCK_BYTES / 3)].concat();
        let text = [&long, b"[b\n".as_slice()].concat();
        let end = long.len() as u64;
        check_in(&brackets(), &text, false, &[(&long, end)]);
        check_in(&brackets(), &text, true, &[(&long, end), (b"[b\n", end + 3)]);
        check_in(&brackets(), &long, false, &[]);
    }

    #[test]
    fn a_record_of_lines_that_is_too_long_is_cut_and_the_next_is_intact() {
        for filling in [b" at x\n".to_vec(), [vec![b'y'; 2 * BLOCK_BYTES], b"\n".to_vec()].concat()] {
            let long = [b"[a\n".to_vec(), filling.repeat(3 * RECORD_BYTES / filling.len())].concat();
            let text = [&long, b"[b\n c\n[d\n".as_slice()].concat();
            let (cut, end) = (&long[..RECORD_BYTES], long.len() as u64);
            check_in(&brackets(), &text, false, &[(cut, end), (b"[b\n c\n", end + 6)]);
            check_in(&brackets(), &long, false, &[]);
            check_in(&brackets(), &long, true, &[(cut, end)]);
            check_in(&brackets(), &[&long, b" begun".as_slice()].concat(), true, &[(cut, end + 6)]);
        }
    }

    /// Wherever the next record begins around the longest that is kept.
    #[test]
    fn a_record_is_cut_only_behind_its_limit() {
        for over in -9..9i32 {
            let len = usize::try_from(i32::try_from(RECORD_BYTES).unwrap() + over).unwrap();
            let long = [b"[a\n".to_vec(), vec![b'x'; len - 4], b"\n".to_vec()].concat();
            let text = [&long, b"[b123\n[c\n".as_slice()].concat();
            let (kept, end) = (&long[..len.min(RECORD_BYTES)], len as u64);
            check_in(&brackets(), &text, false, &[(kept, end), (b"[b123\n", end + 6)]);
            check_in(&brackets(), &text[..len + 2], true, &[(kept, end), (b"[b", end + 2)]);
        }
    }

    #[test]
    fn every_line_of_a_record_that_is_cut_is_counted() {
        let text = [b"[a\n".to_vec(), b" at x\n".repeat(RECORD_BYTES), b"[b\n".to_vec()].concat();
        let layout = brackets();
        let (mut block, mut file) = (Block::new(), tempfile::tempfile().unwrap());
        file.write_all(&text).unwrap();
        let mut cursor = Cursor::at(Position::default());
        let Read::Bytes(extent) = cursor.read(&file, &mut block, &layout, Part::Records, false).unwrap()
        else {
            unreachable!()
        };
        let chunk = block.chunk(FileId::FIRST, MARK, &extent, &layout);
        let lines: Vec<_> = split(&chunk).map(|line| line.lines()).collect();
        assert_eq!(lines, [1 + RECORD_BYTES as u64]);
    }

    #[test]
    fn whole_lines_to_which_more_may_belong_are_held() {
        let read = |text: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text).unwrap();
            let mut cursor = Cursor::at(Position::default());
            cursor.read(&file, &mut Block::new(), &brackets(), Part::Records, false).unwrap()
        };
        assert!(matches!(read(b"[a\n b\n"), Read::Held(extent) if extent.end() == 6));
        assert!(matches!(read(b"[a\n b"), Read::End), "its last line is being written");
        assert!(matches!(read(b""), Read::End));
        let long = b" at x\n".repeat(RECORD_BYTES);
        assert!(matches!(read(&long), Read::Held(extent) if extent.end() == long.len() as u64));
    }

    #[test]
    fn other_bytes_before_the_position_are_noticed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"other line\nmore\n").unwrap();
        let mut block = Block::new();
        let at = |text: &[u8]| Position { offset: Offset::from_raw(text.len() as u64), tail: Tail::of(text) };
        let mut read = |position| matches!(read_lines(position, &file, &mut block), Read::Changed);
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
            match cursor.read(&file, &mut block, &Layout::default(), Part::Records, false).unwrap() {
                Read::Nuls(position) => cursor.advance(position),
                Read::Bytes(extent) => break block.fresh(&extent).1,
                other @ (Read::Held(_) | Read::End | Read::Changed) => unreachable!("{other:?}"),
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
        let read = read_lines(Position::default(), &file, &mut block);
        assert!(matches!(read, Read::Nuls(position) if position.offset.to_raw() == 3), "{read:?}");
    }
}
