//! One Rust file as the rules see it: its tokens and paths without comments and tests, its words with them.
//!
//! Understands just enough of Rust for that: comments, strings, `use` groups and items behind `#[cfg(test)]`. A name
//! that a macro puts together or that an alias hides (`use notify as n`) is beyond it.

use std::ops::RangeInclusive;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier, a keyword or a number.
    Word,
    /// A string literal, its quotes taken off.
    Text,
    /// A character literal or one sign.
    Mark,
}

/// One token of the product: neither in a comment nor in a test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    fn is(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }
}

/// A path as the code names it, a `use` group written out; a single name is a path of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) segments: Vec<&'a str>,
    pub(crate) line: usize,
}

impl Named<'_> {
    /// Whether these segments stand in the path one after the other.
    pub(crate) fn contains(&self, segments: &[&str]) -> bool {
        self.segments.windows(segments.len()).any(|window| window == segments)
    }
}

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    path: &'a str,
    text: &'a str,
    product: Vec<Token<'a>>,
    /// The lines of the items behind `#[cfg(test)]`.
    tests: Vec<RangeInclusive<usize>>,
    /// The modules that are declared behind `#[cfg(test)]` and stand in files of their own.
    test_modules: Vec<&'a str>,
}

impl<'a> Source<'a> {
    /// The file at `path` with this text.
    pub(crate) fn new(path: &'a str, text: &'a str) -> Source<'a> {
        let mut source = Source { path, text, product: vec![], tests: vec![], test_modules: vec![] };
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        while let Some((first, tail)) = rest.split_first() {
            let item = test_item(rest);
            match item.and_then(|item| item.last()) {
                Some(last) => source.tests.push(first.line..=last.line),
                None => source.product.push(*first),
            }
            if let Some([.., module, name, _]) = item
                && module.text == "mod"
            {
                source.test_modules.push(name.text);
            }
            rest = item.map_or(tail, |item| rest.get(item.len()..).unwrap_or_default());
        }
        source
    }

    /// The same file, all of it being tests.
    pub(crate) fn into_test(self) -> Source<'a> {
        Source { product: vec![], tests: vec![1..=usize::MAX], test_modules: vec![], ..self }
    }

    /// Where the file stands, from the root of the tree.
    pub(crate) fn path(&self) -> &'a str {
        self.path
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The tokens that are neither in a comment nor in a test.
    pub(crate) fn tokens(&self) -> &[Token<'a>] {
        &self.product
    }

    /// Every path among the tokens.
    pub(crate) fn paths(&self) -> Vec<Named<'a>> {
        let mut found = Vec::new();
        let mut rest = self.product.as_slice();
        while let Some((first, tail)) = rest.split_first() {
            rest = if first.kind == Kind::Word { path(rest, &[], &mut found) } else { tail };
        }
        found
    }

    /// The files that this one declares as modules of tests.
    pub(crate) fn test_files(&self) -> Vec<String> {
        let folder = self.path.strip_suffix("mod.rs").map_or_else(
            || format!("{}/", self.path.strip_suffix(".rs").unwrap_or(self.path)),
            |folder| folder.to_owned(),
        );
        self.test_modules.iter().map(|name| format!("{folder}{name}.rs")).collect()
    }

    /// How many lines stand outside the tests.
    pub(crate) fn product_lines(&self) -> usize {
        self.lines(false).count()
    }

    /// The lines inside the tests, or those outside, comments included.
    pub(crate) fn lines(&self, in_tests: bool) -> impl Iterator<Item = &'a str> {
        let inside = |line| self.tests.iter().any(|lines| lines.contains(&line));
        (1..).zip(self.text.lines()).filter(move |(line, _)| inside(*line) == in_tests).map(|(_, text)| text)
    }
}

/// The item behind a `#[cfg(test)]` that begins here, attribute included.
fn test_item<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let attribute = tokens.get(..ATTRIBUTE.len())?;
    if !attribute.iter().map(|token| token.text).eq(ATTRIBUTE) {
        return None;
    }
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(ATTRIBUTE.len()) {
        let end = match token {
            open if open.is("{") || open.is("(") || open.is("[") => {
                depth += 1;
                false
            }
            close if close.is("}") || close.is(")") || close.is("]") => {
                depth = depth.saturating_sub(1);
                depth == 0 && close.is("}")
            }
            other => depth == 0 && other.is(";"),
        };
        if end {
            return tokens.get(..=index);
        }
    }
    Some(tokens)
}

/// Notes the path that begins here behind `prefix`, a group written out, and returns what follows it.
fn path<'t, 'a>(tokens: &'t [Token<'a>], prefix: &[&'a str], found: &mut Vec<Named<'a>>) -> &'t [Token<'a>] {
    let mut segments = prefix.to_vec();
    let mut rest = tokens;
    let mut line = 0;
    while let Some((first, tail)) = rest.split_first() {
        if first.is("{") && !segments.is_empty() {
            return group(tail, &segments, found);
        }
        if first.kind != Kind::Word {
            break;
        }
        segments.push(first.text);
        line = first.line;
        rest = tail;
        match tail {
            [one, two, tail @ ..] if one.is(":") && two.is(":") => rest = tail,
            _ => break,
        }
    }
    found.push(Named { segments, line });
    rest
}

