//! `agent.json` as it is written, with the place of every key and value. Believes nothing.
//!
//! The dialect is the Java agent's: JSON in UTF-8, with or without a byte order mark, with `//` and `/* */` comments
//! and nothing else that JSON does not have; of two equal keys the last counts, and nothing counts behind the end of
//! the object.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};

use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseError;
use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};

use crate::config::problem::{Problem, Spot};

/// One file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) root: Object,
    /// Where something begins behind the object that counts.
    pub(super) surplus: Option<Spot>,
}

/// A value, and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) spot: Spot,
    pub(super) value: Value,
}

/// A value of JSON.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Flag(bool),
    /// A number, as it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Object),
}

/// An object, its entries in the order of the text.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) spot: Spot,
    pub(super) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Where the key begins.
    pub(super) spot: Spot,
    pub(super) node: Node,
}

impl Object {
    /// The entry that counts.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.name == name)
    }
}

impl Value {
    /// What it is, for a message.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Flag(flag) => format!("`{flag}`"),
            Value::Number(number) => format!("`{number}`"),
            Value::Text(text) => format!("`\"{text}\"`"),
            Value::List(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        }
    }
}

impl fmt::Display for Object {
    /// What it says, and nothing else: of equal keys the one that counts, in the order of their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counting: BTreeMap<_, _> =
            self.entries.iter().map(|entry| (&entry.name, &entry.node.value)).collect();
        f.write_char('{')?;
        for (name, value) in counting {
            write!(f, "{name:?}:{value},")?;
        }
        f.write_char('}')
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Number(number) => f.write_str(number),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(items) => {
                f.write_char('[')?;
                items.iter().try_for_each(|item| write!(f, "{},", item.value))?;
                f.write_char(']')
            }
            Value::Object(object) => object.fmt(f),
        }
    }
}

/// Reads `file`.
pub(super) fn read(file: &Path) -> Result<Document, Problem> {
    let bytes =
        fs::read(file).map_err(|error| Problem::error(file, None, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
        Problem::error(file, Spots::of(&before).at(valid), "is not UTF-8 from here on")
    })?;
    parse(file, &text)
}

/// Understands the `text` of `file`.
pub(super) fn parse(file: &Path, text: &str) -> Result<Document, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let spots = Spots::of(text);
    let (tree, surplus) = match tree(text) {
        Ok(tree) => (tree, None),
        // If all is well without what begins where the trouble is, then that stands behind the end of the object.
        Err(error) => match text.get(..error.range().start).map(tree) {
            Some(Ok(Some(tree))) => (Some(tree), Some(spots.at(error.range().start))),
            _ => {
                let reason = error.kind().to_string().to_lowercase();
                return Err(Problem::error(
                    file,
                    spots.at(error.range().start),
                    format!("is not JSON: {reason}"),
                ));
            }
        },
    };
    match tree {
        Some(ast::Value::Object(object)) => {
            Ok(Document { file: file.to_path_buf(), root: self::object(&spots, object), surplus })
        }
        Some(other) => Err(Problem::error(file, spots.at(other.start()), "must hold one object, `{ … }`")),
        None => Err(Problem::error(file, None, "must hold one object, `{ … }`, but is empty")),
    }
}

fn tree(text: &str) -> Result<Option<ast::Value<'_>>, ParseError> {
    let options = ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    Ok(parse_to_ast(text, &CollectOptions::default(), &options)?.value)
}

fn node(spots: &Spots<'_>, value: ast::Value<'_>) -> Node {
    let spot = spots.at(value.start());
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(flag) => Value::Flag(flag.value),
        ast::Value::NumberLit(number) => Value::Number(number.value.to_owned()),
        ast::Value::StringLit(text) => Value::Text(text.value.into_owned()),
        ast::Value::Array(list) => {
            Value::List(list.elements.into_iter().map(|value| node(spots, value)).collect())
        }
        ast::Value::Object(object) => Value::Object(self::object(spots, object)),
    };
    Node { spot, value }
}

fn object(spots: &Spots<'_>, object: ast::Object<'_>) -> Object {
    let spot = spots.at(object.range.start);
    let entry = |property: ast::ObjectProp<'_>| Entry {
        spot: spots.at(property.range.start),
        name: property.name.into_string(),
        node: node(spots, property.value),
    };
    Object { spot, entries: object.properties.into_iter().map(entry).collect() }
}

