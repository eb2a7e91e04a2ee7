//! What the pages list is what the code has, both ways: keys in the reference; metrics, exit codes and reasons for a drop on the
//! page of operations; and in the README of the cloud half metrics, variables, reasons to set something aside.
//!
//! On a page each list is a table whose header begins with the word for it; the first cell of a row holds the name,
//! or several, in backticks. In the code each list is one file, whose text is read.

use std::collections::BTreeSet;

use crate::source::{Kind, Source};
use crate::tree::Tree;

/// One list that stands in the code and on a page.
struct List {
    /// What one entry is called; its table's header begins with it.
    entry: &'static str,
    /// The page that it stands on.
    page: &'static str,
    /// The file that has it.
    path: &'static str,
    /// The names in that file.
    names: for<'a> fn(&Source<'a>) -> BTreeSet<&'a str>,
}

const README: &str = "README.md";

/// Where an operator reads what the agent does.
const OPERATIONS: &str = "packaging/doc/operations.md";

/// What `kinetail reference --markdown` prints.
const REFERENCE: &str = "etc/agent.json.md";

const LISTS: [List; 7] = [
    List { entry: "Metric", page: OPERATIONS, path: "agent/src/metrics.rs", names: metrics },
    List { entry: "Key", page: REFERENCE, path: "agent/src/config/keys.rs", names: keys },
    List { entry: "Exit code", page: OPERATIONS, path: "agent/src/exit.rs", names: numbers_of_arms },
    List { entry: "Reason", page: OPERATIONS, path: "agent/src/loss.rs", names: texts_of_arms },
    List {
        entry: "CloudWatch metric",
        page: README,
        path: "lambda/src/metrics/mod.rs",
        names: cloud_metrics,
    },
    List { entry: "Variable", page: README, path: "lambda/src/settings.rs", names: variables },
    List { entry: "Set aside as", page: README, path: "lambda/src/reason.rs", names: texts_of_arms },
];

/// What a row of the table of keys begins with: the object that the key stands in.
const HOLDERS: [&str; 3] = ["agent", "flow", "step"];

/// What is in one of the two places only.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    LISTS.iter().flat_map(|list| of_list(list, tree)).collect()
}

fn of_list(List { entry, page, path, names }: &List, tree: &Tree) -> Vec<String> {
    let sources = tree.sources(path);
    let in_code: BTreeSet<&str> = sources.iter().flat_map(names).collect();
    let on_page = table(tree.text(page).unwrap_or_default(), entry);
    let none = in_code.is_empty().then(|| format!("{path}: no {} was found", entry.to_lowercase()));
    let unlisted = in_code.difference(&on_page).map(|name| format!("{page}: {entry} `{name}` has no row"));
    let invented =
        on_page.difference(&in_code).map(|name| format!("{page}: {entry} `{name}` is not in {path}"));
    none.into_iter().chain(unlisted).chain(invented).collect()
}

/// The names in the first cells of the tables whose header begins with `entry`; labels in braces are not part of a name.
fn table<'a>(page: &'a str, entry: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let mut is_inside = false;
    let mut was_row = false;
    for line in page.lines() {
        let first_cell = line.trim().strip_prefix('|').and_then(|row| row.split('|').next()).map(str::trim);
        let Some(cell) = first_cell else {
            was_row = false;
            continue;
        };
        if !was_row {
            is_inside = cell == entry;
        } else if is_inside {
            let quoted = cell.split('`').skip(1).step_by(2);
            names.extend(quoted.map(|name| name.split('{').next().unwrap_or(name)));
        }
        was_row = true;
    }
    names
}

fn metrics<'a>(source: &Source<'a>) -> BTreeSet<&'a str> {
    let is_name = |text: &str| {
        let rest = text.strip_prefix("kinetail_");
        rest.is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|sign| sign.is_ascii_lowercase() || sign == '_')
        })
    };
    texts(source).filter(|text| is_name(text)).collect()
}

/// The texts of the arms of `Metric`.
fn cloud_metrics<'a>(source: &Source<'a>) -> BTreeSet<&'a str> {
    let arms = source.tokens().windows(7).filter_map(|tokens| match tokens {
        [kind, one, two, _, three, four, name] => {
            let is_arm =
                [kind.text, one.text, two.text, three.text, four.text] == ["Metric", ":", ":", "=", ">"];
            (is_arm && name.kind == Kind::Text).then_some(name.text)
        }
        _ => None,
    });
    arms.collect()
}

/// The names of variables that are for operators: the service sets those that begin with an underscore.
fn variables<'a>(source: &Source<'a>) -> BTreeSet<&'a str> {
    let is_name = |text: &str| {
        text.starts_with(|sign: char| sign.is_ascii_uppercase())
            && text.contains(|sign: char| sign.is_ascii_uppercase())
            && text.chars().all(|sign| sign.is_ascii_uppercase() || sign == '_')
    };
    texts(source).filter(|text| is_name(text)).collect()
}

fn texts<'a>(source: &Source<'a>) -> impl Iterator<Item = &'a str> {
    source.tokens().iter().filter(|token| token.kind == Kind::Text).map(|token| token.text)
}

/// The keys: calls of a holder's name with the key.
fn keys<'a>(source: &Source<'a>) -> BTreeSet<&'a str> {
    let rows = source.tokens().windows(3).filter_map(|tokens| match tokens {
        [holder, open, key] => {
            let is_row = HOLDERS.contains(&holder.text) && open.text == "(" && key.kind == Kind::Text;
            is_row.then_some(key.text)
        }
        _ => None,
    });
    rows.collect()
}

