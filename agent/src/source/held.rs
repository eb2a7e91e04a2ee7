//! A file that is read, whether a descriptor is held for it or not.
//!
//! Without one it is opened anew for each question, and the answer is that of the same inode or none. Does not know
//! which files are worth a descriptor: that is decided in `room`. An inode is no proof: what is read after a file was
//! opened again is believed only after its head and its tail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Content, Disk, Stat};
use super::evidence;
use super::pattern::is_compressed;
use crate::position::Offset;

/// How the files of one flow are opened.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) disk: Arc<dyn Disk>,
    /// Links of others may lead to what is below this.
    pub(super) reach: PathBuf,
}

/// An inode as long as it is one file: its number may be used again, but not its birth, where the file system tells that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node {
    device: u64,
    inode: u64,
    born: u64,
}

impl Node {
    pub(super) fn of(stat: &Stat) -> Node {
        Node { device: stat.device, inode: stat.inode, born: stat.born }
    }
}

/// One inode, under the name that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    door: Arc<Door>,
    path: PathBuf,
    node: Node,
    content: Option<Arc<dyn Content>>,
}

impl Held {
    /// The file that was opened at `path`.
    pub(super) fn open(door: &Arc<Door>, path: &Path, stat: &Stat, content: Arc<dyn Content>) -> Held {
        let (door, path) = (Arc::clone(door), path.to_owned());
        Held { door, path, node: Node::of(stat), content: Some(content) }
    }

    /// The name under which it was found last.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The inode.
    pub(super) fn node(&self) -> Node {
        self.node
    }

    /// Whether a descriptor is held for it.
    pub(super) fn is_open(&self) -> bool {
        self.content.is_some()
    }

    /// Whether it can be opened again: a compressed file is not what its bytes are.
    pub(super) fn can_be_closed(&self) -> bool {
        self.is_open() && !is_compressed(self.path.as_os_str())
    }

    /// Whether its name leads to it.
    pub(super) fn has_name(&self) -> bool {
        self.door.disk.stat(&self.path).is_ok_and(|stat| self.is_inode(&stat))
    }

    /// It was found under another name.
    pub(super) fn is_now_at(&mut self, path: &Path) {
        path.clone_into(&mut self.path);
    }

    /// Lets the descriptor go.
    pub(super) fn close(&mut self) {
        self.content = None;
    }

    /// Holds this descriptor of it from now on.
    pub(super) fn hold(&mut self, content: Arc<dyn Content>) {
        self.content = Some(content);
    }

    /// What is in it. An error of the kind `NotFound` says that its name does not lead to it any more.
    pub(super) fn content(&self) -> io::Result<Arc<dyn Content>> {
        if let Some(content) = &self.content {
            return Ok(Arc::clone(content));
        }
        match evidence::open_regular(&*self.door.disk, &self.path, &self.door.reach) {
            Ok((content, stat)) if self.is_inode(&stat) => Ok(content),
            Ok(_) => Err(io::ErrorKind::NotFound.into()),
            Err(error) if error.is_absence() => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Whether this is its inode.
    pub(super) fn is_inode(&self, stat: &Stat) -> bool {
        Node::of(stat) == self.node
    }
}

impl Content for Held {
    fn stat(&self) -> io::Result<Stat> {
        if let Some(content) = &self.content {
            return content.stat();
        }
        let stat = self.door.disk.stat(&self.path)?;
        if self.is_inode(&stat) { Ok(stat) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize> {
        self.content()?.read_at(bytes, offset)
    }

    fn behind_hole(&self, offset: Offset) -> Offset {
        self.content().map_or(offset, |content| content.behind_hole(offset))
    }
}
