//! The state file: what is read is what would be written, and a checksum that fits does not make bytes a checkpoint.
#![no_main]

use kinetail::checkpoint::State;

fn check(bytes: &[u8]) {
    match State::read(bytes) {
        Ok(state) => assert_eq!(State::read(&state.write()).expect("what is written can be read"), state),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check(input);
    // No mutation would ever hit the checksum.
    let json = input.iter().position(|byte| *byte == b'\n').map_or(input, |newline| &input[newline + 1..]);
    let header = format!("kinetail checkpoint v1 generation=7 crc={:08x}\n", crc32fast::hash(json));
    check(&[header.as_bytes(), json].concat());
});
