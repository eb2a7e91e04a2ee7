//! Directory notifications to hints. The only place that knows inotify.
//!
//! A hint says "look there", nothing more: every line must come out if none ever arrives. Watches are never
//! recursive; events only mark names; what the reading itself causes is ignored; a queue that ran over or a
//! table of watches that is full means "look at everything".

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Source;
use super::discover::Scope;
use super::inspect::Question;
use crate::chain::Chain;

/// How many names are kept in mind for a reader that is busy. More mean that it is to look at everything.
pub(super) const HINTS: usize = 4096;

/// How often it is told again that the system's queue runs over.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// How many questions may wait for a reader: more than the few who may ask at once, few enough for one that hangs on a
/// dead disk.
const QUESTIONS: usize = 16;

/// Where to look.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// Something was lost: look at everything.
    pub(crate) everything: bool,
    /// It was lost as the system's queue ran over.
    overflow: bool,
    /// Names that came, went or changed.
    pub(crate) changed: BTreeSet<PathBuf>,
    /// Files that were written to.
    pub(crate) grown: BTreeSet<PathBuf>,
}

impl Hints {
    fn is_empty(&self) -> bool {
        !self.everything && self.changed.is_empty() && self.grown.is_empty()
    }
}

/// Wakes one flow's reader: when there is a hint, when somebody asks it something, or when it is to stop.
#[derive(Debug, Default)]
pub struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    hints: Hints,
    questions: VecDeque<Question>,
    stopped: bool,
}

impl State {
    fn is_quiet(&self) -> bool {
        self.hints.is_empty() && self.questions.is_empty() && !self.stopped
    }
}

impl Bell {
    /// Tells the reader to stop.
    pub fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        state.questions.clear();
        drop(state);
        self.rung.notify_all();
    }

    /// Asks the reader for something between two of its reads. There is no answer if it stops before, or if too many
    /// ask.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Source, Instant) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let question = Question::new(move |source, now| {
            // Who asked may be gone by then.
            answer.send(question(source, now)).ok();
        });
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.stopped && state.questions.len() < QUESTIONS {
            state.questions.push_back(question);
            drop(state);
            self.rung.notify_one();
        }
        answered
    }

    /// Takes the questions that have come.
    pub(super) fn questions(&self) -> VecDeque<Question> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).questions)
    }

    /// Whether the reader is to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// Takes the hints that have come; does not wait.
    pub(crate) fn hints(&self) -> Hints {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).hints)
    }

    /// Waits for a hint, at most for `patience`; then, within that, for `gather` more, so that a trickle of lines is read at
    /// once and not line by line. A question and a call to stop end both.
    pub(crate) fn wait(&self, patience: Duration, gather: Duration) {
        let began = Instant::now();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, timeout) = self
            .rung
            .wait_timeout_while(state, patience, |state| state.is_quiet())
            .unwrap_or_else(PoisonError::into_inner);
        if !timeout.timed_out() {
            let rest = gather.min(patience.saturating_sub(began.elapsed()));
            drop(
                self.rung
                    .wait_timeout_while(state, rest, |state| !state.stopped && state.questions.is_empty()),
            );
        }
    }

    pub(super) fn ring(&self, hint: impl FnOnce(&mut Hints)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = state.hints.is_empty();
        hint(&mut state.hints);
        if state.hints.changed.len() + state.hints.grown.len() > HINTS {
            state.hints = Hints { everything: true, overflow: state.hints.overflow, ..Hints::default() };
        }
        if was_empty && !state.hints.is_empty() {
            drop(state);
            self.rung.notify_one();
        }
    }
}

/// The watches of one flow, and the bell that they ring.
#[derive(Debug)]
pub struct Watch {
    pub(super) bell: Arc<Bell>,
    ear: Ear,
    /// Which directory, by device and inode, was watched under a name. A directory that went and came back has its old
    /// name, but no watch.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// Directories that could not be watched, so that each is told once.
    refused: BTreeSet<PathBuf>,
    /// When it was last told that the queue ran over.
    overflow_told: Option<Instant>,
}

/// What hears notifications.
#[derive(Debug)]
enum Ear {
    /// Nothing: the file system tells nothing.
    Deaf,
    /// The system has none left to give.
    Lacking,
    /// This, with its watches.
    Open(RecommendedWatcher),
}

impl Watch {
    /// Watches for `bell`. Where the system has no notification left to give, there are no hints, and the source looks
    /// every second.
    #[must_use]
    pub fn new(bell: Arc<Bell>) -> Watch {
        let ear = listen(&bell).unwrap_or_else(|error| {
            warn!(error = %Chain(&error), "no file notifications (see the sysctl fs.inotify.max_user_instances); \
                  will look every second instead");
            Ear::Lacking
        });
        Watch { ear, ..Watch::deaf(bell) }
    }

    /// Watches nothing: for a file system that tells nothing.
    #[must_use]
    pub fn deaf(bell: Arc<Bell>) -> Watch {
        Watch {
            bell,
            ear: Ear::Deaf,
            watched: BTreeMap::new(),
            refused: BTreeSet::new(),
            overflow_told: None,
        }
    }

