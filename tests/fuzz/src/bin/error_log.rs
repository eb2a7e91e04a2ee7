//! Error logs of httpd, in both profiles.
#![no_main]

use kinetail::parse::Format;

libfuzzer_sys::fuzz_target!(|text: &[u8]| kinetail_fuzz::entries([Format::ErrorLog], text));
