//! A row of the Java agent's store, a column a line: it is refused, or nothing is understood that does not stand there.
#![no_main]

use std::os::unix::ffi::OsStrExt;

use kinetail::takeover::{RawRow, Row};

/// A number's digits without what may stand before them.
fn digits(text: &[u8]) -> &[u8] {
    let zeros = text.iter().take_while(|byte| **byte == b'0').count();
    &text[zeros..]
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // An empty line is a column without a value.
    let mut columns =
        input.split(|byte| *byte == b'\n').map(|text| (!text.is_empty()).then(|| text.to_vec()));
    let mut column = || columns.next().flatten();
    let raw = RawRow {
        flow: column(),
        path: column(),
        file_id: column(),
        modified: column(),
        offset: column(),
        updated: column(),
    };
    match Row::read(&raw) {
        Ok(row) => {
            assert_eq!(Some(row.flow.as_str().as_bytes()), raw.flow.as_deref());
            assert_eq!(Some(row.path.as_os_str().as_bytes()), raw.path.as_deref());
            let offset = row.offset.to_string();
            assert_eq!(digits(offset.as_bytes()), digits(raw.offset.as_deref().unwrap_or_default()));
            let id = String::from_utf8(raw.file_id.unwrap_or_default()).expect("it was understood");
            let (device, inode) = id.split_once(',').expect("it has two parts");
            assert!(inode.ends_with(&format!("{})", row.inode)), "{id}");
            assert!(device.to_lowercase().ends_with(&format!("{:x}", row.device)), "{id}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
