//! `PRETTYPRINT`: compact JSON laid out for a reader, as the Java agent's library does it.
//!
//! Two spaces for each object that is open, a space on both sides of a colon, lists on one line. Does not know what the
//! JSON says, and relies on its being compact: only strings hold white space.

use super::Record;

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Object,
    List,
}

/// Appends the `json` of one line, laid out.
pub(super) fn write(json: &[u8], out: &mut Vec<u8>) -> Record {
    let start = out.len();
    let mut open = Vec::new();
    let mut rest = json;
    while let Some((&byte, behind)) = rest.split_first() {
        let mut taken = 1;
        match (byte, behind.first()) {
            (b'"', _) => {
                taken = string_len(rest);
                out.extend_from_slice(rest.get(..taken).unwrap_or_default());
            }
            (b'{', Some(b'}')) | (b'[', Some(b']')) => {
                taken = 2;
                out.extend_from_slice(if byte == b'{' { b"{ }" } else { b"[ ]" });
            }
            (b'{', _) => {
                open.push(Open::Object);
                out.push(byte);
                new_line(&open, out);
            }
            (b'[', _) => {
                open.push(Open::List);
                out.extend_from_slice(b"[ ");
            }
            (b'}', _) => {
                open.pop();
                new_line(&open, out);
                out.push(byte);
            }
            (b']', _) => {
                open.pop();
                out.extend_from_slice(b" ]");
            }
            (b',', _) => {
                out.push(byte);
                match open.last() {
                    Some(Open::Object) => new_line(&open, out),
                    Some(Open::List) | None => out.push(b' '),
                }
            }
            (b':', _) => out.extend_from_slice(b" : "),
            _ => out.push(byte),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    Record::text(out.len() - start)
}

/// How long the string at the start of `json` is, its quotes included.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn new_line(open: &[Open], out: &mut Vec<u8>) {
    out.push(b'\n');
    let objects = open.iter().filter(|open| **open == Open::Object).count();
    out.resize(out.len() + 2 * objects, b' ');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn laid_out(json: &str) -> String {
        let mut out = b"before".to_vec();
        let record = write(json.as_bytes(), &mut out);
        let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
        assert_eq!(record, Record::text(text.len()));
        text
    }

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(laid_out(json), expected);
    }

    #[test]
    fn each_field_of_an_object_has_a_line() {
        check("{\"a\":\"b\",\"c\":null}\n", "{\n  \"a\" : \"b\",\n  \"c\" : null\n}\n");
        check("{\"a\":{\"b\":-1.5E7}}\n", "{\n  \"a\" : {\n    \"b\" : -1.5E7\n  }\n}\n");
    }

    #[test]
    fn lists_stay_on_their_line_and_do_not_indent() {
        check("{\"a\":[1,[true],{\"b\":2}]}\n", "{\n  \"a\" : [ 1, [ true ], {\n    \"b\" : 2\n  } ]\n}\n");
    }

    #[test]
    fn what_is_empty_holds_a_space() {
        check("{}\n", "{ }\n");
        check("{\"a\":[],\"b\":{}}\n", "{\n  \"a\" : [ ],\n  \"b\" : { }\n}\n");
    }

    #[test]
    fn nothing_in_a_string_is_laid_out() {
        check(r#"{"{\",:":"[a,\\"}"#, "{\n  \"{\\\",:\" : \"[a,\\\\\"\n}");
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|number| number.to_string()),
            "[a\"\\\\{}:, \n]{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..4);
            let fields = proptest::collection::vec(("[a\"\\\\:]{0,3}", inner), 0..4);
            prop_oneof![
                list.prop_map(|items| format!("[{}]", items.join(","))),
                fields.prop_map(|fields| {
                    let field =
                        |(name, value): (String, String)| format!("{}:{value}", serde_json::json!(name));
                    format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        /// Whatever is laid out says the same, and a reader who takes white space out has what there was.
        #[test]
        fn only_white_space_is_added(json in json()) {
            let text = laid_out(&json);
            let (before, after): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(&json)?, serde_json::from_str(&text)?);
            prop_assert_eq!(before, after);
            let dense = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(dense(&text), dense(&json));
        }
    }
}
