//! Chains of steps: each step against golden vectors, chains against their steps one by one, and for any bytes.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::parse::csv::Csv;

/// 2021-02-03T04:05:06.789Z.
const NOW: Duration = Duration::from_millis(1_612_325_106_789);

/// With everything that can be known of an instance.
fn on_instance() -> Surroundings {
    let text = |text: &str| Some(text.to_owned());
    let tags = [("Name", "web"), ("Stage", "qa")];
    let instance = Instance {
        private_ip: text("10.0.0.5"),
        availability_zone: text("eu-west-1a"),
        instance_id: text("i-0123456789abcdef0"),
        instance_type: text("t3.micro"),
        account_id: text("123456789012"),
        image_id: text("ami-0123456789abcdef0"),
        region: text("eu-west-1"),
        tags: Some(BTreeMap::from(tags.map(|(name, value)| (name.to_owned(), value.to_owned())))),
        asked: NOW,
    };
    Surroundings { now: NOW, instance: Some(Arc::new(instance)) }
}

/// Where nothing is known of an instance.
fn elsewhere() -> Surroundings {
    Surroundings::at(NOW)
}

fn columns(names: &[&str]) -> Csv {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    Csv::new(&names, ",").unwrap()
}

fn metadata(value: Json) -> Step {
    Step::AddMetadata(AddMetadata::new(&value, Timestamp::Omitted))
}

fn instance() -> Step {
    Step::AddInstance(Duration::from_secs(3600))
}

fn single_line() -> Step {
    Step::SingleLine(SingleLine { ends: Ends::Trimmed, between: Between::Nothing })
}

fn common() -> Step {
    Step::Log { format: Format::Common, types: JsonTypes::Strings }
}

/// The record that `steps` make of `line`, and what is told of it.
fn run(steps: &[Step], line: &[u8], around: &Surroundings) -> Result<(Vec<u8>, Record), Mismatch> {
    let mut buffer = b"before".to_vec();
    let result = Parser::new(steps.to_vec()).parse(&Line::alone(line), around, &mut buffer);
    let added = buffer.strip_prefix(b"before").expect("what was in the buffer must stay").to_vec();
    assert_eq!(result.as_ref().map_or(0, Record::len), added.len());
    Ok((added, result?))
}

#[track_caller]
fn check_steps(steps: &[Step], line: &str, around: &Surroundings, expected: &str) {
    let (record, told) = run(steps, line.as_bytes(), around).unwrap();
    assert_eq!(str::from_utf8(&record), Ok(expected), "{line:?}");
    assert_eq!(told.failure(), None);
}

#[track_caller]
fn check_failure(steps: &[Step], line: &[u8], expected: Failure) {
    let (record, told) = run(steps, line, &on_instance()).unwrap();
    assert_eq!((record.as_slice(), told.failure()), (line, Some(expected)), "{}", line.escape_ascii());
}

/// The rows of `fixtures/records/NAME.tsv`: texts of JSON between tabs.
fn rows(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(fixture("records", name)).unwrap();
    let cells = |row: &str| row.split('\t').map(|cell| serde_json::from_str(cell).unwrap()).collect();
    let rows: Vec<Vec<String>> = text.lines().map(cells).collect();
    assert!(rows.len() > 5, "{name} has {} rows", rows.len());
    rows
}

#[test]
fn lines_are_joined_as_in_the_golden_records() {
    for row in rows("single-line.tsv") {
        let [options, line, expected] = row.as_slice() else { unreachable!("{row:?}") };
        let ends = if options.contains("NO_TRIM") { Ends::Kept } else { Ends::Trimmed };
        let escaped = options.contains("ESCAPE_NEW_LINE");
        let between = if escaped { Between::EscapedNewline } else { Between::Nothing };
        check_steps(&[Step::SingleLine(SingleLine { ends, between })], line, &elsewhere(), expected);
    }
}

#[test]
fn columns_are_as_in_the_golden_records() {
    for row in rows("csv.tsv") {
        let [names, delimiter, quote, line, expected] = row.as_slice() else { unreachable!("{row:?}") };
        let names: Vec<String> = names.split_terminator(' ').map(str::to_owned).collect();
        let csv = Csv::new(&names, delimiter).unwrap();
        let csv = if quote.is_empty() { csv } else { csv.with_quotes(quote).unwrap() };
        check_steps(&[Step::Csv(csv)], line, &elsewhere(), expected);
    }
}

