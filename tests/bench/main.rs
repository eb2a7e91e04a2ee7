//! What a gigabyte of access log costs: the built agent, seen from outside, against an endpoint on loopback.
//!
//! ```text
//!   lines ─▶ data ─▶ file ─▶ the agent ─ TLS ─▶ endpoint ─▶ http ─▶ records (json, lines) ─▶ books
//!                               │                                                             │
//!                             usage ──────────────────▶ figures ◀──────────────────────── balance
//! ```
//!
//! [`lines`] makes a log in which every line proves itself, [`data`] puts it on disk. [`agent`] runs the built binary
//! on it, [`endpoint`] takes what comes, and [`books`] say which lines came. [`catchup`], [`files`], [`idle`], [`outage`],
//! [`pipe`] and [`steady`] each measure one thing with [`kinetail_tests::usage`]; [`figures`] tells of it. [`soak`] does so over time. The
//! endpoint's CPU does not count, but it shares the cores and is therefore kept cheap: no tree is built of a request, and no
//! record costs an allocation.
//!
//! [`aggregate`] measures the other half: what is counted of such lines in the cloud.

mod agent;
mod aggregate;
mod books;
mod catchup;
mod data;
mod endpoint;
mod figures;
mod files;
mod http;
mod idle;
mod json;
mod lines;
mod options;
mod outage;
mod pipe;
mod records;
mod soak;
mod steady;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;

use crate::figures::{Run, Table};
use crate::options::{Options, What};
use crate::records::Shape;