/// Notes every path of the group that has just been opened, and returns what follows it.
fn group<'t, 'a>(tokens: &'t [Token<'a>], prefix: &[&'a str], found: &mut Vec<Named<'a>>) -> &'t [Token<'a>] {
    let mut rest = tokens;
    while let Some((first, tail)) = rest.split_first() {
        if first.is("}") {
            return tail;
        }
        rest = match first.kind {
            // The name behind it is new, not one that is named.
            Kind::Word if first.text == "as" => tail.get(1..).unwrap_or_default(),
            Kind::Word => path(rest, prefix, found),
            Kind::Text | Kind::Mark => tail,
        };
    }
    rest
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (kind, len) = lexeme(rest);
        let (token, tail) = rest.split_at_checked(len).unwrap_or((rest, ""));
        if let Some(kind) = kind {
            let text = if kind == Kind::Text { unquoted(token) } else { token };
            tokens.push(Token { kind, text, line });
        }
        line += token.matches('\n').count();
        rest = tail;
    }
    tokens
}

/// What `text` begins with, and how long that is; comments and white space are nothing.
fn lexeme(text: &str) -> (Option<Kind>, usize) {
    if text.starts_with("//") {
        return (None, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (None, block_comment(text));
    }
    if let Some(len) = string(text) {
        return (Some(Kind::Text), len);
    }
    if let Some(len) = character(text) {
        return (Some(Kind::Mark), len);
    }
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    match text.find(|sign| !is_word(sign)).unwrap_or(text.len()) {
        0 => {
            let first = text.chars().next().unwrap_or_default();
            ((!first.is_whitespace()).then_some(Kind::Mark), first.len_utf8())
        }
        len => (Some(Kind::Word), len),
    }
}

/// The length of the block comment that `text` begins with; such comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        let next = signs.peek().map(|(_, next)| *next);
        match (sign, next) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth = depth.saturating_sub(1),
            _ => continue,
        }
        signs.next();
        if depth == 0 {
            return at + 2;
        }
    }
    text.len()
}

/// The length of the string literal that `text` begins with, raw or not.
fn string(text: &str) -> Option<usize> {
    let raw = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix));
    if let Some(raw) = raw
        && let body = raw.trim_start_matches('#')
        && body.starts_with('"')
    {
        let end = format!("\"{}", "#".repeat(raw.len() - body.len()));
        let body_at = text.len() - body.len() + 1;
        let len = text.get(body_at..).and_then(|body| body.find(&end));
        return Some(len.map_or(text.len(), |len| body_at + len + end.len()));
    }
    text.starts_with('"').then(|| quoted(text, '"').unwrap_or(text.len()))
}

/// The length of the character literal that `text` begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let mut signs = body.chars();
    match (signs.next()?, signs.next()?) {
        ('\\', _) => quoted(text, '\''),
        (first, '\'') => Some(first.len_utf8() + 2),
        _ => None,
    }
}

/// The length up to the quote that ends what `text` begins with.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => {
                signs.next();
            }
            end if end == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A string literal without its prefix, hashes and quotes.
fn unquoted(literal: &str) -> &str {
    let body = literal.trim_start_matches(|sign| sign != '"').trim_end_matches('#');
    body.strip_prefix('"').and_then(|body| body.strip_suffix('"')).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let source = Source::new("a.rs", text);
        let paths: Vec<String> = source.paths().iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_group_is_written_out() {
        check("use a::{b, c::{D, self}, e as f};", &["use", "a::b", "a::c::D", "a::c::self", "a::e"]);
    }

    #[test]
    fn comments_and_strings_name_nothing() {
        check("// a::b\n/* c /* d */ e */ f(\"g::h \\\" i\", r#\"j \" k\"#, 'l', '\\'', b'm')", &["f", "b"]);
    }

    #[test]
    fn a_lifetime_is_not_the_beginning_of_a_character() {
        check("&'a str, b: 'static", &["a", "str", "b", "static"]);
    }

    #[test]
    fn items_behind_cfg_test_are_not_product() {
        check("use a;\n#[cfg(test)]\nmod tests {\n use b; fn c() {}\n}\nuse d;", &["use", "a", "use", "d"]);
        check("#[cfg(test)] use a::{b};\nc", &["c"]);
        check("#[cfg(test)] const A: [u8; 2] = [1, 2]; b", &["b"]);
    }

    #[test]
    fn lines_are_counted_on_both_sides_of_the_tests() {
        let source = Source::new("a.rs", "one\n#[cfg(test)]\nmod tests {\n    two\n}\nthree\n");
        assert_eq!(source.product_lines(), 2);
        assert_eq!(source.lines(true).collect::<Vec<_>>(), ["#[cfg(test)]", "mod tests {", "    two", "}"]);
    }

    #[test]
    fn strings_keep_their_content_and_every_token_its_line() {
        let source = Source::new("a.rs", "\n\"one\"\nr#\"t\nwo\"# three");
        let found: Vec<_> = source.tokens().iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(found, [("one", 2), ("t\nwo", 3), ("three", 4)]);
    }

    #[test]
    fn a_module_of_tests_may_stand_in_its_own_file() {
        let declared = "#[cfg(test)]\nmod tests;";
        assert_eq!(Source::new("a/mod.rs", declared).test_files(), ["a/tests.rs"]);
        assert_eq!(Source::new("a/b.rs", declared).test_files(), ["a/b/tests.rs"]);
    }
}
