//! `kinetail check`: what is wrong with a configuration, or what it will do.

use std::fmt;
use std::io::{self, Write};

use crate::config::{self, Config, Flow, Sources};
use crate::exit::Exit;
use crate::layout::{Layout, Records};
use crate::parse::{Format, JsonTypes, Parser};
use crate::source::InitialPosition;

/// Loads a configuration as `run` does, and tells of it. Strictly, a warning is as bad as an error.
pub(super) fn run(
    sources: &Sources,
    strict: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    match config::load(sources) {
        Ok(config) => {
            for warning in &config.warnings {
                writeln!(err, "{warning}")?;
            }
            if strict && !config.warnings.is_empty() {
                return Ok(Exit::Misconfigured);
            }
            write!(out, "{}", Summary { sources, config: &config })?;
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
        let Config { agent, flows, warnings } = self.config;
        let problems =
            if warnings.is_empty() { "no problems".to_owned() } else { count(warnings.len(), "warning") };
        writeln!(f, "{}: {}, {problems}", self.sources.main.display(), count(flows.len(), "flow"))?;
        writeln!(f, "state in {}", agent.state_directory.display())?;
        flows.iter().try_for_each(|flow| describe(flow, f))
    }
}

fn describe(flow: &Flow, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let start = match flow.source.initial_position {
        InitialPosition::Start => "from their start",
        InitialPosition::End => "from their end at the first start",
    };
    let limits = &flow.batch.limits;
    writeln!(f, "\n{}", flow.name)?;
    writeln!(f, "  reads  {}, {start}", flow.source.pattern.as_text())?;
    describe_layout(&flow.source.layout, f)?;
    match flow.parser {
        Parser::Raw => writeln!(f, "  sends  lines as they are")?,
        Parser::Log { format, types } => {
            let format = match format {
                Format::Common => "COMMONAPACHELOG",
                Format::Combined => "COMBINEDAPACHELOG",
            };
            let types = match types {
                JsonTypes::Strings => "strings",
                JsonTypes::Native => "native types",
            };
            let position = if flow.adds_position { ", with host, file and offset" } else { "" };
            writeln!(f, "  sends  {format} as JSON, values as {types}{position}")?;
        }
    }
    let size = format!("{} and {} bytes", count(limits.records(), "record"), limits.bytes());
    writeln!(f, "  to     {}, up to {size} in a request, after {:?} at most", flow.stream, flow.batch.linger)
}

/// Tells how files fall into records, where a record is not just a line.
fn describe_layout(layout: &Layout, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Layout { header_lines, records, footer } = layout;
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
        let ended = run(&sources, strict, &mut told_out, &mut told_err).unwrap();
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
        let out = "good/every-honoured-key.json: 1 flow, no problems
state in /var/lib/elsewhere

access
  reads  /srv/*/logs/**/access.log, from their start
  skips  the first 2 lines of each
  skips  what follows `#EOF.*`, and that
  joins  lines from each `\\[\\d` on, the last for 1.5s
  sends  COMMONAPACHELOG as JSON, values as native types, with host, file and offset
  to     access, up to 100 records and 1048576 bytes in a request, after 250ms at most
";
        check("good/every-honoured-key.json", false, out, "", Exit::Done);
        check("good/every-honoured-key.json", true, out, "", Exit::Done);
    }

    #[test]
    fn warnings_are_told_beside_it() {
        let out = "warned/misspelt.json: 1 flow, 4 warnings
state in /var/lib/kinetail

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
