//! Which files a flow reads: patterns, and what of a path matches them. Pure.
//!
//! Does not know what exists: that is found by `discover`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component as PathPart, Path, PathBuf};

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
    pub(super) fn begin(&self) -> BTreeSet<usize> {
        self.and_through_any_depth(0).collect()
    }

    /// How far one gets from `reached` by going into `name`. Nothing, if nothing in there can match.
    pub(super) fn advance(&self, reached: &BTreeSet<usize>, name: &OsStr) -> BTreeSet<usize> {
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
    pub(super) fn is_file(&self, reached: &BTreeSet<usize>, path: &OsStr) -> bool {
        reached.contains(&self.steps.len()) && !is_compressed(path)
    }

    /// Whether a directory for which one has `reached` these steps may hold something that matches.
    pub(super) fn is_directory(&self, reached: &BTreeSet<usize>) -> bool {
        reached.iter().any(|&at| at < self.steps.len())
    }

    /// The names that a directory must hold to go on from `reached`, if no wildcard is among them.
    pub(super) fn literal_names(&self, reached: &BTreeSet<usize>) -> Option<Vec<OsString>> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
}
