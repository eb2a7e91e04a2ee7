//! Expressions of the operator's own, and the lines that they are to match.
#![no_main]

use kinetail::expression::Expression;
use kinetail::parse::{Format, Pattern, Step};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    // The first line is the expression.
    let Ok(text) = str::from_utf8(text) else { return };
    let (expression, text) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(groups) = Expression::whole_line(expression).map(|expression| expression.groups()) else { return };
    let names: Vec<String> = (0..groups).map(|group| format!("group{group}")).collect();
    if let Ok(pattern) = Pattern::new(expression, names.iter().map(String::as_str), Format::Syslog) {
        kinetail_fuzz::parse(&Step::Pattern(pattern), text.as_bytes());
    }
});
