//! A directory of real files, a source that reads them, and the books of what came out and what is safe.
//!
//! Time is a number that is added to; nothing here waits. What comes is held against the rules that need no model:
//! no file speaks before it is known, and no byte is stepped over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::super::{
    Bell, Change, InitialPosition, LOOKS_APART, Pattern, Resume, Settings, Share, Source, System, Watch,
};
use crate::metrics::{Metric, Metrics};
use crate::position::{FileId, Generation, Mark, Offset, Position};
use crate::split::split;

const RESCAN: Duration = Duration::from_secs(2);
pub(super) const GRACE: Duration = Duration::from_secs(3600);

/// A line that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) file: FileId,
    /// What its record would say of where it is from.
    pub(super) place: (Mark, Offset),
    pub(super) text: String,
}

pub(super) struct Stage {
    directory: tempfile::TempDir,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    source: Source,
    bell: Arc<Bell>,
    now: Instant,
    /// A clock for times of modification, so that each write has its own.
    tick: u64,
    pub(super) came: Vec<Came>,
    pub(super) books: Books,
}

impl Stage {
    /// A source that starts for the first time over `files`, which are `name` and text.
    pub(super) fn new(pattern: &str, initial_position: InitialPosition, files: &[(&str, &str)]) -> Stage {
        Stage::with_open_files(usize::MAX, pattern, initial_position, files)
    }

    /// The same with so many files open at once.
    pub(super) fn with_open_files(
        open_files: usize,
        pattern: &str,
        initial_position: InitialPosition,
        files: &[(&str, &str)],
    ) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let pattern = Pattern::parse(&format!("{}/{pattern}", directory.path().display())).unwrap();
        let backlog_share = Share::of_hundred(50).unwrap();
        let settings =
            Settings { pattern, initial_position, rescan: RESCAN, grace: GRACE, backlog_share, open_files };
        let mut tick = 0;
        for (name, text) in files {
            tick += 1;
            append_at(&directory.path().join(name), text, tick);
        }
        let metrics = Arc::<Metrics>::default();
        let now = Instant::now();
        let bell = Arc::<Bell>::default();
        let source = start(&settings, Resume::FirstStart, &bell, &metrics, now);
        let mut stage = Stage {
            directory,
            settings,
            metrics,
            source,
            bell,
            now,
            tick,
            came: Vec::new(),
            books: Books::default(),
        };
        stage.hear();
        stage
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn append(&mut self, name: &str, text: &str) {
        self.tick += 1;
        append_at(&self.path(name), text, self.tick);
    }

    /// Replaces what the file holds, under the same inode.
    pub(super) fn rewrite(&mut self, name: &str, text: &str) {
        self.truncate(name, 0);
        self.append(name, text);
    }

    pub(super) fn truncate(&mut self, name: &str, len: u64) {
        self.tick += 1;
        let file = OpenOptions::new().write(true).open(self.path(name)).unwrap();
        file.set_len(len).unwrap();
        stamp(&file, self.tick);
    }

