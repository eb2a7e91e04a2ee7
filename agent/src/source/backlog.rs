//! The rotations since: files that no checkpoint knows, between the file that was read last and the log that is written
//! to now.
//!
//! A log may be rotated more than once between two looks, and often while the agent is down. With an exact name, or where
//! rotations are compressed, the pattern does not lead to what came between; names and times do. What is found is read
//! from its beginning to its end, like every file whose name was taken from it. (G1)

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::beside::OLD_DIRECTORIES;
use super::disk::{Content, Disk, Kind, Stat};
use super::evidence::{self, OpenError, Opened};
use super::files::{Files, Met};
use super::lanes::Lane;
use super::pattern::is_compressed;
use super::rotation::Name;
use crate::metrics::Metric;
use crate::position::{FileId, Generation, Head, Identity, Offset, Position};

/// Nanoseconds of a millisecond.
const NANOS_OF_MILLI: u64 = 1_000_000;

/// A file of the last run, and where it is now, if anywhere.
#[derive(Debug)]
pub(super) struct Resumed<'a> {
    pub(super) known: &'a Generation,
    pub(super) at: Option<PathBuf>,
}

/// The file of a log that was read last.
struct Last<'a> {
    path: &'a Path,
    modified: i64,
    /// When it was made; 0 where nothing says so.
    born: u64,
}

/// A file beside a rotated one, of the same log.
#[derive(Debug)]
struct Sibling {
    path: PathBuf,
    name: Name,
    stat: Stat,
}

