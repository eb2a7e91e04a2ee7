//! A file system in memory, for histories that no real one would play on demand: inode numbers that are used again at
//! once, two devices, device numbers that change, files that cannot be opened or read.
//!
//! Does what Linux does, as far as `source` and the histories ask for it; the last test holds it against the real one.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use nix::errno::Errno;

use super::super::{Bell, Content, Disk, Kind, Stat, Watch};
use super::ground::{Ground, Writer};
use crate::position::Offset;

/// What a hole is rounded to.
const PAGE: usize = 4096;

/// The file system; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Simulated(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    devices: Vec<Device>,
    /// How many inodes were ever made: the time of the last birth.
    births: u64,
}

#[derive(Debug)]
struct Device {
    number: u64,
    /// By their numbers. One that is free is taken by the next file.
    inodes: Vec<Option<Inode>>,
}

/// Where an inode is: which device, and which of its inodes.
type Place = (usize, usize);

const ROOT: Place = (0, 0);

#[derive(Debug)]
struct Inode {
    holds: Holds,
    links: u64,
    /// How often it is open.
    handles: usize,
    modified: i64,
    born: u64,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
enum Holds {
    Bytes(Vec<u8>),
    Names(BTreeMap<OsString, Place>),
    Target(PathBuf),
    Pipe,
}

/// How a file withholds what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It cannot be opened; who has it open reads on.
    Open,
    /// The disk does not give its bytes.
    Read,
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Followed,
    Itself,
}

impl Simulated {
    /// One device with an empty root directory.
    pub(super) fn new() -> Simulated {
        let mut state = State { devices: Vec::new(), births: 0 };
        state.add_device();
        Simulated(Arc::new(Mutex::new(state)))
    }

    /// A second device, mounted at `path`.
    pub(super) fn mount(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.vacant(path)?;
        let root = state.add_device();
        state.enter(path, root)
    }

    /// A pipe, which nobody may wait for.
    pub(super) fn make_pipe(&self, path: &Path) -> io::Result<()> {
        self.state().make(path, Holds::Pipe, 0)
    }

    /// Whether a file withholds what it holds.
    pub(super) fn set_refusal(&self, path: &Path, refusal: Option<Refusal>) -> io::Result<()> {
        let mut state = self.state();
        let place = state.find(path, Last::Followed)?;
        state.inode_mut(place).refusal = refusal;
        Ok(())
    }

    /// No file withholds anything any more.
    pub(super) fn mend(&self) {
        let mut state = self.state();
        let inodes = state.devices.iter_mut().flat_map(|device| device.inodes.iter_mut().flatten());
        inodes.for_each(|inode| inode.refusal = None);
    }

    /// How far device numbers move at a reboot.
    pub(super) const RENUMBERED: u64 = 100;