/// Measures, and says with the exit code whether the figures count.
fn main() -> ExitCode {
    match measure(&Options::parse(), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody can be told, the exit code still says it.
            drop(writeln!(std::io::stderr(), "bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures as often as asked, and prints what came out.
fn measure(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    let binary = chosen(options.agent.as_deref(), kinetail_tests::binary::agent)?;
    let dir = tempfile::tempdir().context("failed to make a temporary directory")?;
    let mut measure_once = prepare(options, &binary, dir.path())?;
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        let run = measure_once()?;
        if options.json {
            writeln!(out, "{}", run.to_json())?;
        }
        runs.push(run);
    }
    let measured = match options.what {
        What::Aggregate { .. } => chosen(options.function.as_deref(), kinetail_tests::binary::bootstrap)?,
        What::Catchup(_)
        | What::Files { .. }
        | What::Idle { .. }
        | What::Outage { .. }
        | What::Pipe { .. }
        | What::Steady { .. }
        | What::Soak { .. } => binary.clone(),
    };
    writeln!(out, "{}\n{}", Table(&runs), size(&measured, dir.path())?)?;
    Ok(())
}

/// The program that was asked for, or the one that is built.
fn chosen(
    given: Option<&Path>,
    build: impl FnOnce() -> anyhow::Result<&'static Path>,
) -> anyhow::Result<PathBuf> {
    match given {
        Some(path) => {
            path.canonicalize().with_context(|| format!("there is no program `{}`", path.display()))
        }
        None => build().map(Path::to_owned),
    }
}

/// Makes what the measurement needs; returns what measures once.
fn prepare<'a>(
    options: &'a Options,
    binary: &'a Path,
    dir: &Path,
) -> anyhow::Result<Box<dyn FnMut() -> anyhow::Result<Run> + 'a>> {
    let Options { format: form, packing, seed, .. } = *options;
    let shape = Shape { form, packing };
    Ok(match &options.what {
        What::Catchup(wanted) => {
            let path = wanted.data.clone().unwrap_or_else(|| dir.join("access.log"));
            let log = data::prepare(&path, seed, wanted.size)?;
            let path = path.canonicalize().context("failed to find the log")?;
            Box::new(move || catchup::run(binary, &path, log, shape, wanted.refuse))
        }
        What::Idle { secs } => {
            let watched = Duration::from_secs(u64::from(*secs));
            Box::new(move || idle::run(binary, shape, seed, watched))
        }
        What::Aggregate { sources, calls } => {
            let function = chosen(options.function.as_deref(), kinetail_tests::binary::bootstrap)?;
            let load = aggregate::Load { packing, sources: *sources, calls: *calls, seed };
            Box::new(move || aggregate::run(binary, &function, load))
        }
        What::Soak { minutes } => Box::new(move || soak::run(binary, *minutes)),
        What::Files { files, active, rate, secs } => {
            let load = files::Load { files: *files, active: (*active).min(*files), rate: *rate, secs: *secs };
            Box::new(move || files::run(binary, shape, seed, load))
        }
        What::Outage { rate, secs } => Box::new(move || outage::run(binary, shape, seed, *rate, *secs)),
        What::Pipe { rate, secs } => Box::new(move || pipe::run(binary, shape, seed, *rate, *secs)),
        What::Steady { rate, secs, linger } => {
            let trickle = steady::Trickle { rate: *rate, secs: *secs, linger: *linger };
            Box::new(move || steady::run(binary, shape, seed, trickle))
        }
    })
}

/// How large the agent is on disk, with and without its symbols.
fn size(binary: &Path, dir: &Path) -> anyhow::Result<String> {
    let megabytes = |path: &Path| {
        let bytes =
            fs::metadata(path).with_context(|| format!("failed to look at `{}`", path.display()))?.len();
        anyhow::Ok(format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10))
    };
    let stripped = dir.join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(binary).stderr(Stdio::null()).status();
    let without_symbols = match strip {
        Ok(status) if status.success() => megabytes(&stripped)?,
        Ok(_) | Err(_) => "unknown, as `strip` is absent or fails".to_owned(),
    };
    Ok(format!("`{}`: {}, without symbols {without_symbols}", binary.display(), megabytes(binary)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole way over TLS, with the endpoint's own certificate in `caBundle`: a figure comes out only if the
    /// endpoint has seen every byte of every line.
    #[track_caller]
    fn check(format: &str) {
        let line = ["bench", "catchup", "--size", "20m", "--format", format];
        let mut out = Vec::new();
        measure(&Options::parse_from(line), &mut out).unwrap();
        let table = String::from_utf8(out).unwrap();
        assert!(table.contains("| cpu_s_per_gb |"), "{table}");
    }

    #[test]
    fn raw_lines_arrive_whole_over_tls() {
        check("raw");
    }

    #[test]
    fn packed_lines_arrive_whole_though_records_are_refused() {
        for packing in ["lines", "gzip", "zstd"] {
            let line = ["bench", "catchup", "--size", "5m", "--packing", packing, "--refuse", "10"];
            let mut out = Vec::new();
            measure(&Options::parse_from(line), &mut out).unwrap();
            let table = String::from_utf8(out).unwrap();
            assert!(table.contains("| offers_per_record |"), "{table}");
        }
    }

    #[test]
    fn every_line_of_the_largest_events_is_counted() {
        for packing in ["none", "zstd"] {
            let line = ["bench", "aggregate", "--calls", "1", "--packing", packing];
            let mut out = Vec::new();
            measure(&Options::parse_from(line), &mut out).unwrap();
            assert!(String::from_utf8(out).unwrap().contains("| lines_per_cpu_s |"));
        }
    }

    #[test]
    fn every_line_of_many_files_is_counted() {
        let line = ["bench", "files", "--files", "1000", "--active", "10", "--rate", "100", "--secs", "2"];
        let mut out = Vec::new();
        measure(&Options::parse_from(line), &mut out).unwrap();
        let table = String::from_utf8(out).unwrap();
        assert!(table.contains("| inotify_watches |"), "{table}");
    }

    #[test]
    fn every_line_of_an_outage_is_counted() {
        let line = ["bench", "outage", "--rate", "2000", "--secs", "2"];
        let mut out = Vec::new();
        measure(&Options::parse_from(line), &mut out).unwrap();
        let table = String::from_utf8(out).unwrap();
        assert!(table.contains("| catchup_mb_per_s |"), "{table}");
    }

    #[test]
    fn every_line_of_a_pipe_is_counted() {
        let line = ["bench", "pipe", "--rate", "5000", "--secs", "2"];
        let mut out = Vec::new();
        measure(&Options::parse_from(line), &mut out).unwrap();
        let table = String::from_utf8(out).unwrap();
        assert!(table.contains("| wait_p99_9_us |"), "{table}");
    }

    #[test]
    fn json_arrives_whole_over_tls() {
        check("json");
    }
}
