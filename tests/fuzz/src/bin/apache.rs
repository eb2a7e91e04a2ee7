//! Access logs of httpd, in both formats and both profiles.
#![no_main]

use kinetail::parse::Format;

libfuzzer_sys::fuzz_target!(|text: &[u8]| kinetail_fuzz::entries([Format::Common, Format::Combined], text));
