//! Copies that are left alone beside their originals: their lines are read from those.
//!
//! Each is remembered by its inode, with how far it was seen to be the beginning of its original, in the checkpoint as
//! well: whatever becomes of the original, and after a restart, only what stands behind that is read of it. It may be a
//! copy that is still being made, so it is proved again whenever it is looked at. (G3)

use std::path::Path;

use super::disk::Stat;
use super::evidence::{self, Opened};
use super::files::Files;
use super::table::Table;
use crate::position::{FileId, Generation, Position, Tail};

/// The copies that are left alone.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<Left>);

/// A copy that is left alone.
#[derive(Debug)]
struct Left {
    /// What is known of it: its position is up to where it is the beginning of its original.
    copy: Generation,
    /// That, if it was seen in this run.
    original: Option<FileId>,
}

impl Copies {
    /// How far a file is known to be the beginning of its original, if it is a copy and still holds that.
    pub(super) fn end(&self, opened: &Opened) -> Option<Position> {
        self.find(opened).map(|left| left.copy.position)
    }

    /// Whether the end of a copy is not in its original any more, which goes on otherwise: it was cut behind what was read
    /// of it, or it would be another file by now.
    pub(super) fn is_cut_off(&self, opened: &Opened, table: &Table) -> bool {
        let Some(Left { copy, original: Some(original) }) = self.find(opened) else { return false };
        table.get(*original).is_some_and(|original| {
            evidence::still_holds(&original.file, copy.identity.head, &copy.position)
                .is_ok_and(|holds| !holds)
        })
    }

    fn find(&self, opened: &Opened) -> Option<&Left> {
        // After a reboot its device has another number.
        let mut alike = self.0.iter().filter(|left| left.copy.identity.inode == opened.identity.inode);
        alike.find(|Left { copy, .. }| {
            evidence::still_holds(&*opened.file, copy.identity.head, &copy.position).unwrap_or(false)
        })
    }

    /// Where they are.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|left| left.copy.path.as_path())
    }

    /// Gives up the copies that are not `kept`.
    pub(super) fn retain(&mut self, table: &mut Table, kept: impl Fn(&Generation) -> bool) {
        self.0.retain(|Left { copy, .. }| {
            let stays = kept(copy);
            if !stays {
                table.release(copy.file);
            }
            stays
        });
    }
}

impl Files {
    /// Leaves a copy alone that is the beginning of its original up to `end`.
    pub(super) fn leave_beside(&mut self, path: &Path, copy: &Opened, original: FileId, end: Position) {
        let known = Generation {
            file: FileId::FIRST,
            identity: copy.identity,
            mark: None,
            leaving: false,
            footer: None,
            first: evidence::read_head(&*copy.file, Tail::BYTES).unwrap_or_default(),
            beside: true,
            path: path.to_owned(),
            position: end,
            size: copy.stat.size,
            modified: copy.stat.modified,
            born: copy.stat.born,
        };
        let is_it = |left: &&mut Left| left.copy == Generation { file: left.copy.file, ..known.clone() };
        if let Some(left) = self.copies.0.iter_mut().find(is_it) {
            left.original = Some(original);
        } else {
            self.forget_copy(path, &copy.stat);
            self.keep_copy(&known, Some(original));
        }
    }

    /// Remembers a copy that was left alone in the last run.
    pub(super) fn remember_copy(&mut self, known: &Generation) {
        self.keep_copy(known, None);
    }

    fn keep_copy(&mut self, known: &Generation, original: Option<FileId>) {
        let file = self.table.keep(known);
        self.copies.0.push(Left { copy: Generation { file, ..known.clone() }, original });
    }

    /// The file at `path` is left alone no more, if it ever was.
    pub(super) fn forget_copy(&mut self, path: &Path, stat: &Stat) {
        self.copies.retain(&mut self.table, |copy| !evidence::is_inode_of(copy, path, stat));
    }

    /// Remembers only copies that `is_there` and that are not read themselves.
    pub(super) fn retain_copies(&mut self, is_there: impl Fn(&Path) -> bool) {
        let read: Vec<FileId> = self
            .copies
            .0
            .iter()
            .map(|left| &left.copy)
            .filter(|copy| self.table.by_inode(copy.identity.device, copy.identity.inode).is_some())
            .map(|copy| copy.file)
            .collect();
        self.copies.retain(&mut self.table, |copy| is_there(&copy.path) && !read.contains(&copy.file));
    }
}
