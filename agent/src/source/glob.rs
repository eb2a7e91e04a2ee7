//! One component of a file pattern: a name, or a glob over names in the dialect of Java NIO, which is what the
//! patterns of existing configurations are written in
//! (<https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/nio/file/FileSystem.html#getPathMatcher(java.lang.String)>).
//!
//! Knows nothing of directories or of what exists. Names are matched as text in which each sequence of bytes that is
//! not UTF-8 stands as one U+FFFD, as Java reads them: `*` and `?` match it, and no name is out of reach.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::str::CharIndices;

use regex::Regex;

/// One component of a file pattern.
#[derive(Clone, Debug)]
pub(super) enum Component {
    /// Exactly this name.
    Name(OsString),
    /// Any name that this expression matches whole.
    Glob(Regex),
}

/// What is wrong with a glob, at which byte of it.
#[derive(Debug)]
pub(super) struct GlobError {
    pub(super) at: usize,
    pub(super) reason: &'static str,
}

impl Component {
    /// Understands `text`, which has no `/`.
    pub(super) fn parse(text: &str) -> Result<Component, GlobError> {
        let mut glob = Translation::default();
        let mut rest = text.char_indices().peekable();
        while let Some((at, char)) = rest.next() {
            glob.take(at, char, &mut rest)?;
        }
        if let Some(at) = glob.group {
            return Err(GlobError { at, reason: "`{` is never closed by `}`" });
        }
        match glob.name {
            Some(name) => Ok(Component::Name(name.into())),
            None => Regex::new(&format!("^(?s:{})$", glob.expression))
                .map(Component::Glob)
                .map_err(|_| GlobError { at: 0, reason: "the glob is too large" }),
        }
    }

    /// Whether `name` is meant. Case matters, and a leading dot is a character like any other.
    pub(super) fn matches(&self, name: &OsStr) -> bool {
        match self {
            Component::Name(wanted) => wanted == name,
            Component::Glob(expression) => expression.is_match(&name.to_string_lossy()),
        }
    }
}

/// A glob on its way to an expression.
struct Translation {
    expression: String,
    /// The name it stands for, as long as no wildcard has been seen.
    name: Option<String>,
    /// Where the group began that is open.
    group: Option<usize>,
}

impl Default for Translation {
    fn default() -> Translation {
        Translation { expression: String::new(), name: Some(String::new()), group: None }
    }
}

impl Translation {
    /// Takes the character `char` at byte `at`, and what belongs to it of the `rest`.
    fn take(&mut self, at: usize, char: char, rest: &mut Peekable<CharIndices<'_>>) -> Result<(), GlobError> {
        match char {
            '\\' => match rest.next() {
                Some((_, escaped)) => self.literal(escaped),
                None => return Err(GlobError { at, reason: "nothing follows `\\`" }),
            },
            '*' => self.wildcard(".*"),
            '?' => self.wildcard("."),
            '[' => {
                let class = class(at, rest)?;
                self.wildcard(&class);
            }
            '{' if self.group.is_some() => return Err(GlobError { at, reason: "`{` inside `{}`" }),
            '{' => {
                self.group = Some(at);
                self.wildcard("(?:");
            }
            ',' if self.group.is_some() => self.wildcard("|"),
            '}' if self.group.take().is_some() => self.wildcard(")"),
            literal => self.literal(literal),
        }
        Ok(())
    }

    fn literal(&mut self, char: char) {
        self.expression.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
        if let Some(name) = &mut self.name {
            name.push(char);
        }
    }

    fn wildcard(&mut self, expression: &str) {
        self.expression.push_str(expression);
        self.name = None;
    }
}

