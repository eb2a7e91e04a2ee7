//! A compressed rotation, read like the file that it was made from: heads, tails and offsets are of the uncompressed
//! bytes.
//!
//! Nothing of an archive is believed before all of it was decoded once, so that its checksums had their say: what is cut
//! short or damaged is an error before its first byte is given out. That costs the decoding twice, and needs no memory
//! beyond the decoder's own. It may take minutes, so that it is done in turns, between which other files are read: what
//! does not end within the first is [`Unfinished`], and a [`Trial`] goes on with it. Decodes forward only and keeps what
//! the last read gave; whoever asks for earlier bytes waits until it was decoded again from the beginning. Does not know
//! which file it was made from, nor whether one that is cut short is still being written. (G4)

use std::fmt;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Content, Stat};
use super::evidence::OpenError;
use crate::position::{Head, Offset, Tail};

/// How much is decoded at once.
const STEP_BYTES: usize = 64 * 1024;

/// How much is decoded before other files have their turn: some hundredths of a second, whatever the format.
const TURN_BYTES: u64 = 1024 * 1024;

/// The largest window that a decoder may hold, as a power of two: the 64 MiB of `xz -9`. What needs more, as `zstd --long`
/// may, is an error.
const WINDOW_LOG: u32 = 26;

/// The memory limit of the xz decoder, in its KiB: a window, and what the decoder itself needs.
const XZ_KIB: u32 = (1 << (WINDOW_LOG - 10)) + 1024;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952, also of several members.
    Gzip,
    /// RFC 8878, also of several frames.
    Zstd,
    /// Also of several streams.
    Bzip2,
    /// Also of several streams.
    Xz,
}

impl Format {
    /// What the ending of a name says, in any case.
    pub(crate) fn of(path: &Path) -> Option<Format> {
        let ending = path.extension()?;
        let formats =
            [("gz", Format::Gzip), ("zst", Format::Zstd), ("bz2", Format::Bzip2), ("xz", Format::Xz)];
        formats.into_iter().find_map(|(known, format)| ending.eq_ignore_ascii_case(known).then_some(format))
    }

    fn decoder(self, file: Arc<dyn Content>) -> io::Result<Box<dyn Read + Send>> {
        let input = BufReader::with_capacity(STEP_BYTES, Input { file, at: Offset::START });
        Ok(match self {
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Box::new(decoder)
            }
            Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
            Format::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_KIB)),
        })
    }
}

/// An archive that is not decoded to its end: that takes more than one turn, or it is still being written, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("could decode only {readable} bytes of what is in `{path}`")]
pub(crate) struct Unfinished {
    pub(super) path: PathBuf,
    /// What the archive was when that was tried.
    pub(super) stat: Stat,
    pub(super) readable: u64,
    /// None if nothing is wrong so far.
    source: Option<io::Error>,
}

impl Unfinished {
    /// Whether it only takes longer, as far as it was decoded.
    pub(super) fn goes_on(&self) -> bool {
        self.source.is_none()
    }
}

/// An archive that is being decoded for the first time.
#[derive(Debug)]
pub(super) struct Trial {
    path: PathBuf,
    stat: Stat,
    decoded: Decoded,
}

impl Trial {
    /// Begins with an open file, found at `path`.
    ///
    /// # Errors
    /// If nothing of it can be decoded.
    pub(super) fn begin(file: Arc<dyn Content>, path: &Path, format: Format) -> Result<Trial, OpenError> {
        let stat = file.stat().map_err(|source| OpenError::Open { path: path.to_owned(), source })?;
        let unfinished = |source| {
            let path = path.to_owned();
            OpenError::Unfinished(Box::new(Unfinished { path, stat, readable: 0, source: Some(source) }))
        };
        let decoded = Decoded::begin(file, format).map_err(unfinished)?;
        Ok(Trial { path: path.to_owned(), stat, decoded })
    }

    /// Where it was found.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the archive was at the beginning.
    pub(super) fn stat(&self) -> Stat {
        self.stat
    }

