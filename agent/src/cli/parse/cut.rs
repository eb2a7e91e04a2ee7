//! The records of a file that is not tailed: read in blocks, cut as its flow would cut it.
//!
//! Knows files and layouts, nothing of what a line means. Holds a block at a time, or one record, if that is longer.

use std::io::{self, Read};

use crate::layout::Layout;
use crate::source::Part;
use crate::split::{Line, Lines, Role};

/// How much is read at once.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

/// A file on its way to its end.
#[derive(Debug)]
pub(super) struct Cutter<R> {
    input: R,
    layout: Layout,
    /// What is read and not cut yet begins in this part.
    part: Part,
    bytes: Vec<u8>,
    /// The number of the first line of `bytes`, from 1.
    number: u64,
}

impl<R: Read> Cutter<R> {
    /// The records of `input`, which fall as `layout` says.
    pub(super) fn new(input: R, layout: Layout) -> Cutter<R> {
        let part = match layout.header_lines {
            0 => Part::Records,
            lines => Part::Header { lines },
        };
        Cutter { input, layout, part, bytes: Vec::new(), number: 1 }
    }

    /// Reads the next bytes and gives `take` each line or record in them, with the number of its first line. Says how many
    /// bytes were read; none at the end.
    pub(super) fn read(&mut self, mut take: impl FnMut(&Line<'_>, u64)) -> io::Result<u64> {
        let read = self.fill()?;
        let mut done = 0;
        loop {
            let rest = self.bytes.get(done..).unwrap_or_default();
            let lines = Lines::of(rest, &self.layout, self.part);
            let mut lines = if read == 0 { lines.finished() } else { lines };
            let (mut end, mut is_footer) = (0, false);
            for line in lines.by_ref() {
                take(&line, self.number);
                self.number += line.lines();
                end = line.end();
                is_footer = line.role() == Role::Footer;
            }
            self.part = lines.part();
            done += end;
            // What stands behind the footer is another part, and is cut otherwise.
            if !is_footer {
                break;
            }
        }
        self.bytes.drain(..done);
        Ok(read as u64)
    }

    /// Reads once, so that what a pipe has is not held back until it has more; says how many bytes there were.
    fn fill(&mut self) -> io::Result<usize> {
        let start = self.bytes.len();
        self.bytes.resize(start + BLOCK_BYTES, 0);
        let room = self.bytes.get_mut(start..).unwrap_or_default();
        let read = loop {
            match self.input.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.bytes.truncate(start + read.as_ref().map_or(0, |read| *read));
        read
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::expression::Expression;
    use crate::layout::Records;

    /// Gives no more than so many bytes at once.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(to.len()).min(self.0.len());
            let (now, later) = self.0.split_at(len);
            to[..len].copy_from_slice(now);
            self.0 = later;
            Ok(len)
        }
    }

    fn layout() -> Layout {
        let pattern = Expression::at_start(r"\d").unwrap();
        Layout {
            header_lines: 1,
            records: Records::BeginningWith { pattern, idle: Duration::ZERO },
            footer: Some(Expression::whole("1 end").unwrap()),
            ..Layout::default()
        }
    }

    /// The records of `text`, each with the number of its first line.
    fn records(text: &str, layout: Layout) -> Vec<(u64, String)> {
        let mut cutter = Cutter::new(text.as_bytes(), layout);
        let mut records = Vec::new();
        let mut take = |line: &Line<'_>, number| {
            if line.role() == Role::Record {
                records.push((number, String::from_utf8(line.bytes().to_vec()).unwrap()));
            }
        };
        while cutter.read(&mut take).unwrap() > 0 {}
        records
    }

    #[track_caller]
    fn check(text: &str, layout: Layout, expected: &[(u64, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(number, text)| (*number, (*text).to_owned())).collect();
        assert_eq!(records(text, layout), expected);
    }

    #[test]
    fn each_line_is_a_record_also_the_last_without_newline() {
        check("a\n\nb", Layout::default(), &[(1, "a\n"), (2, "\n"), (3, "b")]);
        check("", Layout::default(), &[]);
    }

    #[test]
    fn headers_and_footers_are_left_out_and_lines_joined() {
        let text = "head\n1 a\n  more\n2 b\n1 end\n3 not this\n";
        check(text, layout(), &[(2, "1 a\n  more\n"), (4, "2 b\n")]);
    }

    #[test]
    fn a_record_may_be_longer_than_a_block() {
        let long = format!("{}\n", "x".repeat(3 * BLOCK_BYTES));
        check(&format!("{long}y\n"), Layout::default(), &[(1, &long), (2, "y\n")]);
    }

    proptest! {
        /// However the bytes arrive, the records are those of all bytes at once.
        #[test]
        fn how_it_is_read_does_not_show(text in "[12a \n]{0,60}", at_once in 1usize..8) {
            let mut cutter = Cutter::new(Dribble(text.as_bytes(), at_once), layout());
            let mut all = Vec::new();
            while cutter.read(|line, number| all.push((number, line.bytes().to_vec()))).unwrap() > 0 {}
            let read: Vec<u8> = all.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            prop_assert_eq!(&read, text.as_bytes(), "no byte is left out or given twice");
            for (number, bytes) in &all {
                let line = text.lines().nth(usize::try_from(*number).unwrap() - 1).unwrap_or_default();
                prop_assert!(bytes.starts_with(line.as_bytes()), "line {} is {:?}", number, line);
            }
        }
    }
}