#[test]
fn quotes_that_do_not_close_fail() {
    let csv = || Step::Csv(columns(&["a", "b"]).with_quotes("\"").unwrap());
    check_failure(&[csv()], b"1,\"2\n", Failure::OpenQuote);
    check_failure(&[csv()], b"1,\"2,\n", Failure::OpenQuote);
    check_failure(&[csv()], b"1,\"2\"\"\n", Failure::OpenQuote);
    check_failure(&[csv()], b"\"1\" ,2\n", Failure::BehindQuote);
    // What stands behind the last field is not looked at.
    check_steps(&[csv()], "1,2,\"3\n", &elsewhere(), "{\"a\":\"1\",\"b\":\"2\"}\n");
}

#[test]
fn metadata_stand_before_the_text() {
    let nested = Json::object([
        ("env".to_owned(), Json::Text("qa".to_owned())),
        ("n".to_owned(), Json::object([("z".to_owned(), Json::number("1.10"))])),
    ]);
    let expected = "{\"metadata\":{\"env\":\"qa\",\"n\":{\"z\":1.1}},\"data\":\"disk \\\"full\\\"\"}\n";
    check_steps(&[metadata(nested)], "disk \"full\"\n", &elsewhere(), expected);

    let timed = Step::AddMetadata(AddMetadata::new(&Json::Null, Timestamp::Added));
    let expected = "{\"ts\":\"2021-02-03T04:05:06.789Z\",\"metadata\":null,\"data\":\"x\\n\"}\n";
    check_steps(&[timed], "x\n\n", &elsewhere(), expected);

    let listed = metadata(Json::List(vec![Json::Text("a".to_owned())]));
    let expected = "{\"metadata\":[\"a\"],\"data\":\"{\\\"id\\\":\\\"1\\\"}\"}\n";
    check_steps(&[Step::Csv(columns(&["id"])), listed], "1\n", &elsewhere(), expected);
}

const INSTANCE: &str = "\"privateIp\":\"10.0.0.5\",\"availabilityZone\":\"eu-west-1a\",\
    \"instanceId\":\"i-0123456789abcdef0\",\"instanceType\":\"t3.micro\",\"accountId\":\"123456789012\",\
    \"amiId\":\"ami-0123456789abcdef0\",\"region\":\"eu-west-1\",\
    \"metadataTimestamp\":\"2021-02-03T04:05:06+0000\",\"tags\":{\"name\":\"web\",\"stage\":\"qa\"}";

#[test]
fn an_object_tells_of_its_instance() {
    let expected = format!("{{\"a\":[1.0,null],{INSTANCE}}}\n");
    check_steps(&[instance()], " {\"a\" : [1.0, null]} and more\n", &on_instance(), &expected);
    check_steps(&[instance()], "{}", &on_instance(), &format!("{{{INSTANCE}}}\n"));
}

#[test]
fn a_field_of_the_object_keeps_its_place_and_gets_the_instances_value() {
    let rest = INSTANCE.replace("\"region\":\"eu-west-1\",", "");
    let expected = format!("{{\"region\":\"eu-west-1\",\"msg\":\"hi\",{rest}}}\n");
    check_steps(&[instance()], "{\"region\":\"x\",\"msg\":\"hi\"}\n", &on_instance(), &expected);
}

#[test]
fn what_the_instance_does_not_say_is_null_and_without_tags_there_are_none() {
    let known = on_instance().instance.unwrap();
    let known = Instance { tags: None, image_id: None, ..known.as_ref().clone() };
    let around = Surroundings { now: NOW, instance: Some(Arc::new(known)) };
    let (record, _) = run(&[instance()], b"{}\n", &around).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!((record.get("amiId"), record.get("tags")), (Some(&Value::Null), None));
    assert_eq!(record.get("instanceId"), Some(&json!("i-0123456789abcdef0")));
}

#[test]
fn without_an_instance_a_record_stays_as_it_is_and_nothing_is_laid_out() {
    for line in ["{\"a\": 1}\n", "no json\n"] {
        check_steps(&[instance()], line, &elsewhere(), line);
        check_steps(&[instance(), Step::Pretty], line, &elsewhere(), line);
    }
    let csv = Step::Csv(columns(&["a"]));
    check_steps(&[csv, instance(), Step::Pretty], "1\n", &elsewhere(), "{\"a\":\"1\"}\n");
}

#[test]
fn an_instance_is_told_of_in_objects_only() {
    for line in [&b"no json\n"[..], b"[{}]\n", b"{\"a\":}\n", b"\n"] {
        check_failure(&[instance()], line, Failure::NoObject);
    }
}

#[test]
fn the_line_is_sent_where_a_later_step_fails() {
    // Not what the steps before made of it.
    check_failure(&[single_line(), instance()], b" a\n b\n", Failure::NoObject);
    check_failure(&[Step::AddBrackets, Step::AddBrackets, instance()], b"a\n", Failure::NoObject);
}