impl Files {
    /// Takes up what was rotated since the last run: after the newest file of each log that was known then.
    pub(super) fn catch_up(&mut self, resumed: &[Resumed<'_>], now: Instant) {
        let mut newest = BTreeMap::<_, (Name, &Resumed<'_>)>::new();
        for one in resumed {
            let (_, name) = split(&one.known.path);
            let is_newer = |(other, than): &(Name, &Resumed<'_>)| {
                let by_time = one.known.modified.cmp(&than.known.modified);
                // Several may be known by the name that each of them had while it was written to.
                name.compare(other).unwrap_or(by_time).then(by_time) == Ordering::Greater
            };
            let key = log_of(&one.known.path);
            if newest.get(&key).is_none_or(is_newer) {
                newest.insert(key, (name, one));
            }
        }
        let mut met = Met::default();
        for (_, Resumed { known, at }) in newest.into_values() {
            let is_it = |sibling: &Sibling| Some(&sibling.path) == at.as_ref();
            let last = Last { path: &known.path, modified: known.modified, born: known.born };
            let since = self.rotations_since(last, is_it, &mut met.logs);
            self.take_up(since, &mut met, now);
        }
        self.supersede();
    }

    /// The newest file of the log at `path` whose name was taken from it.
    pub(super) fn predecessor(&self, path: &Path) -> Option<FileId> {
        let leaving = self.unheard().filter_map(|id| Some((id, self.table.get(id)?)));
        let of_log = leaving.filter(|(_, tailed)| tailed.leaving && are_of_one_log(&tailed.path, path));
        of_log.max_by_key(|(id, tailed)| (tailed.modified, *id)).map(|(id, _)| id)
    }

    /// Those of the files that are `lost` whose logs have no other file now: more may come and go unseen before one stays.
    pub(super) fn last_of_their_logs(&self, lost: &[FileId]) -> Vec<FileId> {
        let leaving = lost.iter().filter_map(|id| Some((*id, self.table.get(*id)?)));
        let mut last = leaving.filter(|(_, it)| it.leaving && !it.in_reach).collect::<Vec<_>>();
        if !last.is_empty() {
            let in_reach = self.table.iter().filter(|(_, tailed)| tailed.in_reach);
            let written: BTreeSet<_> = in_reach.map(|(_, tailed)| log_of(&tailed.path)).collect();
            last.retain(|(_, tailed)| !written.contains(&log_of(&tailed.path)));
        }
        last.into_iter().map(|(id, _)| id).collect()
    }

    /// Takes up what was rotated after a file whose name was taken from it.
    pub(super) fn follow(&mut self, id: FileId, met: &mut Met, now: Instant) {
        let Some(tailed) = self.table.get(id) else { return };
        let (device, inode) = (tailed.identity.device, tailed.identity.inode);
        let is_it = |sibling: &Sibling| (sibling.stat.device, sibling.stat.inode) == (device, inode);
        let last = Last { path: &tailed.path, modified: tailed.modified, born: tailed.born };
        let since = self.rotations_since(last, is_it, &mut met.logs);
        self.take_up(since, met, now);
    }

    /// Takes up the copies that were made since a file was seen that does not hold any more what it held then: of that, where
    /// too little of it was seen to prove one, and of what it held later.
    pub(super) fn follow_altered(&mut self, known: &Generation, met: &mut Met, now: Instant) {
        let seen = u64::try_from(known.modified).unwrap_or_default().saturating_mul(NANOS_OF_MILLI);
        let last = Last { path: &known.path, modified: known.modified, born: seen };
        let since = self.rotations_since(last, |_| false, &mut met.logs);
        for id in self.take_up(since, met, now) {
            // What was left of the file when it was cut is in a copy of that as well; copies of all that was read were told
            // when they were identified.
            let is_again = self.table.get(id).is_some_and(|copy| {
                copy.start == Offset::START
                    && known.position.offset != Offset::START
                    && evidence::begins_with(&copy.file, known.first)
                    && !evidence::begins_with(&copy.file, known.identity.head)
            });
            self.metrics.add(Metric::FilesReread, is_again.into());
        }
    }

    /// The files beside the `last` one, outside the pattern, that were rotated after it: after the one that `is_it` by
    /// their names, or, where that is not there any more, by their times. The oldest first.
    fn rotations_since(
        &self,
        last: Last<'_>,
        is_it: impl Fn(&Sibling) -> bool,
        logs: &mut Logs,
    ) -> Vec<Sibling> {
        let led_to = self.led_to_since(&last, &is_it, logs);
        let mut siblings = logs.siblings(&*self.disk, last.path);
        let at = siblings.iter().find(|sibling| is_it(sibling)).map(|sibling| sibling.name.clone());
        // While a file is being compressed both are there, and the archive is not whole, nor of the time of its file yet.
        let is_archive = |sibling: &Sibling| is_compressed(sibling.path.as_os_str());
        let plain =
            siblings.iter().filter(|sibling| !is_archive(sibling)).map(|sibling| sibling.name.clone());
        let plain: Vec<Name> = plain.collect();
        siblings.retain(|sibling| !is_archive(sibling) || !plain.contains(&sibling.name));
        siblings.retain(|sibling| {
            let age = at.as_ref().and_then(|at| sibling.name.compare(at));
            let is_since = age.map_or(self.is_later(sibling, &last), |age| age == Ordering::Greater);
            is_since && !sibling.name.is_live()
        });
        siblings.extend(led_to);
        siblings.retain(|sibling| !self.settings.pattern.matches(&sibling.path));
        siblings.sort_by_key(|sibling| sibling.stat.modified);
        siblings
    }

    /// The files that a link led to after the `last` one and before the one that it leads to now, by the names that they have
    /// besides: `rotatelogs` gives its link a new file each period, whoever looks.
    fn led_to_since(
        &self,
        last: &Last<'_>,
        is_it: impl Fn(&Sibling) -> bool,
        logs: &mut Logs,
    ) -> Vec<Sibling> {
        let Some((target, leads_to)) = logs.target(&*self.disk, last.path) else { return Vec::new() };
        let mut siblings = logs.siblings(&*self.disk, &target);
        let then = siblings.iter().find(|sibling| is_it(sibling)).map(|sibling| sibling.name.clone());
        let now = Name::of(target.file_name().unwrap_or_default());
        siblings.retain(|sibling| {
            let is_since = match &then {
                Some(then) => sibling.name.compare(then) == Some(Ordering::Greater),
                None => self.is_later(sibling, last),
            };
            is_since
                && !sibling.stat.is_same_inode(&leads_to)
                && sibling.name.compare(&now) == Some(Ordering::Less)
        });
        siblings
    }

    /// Whether a file was begun after the `last` one. One that is older may still be written to, or be compressed.
    fn is_later(&self, sibling: &Sibling, last: &Last<'_>) -> bool {
        let stat = &sibling.stat;
        // An archive is made when its file is long finished. File systems count births in ticks of some milliseconds.
        let is_told = last.born > 0 && stat.born > 0 && stat.born != last.born;
        if is_told && !is_compressed(sibling.path.as_os_str()) {
            return stat.born > last.born;
        }
        let born = i64::try_from(stat.born / NANOS_OF_MILLI).unwrap_or(i64::MAX);
        // A server writes to the last one for a while after the next was made.
        let grace = i64::try_from(self.settings.grace.as_millis()).unwrap_or(i64::MAX);
        stat.modified > last.modified && (stat.born == 0 || born.saturating_add(grace) >= last.modified)
    }

    /// Takes up those of `rotations` that are not known; gives the files that are read by that.
    fn take_up(&mut self, rotations: Vec<Sibling>, met: &mut Met, now: Instant) -> Vec<FileId> {
        let mut taken = Vec::new();
        for Sibling { path, stat, .. } in rotations {
            if self.known(&stat).is_some() || self.is_sought(&path) || self.is_withheld(&path, &stat) {
                continue;
            }
            let opened = match evidence::open(&*self.disk, &path, self.settings.pattern.literal_prefix()) {
                Ok(opened) => opened,
                Err(error) if error.is_absence() => continue,
                Err(OpenError::Unfinished(archive)) => {
                    self.await_archive(unknown(path, &stat), archive, now);
                    continue;
                }
                Err(error) => {
                    self.refuse(&path, &error);
                    continue;
                }
            };
            taken.extend(self.take_up_rotation(&path, opened, met, now));
        }
        taken
    }

    /// Takes up a file that was rotated unseen, if it is none that is known.
    pub(super) fn take_up_rotation(
        &mut self,
        path: &Path,
        opened: Opened,
        met: &mut Met,
        now: Instant,
    ) -> Option<FileId> {
        // What is compressed while it is read is read to its end all the same, from what is still open.
        if self.is_open_elsewhere(path, &opened) {
            return None;
        }
        let id = self.identify(path, opened, met, now)?;
        self.table.edit(id, |tailed| tailed.in_reach = false);
        self.mark_leaving(id, now);
        Some(id)
    }

    /// Whether what is at `path` is an archive, and all that is in it is in an open file that has no name any more.
    pub(super) fn is_open_elsewhere(&self, path: &Path, archive: &Opened) -> bool {
        if !is_compressed(path.as_os_str()) {
            return false;
        }
        let mut head = [0; Head::BYTES];
        let head = evidence::read_beginning(&*archive.file, &mut head).unwrap_or_default();
        // One that was shorter when it was seen last, or empty, may have been written to since.
        let index = self.table.index();
        let alike = index.beginning(head).into_iter().chain(index.growing(head));
        alike.filter_map(|id| self.table.get(id)).filter(|tailed| tailed.file.is_open()).any(|tailed| {
            let is_it =
                tailed.file.stat().is_ok_and(|stat| stat.links == 0 && stat.size == archive.stat.size);
            is_it
                && evidence::read_head(&tailed.file, Head::BYTES)
                    .is_ok_and(|head| head == archive.identity.head)
        })
    }

    /// The lane in which a file is read.
    pub(crate) fn lane(&self, id: FileId) -> Option<Lane> {
        let Some(tailed) = self.table.get(id) else {
            return self.modified_if_decoding(id).map(|modified| Lane::Backlog { modified });
        };
        Some(if tailed.is_backlog() { Lane::Backlog { modified: tailed.modified } } else { Lane::Live })
    }

    /// Puts each file into the backlog of whose log a newer one is there.
    fn supersede(&mut self) {
        let mut logs = BTreeMap::<_, Vec<(Name, FileId)>>::new();
        for (id, tailed) in self.table.iter() {
            let (_, name) = split(&tailed.path);
            let (directory, log) = log_of(&tailed.path);
            logs.entry((directory.to_owned(), log)).or_default().push((name, id));
        }
        for rotations in logs.into_values() {
            for (name, id) in &rotations {
                let is_older = |(other, _): &(Name, FileId)| name.compare(other) == Some(Ordering::Less);
                let superseded = rotations.iter().any(is_older);
                self.table.edit(*id, |tailed| tailed.superseded = superseded);
            }
        }
    }
}

/// The logs of directories, each of which is listed once in a look, however many of its files were rotated.
#[derive(Debug, Default)]
pub(super) struct Logs(BTreeMap<PathBuf, Listing>);

/// What is in one directory.
#[derive(Debug, Default)]
struct Listing {
    /// The regular files, by the name of their log.
    logs: BTreeMap<Vec<u8>, Vec<(PathBuf, Name)>>,
    /// The first few directories.
    directories: Vec<PathBuf>,
}

impl Logs {
    /// The regular files of a log in the directory of one of them, or, where its rotations are kept in a directory in
    /// there (logrotate's `olddir`), those.
    fn siblings(&mut self, disk: &dyn Disk, path: &Path) -> Vec<Sibling> {
        let (directory, log) = split(path);
        let log = log.log();
        let (mut names, directories) = {
            let listing = self.of(disk, directory);
            (listing.of_log(log).to_vec(), listing.directories.clone())
        };
        if names.iter().all(|(_, name)| name.is_live()) {
            // Where a log is written to, its rotations are those of that one.
            let is_old = |names: &&[(PathBuf, Name)]| {
                !names.is_empty() && names.iter().all(|(_, name)| !name.is_live())
            };
            let old = directories
                .iter()
                .find_map(|old| Some(self.of(disk, old).of_log(log)).filter(is_old).map(<[_]>::to_vec));
            names.extend(old.unwrap_or_default());
        }
        let siblings = names.into_iter().filter_map(|(path, name)| {
            // One that is gone by now was deleted before anybody could read it.
            let stat = disk.stat(&path).ok()?;
            Some(Sibling { path, name, stat })
        });
        siblings.collect()
    }

    /// Where a link leads: its target, or, where it is a hard link, another name of the same file in its directory; and what
    /// is there.
    fn target(&mut self, disk: &dyn Disk, link: &Path) -> Option<(PathBuf, Stat)> {
        let stat = disk.stat(link).ok()?;
        if disk.stat_link(link).ok()?.kind == Kind::Link {
            return Some((disk.real_path(link).ok()?, stat));
        }
        if stat.links < 2 {
            return None;
        }
        let listing = self.of(disk, link.parent()?);
        let mut files = listing.logs.values().flatten().map(|(path, _)| path);
        let leads_there =
            |path: &&PathBuf| *path != link && disk.stat(path).is_ok_and(|other| other.is_same_inode(&stat));
        Some((files.find(leads_there)?.clone(), stat))
    }

    fn of(&mut self, disk: &dyn Disk, directory: &Path) -> &Listing {
        self.0.entry(directory.to_owned()).or_insert_with(|| Listing::new(disk, directory))
    }
}

impl Listing {
    fn new(disk: &dyn Disk, directory: &Path) -> Listing {
        let mut listing = Listing::default();
        for (name, kind) in disk.list(directory).unwrap_or_default().into_iter().filter_map(Result::ok) {
            let path = directory.join(&name);
            match kind {
                Kind::File => {
                    let name = Name::of(&name);
                    listing.logs.entry(name.log().to_vec()).or_default().push((path, name));
                }
                Kind::Directory => listing.directories.push(path),
                Kind::Link | Kind::Other => {}
            }
        }
        listing.directories.sort_unstable();
        listing.directories.truncate(OLD_DIRECTORIES);
        listing
    }

    fn of_log(&self, log: &[u8]) -> &[(PathBuf, Name)] {
        self.logs.get(log).map_or(&[], Vec::as_slice)
    }
}

/// Whether two files are rotations of one log.
pub(super) fn are_of_one_log(one: &Path, other: &Path) -> bool {
    log_of(one) == log_of(other)
}

/// The log that a file is of: its directory and name.
fn log_of(path: &Path) -> (&Path, Vec<u8>) {
    let (directory, name) = split(path);
    (directory, name.log().to_vec())
}

/// A path's directory and name.
fn split(path: &Path) -> (&Path, Name) {
    let directory = path.parent().unwrap_or(Path::new("/"));
    (directory, Name::of(path.file_name().unwrap_or_default()))
}

/// A file at `path` of which nothing is known but that all of it is to be read.
fn unknown(path: PathBuf, stat: &Stat) -> Generation {
    Generation {
        file: FileId::FIRST,
        identity: Identity { device: stat.device, inode: stat.inode, head: Head::default() },
        mark: None,
        leaving: true,
        footer: None,
        first: Head::default(),
        beside: false,
        path,
        position: Position::default(),
        size: 0,
        modified: stat.modified,
        born: stat.born,
    }
}