    /// A reboot: all devices have other numbers.
    pub(super) fn renumber(&self) {
        self.state().devices.iter_mut().for_each(|device| device.number += Simulated::RENUMBERED);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn add_device(&mut self) -> Place {
        let device = self.devices.len();
        self.devices.push(Device { number: 1 + device as u64, inodes: Vec::new() });
        self.add_inode(device, Holds::Names(BTreeMap::new()), 0)
    }

    fn add_inode(&mut self, device: usize, holds: Holds, modified: i64) -> Place {
        self.births += 1;
        let inode = Inode {
            holds,
            links: 0,
            handles: 0,
            modified,
            born: modified.unsigned_abs() * 1_000_000 + self.births,
            refusal: None,
        };
        let inodes = &mut self.devices[device].inodes;
        let free = inodes.iter().position(Option::is_none).unwrap_or(inodes.len());
        inodes.resize_with(inodes.len().max(free + 1), || None);
        inodes[free] = Some(inode);
        (device, free)
    }

    fn inode(&self, (device, number): Place) -> &Inode {
        self.devices[device].inodes[number].as_ref().expect("a name or a handle leads to an inode")
    }

    fn inode_mut(&mut self, (device, number): Place) -> &mut Inode {
        self.devices[device].inodes[number].as_mut().expect("a name or a handle leads to an inode")
    }

    /// What lies below the root on the way to the end of `path`, each with its name.
    fn walk(&self, path: &Path, last: Last) -> io::Result<Vec<(OsString, Place)>> {
        let mut way: Vec<(OsString, Place)> = Vec::new();
        let mut ahead = parts(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            let here = way.last().map_or(ROOT, |(_, place)| *place);
            let Holds::Names(names) = &self.inode(here).holds else { return Err(Errno::ENOTDIR.into()) };
            if name == ".." {
                way.pop();
                continue;
            }
            let place = *names.get(&name).ok_or(Errno::ENOENT)?;
            match &self.inode(place).holds {
                Holds::Target(target) if !ahead.is_empty() || last == Last::Followed => {
                    links += 1;
                    if links > 40 {
                        return Err(Errno::ELOOP.into());
                    }
                    if target.is_absolute() {
                        way.clear();
                    }
                    ahead.extend(parts(target));
                }
                Holds::Target(_) | Holds::Bytes(_) | Holds::Names(_) | Holds::Pipe => way.push((name, place)),
            }
        }
        Ok(way)
    }

    fn find(&self, path: &Path, last: Last) -> io::Result<Place> {
        self.walk(path, last).map(|way| way.last().map_or(ROOT, |(_, place)| *place))
    }

    fn names(&self, directory: Place) -> io::Result<&BTreeMap<OsString, Place>> {
        match &self.inode(directory).holds {
            Holds::Names(names) => Ok(names),
            Holds::Bytes(_) | Holds::Target(_) | Holds::Pipe => Err(Errno::ENOTDIR.into()),
        }
    }

    fn bytes_mut(&mut self, file: Place) -> io::Result<&mut Vec<u8>> {
        match &mut self.inode_mut(file).holds {
            Holds::Bytes(bytes) => Ok(bytes),
            Holds::Names(_) => Err(Errno::EISDIR.into()),
            Holds::Target(_) | Holds::Pipe => Err(Errno::EINVAL.into()),
        }
    }

    /// The directory that a name is to be in, and the name.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(Place, &'a OsStr)> {
        let parent = self.find(path.parent().ok_or(Errno::EEXIST)?, Last::Followed)?;
        self.names(parent)?;
        Ok((parent, path.file_name().ok_or(Errno::EEXIST)?))
    }

