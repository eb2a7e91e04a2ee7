//! `kinetail check`: what is wrong with a configuration, or what it will do.

use std::fmt;
use std::io::{self, Write};

use crate::batch::{self, Compression, Order, Packing};
use crate::cli::arguments::Check;
use crate::cli::explain::Explanation;
use crate::config::{self, Agent, Config, Flow, Sources};
use crate::exit::Exit;
use crate::layout::{Layout, Records};
use crate::parse::{JsonTypes, Step};
use crate::send::Destination;
use crate::source::InitialPosition;
use crate::spool;

/// Loads a configuration as `run` does, and tells of it. Strictly, a warning is as bad as an error.
pub(super) fn run(
    sources: &Sources,
    args: &Check,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    match config::explain(sources) {
        Ok((config, explained)) => {
            for warning in &config.warnings {
                writeln!(err, "{warning}")?;
            }
            if args.strict && !config.warnings.is_empty() {
                return Ok(Exit::Misconfigured);
            }
            if args.explain {
                write!(out, "{}", Explanation(&explained))?;
            } else {
                write!(out, "{}", Summary { sources, config: &config })?;
            }
            Ok(Exit::Done)
        }
        Err(problems) => {
            writeln!(err, "{problems}")?;
            Ok(Exit::Misconfigured)
        }
    }
}

/// What a configuration will do, flow by flow.
struct Summary<'a> {
    sources: &'a Sources,
    config: &'a Config,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { agent, flows, warnings, notes, .. } = self.config;
        let problems =
            if warnings.is_empty() { "no problems".to_owned() } else { count(warnings.len(), "warning") };
        writeln!(f, "{}: {}, {problems}", self.sources.main.display(), count(flows.len(), "flow"))?;
        writeln!(f, "state in {}", agent.state_directory.display())?;
        describe_metrics(agent, f)?;
        flows.iter().try_for_each(|flow| describe(flow, f))?;
        if !notes.is_empty() {
            writeln!(f)?;
        }
        notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

/// Tells where metrics go, as nobody expects another region than that of the streams.
fn describe_metrics(agent: &Agent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(settings) = &agent.cloudwatch else { return writeln!(f, "no metrics to CloudWatch") };
    let region = settings.region.as_deref().or(settings.endpoint.as_deref()).unwrap_or("us-east-1");
    writeln!(f, "metrics to CloudWatch in {region}, as {}", settings.namespace)
}

fn describe(flow: &Flow, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let start = match flow.source.initial_position {
        InitialPosition::Start => "from their start",
        InitialPosition::End => "from their end at the first start",
    };
    let limits = &flow.batch.limits;
    writeln!(f, "\n{}", flow.name)?;
    match &flow.spool {
        None => writeln!(f, "  reads  {}, {start}", flow.source.pattern.as_text())?,
        Some(spool) => describe_spool(spool, &flow.name, f)?,
    }
    describe_layout(&flow.source.layout, f)?;
    describe_steps(flow, f)?;
    describe_packing(&flow.batch, f)?;
    let size = format!("{} and {} bytes", count(limits.records(), "record"), limits.bytes());
    let kind = match flow.destination {
        Destination::Kinesis(_) => "",
        Destination::Firehose(_) => "delivery stream ",
    };
    let name = flow.destination.name();
    writeln!(f, "  to     {kind}{name}, up to {size} in a request, after {:?} at most", flow.batch.linger)
}

/// Tells what records become, where each is not sent alone.
fn describe_packing(batch: &batch::Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let form = match batch.packing {
        Packing::None => return Ok(()),
        Packing::Lines(Compression::None) => "as lines",
        Packing::Lines(Compression::Gzip) => "as lines in gzip",
        Packing::Lines(Compression::Zstd) => "as lines in zstd",
        Packing::Kpl => "in aggregates of the Kinesis Producer Library",
    };
    let order = match batch.order {
        Order::Free => "",
        Order::File => ", and keeps the order of each file",
    };
    writeln!(f, "  packs  many into one, {form}, up to about {} bytes{order}", batch.packed_bytes)
}

/// Tells who feeds a flow that has no files of others, and what becomes of lines that find no room.
fn describe_spool(spool: &spool::Settings, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let spool::Settings { directory, bytes, wait, .. } = spool;
    writeln!(f, "  reads  what `kinetail pipe --flow {name}` takes in")?;
    let after = if wait.is_zero() { String::new() } else { format!(" after {wait:?}") };
    writeln!(
        f,
        "  keeps  up to {bytes} bytes of it in {}; drops the oldest{after} beyond that",
        directory.display()
    )
}

/// Tells what is made of a line, step by step.
fn describe_steps(flow: &Flow, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if flow.parser.steps().is_empty() {
        return writeln!(f, "  sends  lines as they are");
    }
    let position = if flow.adds_position { ", with host, file and offset" } else { "" };
    let steps: Vec<_> = flow.parser.steps().iter().map(describe_step).collect();
    writeln!(f, "  sends  {}{position}", steps.join(", then "))
}

