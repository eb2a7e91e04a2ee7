//! Lines that a real httpd wrote, against what was sent to it: `fixtures/httpd/make.py` has made both, and knows nothing of
//! this parser.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::convert;
use crate::parse::{DEFAULT_ERROR_LOG, JsonTypes, Parser, Step, Surroundings, Template};
use crate::split::Line;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/httpd").join(name)).unwrap()
}

fn requested() -> Value {
    serde_json::from_slice(&fixture("requested.json")).unwrap()
}

/// The records of the log `name` that a real httpd wrote.
fn records(name: &str, read: impl Fn(&[u8]) -> Map<String, Value>) -> Vec<Map<String, Value>> {
    let log = fixture(&format!("{name}.log"));
    log.split_inclusive(|&byte| byte == b'\n').map(|line| read(line.strip_suffix(b"\n").unwrap())).collect()
}

fn read(template: &Template, line: &[u8]) -> Map<String, Value> {
    let record = convert(template, line).map_err(|error| format!("{error}: {}", line.escape_ascii()));
    serde_json::from_str(&record.unwrap()).unwrap()
}

/// Each record has what was sent and what came back, whatever the format has of it.
#[test]
fn every_access_log_says_what_was_requested() {
    let requested = requested();
    let requests = requested["requests"].as_array().unwrap();
    let formats = requested["access"].as_object().unwrap();
    assert!(formats.len() >= 12);
    let mut compared = BTreeSet::new();
    for (name, format) in formats {
        let template = Template::of_access_log(format.as_str().unwrap(), None, JsonTypes::Native).unwrap();
        let records = records(name, |line| read(&template, line));
        assert_eq!(records.len(), requests.len(), "{name}");
        for (record, request) in records.iter().zip(requests) {
            for (key, expected) in request.as_object().unwrap() {
                // A header that is logged for some statuses only.
                let is_conditional = name == "conditions"
                    && expected.is_string()
                    && ["referer", "x-note"].contains(&key.as_str());
                // A question mark of the path cannot be told from the one behind it.
                if key == "query" && name == "balancer" && request["request"].to_string().contains("%3F") {
                    continue;
                }
                if let Some(value) = record.get(key).filter(|value| !(is_conditional && value.is_null())) {
                    assert_eq!(value, expected, "`{key}` of {name}: {record:?}");
                    compared.insert(key.as_str());
                }
            }
            for (key, value) in record {
                let is_number =
                    ["pid", "tid", "durationMicros", "time", "bytes", "port"].contains(&key.as_str());
                assert!(!is_number || value.is_i64(), "`{key}` of {name}: {record:?}");
            }
        }
    }
    let all: BTreeSet<_> = requests.iter().flat_map(|request| request.as_object().unwrap().keys()).collect();
    let missing: Vec<_> =
        all.iter().filter(|key| !compared.contains(key.as_str()) && **key != "server").collect();
    assert_eq!(missing, Vec::<&&String>::new(), "no format has them");
}

#[test]
fn a_log_in_json_says_what_was_requested() {
    let requested = requested();
    let requests = requested["requests"].as_array().unwrap();
    let parser = Parser::new(vec![Step::JsonLog]);
    let around = Surroundings::at(Duration::ZERO);
    let records = records("json", |line| {
        let mut buffer = Vec::new();
        parser.clone().parse(&Line::alone(line), &around, &mut buffer).unwrap();
        serde_json::from_slice(&buffer).unwrap()
    });
    assert_eq!(records.len(), requests.len());
    for (record, request) in records.iter().zip(requests) {
        for (key, expected) in request.as_object().unwrap() {
            if let Some(value) = record.get(key) {
                // What is missing is a text here, since httpd wrote it between quotes.
                let value = if value == "-" { &Value::Null } else { value };
                assert_eq!(value, expected, "`{key}`: {record:?}");
            }
        }
    }
}

#[test]
fn every_error_log_tells_of_what_was_requested() {
    let requested = requested();
    let requests = requested["requests"].as_array().unwrap();
    for (name, format) in requested["errors"].as_object().unwrap() {
        let template =
            Template::of_error_log(format.as_str().unwrap_or(DEFAULT_ERROR_LOG), None, JsonTypes::Native)
                .unwrap();
        let records = records(name, |line| read(&template, line));
        let mut told = 0;
        for record in &records {
            assert!(record["processid"].is_i64() && record["timeIso"].is_string(), "{record:?}");
            assert!(record["message"].as_str().unwrap().starts_with("AH"), "{record:?}");
            let Some((host, port)) = record["client"].as_str().and_then(|client| client.rsplit_once(':'))
            else {
                continue;
            };
            let port: u64 = port.parse().unwrap();
            let is_it = |request: &&Value| request["host"] == host && request["remotePort"] == port;
            let request = requests.iter().find(is_it).ok_or(record).unwrap();
            let header = if name == "error-own" { "agent" } else { "referer" };
            assert_eq!(record[header], request[header], "{record:?}");
            told += 1;
        }
        assert!(told >= 7, "{name}: {told}");
    }
}