/// The numbers behind `=>`.
fn numbers_of_arms<'a>(source: &Source<'a>) -> BTreeSet<&'a str> {
    behind(source, ["=", ">"], |kind, text| kind == Kind::Word && text.parse::<u8>().is_ok())
}

/// The texts behind `=>`.
fn texts_of_arms<'a>(source: &Source<'a>) -> BTreeSet<&'a str> {
    behind(source, ["=", ">"], |kind, _| kind == Kind::Text)
}

/// The texts or numbers behind two signs.
fn behind<'a>(source: &Source<'a>, lead: [&str; 2], is_meant: fn(Kind, &str) -> bool) -> BTreeSet<&'a str> {
    let threes = source.tokens().windows(3);
    let names = threes.filter_map(|tokens| match tokens {
        [one, two, name] if [one.text, two.text] == lead && is_meant(name.kind, name.text) => Some(name.text),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::fixture;

    const PAGE: &str = "\
| Metric | Meaning |
|---|---|
| `kinetail_lines_dropped_total{reason}` | Lines left behind, see `loss`. |

| Exit code | |
|---|---|
| `78` | wrong |

| Reason | |
|---|---|
| `unmatched` | no match |

| CloudWatch metric | By |
|---|---|
| `Lines` | |

| Variable | |
|---|---|
| `NAMESPACE` | |

| Set aside as | |
|---|---|
| `not-json` | |
";

    const KEYS: &str = "\
| Key | Default |
|---|---|
| `flows`, `name`, `proxy` | |
";

    const CODE: [(&str, &str); 7] = [
        ("agent/src/metrics.rs", "const A: &str = \"kinetail_lines_dropped_total\";"),
        (
            "agent/src/config/keys.rs",
            "[agent(\"flows\", Objects), agent(\"proxy\").refused(\"\"), flow(\"name\").ours()]",
        ),
        ("agent/src/exit.rs", "match exit { Exit::Misconfigured => 78 }"),
        ("agent/src/loss.rs", "match reason { Reason::Unmatched => \"unmatched\" }"),
        (
            "lambda/src/metrics/mod.rs",
            "match a { Metric::Lines => \"Lines\", Dimension::Code => \"Code\", Metric::Lines => Unit::Count }",
        ),
        ("lambda/src/settings.rs", "given(\"NAMESPACE\"); given(\"_HANDLER\"); \"Code\"; \"must be\""),
        ("lambda/src/reason.rs", "match reason { Reason::NotJson => \"not-json\" }"),
    ];

    /// What is found when `text` stands at `path` in a tree that is otherwise in order.
    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let mut files = vec![(README, PAGE), (OPERATIONS, PAGE), (REFERENCE, KEYS)];
        files.extend(CODE);
        files.push((path, text));
        assert_eq!(violations(&fixture(&files)), expected);
    }

    #[test]
    fn a_tree_in_order_has_no_violation() {
        check("NOTES.md", "", &[]);
    }

    #[test]
    fn metrics_are_the_same_in_both_places() {
        check(
            "agent/src/metrics.rs",
            "const A: &str = \"kinetail_open_files\"; const B: &str = \"kinetail_ {x}\";",
            &[
                "packaging/doc/operations.md: Metric `kinetail_open_files` has no row",
                "packaging/doc/operations.md: Metric `kinetail_lines_dropped_total` is not in agent/src/metrics.rs",
            ],
        );
    }

    #[test]
    fn keys_are_the_same_in_both_places() {
        check(
            "agent/src/config/keys.rs",
            "[agent(\"flows\", Objects), agent(\"proxy\").refused(\"\"), flow(\"order\").ours()]",
            &[
                "etc/agent.json.md: Key `order` has no row",
                "etc/agent.json.md: Key `name` is not in agent/src/config/keys.rs",
            ],
        );
    }

    #[test]
    fn exit_codes_are_the_same_in_both_places() {
        check(
            "agent/src/exit.rs",
            "match exit { Exit::Failed => 1 }",
            &[
                "packaging/doc/operations.md: Exit code `1` has no row",
                "packaging/doc/operations.md: Exit code `78` is not in agent/src/exit.rs",
            ],
        );
    }

    #[test]
    fn reasons_are_the_same_in_both_places() {
        check(
            "agent/src/loss.rs",
            "match reason { Reason::Refused => \"refused\" }",
            &[
                "packaging/doc/operations.md: Reason `refused` has no row",
                "packaging/doc/operations.md: Reason `unmatched` is not in agent/src/loss.rs",
            ],
        );
    }

    #[test]
    fn what_the_functions_publish_and_take_is_the_same_in_both_places() {
        check(
            "lambda/src/metrics/mod.rs",
            "match metric { Metric::Bytes => \"Bytes\" }",
            &[
                "README.md: CloudWatch metric `Bytes` has no row",
                "README.md: CloudWatch metric `Lines` is not in lambda/src/metrics/mod.rs",
            ],
        );
        check(
            "lambda/src/settings.rs",
            "given(\"DIMENSIONS\")",
            &[
                "README.md: Variable `DIMENSIONS` has no row",
                "README.md: Variable `NAMESPACE` is not in lambda/src/settings.rs",
            ],
        );
    }

    #[test]
    fn a_list_that_cannot_be_found_is_not_an_empty_one() {
        check(
            "agent/src/exit.rs",
            "",
            &[
                "agent/src/exit.rs: no exit code was found",
                "packaging/doc/operations.md: Exit code `78` is not in agent/src/exit.rs",
            ],
        );
    }
}
