//! The steps in the middle are pure: no clock, disk, network, runtime or logger. Time is an argument.

use crate::source::{Named, Source};
use crate::tree::Tree;

/// What reaches out of a pure module.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let sources = tree.crate_sources();
    sources.iter().filter(|(place, _)| place.is_pure()).flat_map(|(_, source)| of_source(source)).collect()
}

fn of_source(source: &Source<'_>) -> Vec<String> {
    let paths = source.paths();
    let reaching = paths.iter().filter(|path| reaches_out(path));
    reaching
        .map(|path| {
            format!("{}:{}: pure code must not name `{}`", source.path(), path.line, path.segments.join("::"))
        })
        .collect()
}

fn reaches_out(path: &Named<'_>) -> bool {
    // An instant may come in as an argument; only making one is impure. An address is a value like a number.
    if matches!(
        path.segments.as_slice(),
        ["tokio", "time", "Instant"] | ["std", "net", "IpAddr" | "Ipv4Addr" | "Ipv6Addr" | "AddrParseError"]
    ) {
        return false;
    }
    path.segments.iter().any(|name| matches!(*name, "SystemTime" | "async" | "await" | "tracing" | "tokio"))
        || path.contains(&["Instant", "now"])
        || ["env", "fs", "net", "process", "thread"].iter().any(|part| path.contains(&["std", part]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let path = "agent/src/checkpoint/ledger.rs";
        let expected: Vec<String> =
            expected.iter().map(|name| format!("{path}:1: pure code must not name `{name}`")).collect();
        assert_eq!(violations(&tree::fixture(&[(path, text)])), expected);
    }

    #[test]
    fn pure_code_knows_no_disk_and_no_network() {
        check("use std::net::{IpAddr, Ipv6Addr};", &[]);
        check("use std::{fs, io}; fn f() { std::net::lookup() }", &["std::fs", "std::net::lookup"]);
    }

    #[test]
    fn pure_code_knows_no_clock_and_takes_the_time_as_an_argument() {
        check("use tokio::time::Instant; fn f(now: Instant) {}", &[]);
        check(
            "fn f() { tokio::time::Instant::now(); Instant::now() }",
            &["tokio::time::Instant::now", "Instant::now"],
        );
        check("use std::time::{Duration, SystemTime};", &["std::time::SystemTime"]);
    }

    #[test]
    fn pure_code_knows_no_runtime_and_no_logger() {
        check("use tokio::sync::mpsc; async fn f() { g().await }", &["tokio::sync::mpsc", "async", "await"]);
        check("fn f() { tracing::info!(\"done\") }", &["tracing::info"]);
    }

    #[test]
    fn the_shell_may_do_all_of_it() {
        tree::check(violations, &[("agent/src/checkpoint/store.rs", "use std::fs;")], &[]);
    }

    #[test]
    fn tests_of_pure_code_may_do_all_of_it() {
        check("#[cfg(test)] mod tests { use std::fs; }", &[]);
    }
}