#[test]
fn brackets_stand_around_everything() {
    check_steps(&[Step::AddBrackets], "hello\n", &elsewhere(), "{hello\n}");
    check_steps(&[Step::AddBrackets], "a", &elsewhere(), "{a}");
}

#[test]
fn each_step_is_given_what_the_one_before_made() {
    let csv = Step::Csv(columns(&["a", "b"]));
    check_steps(&[single_line(), csv.clone()], "1,\n 2\n", &elsewhere(), "{\"a\":\"1\",\"b\":\"2\"}\n");
    let expected = "{\n  \"a\" : \"1\",\n  \"b\" : null\n}\n";
    check_steps(&[csv.clone(), Step::Pretty], "1\n", &elsewhere(), expected);
    // What is laid out is what the next step is given.
    let expected = "{\"metadata\":true,\"data\":\"{\\n  \\\"a\\\" : \\\"1\\\",\\n  \\\"b\\\" : null\\n}\"}\n";
    check_steps(&[csv, Step::Pretty, metadata(Json::Flag(true))], "1\n", &elsewhere(), expected);
}

#[test]
fn a_line_that_does_not_match_is_no_record_wherever_the_format_stands() {
    let expected = run(&[common()], b"x\n", &elsewhere()).unwrap_err();
    assert_eq!(run(&[single_line(), common()], b"x\n", &elsewhere()).unwrap_err(), expected);
    assert_eq!(run(&[common(), single_line()], b"x\n", &elsewhere()).unwrap_err(), expected);
}

#[test]
fn a_place_is_added_only_to_what_is_one_object_on_one_line() {
    let stamp = Stamp::new("h", MARK);
    let added = |steps: &[Step], line: &[u8]| {
        let mut buffer = Vec::new();
        let mut parser = Parser::new(steps.to_vec());
        let record = parser.parse(&Line::alone(line), &on_instance(), &mut buffer).unwrap();
        let before = buffer.clone();
        let record = stamp.add(record, Offset::from_raw(7), &mut buffer);
        assert_eq!(record.len(), buffer.len());
        before != buffer && serde_json::from_slice::<Value>(&buffer).unwrap()["@offset"] == json!(7)
    };
    let csv = Step::Csv(columns(&["a"]));
    assert!(added(std::slice::from_ref(&csv), b"1\n"));
    assert!(added(&[csv.clone(), instance(), metadata(Json::Null)], b"1\n"));
    assert!(!added(&[], b"{}\n"));
    assert!(!added(&[csv.clone(), Step::Pretty], b"1\n"));
    assert!(!added(&[csv, Step::AddBrackets], b"1\n"));
    assert!(!added(&[instance()], b"no object\n"));
}

#[test]
fn bytes_that_are_not_utf_8_are_told_of_wherever_they_were_replaced() {
    let repaired =
        |steps: &[Step]| run(steps, b"{\"a\":\"\xFF\"}\n", &on_instance()).unwrap().1.is_repaired();
    let semicolons = Csv::new(&["a".to_owned()], "[;]").unwrap();
    for step in [Step::Csv(columns(&["a"])), Step::Csv(semicolons), metadata(Json::Null), instance()] {
        assert!(repaired(std::slice::from_ref(&step)), "{step:?}");
        assert!(repaired(&[step.clone(), metadata(Json::Null), single_line()]), "{step:?}");
    }
    assert!(!repaired(&[single_line(), Step::AddBrackets]));
}

