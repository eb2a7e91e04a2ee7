//! `kinetail parse`: lines in, records out, to see what a flow would send.
//!
//! Knows files and terminals, nothing of what a line means. Records go to standard output, the reason for each line
//! that does not match to standard error. `cut` reads the records of a file, `make` makes what is sent of each, `difference`
//! holds that against what the Java agent sends.

mod cut;
mod difference;
mod make;

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::chain::Chain;
use crate::cli::{arguments, sources, tell};
use crate::config::{self, Config, Flow};
use crate::exit::Exit;
use crate::layout::Layout;
use crate::parse::{Format, JsonTypes, Parser, Step, Surroundings};
use crate::position::Offset;
use crate::split::{Line, Role};
use cut::Cutter;
use difference::{Java, Tally, Theirs, between};
use make::{Made, Maker};

/// Why parsing stopped before the end of the input.
#[derive(Debug, thiserror::Error)]
enum ParseError {
    /// The flow is not configured.
    #[error("there is no flow `{name}`; there are: {}", others.join(", "))]
    NoFlow {
        /// What was asked for.
        name: String,
        /// What there is.
        others: Vec<String>,
    },
    /// There are several flows.
    #[error("there are several flows; name one with `--flow`: {}", others.join(", "))]
    WhichFlow {
        /// What there is.
        others: Vec<String>,
    },
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

impl ParseError {
    /// How the process ends.
    fn exit(&self) -> Exit {
        match self {
            ParseError::NoFlow { .. } | ParseError::WhichFlow { .. } => Exit::Misconfigured,
            ParseError::Open { .. } | ParseError::Read { .. } | ParseError::Write(_) => Exit::Failed,
        }
    }
}

/// What is tried.
#[derive(Debug)]
struct Subject {
    /// How files fall into records.
    layout: Layout,
    /// What is sent of each.
    maker: Maker,
}

impl Subject {
    /// Single lines of a format.
    fn of_format(format: Format, types: JsonTypes) -> Subject {
        let parser = Parser::new(vec![Step::Log { format, types }]);
        Subject { layout: Layout::default(), maker: Maker::of_parser(parser, around()) }
    }

    /// The flow of this name or id; without one the only flow there is.
    fn of_flow(config: &Config, name: Option<&str>) -> Result<Subject, ParseError> {
        let others = || config.flows.iter().map(|flow| format!("`{}`", flow.name)).collect();
        let flow = match (name, config.flows.as_slice()) {
            (None, [flow]) => flow,
            (None, _) => return Err(ParseError::WhichFlow { others: others() }),
            (Some(name), flows) => {
                let is_meant = |flow: &&Flow| flow.name == name || flow.id.as_str() == name;
                let found = flows.iter().find(is_meant);
                found.ok_or_else(|| ParseError::NoFlow { name: name.to_owned(), others: others() })?
            }
        };
        Ok(Subject { layout: flow.source.layout.clone(), maker: Maker::of_flow(flow, around()) })
    }
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Each record.
    Records,
    /// Each record that the Java agent would not have sent like that, and how many there are.
    Differences,
}

/// Does what the words behind `parse` say. [`Exit::Failed`] if any line did not match.
pub(super) fn run(args: &arguments::Parse, err: &mut dyn Write) -> io::Result<Exit> {
    let subject = match (&args.configuration, args.format) {
        (Some(main), _) => match config::load(&sources(main)) {
            Ok(config) => Subject::of_flow(&config, args.flow.as_deref()),
            Err(problems) => {
                tell(err, problems);
                return Ok(Exit::Misconfigured);
            }
        },
        (None, Some(format)) => Ok(Subject::of_format(format.into(), args.json_types.into())),
        (None, None) => return Ok(Exit::Misconfigured),
    };
    let shown = if args.diff_java { Shown::Differences } else { Shown::Records };
    let parsed = subject.and_then(|subject| parse(subject, shown, &args.file));
    Ok(parsed.unwrap_or_else(|error| {
        tell(err, format_args!("kinetail: {}", Chain(&error)));
        error.exit()
    }))
}

/// Parses the lines of `input`, or of standard input if that is `-`.
fn parse(subject: Subject, shown: Shown, input: &Path) -> Result<Exit, ParseError> {
    let output = (io::stdout().lock(), io::stderr());
    if input == Path::new("-") {
        return convert(subject, shown, "-", io::stdin().lock(), output, &ProgressBar::hidden());
    }
    let open = |source| ParseError::Open { path: input.to_owned(), source };
    let file = File::open(input).map_err(open)?;
    let bytes = file.metadata().map_err(open)?.len();
    convert(subject, shown, &input.display().to_string(), file, output, &progress_bar(bytes))
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
    subject: Subject,
    shown: Shown,
    name: &str,
    input: impl Read,
    outputs: (impl Write, impl Write),
    progress: &ProgressBar,
) -> Result<Exit, ParseError> {
    let (mut records_to, mut reasons_to) = outputs;
    let java = (shown == Shown::Differences).then(|| (Java::new(subject.maker.parser()), Tally::default()));
    let mut show = Show::new(name, subject.maker, java);
    let mut cutter = Cutter::new(input, subject.layout);
    loop {
        let read = cutter.read(|line, number| show.take(line, number));
        let read = read.map_err(|source| ParseError::Read { name: name.to_owned(), source })?;
        if read == 0 {
            show.end(!progress.is_hidden());
        }
        progress.inc(read);
        // Written with every block: the next read may wait, and whoever reads the records shall not.
        let written = progress.suspend(|| {
            reasons_to.write_all(&show.reasons)?;
            records_to.write_all(&show.records)?;
            records_to.flush()
        });
        match written {
            // Whoever read the records has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written.map_err(ParseError::Write)?,
        }
        show.records.clear();
        show.reasons.clear();
        if read == 0 {
            break;
        }
    }
    progress.finish_and_clear();
    Ok(if show.counts.unmatched > 0 { Exit::Failed } else { Exit::Done })
}

/// What is shown of the lines, and what is counted.
struct Show<'a> {
    name: &'a str,
    maker: Maker,
    /// Where only differences are shown.
    java: Option<(Java, Tally)>,
    /// Where the next line begins.
    offset: Offset,
    /// What goes to standard output.
    records: Vec<u8>,
    /// What goes to standard error.
    reasons: Vec<u8>,
    counts: Counts,
}

