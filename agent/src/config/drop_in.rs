//! The files of `agent.d`, which add flows to those of the main file.
//!
//! A file that cannot be used is passed over with a warning, and the others count; a flow in it that means nothing
//! is an error like any other.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::problem::{Problem, Severity};
use crate::config::raw::{self, Document, Node, Value};

/// Reads the files of `directory` in the order of their names. Without a directory there are none.
pub(super) fn read(directory: Option<&Path>, problems: &mut Vec<Problem>) -> Vec<Document> {
    let Some(directory) = directory else { return Vec::new() };
    let files = match list(directory) {
        Ok(files) => files,
        Err(error) => {
            problems.push(Problem::error(directory, None, format!("cannot be listed: {error}")));
            return Vec::new();
        }
    };
    let mut documents = Vec::new();
    for file in files {
        if file.extension() != Some(OsStr::new("json")) {
            // The Java agent took flows from such a file.
            problems.push(Problem::warning(&file, None, "is passed over: its name does not end in `.json`"));
            continue;
        }
        match raw::read(&file) {
            Ok(document) => {
                warn(&document, problems);
                documents.push(document);
            }
            Err(problem) => {
                let text = format!("{}; the file is passed over", problem.text);
                problems.push(Problem { severity: Severity::Warning, text, ..problem });
            }
        }
    }
    documents
}

/// The flows that a file adds.
pub(super) fn flows(document: &Document) -> &[Node] {
    match document.root.get("flows").map(|entry| &entry.node.value) {
        Some(Value::List(flows)) => flows,
        Some(_) | None => &[],
    }
}

/// Notes what has no effect in a file that adds flows.
fn warn(document: &Document, problems: &mut Vec<Problem>) {
    super::warn_of_surplus(document, problems);
    for entry in &document.root.entries {
        if entry.name != "flows" {
            let text = format!("`{}` has no effect here: only `flows` is read from this file", entry.name);
            problems.push(Problem::warning(&document.file, entry.spot, text));
        } else if !matches!(entry.node.value, Value::List(_)) {
            let text =
                format!("`flows` must be a list, not {}; it is passed over", entry.node.value.describe());
            problems.push(Problem::warning(&document.file, entry.spot, text));
        }
    }
}

/// The regular files in `directory` that are not hidden, sorted by name; none if it does not exist.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        if !is_hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
