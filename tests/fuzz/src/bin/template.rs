//! Logs with a format of the operator's own, in each of the languages that say it, and the languages themselves.
#![no_main]

use std::sync::LazyLock;

use kinetail::parse::{DEFAULT_ERROR_LOG, JsonTypes, NGINX_COMBINED, Step, Template};

const ACCESS: &str =
    r#"%h %l %u %t "%r" %>s %b %D %{ms}T %I %O "%{Referer}i" "%{User-Agent}i" %{X-Forwarded-For}i"#;
const LOG4J: &str = "%d{ISO8601} %-5p [%t] %c{1} - %m%n";

static STEPS: LazyLock<Vec<Step>> = LazyLock::new(|| {
    let templates = kinetail_fuzz::TYPES.map(|types| {
        [
            Template::of_access_log(ACCESS, None, types),
            Template::of_error_log(DEFAULT_ERROR_LOG, None, types),
            Template::of_log4j(LOG4J, None, types),
            Template::of_nginx(NGINX_COMBINED, None, types),
        ]
    });
    templates.into_iter().flatten().map(|template| Step::Template(template.expect("it is one"))).collect()
});

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    STEPS.iter().for_each(|step| kinetail_fuzz::parse(step, text));
    // The first line says the format of the others.
    let Ok(text) = str::from_utf8(text) else { return };
    let (format, text) = text.split_once('\n').unwrap_or((text, ""));
    for read in [Template::of_access_log, Template::of_error_log, Template::of_log4j, Template::of_nginx] {
        if let Ok(template) = read(format, None, JsonTypes::Native) {
            kinetail_fuzz::parse(&Step::Template(template), text.as_bytes());
        }
    }
});
