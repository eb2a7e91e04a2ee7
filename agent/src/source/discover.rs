//! Patterns to files that exist now, and to the directories that tell when more of them appear.
//!
//! Does not know who a file is or how far it has been read, and opens none. What it finds is true at no later
//! instant: a name that is gone when it is looked at was never there.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component as PathPart, Path, PathBuf};

use crate::source::disk::{Disk, Kind, Stat};
use crate::source::glob::{Component, GlobError};

/// The endings, in any case, of files that are compressed and therefore not tailed.
const COMPRESSED: [&[u8]; 5] = [b".gz", b".bz2", b".zip", b".xz", b".zst"];

/// Which files a flow reads: a path whose components may be globs, and `**` any number of directories.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// The directories before the first wildcard.
    prefix: PathBuf,
    /// What follows, one step for each component. Ends with the file's name.
    steps: Vec<Step>,
}

/// What one component of a pattern lets through.
#[derive(Clone, Debug)]
enum Step {
    /// One directory, or the file, of a name that matches.
    One(Component),
    /// `**`: any number of directories, also none.
    AnyDepth,
}

/// Why a text is no file pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty or ends with a slash.
    #[error("it ends without a file name")]
    NoName,
    /// It has no slash.
    #[error("it names no directory: begin it with `/`")]
    NoDirectory,
    /// `.` or `..` behind a wildcard.
    #[error("`.` and `..` may stand only before the first wildcard (character {at})")]
    DotsBehindWildcard {
        /// Which character of the pattern, from 1.
        at: usize,
    },
    /// A glob that means nothing.
    #[error("{reason} (character {at})")]
    Glob {
        /// Which character of the pattern, from 1.
        at: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Pattern {
    /// Understands `text`.
    ///
    /// # Errors
    /// If it has no file name or no directory, or if a component is no glob.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let name = text.rsplit('/').next().unwrap_or_default();
        if name.is_empty() {
            return Err(PatternError::NoName);
        }
        let Some(directories) = text.strip_suffix(name).filter(|directories| !directories.is_empty()) else {
            return Err(PatternError::NoDirectory);
        };

        let root = if text.starts_with('/') { "/" } else { "" };
        let mut prefix = PathBuf::from(root);
        let mut steps: Vec<Step> = Vec::new();
        let mut start = 0;
        for part in directories.split('/') {
            match step(text, start, part, false)? {
                None => {}
                Some(Step::One(Component::Name(literal))) if steps.is_empty() => prefix.push(literal),
                Some(Step::AnyDepth) if matches!(steps.last(), Some(Step::AnyDepth)) => {}
                Some(_) if [".", ".."].contains(&part) => {
                    return Err(PatternError::DotsBehindWildcard { at: character(text, start) });
                }
                Some(wild) => steps.push(wild),
            }
            start += part.len() + "/".len();
        }
        steps.extend(step(text, directories.len(), name, true)?);

        let names: Vec<_> = directories.split('/').filter(|part| !part.is_empty()).collect();
        Ok(Pattern { text: format!("{root}{}/{name}", names.join("/")), prefix, steps })
    }

    /// The pattern as the Java agent writes it in a flow's id: slashes that repeat are one, `.` and `..` stay, and a
    /// pattern in the root directory begins with two slashes.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// The directories before the first wildcard; nothing that matches lies outside.
    #[must_use]
    pub fn literal_prefix(&self) -> &Path {
        &self.prefix
    }

    /// Whether it names one file and no other.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::One(Component::Name(_))))
    }

    /// Whether a file at `path` would be tailed: it matches and is not compressed.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let Ok(rest) = path.strip_prefix(&self.prefix) else { return false };
        let mut reached = self.begin();
        for part in rest.components() {
            let PathPart::Normal(name) = part else { return false };
            reached = self.advance(&reached, name);
        }
        self.is_file(&reached, path.as_os_str())
    }

    /// How far into the steps one is in the directory of the literal prefix.
    fn begin(&self) -> BTreeSet<usize> {
        self.and_through_any_depth(0).collect()
    }

    /// How far one gets from `reached` by going into `name`. Nothing, if nothing in there can match.
    fn advance(&self, reached: &BTreeSet<usize>, name: &OsStr) -> BTreeSet<usize> {
        reached
            .iter()
            .filter_map(|&at| match self.steps.get(at)? {
                Step::AnyDepth => Some(at),
                Step::One(component) => component.matches(name).then_some(at + 1),
            })
            .flat_map(|at| self.and_through_any_depth(at))
            .collect()
    }

    /// `at`, and what follows if `**` stands there, as it may stand for no directory at all.
    fn and_through_any_depth(&self, at: usize) -> impl Iterator<Item = usize> {
        let beyond = matches!(self.steps.get(at), Some(Step::AnyDepth)).then_some(at + 1);
        iter::once(at).chain(beyond)
    }

    /// Whether a path for which one has `reached` the end of the steps is that of a file to tail.
    fn is_file(&self, reached: &BTreeSet<usize>, path: &OsStr) -> bool {
        reached.contains(&self.steps.len()) && !is_compressed(path)
    }

    /// Whether a directory for which one has `reached` these steps may hold something that matches.
    fn is_directory(&self, reached: &BTreeSet<usize>) -> bool {
        reached.iter().any(|&at| at < self.steps.len())
    }

    /// The names that a directory must hold to go on from `reached`, if no wildcard is among them.
    fn literal_names(&self, reached: &BTreeSet<usize>) -> Option<Vec<OsString>> {
        let steps = reached.iter().filter_map(|&at| self.steps.get(at));
        steps
            .map(|step| match step {
                Step::One(Component::Name(name)) => Some(name.clone()),
                Step::One(Component::Glob(_)) | Step::AnyDepth => None,
            })
            .collect()
    }
}