/// The expression of the class whose `[` stands at byte `start`, taking it from `rest` up to its `]`.
///
/// Inside, `*`, `?` and `\` mean themselves, and so does `-` where it comes first.
fn class(start: usize, rest: &mut Peekable<CharIndices<'_>>) -> Result<String, GlobError> {
    let unclosed = GlobError { at: start, reason: "`[` is never closed by `]`" };
    let mut expression = String::from("[");
    if rest.next_if(|(_, char)| *char == '!').is_some() {
        expression.push('^');
    }
    let mut members = 0usize;
    while let Some((at, first)) = rest.next() {
        if first == ']' {
            if members == 0 {
                return Err(GlobError { at, reason: "`[]` names no character" });
            }
            expression.push(']');
            return Ok(expression);
        }
        let last = match rest.next_if(|(_, char)| *char == '-' && first != '-') {
            None => first,
            Some(_) => match rest.next() {
                None => return Err(unclosed),
                // A `-` before the `]` means itself.
                Some((_, ']')) => {
                    expression.push_str(&format!("{}\\-]", member(first)));
                    return Ok(expression);
                }
                Some((_, last)) if last < first => {
                    return Err(GlobError { at, reason: "the range runs backwards" });
                }
                Some((_, last)) => last,
            },
        };
        expression.push_str(&format!("{}-{}", member(first), member(last)));
        members += 1;
    }
    Err(unclosed)
}

