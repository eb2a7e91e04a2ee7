//! Where a flow's files are when it starts, and from where each is read.
//!
//! Everything that is there is taken up before the first byte is read; from then on `files` keeps watch over it. (G2)

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::backlog::Resumed;
use super::discover::Found;
use super::evidence::{self, Opened};
use super::files::Files;
use super::search;
use super::sights::Sights;
use super::table::Tailed;
use super::{InitialPosition, Resume};
use crate::metrics::Metric;
use crate::position::{FileId, Generation, Offset, Position};

impl Files {
    /// Takes up the files of the last run where they are now, then those that are new; gives all that may have
    /// bytes to read, the oldest first.
    pub(crate) fn start(&mut self, resume: Resume, found: &Found, now: Instant) -> Vec<FileId> {
        match resume {
            Resume::FirstStart => {
                self.refuse_unreadable(found);
                found.files.iter().for_each(|path| self.begin(path, now));
            }
            Resume::From(known) => {
                known.iter().filter(|known| known.beside).for_each(|copy| self.remember_copy(copy));
                let (disk, pattern) = (Arc::clone(&self.disk), self.settings.pattern.clone());
                let mut sights = Sights::new(&*disk, pattern.literal_prefix(), &found.files);
                let resumed = known.iter().filter(|known| !known.beside);
                let resumed: Vec<Resumed<'_>> = resumed
                    .map(|known| Resumed { known, at: self.resume(known, &mut sights, now) })
                    .collect();
                self.look(found, now);
                self.catch_up(&resumed, now);
            }
        }
        let mut ready: Vec<(i64, FileId)> =
            self.table.iter().map(|(id, tailed)| (tailed.modified, id)).collect();
        ready.sort_unstable();
        ready.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes up a file that is there at the flow's first start.
    fn begin(&mut self, path: &Path, now: Instant) {
        let Some(opened) = self.open(path) else { return };
        // Of several names for one file the first counts.
        if self.known(&opened.stat).is_some() {
            return;
        }
        let position = match self.settings.initial_position {
            InitialPosition::Start => Ok(Position::default()),
            InitialPosition::End => evidence::behind_last_newline(&*opened.file, opened.stat.size),
        };
        match position {
            Ok(position) => {
                self.admit(path, opened, position, None, now);
            }
            Err(error) => self.refuse(path, &error),
        }
    }

    /// Finds a file of the last run again, and goes on in it; says where it is.
    pub(super) fn resume(
        &mut self,
        known: &Generation,
        sights: &mut Sights<'_>,
        now: Instant,
    ) -> Option<PathBuf> {
        let (path, position) = (&known.path, known.position);
        let offset = position.offset.to_raw();
        let unread = known.unread();
        match search::find(&*self.disk, known, sights, self.settings.pattern.literal_prefix(), &[]) {
            // What is still open is another file, which only begins alike.
            search::Outcome::Same(at, opened) if !self.is_open_elsewhere(&at, &opened) => {
                self.go_on(known, &at, *opened, now);
                return Some(at);
            }
            search::Outcome::Unfinished(unfinished) => {
                let at = unfinished.path.clone();
                info!(file = %at.display(), from = %path.display(), offset,
                      "file is compressed; waits until its archive can be read");
                self.table.remember(known.clone());
                self.await_archive(known.clone(), unfinished, now);
                return Some(at);
            }
            search::Outcome::Altered(altered, at, opened) => {
                self.tell_altered(path, altered, unread, offset);
                // Where it was cut in the middle, what it begins with was read before.
                let is_read_again =
                    self.settings.pattern.matches(&at) && evidence::begins_with(&*opened.file, known.first);
                if is_read_again && position.offset != Offset::START {
                    self.metrics.add(Metric::FilesReread, 1);
                }
                self.table.remember(known.clone());
            }
            search::Outcome::Unreadable(error) => {
                self.refuse(path, &error);
                self.withhold(known);
            }
            search::Outcome::Same(..) | search::Outcome::Gone => {
                // Its copy may still appear.
                self.table.remember(known.clone());
                self.metrics.add(Metric::BytesLost, unread);
                if unread > 0 {
                    error!(file = %path.display(), offset, bytes = unread,
                           "file is gone, and what was not read of it is lost");
                } else {
                    info!(file = %path.display(), offset, "file is gone, read to its end");
                }
            }
        }
        None
    }

    /// Goes on in a file of an earlier time, which is at `at` now.
    pub(super) fn go_on(&mut self, known: &Generation, at: &Path, opened: Opened, now: Instant) -> FileId {
        let position = known.position;
        if let Some(id) = self.known(&opened.stat) {
            // Two files of the last run are one now, its copy: it is read from where the less read one was.
            // Or two generations of one inode, the earlier not safe yet: what it holds now is the later one.
            let is_inode = opened.identity.inode == known.identity.inode;
            let is_elsewhere =
                |tailed: &Tailed| known.mark.is_none_or(|mark| mark.place != tailed.mark.place);
            if self
                .table
                .get(id)
                .is_some_and(|tailed| tailed.start != position.offset && is_elsewhere(tailed))
            {
                self.metrics.add(Metric::FilesReread, 1);
                warn!(file = %at.display(), from = %known.path.display(),
                      "file is a copy of another one as well; reads again what was read of only one of them");
            }
            self.table.edit(id, |tailed| {
                // What this run has read of it from its start on is not read once more.
                if position.offset < tailed.start {
                    tailed.cursor.advance(position);
                    tailed.start = position.offset;
                }
                tailed.mark = known.mark.filter(|_| is_inode).unwrap_or(tailed.mark);
            });
            self.table.tell(id);
            return id;
        }
        self.tell_cut(at, known.size, opened.stat.size);
        let id = self.admit(at, opened, position, known.mark, now);
        self.table.set_footer(id, known.footer);
        info!(file = %at.display(), file_id = id.to_raw(), offset = position.offset.to_raw(), "goes on in file");
        let in_reach = self.settings.pattern.matches(at);
        self.table.edit(id, |tailed| tailed.in_reach = in_reach);
        if at != known.path {
            self.mark_leaving(id, now);
        }
        self.table.edit(id, |tailed| tailed.leaving |= known.leaving);
        id
    }
}
