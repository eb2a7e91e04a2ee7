use super::*;

const NOW: Moment = Moment::EPOCH;

fn now() -> Moment {
    NOW.plus(Duration::from_secs(1_800_000_000))
}

fn map(fields: &[(&str, Value)]) -> Value {
    Value::Map(fields.iter().map(|(key, value)| (Value::Text((*key).to_owned()), value.clone())).collect())
}

fn with(mut value: Value, key: &str, field: Value) -> Value {
    if let Value::Map(fields) = &mut value {
        fields.retain(|(name, _)| name.as_text() != Some(key));
        fields.push((Value::Text(key.to_owned()), field));
    }
    value
}

fn one() -> Value {
    map(&[("MetricName", "Requests".into()), ("Value", 2.0.into())])
}

fn dimension(name: &str, value: &str) -> Value {
    map(&[("Name", name.into()), ("Value", value.into())])
}

fn request(namespace: &str, data: Vec<Value>) -> Result<Vec<Datum>, Refusal> {
    let mut body = Vec::new();
    let value = map(&[("Namespace", namespace.into()), ("MetricData", Value::Array(data))]);
    ciborium::into_writer(&value, &mut body).unwrap();
    read(&body, now())
}

/// One datum, and whether it is taken.
#[track_caller]
fn check(datum: Value, expected: Result<(), &str>) {
    let found = request("N", vec![datum]).map(drop).map_err(|refusal| refusal.code);
    assert_eq!(found, expected);
}

const INVALID: Result<(), &str> = Err("InvalidParameterValue");

#[test]
fn a_datum_is_what_was_sent() {
    let datum = with(one(), "Dimensions", Value::Array(vec![dimension("Application", "shop")]));
    let datum = with(datum, "Timestamp", Value::Tag(1, Box::new(1_799_999_999.25.into())));
    let datum = with(datum, "StorageResolution", 1.into());
    let read = request("N", vec![with(datum, "Unit", "Count".into())]).unwrap();
    let expected = Datum {
        namespace: "N".to_owned(),
        metric: "Requests".to_owned(),
        dimensions: [("Application".to_owned(), "shop".to_owned())].into(),
        at: Moment::from_millis(1_799_999_999_250),
        statistics: Statistics::of(2.0),
        unit: Some("Count".to_owned()),
        is_high_resolution: true,
    };
    assert_eq!(read, [expected]);
}

#[test]
fn values_come_singly_in_a_set_or_with_counts() {
    let bare = map(&[("MetricName", "M".into())]);
    let set = [("SampleCount", 3.0), ("Sum", 9.0), ("Minimum", 1.0), ("Maximum", 5.0)];
    let set = map(&set.map(|(key, value)| (key, value.into())));
    let of = |datum| request("N", vec![datum]).unwrap()[0].statistics;
    let expected = Statistics { count: 3.0, sum: 9.0, minimum: 1.0, maximum: 5.0 };
    assert_eq!(of(with(bare.clone(), "StatisticValues", set.clone())), expected);
    let values = with(bare.clone(), "Values", Value::Array(vec![1.0.into(), 4.0.into()]));
    let counted = with(values.clone(), "Counts", Value::Array(vec![1.0.into(), 2.0.into()]));
    assert_eq!(of(counted), Statistics { count: 3.0, sum: 9.0, minimum: 1.0, maximum: 4.0 });
    assert_eq!(of(values.clone()), Statistics { count: 2.0, sum: 5.0, minimum: 1.0, maximum: 4.0 });
    check(with(values, "Counts", Value::Array(vec![1.0.into()])), INVALID);
    check(with(one(), "StatisticValues", set), Err("InvalidParameterCombination"));
    check(bare, Err("MissingParameter"));
}

#[test]
fn no_value_is_beyond_what_can_be_kept() {
    check(with(one(), "Value", LARGEST.into()), Ok(()));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, LARGEST * 2.0] {
        check(with(one(), "Value", value.into()), INVALID);
    }
}

#[test]
fn a_time_is_neither_long_ago_nor_far_ahead() {
    let at = |moment: Moment| {
        let seconds = i64::try_from(moment.to_millis() / 1000).unwrap();
        with(one(), "Timestamp", Value::Tag(1, Box::new(seconds.into())))
    };
    check(at(now().minus(OLDEST)), Ok(()));
    check(at(now().minus(OLDEST + Duration::from_secs(1))), INVALID);
    check(at(now().plus(AHEAD)), Ok(()));
    check(at(now().plus(AHEAD + Duration::from_secs(1))), INVALID);
}

#[test]
fn names_are_ascii_and_not_blank() {
    for name in ["", " ", "größe", "a\nb", &"a".repeat(256)] {
        check(with(one(), "MetricName", name.into()), INVALID);
        assert_eq!(request(name, vec![one()]).unwrap_err().code, "InvalidParameterValue", "{name}");
    }
    assert_eq!(request("AWS/EC2", vec![one()]).unwrap_err().code, "InvalidParameterValue");
    let with_value = |value: &str| with(one(), "Dimensions", Value::Array(vec![dimension("A", value)]));
    check(with_value(&"a".repeat(1024)), Ok(()));
    for value in ["", "\t", "ä", &"a".repeat(1025)] {
        check(with_value(value), INVALID);
    }
}

#[test]
fn a_metric_has_at_most_30_dimensions_each_once() {
    let several = |count: usize| {
        let dimensions = (0..count).map(|number| dimension(&format!("D{number}"), "v")).collect();
        with(one(), "Dimensions", Value::Array(dimensions))
    };
    check(several(30), Ok(()));
    check(several(31), INVALID);
    let twice = vec![dimension("A", "1"), dimension("A", "2")];
    check(with(one(), "Dimensions", Value::Array(twice)), INVALID);
    check(with(one(), "Dimensions", Value::Array(vec![dimension(":A", "1")])), INVALID);
}

#[test]
fn a_request_has_at_most_1000_metrics_and_a_megabyte() {
    assert_eq!(request("N", vec![one(); 1000]).unwrap().len(), 1000);
    assert_eq!(request("N", vec![one(); 1001]).unwrap_err().code, "InvalidParameterValue");
    let dimensions: Vec<Value> =
        (0..2).map(|number| dimension(&format!("D{number}"), &"v".repeat(1000))).collect();
    let large = with(one(), "Dimensions", Value::Array(dimensions));
    assert_eq!(request("N", vec![large; 600]).unwrap_err().code, "RequestEntityTooLarge");
}