    /// Takes the hints that have come.
    pub(crate) fn hints(&mut self, now: Instant) -> Hints {
        let hints = self.bell.hints();
        let is_told = self.overflow_told.is_some_and(|told| now.saturating_duration_since(told) < TELL_AGAIN);
        if hints.overflow && !is_told {
            self.overflow_told = Some(now);
            warn!(
                "file notifications came faster than they are taken, and some are lost (see the sysctl \
                   fs.inotify.max_queued_events); looks at everything instead"
            );
        }
        if hints.everything {
            // What was lost may be that a directory gave way to another with its number.
            self.renew(&Scope::Everything);
        }
        hints
    }

    /// Lets go of the watches within `scope`: what is there now may be another directory with the number of the first.
    pub(crate) fn renew(&mut self, scope: &Scope) {
        let paths: Vec<PathBuf> = scope.of(&self.watched).map(|(path, _)| path.clone()).collect();
        paths.iter().for_each(|path| self.unwatch(path));
    }

    fn unwatch(&mut self, path: &Path) {
        if let Ear::Open(watcher) = &mut self.ear {
            // A directory that is gone took its watch with it; then there is nothing to remove.
            watcher.unwatch(path).ok();
        }
        self.watched.remove(path);
    }

    /// Watches exactly `directories` within `scope`; says whether one was not watched until now: then they must be
    /// listed again, as what appeared in it before was not heard.
    pub(crate) fn follow(&mut self, scope: &Scope, directories: &BTreeSet<PathBuf>) -> bool {
        if let Ear::Lacking = self.ear
            && let Ok(ear) = listen(&self.bell)
        {
            self.ear = ear;
            info!("file notifications are there again");
        }
        let gone = scope.of(&self.watched).map(|(path, _)| path).filter(|path| !directories.contains(*path));
        gone.cloned().collect::<Vec<_>>().iter().for_each(|path| self.unwatch(path));
        let was_complete = self.refused.is_empty();
        if let Scope::Everything = scope {
            self.refused.retain(|path| directories.contains(path));
        }
        let mut added = false;
        for path in directories {
            // One that is gone by now is found missing by the next look.
            let Ok(metadata) = fs::metadata(path) else { continue };
            let identity = (metadata.dev(), metadata.ino());
            match self.watched.get(path) {
                Some(known) if *known == identity => continue,
                Some(_) => self.unwatch(path),
                None => {}
            }
            let Ear::Open(watcher) = &mut self.ear else { return false };
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    added = true;
                    self.refused.remove(path);
                    self.watched.insert(path.clone(), identity);
                }
                Err(error) => {
                    let is_first = self.refused.is_empty();
                    if self.refused.insert(path.clone()) && is_first {
                        warn!(file = %path.display(), error = %Chain(&error),
                              "could not watch directory (see the sysctl fs.inotify.max_user_watches); \
                               will look every second instead");
                    }
                }
            }
        }
        if !was_complete && self.refused.is_empty() {
            info!("every directory is watched again");
        }
        added
    }

    /// Whether every directory is watched.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.ear, Ear::Open(_)) && self.refused.is_empty()
    }
}

fn listen(bell: &Arc<Bell>) -> notify::Result<Ear> {
    let rung = Arc::clone(bell);
    notify::recommended_watcher(move |event| hear(&rung, event)).map(Ear::Open)
}

