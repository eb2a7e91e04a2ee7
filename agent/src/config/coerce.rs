//! Values as they are written to values of the kind that a key has. Pure.
//!
//! The Java agent took much for a number or for true that is neither in JSON, and configurations that rely on it go
//! on working.

use crate::config::key::Kind;
use crate::config::raw::{Entry, Value};

/// A value of the right kind, within its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Flag(bool),
    Number(i64),
    /// A text, or a word of the table.
    Text(String),
    /// A list or object, which only the step that it is for can judge.
    Structure,
}

/// Takes `value` for a value of `kind`, if it is not null or, where that is as good as nothing, empty.
///
/// The error goes on from the name of the key: what it must be, and what it is.
pub(super) fn coerce(kind: Kind, value: &Value) -> Result<Option<Given>, String> {
    let but = || format!("not {}", value.describe());
    if matches!(value, Value::Null) {
        return Ok(None);
    }
    match kind {
        Kind::Text | Kind::AnyText | Kind::Secret => {
            let text = java_text(value);
            let is_none = text.is_empty() && kind != Kind::AnyText;
            Ok((!is_none).then_some(Given::Text(text)))
        }
        Kind::Flag => match text(value).as_deref().and_then(flag) {
            Some(flag) => Ok(Some(Given::Flag(flag))),
            None => Err(format!("must be true or false, {}", but())),
        },
        Kind::Number { least, most, .. } => match text(value).as_deref().and_then(whole) {
            Some(number) if (least..=most).contains(&number) => Ok(Some(Given::Number(number))),
            Some(number) => Err(format!("must be between {least} and {most}, not {number}")),
            None => Err(format!("must be a whole number between {least} and {most}, {}", but())),
        },
        Kind::Word(words) => match text(value) {
            Some(word) if words.contains(&word.as_str()) => Ok(Some(Given::Text(word))),
            Some(_) | None => Err(format!("must be {}, {}", either(words), but())),
        },
        Kind::Texts | Kind::Objects => match value {
            Value::List(_) => Ok(Some(Given::Structure)),
            Value::Object(_) => Err("must be a list, not an object: put `[` and `]` around it".to_owned()),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) => {
                Err(format!("must be a list, {}", but()))
            }
        },
        Kind::Anything => Ok(Some(Given::Structure)),
    }
}

/// The text of a scalar.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Flag(flag) => Some(flag.to_string()),
        Value::Null | Value::List(_) | Value::Object(_) => None,
    }
}

