//! A regular expression as the Java agent means it. Pure.
//!
//! The engine is the `regex` crate's, which takes time in proportion to the text whatever the expression. What it has no
//! equal for (looking around, references to groups, what does not step back) goes to the `fancy-regex` crate's, which
//! tries one way after another and gives up after [`STEPS`]. `rewrite` says in the language of either what Java means;
//! what neither can say is refused with its place, never taken for something else. Java's language:
//! <https://docs.oracle.com/javase/8/docs/api/java/util/regex/Pattern.html>.

mod rewrite;

use std::ops::Range;

use regex::Regex;

use rewrite::{Dialect, Lines};

/// How many steps an expression may take on one text, where it needs an engine that counts them.
pub const STEPS: usize = 1_000_000;

/// An expression that is tested on texts.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    engine: Engine,
}

/// What follows an expression.
#[derive(Clone, Debug)]
enum Engine {
    /// In time that the text's length bounds.
    Linear(Regex),
    /// Step by step, and back again.
    Stepping(Box<fancy_regex::Regex>),
}

/// The parts of a text that an expression's groups matched.
#[derive(Debug)]
pub struct Groups<'t>(Found<'t>);

#[derive(Debug)]
enum Found<'t> {
    Linear(regex::Captures<'t>),
    Stepping(fancy_regex::Captures<'t, str>),
}

/// Whether an expression matches is not known: it takes too many steps to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {STEPS} steps")]
pub struct TooManySteps;

/// Why a text is no expression that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It may well be one in Java.
    #[error("{what} cannot be followed (character {at})")]
    Unsupported {
        /// What the engines have no equal for.
        what: String,
        /// Which character of the expression, from 1.
        at: usize,
    },
    /// The engine does not understand it.
    #[error("{reason}")]
    Invalid {
        /// What the engine says.
        reason: String,
    },
}

impl Expression {
    /// What matches a text from its first character on, wherever the match ends: Java's `lookingAt`, with `^` and `$`
    /// at each line.
    ///
    /// # Errors
    /// If `text` is no expression, or none that can be followed.
    pub fn at_start(text: &str) -> Result<Expression, ExpressionError> {
        Expression::new(text, Lines::Each, (r"\A", ""))
    }

    /// What matches all of a text: Java's `matches`, with `^` and `$` at each line.
    ///
    /// # Errors
    /// If `text` is no expression, or none that can be followed.
    pub fn whole(text: &str) -> Result<Expression, ExpressionError> {
        Expression::new(text, Lines::Each, (r"\A", r"\z"))
    }

    /// What matches all of a text, which is one line to `^` and `$`.
    ///
    /// # Errors
    /// If `text` is no expression, or none that can be followed.
    pub fn whole_line(text: &str) -> Result<Expression, ExpressionError> {
        Expression::new(text, Lines::One, (r"\A", r"\z"))
    }

    /// What matches a part of a text, wherever it begins: Java's `find`.
    ///
    /// # Errors
    /// If `text` is no expression, or none that can be followed.
    pub fn anywhere(text: &str) -> Result<Expression, ExpressionError> {
        Expression::new(text, Lines::One, ("", ""))
    }

