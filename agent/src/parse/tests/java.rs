//! What the Java agent makes of a line: its behaviour, stated by the expressions that it matches lines with.

use std::sync::LazyLock;

use regex::Regex;

use crate::parse::Format;

/// The Java agent's expressions, as <https://github.com/awslabs/amazon-kinesis-agent> behaves: ASCII classes, and a
/// dot that stops at five kinds of line ends.
static JAVA: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    let hostname = r"(?:[0-9A-Za-z_\-]+)(?:\.(?:[0-9A-Za-z_\-]+))*(?:\.?|(?-u:\b))";
    let host = format!(r"(?:{hostname}|(?:[0-9.]+))");
    let user = r"(?:[a-zA-Z0-9._-]+)";
    let int = r"(?:[+-]?(?:[0-9]+))";
    let day = r"(?:(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9])";
    let month = concat!(
        r"(?-u:\b)(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|Jun(?:e)?|Jul(?:y)?|Aug(?:ust)?|",
        r"Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)(?-u:\b)",
    );
    let time = r"(?:(?:2[0123]|[01]?[0-9]):(?:[0-5][0-9]):(?:(?:[0-5]?[0-9]|60)(?:[:\.,][0-9]+)?))";
    let date = format!(r"(?:{day}/{month}/(?:[1-9][0-9]*):{time}[ \t\n\x0B\f\r]{int})");
    let common = format!(r#"({host}) ({user}) ({user}) \[({date})\] "([^"]+)" ({int}|\-) ({int}|\-)"#);
    let rest = r"[^\n\r\x{85}\x{2028}\x{2029}]*";
    [
        Regex::new(&format!(r"\A{common}{rest}\z")).unwrap(),
        Regex::new(&format!(r#"\A{common} "([^"]+)" "([^"]+)"{rest}\z"#)).unwrap(),
    ]
});

/// What the Java agent writes for `line`, if it takes it.
pub(super) fn record(format: Format, line: &str) -> Option<String> {
    let names = ["host", "ident", "authuser", "datetime", "request", "response", "bytes", "referer", "agent"];
    let [common, combined] = &*JAVA;
    let captures = match format {
        Format::Common => common.captures(line)?,
        Format::Combined => combined.captures(line)?,
    };
    let values = captures.iter().skip(1).flatten().map(|group| match group.as_str() {
        "-" => "null".to_owned(),
        text => format!("\"{}\"", text.chars().map(escaped_for_json).collect::<String>()),
    });
    let fields: Vec<_> =
        names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
    Some(format!("{{{}}}\n", fields.join(",")))
}

fn escaped_for_json(character: char) -> String {
    match character {
        '"' => r#"\""#.to_owned(),
        '\\' => r"\\".to_owned(),
        '\u{8}' => r"\b".to_owned(),
        '\u{C}' => r"\f".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\t' => r"\t".to_owned(),
        '\0'..='\u{1F}' => format!("\\u{:04X}", u32::from(character)),
        other => other.to_string(),
    }
}
