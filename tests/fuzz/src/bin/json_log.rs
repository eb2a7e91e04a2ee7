//! Access logs that httpd writes as JSON.
#![no_main]

use kinetail::parse::Step;

libfuzzer_sys::fuzz_target!(|text: &[u8]| kinetail_fuzz::parse(&Step::JsonLog, text));