/// A character as a member of a class.
fn member(char: char) -> String {
    format!("\\u{{{:x}}}", u32::from(char))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(glob: &str, matching: &[&str], others: &[&str]) {
        let component = Component::parse(glob).unwrap();
        for name in matching {
            assert!(component.matches(OsStr::new(name)), "`{glob}` should match `{name}`");
        }
        for name in others {
            assert!(!component.matches(OsStr::new(name)), "`{glob}` should not match `{name}`");
        }
    }

    #[track_caller]
    fn check_refused(glob: &str, at: usize, reason: &str) {
        let error = Component::parse(glob).unwrap_err();
        assert_eq!((error.at, error.reason), (at, reason));
    }

    #[test]
    fn a_star_matches_any_run_of_characters() {
        check(
            "*access_log*",
            &["access_log", "ssl_access_log.1", ".access_log"],
            &["access.log", "Access_log"],
        );
    }

    #[test]
    fn a_star_matches_a_leading_dot_and_a_line_break() {
        check("*", &[".hidden", "a\nb", "ä"], &[]);
    }

    #[test]
    fn two_stars_in_a_name_are_one() {
        check("a**b", &["ab", "axxb"], &["a", "b"]);
    }

    #[test]
    fn a_question_mark_is_one_character_of_any_width() {
        check("app?.log", &["app1.log", "appä.log", "app..log"], &["app.log", "app12.log"]);
    }

    #[test]
    fn a_class_lists_characters_and_ranges() {
        check("app[abx-z].log", &["appa.log", "appy.log"], &["appc.log", "app-.log", "app.log"]);
    }

    #[test]
    fn a_class_that_begins_with_an_exclamation_mark_is_turned_round() {
        check("app[!0-9]", &["appa", "app!"], &["app7", "app"]);
    }

    #[test]
    fn inside_a_class_wildcards_mean_themselves() {
        check("[*?\\^&[~]", &["*", "?", "\\", "^", "&", "[", "~"], &["a", "]"]);
    }

    #[test]
    fn a_dash_means_itself_at_either_end_of_a_class() {
        check("[-a]", &["-", "a"], &["b"]);
        check("[a-]", &["-", "a"], &["b"]);
        check("[!-a]", &["b"], &["-", "a"]);
    }

    #[test]
    fn a_group_matches_any_of_its_alternatives() {
        check("{access,error}_log{,.1}", &["access_log", "error_log.1"], &["_log", "access_log.2"]);
    }

    #[test]
    fn a_group_may_hold_wildcards() {
        check("{a*,?}.log", &["a.log", "abc.log", "x.log"], &["xy.log"]);
    }

    #[test]
    fn outside_a_group_comma_and_brace_mean_themselves() {
        check("a,b}", &["a,b}"], &["a", "b}"]);
    }

    #[test]
    fn a_backslash_takes_a_wildcard_its_meaning() {
        check("\\*\\[\\{", &["*[{"], &["a[{"]);
        assert!(matches!(Component::parse("a\\*"), Ok(Component::Name(name)) if name == "a*"));
    }

    #[test]
    fn characters_of_expressions_mean_themselves() {
        check("a.b+(c)|d$^*", &["a.b+(c)|d$^", "a.b+(c)|d$^x"], &["aXb+(c)|d$^"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_reached_by_wildcards() {
        let name = OsStr::from_bytes(b"log\xff1");
        assert!(Component::parse("log*").unwrap().matches(name));
        assert!(Component::parse("log?1").unwrap().matches(name));
        assert!(!Component::parse("log1").unwrap().matches(name));
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_place() {
        check_refused("app[", 3, "`[` is never closed by `]`");
        check_refused("app[a-", 3, "`[` is never closed by `]`");
        check_refused("[]", 1, "`[]` names no character");
        check_refused("[z-a]", 1, "the range runs backwards");
        check_refused("{a,b", 0, "`{` is never closed by `}`");
        check_refused("{a{b}}", 2, "`{` inside `{}`");
        check_refused("a\\", 1, "nothing follows `\\`");
    }

    /// A glob by its meaning, for the slow matcher.
    #[derive(Clone, Debug)]
    enum Piece {
        Char(char),
        Any,
        Run,
        Class { negated: bool, from: char, to: char },
        Group(Vec<Vec<Piece>>),
    }

    impl Piece {
        fn text(&self) -> String {
            match self {
                Piece::Char(char) if "*?[{}\\,".contains(*char) => format!("\\{char}"),
                Piece::Char(char) => char.to_string(),
                Piece::Any => "?".to_owned(),
                Piece::Run => "*".to_owned(),
                Piece::Class { negated, from, to } => {
                    format!("[{}{from}-{to}]", if *negated { "!" } else { "" })
                }
                Piece::Group(choices) => {
                    let choices: Vec<_> = choices.iter().map(|choice| text(choice)).collect();
                    format!("{{{}}}", choices.join(","))
                }
            }
        }
    }

    fn text(pieces: &[Piece]) -> String {
        pieces.iter().map(Piece::text).collect()
    }

    /// The definition: tries everything.
    fn slow(pieces: &[Piece], name: &[char]) -> bool {
        let Some((piece, pieces)) = pieces.split_first() else { return name.is_empty() };
        let one = |fits: &dyn Fn(char) -> bool| {
            name.split_first().is_some_and(|(first, name)| fits(*first) && slow(pieces, name))
        };
        match piece {
            Piece::Char(char) => one(&|first| first == *char),
            Piece::Any => one(&|_| true),
            Piece::Class { negated, from, to } => one(&|first| (*from..=*to).contains(&first) != *negated),
            Piece::Run => (0..=name.len()).any(|taken| slow(pieces, &name[taken..])),
            Piece::Group(choices) => {
                choices.iter().any(|choice| slow(&[choice.as_slice(), pieces].concat(), name))
            }
        }
    }

    fn simple_piece() -> impl Strategy<Value = Piece> {
        prop_oneof![
            4 => prop::sample::select(vec!['a', 'b', 'ä', '.', '*', '?', '[', '{', ',', '\\']).prop_map(Piece::Char),
            1 => Just(Piece::Any),
            2 => Just(Piece::Run),
            1 => (any::<bool>(), prop::char::range('a', 'c'), 0u32..2).prop_map(|(negated, from, width)| Piece::Class {
                negated,
                from,
                to: char::from_u32(u32::from(from) + width).unwrap(),
            }),
        ]
    }

    fn glob() -> impl Strategy<Value = Vec<Piece>> {
        let group =
            prop::collection::vec(prop::collection::vec(simple_piece(), 0..3), 1..4).prop_map(Piece::Group);
        prop::collection::vec(prop_oneof![5 => simple_piece(), 1 => group], 0..6)
    }

    proptest! {
        #[test]
        fn matching_is_what_trying_everything_says(glob in glob(), name in "[abcä.*?\\[{,\\\\]{0,6}") {
            let component = Component::parse(&text(&glob)).unwrap();
            let characters: Vec<_> = name.chars().collect();
            prop_assert_eq!(component.matches(OsStr::new(&name)), slow(&glob, &characters));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}", name in "\\PC{0,6}") {
            if let Ok(component) = Component::parse(&text) {
                component.matches(OsStr::new(&name));
            }
        }
    }
}
