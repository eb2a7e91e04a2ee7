//! Who may name whom: the chain of steps points upstream only.
//!
//! The tables in [`crate::crates`] are the architecture. A module that is not in its crate's table may not exist.

use crate::crates::Crate;
use crate::place::Place;
use crate::source::{Named, Source};
use crate::tree::Tree;

/// What breaks the tables.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    tree.crate_sources()
        .iter()
        .flat_map(|(place, source)| match place.module() {
            "main" => of_main(source, place.krate()),
            _ => of_module(source, *place),
        })
        .collect()
}

fn of_module(source: &Source<'_>, place: Place<'_>) -> Vec<String> {
    let (krate, module) = (place.krate(), place.module());
    let Some((_, row)) = krate.modules.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: `{module}` is not in the import table", source.path())];
    };
    let parts = krate.parts.iter().filter(|(part, _)| place.is_within(&[part])).flat_map(|(_, names)| *names);
    let is_shell = place.is_within(krate.shell) && !place.is_pure();
    let shell = krate.shell_names.iter().filter(|_| is_shell);
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
    let is_module = |name: &str| place.krate().modules.iter().any(|(row, _)| *row == name);
    match path.segments.as_slice() {
        ["crate", name, ..] => Some(name),
        ["super", ..] if ups == place.depth() => path.segments.get(ups).copied(),
        [name, _, ..] if place.depth() == 0 && is_module(name) => Some(name),
        _ => None,
    }
}

/// `main` starts the library: it has no modules of its own and names no other crate.
fn of_main(source: &Source<'_>, krate: &Crate) -> Vec<String> {
    source
        .paths()
        .iter()
        .filter_map(|path| match path.segments.as_slice() {
            ["std", ..] => None,
            [name, ..] if *name == krate.name => None,
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
    use crate::crates::CRATES;
    use crate::tree;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        tree::check(violations, &[(path, text)], expected);
    }

    #[test]
    fn a_row_names_only_rows_above_it() {
        for krate in CRATES {
            for (index, (module, names)) in krate.modules.iter().enumerate() {
                let above: Vec<&str> = krate.modules[..index].iter().map(|(above, _)| *above).collect();
                assert!(
                    names.iter().all(|name| above.contains(name)),
                    "`{module}` names {names:?} after {above:?}"
                );
            }
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
    fn each_crate_has_its_own_table() {
        check("lambda/src/event.rs", "use crate::event::Event;", &[]);
        check(
            "lambda/src/split.rs",
            "use crate::position::Span;",
            &["lambda/src/split.rs: `split` is not in the import table"],
        );
        check("lambda/src/main.rs", "fn main() { kinetail_lambda::run() }", &[]);
        check(
            "lambda/src/main.rs",
            "fn main() { kinetail::run() }",
            &["lambda/src/main.rs:1: `main` must not name `kinetail`"],
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
