//! A directory of files, real or simulated, a source that reads them, and the books of what came out and what is safe.
//!
//! Time is a number that is added to; nothing here waits. What comes is held against the rules that need no model:
//! no file speaks before it is known, and no byte is stepped over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{
    Bell, Change, InitialPosition, LOOKS_APART, Pattern, Resume, Scope, Settings, Share, Source, Stat, System,
};
use super::ground::{Ground, Writer};
use super::simulated::Simulated;
use crate::layout::Layout;
use crate::metrics::{Metric, Metrics};
use crate::position::{FileId, Generation, Mark, Offset, Position};
use crate::split::{Role, split};

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
    /// Removes the real files in the end.
    directory: Option<tempfile::TempDir>,
    root: PathBuf,
    ground: Box<dyn Ground>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    /// None while the agent is down.
    source: Option<Source>,
    bell: Arc<Bell>,
    /// What a kernel would have told since the last look at everything, the oldest first.
    untold: VecDeque<Untold>,
    pub(super) now: Instant,
    /// A clock for times of modification, so that each write has its own.
    tick: i64,
    pub(super) came: Vec<Came>,
    pub(super) books: Books,
}

impl Stage {
    /// A source that starts for the first time over real `files`, which are `name` and text.
    pub(super) fn new(pattern: &str, initial_position: InitialPosition, files: &[(&str, &str)]) -> Stage {
        Stage::with(Layout::default(), pattern, initial_position, files)
    }

    /// The same with files whose bytes fall into records by `layout`.
    pub(super) fn with(
        layout: Layout,
        pattern: &str,
        initial_position: InitialPosition,
        files: &[(&str, &str)],
    ) -> Stage {
        Stage::changed(|settings| settings.layout = layout, pattern, initial_position, files)
    }

    /// The same with so many files open at once.
    pub(super) fn with_open_files(
        open_files: usize,
        pattern: &str,
        initial_position: InitialPosition,
        files: &[(&str, &str)],
    ) -> Stage {
        Stage::changed(|settings| settings.open_files = open_files, pattern, initial_position, files)
    }