    /// The directory in which the name is free.
    fn vacant<'a>(&self, path: &'a Path) -> io::Result<(Place, &'a OsStr)> {
        let (parent, name) = self.parent(path)?;
        if self.names(parent)?.contains_key(name) { Err(Errno::EEXIST.into()) } else { Ok((parent, name)) }
    }

    /// Gives the name `path` to an inode, and takes it from another.
    fn enter(&mut self, path: &Path, place: Place) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let Holds::Names(names) = &mut self.inode_mut(parent).holds else {
            return Err(Errno::ENOTDIR.into());
        };
        let before = names.insert(name.to_owned(), place);
        self.inode_mut(place).links += 1;
        if let Some(before) = before {
            self.inode_mut(before).links -= 1;
            self.release(before);
        }
        Ok(())
    }

    fn make(&mut self, path: &Path, holds: Holds, time: i64) -> io::Result<()> {
        let (parent, _) = self.vacant(path)?;
        let place = self.add_inode(parent.0, holds, time);
        self.enter(path, place)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let place = self.find(path, Last::Itself)?;
        let (parent, name) = self.parent(path)?;
        if self.names(place).is_ok() {
            return Err(Errno::EISDIR.into());
        }
        if let Holds::Names(names) = &mut self.inode_mut(parent).holds {
            names.remove(name);
        }
        self.inode_mut(place).links -= 1;
        self.release(place);
        Ok(())
    }

    /// An inode without name and handle is free.
    fn release(&mut self, place: Place) {
        let inode = self.inode(place);
        if inode.links == 0 && inode.handles == 0 {
            self.devices[place.0].inodes[place.1] = None;
        }
    }

    /// Writes to the file at `path`, and makes it if it is not there.
    fn write(&mut self, path: &Path, time: i64, write: &mut dyn FnMut(&mut Vec<u8>)) -> io::Result<()> {
        let place = match self.find(path, Last::Followed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere says where the file is to be.
                if let Holds::Target(target) =
                    self.find(path, Last::Itself).map_or(&Holds::Pipe, |link| &self.inode(link).holds)
                {
                    let target = path.parent().unwrap_or(path).join(target);
                    return self.write(&target, time, write);
                }
                self.make(path, Holds::Bytes(Vec::new()), time)?;
                self.find(path, Last::Followed)?
            }
            found => found?,
        };
        write(self.bytes_mut(place)?);
        self.inode_mut(place).modified = time;
        Ok(())
    }

    fn stat(&self, place: Place) -> Stat {
        let inode = self.inode(place);
        let (kind, size) = match &inode.holds {
            Holds::Bytes(bytes) => (Kind::File, bytes.len()),
            Holds::Names(_) => (Kind::Directory, PAGE),
            Holds::Target(target) => (Kind::Link, target.as_os_str().len()),
            Holds::Pipe => (Kind::Other, 0),
        };
        Stat {
            kind,
            device: self.devices[place.0].number,
            inode: 1 + place.1 as u64,
            size: size as u64,
            modified: inode.modified,
            born: inode.born,
            links: inode.links,
            owner: nix::unistd::geteuid().as_raw(),
        }
    }
}

