//! What is done where the bytes that were read are not in a file any more: it was truncated, rewritten, or its inode
//! was used again.
//!
//! What was not read of them is looked for under other names, and counted where it is lost. (G1)

use std::path::Path;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::evidence;
use super::files::{Files, Met};
use super::identity::{Change as Altered, Verdict};
use super::search::{self, Copy};
use super::table::Begun;
use crate::metrics::Metric;
use crate::position::{FileId, Generation, Offset, Position};

/// Where the rest of a file is that does not hold it any more.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// In this copy, which is read on.
    In(FileId),
    /// In an archive that cannot be read yet.
    Awaited,
    Nowhere,
}

impl Rest {
    /// The file that is read on.
    fn file(self) -> Option<FileId> {
        match self {
            Rest::In(file) => Some(file),
            Rest::Awaited | Rest::Nowhere => None,
        }
    }
}

impl Files {
    /// The bytes that were read are not in the file any more. Looks for what was not read of them under other names,
    /// then begins the file anew.
    pub(super) fn replace(&mut self, id: FileId, met: &mut Met, now: Instant) {
        let Some(tailed) = self.table.get(id) else { return };
        if tailed.begun == Begun::AsCopy {
            return met.add(self.reconsider(id, now));
        }
        let known = tailed.generation(id);
        let compared = tailed.file.content().and_then(|content| search::compare(&content, &known));
        let altered = match compared {
            Ok(Verdict::Changed(altered)) => altered,
            // It changed back before it could be looked at: a writer in the middle of its work. Look again later.
            Ok(_) => return,
            Err(error) => return self.refuse(&known.path, &error),
        };
        met.add(self.rescue(&known, altered, now));
        met.add(self.begin_anew(id, now));
        met.altered.push(known);
    }

    /// Looks under other names for what was not read of a file that does not hold it any more; gives the copy that
    /// does, or tells what is lost.
    pub(super) fn rescue(&mut self, known: &Generation, altered: Altered, now: Instant) -> Option<FileId> {
        match self.take_up_rest(known, now) {
            Rest::Nowhere => {
                self.tell_altered(&known.path, altered, known.unread(), known.position.offset.to_raw());
                None
            }
            rest @ (Rest::In(_) | Rest::Awaited) => {
                self.metrics.add(Metric::FilesTruncated, 1);
                rest.file()
            }
        }
    }

    /// Nothing leads to a closed file any more. Looks under other names for what was not read of it, and gives it up.
    pub(super) fn let_go(&mut self, id: FileId, met: &mut Met, now: Instant) {
        let Some(known) = self.table.get(id).map(|tailed| tailed.generation(id)) else { return };
        let rest = if known.unread() > 0 { self.take_up_rest(&known, now) } else { Rest::Nowhere };
        met.add(rest.file());
        match rest {
            Rest::In(_) | Rest::Awaited => self.table.forget(id),
            Rest::Nowhere => self.give_up(id),
        }
    }

    /// Goes on in the copy of a file that is not what it was, if there is one.
    fn take_up_rest(&mut self, known: &Generation, now: Instant) -> Rest {
        let offset = known.position.offset.to_raw();
        let reach = self.settings.pattern.literal_prefix();
        match search::find_copy(&*self.disk, known, reach, &self.table, &self.recent) {
            Ok(Some(Copy { path, opened, position })) => {
                info!(file = %path.display(), from = %known.path.display(), offset,
                      "file was copied, and is truncated or gone; reads the rest from its copy");
                self.tell_cut(&path, known.size, opened.stat.size.max(offset));
                let copy = self.admit(&path, opened, position, known.mark, now);
                self.table.set_footer(copy, known.footer);
                let in_reach = self.settings.pattern.matches(&path);
                self.table.edit(copy, |tailed| tailed.in_reach = in_reach);
                self.mark_leaving(copy, now);
                Rest::In(copy)
            }
            Err(unfinished) => {
                info!(file = %unfinished.path.display(), from = %known.path.display(), offset,
                      "file is truncated or gone, and its copy is compressed; waits until that can be read");
                self.await_archive(known.clone(), unfinished, now);
                Rest::Awaited
            }
            Ok(None) => Rest::Nowhere,
        }
    }

    /// Begins a file again, as what was read of it is not in it any more.
    pub(super) fn begin_anew(&mut self, id: FileId, now: Instant) -> Option<FileId> {
        let tailed = self.table.get(id)?;
        let (known, in_reach, first) = (tailed.generation(id), tailed.in_reach, tailed.first);
        let anew = tailed.file.content().and_then(|content| evidence::look_again(&content, &known.identity));
        self.table.forget(id);
        let anew = anew.inspect_err(|error| self.refuse(&known.path, error)).ok()?;
        // Where it was cut in the middle, it begins with bytes that were read; how many, nothing tells.
        if evidence::begins_with(&*anew.file, first) && known.position.offset != Offset::START {
            self.metrics.add(Metric::FilesReread, 1);
        }
        let anew = self.admit(&known.path, anew, Position::default(), None, now);
        self.table.edit(anew, |tailed| tailed.in_reach = in_reach);
        Some(anew)
    }

    /// Says what is lost where a file is shorter now than it was, or than that of which it is the copy.
    pub(super) fn tell_cut(&self, path: &Path, before: u64, size: u64) {
        let lost = before.saturating_sub(size);
        if lost > 0 {
            self.metrics.add(Metric::BytesLost, lost);
            error!(file = %path.display(), bytes = lost, "file became shorter, and what was not read of that is lost");
        }
    }

    /// Says that a file is not what it was, and what is lost by that.
    pub(super) fn tell_altered(&self, path: &Path, altered: Altered, unread: u64, offset: u64) {
        self.metrics.add(Metric::FilesTruncated, 1);
        self.metrics.add(Metric::BytesLost, unread);
        let what = match altered {
            Altered::Truncated => "file was truncated",
            Altered::Rewritten => "file was rewritten in place",
            Altered::Reused => "file is gone and its inode was used again",
        };
        if unread > 0 {
            error!(file = %path.display(), offset, bytes = unread, "{what}, and what was not read of it is lost");
        } else {
            warn!(file = %path.display(), offset, "{what}; reads it from its beginning");
        }
    }
}
