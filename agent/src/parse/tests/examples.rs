//! `LOGTOJSON` by example: for each rule a line, what the Java agent makes of it, and what we make of it.

use super::*;

/// The text of `key` in an example.
fn text<'e>(example: &'e Value, key: &str) -> Option<&'e str> {
    example.get(key).and_then(Value::as_str)
}

fn names(example: &Value) -> Option<Vec<String>> {
    serde_json::from_value(example.get("customFieldNames")?.clone()).unwrap()
}

/// The step that an example is for, and the Java agent with it.
fn step(example: &Value) -> (Step, JavaAgent) {
    let format = Format::from_word(text(example, "logFormat").unwrap()).unwrap();
    let types = JsonTypes::Strings;
    match (text(example, "matchPattern"), names(example)) {
        (Some(pattern), names) => {
            let names = names.unwrap();
            let pattern = Pattern::new(pattern, names.iter().map(String::as_str), format).unwrap();
            (Step::Pattern(pattern.clone()), JavaAgent::with_pattern(pattern))
        }
        (None, Some(names)) => {
            let java = JavaAgent::with_names(format, names.iter().map(String::as_str)).unwrap();
            (Step::Renamed(Renamed::new(format, &names, types).unwrap()), java)
        }
        (None, None) => (Step::Log { format, types }, JavaAgent::with_format(format)),
    }
}

#[test]
fn every_example_gives_what_it_says() {
    let examples = String::from_utf8(fixture("java", "log-to-json.jsonl")).unwrap();
    assert!(examples.lines().count() > 40);
    for example in examples.lines() {
        let example: Value = serde_json::from_str(example).unwrap();
        let line = text(&example, "line").unwrap().as_bytes();
        let (step, java) = step(&example);
        let said = |key: &str| text(&example, key).map(|record| format!("{record}\n").into_bytes());

        let mut record = Vec::new();
        let record = java.write(line, &mut record).is_some().then_some(record);
        assert_eq!(record, said("java"), "the Java agent: {example}");
        let record = parse(&Parser::new(vec![step]), line).ok().map(|(record, _)| record);
        assert_eq!(record, said("ours"), "{example}");
    }
}

#[test]
fn there_must_be_one_name_for_each_field_or_group() {
    let names = |count: usize| vec!["x".to_owned(); count];
    for format in Format::ALL {
        let fields = format.names().len();
        assert!(Renamed::new(format, &names(fields), JsonTypes::Strings).is_ok());
        for count in [0, fields - 1, fields + 1] {
            let error = Renamed::new(format, &names(count), JsonTypes::Strings).unwrap_err();
            let word = format.word();
            let told = format!("there must be {fields} names, one for each field of `{word}`, not {count}");
            assert_eq!(error.to_string(), told);
        }
    }
    let error = Pattern::new("(a)(?:b)(?<c>c)", ["x"], Format::Syslog).unwrap_err();
    let told = "there must be 2 names, one for each group of `matchPattern`, not 1";
    assert_eq!(error.to_string(), told);
}

#[test]
fn an_expression_that_takes_too_long_is_a_mismatch_of_its_own() {
    let pattern = Pattern::new("((a+)(?!x))+b", ["x", "y"], Format::Syslog).unwrap();
    let parser = Parser::new(vec![Step::Pattern(pattern)]);
    let told = |line: &str| parse(&parser, line.as_bytes()).unwrap_err().to_string();
    let undecided = "undecided match at byte 0: expected an answer within 1000000 steps";
    assert_eq!(told(&"a".repeat(60)), undecided);
    let missing =
        "no match at byte 0: expected what `matchPattern` matches from the first character to the last";
    assert_eq!(told("x"), missing);
}

#[test]
fn what_is_not_utf8_is_repaired_in_what_an_expression_matches() {
    let pattern = Pattern::new("a(.)b", ["x"], Format::Syslog).unwrap();
    let parser = Parser::new(vec![Step::Pattern(pattern)]);
    assert_eq!(parse(&parser, b"a\xFFb\n"), Ok(("{\"x\":\"\u{FFFD}\"}\n".as_bytes().to_vec(), true)));
    assert_eq!(parse(&parser, "aéb\n".as_bytes()), Ok(("{\"x\":\"é\"}\n".as_bytes().to_vec(), false)));
}

#[test]
fn under_other_names_native_values_are_native_and_nothing_is_added() {
    let names: Vec<_> = "abcdefg".chars().map(String::from).collect();
    let renamed = Renamed::new(Format::Common, &names, JsonTypes::Native).unwrap();
    let line = br#"192.0.2.1 - - [03/Feb/2021:04:05:06 +0100] "GET /\xc3\xa9 HTTP/1.1" 200 -"#;
    let (record, _) = parse(&Parser::new(vec![Step::Renamed(renamed)]), line).unwrap();
    let expected = r#"{"a":"192.0.2.1","b":null,"c":null,"d":"03/Feb/2021:04:05:06 +0100","e":"GET /é HTTP/1.1","f":200,"g":0}"#;
    assert_eq!(String::from_utf8(record).unwrap(), format!("{expected}\n"));
}
