//! A regular expression as the Java agent means it. Pure.
//!
//! The engine is the `regex` crate's, which takes time in proportion to the text whatever the expression. What it would
//! read otherwise than Java is rewritten for it: `\d`, `\w`, `\s`, `\b` and case concern ASCII letters only, `.` and `$`
//! know a carriage return, `\Q…\E` quotes. What it has no equal for (looking around, possessive quantifiers, references
//! to groups) is refused with its place, never taken for something else. Java's language:
//! <https://docs.oracle.com/javase/8/docs/api/java/util/regex/Pattern.html>.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

/// An expression that is tested on texts.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    regex: Regex,
}

/// Why a text is no expression that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It may well be one in Java.
    #[error("{what} cannot be followed (character {at})")]
    Unsupported {
        /// What the engine has no equal for.
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
    /// What matches a text from its first character on, wherever the match ends: Java's `lookingAt`.
    ///
    /// # Errors
    /// If `text` is no expression, or none that can be followed.
    pub fn at_start(text: &str) -> Result<Expression, ExpressionError> {
        Expression::new(text, "")
    }

    /// What matches all of a text: Java's `matches`.
    ///
    /// # Errors
    /// If `text` is no expression, or none that can be followed.
    pub fn whole(text: &str) -> Result<Expression, ExpressionError> {
        Expression::new(text, r"\z")
    }

    fn new(text: &str, end: &str) -> Result<Expression, ExpressionError> {
        let ours = rewrite(text)?;
        // By itself first: a bracket too many must not close the group around it.
        compile(&ours)?;
        let regex = compile(&format!(r"\A(?:{ours}){end}"))?;
        Ok(Expression { text: text.to_owned(), regex })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Whether it matches `text`. Bytes that are not UTF-8 are U+FFFD to it.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(String::from_utf8_lossy(text).as_bytes())
    }
}

fn compile(text: &str) -> Result<Regex, ExpressionError> {
    // `.` stops before, and `$` stands before, a carriage return as well. That `^` and `$` hold at each line changes
    // nothing for a text of one line, and is what the Java agent asks for where there may be more.
    RegexBuilder::new(text).multi_line(true).crlf(true).build().map_err(|error| {
        let told = error.to_string();
        // Of a fault in the text the engine draws a picture, with the reason in the last line.
        let reason = told.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(&told);
        ExpressionError::Invalid { reason: reason.to_owned() }
    })
}

/// The expression of the engine that means what `java` means.
fn rewrite(java: &str) -> Result<String, ExpressionError> {
    let mut rewriter = Rewriter { rest: java.chars().peekable(), at: 0, depth: 0, ours: String::new() };
    while let Some(char) = rewriter.next() {
        rewriter.take(char)?;
    }
    Ok(rewriter.ours)
}

/// A walk over an expression.
struct Rewriter<'a> {
    rest: Peekable<Chars<'a>>,
    /// How many characters were read.
    at: usize,
    /// How many classes (`[…]`) are open.
    depth: usize,
    ours: String,
}

