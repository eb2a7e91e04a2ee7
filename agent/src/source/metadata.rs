//! What the host says of itself.
//!
//! Asked once, at the start. Does not know who wants to know.

use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel tells the host's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The host has no name.
#[derive(Debug, thiserror::Error)]
#[error("the host has no name: `{path}` cannot be read or is empty, and `$HOSTNAME` is not set")]
pub struct HostNameError {
    path: PathBuf,
    /// What the system said of the file.
    #[source]
    source: Option<io::Error>,
}

/// The host's name, as the kernel knows it, else as `$HOSTNAME` says.
///
/// # Errors
/// If neither does.
pub fn host_name() -> Result<String, HostNameError> {
    find(Path::new(HOST_NAME), std::env::var("HOSTNAME").ok())
}

fn find(path: &Path, else_this: Option<String>) -> Result<String, HostNameError> {
    let is_name = |name: &String| !name.is_empty();
    let read = std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    let (told, source) = match read {
        Ok(name) => (Some(name), None),
        Err(error) => (None, Some(error)),
    };
    let name = told.filter(is_name).or_else(|| else_this.map(|name| name.trim().to_owned()).filter(is_name));
    name.ok_or_else(|| HostNameError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With this text in the kernel's file, or without the file, and this in the environment.
    #[track_caller]
    fn check(text: Option<&str>, variable: Option<&str>, expected: Option<&str>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hostname");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let found = find(&path, variable.map(str::to_owned));
        assert_eq!(found.ok().as_deref(), expected);
    }

    #[test]
    fn the_kernel_goes_before_the_environment() {
        check(Some("web-1\n"), Some("other"), Some("web-1"));
        check(Some("\n"), Some("other"), Some("other"));
        check(None, Some(" other"), Some("other"));
    }

    #[test]
    fn no_name_is_an_error() {
        check(None, None, None);
        check(Some(" \n"), Some(""), None);
    }

    #[test]
    fn this_host_has_a_name() {
        assert!(host_name().is_ok_and(|name| !name.is_empty()));
    }
}
