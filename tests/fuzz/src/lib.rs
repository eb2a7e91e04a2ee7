//! What several targets hold the reader under test against. A target is a file in `src/bin`, named after what it feeds:
//! `tests/fuzz/run` finds it there.

use kinetail::parse::Parser;
use kinetail::split::Line;

/// Each line of `text` becomes one JSON object on a line of its own, or leaves the buffer as it was.
pub fn parse(parser: &Parser, text: &[u8]) {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let mut buffer = b"before".to_vec();
        let result = parser.parse(&Line::alone(line), &mut buffer);
        let record = buffer.strip_prefix(b"before").expect("what was in the buffer stays");
        match result {
            Ok(parsed) => {
                assert_eq!(parsed.len(), record.len());
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