    /// Whether what is in it begins with `head`.
    fn begins_with(&mut self, head: Head) -> Result<bool, Box<Unfinished>> {
        self.decoded.begins_with(head).map_err(|source| self.unfinished(Some(source)))
    }

    /// Decodes for one turn; says how much that was, which is nothing at the end only.
    ///
    /// # Errors
    /// If it cannot be decoded further.
    pub(super) fn take_turn(&mut self) -> Result<u64, Box<Unfinished>> {
        self.decoded.run(u64::MAX).map_err(|source| self.unfinished(Some(source)))
    }

    /// The archive, once it was decoded to its end.
    pub(super) fn finish(self) -> Result<Archive, Box<Unfinished>> {
        if self.decoded.is_at_end() {
            return Ok(Archive::whole(self.decoded));
        }
        Err(self.unfinished(None))
    }

    fn unfinished(&self, source: Option<io::Error>) -> Box<Unfinished> {
        let (path, stat, readable) = (self.path.clone(), self.stat, self.decoded.end);
        Box::new(Unfinished { path, stat, readable, source })
    }
}

/// An archive that is whole.
#[derive(Debug)]
pub struct Archive {
    file: Arc<dyn Content>,
    /// How many bytes are in it.
    size: u64,
    decoded: Mutex<Decoded>,
}

impl Archive {
    /// Decodes all of an open file, however long that takes.
    ///
    /// # Errors
    /// If it cannot be decoded to its end.
    pub fn read_through(file: Arc<dyn Content>, format: Format) -> io::Result<Archive> {
        let mut decoded = Decoded::begin(file, format)?;
        while decoded.run(u64::MAX)? > 0 {}
        Ok(Archive::whole(decoded))
    }

    /// What was decoded to its end.
    fn whole(decoded: Decoded) -> Archive {
        Archive { file: Arc::clone(&decoded.file), size: decoded.end, decoded: Mutex::new(decoded) }
    }

    /// Decodes an open file, found at `path`, if what is in it begins with `head`.
    ///
    /// # Errors
    /// If it cannot be decoded to its end, or not within a turn.
    pub(super) fn open(
        file: Arc<dyn Content>,
        path: &Path,
        format: Format,
        head: Head,
    ) -> Result<Option<Archive>, OpenError> {
        let mut trial = Trial::begin(file, path, format)?;
        if !trial.begins_with(head).map_err(OpenError::Unfinished)? {
            return Ok(None);
        }
        trial.take_turn().and_then(|_| trial.finish()).map(Some).map_err(OpenError::Unfinished)
    }

    /// Decodes for one turn towards `offset`, so that what stands there can be read at once; says how much that was,
    /// which is nothing when it is near enough.
    ///
    /// # Errors
    /// If the file does not give its bytes any more.
    pub(super) fn approach(&self, offset: Offset) -> io::Result<u64> {
        let near = offset.to_raw().saturating_sub((Tail::BYTES + STEP_BYTES) as u64);
        let mut decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if near < decoded.kept_from() {
            decoded.restart()?;
        }
        decoded.run(near)
    }
}

impl Content for Archive {
    /// What the system says of the archive, with the size of what is in it.
    fn stat(&self) -> io::Result<Stat> {
        Ok(Stat { size: self.size, ..self.file.stat()? })
    }

    fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize> {
        // What was appended since is not proved.
        let left = usize::try_from(self.size.saturating_sub(offset.to_raw())).unwrap_or(usize::MAX);
        let wanted = bytes.get_mut(..left.min(bytes.len())).unwrap_or_default();
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner).read_at(wanted, offset.to_raw())
    }
}

/// The bytes in an archive, as far as they are decoded.
struct Decoded {
    file: Arc<dyn Content>,
    format: Format,
    /// None at the end of the archive, so that its memory is free.
    decoder: Option<Box<dyn Read + Send>>,
    /// The first bytes, which prove again and again who the file is.
    head: Vec<u8>,
    /// The last bytes that were decoded.
    kept: Vec<u8>,
    /// How far it is decoded.
    end: u64,
}