/// The names in a path, the last first.
fn parts(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

impl Disk for Simulated {
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let state = self.state();
        state.find(path, Last::Followed).map(|place| state.stat(place))
    }

    fn stat_link(&self, path: &Path) -> io::Result<Stat> {
        let state = self.state();
        state.find(path, Last::Itself).map(|place| state.stat(place))
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let way = self.state().walk(path, Last::Followed)?;
        Ok(way.iter().fold(PathBuf::from("/"), |path, (name, _)| path.join(name)))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<io::Result<(OsString, Kind)>>> {
        let state = self.state();
        let names = state.names(state.find(directory, Last::Followed)?)?;
        Ok(names.iter().map(|(name, place)| Ok((name.clone(), state.stat(*place).kind))).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn Content>> {
        let mut state = self.state();
        let place = state.find(path, Last::Followed)?;
        let inode = state.inode_mut(place);
        if inode.refusal == Some(Refusal::Open) {
            return Err(Errno::EACCES.into());
        }
        inode.handles += 1;
        Ok(Arc::new(Handle { disk: self.clone(), place }))
    }
}

/// An open file.
#[derive(Debug)]
struct Handle {
    disk: Simulated,
    place: Place,
}

impl Content for Handle {
    fn stat(&self) -> io::Result<Stat> {
        Ok(self.disk.state().stat(self.place))
    }

    fn read_at(&self, bytes: &mut [u8], offset: Offset) -> io::Result<usize> {
        let mut state = self.disk.state();
        if state.inode(self.place).refusal == Some(Refusal::Read) {
            return Err(Errno::EIO.into());
        }
        let held = state.bytes_mut(self.place)?;
        let held = held.get(usize::try_from(offset.to_raw()).unwrap()..).unwrap_or_default();
        let len = held.len().min(bytes.len());
        bytes[..len].copy_from_slice(&held[..len]);
        Ok(len)
    }

    fn behind_hole(&self, offset: Offset) -> Offset {
        let mut state = self.disk.state();
        let held = state.bytes_mut(self.place).unwrap();
        let from = usize::try_from(offset.to_raw()).unwrap();
        let data = held.get(from..).and_then(|held| held.iter().position(|byte| *byte != 0));
        data.map_or(offset, |nuls| Offset::from_raw(((from + nuls) / PAGE * PAGE) as u64).max(offset))
    }
}

impl Writer for Handle {
    fn append(&self, bytes: &[u8], time: i64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.bytes_mut(self.place)?.extend_from_slice(bytes);
        state.inode_mut(self.place).modified = time;
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        state.inode_mut(self.place).handles -= 1;
        state.release(self.place);
    }
}

impl Ground for Simulated {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    fn watch(&self, bell: Arc<Bell>) -> Watch {
        Watch::deaf(bell)
    }

    fn append(&self, path: &Path, bytes: &[u8], time: i64) -> io::Result<()> {
        self.state().write(path, time, &mut |held| held.extend_from_slice(bytes))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn Writer>> {
        let mut state = self.state();
        let place = state.find(path, Last::Followed)?;
        state.inode_mut(place).handles += 1;
        Ok(Box::new(Handle { disk: self.clone(), place }))
    }

    fn set_len(&self, path: &Path, len: u64, time: i64) -> io::Result<()> {
        let mut state = self.state();
        state.find(path, Last::Followed)?;
        state.write(path, time, &mut |held| held.resize(usize::try_from(len).unwrap(), 0))
    }

    fn copy(&self, from: &Path, to: &Path, time: i64) -> io::Result<()> {
        let mut state = self.state();
        let place = state.find(from, Last::Followed)?;
        let bytes = state.bytes_mut(place)?.clone();
        // It is emptied before it is filled.
        let is_itself = state.find(to, Last::Followed).is_ok_and(|to| to == place);
        state.write(to, time, &mut |held| *held = if is_itself { Vec::new() } else { bytes.clone() })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let ((old, old_name), (new, _)) = (state.parent(from)?, state.parent(to)?);
        let place = state.find(from, Last::Itself)?;
        if old.0 != new.0 {
            return Err(Errno::EXDEV.into());
        }
        // A second name of the same file stays as it is, and so does the first.
        if state.find(to, Last::Itself).is_ok_and(|at| at == place) {
            return Ok(());
        }
        state.enter(to, place)?;
        state.inode_mut(place).links -= 1;
        if let Holds::Names(names) = &mut state.inode_mut(old).holds {
            names.remove(old_name);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().remove(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let place = state.find(from, Last::Itself)?;
        let (parent, _) = state.vacant(to)?;
        if state.names(place).is_ok() {
            return Err(Errno::EPERM.into());
        }
        if parent.0 != place.0 {
            return Err(Errno::EXDEV.into());
        }
        state.enter(to, place)
    }

    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.state().make(path, Holds::Target(target.to_owned()), 0)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.state().make(path, Holds::Names(BTreeMap::new()), 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::System;
    use super::*;

    /// Names, some of which lead nowhere, or into and through directories.
    const NAMES: [&str; 7] = ["a", "b", "c", "sub/a", "sub/b", "sub", "a/b"];

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Append(usize, u16),
        SetLen(usize, u16),
        Copy(usize, usize),
        Rename(usize, usize),
        Remove(usize),
        Link(usize, usize),
        Symlink(usize, usize),
        MakeDirectory,
        Open(usize),
        Close,
    }

    fn act() -> impl Strategy<Value = Act> {
        let name = 0..NAMES.len();
        let two = (name.clone(), name.clone());
        prop_oneof![
            4 => (name.clone(), any::<u16>()).prop_map(|(name, len)| Act::Append(name, len)),
            1 => (name.clone(), any::<u16>()).prop_map(|(name, len)| Act::SetLen(name, len)),
            2 => two.clone().prop_map(|(from, to)| Act::Copy(from, to)),
            3 => two.clone().prop_map(|(from, to)| Act::Rename(from, to)),
            2 => name.clone().prop_map(Act::Remove),
            2 => two.clone().prop_map(|(from, to)| Act::Link(from, to)),
            2 => two.prop_map(|(target, path)| Act::Symlink(target, path)),
            1 => Just(Act::MakeDirectory),
            2 => name.prop_map(Act::Open),
            1 => Just(Act::Close),
        ]
    }

    /// One of two file systems, and what is open on it.
    struct Side<'a> {
        ground: &'a dyn Ground,
        root: &'a Path,
        open: Vec<Arc<dyn Content>>,
    }

    impl Side<'_> {
        /// Does it, and says what the system answers.
        fn act(&mut self, act: Act, time: i64) -> Option<i32> {
            let path = |name: usize| self.root.join(NAMES[name]);
            // No history renames or copies a directory.
            let disk = self.ground.disk();
            let is_directory =
                |name: usize| disk.stat(&path(name)).is_ok_and(|stat| stat.kind == Kind::Directory);
            if let Act::Rename(from, to) | Act::Copy(from, to) = act
                && (is_directory(from) || is_directory(to))
            {
                return None;
            }
            let answer = match act {
                Act::Append(name, len) => self.ground.append(&path(name), &text(len, time), time),
                Act::SetLen(name, len) => self.ground.set_len(&path(name), len.into(), time),
                Act::Copy(from, to) => self.ground.copy(&path(from), &path(to), time),
                Act::Rename(from, to) => self.ground.rename(&path(from), &path(to)),
                Act::Remove(name) => self.ground.remove(&path(name)),
                Act::Link(from, to) => self.ground.link(&path(from), &path(to)),
                Act::Symlink(target, at) => self.ground.symlink(Path::new(NAMES[target]), &path(at)),
                Act::MakeDirectory => self.ground.make_directory(&self.root.join("sub")),
                Act::Open(name) => self.ground.disk().open(&path(name)).map(|file| self.open.push(file)),
                Act::Close => {
                    self.open.pop();
                    Ok(())
                }
            };
            answer.err().and_then(|error| error.raw_os_error())
        }

        /// Everything that can be seen, with small numbers for inodes in the order of their appearance.
        fn picture(&self) -> String {
            let disk = self.ground.disk();
            let mut inodes = Vec::new();
            let mut stat = |stat: io::Result<Stat>| {
                let stat = stat.map_err(|error| error.raw_os_error())?;
                let key = (stat.device, stat.inode);
                let inode = inodes.iter().position(|known| *known == key).unwrap_or_else(|| {
                    inodes.push(key);
                    inodes.len() - 1
                });
                let facts = (stat.size, stat.modified, stat.links);
                Ok::<_, Option<i32>>((
                    inode,
                    stat.kind,
                    (stat.kind == Kind::File).then_some(facts),
                    stat.owner,
                ))
            };
            let mut picture = String::new();
            for name in NAMES {
                let path = self.root.join(name);
                let real = disk.real_path(&path).map(|path| path.strip_prefix(self.root).unwrap().to_owned());
                let real = real.map_err(|error| error.raw_os_error());
                let itself = stat(disk.stat_link(&path));
                picture += &format!("{name}: {:?} {itself:?} {real:?}\n", stat(disk.stat(&path)));
            }
            for directory in ["", "sub", "a"] {
                let names = disk.list(&self.root.join(directory)).map_err(|error| error.raw_os_error());
                let names = names.map(|names| {
                    let mut names: Vec<_> = names
                        .into_iter()
                        .map(|name| name.map(|it| (it.0, format!("{:?}", it.1))).unwrap())
                        .collect();
                    names.sort_unstable();
                    names
                });
                picture += &format!("{directory}/: {names:?}\n");
            }
            for file in &self.open {
                let mut bytes = vec![0; 100_000];
                let read =
                    file.read_at(&mut bytes, Offset::from_raw(3)).map_err(|error| error.raw_os_error());
                picture += &format!("{:?} {read:?} {:x}\n", stat(file.stat()), crc32fast::hash(&bytes));
            }
            picture
        }
    }

    fn text(len: u16, time: i64) -> Vec<u8> {
        format!("{time} ").repeat(usize::from(len) / 100).into_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn it_answers_as_the_real_one_does(acts in proptest::collection::vec(act(), 1..40)) {
            let directory = tempfile::tempdir().unwrap();
            let simulated = Simulated::new();
            let mut real = Side { ground: &System, root: directory.path(), open: Vec::new() };
            let mut simulated = Side { ground: &simulated, root: Path::new("/"), open: Vec::new() };
            for (time, act) in (1_700_000_000_000..).zip(acts) {
                prop_assert_eq!(simulated.act(act, time), real.act(act, time), "{:?}", act);
                prop_assert_eq!(simulated.picture(), real.picture(), "after {:?}", act);
            }
        }
    }

    #[test]
    fn a_free_number_is_used_again_and_an_open_file_keeps_its_own() {
        let disk = Simulated::new();
        let stat = |name: &str| Disk::stat(&disk, Path::new(name)).unwrap();
        disk.append(Path::new("/a"), b"one", 1).unwrap();
        let first = stat("/a");
        let open = disk.open(Path::new("/a")).unwrap();
        disk.remove(Path::new("/a")).unwrap();
        disk.append(Path::new("/b"), b"two", 2).unwrap();
        assert_ne!(stat("/b").inode, first.inode);
        drop(open);
        disk.append(Path::new("/c"), b"three", 3).unwrap();
        assert_eq!(stat("/c").inode, first.inode);
        assert_ne!(stat("/c").born, first.born);
    }

    #[test]
    fn names_do_not_cross_devices_and_a_reboot_renumbers_them() {
        let disk = Simulated::new();
        disk.mount(Path::new("/far")).unwrap();
        disk.append(Path::new("/a"), b"one", 1).unwrap();
        let crossing = Errno::EXDEV as i32;
        let answer = disk.rename(Path::new("/a"), Path::new("/far/a")).unwrap_err();
        assert_eq!(answer.raw_os_error(), Some(crossing));
        let answer = disk.link(Path::new("/a"), Path::new("/far/a")).unwrap_err();
        assert_eq!(answer.raw_os_error(), Some(crossing));
        disk.copy(Path::new("/a"), Path::new("/far/a"), 2).unwrap();
        let stat = |name: &str| Disk::stat(&disk, Path::new(name)).unwrap();
        let before = [stat("/a"), stat("/far/a")];
        assert_ne!(before[0].device, before[1].device);
        disk.renumber();
        let after = [stat("/a"), stat("/far/a")];
        assert_eq!(before.map(|stat| stat.inode), after.map(|stat| stat.inode));
        assert!(before.iter().all(|before| after.iter().all(|after| before.device != after.device)));
    }

    #[test]
    fn what_is_refused_says_why() {
        let disk = Simulated::new();
        let path = Path::new("/a");
        disk.append(path, b"one", 1).unwrap();
        let open = disk.open(path).unwrap();
        disk.set_refusal(path, Some(Refusal::Open)).unwrap();
        assert_eq!(disk.open(path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(open.read_at(&mut [0; 9], Offset::START).unwrap(), 3);
        disk.set_refusal(path, Some(Refusal::Read)).unwrap();
        let answer = open.read_at(&mut [0; 9], Offset::START).unwrap_err();
        assert_eq!(answer.raw_os_error(), Some(Errno::EIO as i32));
        disk.set_refusal(path, None).unwrap();
        assert_eq!(open.read_at(&mut [0; 9], Offset::START).unwrap(), 3);
    }

    #[test]
    fn a_pipe_is_no_file() {
        let disk = Simulated::new();
        disk.make_pipe(Path::new("/pipe")).unwrap();
        assert_eq!(Disk::stat(&disk, Path::new("/pipe")).unwrap().kind, Kind::Other);
    }
}