fn describe_step(step: &Step) -> String {
    match step {
        Step::Log { format, types } | Step::Spelt { format, types } => {
            let types = match types {
                JsonTypes::Strings => "strings",
                JsonTypes::Native => "native types",
            };
            format!("{} as JSON, values as {types}", format.word())
        }
        Step::Renamed(renamed) => format!("{} as JSON, under other names", renamed.format().word()),
        Step::Pattern(pattern) => format!("what `{}` matches as JSON", pattern.as_text()),
        Step::Csv(_) => "columns as JSON".to_owned(),
        Step::SingleLine(_) => "all on one line".to_owned(),
        Step::AddMetadata(_) => "metadata beside the text".to_owned(),
        Step::AddInstance(_) => "the instance's metadata added".to_owned(),
        Step::AddBrackets => "between brackets".to_owned(),
        Step::Pretty => "laid out".to_owned(),
        Step::Template(_) => "lines of a format of their own as JSON".to_owned(),
        Step::JsonLog => "lines that are JSON, repaired where they are not".to_owned(),
    }
}

/// Tells how files fall into records, where a record is not just a line.
fn describe_layout(layout: &Layout, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Layout { header_lines, records, footer, .. } = layout;
    match header_lines {
        0 => {}
        1 => writeln!(f, "  skips  the first line of each")?,
        lines => writeln!(f, "  skips  the first {lines} lines of each")?,
    }
    if let Some(footer) = footer {
        writeln!(f, "  skips  what follows `{}`, and that", footer.as_text())?;
    }
    match records {
        Records::EachLine => Ok(()),
        Records::BeginningWith { pattern, idle } => {
            writeln!(f, "  joins  lines from each `{}` on, the last for {idle:?}", pattern.as_text())
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(fixture: &str, strict: bool, out: &str, err: &str, exit: Exit) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config");
        let sources = Sources { main: directory.join(fixture), drop_ins: None, state_directory: None };
        let (mut told_out, mut told_err) = (Vec::new(), Vec::new());
        let args = Check { strict, explain: false, file: sources.main.clone() };
        let ended = run(&sources, &args, &mut told_out, &mut told_err).unwrap();
        let told =
            |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", directory.display()), "");
        assert_eq!((told(told_out).as_str(), told(told_err).as_str(), ended), (out, err, exit));
    }

    const MISSPELT: &str = "warned/misspelt.json:2:3: warning: `kinesis.regoin` is not a known key and has no effect; did you mean `kinesis.region`?
warned/misspelt.json:3:3: warning: `log.level` is not a known key and has no effect
warned/misspelt.json:8:7: warning: `initialPostion` is not a known key and has no effect; did you mean `initialPosition`?
warned/misspelt.json:10:38: warning: `logformat` is not a known key and has no effect; did you mean `logFormat`?
";

    #[test]
    fn a_good_configuration_is_told_as_what_it_will_do() {
        let out = "good/every-honoured-key.json: 3 flows, no problems
state in /var/lib/elsewhere
metrics to CloudWatch in eu-west-3, as Fleet/Logs

access
  reads  /srv/*/logs/**/access.log, from their start
  skips  the first 2 lines of each
  skips  what follows `#EOF.*`, and that
  joins  lines from each `\\[\\d` on, the last for 1.5s
  sends  COMMONAPACHELOG as JSON, values as native types, with host, file and offset
  packs  many into one, as lines in zstd, up to about 25600 bytes
  to     access, up to 100 records and 1048576 bytes in a request, after 250ms at most

delivered
  reads  /srv/app.log, from their end at the first start
  sends  lines as they are
  packs  many into one, as lines, up to about 5120 bytes
  to     delivery stream app, up to 500 records and 4194304 bytes in a request, after 1s at most

piped
  reads  what `kinetail pipe --flow piped` takes in
  keeps  up to 33554432 bytes of it in /var/lib/elsewhere/spool/piped; drops the oldest after 2.5s beyond that
  sends  lines as they are
  packs  many into one, in aggregates of the Kinesis Producer Library, up to about 51200 bytes, and keeps the order of each file
  to     piped, up to 500 records and 5242880 bytes in a request, after 1s at most
";
        check("good/every-honoured-key.json", false, out, "", Exit::Done);
        check("good/every-honoured-key.json", true, out, "", Exit::Done);
    }

    #[test]
    fn warnings_are_told_beside_it() {
        let out = "warned/misspelt.json: 1 flow, 4 warnings
state in /var/lib/kinetail
metrics to CloudWatch in us-east-1, as AWSKinesisAgent

kinesis:app:/var/log/app.log
  reads  /var/log/app.log, from their end at the first start
  sends  COMMONAPACHELOG as JSON, values as strings
  to     app, up to 500 records and 5242880 bytes in a request, after 1s at most
";
        check("warned/misspelt.json", false, out, MISSPELT, Exit::Done);
    }

    #[test]
    fn strictly_a_warning_is_an_error() {
        check("warned/misspelt.json", true, "", MISSPELT, Exit::Misconfigured);
    }

    #[test]
    fn a_wrong_configuration_is_told_and_nothing_else() {
        let err = "bad/no-flows.json:1:1: there are no flows: `flows` must hold one at least\n";
        check("bad/no-flows.json", false, "", err, Exit::Misconfigured);
    }
}