impl Decoded {
    fn begin(file: Arc<dyn Content>, format: Format) -> io::Result<Decoded> {
        // Of formats that have no frame around nothing, nothing would be a whole archive.
        if file.stat()?.size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut decoded = Decoded { file, format, decoder: None, head: Vec::new(), kept: Vec::new(), end: 0 };
        decoded.restart()?;
        Ok(decoded)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.kept.clear();
        self.end = 0;
        self.decoder = Some(self.format.decoder(Arc::clone(&self.file))?);
        Ok(())
    }

    fn begins_with(&mut self, head: Head) -> io::Result<bool> {
        let len = usize::from(head.len);
        while self.head.len() < len && self.decode()? > 0 {}
        Ok(self.head.get(..len).is_some_and(|bytes| Head::of(bytes) == head))
    }

    /// Decodes for one turn, but not beyond `until` by more than a step, and keeps nothing of it; says how much that was.
    fn run(&mut self, until: u64) -> io::Result<u64> {
        let (start, mut read) = (self.end, 1);
        while read > 0 && self.end < until && self.end - start < TURN_BYTES {
            self.kept.clear();
            read = self.decode()?;
        }
        Ok(self.end - start)
    }

    fn is_at_end(&self) -> bool {
        self.decoder.is_none()
    }

    fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = copy(&self.head, offset, bytes);
        if read > 0 {
            return Ok(read);
        }
        let result = self.read_on(bytes, offset);
        if result.is_err() {
            self.restart()?;
        }
        result
    }

    fn read_on(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset < self.kept_from() {
            self.restart()?;
        }
        let until = offset.saturating_add(bytes.len() as u64);
        // What was kept is let go only for what comes: at the end, the last bytes are asked for once more.
        while self.end < until && self.decode()? > 0 {
            let past = offset.min(self.end).saturating_sub(self.kept_from());
            self.kept.drain(..usize::try_from(past).unwrap_or(usize::MAX).min(self.kept.len()));
        }
        Ok(copy(&self.kept, offset.saturating_sub(self.kept_from()), bytes))
    }

    fn kept_from(&self) -> u64 {
        self.end - self.kept.len() as u64
    }

    /// Decodes a step and keeps it; says how much came, which is nothing at the end only.
    fn decode(&mut self) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let before = self.kept.len();
        self.kept.resize(before + STEP_BYTES, 0);
        let result = decoder.read(self.kept.get_mut(before..).unwrap_or_default());
        let read = *result.as_ref().unwrap_or(&0);
        self.kept.truncate(before + read);
        if result? == 0 {
            self.decoder = None;
        }
        let fresh = self.kept.get(before..).unwrap_or_default();
        if self.end == self.head.len() as u64 {
            self.head.extend(fresh.iter().take(Head::BYTES - self.head.len()));
        }
        self.end += read as u64;
        Ok(read)
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded")
            .field("format", &self.format)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// Copies bytes from `offset` on; says how many.
fn copy(from: &[u8], offset: u64, to: &mut [u8]) -> usize {
    let from = usize::try_from(offset).ok().and_then(|start| from.get(start..)).unwrap_or_default();
    let len = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) {
        to.copy_from_slice(from);
    }
    len
}