/// The step of `part`, which stands at byte `start` of the pattern `text`; none if it is empty.
fn step(text: &str, start: usize, part: &str, is_name: bool) -> Result<Option<Step>, PatternError> {
    match part {
        "" => Ok(None),
        // As a file's name, two stars are one, as they are for the Java agent.
        "**" if !is_name => Ok(Some(Step::AnyDepth)),
        glob => match Component::parse(glob) {
            Ok(component) => Ok(Some(Step::One(component))),
            Err(GlobError { at, reason }) => {
                Err(PatternError::Glob { at: character(text, start + at), reason })
            }
        },
    }
}

/// Which character of `text`, from 1, begins at byte `at`.
fn character(text: &str, at: usize) -> usize {
    text.char_indices().take_while(|(start, _)| *start <= at).count()
}

/// What a pattern means at this moment.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The files that match, sorted by path. Regular files only, also at the end of links.
    pub(crate) files: Vec<PathBuf>,
    /// Every directory in which something that matches may appear, or a directory on the way to it, sorted by path:
    /// the ones to watch.
    pub(crate) directories: Vec<PathBuf>,
    /// What could not be looked at, although it was there.
    pub(crate) troubles: Vec<(PathBuf, io::Error)>,
}

/// Whether a name says that the file is compressed.
pub(crate) fn is_compressed(path: &OsStr) -> bool {
    plain_name(path.as_bytes()).is_some()
}

/// The name of the file that a compressed one was made of; none if a name does not say that it is compressed.
pub(super) fn plain_name(name: &[u8]) -> Option<&[u8]> {
    COMPRESSED.iter().find_map(|ending| {
        let (plain, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
        end.eq_ignore_ascii_case(ending).then_some(plain)
    })
}

/// Looks for the files of `pattern`.
pub(crate) fn discover(pattern: &Pattern, disk: &dyn Disk) -> Found {
    let mut walk =
        Walk { pattern, disk, found: Found::default(), ahead: Vec::new(), entered: BTreeSet::new() };
    walk.begin();
    while let Some(directory) = walk.ahead.pop() {
        walk.look_into(directory);
    }
    walk.found.files.sort_unstable();
    walk.found.directories.sort_unstable();
    walk.found
}

/// A directory to look into, and how far into the pattern's steps it is.
struct Ahead {
    path: PathBuf,
    reached: BTreeSet<usize>,
}

/// One look at everything.
struct Walk<'a> {
    pattern: &'a Pattern,
    disk: &'a dyn Disk,
    found: Found,
    ahead: Vec<Ahead>,
    /// The directories that were entered, by device, inode and steps reached. A link that leads back into one of
    /// them leads to nothing new, so that loops end.
    entered: BTreeSet<(u64, u64, BTreeSet<usize>)>,
}

