//! Reading one open file by its layout: which part of it comes next, and when its last record counts as whole.
//!
//! Does not know names or other files. Where the header ends is a fact of the file's first bytes, so that it is the same
//! after a restart and in a copy; where the footer begins was found once, and is remembered.

use std::io;

use tokio::time::Instant;

use super::chunk::Part;
use super::evidence;
use super::table::Tailed;
use super::tail::{Block, Read};
use crate::layout::Layout;

impl Tailed {
    /// Reads on. `last` says that the file is finished: what is left of it is whole.
    pub(super) fn read(
        &mut self,
        block: &mut Block,
        layout: &Layout,
        last: bool,
        now: Instant,
    ) -> io::Result<Read> {
        let part = self.part(layout)?;
        let read = self.cursor.read(&self.file, block, layout, part, last)?;
        match read {
            Read::Bytes(extent) => self.size = self.size.max(extent.end()),
            Read::Held(extent) => {
                if extent.end() > self.size {
                    (self.size, self.active) = (extent.end(), now);
                }
                // Nobody has added a line for so long that none is expected any more.
                if self.closes(layout).is_some_and(|closes| closes <= now) {
                    return Ok(Read::Bytes(extent.closed()));
                }
            }
            Read::Nuls(_) | Read::End | Read::Changed => {}
        }
        Ok(read)
    }

    /// When the last record counts as whole though no other has begun behind it; none if records end by themselves.
    pub(super) fn closes(&self, layout: &Layout) -> Option<Instant> {
        Some(self.active + layout.records.idle()?)
    }

    /// In which part of the file the position is.
    fn part(&mut self, layout: &Layout) -> io::Result<Part> {
        let offset = self.position().offset;
        if self.footer.is_some_and(|footer| footer <= offset) {
            return Ok(Part::Rest);
        }
        if !self.beyond_header {
            let read = evidence::newlines_before(&self.file, offset, layout.header_lines)?;
            if read < layout.header_lines {
                return Ok(Part::Header { lines: layout.header_lines - read });
            }
            self.beyond_header = true;
        }
        Ok(Part::Records)
    }
}
