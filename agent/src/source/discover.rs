//! Patterns to files that exist now, and to the directories that tell when more of them appear.
//!
//! Does not know who a file is or how far it has been read, and opens none. What it finds is true at no later
//! instant: a name that is gone when it is looked at was never there. A look at a few names costs as much as these do,
//! however many files there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::source::disk::{Disk, Kind, Stat};
use crate::source::pattern::Pattern;

/// What a pattern means at this moment.
#[derive(Debug)]
pub(crate) struct Found {
    /// What was looked at: what is not found there is gone.
    pub(crate) scope: Scope,
    /// The files that match, sorted by path. Regular files only, also at the end of links.
    pub(crate) files: Vec<PathBuf>,
    /// What matches and is neither a file nor a directory on the way to one: a pipe, a device, a directory.
    pub(crate) others: Vec<PathBuf>,
    /// What could not be looked at, although it was there.
    pub(crate) troubles: Vec<(PathBuf, io::Error)>,
}

/// How much was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All there is.
    Everything,
    /// These names, and what is below them.
    Names(BTreeSet<PathBuf>),
}

impl Scope {
    /// What is kept of the paths in it.
    pub(super) fn of<'a, T>(
        &'a self,
        kept: &'a BTreeMap<PathBuf, T>,
    ) -> impl Iterator<Item = (&'a PathBuf, &'a T)> {
        let (all, names) = match self {
            Scope::Everything => (Some(kept.iter()), None),
            Scope::Names(names) => (None, Some(names.iter().flat_map(|name| within(kept, name)))),
        };
        all.into_iter().flatten().chain(names.into_iter().flatten())
    }
}

/// What is kept of `path` and of the paths below it.
fn within<'a, T>(
    kept: &'a BTreeMap<PathBuf, T>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a T)> {
    // Paths are compared by their components, so what is below a directory stands together behind it.
    let from = kept.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
    from.take_while(move |(found, _)| found.starts_with(path))
}

/// The directories of a pattern as they were found last.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    directories: BTreeMap<PathBuf, Entered>,
    /// The same the other way round. A link that leads into one of them leads to nothing new, so that loops end.
    entered: BTreeMap<Entered, PathBuf>,
}

/// Device and inode of a directory, and how far into the pattern's steps one is in it.
type Entered = (u64, u64, BTreeSet<usize>);

impl Tree {
    /// Every directory of `scope` in which something that matches may appear, or a directory on the way to it: the ones
    /// to watch.
    pub(crate) fn directories(&self, scope: &Scope) -> BTreeSet<PathBuf> {
        scope.of(&self.directories).map(|(path, _)| path.clone()).collect()
    }

    /// Looks for all files of `pattern`.
    pub(crate) fn discover(&mut self, pattern: &Pattern, disk: &dyn Disk) -> Found {
        *self = Tree::default();
        let mut walk = Walk::new(pattern, disk, self);
        walk.begin();
        walk.finish(Scope::Everything)
    }

    /// Looks at `names` only, and at what is below those that are directories; nothing comes of it if everything must be
    /// looked at.
    pub(crate) fn discover_at(
        &mut self,
        pattern: &Pattern,
        disk: &dyn Disk,
        names: BTreeSet<PathBuf>,
    ) -> Option<Found> {
        let prefix = pattern.literal_prefix();
        // What becomes of the prefix itself, or of the way to it, concerns everything.
        if names.iter().any(|name| prefix.starts_with(name)) {
            return None;
        }
        let mut walk = Walk::new(pattern, disk, self);
        // What is there now may be another directory with the number of one that was there or elsewhere.
        names.iter().for_each(|name| walk.tree.leave(name));
        names.iter().for_each(|name| walk.look_at_name(name));
        Some(walk.finish(Scope::Names(names)))
    }

    /// Takes a directory in.
    fn enter(&mut self, path: &Path, entered: Entered) {
        self.entered.insert(entered.clone(), path.to_owned());
        self.directories.insert(path.to_owned(), entered);
    }

    /// Forgets a directory and all below it.
    fn leave(&mut self, path: &Path) {
        for gone in within(&self.directories, path).map(|(found, _)| found.clone()).collect::<Vec<_>>() {
            if let Some(entered) = self.directories.remove(&gone) {
                self.entered.remove(&entered);
            }
        }
    }
}

/// A directory to look into, and how far into the pattern's steps it is.
struct Ahead {
    path: PathBuf,
    reached: BTreeSet<usize>,
}

/// What a name may stand for, as far as its directory tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MayBe {
    File,
    Anything,
}

/// One look.
struct Walk<'a> {
    pattern: &'a Pattern,
    disk: &'a dyn Disk,
    tree: &'a mut Tree,
    files: Vec<PathBuf>,
    others: Vec<PathBuf>,
    troubles: Vec<(PathBuf, io::Error)>,
    ahead: Vec<Ahead>,
}