    fn new(text: &str, lines: Lines, (start, end): (&str, &str)) -> Result<Expression, ExpressionError> {
        let ours = rewrite::rewrite(text, Dialect::Linear, lines)?;
        let (ours, dialect) = if ours.needs_steps {
            (rewrite::rewrite(text, Dialect::Stepping, lines)?, Dialect::Stepping)
        } else {
            (ours, Dialect::Linear)
        };
        // By itself first: a bracket too many must not close the group around it.
        Engine::compile(&ours.text, dialect)?;
        let engine = Engine::compile(&format!("{start}(?:{}){end}", ours.text), dialect)?;
        Ok(Expression { text: text.to_owned(), engine })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// How many groups it has whose matches are kept.
    #[must_use]
    pub fn groups(&self) -> usize {
        // The first is all of the match.
        match &self.engine {
            Engine::Linear(regex) => regex.captures_len() - 1,
            Engine::Stepping(regex) => regex.captures_len() - 1,
        }
    }

    /// Whether it matches `text`. Bytes that are not UTF-8 are U+FFFD to it, and what takes too many steps does not
    /// match.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(&text),
            Engine::Stepping(regex) => regex.is_match(text.as_ref()).unwrap_or(false),
        }
    }

    /// What its groups match, if it matches `text`.
    ///
    /// # Errors
    /// If it takes too many steps to say.
    pub fn groups_in<'t>(&self, text: &'t str) -> Result<Option<Groups<'t>>, TooManySteps> {
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.captures(text).map(|found| Groups(Found::Linear(found)))),
            Engine::Stepping(regex) => {
                let found = regex.captures(text).map_err(|_| TooManySteps)?;
                Ok(found.map(|found| Groups(Found::Stepping(found))))
            }
        }
    }

    /// The first match in `text` that begins at the byte `from` or behind it. What stands before is seen by what looks
    /// there.
    ///
    /// # Errors
    /// If it takes too many steps to say.
    pub fn find_at(&self, text: &str, from: usize) -> Result<Option<Range<usize>>, TooManySteps> {
        if !text.is_char_boundary(from) {
            return Ok(None);
        }
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.find_at(text, from).map(|found| found.range())),
            Engine::Stepping(regex) => {
                let found = regex.find_from_pos(text, from).map_err(|_| TooManySteps)?;
                Ok(found.map(|found| found.range()))
            }
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text && self.engine.as_text() == other.engine.as_text()
    }
}

impl Eq for Expression {}

impl<'t> Groups<'t> {
    /// What the group with this number matched, from 0; nothing if it took no part.
    #[must_use]
    pub fn get(&self, group: usize) -> Option<&'t str> {
        match &self.0 {
            Found::Linear(found) => found.get(group + 1).map(|part| part.as_str()),
            Found::Stepping(found) => found.get(group + 1).map(|part| part.as_str()),
        }
    }
}

impl Engine {
    fn compile(text: &str, dialect: Dialect) -> Result<Engine, ExpressionError> {
        match dialect {
            Dialect::Linear => {
                Regex::new(text).map(Engine::Linear).map_err(|error| invalid(&error.to_string()))
            }
            Dialect::Stepping => fancy_regex::RegexBuilder::new(text)
                .backtrack_limit(STEPS)
                .build()
                .map(|regex| Engine::Stepping(Box::new(regex)))
                .map_err(|error| invalid(&error.to_string())),
        }
    }

    fn as_text(&self) -> &str {
        match self {
            Engine::Linear(regex) => regex.as_str(),
            Engine::Stepping(regex) => regex.as_str(),
        }
    }
}