/// How many lines became what.
#[derive(Debug, Default)]
struct Counts {
    lines: u64,
    records: u64,
    unmatched: u64,
    left_out: u64,
}

impl<'a> Show<'a> {
    fn new(name: &'a str, maker: Maker, java: Option<(Java, Tally)>) -> Show<'a> {
        let mut reasons = Vec::new();
        for unknown in maker.unknown() {
            note(&mut reasons, format_args!("{name}: note: {unknown}"));
        }
        let (offset, records, counts) = (Offset::START, Vec::new(), Counts::default());
        Show { name, maker, java, offset, records, reasons, counts }
    }

    /// Shows a line or a record of lines, of which the first has this number.
    fn take(&mut self, line: &Line<'_>, number: u64) {
        self.counts.lines += line.lines();
        let offset = self.offset;
        self.offset = offset.advance(line.bytes().len());
        match line.role() {
            Role::Record => {}
            Role::Header | Role::Footer | Role::Rest => {
                self.counts.left_out += line.lines();
                return;
            }
        }
        let start = self.records.len();
        let made = self.maker.make(line, offset, &mut self.records);
        let is_record = match &made {
            Made::Record | Made::Cut | Made::Raw(_) => true,
            Made::Nothing(_) => false,
        };
        self.counts.records += u64::from(is_record);
        match made {
            Made::Record => {}
            Made::Cut => note(
                &mut self.reasons,
                format_args!("{}:{number}: is cut, as the stream takes no more in a record", self.name),
            ),
            Made::Raw(mismatch) => {
                self.counts.unmatched += line.lines();
                note(&mut self.reasons, format_args!("{}:{number}: {mismatch}; sent as it is", self.name));
            }
            Made::Nothing(mismatch) => {
                self.counts.unmatched += line.lines();
                note(&mut self.reasons, format_args!("{}:{number}: {mismatch}", self.name));
            }
        }
        let Some((java, tally)) = &mut self.java else { return };
        let theirs = java.send(line, &self.maker);
        let ours = self.records.split_off(start);
        let ours = is_record.then_some(&*ours);
        let difference = between(theirs, ours);
        tally.note(difference);
        if let Some(difference) = difference {
            note(&mut self.records, format_args!("{}:{number}: {}", self.name, difference.text()));
            let theirs = match theirs {
                Theirs::Record(record) => Some(record),
                Theirs::Nothing | Theirs::Refusal => None,
            };
            for (sign, record) in [("- ", theirs), ("+ ", ours)] {
                if let Some(record) = record {
                    self.records.extend_from_slice(sign.as_bytes());
                    self.records.extend_from_slice(record.strip_suffix(b"\n").unwrap_or(record));
                    self.records.push(b'\n');
                }
            }
        }
    }

    /// Shows the counts: of differences, and on a terminal of lines.
    fn end(&mut self, is_terminal: bool) {
        if let Some((_, tally)) = &self.java {
            self.records.extend_from_slice(tally.text().as_bytes());
        }
        if is_terminal {
            let Counts { lines, records, unmatched, left_out } = self.counts;
            let text = format_args!(
                "{lines} lines: {records} records, {unmatched} lines do not match, {left_out} of headers and footers"
            );
            note(&mut self.reasons, text);
        }
    }
}

/// What records tell of the present, and of nothing else.
fn around() -> Surroundings {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Surroundings::at(now.unwrap_or(Duration::ZERO))
}

/// Adds a line of text.
fn note(to: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    writeln!(to, "{text}").expect("a vector takes every write");
}

#[cfg(test)]
mod tests;
