//! The moment that the pieces of a date come to.

use super::*;

/// What a line of one date says in JSON with types of its own: `time` and `timeIso`.
#[track_caller]
fn check(new: Constructor, format: &str, line: &str, time: Value, iso: Value) {
    let record = convert(&new(format, None, JsonTypes::Native).unwrap(), line.as_bytes()).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let said = |name| record.get(name).cloned().unwrap_or_default();
    assert_eq!((said("time"), said("timeIso")), (time, iso), "{format}\n{line}\n{record}");
}

#[test]
fn the_clock_of_httpd_counts_seconds_thousandths_and_millionths() {
    for (unit, number, expected) in [
        ("sec", "1612337706", 1_612_337_706_000_i64),
        ("msec", "1612337706789", 1_612_337_706_789),
        ("usec", "1612337706789012", 1_612_337_706_789),
        ("usec", "1612337706789999", 1_612_337_706_789),
        ("usec", "999", 0),
        ("usec", "1000", 1),
    ] {
        let format = format!("%{{{unit}}}t");
        check(Template::of_access_log, &format, number, json!(expected), Value::Null);
    }
}

#[test]
fn a_fraction_of_the_second_has_as_many_digits_as_it_was_given() {
    for (unit, fraction, millis) in [
        ("msec_frac", "789", 789),
        ("msec_frac", "007", 7),
        ("usec_frac", "789012", 789),
        ("usec_frac", "000999", 0),
        ("usec_frac", "001000", 1),
    ] {
        let format = format!("%{{%F %T}}t.%{{{unit}}}t%{{%z}}t");
        let line = format!("2021-02-03 04:05:06.{fraction}-0330");
        let iso = json!(format!("2021-02-03T04:05:06.{fraction}-03:30"));
        check(Template::of_access_log, &format, &line, json!(1_612_337_706_000_i64 + millis), iso);
    }
}

#[test]
fn half_days_have_twelve_hours_from_twelve_on() {
    for (written, hour) in [
        ("12:00:00 AM", Some(0)),
        ("01:00:00 am", Some(1)),
        ("11:00:00 AM", Some(11)),
        ("12:00:00 PM", Some(12)),
        ("01:00:00 pm", Some(13)),
        ("11:00:00 Pm", Some(23)),
        ("00:00:00 AM", None),
        ("13:00:00 PM", None),
    ] {
        let time = hour.map_or(Value::Null, |hour: i64| json!(1_612_310_400_000 + 3_600_000 * hour));
        let iso = hour.map_or(Value::Null, |hour| json!(format!("2021-02-03T{hour:02}:00:00+00:00")));
        let of_httpd = format!("2021-02-03 {written} +0000");
        check(Template::of_access_log, "%{%F %I:%M:%S %p %z}t", &of_httpd, time.clone(), iso.clone());
        let of_java = format!("2021-02-03 {written} +0000 x");
        check(Template::of_log4j, "%d{yyyy-MM-dd hh:mm:ss a Z} %m%n", &of_java, time, iso);
    }
}

#[test]
fn a_pattern_may_say_the_zone_that_its_dates_leave_out() {
    let line = "2021-02-03 04:05:06 x";
    for zone in ["UTC", "GMT", "GMT+0", "GMT+00:00", "Z"] {
        for format in [
            format!("%d{{yyyy-MM-dd HH:mm:ss}}{{{zone}}} %m%n"),
            format!("%d{{yyyy-MM-dd HH:mm:ss, {zone}}} %m%n"),
        ] {
            let (time, iso) = (json!(1_612_325_106_000_i64), json!("2021-02-03T04:05:06+00:00"));
            check(Template::of_log4j, &format, line, time, iso);
        }
    }
    // Which offset a place has is for a list of time zones to say, which is not here.
    for format in ["%d{yyyy-MM-dd HH:mm:ss}{Europe/Paris} %m%n", "%d{yyyy-MM-dd HH:mm:ss} %m%n"] {
        check(Template::of_log4j, format, line, Value::Null, json!("2021-02-03T04:05:06"));
    }
}
