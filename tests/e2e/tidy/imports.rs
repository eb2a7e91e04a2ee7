//! Who may name whom in the agent: the chain of steps points upstream only.
//!
//! The table is the architecture. A module that is not in it may not exist, and a row names only rows above it.

use crate::place::Place;
use crate::purity;
use crate::source::{Named, Source};
use crate::tree::Tree;

/// The modules of the agent, each with those it may name beside itself.
const TABLE: [(&str, &[&str]); 19] = [
    ("position", &[]),
    ("loss", &["position"]),
    ("budget", &[]),
    ("exit", &[]),
    ("chain", &[]),
    ("log", &[]),
    ("metrics", &["loss"]),
    ("source", &["position", "budget"]),
    ("split", &["position", "loss", "source"]),
    ("parse", &["position", "loss", "split"]),
    ("batch", &["position", "loss", "split", "parse"]),
    ("send", &["position", "loss", "batch"]),
    ("checkpoint", &["position", "loss", "send"]),
    ("report", &["loss", "metrics"]),
    ("config", &["position", "source", "parse", "batch", "send", "chain"]),
    ("shutdown", &[]),
    (
        "pipeline",
        &[
            "position",
            "loss",
            "budget",
            "exit",
            "chain",
            "log",
            "metrics",
            "source",
            "split",
            "parse",
            "batch",
            "send",
            "checkpoint",
            "report",
            "config",
            "shutdown",
        ],
    ),
    ("cli", &["config", "pipeline", "log", "exit", "chain"]),
    ("lib", &["config", "pipeline", "log", "exit", "chain", "cli"]),
];

/// What single files may name beyond the row of their module: a subcommand the step that it shows.
const PARTS: [(&str, &[&str]); 4] = [
    // The words for a format are those of the command line; what they mean is the step's.
    ("cli/arguments", &["parse"]),
    // It tells what the steps were set to do.
    ("cli/check", &["parse", "source"]),
    ("cli/parse", &["parse", "split"]),
    ("cli/checkpoint", &["checkpoint", "position"]),
];

/// The files that meet the world outside, unless they are pure.
const SHELL: [&str; 6] =
    ["source", "send/mod", "send/kinesis", "checkpoint/mod", "checkpoint/store", "shutdown"];

/// What the shell may name besides, to say what went wrong and to count it.
const SHELL_NAMES: [&str; 2] = ["chain", "metrics"];

/// What breaks the table.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    tree.sources(Place::ROOT)
        .iter()
        .flat_map(|source| match Place::new(source.path()).module() {
            "main" => of_main(source),
            module => of_module(source, module),
        })
        .collect()
}

fn of_module(source: &Source<'_>, module: &str) -> Vec<String> {
    let place = Place::new(source.path());
    let Some((_, row)) = TABLE.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: `{module}` is not in the import table", source.path())];
    };
    let parts = PARTS.iter().filter(|(part, _)| place.is_within(&[part])).flat_map(|(_, names)| *names);
    let shell = SHELL_NAMES.iter().filter(|_| place.is_within(&SHELL) && !purity::is_pure(place));
    let allowed: Vec<&str> = row.iter().chain(parts).chain(shell).copied().chain([module]).collect();
    source
        .paths()
        .iter()
        .filter_map(|path| Some((named_module(path, place)?, path.line)))
        .filter(|(name, _)| !allowed.contains(name))
        .map(|(name, line)| format!("{}:{line}: `{module}` must not name `{name}`", source.path()))
        .collect()
}

/// The module of the crate's root that `path` leads to, if it leads there.
fn named_module<'a>(path: &Named<'a>, place: Place<'_>) -> Option<&'a str> {
    let ups = path.segments.iter().take_while(|segment| **segment == "super").count();
    match path.segments.as_slice() {
        ["crate", name, ..] => Some(name),
        ["super", ..] if ups == place.depth() => path.segments.get(ups).copied(),
        [name, _, ..] if place.depth() == 0 && TABLE.iter().any(|(row, _)| row == name) => Some(name),
        _ => None,
    }
}