fn invalid(told: &str) -> ExpressionError {
    // Of a fault in the text the engine draws a picture, with the reason in the last line.
    let reason = told.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(told);
    ExpressionError::Invalid { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether `expression` matches each text at its start, as Java says.
    #[track_caller]
    fn check(expression: &str, matching: &[&str], other: &[&str]) {
        let tested = Expression::at_start(expression).unwrap();
        for text in matching {
            assert!(tested.matches(text.as_bytes()), "`{expression}` should match {text:?}");
        }
        for text in other {
            assert!(!tested.matches(text.as_bytes()), "`{expression}` should not match {text:?}");
        }
    }

    #[track_caller]
    fn check_refused(expression: &str, told: &str) {
        assert_eq!(Expression::at_start(expression).unwrap_err().to_string(), told, "`{expression}`");
    }

    #[test]
    fn it_matches_from_the_first_character_on_and_need_not_reach_the_end() {
        check(r"\[\d{4}-", &["[2024-01] a\n", "[2024-"], &[" [2024-01]", "x[2024-", "[24-"]);
        check("^a|b", &["a", "abc", "b"], &["cb", "ca"]);
        check("", &["", "anything"], &[]);
    }

    #[test]
    fn as_a_whole_it_must_reach_the_end() {
        let whole = |expression: &str| Expression::whole(expression).unwrap();
        assert!(whole("a|ab").matches(b"ab"), "the second alternative reaches it");
        assert!(!whole("a").matches(b"ab"));
        assert!(whole("^END$").matches(b"END"));
        assert!(whole("one$\n^two").matches(b"one\ntwo"), "each line has its ends");
    }

    #[test]
    fn classes_are_of_ascii() {
        check(r"\d", &["0", "9"], &["٣", "a"]);
        check(r"\w\W", &["a-", "_ü"], &["ü-", "aa"]);
        check(r"[\d.]+x[^\s\d]", &["1.2xy"], &["1,2x", "1x ", "1x2"]);
        check(r"[\D]", &["a"], &["1"]);
        check(r"\p{Upper}\P{Alpha}[\p{Digit}-]", &["A1-", "Aü4"], &["a1-", "AB-", "Ä1-"]);
        check(r"a\b", &["a b", "aü"], &["ab"]);
        check("(?i)error(?-i)X", &["ERRORX", "eRRorX"], &["errorx"]);
        check("(?i:k)", &["K", "k"], &["\u{212A}"]);
    }

    #[test]
    fn a_dot_is_a_character_and_no_end_of_a_line() {
        check("^.{3}x", &["äöüx", "abcx"], &["abx"]);
        check("a.", &["a\u{2003}"], &["a\r\n", "a\n"]);
        check("(?s)a.b", &["a\nb"], &[]);
        assert!(
            Expression::at_start("a.b").unwrap().matches(b"a\xFFb"),
            "what is not UTF-8 is one character"
        );
    }

    #[test]
    fn a_dollar_stands_before_the_end_of_the_line() {
        check(r"^---$", &["---\n", "---\r\n", "---"], &["----\n"]);
        check(r"a\Z", &["a", "a\n", "a\r\n"], &["ab"]);
        check(r"a\z", &["a"], &["a\n"]);
    }

    #[test]
    fn what_is_escaped_or_quoted_is_itself() {
        check(r"\<\>\ \-\/\é\!", &["<> -/é!"], &["x"]);
        check(r"\Q[a.b]*\E+", &["[a.b]*"], &["[aXb]*", "a"]);
        check(r"[\]\[~:&]+$", &["][~:&"], &["a"]);
        check("[]a]", &["]", "a"], &["b"]);
        check(r"\x41\u0042\t\e", &["AB\t\u{1B}"], &["AB"]);
    }

    #[test]
    fn what_neither_engine_has_an_equal_for_is_refused_with_its_place() {
        check_refused("a**", "a quantifier of a quantifier cannot be followed (character 2)");
        check_refused("a++*", "a quantifier of a quantifier cannot be followed (character 3)");
        check_refused(r"\1(a)", "a reference to a group that has not begun cannot be followed (character 2)");
        check_refused(r"(?i)(a)\1", "a reference to a group in either case cannot be followed (character 9)");
        check_refused(r"(a)[\1]", "a reference to a group cannot be followed (character 6)");
        check_refused(r"\g", r"`\g` cannot be followed (character 2)");
        check_refused(r"\p{L}", "a class of Unicode cannot be followed (character 5)");
        check_refused(r"\uD83D\uDE00", "a character by this number cannot be followed (character 6)");
        check_refused("(?x)a", "the flag `x` cannot be followed (character 3)");
        check_refused("[+--]", "`--` in a class cannot be followed (character 3)");
        check("a+?b", &["aab"], &["b"]);
        check("[*+]+", &["+*"], &["a"]);
    }

    #[test]
    fn it_may_look_around() {
        check("a(?=b)", &["ab"], &["ac", "a"]);
        check("a(?!b)", &["ac", "a"], &["ab"]);
        check("a.(?<=b)c", &["abc"], &["aac"]);
        check("a.(?<!b)c", &["aac"], &["abc"]);
        check(r"(?=.)a\b.\B", &["a -", "aü"], &["ab", "a b"]);
        check("(?=.)a$", &["a\n", "a\r\n", "a"], &["ab"]);
    }

    #[test]
    fn it_may_refer_to_its_groups() {
        check(r"(\w)(\w)\2\1", &["abba"], &["abab"]);
        check(r"(a)\11", &["aa1"], &["aaa"]);
        check(r"(a)?\1b", &["aab"], &["b"]);
    }

    #[test]
    fn what_is_possessive_does_not_step_back() {
        check("a*+b", &["aab", "b"], &["c"]);
        check("a*+a", &[], &["a", "aa"]);
        check("a{1,3}+a", &["aaaa"], &["aa", "aaa"]);
        check("(?:ab|a)?+b", &["abb", "b"], &["ab"]);
        check("x(?>a|ab)c", &["xac"], &["xabc"]);
        check(r"\Qab\E++b", &[], &["abb"]);
    }

    #[test]
    fn case_concerns_ascii_only_and_leaves_a_dot_a_character() {
        check("(?i)^.{3}x", &["äöüX"], &["äöX"]);
        check("(?i)[^k]é", &["üé", "aé"], &["ké", "Ké", "aÉ"]);
        check("(?i)[a-fY]+$", &["AbFy"], &["g", "Z"]);
        check("(?i)[W-c]+$", &["wxyzabcXYZABC[_"], &["d", "V"]);
        check(r"(?i:\x41b)c", &["aBc"], &["aBC"]);
        check("(a(?i)b|c)d", &["aBd", "Cd"], &["ABd", "cD"]);
    }

    #[test]
    fn a_set_in_a_class_ends_no_range() {
        check(r"[\s-x]+$", &["- x"], &["a", "0"]);
        check(r"[\w-.]+$", &["a-."], &[" "]);
        check(r"[^\d-]", &["a"], &["1", "-"]);
        check(r"\h\v\H\V", &["\u{A0}\u{85}ab"], &["a\u{85}ab"]);
    }

    #[test]
    fn a_text_that_takes_too_many_steps_does_not_match() {
        let expression = Expression::whole_line("((a+)(?!x))+b").unwrap();
        assert_eq!(expression.groups(), 2);
        let (long, short) = ("a".repeat(60), "aab");
        assert!(matches!(expression.groups_in(&long), Err(TooManySteps)));
        assert!(!expression.matches(long.as_bytes()));
        let groups = expression.groups_in(short).unwrap().unwrap();
        assert_eq!((groups.get(0), groups.get(2)), (Some("aa"), None));
    }

    #[test]
    fn a_line_is_one_text_unless_the_expression_says_otherwise() {
        let matches = |text: &str| Expression::whole_line(text).unwrap().matches(b"one\ntwo");
        assert!(!matches("one$\n^two"));
        assert!(matches("(?m)one$\n^two"));
        assert!(matches("^one\ntwo$"));
    }

    #[test]
    fn what_is_no_expression_is_refused_with_the_reason() {
        check_refused("(a", "unclosed group");
        check_refused("a)(b", "unopened group");
        check_refused("[a", "unclosed character class");
        check_refused("    {", "unclosed counted repetition");
        check_refused("*", "repetition operator missing expression");
    }

    proptest! {
        /// Whatever is quoted matches itself and nothing that begins otherwise.
        #[test]
        fn a_quoted_text_matches_itself(text in "[^\\\\]{1,20}", other in "\\PC{0,20}") {
            let quoted = Expression::at_start(&format!(r"\Q{text}\E")).unwrap();
            prop_assert!(quoted.matches(text.as_bytes()));
            prop_assert_eq!(quoted.matches(other.as_bytes()), other.starts_with(&text));
        }

        /// What the first engine can follow means the same to the second.
        #[test]
        fn both_engines_say_the_same(text in r"([ab.]|\\[wdsb]|\[\^?[ab][a-c]?\]|\(\?i:b\)|\(a|\)|[*+?|^$]|\{1,2\}){1,8}", tested in "[abAB \r\n\u{e4}]{0,6}") {
            let stepping = Expression::whole(&format!("(?=)(?:{text})"));
            if let (Ok(linear), Ok(stepping)) = (Expression::whole(&text), stepping) {
                prop_assert!(matches!(stepping.engine, Engine::Stepping(_)));
                prop_assert_eq!(linear.matches(tested.as_bytes()), stepping.matches(tested.as_bytes()));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a-z()\\[\\]{}*+?^$|\\\\.<>=!:&~#\\-0-9]{0,20}", tested in "\\PC{0,20}") {
            if let Ok(expression) = Expression::whole(&text) {
                // What matches as a whole matches at the start.
                let whole = expression.matches(tested.as_bytes());
                prop_assert!(!whole || Expression::at_start(&text).unwrap().matches(tested.as_bytes()));
            }
        }
    }
}
