//! What a process has used, as the kernel tells in `/proc`.
//!
//! <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>,
//! <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>,
//! <https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html>.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, part of the kernel's interface and 100 on all that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// The most that was ever resident.
    pub peak: f64,
    /// What is resident.
    pub resident: f64,
    /// The part of it that belongs to no file.
    pub anonymous: f64,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// CPU seconds, user and system.
    pub cpu_seconds: f64,
    /// Its memory.
    pub memory: Memory,
}

/// What the process has used so far.
///
/// # Errors
/// If it has ended.
pub fn of(pid: u32) -> anyhow::Result<Usage> {
    Ok(Usage { cpu_seconds: cpu_seconds(pid)?, memory: memory(pid)? })
}

/// CPU seconds that the process has used in user and system mode, all its threads together.
///
/// # Errors
/// If it has ended.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("failed to read `{path}`"))?;
    cpu_ticks(&stat)
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .with_context(|| format!("`{path}` is not understood"))
}

/// The memory of the process.
///
/// # Errors
/// If it has ended.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("failed to read `{path}`"))?;
    let mib = |key| {
        let kib = number(&status, key).with_context(|| format!("`{path}` does not tell `{key}`"))?;
        anyhow::Ok(kib / 1024.0)
    };
    Ok(Memory { peak: mib("VmHWM")?, resident: mib("VmRSS")?, anonymous: mib("RssAnon")? })
}

/// How often the threads that the process has now were put on a core and taken off again.
///
/// # Errors
/// If it has ended.
pub fn context_switches(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/task");
    let mut sum = 0.0;
    for thread in fs::read_dir(&path).with_context(|| format!("failed to list `{path}`"))? {
        let path = thread?.path().join("status");
        // A thread may have ended since it was listed.
        let Ok(status) = fs::read_to_string(&path) else { continue };
        for key in ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"] {
            sum += number(&status, key)
                .with_context(|| format!("`{}` does not tell `{key}`", path.display()))?;
        }
    }
    Ok(sum)
}

/// Files, sockets and whatever else the process holds open.
///
/// # Errors
/// If it has ended.
pub fn descriptors(pid: u32) -> anyhow::Result<usize> {
    let path = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&path).with_context(|| format!("failed to list `{path}`"))?.count())
}

/// How many files below `directory` the process has open, of which some may have been removed.
///
/// # Errors
/// If it has ended.
pub fn open_files(pid: u32, directory: &Path) -> anyhow::Result<usize> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).with_context(|| format!("failed to list `{path}`"))?;
    // A descriptor may have been closed since it was listed.
    let files = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(files.filter(|file| file.starts_with(directory)).count())
}

/// Directories and files that the process watches with inotify.
///
/// <https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html>
///
/// # Errors
/// If it has ended.
pub fn inotify_watches(pid: u32) -> anyhow::Result<usize> {
    let path = format!("/proc/{pid}/fdinfo");
    let mut sum = 0;
    for descriptor in fs::read_dir(&path).with_context(|| format!("failed to list `{path}`"))? {
        // What was open when it was listed may be closed by now.
        let text = fs::read_to_string(descriptor?.path()).unwrap_or_default();
        sum += text.lines().filter(|line| line.starts_with("inotify ")).count();
    }
    Ok(sum)
}

/// `utime` and `stime` of a `stat` file. The second field is the program's name in parentheses and may hold anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The number behind `key` in a `status` file.
fn number(status: &str, key: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// Watches a directory and the one above it.
    const WATCHER: &str = "import ctypes, os, sys\nlibc = ctypes.CDLL(None)\nwatch = libc.inotify_init()\n\
        for path in sys.argv[1], os.path.dirname(sys.argv[1]):\n\
        \tlibc.inotify_add_watch(watch, path.encode(), 0x100)\n\
        print('ready', flush=True)\nsys.stdin.read()\n";

    #[track_caller]
    fn check(stat: &str, expected: Option<f64>) {
        assert_eq!(cpu_ticks(stat), expected);
    }

    #[test]
    fn cpu_time_is_user_and_system_time_whatever_the_name() {
        check("7 (kinetail) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0", Some(300.0));
        check("7 (a) b ) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0", Some(300.0));
        check("7 (kinetail) S 1 7", None);
        check("", None);
    }

    #[test]
    fn a_number_is_found_by_its_whole_key() {
        let status = "VmHWMx:\t1 kB\nVmHWM:\t    2048 kB\nnonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t4\n";
        assert_eq!(number(status, "VmHWM"), Some(2048.0));
        assert_eq!(number(status, "voluntary_ctxt_switches"), Some(4.0));
        assert_eq!(number(status, "VmRSS"), None);
    }

    #[test]
    fn this_process_is_told_of() {
        let pid = std::process::id();
        let memory = memory(pid).unwrap();
        assert!(memory.peak >= memory.anonymous && memory.anonymous > 0.0, "{memory:?}");
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(context_switches(pid).unwrap() > 0.0);
        assert!(descriptors(pid).unwrap() > 2);
        let dir = tempfile::tempdir().unwrap();
        let _file = fs::File::create(dir.path().join("open")).unwrap();
        assert_eq!(open_files(pid, dir.path()).unwrap(), 1);
    }

    #[test]
    fn watches_are_counted_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("python3")
            .args(["-c", WATCHER])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let watches = inotify_watches(child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!((ready.as_str(), watches.unwrap()), ("ready\n", 2));
    }
}