/// `main` starts the library: it has no modules of its own and names no other crate.
fn of_main(source: &Source<'_>) -> Vec<String> {
    source
        .paths()
        .iter()
        .filter_map(|path| match path.segments.as_slice() {
            ["std" | "kinetail", ..] => None,
            [head @ "mod"] => Some((*head, path.line)),
            [head, _, ..] if head.starts_with(char::is_lowercase) => Some((*head, path.line)),
            _ => None,
        })
        .map(|(name, line)| format!("{}:{line}: `main` must not name `{name}`", source.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        tree::check(violations, &[(path, text)], expected);
    }

    #[test]
    fn a_row_names_only_rows_above_it() {
        for (index, (module, names)) in TABLE.iter().enumerate() {
            let above: Vec<&str> = TABLE[..index].iter().map(|(above, _)| *above).collect();
            assert!(
                names.iter().all(|name| above.contains(name)),
                "`{module}` names {names:?} after {above:?}"
            );
        }
    }

    #[test]
    fn a_step_must_not_name_the_next_one() {
        check(
            "agent/src/split/mod.rs",
            "use crate::position::Span;\nuse crate::{loss::Dropped, parse::Record};",
            &["agent/src/split/mod.rs:2: `split` must not name `parse`"],
        );
    }

    #[test]
    fn a_path_in_the_code_counts_as_an_import() {
        check(
            "agent/src/batch/pack.rs",
            "fn f() {\n    crate::send::offer()\n}",
            &["agent/src/batch/pack.rs:2: `batch` must not name `send`"],
        );
    }

    #[test]
    fn climbing_out_of_the_module_counts_as_an_import() {
        check("agent/src/send/pace.rs", "use super::{Acked, settle};", &[]);
        check(
            "agent/src/send/pace.rs",
            "use super::super::checkpoint;",
            &["agent/src/send/pace.rs:1: `send` must not name `checkpoint`"],
        );
    }

    #[test]
    fn a_module_must_be_in_the_table() {
        check("agent/src/utils.rs", "", &["agent/src/utils.rs: `utils` is not in the import table"]);
    }

    #[test]
    fn only_the_shell_may_count_and_tell() {
        check("agent/src/source/watch.rs", "use crate::metrics::Metrics;", &[]);
        check(
            "agent/src/source/identity.rs",
            "use crate::metrics::Metrics;",
            &["agent/src/source/identity.rs:1: `source` must not name `metrics`"],
        );
    }

    #[test]
    fn a_subcommand_may_name_the_step_that_it_shows() {
        check("agent/src/cli/parse.rs", "use crate::parse::Parser;", &[]);
        check(
            "agent/src/cli/run.rs",
            "use crate::parse::Parser;",
            &["agent/src/cli/run.rs:1: `cli` must not name `parse`"],
        );
    }

    #[test]
    fn the_library_starts_the_command_line_and_knows_no_step() {
        check("agent/src/lib.rs", "pub mod send;\npub use cli::run;", &[]);
        check(
            "agent/src/lib.rs",
            "pub use send::Acked;",
            &["agent/src/lib.rs:1: `lib` must not name `send`"],
        );
    }

    #[test]
    fn main_names_the_library_only() {
        check("agent/src/main.rs", "fn main() -> std::process::ExitCode { kinetail::run().into() }", &[]);
        check(
            "agent/src/main.rs",
            "mod send;\nfn main() { tokio::spawn(x) }",
            &[
                "agent/src/main.rs:1: `main` must not name `mod`",
                "agent/src/main.rs:2: `main` must not name `tokio`",
            ],
        );
    }

    #[test]
    fn tests_and_comments_may_name_anything() {
        check(
            "agent/src/split/mod.rs",
            "//! See [`crate::send`].\n#[cfg(test)]\nmod tests { use crate::send; }",
            &[],
        );
    }
}