/// Turns an event into a hint.
fn hear(bell: &Bell, event: notify::Result<notify::Event>) {
    let Ok(event) = event else {
        bell.ring(|hints| hints.everything = true);
        return;
    };
    if event.need_rescan() {
        bell.ring(|hints| (hints.everything, hints.overflow) = (true, true));
        return;
    }
    match event.kind {
        // Our own opening and reading raise these.
        EventKind::Access(_) => {}
        EventKind::Modify(ModifyKind::Data(_)) => {
            bell.ring(|hints| hints.grown.extend(event.paths.iter().cloned()))
        }
        EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Modify(_)
        | EventKind::Any
        | EventKind::Other => bell.ring(|hints| hints.changed.extend(event.paths)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn follow(watch: &mut Watch, directory: &Path) -> bool {
        watch.follow(&Scope::Everything, &BTreeSet::from([directory.to_owned()]))
    }

    #[track_caller]
    fn check(act: impl FnOnce(&Path), heard: impl Fn(&Hints, &Path) -> bool) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::write(root.join("old"), "x").unwrap();
        let bell = Arc::new(Bell::default());
        let mut watch = Watch::new(Arc::clone(&bell));
        assert!(follow(&mut watch, &root));
        act(&root);
        bell.wait(PATIENCE, Duration::from_millis(50));
        let hints = bell.hints();
        assert!(heard(&hints, &root), "{hints:?}");
    }

    #[test]
    fn a_new_file_is_heard() {
        check(
            |root| fs::write(root.join("new"), "x").unwrap(),
            |hints, root| hints.changed.contains(&root.join("new")),
        );
    }

    #[test]
    fn growth_is_heard_as_growth_only() {
        check(
            |root| {
                let mut file = fs::OpenOptions::new().append(true).open(root.join("old")).unwrap();
                std::io::Write::write_all(&mut file, b"more\n").unwrap();
            },
            |hints, root| hints.grown.contains(&root.join("old")) && hints.changed.is_empty(),
        );
    }

    #[test]
    fn reading_is_not_heard() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "x").unwrap();
        let bell = Arc::new(Bell::default());
        let mut watch = Watch::new(Arc::clone(&bell));
        follow(&mut watch, directory.path());
        fs::read(&path).unwrap();
        // The write comes after the read, so when it is heard the read would have been heard too.
        fs::write(directory.path().join("marker"), "x").unwrap();
        bell.wait(PATIENCE, Duration::from_millis(50));
        let hints = bell.hints();
        assert!(!hints.changed.contains(&path), "{hints:?}");
        assert!(hints.changed.contains(&directory.path().join("marker")), "{hints:?}");
    }

    #[test]
    fn a_directory_that_went_and_came_back_is_watched_again() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let bell = Arc::new(Bell::default());
        let mut watch = Watch::new(Arc::clone(&bell));
        assert!(follow(&mut watch, &logs));
        assert!(!follow(&mut watch, &logs));
        // The old one stays, so that the new one cannot have its inode.
        #[expect(clippy::disallowed_methods, reason = "the test rotates a directory")]
        fs::rename(&logs, directory.path().join("old")).unwrap();
        fs::create_dir(&logs).unwrap();
        assert!(follow(&mut watch, &logs));
        bell.hints();
        fs::write(logs.join("new"), "x").unwrap();
        bell.wait(PATIENCE, Duration::from_millis(50));
        assert!(bell.hints().changed.contains(&logs.join("new")));
    }

    /// The number of a directory that is gone is used again at once.
    #[test]
    fn what_is_renewed_is_watched_again_and_the_rest_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "b/c", "bc"].map(|name| directory.path().join(name));
        paths.iter().for_each(|path| fs::create_dir(path).unwrap());
        let mut watch = Watch::new(Arc::default());
        assert!(watch.follow(&Scope::Everything, &paths.iter().cloned().collect()));
        let scope = Scope::Names(BTreeSet::from([directory.path().join("b")]));
        watch.renew(&scope);
        let left: Vec<&PathBuf> = watch.watched.keys().collect();
        assert_eq!(left, [&paths[0], &paths[3]]);
        assert!(watch.follow(&scope, &BTreeSet::from([paths[1].clone()])));
        let watched: Vec<&PathBuf> = watch.watched.keys().collect();
        assert_eq!(watched, [&paths[0], &paths[1], &paths[3]]);
        assert!(watch.is_complete());
    }

    #[test]
    fn what_was_lost_lets_go_of_every_watch() {
        let directory = tempfile::tempdir().unwrap();
        let bell = Arc::new(Bell::default());
        let mut watch = Watch::new(Arc::clone(&bell));
        assert!(follow(&mut watch, directory.path()));
        hear(&bell, Ok(notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        let hints = watch.hints(Instant::now());
        assert!(hints.everything && hints.overflow, "{hints:?}");
        assert!(follow(&mut watch, directory.path()));
    }

    #[test]
    fn too_many_hints_are_one() {
        let bell = Bell::default();
        for number in 0..=HINTS {
            bell.ring(|hints| hints.grown.extend([PathBuf::from(format!("/{number}"))]));
        }
        let hints = bell.hints();
        assert!(hints.everything && hints.grown.is_empty());
    }

    #[test]
    fn a_question_ends_the_waiting() {
        let bell = Bell::default();
        drop(bell.ask(|_, _| ()));
        bell.wait(Duration::from_secs(3600), Duration::from_secs(3600));
        assert_eq!(bell.questions().len(), 1);
    }

    #[test]
    fn only_so_many_questions_wait_and_none_at_one_who_has_stopped() {
        let bell = Bell::default();
        let mut answers: Vec<_> = (0..=QUESTIONS).map(|_| bell.ask(|_, _| ())).collect();
        let is_closed = |answer: &mut oneshot::Receiver<()>| {
            answer.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        assert_eq!(answers.iter_mut().filter_map(|answer| is_closed(answer).then_some(())).count(), 1);
        bell.stop();
        assert!(answers.iter_mut().all(is_closed) && is_closed(&mut bell.ask(|_, _| ())));
    }

    #[test]
    fn what_gathers_is_not_waited_for_longer_than_for_a_hint() {
        let bell = Bell::default();
        bell.ring(|hints| hints.everything = true);
        bell.wait(Duration::from_millis(1), Duration::from_secs(3600));
        assert!(bell.hints().everything);
    }

    #[test]
    fn a_bell_that_is_stopped_does_not_wait() {
        let bell = Bell::default();
        bell.stop();
        bell.wait(Duration::from_secs(3600), Duration::from_secs(3600));
        assert!(bell.is_stopped());
    }
}
