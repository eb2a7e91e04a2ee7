//! What begins with a backslash, as an engine has it. Pure.
//!
//! Does not know where in the expression it stands, beyond whether that is in a class.

use std::fmt::Write;

use super::{Case, Dialect, Rewriter};
use crate::expression::ExpressionError;

const WORD: &str = "0-9A-Z_a-z";
const BLANK: &str = r"\t\x20\xA0\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
const VERTICAL: &str = r"\n\x0B\f\r\x{85}\x{2028}\x{2029}";

impl Rewriter<'_> {
    /// What follows a backslash.
    pub(super) fn take_escape(&mut self) -> Result<(), ExpressionError> {
        let in_class = self.depth > 0;
        match self.rest.peek().copied() {
            Some('d') => self.take_set("0-9"),
            Some('D') => self.take_all_but("0-9"),
            Some('w') => self.take_set(WORD),
            Some('W') => self.take_all_but(WORD),
            Some('s') => self.take_set(r"\t\n\x0B\f\r\x20"),
            Some('S') => self.take_all_but(r"\t\n\x0B\f\r\x20"),
            Some('h') => self.take_set(BLANK),
            Some('H') => self.take_all_but(BLANK),
            Some('v') => self.take_set(VERTICAL),
            Some('V') => self.take_all_but(VERTICAL),
            Some('p' | 'P') => return self.take_named_class(),
            Some(kind @ ('b' | 'B')) if !in_class => {
                self.next();
                self.take_boundary(kind == 'B');
            }
            Some('Z') if !in_class => {
                self.next();
                self.push(r"(?:\r?\n)?\z");
            }
            Some(end @ ('A' | 'z')) if !in_class => {
                self.next();
                self.ours.text.extend(['\\', end]);
            }
            Some('Q') => {
                self.next();
                self.take_quote();
            }
            Some('1'..='9') if !in_class => return self.take_reference(),
            // The engine says what is wrong.
            None => self.push("\\"),
            Some(_) => {
                let literal = self.escaped_literal()?;
                return self.take_literal(literal);
            }
        }
        Ok(())
    }

    /// The character for which an escape stands, whose backslash has been read.
    pub(super) fn escaped_literal(&mut self) -> Result<char, ExpressionError> {
        let Some(char) = self.next() else { return Ok('\\') };
        Ok(match char {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{C}',
            'a' => '\u{7}',
            'e' => '\u{1B}',
            'x' if self.eat('{') => {
                let digits: String =
                    std::iter::from_fn(|| self.next()).take_while(|char| *char != '}').collect();
                return self.character(&digits);
            }
            'x' => return self.hexadecimal(2),
            'u' => return self.hexadecimal(4),
            other if other.is_ascii_digit() => return Err(self.unsupported("a reference to a group")),
            other if other.is_ascii_alphabetic() => return Err(self.unsupported(format!(r"`\{other}`"))),
            other => other,
        })
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<char, ExpressionError> {
        let digits: String = (0..digits).map_while(|_| self.next()).collect();
        self.character(&digits)
    }

    fn character(&self, digits: &str) -> Result<char, ExpressionError> {
        let is_number = digits.chars().all(|digit| digit.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_number);
        number.and_then(char::from_u32).ok_or_else(|| self.unsupported("a character by this number"))
    }

    /// A set of characters, in a class or out of one.
    fn take_set(&mut self, set: &str) {
        self.next();
        write!(self.ours.text, "[{set}]").unwrap_or_default();
    }

    fn take_all_but(&mut self, set: &str) {
        self.next();
        write!(self.ours.text, "[^{set}]").unwrap_or_default();
    }

    /// A class with a name: of ASCII, as in `\p{Alpha}`, or a category of Unicode, as in `\p{Lu}`.
    fn take_named_class(&mut self) -> Result<(), ExpressionError> {
        const NAMES: [&str; 13] = [
            "Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank",
            "Cntrl", "XDigit", "Space",
        ];
        let is_negated = self.next() == Some('P');
        let name: String = if self.eat('{') {
            std::iter::from_fn(|| self.next()).take_while(|char| *char != '}').collect()
        } else {
            String::new()
        };
        if !NAMES.contains(&name.as_str()) {
            return Err(self.unsupported("a class of Unicode"));
        }
        let not = if is_negated { "^" } else { "" };
        write!(self.ours.text, "[[:{not}{}:]]", name.to_ascii_lowercase()).unwrap_or_default();
        Ok(())
    }

    /// The edge of a word, or what is none.
    fn take_boundary(&mut self, is_negated: bool) {
        let text = match (self.dialect, is_negated) {
            (Dialect::Linear, false) => r"(?-u:\b)".to_owned(),
            (Dialect::Linear, true) => r"(?-u:\B)".to_owned(),
            (Dialect::Stepping, false) => format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))"),
            (Dialect::Stepping, true) => format!("(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}]))"),
        };
        self.push(&text);
    }

    /// A reference to a group that has begun, of as many digits as there are groups.
    fn take_reference(&mut self) -> Result<(), ExpressionError> {
        let mut group = 0;
        while let Some(digit) = self.rest.peek().and_then(|digit| digit.to_digit(10))
            && let Ok(digit) = usize::try_from(digit)
            && (group == 0 || group * 10 + digit <= self.groups)
        {
            group = group * 10 + digit;
            self.next();
        }
        if group > self.groups {
            return Err(self.unsupported("a reference to a group that has not begun"));
        }
        if self.flags.case == Case::Either {
            return Err(self.unsupported("a reference to a group in either case"));
        }
        self.ours.needs_steps = true;
        write!(self.ours.text, r"(?:\{group})").unwrap_or_default();
        Ok(())
    }

    /// Everything up to `\E`, as nothing but itself.
    fn take_quote(&mut self) {
        while let Some(char) = self.next() {
            if char == '\\' && self.eat('E') {
                return;
            }
            self.atom = Some(self.ours.text.len());
            self.push_literal(char);
        }
    }
}
