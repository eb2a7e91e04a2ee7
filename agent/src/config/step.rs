//! The keys of `dataProcessingOptions`: what is made of each line, step by step.

use std::path::Path;
use std::time::Duration;

use crate::config::coerce::text;
use crate::config::key::Holder;
use crate::config::keys::NO_PLUG_IN;
use crate::config::problem::Problem;
use crate::config::raw::{Node, Value};
use crate::config::section::Section;
use crate::expression::Expression;
use crate::parse::{
    AddMetadata, Between, Csv, CsvError, DEFAULT_ERROR_LOG, Ends, Format, Json, JsonTypes, NGINX_COMBINED,
    Parser, Pattern, PatternError, Renamed, SingleLine, Step, Template, Timestamp, built_in,
};

/// How often the instance is asked at most, so that a period of no time does not mean to do nothing else.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

/// What `dataProcessingOptions` of a flow in `file` make of a line. Nothing comes of it if a step is wrong; what is
/// wrong is noted in any case.
pub(super) fn parser(file: &Path, flow: &mut Section<'_>, problems: &mut Vec<Problem>) -> Option<Parser> {
    let types = json_types(flow, JsonTypes::Strings);
    let mut steps = Some(Vec::new());
    for item in flow.list("dataProcessingOptions") {
        let made = of_item(file, item, types, problems);
        // What is wrong with each item is to be told, so none may keep another from being read.
        steps = steps.zip(made).map(|(before, made)| [before, made].concat());
    }
    if types == JsonTypes::Native && steps.as_ref().is_some_and(|steps| !steps.iter().any(has_types)) {
        flow.note("jsonTypes", "`jsonTypes` has no effect here: no step of this flow reads values of a log");
    }
    steps.map(Parser::new)
}

/// Whether `jsonTypes` says how it writes values.
fn has_types(step: &Step) -> bool {
    match step {
        Step::Log { .. } | Step::Spelt { .. } | Step::Renamed(_) | Step::Template(_) => true,
        Step::Pattern(_)
        | Step::JsonLog
        | Step::Csv(_)
        | Step::SingleLine(_)
        | Step::AddMetadata(_)
        | Step::AddInstance(_)
        | Step::AddBrackets
        | Step::Pretty => false,
    }
}

fn of_item(file: &Path, item: &Node, types: JsonTypes, problems: &mut Vec<Problem>) -> Option<Vec<Step>> {
    let Value::Object(object) = &item.value else {
        let text = format!("`dataProcessingOptions` must hold objects, not {}", item.value.describe());
        problems.push(Problem::error(file, item.spot, text));
        return None;
    };
    let mut section = Section::new(file, Holder::Step, object);
    let step = step(&mut section, types);
    let gives_objects = step.as_ref().is_none_or(Step::gives_objects);
    let is_pretty = gives_objects && section.text("jsonFormat").as_deref() == Some("PRETTYPRINT");
    if step.is_some() {
        let who = user(&mut section);
        section.note_unasked(&who);
    }
    problems.extend(section.into_problems());
    Some([step?].into_iter().chain(is_pretty.then_some(Step::Pretty)).collect())
}

/// How a message names what the keys of this step are for.
fn user(section: &mut Section<'_>) -> String {
    let mut words = section.text("optionName").map_or_else(String::new, |option| format!("`{option}`"));
    if words == "`LOGTOJSON`" {
        words += &match (section.text("matchPattern"), section.text("logFormat")) {
            (Some(_), _) => " with `matchPattern`".to_owned(),
            (None, word) => format!(" with `logFormat` `{}`", word.unwrap_or_default()),
        };
    }
    words
}

fn step(section: &mut Section<'_>, types: JsonTypes) -> Option<Step> {
    match section.required("optionName")?.as_str() {
        "SINGLELINE" => Some(Step::SingleLine(single_line(section))),
        "CSVTOJSON" => csv(section).map(Step::Csv),
        "LOGTOJSON" => log(section, types),
        "ADDMETADATA" => Some(Step::AddMetadata(metadata(section))),
        "ADDEC2METADATA" => Some(Step::AddInstance(section.seconds("metadataTTL").max(SHORTEST_PERIOD))),
        "ADDBRACKETS" => Some(Step::AddBrackets),
        "USINGPLUGGIN" => {
            section.error("optionName", format!("`USINGPLUGGIN` cannot be supported: {NO_PLUG_IN}"));
            None
        }
        // The table has no other words.
        _ => None,
    }
}

fn single_line(section: &mut Section<'_>) -> SingleLine {
    let mut how = SingleLine { ends: Ends::Trimmed, between: Between::Nothing };
    for option in section.texts("parseOptions").unwrap_or_default() {
        match option.as_str() {
            "NO_TRIM" => how.ends = Ends::Kept,
            "ESCAPE_NEW_LINE" => how.between = Between::EscapedNewline,
            other => section.warn(
                "parseOptions",
                format!("`parseOptions` knows `NO_TRIM` and `ESCAPE_NEW_LINE`; `{other}` has no effect"),
            ),
        }
    }
    how
}

