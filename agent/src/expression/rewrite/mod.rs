//! Says in the language of an engine what an expression means in Java's. Pure.
//!
//! Does not know whether the result is an expression: that is for the engine to say. What has one meaning in Java and
//! another in the engine is spelt out: `\d`, `\w`, `\s`, `\b` and case concern ASCII letters only, a dot is no end of a
//! line of any kind, `\Q…\E` quotes, what is possessive is a group that does not step back. `escape` is what begins with a
//! backslash.

mod escape;

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use crate::expression::ExpressionError;

/// Which engine is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Linear,
    Stepping,
}

/// What `^` and `$` stand at, unless the expression says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// The ends of the text.
    One,
    /// The ends of each line.
    Each,
}

/// An expression in the language of an engine.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) text: String,
    /// Whether only the stepping engine can follow it.
    pub(super) needs_steps: bool,
}

/// The expression of the engine that means what `java` means.
pub(super) fn rewrite(java: &str, dialect: Dialect, lines: Lines) -> Result<Rewritten, ExpressionError> {
    let flags = Flags { lines, case: Case::Told, dot: Dot::InLine };
    let mut rewriter = Rewriter {
        rest: java.chars().peekable(),
        at: 0,
        dialect,
        flags,
        open: Vec::new(),
        atom: None,
        groups: 0,
        depth: 0,
        ours: Rewritten { text: String::new(), needs_steps: false },
    };
    while let Some(char) = rewriter.next() {
        rewriter.take(char)?;
    }
    Ok(rewriter.ours)
}

/// What is no end of a line.
const IN_LINE: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";

/// A walk over an expression.
struct Rewriter<'a> {
    rest: Peekable<Chars<'a>>,
    /// How many characters were read.
    at: usize,
    dialect: Dialect,
    flags: Flags,
    /// The groups that are open, outermost first.
    open: Vec<Open>,
    /// Where in our text that begins to which a quantifier would belong.
    atom: Option<usize>,
    /// How many groups with a number have begun.
    groups: usize,
    /// How many classes (`[…]`) are open.
    depth: usize,
    ours: Rewritten,
}

/// A group that is open.
#[derive(Clone, Copy)]
struct Open {
    /// Where it begins in our text.
    at: usize,
    /// What holds behind it again.
    flags: Flags,
}

#[derive(Clone, Copy)]
struct Flags {
    lines: Lines,
    case: Case,
    dot: Dot,
}

/// Whether an ASCII letter is also its other case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Told,
    Either,
}

