//! The text files below one folder, read once.
//!
//! Knows which folders are not part of the source tree: what git and cargo keep for themselves, and the fixtures, which
//! hold bytes and not text. Knows no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use crate::crates::CRATES;
use crate::place::Place;
use crate::source::Source;

/// Folders whose files are not read, wherever they stand.
const LEFT_OUT: [&str; 2] = ["target", "fixtures"];

/// Text by path from the root, with `/` between the names.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads every file below `root` whose path has no hidden part.
    pub(crate) fn read(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.add(root, "")?;
        Ok(tree)
    }

    fn add(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.add(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                let bytes = fs::read(entry.path())?;
                self.files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(())
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The Rust files of the crates that are shipped, each with its place.
    pub(crate) fn crate_sources(&self) -> Vec<(Place<'_>, Source<'_>)> {
        let sources = CRATES.iter().flat_map(|krate| self.sources(krate.root));
        sources.filter_map(|source| Some((Place::of(source.path())?, source))).collect()
    }

    /// The Rust files whose path begins with `folder`, in the order of their paths.
    pub(crate) fn sources(&self, folder: &str) -> Vec<Source<'_>> {
        let sources: Vec<Source<'_>> = self
            .files
            .iter()
            .filter(|(path, _)| path.starts_with(folder) && path.ends_with(".rs"))
            .map(|(path, text)| Source::new(path, text))
            .collect();
        // `#[cfg(test)] mod tests;` makes a test of a whole other file, and of those in the folder of its name.
        let tests: BTreeSet<String> = sources.iter().flat_map(Source::test_files).collect();
        let is_part = |path: &str, test: &String| {
            test.strip_suffix("rs").is_some_and(|stem| {
                path == test || path.starts_with(&format!("{}/", stem.trim_end_matches('.')))
            })
        };
        sources
            .into_iter()
            .map(|source| {
                let is_test = tests.iter().any(|test| is_part(source.path(), test));
                if is_test { source.into_test() } else { source }
            })
            .collect()
    }
}

/// Writes a small tree into a temporary folder and reads it back.
#[cfg(test)]
pub(crate) fn fixture(files: &[(&str, &str)]) -> Tree {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Tree::read(root.path()).unwrap()
}

/// What `rule` finds in a small tree, against what it must find.
#[cfg(test)]
#[track_caller]
pub(crate) fn check(rule: crate::Rule, files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(rule(&fixture(files)), expected);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_and_git_keep_is_not_part_of_the_tree() {
        let tree =
            fixture(&[("a/b.rs", "//! B."), ("target/c.rs", ""), (".git/d.rs", ""), ("a/fixtures/e.rs", "")]);
        let paths: Vec<&str> = tree.files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["a/b.rs"]);
        assert_eq!(tree.text("a/b.rs"), Some("//! B."));
    }

    #[test]
    fn a_file_that_is_a_module_of_tests_has_no_product_lines() {
        let tree = fixture(&[
            ("a/b.rs", "#[cfg(test)]\nmod tests;\n"),
            ("a/b/tests.rs", "mod part;\n"),
            ("a/b/tests/part.rs", "fn f() {}\n"),
            ("a/c.rs", "fn f() {}\n"),
        ]);
        let lines: Vec<usize> = tree.sources("a/").iter().map(Source::product_lines).collect();
        assert_eq!(lines, [0, 0, 0, 1]);
    }
}