/// The bytes of an archive itself, one after the other.
struct Input {
    file: Arc<dyn Content>,
    at: Offset,
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at = self.at.advance(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::source::evidence::read_full_at;

    /// Each format with what makes an archive of it of standard input.
    const TOOLS: [(Format, &[&str]); 4] = [
        (Format::Gzip, &["gzip", "-c"]),
        (Format::Zstd, &["zstd", "-c"]),
        (Format::Bzip2, &["bzip2", "-c"]),
        (Format::Xz, &["xz", "-c"]),
    ];

    fn compress(command: &[&str], bytes: &[u8]) -> Vec<u8> {
        let (program, arguments) = command.split_first().unwrap();
        let mut source = tempfile::tempfile().unwrap();
        source.write_all(bytes).unwrap();
        std::io::Seek::rewind(&mut source).unwrap();
        let output = Command::new(program).args(arguments).stdin(source).stderr(Stdio::inherit()).output();
        let output = output.expect("gzip, zstd, bzip2 and xz are installed");
        assert!(output.status.success(), "{command:?}");
        output.stdout
    }

    /// Lines that can be compressed, though not to nothing.
    fn text(bytes: usize) -> Vec<u8> {
        let lines = (0u64..)
            .map(|number| format!("line {number} {:x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut text: Vec<u8> = lines.take(bytes / 20 + 1).collect::<String>().into_bytes();
        text.truncate(bytes);
        text
    }

    /// An archive in a file; how many bytes were read of that is counted.
    #[derive(Debug)]
    struct Counted {
        file: File,
        read: AtomicU64,
    }

    impl Content for Counted {
        fn stat(&self) -> io::Result<Stat> {
            Content::stat(&self.file)
        }

        fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize> {
            let read = Content::read_at(&self.file, bytes, offset)?;
            self.read.fetch_add(read as u64, Ordering::Relaxed);
            Ok(read)
        }
    }

    fn counted(archive: &[u8]) -> Arc<Counted> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        Arc::new(Counted { file, read: AtomicU64::new(0) })
    }

    /// Opens an archive that holds these bytes.
    fn open(format: Format, archive: &[u8]) -> Result<Archive, OpenError> {
        let archive = Archive::open(counted(archive), Path::new("a"), format, Head::default());
        archive.map(|archive| archive.expect("everything begins with nothing"))
    }

    fn read(archive: &Archive, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let read = read_full_at(archive, &mut bytes, Offset::from_raw(offset)).unwrap();
        bytes.truncate(read);
        bytes
    }

    /// What the archive gives is `expected`, and so is its size.
    #[track_caller]
    fn check(format: Format, archive: &[u8], expected: &[u8]) {
        let archive = open(format, archive).unwrap();
        assert_eq!(archive.stat().unwrap().size, expected.len() as u64, "{format:?}");
        assert!(read(&archive, 0, expected.len() + 1) == expected, "{format:?}");
    }

    #[track_caller]
    fn check_unfinished(format: Format, archive: &[u8]) {
        let result = open(format, archive);
        assert!(
            matches!(&result, Err(OpenError::Unfinished(archive)) if !archive.goes_on()),
            "{format:?} of {} bytes: {result:?}",
            archive.len()
        );
        assert!(Archive::read_through(counted(archive), format).is_err(), "{format:?}");
    }

    #[test]
    fn an_archive_reads_like_the_file_it_was_made_from() {
        for (format, tool) in TOOLS {
            for bytes in [0, 1, 1023, 1024, 1025, STEP_BYTES, 300_000] {
                check(format, &compress(tool, &text(bytes)), &text(bytes));
            }
        }
    }

    #[test]
    fn archives_behind_one_another_are_one() {
        for (format, tool) in TOOLS {
            let parts = [&b"one\n"[..], b"", &text(70_000), b"last\n"];
            let archive: Vec<u8> = parts.iter().flat_map(|part| compress(tool, part)).collect();
            check(format, &archive, &parts.concat());
        }
    }

    #[test]
    fn an_archive_that_is_cut_anywhere_is_not_believed() {
        for (format, tool) in TOOLS {
            let archive = compress(tool, &text(1500));
            for len in 0..archive.len() {
                check_unfinished(format, &archive[..len]);
            }
        }
    }

    /// A flipped bit may be in what an archive says beside its content, as in gzip's time of modification.
    #[test]
    fn an_archive_with_a_flipped_bit_gives_no_wrong_byte() {
        let text = text(1500);
        for (format, tool) in TOOLS {
            let mut archive = compress(tool, &text);
            let mut refused = 0;
            for at in 0..archive.len() {
                for bit in 0..8 {
                    archive[at] ^= 1 << bit;
                    match open(format, &archive) {
                        Ok(archive) => {
                            assert!(read(&archive, 0, 2000) == text, "{format:?}, bit {bit} of byte {at}")
                        }
                        Err(_) => refused += 1,
                    }
                    archive[at] ^= 1 << bit;
                }
            }
            assert!(refused > 7 * archive.len(), "{format:?}: {refused} of {} bytes", archive.len());
        }
    }

    #[test]
    fn what_is_no_archive_is_not_believed() {
        for (format, tool) in TOOLS {
            check_unfinished(format, b"192.0.2.7 - - \"GET / HTTP/1.1\" 200 12\n");
            check_unfinished(format, &[compress(tool, b"one\n"), b"two\n".to_vec()].concat());
        }
    }

    /// Nobody knows how large the file will be that comes in a pipe, so that the window is the one that was asked for.
    #[test]
    fn a_decoder_that_needs_too_much_memory_is_refused() {
        check(Format::Zstd, &compress(&["zstd", "-c", "--long=26"], b"one\n"), b"one\n");
        check_unfinished(Format::Zstd, &compress(&["sh", "-c", "cat | zstd -c --long=27"], b"one\n"));
        check(Format::Xz, &compress(&["xz", "-c", "-9"], b"one\n"), b"one\n");
        check_unfinished(Format::Xz, &compress(&["xz", "-c", "--lzma2=dict=128MiB"], b"one\n"));
    }

    #[test]
    fn an_archive_that_begins_otherwise_is_not_decoded_to_its_end() {
        let text = text(300_000);
        for (format, tool) in TOOLS {
            let archive = compress(tool, &text);
            let cut = &archive[..archive.len() - 1];
            let open = |head| Archive::open(counted(cut), Path::new("a"), format, head);
            assert!(open(Head::of(b"another line\n")).unwrap().is_none(), "{format:?}");
            assert!(open(Head::of(&text)).is_err(), "{format:?}");
        }
    }

    /// Blocks are read as `tail` does it: each begins with what was not a whole line, and the bytes before that.
    #[test]
    fn reading_forward_decodes_once() {
        let text = text(1_000_000);
        for (format, tool) in TOOLS {
            let bytes = compress(tool, &text);
            let counted = counted(&bytes);
            let archive = Archive::open(counted.clone(), Path::new("a"), format, Head::default());
            let archive = archive.unwrap().unwrap();
            counted.read.store(0, Ordering::Relaxed);
            for start in (0..text.len()).step_by(50_000) {
                let start = start.saturating_sub(1000);
                let part = &text[start..text.len().min(start + 60_000)];
                assert!(read(&archive, start as u64, 60_000) == part, "{format:?}");
                assert!(read(&archive, 0, 1024) == text[..1024], "{format:?}");
            }
            assert_eq!(counted.read.load(Ordering::Relaxed), bytes.len() as u64, "{format:?}");
        }
    }

    #[test]
    fn what_takes_more_than_a_turn_is_decoded_turn_by_turn() {
        let turn = usize::try_from(TURN_BYTES).unwrap();
        let text = text(3 * turn + 1000);
        for (format, tool) in TOOLS {
            let bytes = compress(tool, &text);
            let Err(OpenError::Unfinished(begun)) = open(format, &bytes) else {
                unreachable!("{format:?} is whole at once");
            };
            assert!(begun.goes_on() && begun.readable < 2 * TURN_BYTES, "{format:?}: {begun:?}");

            let counted = counted(&bytes);
            let mut trial = Trial::begin(counted.clone(), Path::new("a"), format).unwrap();
            let mut turns = 0;
            while let bytes @ 1.. = trial.take_turn().unwrap() {
                assert!(bytes < TURN_BYTES + STEP_BYTES as u64, "{format:?}: {bytes}");
                turns += 1;
            }
            assert!((3..=4).contains(&turns), "{format:?}: {turns}");
            let archive = trial.finish().unwrap();

            let end = text.len() - turn / 2;
            let offset = Offset::from_raw(end as u64);
            while archive.approach(offset).unwrap() > 0 {}
            counted.read.store(0, Ordering::Relaxed);
            assert!(
                read(&archive, (end - Tail::BYTES) as u64, turn) == text[end - Tail::BYTES..],
                "{format:?}"
            );
            let again = counted.read.load(Ordering::Relaxed);
            assert!(
                again < bytes.len() as u64 / 2,
                "{format:?}: {again} of {} bytes are read again",
                bytes.len()
            );
            assert!(read(&archive, 0, text.len()) == text, "{format:?}");
        }
    }

    /// What is damaged behind the first turn is found in the one that comes to it.
    #[test]
    fn a_long_archive_that_is_damaged_is_no_archive() {
        let text = text(2 * usize::try_from(TURN_BYTES).unwrap());
        for (format, tool) in TOOLS {
            let archive = compress(tool, &text);
            let mut trial =
                Trial::begin(counted(&archive[..archive.len() - 1]), Path::new("a"), format).unwrap();
            let unfinished = loop {
                match trial.take_turn() {
                    Ok(bytes) => assert!(bytes > 0, "{format:?} is whole"),
                    Err(unfinished) => break unfinished,
                }
            };
            assert!(!unfinished.goes_on() && unfinished.readable > TURN_BYTES, "{format:?}: {unfinished:?}");
            assert!(trial.finish().is_err(), "{format:?}");
        }
    }

    #[test]
    fn what_is_appended_to_a_proved_archive_is_not_given_out() {
        let text = text(3000);
        let counted = counted(&compress(TOOLS[0].1, &text));
        let archive = Archive::open(counted.clone(), Path::new("a"), Format::Gzip, Head::default());
        let archive = archive.unwrap().unwrap();
        (&counted.file).write_all(&compress(TOOLS[0].1, b"two\n")).unwrap();
        assert!(read(&archive, 0, 4000) == text);
        assert_eq!(read(&archive, 3000, 100), b"");
    }

    #[test]
    fn the_ending_tells_the_format() {
        let of = |name| Format::of(Path::new(name));
        assert_eq!(of("/var/log/access_log.1.gz"), Some(Format::Gzip));
        assert_eq!(of("/var/log/access_log.1.ZST"), Some(Format::Zstd));
        assert_eq!(of("/var/log/access.log-20261122.bz2"), Some(Format::Bzip2));
        assert_eq!(of("/var/log/access_log.xz"), Some(Format::Xz));
        assert_eq!(
            (of("/var/log/access_log.zip"), of("/var/log/gz"), of("/var/log.gz/log")),
            (None, None, None)
        );
    }

    /// A text and its archives, each of three parts.
    fn archives() -> &'static (Vec<u8>, Vec<Archive>) {
        static ARCHIVES: OnceLock<(Vec<u8>, Vec<Archive>)> = OnceLock::new();
        ARCHIVES.get_or_init(|| {
            let text = text(200_000);
            let of = |(format, tool): (Format, &[&str])| {
                let archive: Vec<u8> = text.chunks(90_000).flat_map(|part| compress(tool, part)).collect();
                open(format, &archive).unwrap()
            };
            let archives = TOOLS.into_iter().map(of).collect();
            (text, archives)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is asked for in whatever order: it is what the file would have given.
        #[test]
        fn any_reads_give_the_bytes_of_the_file(
            reads in proptest::collection::vec((0usize..210_000, 0usize..100_000), 1..12),
        ) {
            let (text, archives) = archives();
            for archive in archives {
                for (offset, len) in &reads {
                    let expected = text.get(*offset..text.len().min(offset + len)).unwrap_or_default();
                    prop_assert!(read(archive, *offset as u64, *len) == expected, "{len} bytes from {offset}");
                }
            }
        }
    }
}