/// What a dot is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dot {
    InLine,
    Anything,
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

    fn push(&mut self, text: &str) {
        self.ours.text.push_str(text);
    }

    fn take(&mut self, char: char) -> Result<(), ExpressionError> {
        if self.depth == 0 && !matches!(char, '*' | '+' | '?' | '{' | '(' | ')') {
            self.atom = Some(self.ours.text.len());
        }
        match char {
            '\\' => return self.take_escape(),
            '[' => self.begin_class(),
            ']' if self.depth > 0 => {
                self.depth -= 1;
                self.push("]");
            }
            // The engine has operators here that Java has not.
            '-' if self.depth > 0 && self.rest.peek() == Some(&'-') => {
                return Err(self.unsupported("`--` in a class"));
            }
            '&' | '-' | '^' if self.depth > 0 => self.ours.text.push(char),
            '(' if self.depth == 0 => return self.begin_group(),
            ')' if self.depth == 0 => {
                if let Some(open) = self.open.pop() {
                    (self.atom, self.flags) = (Some(open.at), open.flags);
                }
                self.push(")");
            }
            '*' | '+' | '?' | '{' if self.depth == 0 => return self.take_quantifier(char),
            '.' if self.depth == 0 => self.push(match self.flags.dot {
                Dot::InLine => IN_LINE,
                Dot::Anything => "(?s:.)",
            }),
            '^' => self.push(match self.flags.lines {
                Lines::One => r"\A",
                Lines::Each => "(?mR:^)",
            }),
            '$' if self.depth == 0 => self.push(match (self.flags.lines, self.dialect) {
                (Lines::Each, _) => "(?mR:$)",
                (Lines::One, Dialect::Linear) => r"\z",
                (Lines::One, Dialect::Stepping) => r"(?=(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z)",
            }),
            '|' if self.depth == 0 => self.push("|"),
            other => return self.take_literal(other),
        }
        Ok(())
    }

    fn begin_class(&mut self) {
        self.depth += 1;
        self.push("[");
        if self.eat('^') {
            self.push("^");
        }
        if self.eat(']') {
            self.push_literal(']');
        }
    }

    /// A character that stands for itself; in a class it may begin a range.
    fn take_literal(&mut self, char: char) -> Result<(), ExpressionError> {
        let mut ahead = self.rest.clone();
        let last = match (self.depth, ahead.next(), ahead.next()) {
            (1.., Some('-'), Some(last)) if !matches!(last, ']' | '[' | '-' | '&') => last,
            (..) => {
                self.push_literal(char);
                return Ok(());
            }
        };
        self.next();
        self.next();
        let last = if last == '\\' { self.escaped_literal()? } else { last };
        self.push_range(char, last);
        Ok(())
    }

    /// Appends `char` as nothing but itself, in a class or out of one.
    fn push_literal(&mut self, char: char) {
        let other = match self.flags.case {
            Case::Either if char.is_ascii_lowercase() => Some(char.to_ascii_uppercase()),
            Case::Either if char.is_ascii_uppercase() => Some(char.to_ascii_lowercase()),
            Case::Told | Case::Either => None,
        };
        // Writing to a text cannot fail.
        match (other, self.depth) {
            (None, _) => write!(self.ours.text, r"\x{{{:X}}}", u32::from(char)),
            (Some(other), 0) => write!(self.ours.text, "[{char}{other}]"),
            (Some(other), _) => write!(self.ours.text, "{char}{other}"),
        }
        .unwrap_or_default();
    }

    /// Appends the characters from `first` to `last` as a part of a class.
    fn push_range(&mut self, first: char, last: char) {
        let mut push = |first: char, last: char| {
            write!(self.ours.text, r"\x{{{:X}}}-\x{{{:X}}}", u32::from(first), u32::from(last))
                .unwrap_or_default();
        };
        push(first, last);
        if self.flags.case == Case::Either {
            let (lower, upper) = ((first.max('a'), last.min('z')), (first.max('A'), last.min('Z')));
            if lower.0 <= lower.1 {
                push(lower.0.to_ascii_uppercase(), lower.1.to_ascii_uppercase());
            }
            if upper.0 <= upper.1 {
                push(upper.0.to_ascii_lowercase(), upper.1.to_ascii_lowercase());
            }
        }
    }

    /// `*`, `+`, `?` or what stands in braces, and what may stand behind it: `?` makes it lazy, `+` possessive. The
    /// engines would take a second quantifier.
    fn take_quantifier(&mut self, char: char) -> Result<(), ExpressionError> {
        self.ours.text.push(char);
        if char == '{' {
            while let Some(char) = self.next() {
                self.ours.text.push(char);
                if char == '}' {
                    break;
                }
            }
        }
        let atom = self.atom.take();
        if self.eat('?') {
            self.push("?");
        } else if let Some(atom) = atom
            && self.eat('+')
        {
            self.ours.needs_steps = true;
            self.ours.text.insert_str(atom, "(?>");
            self.push(")");
        }
        match self.rest.peek() {
            Some('*' | '+' | '?' | '{') => Err(self.unsupported("a quantifier of a quantifier")),
            Some(_) | None => Ok(()),
        }
    }

    fn begin_group(&mut self) -> Result<(), ExpressionError> {
        self.open.push(Open { at: self.ours.text.len(), flags: self.flags });
        self.push("(");
        if !self.eat('?') {
            self.groups += 1;
            return Ok(());
        }
        self.push("?");
        match self.next() {
            Some(':') => self.push(":"),
            Some(kind @ ('=' | '!' | '>')) => {
                self.ours.needs_steps = true;
                self.ours.text.push(kind);
            }
            Some('<') => {
                self.push("<");
                match self.rest.peek() {
                    Some('=' | '!') => {
                        self.ours.needs_steps = true;
                        let kind = self.next();
                        self.ours.text.extend(kind);
                    }
                    Some(_) | None => {
                        self.groups += 1;
                        let name: String =
                            std::iter::from_fn(|| self.next()).take_while(|char| *char != '>').collect();
                        self.push(&name);
                        self.push(">");
                    }
                }
            }
            Some(first) => return self.take_flags(first),
            None => {}
        }
        Ok(())
    }

    /// Flags up to the `)` or `:` behind them. They are spelt out where they matter.
    fn take_flags(&mut self, first: char) -> Result<(), ExpressionError> {
        let mut flags = self.flags;
        let mut turned_off = false;
        let mut next = Some(first);
        while let Some(flag) = next {
            match (flag, turned_off) {
                ('i', false) => flags.case = Case::Either,
                ('i', true) => flags.case = Case::Told,
                ('m', false) => flags.lines = Lines::Each,
                ('m', true) => flags.lines = Lines::One,
                ('s', false) => flags.dot = Dot::Anything,
                ('s', true) => flags.dot = Dot::InLine,
                ('-', _) => turned_off = true,
                (':', _) => {
                    self.flags = flags;
                    self.push(":");
                    return Ok(());
                }
                (')', _) => {
                    // To the end of the group around it.
                    self.open.pop();
                    self.flags = flags;
                    self.push(":)");
                    return Ok(());
                }
                (other, _) => return Err(self.unsupported(format!("the flag `{other}`"))),
            }
            next = self.next();
        }
        Ok(())
    }
}