/// Any step, with settings that are of use.
fn step() -> impl Strategy<Value = Step> {
    let names = vec(select(&["a", "b", "\"é\\"][..]), 0..4);
    let csv = (names, select(&[",", "\t", ";", "[;,]+", "", "a|"][..]), any::<bool>()).prop_map(
        |(names, delimiter, quoted)| {
            let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
            let csv = Csv::new(&names, delimiter).unwrap();
            Step::Csv(if quoted { csv.clone().with_quotes("\"").unwrap_or(csv) } else { csv })
        },
    );
    let single_line = select(&[(Ends::Trimmed, Between::Nothing), (Ends::Kept, Between::EscapedNewline)][..]);
    let timestamp = select(&[Timestamp::Added, Timestamp::Omitted][..]);
    prop_oneof![
        csv,
        single_line.prop_map(|(ends, between)| Step::SingleLine(SingleLine { ends, between })),
        timestamp.prop_map(|timestamp| Step::AddMetadata(AddMetadata::new(&Json::List(vec![]), timestamp))),
        Just(instance()),
        Just(Step::AddBrackets),
        Just(Step::Pretty),
        Just(common()),
    ]
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a,;\"\t {}:\\[\\]é\n\\\\]{0,20}".prop_map(String::into_bytes);
    let object = "\\{\"a\": ?\"[a-z,]{0,6}\" ?\\}\n?".prop_map(String::into_bytes);
    prop_oneof![3 => text, 2 => object, 1 => damaged(), 1 => vec(any::<u8>(), 0..40)]
        .prop_filter("a line holds a byte at least", |line| !line.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// A chain is its steps one by one: each alone is given what the one before made, and where one fails, the line is
    /// the record.
    #[test]
    fn a_chain_is_its_steps_one_by_one(steps in vec(step(), 0..5), line in any_line(), known: bool) {
        let around = if known { on_instance() } else { elsewhere() };
        let mut expected = Ok((line.clone(), None));
        let mut is_unchanged = false;
        for step in &steps {
            let Ok((record, None)) = &expected else { break };
            let given = record.clone();
            if is_unchanged && matches!(step, Step::Pretty) {
                is_unchanged = false;
                continue;
            }
            is_unchanged = matches!(step, Step::AddInstance(_)) && !known;
            // No step is ever given nothing.
            expected = run(std::slice::from_ref(step), &given, &around)
                .map(|(made, told)| (if told.failure().is_some() { line.clone() } else { made }, told.failure()));
        }
        let made = run(&steps, &line, &around).map(|(made, told)| (made, told.failure()));
        prop_assert_eq!(made, expected);
    }

    /// Whatever comes in, a record comes out that is not empty, and JSON where that is promised.
    #[test]
    fn any_bytes_go_through_any_chain(steps in vec(step(), 0..5), lines in vec(any_line(), 1..4)) {
        let mut parser = Parser::new(steps);
        let mut buffer = Vec::new();
        for line in lines {
            let start = buffer.len();
            let Ok(record) = parser.parse(&Line::alone(&line), &on_instance(), &mut buffer) else {
                prop_assert_eq!(buffer.len(), start);
                continue;
            };
            let made = &buffer[start..];
            prop_assert_eq!(made.len(), record.len());
            prop_assert!(!made.is_empty());
            if record.failure().is_some() {
                prop_assert_eq!(made, line.as_slice());
            } else if parser.gives_objects() {
                let text = str::from_utf8(made)?;
                prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
                prop_assert!(serde_json::from_str::<Value>(text)?.is_object());
            }
        }
    }

    /// Columns are what the definition of Java's `split` says, by another engine's matches.
    #[test]
    fn columns_are_what_java_splits(line in "[a,;é]{0,12}", delimiter in select(&[",", ";", "[;,]", ",*", "", "a|,", ",+"][..])) {
        let names: Vec<String> = (0..14).map(|number| number.to_string()).collect();
        let csv = Step::Csv(Csv::new(&names, delimiter).unwrap());
        let (record, _) = run(&[csv], format!("{line}\n").as_bytes(), &elsewhere()).unwrap();
        let record: Value = serde_json::from_slice(&record)?;
        let expected = java_split(&line, delimiter);
        for (number, name) in names.iter().enumerate() {
            let expected = expected.get(number).map_or(Value::Null, |text| Value::from(text.as_str()));
            prop_assert_eq!(&record[name], &expected, "{} of {:?} by {:?}", number, line, delimiter);
        }
    }
}

/// `String.split`, character by character. Source:
/// <https://docs.oracle.com/javase/8/docs/api/java/util/regex/Pattern.html#split-java.lang.CharSequence-int->
fn java_split(line: &str, delimiter: &str) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    // How many characters from `at` on the delimiter takes, if it matches there.
    let taken = |at: usize| {
        let run = chars[at..].iter().take_while(|char| **char == ',').count();
        match delimiter {
            "," => (run > 0).then_some(1),
            ";" => (chars.get(at) == Some(&';')).then_some(1),
            "[;,]" => chars.get(at).is_some_and(|char| ";,".contains(*char)).then_some(1),
            ",*" => Some(run),
            "" => Some(0),
            "a|," => chars.get(at).is_some_and(|char| "a,".contains(*char)).then_some(1),
            ",+" => (run > 0).then_some(run),
            other => unreachable!("{other}"),
        }
    };
    let (mut pieces, mut piece, mut at, mut divided) = (Vec::new(), String::new(), 0, false);
    while at <= chars.len() {
        match taken(at) {
            Some(len) if len > 0 || at > 0 => {
                pieces.push(std::mem::take(&mut piece));
                divided = true;
                at += len;
                // A match of nothing is not found twice at one place, nor is its character taken.
                if len == 0 {
                    piece.extend(chars.get(at));
                    at += 1;
                }
            }
            Some(_) | None => {
                piece.extend(chars.get(at));
                at += 1;
            }
        }
    }
    pieces.push(piece);
    if !divided {
        return vec![line.to_owned()];
    }
    while pieces.last().is_some_and(String::is_empty) {
        pieces.pop();
    }
    pieces
}