    #[expect(clippy::disallowed_methods, reason = "the files are those of a program that rotates its logs")]
    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn copy(&mut self, from: &str, to: &str) {
        self.tick += 1;
        fs::copy(self.path(from), self.path(to)).unwrap();
        stamp(&OpenOptions::new().write(true).open(self.path(to)).unwrap(), self.tick);
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Looks, so late that everything is looked at, and as if no notification had come.
    pub(super) fn look(&mut self) {
        self.pass(RESCAN);
        drop(self.bell.hints());
        self.source.look(self.now);
    }

    /// Looks only at `names`, as if they had been heard of and nothing else.
    pub(super) fn look_at(&mut self, names: &[&str]) {
        self.pass(LOOKS_APART);
        drop(self.bell.hints());
        self.source.names.extend(names.iter().map(|name| self.directory.path().join(name)));
        self.source.look(self.now);
    }

    /// Files held open.
    pub(super) fn open_files(&self) -> usize {
        self.source.files.open_files()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Reads the next chunk, and takes at most `lines` of it; says whether there was one.
    pub(super) fn read(&mut self, lines: usize) -> bool {
        let mut heard = Vec::new();
        let chunk = self.source.read(self.now, |change| heard.push(change));
        heard.into_iter().for_each(|change| self.books.hear(change));
        let Some(chunk) = chunk else { return false };
        let mut end = 0;
        for line in split(&chunk).take(lines) {
            let place = (chunk.mark(), chunk.start().advance(end));
            end = line.end();
            let text = String::from_utf8_lossy(line.bytes()).into_owned();
            self.came.push(Came { file: chunk.file(), place, text });
        }
        assert!(end > 0, "a chunk holds at least one line");
        let (file, start, end) = (chunk.file(), chunk.start().to_raw(), chunk.position(end));
        self.books.take(file, start, end);
        self.source.advance(file, end, self.now);
        true
    }

    /// Looks, and reads until nothing comes.
    pub(super) fn read_all(&mut self) {
        self.look();
        while self.read(usize::MAX) {}
    }

    /// Lets the grace time pass and reads until nothing comes; files that are leaving are finished then.
    pub(super) fn outwait(&mut self) {
        self.read_all();
        self.pass(GRACE);
        self.read_all();
        self.read_all();
    }

    /// The agent is killed and starts again from `known`.
    pub(super) fn restart(&mut self, known: Vec<Generation>) {
        self.restart_from(Resume::From(known));
    }

    pub(super) fn restart_from(&mut self, resume: Resume) {
        self.source = start(&self.settings, resume, &self.bell, &self.metrics, self.now);
        self.books = Books::default();
        self.hear();
    }

    /// The agent stops in order and starts again.
    pub(super) fn stop_and_start(&mut self) {
        self.books.ack(usize::MAX);
        let known = self.known();
        self.restart(known);
    }

    /// What a checkpoint would hold now.
    pub(super) fn known(&mut self) -> Vec<Generation> {
        self.hear();
        self.books.generations()
    }

    /// The texts that came, in order.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.came.iter().map(|came| came.text.as_str()).collect()
    }

    pub(super) fn counted(&self, metric: Metric) -> u64 {
        self.metrics.get(metric)
    }

    fn hear(&mut self) {
        for change in self.source.changes() {
            self.books.hear(change);
        }
    }
}

fn start(
    settings: &Settings,
    resume: Resume,
    bell: &Arc<Bell>,
    metrics: &Arc<Metrics>,
    now: Instant,
) -> Source {
    let watch = Watch::new(Arc::clone(bell));
    Source::start(settings.clone(), Arc::new(System), watch, resume, Arc::clone(metrics), now)
}

fn append_at(path: &Path, text: &str, tick: u64) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    stamp(&file, tick);
}

fn stamp(file: &File, tick: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + tick);
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// What is on its way and what is safe, as the checkpoint would have it.
#[derive(Default)]
pub(super) struct Books {
    known: BTreeMap<FileId, Generation>,
    read: BTreeMap<FileId, u64>,
    on_the_way: VecDeque<(FileId, Position)>,
    pub(super) ended: BTreeSet<FileId>,
}

impl Books {
    fn hear(&mut self, change: Change) {
        match change {
            Change::Known(generation) => {
                let (id, offset) = (generation.file, generation.position.offset.to_raw());
                let read = self.read.entry(id).or_insert(offset);
                *read = offset.min(*read);
                let safe = self.known.get(&id).map(|known| known.position);
                let safe = safe.filter(|safe| safe.offset.to_raw() < offset);
                self.known
                    .insert(id, Generation { position: safe.unwrap_or(generation.position), ..generation });
            }
            Change::Skipped(span) => self.take(span.file(), span.start().to_raw(), span.end()),
            Change::Ended(id) => {
                self.ended.insert(id);
            }
        }
    }

    fn take(&mut self, file: FileId, start: u64, end: Position) {
        assert!(!self.ended.contains(&file), "{file:?} speaks after its end");
        let read = self.read.insert(file, end.offset.to_raw());
        assert_eq!(read, Some(start), "{file:?} is read without a hole, and is known before");
        self.on_the_way.push_back((file, end));
    }

    /// The stream takes the oldest `count` spans.
    pub(super) fn ack(&mut self, count: usize) {
        let count = count.min(self.on_the_way.len());
        for (file, end) in self.on_the_way.drain(..count) {
            self.known.get_mut(&file).unwrap().position = end;
        }
    }

    /// What a checkpoint would hold now.
    fn generations(&self) -> Vec<Generation> {
        let open: BTreeSet<FileId> = self.on_the_way.iter().map(|(file, _)| *file).collect();
        let is_kept = |id: &FileId| !self.ended.contains(id) || open.contains(id);
        self.known.values().filter(|known| is_kept(&known.file)).cloned().collect()
    }
}
