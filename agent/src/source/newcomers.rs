//! Files with an unknown inode: new ones, and copies of what is known.
//!
//! Where their bytes come from `search` finds out; here it is done: a new file is read from its beginning, a copy from
//! where its original was left, and one whose original is whole is left alone. (G1, G3)

use std::io;
use std::path::Path;

use tokio::time::Instant;
use tracing::{info, warn};

use super::disk::Content as _;
use super::evidence::{self, Opened};
use super::files::{Files, Met};
use super::search::{self, Origin};
use super::table::Begun;
use crate::metrics::Metric;
use crate::position::{FileId, Head, Mark, Offset, Position};

/// From where a newcomer is read.
#[derive(Debug, Default)]
struct Beginning {
    position: Position,
    mark: Option<Mark>,
    footer: Option<Offset>,
}

impl Files {
    /// Takes up a file with an unknown inode: a new one, or a copy of one that is known. Gives what it is read as, if it
    /// is.
    pub(super) fn identify(
        &mut self,
        path: &Path,
        opened: Opened,
        met: &mut Met,
        now: Instant,
    ) -> Option<FileId> {
        // The name may have led elsewhere a moment ago.
        if let Some(id) = self.meet(path, &opened.stat, met, now) {
            return Some(id);
        }
        let mut origin = self.origin(&opened, now);
        if let Ok(Origin::Copied(original, _)) = origin {
            // Another copy may hold more of it: what was emptied comes before what is new.
            self.replace(original, met, now);
            if let Some(id) = self.meet(path, &opened.stat, met, now) {
                return Some(id);
            }
            origin = self.origin(&opened, now);
        }
        let origin = match origin {
            Ok(origin) => origin,
            Err(error) => {
                self.refuse(path, &error);
                return None;
            }
        };
        let beginning = match origin {
            Origin::Beside(original, end) => {
                self.leave_beside(path, &opened, original, end);
                return None;
            }
            Origin::Copied(original, position) => self.take_over(path, &opened, original, position, met, now),
            Origin::Remembered(position, mark, footer) => {
                info!(file = %path.display(), offset = position.offset.to_raw(), "file is known; goes on in it");
                Beginning { position, mark, footer }
            }
            // Its original may still give what is in it.
            Origin::Hidden if self.copies.end(&opened).is_some() => return None,
            Origin::Unclear if self.copies.end(&opened).is_some() => self.begin_apart(path, &opened),
            Origin::Hidden | Origin::Unclear | Origin::Forked => self.begin_again(path),
            Origin::None if self.copies.is_cut_off(&opened, &self.table) => self.begin_again(path),
            Origin::None => self.begin_apart(path, &opened),
        };
        let id = self.admit(path, opened, beginning.position, beginning.mark, now);
        self.table.set_footer(id, beginning.footer);
        info!(file = %path.display(), file_id = id.to_raw(), "found new file");
        met.add([id]);
        // A log that had no file for a moment may have been rotated once more in it.
        met.rotated.extend(self.predecessor(path));
        Some(id)
    }

    /// Which of the files that are known `opened` is a copy of.
    fn origin(&mut self, opened: &Opened, now: Instant) -> io::Result<Origin> {
        // One that was short when it was looked at last shows only now how it begins; a look at a few names may have left
        // it out.
        let mut beginning = [0; Head::BYTES];
        let beginning = evidence::read_beginning(&*opened.file, &mut beginning)?;
        for id in self.table.index().growing(beginning) {
            let stat = self.table.get(id).map(|tailed| tailed.file.stat());
            if let Some(Ok(stat)) = stat
                && let Ok(false) = self.measure(id, &stat, now)
            {
                self.suspect(id);
            }
        }
        search::origin(opened, &self.table, &self.recent, &self.withheld)
    }

    /// Goes on in a copy whose original does not hold what was read any more, and begins that anew.
    fn take_over(
        &mut self,
        path: &Path,
        copy: &Opened,
        original: FileId,
        position: Position,
        met: &mut Met,
        now: Instant,
    ) -> Beginning {
        info!(file = %path.display(), from = %self.path(original).display(), offset = position.offset.to_raw(),
              "file is a copy; goes on in it");
        let Some(tailed) = self.table.get(original) else { return Beginning::default() };
        let beginning = Beginning { position, mark: Some(tailed.mark), footer: tailed.footer };
        self.tell_cut(path, tailed.size, copy.stat.size);
        self.metrics.add(Metric::FilesTruncated, 1);
        met.add(self.begin_anew(original, now));
        beginning
    }

    /// Where a file begins of which nothing that is known tells where it is from.
    fn begin_apart(&mut self, path: &Path, opened: &Opened) -> Beginning {
        let Some(position) = self.copies.end(opened) else { return Beginning::default() };
        let offset = position.offset.to_raw();
        if opened.stat.size == offset {
            info!(file = %path.display(), offset, "file is a copy, and was read where it was copied from");
        } else {
            self.metrics.add(Metric::FilesReread, 1);
            warn!(file = %path.display(), offset,
                  "file is a copy that became longer; reads on in it, which may be what was read before");
        }
        Beginning { position, ..Beginning::default() }
    }

    /// The same for one that begins like a known file and cannot be proved to be its copy.
    fn begin_again(&self, path: &Path) -> Beginning {
        self.metrics.add(Metric::FilesReread, 1);
        warn!(file = %path.display(), "may be a copy of what is read, but cannot be told; reads all of it");
        Beginning::default()
    }

    /// Whether a file that was empty when it was found is a copy that had just been begun then; asked once, before
    /// anything is read of it.
    pub(super) fn is_begun_copy(&mut self, id: FileId, now: Instant) -> io::Result<bool> {
        let Some(tailed) = self.table.get(id).filter(|tailed| tailed.begun == Begun::Empty) else {
            return Ok(false);
        };
        let opened = evidence::look_again(&tailed.file.content()?, &tailed.identity)?;
        if opened.stat.size == 0 {
            return Ok(false);
        }
        let origin = self.origin(&opened, now)?;
        let is_new = matches!(origin, Origin::None);
        self.table.edit(id, |tailed| tailed.begun = if is_new { Begun::Whole } else { Begun::AsCopy });
        Ok(!is_new)
    }

    /// Takes up once more what was taken for a new file when it was empty; gives what may have bytes to read.
    pub(super) fn reconsider(&mut self, id: FileId, now: Instant) -> Vec<FileId> {
        let Some(tailed) = self.table.get(id) else { return Vec::new() };
        let (path, in_reach, leaving) = (tailed.path.clone(), tailed.in_reach, tailed.leaving);
        let opened =
            tailed.file.content().and_then(|content| evidence::look_again(&content, &tailed.identity));
        let mut met = Met::default();
        match opened {
            Ok(opened) => {
                self.table.forget(id);
                // It is not to be taken for a copy of itself.
                self.table.unremember(|past| past.file == id && past.path == path);
                if let Some(anew) = self.identify(&path, opened, &mut met, now) {
                    self.table.edit(anew, |tailed| (tailed.in_reach, tailed.leaving) = (in_reach, leaving));
                    self.table.tell(anew);
                }
            }
            Err(error) => self.refuse(&path, &error),
        }
        met.ready
    }
}
