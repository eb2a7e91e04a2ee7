//! A file system in memory for one directory, small enough to be filled. Needs root, as every mount does.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// How many bytes it has room for.
const SIZE: &str = "size=256k";

/// What takes up all that is left of it.
const FILLER: &str = "filler";

/// The file system. Unmounted when dropped.
#[derive(Debug)]
pub struct Volume(PathBuf);

impl Volume {
    /// Puts an empty one over a directory.
    ///
    /// # Errors
    /// If the system refuses, as it does to all but root.
    pub fn mount(directory: PathBuf) -> Result<Volume> {
        run("mount", ["-t", "tmpfs", "-o", SIZE, "tmpfs"], &directory)?;
        Ok(Volume(directory))
    }

    /// Leaves no room for a single byte.
    ///
    /// # Errors
    /// If there still is some.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.0.join(FILLER))?;
        loop {
            match filler.write_all(&[0; 512]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("failed to fill the volume"),
            }
        }
    }

    /// Makes room again.
    ///
    /// # Errors
    /// If there was room.
    pub fn clear(&self) -> Result<()> {
        fs::remove_file(self.0.join(FILLER)).context("failed to clear the volume")
    }

    /// Lets nothing be written any more, whatever is open: as after an error of the disk.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn protect(&self) -> Result<()> {
        // A file system in which a file is open for writing can't be made read-only; so it is covered by itself.
        run("mount", ["--bind".as_ref(), self.0.as_os_str()], &self.0)?;
        run("mount", ["-o", "remount,bind,ro"], &self.0)
    }

    /// Lets it be written again.
    ///
    /// # Errors
    /// If it could be.
    pub fn unprotect(&self) -> Result<()> {
        run("umount", [] as [&str; 0], &self.0)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Once for each layer; what is still open does not matter.
        while run("umount", ["--lazy"], &self.0).is_ok() {}
    }
}

fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    directory: &Path,
) -> Result<()> {
    let output = Command::new(program).args(arguments).arg(directory).output();
    let output = output.with_context(|| format!("failed to run `{program}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program}` of `{}` failed: {said}", directory.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &Path, expected: Option<ErrorKind>) {
        assert_eq!(fs::write(path, "a").err().map(|error| error.kind()), expected);
    }

    #[test]
    fn it_is_full_or_protected_until_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let volume = Volume::mount(directory.path().to_owned()).unwrap();
        check(&file, None);
        fs::remove_file(&file).unwrap();
        volume.fill().unwrap();
        check(&file, Some(ErrorKind::StorageFull));
        volume.clear().unwrap();
        let open = File::create(&file).unwrap();
        volume.protect().unwrap();
        check(&file, Some(ErrorKind::ReadOnlyFilesystem));
        volume.unprotect().unwrap();
        check(&file, None);
        drop((open, volume));
        assert!(!file.exists());
    }
}
