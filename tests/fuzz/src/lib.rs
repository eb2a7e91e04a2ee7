//! What several targets hold the reader under test against. A target is a file in `src/bin`, named after what it feeds:
//! `tests/fuzz/run` finds it there.

use std::time::Duration;

use kinetail::parse::{Format, JsonTypes, Parser, Step, Surroundings};
use kinetail::split::Line;

/// Both ways to write values.
pub const TYPES: [JsonTypes; 2] = [JsonTypes::Strings, JsonTypes::Native];

/// Each line of `text` is an entry in one of these formats, or is none.
pub fn entries<const N: usize>(formats: [Format; N], text: &[u8]) {
    for format in formats {
        TYPES.into_iter().for_each(|types| parse(&Step::Log { format, types }, text));
    }
}

/// Of each line of `text` the step makes one JSON object on a line of its own, or it leaves the buffer as it was.
pub fn parse(step: &Step, text: &[u8]) {
    let (mut parser, around) = (Parser::new(vec![step.clone()]), Surroundings::at(Duration::ZERO));
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let mut buffer = b"before".to_vec();
        let result = parser.parse(&Line::alone(line), &around, &mut buffer);
        let record = buffer.strip_prefix(b"before").expect("what was in the buffer stays");
        match result {
            Ok(parsed) => {
                assert_eq!(parsed.len(), record.len());
                assert!(parsed.failure().is_none(), "it makes a record or finds none");
                let object = record.strip_suffix(b"\n").expect("a record ends with a newline");
                assert!(!object.contains(&b'\n'), "a record is one line");
                let value: serde_json::Value = serde_json::from_slice(object).expect("a record is JSON");
                assert!(value.is_object());
            }
            Err(mismatch) => {
                assert_eq!(record, b"", "a mismatch leaves nothing behind");
                assert!(!mismatch.to_string().is_empty());
            }
        }
    }
}
