//! How a file that is known is read on, and when it is finished.
//!
//! Does not know which file is next, nor what the bytes mean. Where nothing can have come nothing is opened; where what
//! was read is not there any more nothing is read. (G1, G3)

use std::io;

use tokio::time::Instant;
use tracing::info;

use super::evidence;
use super::files::Files;
use super::room::{self, Listings};
use super::table::Tailed;
use super::tail::{Block, Extent, Read};
use crate::metrics::Metric;
use crate::position::{FileId, Head, Mark, Offset, Position, Span, Tail};

/// A line that is written to a file that has left, after some silence, waits for this part of that silence at most. One
/// second for each would be dear where thousands of files are deleted in the grace time.
const SILENCE_PARTS: u32 = 8;

impl Files {
    /// Files that may be written to though nothing is heard of it, as far as they are to be looked at now: of those that
    /// have left, the less often the longer nobody wrote to them.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<FileId> {
        let is_due = |tailed: &Tailed| {
            let silence = now.saturating_duration_since(tailed.active);
            !tailed.leaving || now.saturating_duration_since(tailed.polled) >= silence / SILENCE_PARTS
        };
        let due = self.unheard().filter(|id| self.table.get(*id).is_some_and(is_due));
        let due: Vec<FileId> = due.collect();
        for id in &due {
            self.table.edit(*id, |tailed| tailed.polled = now);
        }
        due
    }

    /// Whether a file is to be taken for finished when it has nothing to read.
    fn is_over(&self, tailed: &Tailed, now: Instant) -> bool {
        tailed.leaving && now.saturating_duration_since(tailed.active) >= self.settings.grace
    }

    /// Reads on in a file.
    pub(crate) fn read(&mut self, id: FileId, block: &mut Block, now: Instant) -> io::Result<Read> {
        let Some(tailed) = self.table.get(id) else { return Ok(Read::End) };
        let is_open = tailed.file.is_open();
        // Nothing is heard of a writer that still has the file open; it is not over while he writes. And a file is not
        // opened again where there is nothing to read.
        if tailed.leaving || !is_open {
            let Some(stat) = self.seek(id, &mut Listings::default())? else { return Ok(Read::Changed) };
            if !self.measure(id, &stat, now)? {
                return Ok(Read::Changed);
            }
            let has_more = self.table.get(id).is_some_and(|tailed| tailed.behind() > 0);
            if !has_more {
                return Ok(Read::End);
            }
        }
        match self.hold(id) {
            Ok(true) => {}
            Ok(false) => return Ok(Read::Changed),
            // It was renamed just now, and is sought when it is read the next time.
            Err(error) if room::is_absence(&error) => return Ok(Read::End),
            Err(error) => return Err(error),
        }
        if !self.holds_head(id)? || self.is_begun_copy(id, now)? {
            return Ok(Read::Changed);
        }
        let last = self.table.get(id).is_some_and(|tailed| self.is_over(tailed, now));
        let layout = &self.settings.layout;
        let read = self.table.edit(id, |tailed| tailed.read(block, layout, last, now));
        read.unwrap_or(Ok(Read::End))
    }

    /// Whether a file begins as it did. The bytes before the position alone prove little where lines end alike: nothing of it
    /// is believed that was written after a truncation nobody has looked at.
    fn holds_head(&self, id: FileId) -> io::Result<bool> {
        let Some(tailed) = self.table.get(id) else { return Ok(true) };
        let head = tailed.identity.head;
        Ok(evidence::read_head(&tailed.file, head.len.into())? == head)
    }

    /// When the last record of a file will count as whole though no other has begun behind it; none if the file is
    /// read to its end, or if its records end by themselves.
    pub(crate) fn closes(&self, id: FileId) -> Option<Instant> {
        let tailed = self.table.get(id).filter(|tailed| tailed.behind() > 0)?;
        tailed.closes(&self.settings.layout)
    }

    /// From `footer` on a file has no more records.
    pub(crate) fn end_records(&mut self, id: FileId, footer: Offset) {
        info!(file = %self.path(id).display(), file_id = id.to_raw(), offset = footer.to_raw(),
              "found the footer of file; leaves out what stands behind it");
        self.table.set_footer(id, Some(footer));
    }

    /// What a file is called wherever the lines go that were just read of it.
    pub(crate) fn mark(&mut self, id: FileId, block: &Block, extent: &Extent) -> Option<Mark> {
        let (start, window) = block.window(extent);
        self.recent.keep(id, start, window);
        let (offset, bytes) = block.fresh(extent);
        self.table.mark(id, offset, bytes)
    }

    /// Everything before `position` is dealt with.
    pub(crate) fn advance(&mut self, id: FileId, position: Position, now: Instant) {
        self.table.edit(id, |tailed| {
            tailed.size = tailed.size.max(position.offset.to_raw());
            tailed.cursor.advance(position);
            (tailed.active, tailed.finished) = (now, false);
        });
        self.grow_head(id);
    }

    /// The head grows with the file until it is whole.
    pub(super) fn grow_head(&mut self, id: FileId) {
        let Some(tailed) = self.table.get(id) else { return };
        let known = tailed.identity.head;
        let len = usize::try_from(tailed.size).unwrap_or(Head::BYTES).min(Head::BYTES);
        if usize::from(known.len) < len
            && let Ok(head) = evidence::read_head(&tailed.file, len)
            && let Ok(first) = evidence::read_head(&tailed.file, Tail::BYTES)
        {
            self.table.edit(id, |tailed| (tailed.identity.head, tailed.first) = (head, first));
            self.table.tell(id);
        }
    }

    /// Skips NUL bytes up to `position`.
    pub(crate) fn skip(&mut self, id: FileId, position: Position, now: Instant) {
        let start = self.table.get(id).map(|tailed| tailed.position().offset);
        if let Some(span) = start.and_then(|start| Span::new(id, start, position)) {
            self.metrics.add(Metric::NulBytesSkipped, span.bytes());
            self.table.tell_skipped(span);
        }
        self.advance(id, position, now);
    }

    /// There is nothing to read now. A file that is leaving may be finished by that.
    pub(crate) fn at_end(&mut self, id: FileId, now: Instant) {
        let Some(tailed) = self.table.get(id) else { return };
        if !self.is_over(tailed, now) {
            return;
        }
        if !tailed.finished {
            info!(file = %tailed.path.display(), file_id = id.to_raw(),
                  offset = tailed.position().offset.to_raw(), "finished file");
            self.table.edit(id, |tailed| tailed.finished = true);
        }
    }
}
