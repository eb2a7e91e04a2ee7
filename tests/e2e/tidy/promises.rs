//! Every promise of the README is kept by named code and held by a named test, or says that it is not yet held.
//!
//! A promise is where the README writes `**G1 …**`; code and tests name it by the bare word `G1`.

use std::collections::BTreeSet;

use crate::source::Source;
use crate::tree::Tree;

/// Where code and tests stand.
const CODE: [&str; 3] = ["agent/", "lambda/", "tests/"];

/// The rules about promises speak of promises that nobody has made.
const LEFT_OUT: &str = "tests/e2e/tidy";

/// What a promise says of itself that has no test yet.
const NOT_YET: &str = "not yet held";

/// One promise as the README makes it.
struct Promise<'a> {
    name: &'a str,
    is_held: bool,
}

/// The promises that are not kept or not held, and those that are named but were never made.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let promises = promises(tree.text("README.md").unwrap_or_default());
    let sources: Vec<Source<'_>> = CODE
        .iter()
        .flat_map(|folder| tree.sources(folder))
        .filter(|source| !source.path().starts_with(LEFT_OUT))
        .collect();
    let in_code =
        names(sources.iter().filter(|source| !is_outside(source)).flat_map(|source| source.lines(false)));
    let in_tests = names(sources.iter().flat_map(|source| source.lines(!is_outside(source))));

    let held = || promises.iter().filter(|promise| promise.is_held);
    let unmade =
        in_code.union(&in_tests).filter(|name| promises.iter().all(|promise| promise.name != **name));
    let none = promises.is_empty().then(|| "README.md: makes no promise".to_owned());
    let unkept = held().filter(|promise| !in_code.contains(promise.name));
    let unheld = held().filter(|promise| !in_tests.contains(promise.name));
    none.into_iter()
        .chain(unkept.map(|promise| format!("README.md: no code names {}", promise.name)))
        .chain(unheld.map(|promise| format!("README.md: no test names {}", promise.name)))
        .chain(unmade.map(|name| format!("README.md: {name} is named in code but not promised")))
        .collect()
}

/// Whether a file belongs to the tests from outside, where every line is test.
fn is_outside(source: &Source<'_>) -> bool {
    source.path().starts_with("tests/")
}

/// The promises of a README; the row of one ends where the next paragraph, item or row begins.
fn promises(readme: &str) -> Vec<Promise<'_>> {
    let mut promises: Vec<Promise<'_>> = Vec::new();
    let mut in_row = false;
    for line in readme.lines() {
        let made = line.split("**").skip(1).step_by(2).find_map(|bold| words(bold).next().filter(is_promise));
        if let Some(name) = made {
            promises.push(Promise { name, is_held: true });
        }
        in_row =
            made.is_some() || (in_row && !line.trim().is_empty() && !line.starts_with(['-', '*', '|', '#']));
        if let Some(last) = promises.last_mut()
            && in_row
            && line.contains(NOT_YET)
        {
            last.is_held = false;
        }
    }
    promises
}

fn names<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    lines.flat_map(words).filter(is_promise).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|sign: char| !sign.is_alphanumeric() && sign != '_').filter(|word| !word.is_empty())
}

fn is_promise(word: &&str) -> bool {
    word.strip_prefix('G').is_some_and(|number| number.parse::<u8>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    const README: &str =
        "- **G1 Nothing is lost.** Really.\n- **G2 A crash costs repeats.**\n  It is not yet held.\n";

    #[track_caller]
    fn check(readme: &str, code: &str, test: &str, expected: &[&str]) {
        let files = [("README.md", readme), ("agent/src/loss.rs", code), ("tests/e2e/crash.rs", test)];
        tree::check(violations, &files, expected);
    }

    #[test]
    fn a_promise_is_kept_in_code_and_held_by_a_test() {
        check(README, "//! Keeps G1.", "//! Holds G1.", &[]);
        check(README, "//! Keeps it.", "//! Holds G1.", &["README.md: no code names G1"]);
        check(README, "//! Keeps G1.", "//! Holds it.", &["README.md: no test names G1"]);
    }

    #[test]
    fn a_test_beside_the_code_holds_a_promise_but_does_not_keep_it() {
        check(README, "//! G1\n#[cfg(test)]\nmod tests {\n    // G1\n}\n", "", &[]);
        check(README, "#[cfg(test)]\nmod tests {\n    // G1\n}\n", "", &["README.md: no code names G1"]);
    }

    #[test]
    fn a_promise_may_say_that_it_is_not_yet_held() {
        check("| **G3** no repeats | not yet held |\n", "", "", &[]);
        check(
            "| **G3** no repeats | held |\n| not yet held |\n",
            "//! G3",
            "",
            &["README.md: no test names G3"],
        );
    }

    #[test]
    fn code_names_no_promise_that_was_not_made() {
        check(README, "//! G1, G9", "//! G1", &["README.md: G9 is named in code but not promised"]);
    }

    #[test]
    fn a_readme_makes_promises() {
        check("# kinetail", "", "", &["README.md: makes no promise"]);
    }
}