fn csv(section: &mut Section<'_>) -> Option<Csv> {
    let delimiter = section.text("delimiter").unwrap_or_default();
    let quote = section.text("quote");
    let Some(names) = section.texts("customFieldNames") else {
        if !section.has("customFieldNames") {
            section.error("customFieldNames", "`CSVTOJSON` needs `customFieldNames`");
        }
        return None;
    };
    let csv = Csv::new(&names, &delimiter).map_err(|error| ("delimiter", error));
    let csv = csv.and_then(|csv| match quote {
        Some(quote) => csv.with_quotes(&quote).map_err(|error| ("quote", error)),
        None => Ok(csv),
    });
    csv.map_err(|(key, error)| {
        let reason = match &error {
            CsvError::Delimiter(reason) => reason.to_string(),
            CsvError::Quote | CsvError::NoCharacter => error.to_string(),
        };
        let colon = if key == "delimiter" { ":" } else { "" };
        section.error(key, format!("`{key}`{colon} {reason}"));
    })
    .ok()
}

fn log(section: &mut Section<'_>, types: JsonTypes) -> Option<Step> {
    let pattern = section.text("matchPattern");
    let word = section.required("logFormat")?;
    if (word.as_str(), &pattern) == ("JSON", &None) {
        return Some(Step::JsonLog);
    }
    let names = section.texts("customFieldNames");
    let Some(format) = Format::from_word(&word) else {
        if pattern.is_some() {
            let told =
                format!("`matchPattern` takes the place of a format, and cannot with `logFormat` `{word}`");
            section.error("matchPattern", told);
            return None;
        }
        return format_of_ours(section, &word, names.as_deref(), types);
    };
    let (key, told) = match (pattern, names) {
        (None, None) => return Some(Step::Log { format, types: json_types(section, types) }),
        (None, Some(names)) => match Renamed::new(format, &names, json_types(section, types)) {
            Ok(renamed) => return Some(Step::Renamed(renamed)),
            Err(error) => ("customFieldNames", error.to_string()),
        },
        (Some(_), None) => {
            ("matchPattern", "needs `customFieldNames`, one for each of its groups".to_owned())
        }
        (Some(text), Some(names)) => match Pattern::new(&text, names.iter().map(String::as_str), format) {
            Ok(pattern) => return Some(Step::Pattern(pattern)),
            Err(PatternError::Expression(error)) => ("matchPattern", error.to_string()),
            Err(error @ PatternError::Count { .. }) => ("customFieldNames", error.to_string()),
        },
    };
    section.error(key, format!("`{key}`: {told}"));
    None
}

/// The step for a word that the Java agent does not have.
fn format_of_ours(
    section: &mut Section<'_>,
    word: &str,
    names: Option<&[String]>,
    types: JsonTypes,
) -> Option<Step> {
    let types = json_types(section, types);
    let (key, template) = match word {
        "APACHE" => {
            let text = section.required("apacheLogFormat")?;
            if let (None, Some(format)) = (names, built_in(&text)) {
                return Some(Step::Spelt { format, types });
            }
            ("apacheLogFormat", Template::of_access_log(&text, names, types))
        }
        "APACHEERROR" => {
            let text = section.text("apacheErrorLogFormat");
            let text = text.as_deref().unwrap_or(DEFAULT_ERROR_LOG);
            ("apacheErrorLogFormat", Template::of_error_log(text, names, types))
        }
        "LOG4J" => {
            let text = section.required("log4jPattern")?;
            ("log4jPattern", Template::of_log4j(&text, names, types))
        }
        "NGINX" => {
            let text = section.text("nginxLogFormat");
            let text = text.as_deref().unwrap_or(NGINX_COMBINED);
            ("nginxLogFormat", Template::of_nginx(text, names, types))
        }
        // The table has no other words that stand for a format.
        _ => return None,
    };
    template.map(Step::Template).map_err(|error| section.error(key, format!("`{key}`: {error}"))).ok()
}

/// What the first line of each record matches at its start, where the first step tells: an entry of log4j has lines
/// without a format behind its own.
pub(super) fn first_line(flow: &mut Section<'_>) -> Option<Expression> {
    let Value::Object(object) = &flow.list("dataProcessingOptions").first()?.value else { return None };
    let given = |name| object.get(name).and_then(|entry| text(&entry.node.value));
    if (given("optionName")?.as_str(), given("logFormat")?.as_str()) != ("LOGTOJSON", "LOG4J") {
        return None;
    }
    // What is wrong with the pattern is told where the step is read.
    let first_line = Template::first_line_of_log4j(&given("log4jPattern")?).ok()??;
    Expression::at_start(&first_line).ok()
}

fn metadata(section: &mut Section<'_>) -> AddMetadata {
    let metadata = section.node("metadata").map_or(Json::Null, |node| json(&node.value));
    let timestamp = match section.text("timestamp") {
        Some(text) if text.eq_ignore_ascii_case("true") => Timestamp::Added,
        Some(text) => {
            if !text.is_empty() && !text.eq_ignore_ascii_case("false") {
                section
                    .warn("timestamp", format!("`timestamp` is `true` or `false`; `{text}` means `false`"));
            }
            Timestamp::Omitted
        }
        None => Timestamp::Omitted,
    };
    AddMetadata::new(&metadata, timestamp)
}

/// A value of the configuration as a record has it.
fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Flag(flag) => Json::Flag(*flag),
        Value::Number(number) => Json::number(number),
        Value::Text(text) => Json::Text(text.clone()),
        Value::List(items) => Json::List(items.iter().map(|item| json(&item.value)).collect()),
        Value::Object(object) => {
            Json::object(object.entries.iter().map(|entry| (entry.name.clone(), json(&entry.node.value))))
        }
    }
}

/// What `jsonTypes` says, or `otherwise`.
fn json_types(section: &mut Section<'_>, otherwise: JsonTypes) -> JsonTypes {
    match section.text("jsonTypes").as_deref() {
        Some("native") => JsonTypes::Native,
        Some(_) => JsonTypes::Strings,
        None => otherwise,
    }
}
