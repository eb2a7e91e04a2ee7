//! Builds the agent and the functions that the tests and the demo run: `cargo test` and `cargo run` build no binaries of
//! other crates.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

/// The agent's binary, built in the profile and the target directory of the running program; once per process.
///
/// # Errors
/// If it cannot be built.
pub fn agent() -> Result<&'static Path> {
    Ok(&built()?.agent)
}

/// The binary of the functions in the cloud, built like the agent's and together with it.
///
/// # Errors
/// If it cannot be built.
pub fn bootstrap() -> Result<&'static Path> {
    Ok(&built()?.bootstrap)
}

struct Built {
    agent: PathBuf,
    bootstrap: PathBuf,
}

fn built() -> Result<&'static Built> {
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_ref().map_err(|error| anyhow!(error.clone()))
}

fn build() -> Result<Built> {
    let place = Place::here()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    // The whole workspace, not single packages: with its features the dependencies are those that were built already.
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bin", "kinetail", "--bin", "bootstrap"])
        .args(["--profile", &place.profile])
        .arg("--target-dir")
        .arg(&place.target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("failed to run cargo")?;
    ensure!(status.success(), "cargo could not build the agent and the functions: {status}");
    Ok(Built { agent: place.binaries.join("kinetail"), bootstrap: place.binaries.join("bootstrap") })
}

/// The target directory of the running program.
///
/// # Errors
/// If it does not lie in one.
pub fn target() -> Result<PathBuf> {
    Ok(Place::here()?.target)
}

/// Where a program that cargo built lies.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    target: PathBuf,
    binaries: PathBuf,
    profile: String,
}

impl Place {
    fn here() -> Result<Place> {
        let running = env::current_exe().context("failed to find the running program")?;
        Place::of(&running).with_context(|| format!("`{}` is not in a target directory", running.display()))
    }

    /// Reads `…/target/PROFILE/demo` or `…/target/PROFILE/deps/delivery-0123`.
    fn of(program: &Path) -> Option<Place> {
        let parent = program.parent()?;
        let binaries = if parent.ends_with("deps") { parent.parent()? } else { parent };
        let profile = match binaries.file_name()?.to_str()? {
            "debug" => "dev",
            other => other,
        };
        Some(Place {
            target: binaries.parent()?.to_owned(),
            binaries: binaries.to_owned(),
            profile: profile.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(program: &str, binaries: &str, profile: &str) {
        let place = Place::of(Path::new(program)).unwrap();
        assert_eq!(place.binaries, Path::new(binaries));
        assert_eq!(place.target, Path::new("/w/target"));
        assert_eq!(place.profile, profile);
    }

    #[test]
    fn a_test_lies_one_folder_deeper_than_a_binary() {
        check("/w/target/debug/deps/delivery-01ab", "/w/target/debug", "dev");
        check("/w/target/release/demo", "/w/target/release", "release");
        check("/w/target/ci/deps/outage-01ab", "/w/target/ci", "ci");
    }
}
