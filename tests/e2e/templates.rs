//! What is deployed beside the binaries: CloudFormation templates, user data of instances, the function that keeps the
//! reference file. Each is checked by its own tools, the templates also deployed in an emulator and read back.
//!
//! The checks are written in Python, with the SDK that operators' own scripts use, and stand in `templates/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kinetail_tests::python;

#[test]
fn templates_have_no_finding_of_cfn_lint() -> Result<()> {
    let templates = [files("cloudformation", "yaml")?, files("autoscaling", "yaml")?].concat();
    run("cfn-lint", &templates)?;
    Ok(())
}

#[test]
fn shell_scripts_have_no_finding_of_shellcheck() -> Result<()> {
    run("shellcheck", &files("user-data", "sh")?)?;
    Ok(())
}

#[test]
fn templates_deploy_as_they_are_documented() -> Result<()> {
    check("test_templates.py")
}

#[test]
fn instances_keep_themselves_in_the_reference_file() -> Result<()> {
    check("test_update_reference.py")
}

#[test]
fn instances_install_what_was_asked_for_or_say_why_not() -> Result<()> {
    check("test_user_data.py")
}

/// Runs one file of Python tests, which must hold some.
fn check(name: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/templates").join(name);
    let said = run("python", &[file])?;
    ensure!(said.contains("\nRan ") && !said.contains("\nRan 0 "), "no test was run:\n{said}");
    Ok(())
}

/// The files of one kind in a folder of `packaging`.
fn files(folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(folder);
    let entries = fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    ensure!(!found.is_empty(), "{} has no file of the kind {extension}", folder.display());
    Ok(found)
}

/// Runs a program of the Python environment on files and gives out what it has said on standard error.
fn run(program: &str, files: &[PathBuf]) -> Result<String> {
    let mut command = Command::new(python::program(program)?);
    // The source tree stays as it is.
    let output = command.args(files).env("PYTHONDONTWRITEBYTECODE", "1").output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "{program}: {}\n{}{said}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(said)
}
