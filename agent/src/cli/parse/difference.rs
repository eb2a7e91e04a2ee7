//! How a record differs from the one that the Java agent would have sent. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::make::Maker;
use crate::parse::{Parser, Step};
use crate::split::Line;

/// How it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// The Java agent does not start.
    Refused,
    /// It is sent, and the Java agent sends nothing.
    Dropped,
    /// The Java agent sends something, and it is not.
    NotSent,
    /// The Java agent's values end earlier.
    Cut,
    /// It has other fields.
    Fields,
    /// Its values have other types.
    Types,
    /// Something else.
    Value,
}

impl Difference {
    /// What a person reads.
    pub(super) fn text(self) -> &'static str {
        match self {
            Difference::Refused => {
                "the Java agent refuses the configuration: it does not know this `logFormat`"
            }
            Difference::Dropped => "the Java agent drops the line",
            Difference::NotSent => "the Java agent sends a record",
            Difference::Cut => "the Java agent cuts a value",
            Difference::Fields => "the Java agent writes other fields",
            Difference::Types => "the Java agent writes other types",
            Difference::Value => "the Java agent writes another value",
        }
    }
}

/// What two records differ in, if they do; nothing stands for none.
pub(super) fn between(java: Theirs<'_>, ours: Option<&[u8]>) -> Option<Difference> {
    match (java, ours) {
        (Theirs::Refusal, _) => Some(Difference::Refused),
        (Theirs::Nothing, None) => None,
        (Theirs::Nothing, Some(_)) => Some(Difference::Dropped),
        (Theirs::Record(_), None) => Some(Difference::NotSent),
        (Theirs::Record(java), Some(ours)) if java == ours => None,
        (Theirs::Record(java), Some(ours)) => Some(of_records(java, ours)),
    }
}

fn of_records(java: &[u8], ours: &[u8]) -> Difference {
    let object = |record: &[u8]| serde_json::from_slice::<Map<String, Value>>(record).ok();
    let (Some(java), Some(ours)) = (object(java), object(ours)) else { return Difference::Value };
    if java.len() != ours.len() || java.keys().any(|name| !ours.contains_key(name)) {
        return Difference::Fields;
    }
    let pairs =
        || java.iter().filter_map(|(name, java)| Some((java, ours.get(name)?))).filter(|(a, b)| a != b);
    let is_cut = |(java, ours): (&Value, &Value)| match (java, ours) {
        (Value::String(java), Value::String(ours)) => ours.starts_with(java),
        _ => false,
    };
    let is_typed = |(java, ours): (&Value, &Value)| match (java, ours) {
        (Value::String(java), Value::Number(ours)) => *java == ours.to_string(),
        _ => false,
    };
    // Of objects that are equal the text differs.
    if pairs().next().is_none() {
        Difference::Value
    } else if pairs().all(is_cut) {
        Difference::Cut
    } else if pairs().all(is_typed) {
        Difference::Types
    } else {
        Difference::Value
    }
}

/// What the Java agent sends for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theirs<'a> {
    /// Nothing of any line: it does not start with these steps.
    Refusal,
    /// Nothing of this line.
    Nothing,
    /// This record.
    Record(&'a [u8]),
}

/// The Java agent with a flow's steps.
#[derive(Debug)]
pub(super) struct Java {
    /// Nothing if it refuses one of them.
    parser: Option<Parser>,
    record: Vec<u8>,
}

impl Java {
    /// With the steps of `parser`.
    pub(super) fn new(parser: &Parser) -> Java {
        let steps = parser.steps().iter().map(Step::of_java_agent).collect::<Option<_>>();
        Java { parser: steps.map(Parser::new), record: Vec::new() }
    }

    /// What it sends for `line`, cut as the records of `maker` are.
    pub(super) fn send(&mut self, line: &Line<'_>, maker: &Maker) -> Theirs<'_> {
        let Some(parser) = &mut self.parser else { return Theirs::Refusal };
        self.record.clear();
        match parser.parse(line, &maker.around, &mut self.record) {
            Ok(record) => {
                maker.cut(&record, &mut self.record);
                Theirs::Record(&self.record)
            }
            Err(_) => Theirs::Nothing,
        }
    }
}

/// How often each difference was found.
#[derive(Debug, Default)]
pub(super) struct Tally {
    records: u64,
    differing: BTreeMap<Difference, u64>,
}

impl Tally {
    /// Notes what was found of one record.
    pub(super) fn note(&mut self, difference: Option<Difference>) {
        self.records += 1;
        if let Some(difference) = difference {
            *self.differing.entry(difference).or_default() += 1;
        }
    }

    /// The counts, by reason, as lines of text.
    pub(super) fn text(&self) -> String {
        let differing: u64 = self.differing.values().sum();
        let same = self.records - differing;
        let reasons =
            self.differing.iter().map(|(reason, count)| format!("{count:>10}  {}\n", reason.text()));
        format!("{same:>10}  the same, or sent by neither\n{}", reasons.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(java: &str, ours: &str, expected: Option<Difference>) {
        let theirs = if java.is_empty() { Theirs::Nothing } else { Theirs::Record(java.as_bytes()) };
        let ours = Some(ours.as_bytes()).filter(|ours| !ours.is_empty());
        assert_eq!(between(theirs, ours), expected);
    }

    #[test]
    fn what_one_of_both_does_not_send_is_told() {
        check("", "", None);
        check("", "a", Some(Difference::Dropped));
        check("a", "", Some(Difference::NotSent));
    }

    #[test]
    fn where_the_java_agent_does_not_start_nothing_is_the_same() {
        assert_eq!(between(Theirs::Refusal, Some(b"a")), Some(Difference::Refused));
        assert_eq!(between(Theirs::Refusal, None), Some(Difference::Refused));
    }

    #[test]
    fn equal_records_do_not_differ() {
        check("{\"a\":1}\n", "{\"a\":1}\n", None);
        check("{\"a\":1}\n", "{\"a\": 1}\n", Some(Difference::Value));
    }

    #[test]
    fn values_differ_by_their_end_their_type_or_otherwise() {
        check(r#"{"a":"x","b":"y\\"}"#, r#"{"a":"x","b":"y\\\" z"}"#, Some(Difference::Cut));
        check(r#"{"a":"200"}"#, r#"{"a":200}"#, Some(Difference::Types));
        check(r#"{"a":"200"}"#, r#"{"a":"404"}"#, Some(Difference::Value));
        check(r#"{"a":"2","b":"x"}"#, r#"{"a":2,"b":"y"}"#, Some(Difference::Value));
        check(r#"{"a":null}"#, r#"{"a":"-"}"#, Some(Difference::Value));
    }

    #[test]
    fn fields_differ_by_their_names() {
        check(r#"{"a":"x"}"#, r#"{"a":"x","b":"y"}"#, Some(Difference::Fields));
        check(r#"{"a":"x"}"#, r#"{"b":"x"}"#, Some(Difference::Fields));
    }

    #[test]
    fn what_is_no_object_differs_as_a_whole() {
        check("a", "b", Some(Difference::Value));
    }

    #[test]
    fn reasons_are_counted() {
        let mut tally = Tally::default();
        for difference in [None, Some(Difference::Dropped), Some(Difference::Cut), Some(Difference::Dropped)]
        {
            tally.note(difference);
        }
        let text = "         1  the same, or sent by neither\n         2  the Java agent drops the line\n         1  the Java agent cuts a value\n";
        assert_eq!(tally.text(), text);
    }
}
