//! What only a few files may touch: inotify, the AWS SDK, derived formats, threads and tasks.

use crate::place::Place;
use crate::source::{Kind, Named, Source};
use crate::tree::Tree;

/// One thing, and the only places that may touch it.
struct Wall {
    what: &'static str,
    /// Paths without `.rs`.
    inside: &'static [&'static str],
    /// The lines that touch it.
    touched: fn(&Source<'_>) -> Vec<usize>,
}

const WALLS: [Wall; 4] = [
    Wall { what: "inotify watches", inside: &["agent/src/source/watch"], touched: inotify },
    Wall {
        what: "the crates of the AWS SDK",
        inside: &[
            "agent/src/source/ec2",
            "agent/src/send/aws",
            "agent/src/send/clock",
            "agent/src/send/connections",
            "agent/src/send/wallet",
            "agent/src/send/description",
            "agent/src/send/exchange",
            "agent/src/send/firehose",
            "agent/src/send/kinesis",
            "agent/src/report/cloudwatch/publisher",
            "lambda/src/fault",
            "lambda/src/s3",
            "lambda/src/output",
            "lambda/src/cloudwatch",
            "lambda/src/runtime",
        ],
        touched: aws_sdk,
    },
    Wall {
        what: "serde derives",
        inside: &[
            "agent/src/config/raw",
            "agent/src/checkpoint/format",
            "agent/src/quarantine/format",
            "agent/src/control/message",
            "agent/src/control/view",
            "lambda/src/event",
            "lambda/src/rows",
            "lambda/src/aside",
            "lambda/src/window/state",
        ],
        touched: serde_derives,
    },
    Wall { what: "threads and tasks", inside: &["agent/src/pipeline"], touched: spawns },
];

/// What stands on the wrong side of a wall.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let sources = tree.crate_sources();
    WALLS
        .iter()
        .flat_map(|wall| sources.iter().flat_map(|(place, source)| across(wall, *place, source)))
        .collect()
}

fn across(wall: &Wall, place: Place<'_>, source: &Source<'_>) -> Vec<String> {
    let Wall { what, inside, touched } = wall;
    let root = place.krate().root;
    let inside: Vec<&str> = inside.iter().filter_map(|path| path.strip_prefix(root)).collect();
    if place.is_within(&inside) {
        return vec![];
    }
    let where_to = match inside.as_slice() {
        [] => "not in this crate".to_owned(),
        _ => format!("to {}", inside.join(" and ")),
    };
    touched(source).iter().map(|line| format!("{}:{line}: {what} belong {where_to}", source.path())).collect()
}

fn inotify(source: &Source<'_>) -> Vec<usize> {
    crate_lines(source, |name| name == "notify")
}

/// A moment is a value like a number, and the SDK's type is the only one here that reads and writes dates.
fn aws_sdk(source: &Source<'_>) -> Vec<usize> {
    let is_moment = |path: &Named<'_>| {
        matches!(path.segments.as_slice(), ["aws_smithy_types", "DateTime" | "date_time", ..])
    };
    let paths = source.paths();
    let crates = paths.iter().filter(|path| {
        path.segments.len() > 1 && path.segments.first().is_some_and(|name| name.starts_with("aws_"))
    });
    crates.filter(|path| !is_moment(path)).map(|path| path.line).collect()
}

/// The lines of the paths that begin with a crate that `is_meant`.
fn crate_lines(source: &Source<'_>, is_meant: impl Fn(&str) -> bool) -> Vec<usize> {
    let paths = source.paths();
    let meant =
        paths.iter().filter(|path| matches!(path.segments.as_slice(), [head, _, ..] if is_meant(head)));
    meant.map(|path| path.line).collect()
}

fn serde_derives(source: &Source<'_>) -> Vec<usize> {
    let derives = source.tokens().split(|token| token.text == "derive").skip(1);
    derives
        .flat_map(|tokens| tokens.iter().take_while(|token| token.text != ")"))
        .filter(|token| matches!(token.text, "Serialize" | "Deserialize"))
        .map(|token| token.line)
        .collect()
}

fn spawns(source: &Source<'_>) -> Vec<usize> {
    const WORDS: [&str; 4] = ["spawn", "spawn_blocking", "spawn_local", "JoinSet"];
    let words =
        source.tokens().iter().filter(|token| token.kind == Kind::Word && WORDS.contains(&token.text));
    let paths = source.paths();
    let builders = paths
        .iter()
        .filter(|path| path.contains(&["thread", "Builder"]) || path.contains(&["thread", "scope"]));
    words.map(|token| token.line).chain(builders.map(|path| path.line)).collect()
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
    fn only_the_watch_knows_inotify() {
        check("agent/src/source/watch.rs", "use notify::Watcher;", &[]);
        check(
            "agent/src/source/tail.rs",
            "use notify::Watcher;",
            &["agent/src/source/tail.rs:1: inotify watches belong to source/watch"],
        );
        check("agent/src/source/tail.rs", "use tokio::sync::Notify; fn notify() {}", &[]);
    }

    #[test]
    fn only_two_files_know_the_sdk() {
        check("agent/src/send/kinesis.rs", "use aws_sdk_kinesis::Client;", &[]);
        check(
            "agent/src/send/mod.rs",
            "\nfn f(client: aws_sdk_kinesis::Client) {}",
            &[
                "agent/src/send/mod.rs:2: the crates of the AWS SDK belong to source/ec2 and send/aws and send/clock and send/connections and send/wallet and send/description and send/exchange and send/firehose and send/kinesis and report/cloudwatch/publisher",
            ],
        );
        check("lambda/src/aside.rs", "use aws_smithy_types::DateTime;", &[]);
        check("agent/src/config/raw.rs", "struct Raw { aws_access_key_id: Option<String> }", &[]);
    }

    #[test]
    fn only_two_files_derive_a_format() {
        check("agent/src/checkpoint/format.rs", "#[derive(Serialize)] struct A;", &[]);
        check(
            "agent/src/position.rs",
            "#[derive(Clone, serde::Serialize)]\nstruct A;",
            &[
                "agent/src/position.rs:1: serde derives belong to config/raw and checkpoint/format and quarantine/format and control/message and control/view",
            ],
        );
        check("agent/src/position.rs", "#[derive(Clone)] struct A; impl Serialize for A {}", &[]);
    }

    #[test]
    fn only_the_pipeline_starts_threads_and_tasks() {
        check("agent/src/pipeline.rs", "fn f() { tokio::spawn(g()) }", &[]);
        check("agent/src/pipeline/readers.rs", "use std::thread::Builder;", &[]);
        check(
            "agent/src/send/mod.rs",
            "use tokio::task::JoinSet;\nfn f() {\n    runtime.spawn(g());\n    std::thread::Builder::new();\n}",
            &[
                "agent/src/send/mod.rs:1: threads and tasks belong to pipeline",
                "agent/src/send/mod.rs:3: threads and tasks belong to pipeline",
                "agent/src/send/mod.rs:4: threads and tasks belong to pipeline",
            ],
        );
    }
}
