//! The log file that is shipped: written when it is not there, read through and compared when it is.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context as _;

use crate::lines::{self, Lines};

/// What is made, compared and written at once.
const BLOCK_BYTES: usize = 1 << 20;

/// A log on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// How many lines it has.
    pub(crate) lines: usize,
    /// How many bytes.
    pub(crate) bytes: u64,
}

/// Makes the file at `path` the log of `seed`, whole lines of at least `bytes` bytes in all.
///
/// What is there already and as it should be is read instead of written; a file that was not made here is left alone
/// and refused. Either way the file is in the page cache
/// afterwards, as far as there is room for it: measured is the agent, not the disk.
pub(crate) fn prepare(path: &Path, seed: u64, bytes: u64) -> anyhow::Result<Log> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("failed to open `{}`", path.display()))?;
    let made_here = is_ours(&file).with_context(|| format!("failed to read `{}`", path.display()))?;
    anyhow::ensure!(
        made_here,
        "`{}` holds something else than a log made here; it was not touched",
        path.display()
    );
    fill(&mut file, seed, bytes).with_context(|| format!("failed to make the log `{}`", path.display()))
}

/// Whether a file is empty or begins with a line that was made here; leaves it at its beginning.
fn is_ours(mut file: &File) -> std::io::Result<bool> {
    let mut first = Vec::new();
    BufReader::new(file.take(BLOCK_BYTES as u64)).read_until(b'\n', &mut first)?;
    file.rewind()?;
    Ok(first.is_empty() || lines::sequence(&first).is_ok())
}

fn fill(file: &mut File, seed: u64, bytes: u64) -> std::io::Result<Log> {
    let mut lines = Lines::seeded(seed);
    let (mut block, mut found) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < bytes {
        block.clear();
        while block.len() < BLOCK_BYTES && done + (block.len() as u64) < bytes {
            lines.append(&mut block);
        }
        found.clear();
        Read::by_ref(file).take(block.len() as u64).read_to_end(&mut found)?;
        if found != block {
            file.set_len(done)?;
            file.seek(SeekFrom::Start(done))?;
            file.write_all(&block)?;
        }
        done += block.len() as u64;
    }
    file.set_len(done)?;
    let lines = usize::try_from(lines.made()).expect("a log has fewer lines than there are addresses");
    Ok(Log { lines, bytes: done })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What a file that held `before` holds when it was made a log.
    #[track_caller]
    fn check(before: &[u8], expected: &[u8]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, before).unwrap();
        let log = prepare(&path, 1, 3 << 20).unwrap();
        assert!(fs::read(&path).unwrap() == expected, "the files differ");
        assert_eq!(log.bytes, expected.len() as u64);
    }

    #[test]
    fn whatever_was_there_it_becomes_the_log_of_its_seed() {
        let mut log = Vec::new();
        let mut lines = Lines::seeded(1);
        while log.len() < 3 << 20 {
            lines.append(&mut log);
        }
        check(b"", &log);
        check(&log, &log);
        check(&log[..2_000_000], &log);
        check(&[&log[..], b"more"].concat(), &log);
        let mut changed = log.clone();
        changed[1_500_000] ^= 1;
        check(&changed, &log);
    }

    #[test]
    fn a_file_of_someone_else_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access_log");
        for other in
            [&b"127.0.0.1 - - [22/Mar/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n"[..], b"\0", b"no end"]
        {
            fs::write(&path, other).unwrap();
            assert!(prepare(&path, 1, 1_000).is_err());
            assert_eq!(fs::read(&path).unwrap(), other);
        }
    }

    #[test]
    fn it_has_as_many_lines_as_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = prepare(&path, 5, 100_000).unwrap();
        let text = fs::read(&path).unwrap();
        let numbers: Result<Vec<_>, _> =
            text.split_inclusive(|byte| *byte == b'\n').map(lines::sequence).collect();
        assert_eq!(numbers, Ok((1..=log.lines as u64).collect()));
    }
}