impl<'a> Walk<'a> {
    fn new(pattern: &'a Pattern, disk: &'a dyn Disk, tree: &'a mut Tree) -> Walk<'a> {
        let (files, others, troubles, ahead) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Walk { pattern, disk, tree, files, others, troubles, ahead }
    }

    /// Looks into all directories that are ahead; gives what was found on the way.
    fn finish(mut self, scope: Scope) -> Found {
        while let Some(directory) = self.ahead.pop() {
            self.look_into(directory);
        }
        self.files.sort_unstable();
        self.files.dedup();
        Found { scope, files: self.files, others: self.others, troubles: self.troubles }
    }

    /// Looks at one name in a directory that is known.
    fn look_at_name(&mut self, path: &Path) {
        let Some(parent) = path.parent() else { return };
        let Some((.., reached)) = self.tree.directories.get(parent) else { return };
        let Some(name) = path.file_name() else { return };
        let parent = Ahead { path: parent.to_owned(), reached: reached.clone() };
        self.look_at(&parent, name, MayBe::Anything);
    }

    /// Enters the literal prefix; if it is not there, its nearest ancestor that is will tell when it appears.
    fn begin(&mut self) {
        let prefix = self.pattern.literal_prefix();
        let prefix = if prefix.as_os_str().is_empty() { Path::new(".") } else { prefix };
        if let Some(stat) = self.stat(prefix)
            && stat.kind == Kind::Directory
        {
            self.enter(prefix.to_path_buf(), &stat, self.pattern.begin());
            return;
        }
        let ancestors = prefix.ancestors().skip(1);
        for path in ancestors.map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path }) {
            if let Ok(stat) = self.disk.stat(path)
                && stat.kind == Kind::Directory
            {
                self.tree.enter(path, (stat.device, stat.inode, BTreeSet::new()));
                return;
            }
        }
    }

    fn enter(&mut self, path: PathBuf, stat: &Stat, reached: BTreeSet<usize>) {
        let entered = (stat.device, stat.inode, reached.clone());
        if let Some(other) = self.tree.entered.get(&entered).cloned() {
            let is_there = self.disk.stat(&other).is_ok_and(|other| other.is_same_inode(stat));
            if is_there {
                return;
            }
            // It was renamed, or its number is used again, and that was not heard yet.
            self.tree.leave(&other);
        }
        self.tree.enter(&path, entered);
        self.ahead.push(Ahead { path, reached });
    }

    fn look_into(&mut self, directory: Ahead) {
        if let Some(names) = self.pattern.literal_names(&directory.reached) {
            for name in names {
                self.look_at(&directory, &name, MayBe::Anything);
            }
            return;
        }
        let entries = match self.disk.list(&directory.path) {
            Ok(entries) => entries,
            Err(error) => return self.note(&directory.path, error),
        };
        // In the order of their names, so that of two ways to one directory always the same is taken. The walk takes
        // the last first.
        let mut names = Vec::new();
        for entry in entries {
            match entry {
                Ok((name, Kind::File)) => names.push((name, MayBe::File)),
                Ok((name, Kind::Directory | Kind::Link | Kind::Other)) => {
                    names.push((name, MayBe::Anything));
                }
                Err(error) => self.note(&directory.path, error),
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        for (name, may_be) in names {
            self.look_at(&directory, &name, may_be);
        }
    }

    fn look_at(&mut self, directory: &Ahead, name: &OsStr, may_be: MayBe) {
        let reached = self.pattern.advance(&directory.reached, name);
        let is_file = self.pattern.is_file(&reached, name);
        let is_directory = may_be == MayBe::Anything && self.pattern.is_directory(&reached);
        if !is_file && !is_directory {
            return;
        }
        let path = directory.path.join(name);
        if may_be == MayBe::File {
            return self.files.push(path);
        }
        let Some(stat) = self.stat(&path) else { return };
        match stat.kind {
            Kind::File if is_file => self.files.push(path),
            Kind::Directory if is_directory => self.enter(path, &stat, reached),
            Kind::File => {}
            Kind::Directory | Kind::Link | Kind::Other if is_file => self.others.push(path),
            Kind::Directory | Kind::Link | Kind::Other => {}
        }
    }

    /// What is at `path`, at the end of links; nothing if nothing is.
    fn stat(&mut self, path: &Path) -> Option<Stat> {
        match self.disk.stat(path) {
            Ok(stat) => Some(stat),
            Err(error) => {
                self.note(path, error);
                None
            }
        }
    }

    /// Keeps an error that an operator can mend. That something is not there, or not any more, is none.
    fn note(&mut self, path: &Path, error: io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.troubles.push((path.to_path_buf(), error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::source::disk::System;

    /// A directory with these files in it.
    fn tree<'a>(files: impl IntoIterator<Item = &'a str>) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    /// What is found under `root`, as files and directories relative to it.
    #[track_caller]
    fn check_found(root: &TempDir, pattern: &str, files: &[&str], directories: &[&str]) {
        let base = root.path().to_str().unwrap();
        let mut tree = Tree::default();
        let found = tree.discover(&Pattern::parse(&format!("{base}/{pattern}")).unwrap(), &System);
        let found_directories: Vec<PathBuf> = tree.directories(&Scope::Everything).into_iter().collect();
        let below = |paths: &[PathBuf]| -> Vec<String> {
            let below =
                paths.iter().map(|path| path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            below.collect()
        };
        assert_eq!(below(&found.files), files, "files of `{pattern}`");
        assert_eq!(below(&found_directories), directories, "directories of `{pattern}`");
        assert!(found.troubles.is_empty(), "{:?}", found.troubles);
    }

    #[test]
    fn files_are_found_and_their_directory_is_to_be_watched() {
        let root = tree(["access_log", "access_log.1", "access_log.2.gz", "error_log", "access_log.d/x"]);
        check_found(&root, "access_log*", &["access_log", "access_log.1"], &[""]);
        check_found(&root, "access_log", &["access_log"], &[""]);
    }

    #[test]
    fn every_directory_on_the_way_is_to_be_watched() {
        let root = tree(["a/logs/access", "b/logs/deep/er/access", "c/other"]);
        check_found(&root, "*/logs/access", &["a/logs/access"], &["", "a", "a/logs", "b", "b/logs", "c"]);
        check_found(
            &root,
            "b/**/access",
            &["b/logs/deep/er/access"],
            &["b", "b/logs", "b/logs/deep", "b/logs/deep/er"],
        );
    }

    #[test]
    fn of_a_missing_directory_the_nearest_ancestor_is_to_be_watched() {
        let root = tree(["var/file"]);
        check_found(&root, "var/log/httpd/*", &[], &["var"]);
        check_found(&root, "var/file/*", &[], &["var"]);
    }

    #[test]
    fn a_link_that_leads_back_is_entered_once() {
        let root = tree(["a/access"]);
        symlink("..", root.path().join("a/up")).unwrap();
        check_found(&root, "**/access", &["a/access"], &["", "a"]);
    }

    #[test]
    fn linked_directories_and_files_are_followed() {
        let root = tree(["real/access", "elsewhere/app.log"]);
        fs::create_dir(root.path().join("logs")).unwrap();
        symlink("../real", root.path().join("logs/linked")).unwrap();
        symlink("../elsewhere/app.log", root.path().join("logs/access")).unwrap();
        symlink("nowhere", root.path().join("logs/dangling")).unwrap();
        check_found(
            &root,
            "logs/**/access",
            &["logs/access", "logs/linked/access"],
            &["logs", "logs/linked"],
        );
        check_found(&root, "logs/*", &["logs/access"], &["logs"]);
    }

    #[test]
    fn what_is_no_regular_file_is_passed_over_and_told() {
        let root = tree(["access"]);
        fs::create_dir(root.path().join("access.d")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("access.sock")).unwrap();
        check_found(&root, "access*", &["access"], &[""]);
        let pattern = Pattern::parse(&format!("{}/access*", root.path().display())).unwrap();
        let found = Tree::default().discover(&pattern, &System);
        let names = found.others.iter().filter_map(|path| path.file_name()?.to_str());
        assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(["access.d", "access.sock"]));
    }

    #[test]
    fn names_that_are_not_utf8_are_found() {
        let root = tree([]);
        let path = root.path().join(OsStr::from_bytes(b"access\xff.log"));
        fs::write(&path, "").unwrap();
        let found = Tree::default()
            .discover(&Pattern::parse(&format!("{}/access*", root.path().display())).unwrap(), &System);
        assert_eq!(found.files, [path]);
    }

    #[test]
    fn what_cannot_be_looked_at_is_told() {
        let root = tree(["a/access"]);
        let loops = root.path().join("b");
        symlink(&loops, &loops).unwrap();
        let found = Tree::default()
            .discover(&Pattern::parse(&format!("{}/*/access", root.path().display())).unwrap(), &System);
        assert_eq!(found.files, [root.path().join("a/access")]);
        assert_eq!(found.troubles.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&loops]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Looking is listing everything and asking of each file whether it matches; and each file that is found,
        /// lies in a directory that is watched.
        #[test]
        fn what_is_found_is_what_matches(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**", "[ab]"]), 1..5),
            files in prop::collection::btree_set("([abc]/){0,3}[xab]", 0..8),
        ) {
            // A name cannot be a file and a directory.
            let files: Vec<_> = files
                .iter()
                .filter(|file| !files.iter().any(|other| other.starts_with(&format!("{file}/"))))
                .collect();
            let root = tree(files.iter().map(|file| file.as_str()));
            let pattern = format!("{}/{}", root.path().display(), pattern.join("/"));
            let pattern = Pattern::parse(&pattern).unwrap();
            let mut tree = Tree::default();
            let found = tree.discover(&pattern, &System);
            let directories = tree.directories(&Scope::Everything);

            let mut expected: Vec<_> = files.iter().map(|file| root.path().join(file)).collect();
            expected.retain(|path| pattern.matches(path));
            expected.sort_unstable();
            prop_assert_eq!(&found.files, &expected);
            for file in &found.files {
                prop_assert!(directories.contains(file.parent().unwrap()));
            }
        }
    }

    /// What a look at `names` finds after `change`, as files relative to the root.
    #[track_caller]
    fn check_found_at(
        files: &[&str],
        pattern: &str,
        change: impl FnOnce(&Path),
        names: &[&str],
        expected: Option<&[&str]>,
    ) {
        let root = tree(files.iter().copied());
        let base = root.path();
        let pattern = Pattern::parse(&format!("{}/{pattern}", base.display())).unwrap();
        let mut tree = Tree::default();
        tree.discover(&pattern, &System);
        change(base);
        let names = names.iter().map(|name| base.join(name)).collect();
        let found = tree.discover_at(&pattern, &System, names).map(|found| found.files);
        let expected = expected.map(|files| files.iter().map(|file| base.join(file)).collect::<Vec<_>>());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_look_at_a_name_finds_that_and_what_is_below_it() {
        let nothing = |_: &Path| {};
        check_found_at(&["a/x", "b/x", "bc/x"], "**/x", nothing, &["b"], Some(&["b/x"]));
        check_found_at(&["a/x", "b/x"], "*/x", nothing, &["a/x", "b/y"], Some(&["a/x"]));
        check_found_at(
            &["a/x"],
            "*/x",
            |base| fs::remove_file(base.join("a/x")).unwrap(),
            &["a/x"],
            Some(&[]),
        );
        check_found_at(
            &["a/x"],
            "*/x",
            |base| fs::create_dir(base.join("b")).unwrap(),
            &["b/x", "c/x"],
            Some(&[]),
        );
    }

    #[test]
    fn what_becomes_of_the_prefix_concerns_everything() {
        let nothing = |_: &Path| {};
        check_found_at(&["var/log/x"], "var/log/*", nothing, &["var/log"], None);
        check_found_at(&["var/log/x"], "var/log/*", nothing, &["var"], None);
        check_found_at(&["var/x"], "var/log/*", nothing, &["var/logs"], Some(&[]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However files and directories change: who looks at each name that changed finds what changed, and knows
        /// the directories that are there, as if everything had been looked at.
        #[test]
        fn looks_at_what_changed_add_up_to_a_look_at_everything(
            pattern in prop::sample::select(vec!["*", "**/x", "*/x", "a/*/x", "**/a/*", "[ab]/**/*"]),
            before in prop::collection::btree_set("([ab]/){0,3}[x]", 0..8),
            changes in prop::collection::vec(prop::collection::vec("([ab]/){0,2}[abx]", 1..4), 1..5),
        ) {
            let root = tree(before.iter().map(String::as_str));
            let pattern = Pattern::parse(&format!("{}/{pattern}", root.path().display())).unwrap();
            let mut tree = Tree::default();
            let mut known: BTreeSet<PathBuf> = tree.discover(&pattern, &System).files.into_iter().collect();
            for change in changes {
                let mut names = BTreeSet::new();
                for name in change {
                    let path = root.path().join(&name);
                    if path.is_dir() {
                        fs::remove_dir_all(&path).unwrap();
                    } else if path.is_file() {
                        fs::remove_file(&path).unwrap();
                    } else if let Some(parent) = path.parent() {
                        // Each directory that is made on the way is heard of.
                        let missing = parent.ancestors().take_while(|path| !path.exists());
                        names.extend(missing.map(Path::to_owned));
                        fs::create_dir_all(parent).unwrap();
                        if name.ends_with('x') {
                            fs::write(&path, "").unwrap();
                        } else {
                            fs::create_dir(&path).unwrap();
                            fs::write(path.join("x"), "").unwrap();
                        }
                    }
                    names.insert(path);
                }
                match tree.discover_at(&pattern, &System, names.clone()) {
                    Some(found) => {
                        known.retain(|path| !names.iter().any(|name| path.starts_with(name)));
                        known.extend(found.files);
                    }
                    None => known = tree.discover(&pattern, &System).files.into_iter().collect(),
                }
            }
            let mut anew = Tree::default();
            prop_assert_eq!(known.into_iter().collect::<Vec<_>>(), anew.discover(&pattern, &System).files);
            prop_assert_eq!(tree.directories(&Scope::Everything), anew.directories(&Scope::Everything));
        }
    }
}