/// Bytes of a text to lines and columns.
struct Spots<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Spots<'_> {
    fn of(text: &str) -> Spots<'_> {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Spots { text, lines: std::iter::once(0).chain(breaks).collect() }
    }

    fn at(&self, byte: usize) -> Spot {
        let line = self.lines.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|line| self.lines.get(line)).copied().unwrap_or_default();
        let before = self.text.get(start..byte).unwrap_or_default();
        Spot { line, column: before.chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_refused(text: &str, message: &str) {
        let problem = parse(Path::new("agent.json"), text).unwrap_err();
        assert_eq!(problem.to_string(), message);
    }

    #[track_caller]
    fn accepted(text: &str) -> Document {
        parse(Path::new("agent.json"), text).unwrap_or_else(|problem| unreachable!("{problem}"))
    }

    #[test]
    fn comments_of_both_kinds_and_a_byte_order_mark_are_accepted() {
        let document = accepted("\u{feff}// one\n{ /* two */ \"a\": 1 } // three");
        assert_eq!(document.root.spot, Spot { line: 2, column: 1 });
        assert_eq!(document.surplus, None);
    }

    #[test]
    fn what_only_looser_dialects_have_is_refused() {
        check_refused("{\"a\": 1,}", "agent.json:1:8: is not JSON: trailing commas are not allowed");
        check_refused("{a: 1}", "agent.json:1:2: is not JSON: expected string for object property");
        check_refused("{\"a\": 'b'}", "agent.json:1:7: is not JSON: single-quoted strings are not allowed");
        for text in
            ["{\"a\": NaN}", "{\"a\": 010}", "# no\n{}", "{\"a\": +1}", "{\"a\": 0x1}", "{\"a\": 1 \"b\": 2}"]
        {
            assert!(parse(Path::new("agent.json"), text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_that_holds_no_object_is_refused() {
        check_refused("", "agent.json: must hold one object, `{ … }`, but is empty");
        check_refused("// nothing", "agent.json: must hold one object, `{ … }`, but is empty");
        check_refused("null", "agent.json:1:1: must hold one object, `{ … }`");
        check_refused("\n []", "agent.json:2:2: must hold one object, `{ … }`");
    }

    #[test]
    fn trouble_is_told_with_its_place() {
        check_refused("{\n  \"ä\": \"x\" y\n}", "agent.json:2:11: is not JSON: expected comma");
        check_refused("{\"a\": [1, 2", "agent.json:1:7: is not JSON: unterminated array");
    }

    #[test]
    fn what_stands_behind_the_object_is_left_out_and_told() {
        for text in ["{}\n}", "{}\n{}", "{}\n'", "{}\nword"] {
            assert_eq!(accepted(text).surplus, Some(Spot { line: 2, column: 1 }), "{text}");
        }
    }

    #[test]
    fn of_two_equal_keys_the_last_counts() {
        let document = accepted("{\"a\": 1,\n \"a\": 2}");
        let entry = document.root.get("a").unwrap();
        assert_eq!(entry.spot, Spot { line: 2, column: 2 });
        assert!(matches!(&entry.node.value, Value::Number(number) if number == "2"));
    }

    #[test]
    fn a_file_that_is_not_utf8_is_refused_with_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("agent.json");
        fs::write(&file, b"{\n \"a\": \"\xff\"}").unwrap();
        let problem = read(&file).unwrap_err();
        assert_eq!(problem.spot, Some(Spot { line: 2, column: 8 }));
    }

    proptest! {
        /// A place is where one gets by counting.
        #[test]
        fn places_are_counted_in_lines_and_characters(text in "[aä\n]{0,30}", after in 0usize..30) {
            let Some((byte, _)) = text.char_indices().nth(after) else { return Ok(()) };
            let mut expected = Spot { line: 1, column: 1 };
            for char in text.chars().take(after) {
                if char == '\n' {
                    expected = Spot { line: expected.line + 1, column: 1 };
                } else {
                    expected.column += 1;
                }
            }
            prop_assert_eq!(Spots::of(&text).at(byte), expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\":,a1'/*\\\\ \n]{0,24}") {
            if let Err(problem) = parse(Path::new("agent.json"), &text) {
                prop_assert!(problem.to_string().starts_with("agent.json:"));
            }
        }
    }
}
