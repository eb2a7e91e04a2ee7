//! The rules of the source tree, as tests: a rule that no test holds is not a rule.
//!
//! Each rule is a function from a [`tree::Tree`] to the list of what breaks it, one sentence with its place for each.
//! Here they run over this repository; beside each rule stands a test with a small tree that breaks it. The rules read
//! text and know nothing of what the code does.

#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/place.rs"]
mod place;
#[path = "tidy/promises.rs"]
mod promises;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/reference.rs"]
mod reference;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/walls.rs"]
mod walls;

use std::path::Path;

use tree::Tree;

/// What breaks one rule in a tree; empty when the tree keeps it.
type Rule = fn(&Tree) -> Vec<String>;

/// Every rule.
const RULES: [Rule; 7] = [
    imports::violations,
    walls::violations,
    purity::violations,
    shape::violations,
    promises::violations,
    reference::violations,
    paths::violations,
];

#[test]
fn this_repository_keeps_every_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tree = Tree::read(&root).expect("the repository can be read");
    let violations: Vec<String> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}
