//! Lines of syslog with either kind of time, in both profiles.
#![no_main]

use kinetail::parse::Format;

libfuzzer_sys::fuzz_target!(|text: &[u8]| kinetail_fuzz::entries(
    [Format::Syslog, Format::Rfc3339Syslog],
    text
));
