//! The directory of the quarantine: its files by number, a new one, and all of them read without the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::error::JournalError;
use super::format::{Frame, HEADER};
use super::segment::scan;

/// The directory within the state directory.
pub(super) const DIRECTORY: &str = "quarantine";

/// Makes a file with a header, whose name is on the disk.
pub(super) fn create(directory: &Path, path: &Path) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let mut file = OpenOptions::new().append(true).create_new(true).open(path)?;
    let written = own(&file, directory).and_then(|()| file.write_all(HEADER));
    if let Err(error) = written.and_then(|()| File::open(directory)?.sync_all()) {
        // A full disk needs the room, and the name is needed again.
        fs::remove_file(path).ok();
        return Err(error);
    }
    if let Some(parent) = directory.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(file)
}

/// A command that root runs must not leave a file that the agent cannot write.
fn own(file: &File, directory: &Path) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        let owner = fs::metadata(directory)?;
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// The files of the quarantine, oldest first.
pub(super) fn files(directory: &Path) -> Result<BTreeMap<u64, PathBuf>, JournalError> {
    let failed = |source| JournalError::Read { path: directory.to_owned(), source };
    let mut files = BTreeMap::new();
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        listed => listed.map_err(failed)?,
    };
    for file in listed {
        let path = file.map_err(failed)?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        files.extend(number.map(|number: u64| (number, path)));
    }
    Ok(files)
}

/// Reads what the quarantine in the state directory `directory` holds, oldest first, without locking or changing it.
///
/// # Errors
/// If a file cannot be read.
pub fn load(directory: &Path, each: &mut dyn FnMut(Entry)) -> Result<(), JournalError> {
    let files = files(&directory.join(DIRECTORY))?;
    let read = |act: &mut dyn FnMut(Frame)| {
        for path in files.values() {
            match scan(path, &mut |frame| frame.into_iter().for_each(&mut *act)) {
                // It made room for others meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                scanned => {
                    scanned.map_err(|source| JournalError::Read { path: path.clone(), source })?;
                }
            }
        }
        Ok(())
    };
    let mut removed = BTreeSet::new();
    read(&mut |frame| {
        if let Frame::Removed(numbers) = frame {
            removed.extend(numbers);
        }
    })?;
    read(&mut |frame| {
        if let Frame::Kept(entry) = frame
            && !removed.contains(&entry.number)
        {
            each(entry);
        }
    })
}
