//! What many files cost, in questions to the file system: as much as changes, and no more.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::super::{
    Bell, Content, Disk, InitialPosition, Kind, LOOKS_APART, Pattern, Resume, Settings, Share, Source, Stat,
    System, Watch,
};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::position::{Generation, Offset};
use crate::split::split;

const FILES: u64 = 400;
const OPEN: usize = 16;
const RESCAN: Duration = Duration::from_secs(60);

/// What the file system was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    stats: u64,
    lists: u64,
    opens: u64,
    reads: u64,
}

/// The host's file system, with an account of what it is asked.
#[derive(Debug, Default)]
struct Counting {
    stats: AtomicU64,
    lists: AtomicU64,
    opens: AtomicU64,
    reads: AtomicU64,
    open: AtomicI64,
    most_open: AtomicI64,
}

#[derive(Debug)]
struct Counted {
    content: Arc<dyn Content>,
    disk: Arc<Counting>,
}

#[derive(Debug)]
struct Door(Arc<Counting>);

impl Disk for Door {
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.0.stats.fetch_add(1, Ordering::Relaxed);
        System.stat(path)
    }

    fn stat_link(&self, path: &Path) -> io::Result<Stat> {
        self.0.stats.fetch_add(1, Ordering::Relaxed);
        System.stat_link(path)
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        System.real_path(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<io::Result<(OsString, Kind)>>> {
        self.0.lists.fetch_add(1, Ordering::Relaxed);
        System.list(directory)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn Content>> {
        let content = System.open(path)?;
        self.0.opens.fetch_add(1, Ordering::Relaxed);
        let open = self.0.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most_open.fetch_max(open, Ordering::Relaxed);
        Ok(Arc::new(Counted { content, disk: Arc::clone(&self.0) }))
    }
}

impl Content for Counted {
    fn stat(&self) -> io::Result<Stat> {
        self.disk.stats.fetch_add(1, Ordering::Relaxed);
        self.content.stat()
    }

    fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize> {
        self.disk.reads.fetch_add(1, Ordering::Relaxed);
        self.content.read_at(bytes, offset)
    }

    fn behind_hole(&self, offset: Offset) -> Offset {
        self.content.behind_hole(offset)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.disk.open.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Many {
    directory: TempDir,
    disk: Arc<Counting>,
    source: Source,
    now: Instant,
}

impl Many {
    /// A source over so many files, half of which begin alike.
    fn start(resume: impl FnOnce(&Path) -> Resume) -> Many {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..FILES {
            let first = if number % 2 == 0 { "heading\n".to_owned() } else { format!("{number}\n") };
            fs::write(directory.path().join(format!("{number}.log")), first).unwrap();
        }
        let disk = Arc::<Counting>::default();
        let now = Instant::now();
        let resume = resume(directory.path());
        let source = source(&directory, &disk, resume, now);
        Many { directory, disk, source, now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What is asked while `act` is done.
    fn asked(&mut self, act: impl FnOnce(&mut Many)) -> Asked {
        for count in [&self.disk.stats, &self.disk.lists, &self.disk.opens, &self.disk.reads] {
            count.store(0, Ordering::Relaxed);
        }
        act(self);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counting { stats, lists, opens, reads, .. } = &*self.disk;
        Asked { stats: count(stats), lists: count(lists), opens: count(opens), reads: count(reads) }
    }

    fn most_open(&self) -> usize {
        usize::try_from(self.disk.most_open.load(Ordering::Relaxed)).unwrap()
    }

    /// Looks at everything and reads to the end; says how many lines came.
    fn look(&mut self) -> usize {
        self.now += RESCAN;
        self.source.look(self.now);
        self.read()
    }

    fn look_at(&mut self, names: &[&str]) -> usize {
        self.now += LOOKS_APART;
        let names: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        self.source.names.extend(names);
        self.source.look(self.now);
        self.read()
    }

    fn read(&mut self) -> usize {
        let mut lines = 0;
        loop {
            let Some(chunk) = self.source.read(self.now, drop) else { return lines };
            let mut end = 0;
            for line in split(&chunk) {
                (lines, end) = (lines + 1, line.end());
            }
            let (file, position) = (chunk.file(), chunk.position(end));
            self.source.advance(file, position, self.now);
        }
    }
}

fn source(directory: &TempDir, disk: &Arc<Counting>, resume: Resume, now: Instant) -> Source {
    let settings = Settings {
        layout: Layout::default(),
        pattern: Pattern::parse(&format!("{}/**/*.log", directory.path().display())).unwrap(),
        initial_position: InitialPosition::Start,
        rescan: RESCAN,
        grace: Duration::from_secs(60),
        backlog_share: Share::of_hundred(50).unwrap(),
        open_files: OPEN,
    };
    let disk = Arc::new(Door(Arc::clone(disk)));
    // Watched, but by hand.
    let watch = Watch::new(Arc::<Bell>::default());
    Source::start(settings, disk, watch, resume, Arc::<Metrics>::default(), now)
}

#[test]
fn the_first_start_opens_each_file_once_and_few_at_a_time() {
    let mut many = Many::start(|_| Resume::FirstStart);
    let opens = many.disk.opens.load(Ordering::Relaxed);
    assert_eq!(opens, FILES);
    assert!(many.most_open() <= OPEN + 2, "{} were open", many.most_open());
    assert_eq!(many.read(), usize::try_from(FILES).unwrap());
    assert!(many.most_open() <= OPEN + 2, "{} were open", many.most_open());
}

/// Among them are files that begin alike: they are told apart by more than their beginning, but not each from each.
#[test]
fn a_start_after_a_lost_checkpoint_compares_no_file_with_all_others() {
    let many = Many::start(|directory| {
        for number in 0..FILES {
            fs::write(directory.join(format!("{number}.log")), format!("{number:04}\n").repeat(300)).unwrap();
        }
        Resume::From(Vec::new())
    });
    let opens = many.disk.opens.load(Ordering::Relaxed);
    let reads = many.disk.reads.load(Ordering::Relaxed);
    assert!(opens <= 2 * FILES && reads <= 12 * FILES, "{opens} opens, {reads} reads");
    assert!(many.most_open() <= OPEN + 2, "{} were open", many.most_open());
}

#[test]
fn a_restart_finds_files_that_are_gone_without_opening_all_others_for_each() {
    let mut many = Many::start(|_| Resume::FirstStart);
    many.read();
    let mut known: Vec<Generation> = Vec::new();
    for (id, tailed) in many.source.files.table.iter() {
        known.push(tailed.generation(id));
    }
    for number in 0..FILES / 2 {
        fs::remove_file(many.path(&format!("{number}.log"))).unwrap();
    }
    let asked = many.asked(|many| {
        many.source = source(&many.directory, &many.disk, Resume::From(known), many.now);
        assert_eq!(many.read(), 0);
    });
    assert!(asked.opens <= 4 * FILES && asked.lists <= 10, "{asked:?}");
}

#[test]
fn a_look_at_everything_asks_once_for_each_file_and_opens_none() {
    let mut many = Many::start(|_| Resume::FirstStart);
    many.look();
    let asked = many.asked(|many| assert_eq!(many.look(), 0));
    assert!(asked.stats <= FILES + 20, "{asked:?}");
    assert_eq!((asked.lists, asked.opens, asked.reads), (1, 0, 0));
}

#[test]
fn a_look_at_what_changed_asks_for_that_only() {
    let mut many = Many::start(|_| Resume::FirstStart);
    many.look();
    let asked = many.asked(|many| {
        fs::write(many.path("new.log"), "new\n").unwrap();
        fs::create_dir(many.path("tree")).unwrap();
        fs::write(many.path("tree/new.log"), "also new\n").unwrap();
        assert_eq!(many.look_at(&["new.log", "tree"]), 2);
    });
    assert!(asked.stats <= 40 && asked.lists <= 4 && asked.opens <= 4, "{asked:?}");
    let asked = many.asked(|many| {
        fs::remove_dir_all(many.path("tree")).unwrap();
        assert_eq!(many.look_at(&["tree/new.log", "tree"]), 0);
    });
    assert!(asked.stats <= 40 && asked.lists <= 4 && asked.opens <= 4, "{asked:?}");
}

#[test]
fn nothing_is_asked_when_nothing_happens() {
    let mut many = Many::start(|_| Resume::FirstStart);
    many.look();
    let asked = many.asked(|many| {
        for _ in 0..50 {
            many.now += Duration::from_secs(1);
            many.source.look(many.now);
            assert_eq!(many.read(), 0);
        }
    });
    assert_eq!(asked, Asked::default());
}

/// A file that begins like half of the others is compared with those that are read as far as it goes.
#[test]
fn a_tree_that_comes_and_goes_costs_what_is_in_it() {
    let mut many = Many::start(|_| Resume::FirstStart);
    many.look();
    let asked = many.asked(|many| {
        for round in 0..20 {
            fs::create_dir(many.path("tree")).unwrap();
            fs::write(many.path("tree/a.log"), format!("round {round}\n")).unwrap();
            assert_eq!(many.look_at(&["tree", "tree/a.log"]), 1, "round {round}");
            fs::remove_dir_all(many.path("tree")).unwrap();
            assert_eq!(many.look_at(&["tree/a.log", "tree"]), 0);
        }
    });
    assert!(asked.stats <= 20 * 60 && asked.opens <= 20 * 4, "{asked:?}");
}
