//! `kinetail parse`: lines in, JSON out, to see what a flow would send.
//!
//! Knows files and terminals, nothing of what a line means. Records go to standard output, the reason for each line
//! that does not match to standard error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::Exit;
use crate::parse::{Format, JsonTypes, Parser};
use crate::split::Line;

/// How much is read at once, and about how much is written at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Why parsing stopped before the end of the input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    /// The input cannot be opened.
    #[error("failed to open `{}`", path.display())]
    Open {
        /// The input.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The input cannot be read on.
    #[error("failed to read `{name}`")]
    Read {
        /// The input, as in the reasons.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// A record or a reason cannot be written.
    #[error("failed to write what was parsed")]
    Write(#[source] io::Error),
}

/// Parses the lines of `input`, or of standard input if that is `-` or not given. [`Exit::Failed`] if any did not
/// match.
pub(crate) fn run(format: Format, types: JsonTypes, input: Option<&Path>) -> Result<Exit, ParseError> {
    let parser = Parser::Log { format, types };
    let output = (io::stdout().lock(), io::stderr());
    match input.filter(|path| *path != Path::new("-")) {
        None => convert(&parser, "-", io::stdin().lock(), output, &ProgressBar::hidden()),
        Some(path) => {
            let open = |source| ParseError::Open { path: path.to_owned(), source };
            let file = File::open(path).map_err(open)?;
            let bytes = file.metadata().map_err(open)?.len();
            convert(&parser, &path.display().to_string(), file, output, &progress_bar(bytes))
        }
    }
}

/// A bar on standard error, which stays empty where that is no terminal.
fn progress_bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style)
}

/// Parses the lines of `input`, called `name`; records go to the first of `outputs`, reasons to the second.
fn convert(
    parser: &Parser,
    name: &str,
    input: impl Read,
    outputs: (impl Write, impl Write),
    progress: &ProgressBar,
) -> Result<Exit, ParseError> {
    let mut input = BufReader::with_capacity(BLOCK_BYTES, input);
    let (mut records_to, mut reasons_to) = outputs;
    let (mut line, mut records, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    let mut exit = Exit::Done;
    for number in 1u64.. {
        line.clear();
        let source = |source| ParseError::Read { name: name.to_owned(), source };
        let read = input.read_until(b'\n', &mut line).map_err(source)?;
        if read == 0 {
            break;
        }
        if let Err(mismatch) = parser.parse(&Line::alone(&line), &mut records) {
            exit = Exit::Failed;
            writeln!(reasons, "{name}:{number}: {mismatch}").map_err(ParseError::Write)?;
        }
        progress.inc(line.len() as u64);
        // With nothing more at hand the next read may wait, and whoever reads the records shall not.
        if input.buffer().is_empty() || records.len() + reasons.len() >= BLOCK_BYTES {
            let written = progress.suspend(|| {
                reasons_to.write_all(&reasons)?;
                records_to.write_all(&records)?;
                records_to.flush()
            });
            match written {
                // Whoever read the records has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                written => written.map_err(ParseError::Write)?,
            }
            records.clear();
            reasons.clear();
        }
    }
    progress.finish_and_clear();
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "::1 - - [03/Feb/2021:04:05:06 +0100] \"-\" 408 -\n";
    const RECORD: &str = "{\"host\":\"::1\",\"ident\":null,\"authuser\":null,\"datetime\":\"03/Feb/2021:04:05:06 +0100\",\
                          \"request\":null,\"response\":\"408\",\"bytes\":null}\n";

    /// What `input` gives: how it ends, the records and the reasons.
    #[track_caller]
    fn check(input: &str, expected: (Exit, &str, &str)) {
        let parser = Parser::Log { format: Format::Common, types: JsonTypes::Strings };
        let (mut records, mut reasons) = (Vec::new(), Vec::new());
        let exit =
            convert(&parser, "log", input.as_bytes(), (&mut records, &mut reasons), &ProgressBar::hidden())
                .unwrap();
        assert_eq!((exit, str::from_utf8(&records).unwrap(), str::from_utf8(&reasons).unwrap()), expected);
    }

    #[test]
    fn every_line_becomes_a_record() {
        check("", (Exit::Done, "", ""));
        check(LINE, (Exit::Done, RECORD, ""));
        check(LINE.trim_end(), (Exit::Done, RECORD, ""));
        check(&LINE.repeat(20_000), (Exit::Done, &RECORD.repeat(20_000), ""));
    }

    #[test]
    fn a_line_that_does_not_match_is_named_and_the_rest_goes_on() {
        let reason = "log:2: no ident at byte 2: expected a word, then a space\n";
        check(&format!("{LINE}x \n{LINE}"), (Exit::Failed, &RECORD.repeat(2), reason));
    }

    /// Fails every write as a closed pipe does.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_it_quietly() {
        let parser = Parser::Log { format: Format::Common, types: JsonTypes::Strings };
        let exit = convert(&parser, "log", LINE.as_bytes(), (Closed, Vec::new()), &ProgressBar::hidden());
        assert!(matches!(exit, Ok(Exit::Done)), "{exit:?}");
    }
}