impl Walk<'_> {
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
        let ancestors = ancestors.map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
        let is_directory = |path: &&Path| self.disk.stat(path).is_ok_and(|stat| stat.kind == Kind::Directory);
        self.found.directories.extend(ancestors.into_iter().find(is_directory).map(Path::to_path_buf));
    }

    fn enter(&mut self, path: PathBuf, stat: &Stat, reached: BTreeSet<usize>) {
        if self.entered.insert((stat.device, stat.inode, reached.clone())) {
            self.found.directories.push(path.clone());
            self.ahead.push(Ahead { path, reached });
        }
    }

    fn look_into(&mut self, directory: Ahead) {
        if let Some(names) = self.pattern.literal_names(&directory.reached) {
            for name in names {
                self.look_at(&directory, &name, true);
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
                Ok((name, kind)) => names.push((name, kind != Kind::File)),
                Err(error) => self.note(&directory.path, error),
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        for (name, may_be_directory) in names {
            self.look_at(&directory, &name, may_be_directory);
        }
    }

    fn look_at(&mut self, directory: &Ahead, name: &OsStr, may_be_directory: bool) {
        let reached = self.pattern.advance(&directory.reached, name);
        let path = directory.path.join(name);
        let is_file = self.pattern.is_file(&reached, name);
        let is_directory = may_be_directory && self.pattern.is_directory(&reached);
        if !is_file && !is_directory {
            return;
        }
        let Some(stat) = self.stat(&path) else { return };
        if stat.kind == Kind::File && is_file {
            self.found.files.push(path);
        } else if stat.kind == Kind::Directory && is_directory {
            self.enter(path, &stat, reached);
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
            self.found.troubles.push((path.to_path_buf(), error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::source::disk::System;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::parse(pattern).unwrap();
        for path in matching {
            assert!(pattern.matches(Path::new(path)), "`{}` should match `{path}`", pattern.as_text());
        }
        for path in others {
            assert!(!pattern.matches(Path::new(path)), "`{}` should not match `{path}`", pattern.as_text());
        }
    }

    #[track_caller]
    fn check_refused(text: &str, message: &str) {
        assert_eq!(Pattern::parse(text).unwrap_err().to_string(), message);
    }

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
        let found = discover(&Pattern::parse(&format!("{base}/{pattern}")).unwrap(), &System);
        let below = |paths: &[PathBuf]| -> Vec<String> {
            let below =
                paths.iter().map(|path| path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            below.collect()
        };
        assert_eq!(below(&found.files), files, "files of `{pattern}`");
        assert_eq!(below(&found.directories), directories, "directories of `{pattern}`");
        assert!(found.troubles.is_empty(), "{:?}", found.troubles);
    }

    #[test]
    fn a_name_without_wildcards_is_exact() {
        let pattern = Pattern::parse("/var/log/httpd/access_log").unwrap();
        assert!(pattern.is_exact());
        assert_eq!(pattern.literal_prefix(), Path::new("/var/log/httpd"));
        check("/var/log/httpd/access_log", &["/var/log/httpd/access_log"], &["/var/log/httpd/access_log.1"]);
    }

    #[test]
    fn a_wildcard_stays_within_its_component() {
        check("/srv/*/logs/a*", &["/srv/x/logs/access"], &["/srv/logs/access", "/srv/x/y/logs/access"]);
        let pattern = Pattern::parse("/srv/*/logs/a*").unwrap();
        assert!(!pattern.is_exact());
        assert_eq!(pattern.literal_prefix(), Path::new("/srv"));
    }

    #[test]
    fn two_stars_are_any_number_of_directories() {
        check(
            "/srv/*/logs/**/access.log",
            &["/srv/a/logs/access.log", "/srv/a/logs/b/access.log", "/srv/a/logs/b/c/access.log"],
            &["/srv/logs/access.log", "/srv/a/logs/access.log/x", "/srv/a/access.log"],
        );
    }

    #[test]
    fn two_stars_as_a_name_are_one() {
        check("/srv/**", &["/srv/a", "/srv/.b"], &["/srv/a/b"]);
    }

    #[test]
    fn compressed_files_are_not_tailed() {
        check(
            "/l/a*",
            &["/l/a", "/l/a.gzip", "/l/agz"],
            &["/l/a.gz", "/l/a.BZ2", "/l/a.1.zip", "/l/a.xz", "/l/a.Zst"],
        );
    }

    #[test]
    fn slashes_that_repeat_are_one() {
        check("//var///log//a", &["/var/log/a"], &["/log/a"]);
    }

    #[test]
    fn the_text_is_that_of_the_java_agents_flow_id() {
        for (given, text) in [
            ("/var/log/a*", "/var/log/a*"),
            ("//var///log//a*", "/var/log/a*"),
            ("/a*", "//a*"),
            ("/var/../log/./a", "/var/../log/./a"),
            ("logs/a", "logs/a"),
            ("./a", "./a"),
        ] {
            assert_eq!(Pattern::parse(given).unwrap().as_text(), text);
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_place() {
        check_refused("", "it ends without a file name");
        check_refused("/var/log/", "it ends without a file name");
        check_refused("access_log", "it names no directory: begin it with `/`");
        check_refused("/var/log/app[", "`[` is never closed by `]` (character 13)");
        check_refused("/vär/{a/b", "`{` is never closed by `}` (character 6)");
        check_refused("/srv/*/../a", "`.` and `..` may stand only before the first wildcard (character 8)");
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
    fn what_is_no_regular_file_is_passed_over() {
        let root = tree(["access"]);
        fs::create_dir(root.path().join("access.d")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("access.sock")).unwrap();
        check_found(&root, "access*", &["access"], &[""]);
    }

    #[test]
    fn names_that_are_not_utf8_are_found() {
        let root = tree([]);
        let path = root.path().join(OsStr::from_bytes(b"access\xff.log"));
        fs::write(&path, "").unwrap();
        let found =
            discover(&Pattern::parse(&format!("{}/access*", root.path().display())).unwrap(), &System);
        assert_eq!(found.files, [path]);
    }

    #[test]
    fn what_cannot_be_looked_at_is_told() {
        let root = tree(["a/access"]);
        let loops = root.path().join("b");
        symlink(&loops, &loops).unwrap();
        let found =
            discover(&Pattern::parse(&format!("{}/*/access", root.path().display())).unwrap(), &System);
        assert_eq!(found.files, [root.path().join("a/access")]);
        assert_eq!(found.troubles.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&loops]);
    }

    #[test]
    fn a_directory_is_not_listed_for_the_sake_of_exact_names() {
        let pattern = Pattern::parse("/srv/*/logs/access").unwrap();
        assert_eq!(pattern.literal_names(&pattern.begin()), None);
        let inside = pattern.advance(&pattern.begin(), OsStr::new("a"));
        assert_eq!(pattern.literal_names(&inside), Some(vec!["logs".into()]));
    }

    /// The definition of a match by components: `**` tries every depth.
    fn slow(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (Some((&"**", rest)), first) if !rest.is_empty() => {
                slow(rest, path) || first.is_some_and(|(_, path)| slow(pattern, path))
            }
            (Some((wanted, rest)), Some((name, path))) => {
                (*wanted == "*" || *wanted == "**" || wanted == name) && slow(rest, path)
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_trying_every_depth_says(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**"]), 1..6),
            path in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..6),
        ) {
            let parsed = Pattern::parse(&format!("/{}", pattern.join("/"))).unwrap();
            let given = PathBuf::from(format!("/{}", path.join("/")));
            prop_assert_eq!(parsed.matches(&given), slow(&pattern, &path));
        }
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
            let found = discover(&pattern, &System);

            let mut expected: Vec<_> = files.iter().map(|file| root.path().join(file)).collect();
            expected.retain(|path| pattern.matches(path));
            expected.sort_unstable();
            prop_assert_eq!(&found.files, &expected);
            for file in &found.files {
                prop_assert!(found.directories.contains(&file.parent().unwrap().to_path_buf()));
            }
        }
    }
}
