//! A group of processes that may use so much memory: who goes beyond it is killed by the kernel. Takes root, and a kernel that
//! lets groups be made.
//!
//! The kernel counts what the group was the first to read of files, too, but drops that before it kills.
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory>,
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// Where version 2 has its groups.
const UNIFIED: &str = "/sys/fs/cgroup";
/// Where version 1 has those for memory.
const MEMORY: &str = "/sys/fs/cgroup/memory";

/// How the system says that nobody may make a group.
const NOBODY: [ErrorKind; 3] =
    [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];

/// The group. Removed when dropped, by when nobody may be in it any more.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// A group whose processes may use `bytes` together; nothing where nobody may make one, as in most containers.
    ///
    /// # Errors
    /// If one can be made, but not be bounded.
    pub fn bounded(bytes: u64) -> Result<Option<Cgroup>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("kinetail-tests-{}-{number}", std::process::id());
        let controllers = Path::new(UNIFIED).join("cgroup.controllers");
        let (parent, bound) = match fs::read_to_string(controllers) {
            Ok(controllers) if controllers.split_ascii_whitespace().any(|name| name == "memory") => {
                match fs::write(Path::new(UNIFIED).join("cgroup.subtree_control"), "+memory") {
                    Err(error) if NOBODY.contains(&error.kind()) => return Ok(None),
                    // Another test may have done it.
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                    written => written.context("failed to have memory bounded")?,
                }
                (UNIFIED, "memory.max")
            }
            _ => (MEMORY, "memory.limit_in_bytes"),
        };
        let group = Path::new(parent).join(name);
        match fs::create_dir(&group) {
            Err(error) if NOBODY.contains(&error.kind()) => return Ok(None),
            made => made.with_context(|| format!("failed to make the group `{}`", group.display()))?,
        }
        let group = Cgroup(group);
        fs::write(group.0.join(bound), bytes.to_string())
            .with_context(|| format!("failed to bound `{}`", group.0.display()))?;
        Ok(Some(group))
    }

    /// The words before a program that is to be in the group from its first moment.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let enter = format!("echo $$ > {} && exec \"$0\" \"$@\"", self.0.join("cgroup.procs").display());
        ["sh", "-c", &enter].map(OsString::from).into()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // One that somebody is in stays, and does no harm.
        fs::remove_dir(&self.0).unwrap_or_default();
    }
}
