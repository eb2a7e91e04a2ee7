//! Access logs of httpd, in both formats and both profiles.
#![no_main]

use kinetail::parse::{Format, JsonTypes, Parser};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    for format in [Format::Common, Format::Combined] {
        for types in [JsonTypes::Strings, JsonTypes::Native] {
            kinetail_fuzz::parse(&Parser::Log { format, types }, text);
        }
    }
});