/// The text that the Java agent made of any value: a list in brackets, an object in braces.
fn java_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Flag(flag) => flag.to_string(),
        Value::Number(text) | Value::Text(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| java_text(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(object) => {
            let entry = |entry: &Entry| format!("{}={}", entry.name, java_text(&entry.node.value));
            let entries: Vec<_> = object.entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "t" | "y" | "1" => Some(true),
        "false" | "no" | "f" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A whole number: decimal, hexadecimal behind `0x` or `#`, octal behind `0`.
fn whole(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = ["0x", "0X", "#"].into_iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, radix) = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => (digits, 10),
    };
    // `from_str_radix` would take a second sign.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// `a`, `b` or `c`, each as code.
fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::key::Unit;
    use crate::config::raw;

    const SMALL: Kind = Kind::Number { unit: Unit::Pieces, least: 1, most: 2_000 };

    #[track_caller]
    fn check(kind: Kind, value: Value, expected: Option<Given>) {
        assert_eq!(coerce(kind, &value), Ok(expected));
    }

    #[track_caller]
    fn check_refused(kind: Kind, value: Value, message: &str) {
        assert_eq!(coerce(kind, &value), Err(message.to_owned()));
    }

    fn string(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn number(text: &str) -> Value {
        Value::Number(text.to_owned())
    }

    #[test]
    fn null_is_not_set_whatever_the_kind() {
        for kind in [Kind::Text, Kind::Flag, SMALL, Kind::Word(&["a"]), Kind::Objects, Kind::Anything] {
            check(kind, Value::Null, None);
        }
    }

    #[test]
    fn numbers_may_be_texts_decimal_hexadecimal_or_octal() {
        for value in [
            number("2000"),
            string("2000"),
            string("0x7d0"),
            string("0X7D0"),
            string("#7d0"),
            string("03720"),
        ] {
            check(SMALL, value, Some(Given::Number(2_000)));
        }
        check(SMALL, string("010"), Some(Given::Number(8)));
        check(SMALL, string("+7"), Some(Given::Number(7)));
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for value in [
            number("2000.0"),
            number("1e3"),
            string("2e3"),
            string("2 000"),
            string(""),
            string("--1"),
            string("0x-1"),
            string("99999999999999999999"),
        ] {
            let message = format!("must be a whole number between 1 and 2000, not {}", value.describe());
            check_refused(SMALL, value, &message);
        }
        check_refused(SMALL, Value::Flag(true), "must be a whole number between 1 and 2000, not `true`");
    }

    #[test]
    fn a_number_out_of_its_range_is_refused() {
        check_refused(SMALL, number("2001"), "must be between 1 and 2000, not 2001");
        check_refused(SMALL, string("-0x1"), "must be between 1 and 2000, not -1");
    }

    #[test]
    fn many_words_mean_true_or_false() {
        for value in [Value::Flag(true), string("YES"), string("t"), string("y"), number("1")] {
            check(Kind::Flag, value, Some(Given::Flag(true)));
        }
        for value in [Value::Flag(false), string("No"), string("F"), string("n"), string("0")] {
            check(Kind::Flag, value, Some(Given::Flag(false)));
        }
        check_refused(Kind::Flag, string("on"), "must be true or false, not `\"on\"`");
    }

    #[test]
    fn words_are_exact() {
        let kind = Kind::Word(&["A", "B", "C"]);
        check(kind, string("B"), Some(Given::Text("B".to_owned())));
        check_refused(kind, string("b"), "must be `A`, `B` or `C`, not `\"b\"`");
        check_refused(kind, string(""), "must be `A`, `B` or `C`, not `\"\"`");
    }

    #[test]
    fn a_text_may_be_written_as_anything() {
        let given = |text: &str| Some(Given::Text(text.to_owned()));
        check(Kind::Text, number("12"), given("12"));
        check(Kind::Text, Value::Flag(true), given("true"));
        let document =
            raw::parse(Path::new("a.json"), r#"{"a": ["x", 1, null, {"b": [], "c": "y"}]}"#).unwrap();
        let list = document.root.entries.into_iter().next().unwrap().node.value;
        check(Kind::AnyText, list, given("[x, 1, null, {b=[], c=y}]"));
    }

    #[test]
    fn an_empty_text_is_a_value_only_where_it_can_be_one() {
        check(Kind::Text, string(""), None);
        check(Kind::AnyText, string(""), Some(Given::Text(String::new())));
    }

    /// The definition: a sign, then digits of the base that what stands before them says, and what they amount to.
    /// Source: <https://docs.oracle.com/javase/8/docs/api/java/lang/Long.html#decode-java.lang.String->.
    fn decoded(text: &str) -> Option<i64> {
        let mut chars = text.chars().peekable();
        let sign = if chars.peek() == Some(&'-') { -1 } else { 1 };
        chars.next_if(|char| ['-', '+'].contains(char));
        let rest: String = chars.collect();
        let hexadecimal = ["0x", "0X", "#"].iter().find_map(|prefix| rest.strip_prefix(prefix));
        let (base, digits) = match (hexadecimal, rest.strip_prefix('0')) {
            (Some(digits), _) => (16, digits),
            (None, Some(digits)) if !digits.is_empty() => (8, digits),
            (None, _) => (10, rest.as_str()),
        };
        let mut amount = 0_i128;
        for digit in digits.chars() {
            amount = amount * i128::from(base) + i128::from(digit.to_digit(base)?);
        }
        if digits.is_empty() { None } else { i64::try_from(sign * amount).ok() }
    }

    proptest! {
        #[test]
        fn a_text_is_a_number_where_the_definition_says_so(text in "[-+]?(0x|0X|#|0)?[-+ 0-9a-fg]{0,5}|[-+]?9[0-9]{18}") {
            prop_assert_eq!(whole(&text), decoded(&text));
        }

        /// However a number is written, it is read as the same.
        #[test]
        fn every_notation_of_a_number_is_understood(given in i64::MIN + 1..i64::MAX) {
            let (sign, digits) = (if given < 0 { "-" } else { "" }, given.unsigned_abs());
            let octal = if digits == 0 { "0".to_owned() } else { format!("{sign}0{digits:o}") };
            for text in [given.to_string(), format!("{sign}{digits:#x}"), format!("{sign}#{digits:X}"), octal] {
                prop_assert_eq!(whole(&text), Some(given), "{}", text);
            }
        }
    }
}
