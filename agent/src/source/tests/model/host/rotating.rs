//! How the host's files are rotated: renamed, copied, emptied, moved, compressed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::file::{Altered, FileNumber, Piece};
use super::{FAR, Host, LIVE, NAMES, OLD};

impl Host {
    /// A file loses a name, so that half a line at its end may be taken as it is.
    pub(super) fn rotate(&mut self, name: &str) {
        let Some(file) = self.at(name) else { return };
        self.touch(file);
        self.files[file].rotated = true;
        if let Some(line) = self.half_of(file) {
            self.lines.tear(line);
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.rotate(from);
        self.rotate(to);
        self.stage.rename(from, to);
        let file = self.names.remove(from).unwrap();
        self.names.insert(to.to_owned(), file);
    }

    pub(in super::super) fn remove(&mut self, name: &str) {
        self.rotate(name);
        self.stage.remove(name);
        self.names.remove(name);
    }

    /// Every name but the live one moves one on.
    fn make_room(&mut self) {
        let [.., last] = NAMES;
        if self.archives.remove(&archive(last)).is_some() {
            self.stage.remove(&archive(last));
        }
        for pair in NAMES.windows(2).rev() {
            let &[from, to] = pair else { continue };
            if from != LIVE && self.at(from).is_some() {
                self.rename(from, to);
            }
            if let Some(file) = self.archives.remove(&archive(from)) {
                self.stage.rename(&archive(from), &archive(to));
                self.archives.insert(archive(to), file);
            }
        }
    }

    /// The live file becomes the first of the rotated ones.
    pub(in super::super) fn rename_live(&mut self) {
        self.make_room();
        let live = self.live().unwrap();
        let rotated = NAMES.iter().skip(1).filter_map(|name| self.at(name)).collect::<Vec<_>>();
        let is_followed = rotated.into_iter().any(|file| self.files[file].known || self.files[file].follows);
        // Who could not open it does not look for it elsewhere.
        self.files[live].follows = is_followed && self.files[live].refusal.is_none();
        self.rename(LIVE, OLD);
    }

    /// The first of the rotated files becomes a copy of the live one; gives it.
    pub(in super::super) fn copy_live(&mut self) -> FileNumber {
        self.make_room();
        self.copy(OLD)
    }

    /// The live file is copied to another device, and deleted; gives the copy.
    pub(in super::super) fn move_live(&mut self) -> FileNumber {
        if self.at(FAR).is_some() {
            self.remove(FAR);
        }
        let copy = self.copy(FAR);
        self.remove(LIVE);
        copy
    }

    fn copy(&mut self, to: &str) -> FileNumber {
        self.stage.copy(LIVE, to);
        let live = self.live().unwrap();
        let pieces = self.files[live].pieces.clone();
        let copy = self.new_file(to, pieces);
        self.files[copy].is_copy = true;
        // It may be read on as what was rotated.
        self.rotate(to);
        copy
    }

    /// The live file keeps its first `len` bytes, which are so many pieces.
    pub(in super::super) fn truncate(&mut self, pieces: usize, len: usize) {
        let live = self.live().unwrap();
        self.stage.truncate(LIVE, len as u64);
        self.touch(live);
        self.files[live].pieces.truncate(pieces);
        self.files[live].is_cut = pieces > 0;
        self.files[live].altered = Altered::Unseen;
    }

    /// Makes the emptied live file as long as it was before, with NUL bytes.
    pub(in super::super) fn leave_hole(&mut self, len: usize) {
        if len > 0 {
            self.stage.truncate(LIVE, len as u64);
            let live = self.live().unwrap();
            self.files[live].pieces.push(Piece::Nuls(len));
        }
    }

    /// The oldest rotated file becomes a compressed one; says whether there was one.
    pub(in super::super) fn compress(&mut self) -> bool {
        let oldest = NAMES.into_iter().rev().find(|name| *name != LIVE && self.at(name).is_some());
        let Some(name) = oldest else { return false };
        let file = self.at(name).unwrap();
        // A compressor leaves alone what has a second name, and what it cannot read. What the source knows by a name that is
        // gone is no archive by its name. Nor is it to be called while somebody writes.
        let is_held = self.held.as_ref().is_some_and(|(held, _)| *held == file);
        if is_held || self.files[file].was_linked || self.files[file].refusal.is_some() {
            return false;
        }
        if self.archives.remove(&archive(name)).is_some() {
            self.stage.remove(&archive(name));
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(self.text_of(file).as_bytes()).unwrap();
        let modified = self.stage.stat(name).modified;
        self.stage.write_as_of(&archive(name), &encoder.finish().unwrap(), modified);
        self.remove(name);
        self.archives.insert(archive(name), file);
        true
    }
}

/// The name of what is compressed.
fn archive(name: &str) -> String {
    format!("{name}.gz")
}