    fn changed(
        change: impl FnOnce(&mut Settings),
        pattern: &str,
        initial_position: InitialPosition,
        files: &[(&str, &str)],
    ) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        let mut stage = Stage::set(pattern, initial_position, Box::new(System), &root);
        stage.directory = Some(directory);
        change(&mut stage.settings);
        files.iter().for_each(|(name, text)| stage.append(name, text));
        stage.restart_from(Resume::FirstStart);
        stage
    }

    /// A source that starts for the first time over simulated files.
    pub(super) fn simulated(pattern: &str, simulated: Simulated) -> Stage {
        let mut stage = Stage::set(pattern, InitialPosition::Start, Box::new(simulated), Path::new("/"));
        stage.restart_from(Resume::FirstStart);
        stage
    }

    fn set(pattern: &str, initial_position: InitialPosition, ground: Box<dyn Ground>, root: &Path) -> Stage {
        let pattern = Pattern::parse(root.join(pattern).to_str().unwrap()).unwrap();
        let backlog_share = Share::of_hundred(50).unwrap();
        let settings = Settings {
            pattern,
            initial_position,
            rescan: RESCAN,
            grace: GRACE,
            backlog_share,
            layout: Layout::default(),
            open_files: usize::MAX,
        };
        Stage {
            directory: None,
            root: root.to_owned(),
            ground,
            settings,
            metrics: Arc::default(),
            source: None,
            bell: Arc::default(),
            untold: VecDeque::new(),
            now: Instant::now(),
            tick: 1_700_000_000_000,
            came: Vec::new(),
            books: Books::default(),
        }
    }

    /// The source, which the agent is up with.
    pub(super) fn source(&mut self) -> &mut Source {
        self.source.as_mut().unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn append(&mut self, name: &str, text: &str) {
        self.write(name, text.as_bytes());
    }

    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) {
        let time = self.tick();
        self.note_grown(name);
        self.ground.append(&self.path(name), bytes, time).unwrap();
    }

    /// Opens a file as a process does that writes to it.
    pub(super) fn open_to_write(&self, name: &str) -> Box<dyn Writer> {
        self.ground.open_to_write(&self.path(name)).unwrap()
    }

    /// Writes to a file that a process has open under no name, so that nothing is heard of it.
    pub(super) fn append_to(&mut self, writer: &dyn Writer, text: &str) {
        let time = self.tick();
        writer.append(text.as_bytes(), time).unwrap();
    }

    /// Makes a file with this time of modification, as a compressor does.
    pub(super) fn write_as_of(&self, name: &str, bytes: &[u8], modified: i64) {
        self.ground.append(&self.path(name), bytes, modified).unwrap();
    }

    /// Replaces what the file holds, under the same inode.
    pub(super) fn rewrite(&mut self, name: &str, text: &str) {
        self.truncate(name, 0);
        self.append(name, text);
    }

    pub(super) fn truncate(&mut self, name: &str, len: u64) {
        let time = self.tick();
        self.note_grown(name);
        self.ground.set_len(&self.path(name), len, time).unwrap();
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.note_changed(from);
        self.note_changed(to);
        self.ground.rename(&self.path(from), &self.path(to)).unwrap();
    }

    pub(super) fn copy(&mut self, from: &str, to: &str) {
        let time = self.tick();
        self.note_grown(to);
        self.ground.copy(&self.path(from), &self.path(to), time).unwrap();
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.note_changed(name);
        self.ground.remove(&self.path(name)).unwrap();
    }

    pub(super) fn link(&mut self, from: &str, to: &str) {
        self.note_changed(to);
        self.ground.link(&self.path(from), &self.path(to)).unwrap();
    }

    pub(super) fn symlink(&mut self, target: &str, name: &str) {
        self.note_changed(name);
        self.ground.symlink(&self.path(target), &self.path(name)).unwrap();
    }

    pub(super) fn make_directory(&self, name: &str) {
        self.ground.make_directory(&self.path(name)).unwrap();
    }

    pub(super) fn stat(&self, name: &str) -> Stat {
        self.ground.disk().stat(&self.path(name)).unwrap()
    }

    fn tick(&mut self) -> i64 {
        self.tick += 1000;
        self.tick
    }

    /// Looks, so late that everything is looked at, and as if no notification had come.
    pub(super) fn look(&mut self) {
        self.glance(RESCAN);
    }

    /// Looks after `time`, as if no notification had come. If that is shorter than until the next look at everything,
    /// no file is looked at for its own sake.
    pub(super) fn glance(&mut self, time: Duration) {
        self.pass(time);
        drop(self.bell.hints());
        self.untold.clear();
        self.source.as_mut().unwrap().look(self.now);
    }

    /// Looks only at `names`, as if they had been heard of and nothing else.
    pub(super) fn look_at(&mut self, names: &[&str]) {
        self.pass(LOOKS_APART);
        drop(self.bell.hints());
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let now = self.now;
        self.source().names.extend(paths);
        self.source().look(now);
    }

    /// Looks when the oldest `count` notifications have come of those that a kernel would have given; says where, or nothing
    /// if none were left.
    pub(super) fn look_where_told(&mut self, count: usize) -> Option<Scope> {
        let told = self.untold.drain(..count.min(self.untold.len())).collect::<Vec<_>>();
        if told.is_empty() {
            return None;
        }
        self.pass(LOOKS_APART);
        let watched = self.source().tree.directories(&Scope::Everything);
        let is_watched = |path: &Path| path.parent().is_some_and(|parent| watched.contains(parent));
        let mut names = BTreeSet::new();
        for untold in told {
            match untold {
                Untold::Changed(path) if is_watched(&path) => {
                    names.insert(path.clone());
                    self.bell.ring(|hints| hints.changed.extend([path]));
                }
                Untold::Grown(path) if is_watched(&path) => {
                    self.bell.ring(|hints| hints.grown.extend([path]))
                }
                Untold::Changed(_) | Untold::Grown(_) => {}
            }
        }
        let now = self.now;
        let scope = if self.source().due <= now { Scope::Everything } else { Scope::Names(names) };
        self.source().look(now);
        Some(scope)
    }

    /// A name appears, disappears or leads elsewhere.
    fn note_changed(&mut self, name: &str) {
        self.untold.push_back(Untold::Changed(self.path(name)));
    }

    /// A file is written to, or made for that.
    fn note_grown(&mut self, name: &str) {
        let path = self.path(name);
        let is_there = self.ground.disk().stat(&path).is_ok();
        self.untold.push_back(if is_there { Untold::Grown(path) } else { Untold::Changed(path) });
    }

    /// Files held open.
    pub(super) fn open_files(&mut self) -> usize {
        self.source().files.open_files()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Reads the next chunk, and takes at most `lines` of it, of which those come that are records; says whether there
    /// was one.
    pub(super) fn read(&mut self, lines: usize) -> bool {
        let mut heard = Vec::new();
        let source = self.source.as_mut().unwrap();
        let chunk = source.read(self.now, |change| heard.push(change));
        heard.into_iter().for_each(|change| self.books.hear(change));
        let Some(chunk) = chunk else { return false };
        let (mut end, mut footer) = (0, None);
        for line in split(&chunk).take(lines) {
            let start = chunk.start().advance(end);
            end = line.end();
            match line.role() {
                Role::Record => {
                    let text = String::from_utf8_lossy(line.bytes()).into_owned();
                    self.came.push(Came { file: chunk.file(), place: (chunk.mark(), start), text });
                }
                Role::Footer => footer = Some(start),
                Role::Header | Role::Rest => {}
            }
        }
        assert!(end > 0, "a chunk holds at least one line");
        let (file, start, end) = (chunk.file(), chunk.start().to_raw(), chunk.position(end));
        self.books.take(file, start, end);
        source.advance(file, end, self.now);
        if let Some(footer) = footer {
            source.end_records(file, footer);
            source.read_again(file);
        }
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
        self.kill();
        let watch = self.ground.watch(Arc::clone(&self.bell));
        let (settings, metrics) = (self.settings.clone(), Arc::clone(&self.metrics));
        self.source = Some(Source::start(settings, self.ground.disk(), watch, resume, metrics, self.now));
        self.hear();
    }

    /// The agent is gone, with every file that it had open.
    pub(super) fn kill(&mut self) {
        self.source = None;
        self.books = Books::default();
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

    pub(super) fn hear(&mut self) {
        for change in self.source.iter_mut().flat_map(Source::changes) {
            self.books.hear(change);
        }
    }
}

/// What a kernel would tell.
enum Untold {
    /// A name came, went or leads elsewhere.
    Changed(PathBuf),
    /// A file was written to.
    Grown(PathBuf),
}

/// A span that the stream was offered.
struct OnTheWay {
    file: FileId,
    end: Position,
    is_acked: bool,
}

/// What is on its way and what is safe, as the checkpoint would have it.
#[derive(Default)]
pub(super) struct Books {
    known: BTreeMap<FileId, Generation>,
    read: BTreeMap<FileId, u64>,
    on_the_way: VecDeque<OnTheWay>,
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
        self.on_the_way.push_back(OnTheWay { file, end, is_acked: false });
    }

    /// The stream takes the oldest `count` spans.
    pub(super) fn ack(&mut self, count: usize) {
        self.ack_behind(0, count);
    }

    /// The stream takes `count` spans, but not the oldest `kept` of them yet.
    pub(super) fn ack_behind(&mut self, kept: usize, count: usize) {
        self.on_the_way.iter_mut().skip(kept).take(count).for_each(|span| span.is_acked = true);
        let mut open = BTreeSet::new();
        self.on_the_way.retain(|span| {
            let is_safe = span.is_acked && !open.contains(&span.file);
            if is_safe {
                self.known.get_mut(&span.file).unwrap().position = span.end;
            } else {
                open.insert(span.file);
            }
            !is_safe
        });
    }

    /// The files that are known, or were since the start.
    pub(super) fn files(&self) -> impl Iterator<Item = FileId> {
        self.known.keys().copied()
    }

    /// What a checkpoint would hold now.
    fn generations(&self) -> Vec<Generation> {
        let open: BTreeSet<FileId> = self.on_the_way.iter().map(|span| span.file).collect();
        let is_kept = |id: &FileId| !self.ended.contains(id) || open.contains(id);
        self.known.values().filter(|known| is_kept(&known.file)).cloned().collect()
    }
}