impl Rewriter<'_> {
    fn next(&mut self) -> Option<char> {
        let char = self.rest.next()?;
        self.at += 1;
        Some(char)
    }

    /// Reads on if `char` comes next.
    fn eat(&mut self, char: char) -> bool {
        let comes = self.rest.peek() == Some(&char);
        if comes {
            self.next();
        }
        comes
    }

    fn unsupported(&self, what: impl Into<String>) -> ExpressionError {
        ExpressionError::Unsupported { what: what.into(), at: self.at }
    }

    /// Appends `char` as nothing but itself, in a class or out of one.
    fn push_literal(&mut self, char: char) {
        // Writing to a text cannot fail.
        write!(self.ours, r"\x{{{:X}}}", u32::from(char)).unwrap_or_default();
    }

    fn take(&mut self, char: char) -> Result<(), ExpressionError> {
        match char {
            '\\' => return self.take_escape(),
            '[' => {
                self.depth += 1;
                self.ours.push('[');
                if self.eat('^') {
                    self.ours.push('^');
                }
                if self.eat(']') {
                    self.push_literal(']');
                }
            }
            ']' if self.depth > 0 => {
                self.depth -= 1;
                self.ours.push(']');
            }
            // The engine has operators here that Java has not.
            '-' if self.depth > 0 && self.rest.peek() == Some(&'-') => {
                return Err(self.unsupported("`--` in a class"));
            }
            '~' | ':' if self.depth > 0 => self.push_literal(char),
            '(' if self.depth == 0 && self.eat('?') => return self.take_group(),
            '*' | '+' | '?' if self.depth == 0 => {
                self.ours.push(char);
                return self.end_quantifier();
            }
            '{' if self.depth == 0 => {
                self.ours.push('{');
                while let Some(char) = self.next() {
                    self.ours.push(char);
                    if char == '}' {
                        break;
                    }
                }
                return self.end_quantifier();
            }
            other => self.ours.push(other),
        }
        Ok(())
    }

    /// Behind a quantifier only `?` may stand, which makes it a lazy one. The engine would take a second quantifier.
    fn end_quantifier(&mut self) -> Result<(), ExpressionError> {
        if self.eat('?') {
            self.ours.push('?');
        }
        match self.rest.peek() {
            Some('+') => Err(self.unsupported("a possessive quantifier")),
            Some('*' | '?' | '{') => Err(self.unsupported("a quantifier of a quantifier")),
            Some(_) | None => Ok(()),
        }
    }

    /// What follows `(?`.
    fn take_group(&mut self) -> Result<(), ExpressionError> {
        self.ours.push_str("(?");
        match self.next() {
            Some(':') => self.ours.push(':'),
            Some('=' | '!') => return Err(self.unsupported("looking ahead")),
            Some('>') => return Err(self.unsupported("a group without backtracking")),
            Some('<') if matches!(self.rest.peek(), Some('=' | '!')) => {
                return Err(self.unsupported("looking behind"));
            }
            Some('<') => self.ours.push('<'),
            Some(first) => return self.take_flags(first),
            None => {}
        }
        Ok(())
    }

    /// Flags up to the `)` or `:` behind them.
    fn take_flags(&mut self, first: char) -> Result<(), ExpressionError> {
        let (mut on, mut off) = (String::new(), String::new());
        let mut turned_off = false;
        let mut next = Some(first);
        loop {
            // In Java `i` concerns ASCII letters only, and that is what it means to the engine without Unicode.
            let (flags, unicode) = if turned_off { (&mut off, &mut on) } else { (&mut on, &mut off) };
            match next {
                Some('i') => {
                    flags.push('i');
                    unicode.push('u');
                }
                Some(flag @ ('m' | 's')) => flags.push(flag),
                Some('-') => turned_off = true,
                Some(end @ (')' | ':')) => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    write!(self.ours, "{on}{minus}{off}{end}").unwrap_or_default();
                    return Ok(());
                }
                Some(other) => return Err(self.unsupported(format!("the flag `{other}`"))),
                None => return Ok(()),
            }
            next = self.next();
        }
    }

    /// What follows a backslash.
    fn take_escape(&mut self) -> Result<(), ExpressionError> {
        let Some(char) = self.next() else {
            // The engine says what is wrong.
            self.ours.push('\\');
            return Ok(());
        };
        match char {
            'd' => self.push_set("0-9"),
            'D' => self.ours.push_str("[^0-9]"),
            'w' => self.push_set("0-9A-Z_a-z"),
            'W' => self.ours.push_str("[^0-9A-Z_a-z]"),
            's' => self.push_set(r"\t\n\x0B\f\r\x20"),
            'S' => self.ours.push_str(r"[^\t\n\x0B\f\r\x20]"),
            'p' | 'P' => return self.take_ascii_class(char == 'P'),
            'b' | 'B' if self.depth == 0 => {
                write!(self.ours, r"(?-u:\{char})").unwrap_or_default();
            }
            'Z' if self.depth == 0 => self.ours.push_str(r"(?:\r?\n)?\z"),
            'A' | 'z' if self.depth == 0 => self.ours.extend(['\\', char]),
            't' | 'n' | 'r' | 'f' | 'a' | 'x' | 'u' => self.ours.extend(['\\', char]),
            'e' => self.push_literal('\u{1B}'),
            'Q' => self.take_quote(),
            '1'..='9' => return Err(self.unsupported("a reference to a group")),
            other if other.is_ascii_alphanumeric() => {
                return Err(self.unsupported(format!(r"`\{other}`")));
            }
            other => self.push_literal(other),
        }
        Ok(())
    }

    /// A set of characters, which in a class is a part of it.
    fn push_set(&mut self, set: &str) {
        if self.depth > 0 {
            self.ours.push_str(set);
        } else {
            write!(self.ours, "[{set}]").unwrap_or_default();
        }
    }

    /// A class of ASCII with a name, as in `\p{Alpha}`.
    fn take_ascii_class(&mut self, is_negated: bool) -> Result<(), ExpressionError> {
        const NAMES: [&str; 13] = [
            "Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank",
            "Cntrl", "XDigit", "Space",
        ];
        let name: String = if self.eat('{') {
            std::iter::from_fn(|| self.next()).take_while(|char| *char != '}').collect()
        } else {
            String::new()
        };
        if !NAMES.contains(&name.as_str()) {
            return Err(self.unsupported("a class of Unicode"));
        }
        let not = if is_negated { "^" } else { "" };
        write!(self.ours, "[[:{not}{}:]]", name.to_ascii_lowercase()).unwrap_or_default();
        Ok(())
    }

    /// Everything up to `\E`, as nothing but itself.
    fn take_quote(&mut self) {
        while let Some(char) = self.next() {
            if char == '\\' && self.eat('E') {
                return;
            }
            self.push_literal(char);
        }
    }
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
    fn what_the_engine_has_no_equal_for_is_refused_with_its_place() {
        check_refused("a(?=b)", "looking ahead cannot be followed (character 4)");
        check_refused("(?!b)", "looking ahead cannot be followed (character 3)");
        check_refused("(?<=b)a", "looking behind cannot be followed (character 3)");
        check_refused("(?>a)", "a group without backtracking cannot be followed (character 3)");
        check_refused("ab*+", "a possessive quantifier cannot be followed (character 3)");
        check_refused("a{2}+", "a possessive quantifier cannot be followed (character 4)");
        check_refused("a?+", "a possessive quantifier cannot be followed (character 2)");
        check_refused("a**", "a quantifier of a quantifier cannot be followed (character 2)");
        check_refused(r"(a)\1", "a reference to a group cannot be followed (character 5)");
        check_refused(r"\h", r"`\h` cannot be followed (character 2)");
        check_refused(r"\p{L}", "a class of Unicode cannot be followed (character 5)");
        check_refused("(?x)a", "the flag `x` cannot be followed (character 3)");
        check_refused("[+--]", "`--` in a class cannot be followed (character 3)");
        check("a+?b", &["aab"], &["b"]);
        check("[*+]+", &["+*"], &["a"]);
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
