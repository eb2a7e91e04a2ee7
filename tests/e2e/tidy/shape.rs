//! What every Rust file looks like: it opens with its purpose and stays short.

use crate::source::Source;
use crate::tree::Tree;

/// Lines before the tests: what can be read in one sitting.
const LONGEST: usize = 400;

/// The files that say nothing first, and those that are too long.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    tree.sources("").iter().flat_map(|source| [purpose(source), length(source)]).flatten().collect()
}

fn purpose(source: &Source<'_>) -> Option<String> {
    (!source.text().starts_with("//! ")).then(|| format!("{}: does not open with `//!`", source.path()))
}

fn length(source: &Source<'_>) -> Option<String> {
    let lines = source.product_lines();
    (lines > LONGEST).then(|| format!("{}: {lines} lines before its tests, {LONGEST} allowed", source.path()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        tree::check(violations, &[("lambda/src/a.rs", text)], expected);
    }

    #[test]
    fn a_file_opens_with_its_purpose() {
        check("//! Cuts bytes into lines.\n", &[]);
        check("use std::fs;\n//! Too late.\n", &["lambda/src/a.rs: does not open with `//!`"]);
    }

    #[test]
    fn a_file_has_at_most_400_lines_before_its_tests() {
        let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
        check(&format!("//! A.\n{}{tests}", "\n".repeat(399)), &[]);
        check(
            &format!("//! A.\n{}{tests}", "\n".repeat(400)),
            &["lambda/src/a.rs: 401 lines before its tests, 400 allowed"],
        );
    }
}
