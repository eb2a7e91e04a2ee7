//! What every key comes to, and who says so: the file and the line, the environment, or nobody, which leaves the default.
//!
//! Goes through the objects of the configuration a second time, by the table of keys alone. Does not know what the steps
//! make of a value; what it says of keys that take each other's place is the table [`INSTEAD`].

use std::path::{Path, PathBuf};

use crate::config::Sources;
use crate::config::agent::STATE_DIRECTORY;
use crate::config::coerce::{Given, coerce};
use crate::config::key::{Default, Effect, Holder, Key, Kind};
use crate::config::keys::KEYS;
use crate::config::raw::{Object, Value};
use crate::send::Proxy;

/// The keys of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The object: `agent`, or a flow and perhaps one of its steps.
    pub title: String,
    /// Its keys, in the order of the table.
    pub settings: Vec<Setting>,
}

/// What one key comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// Its value as it counts; nothing for none.
    pub value: Option<String>,
    /// Who says so.
    pub whence: Whence,
    /// What is to be known of it besides.
    pub remark: Option<String>,
}

/// Who says what a key comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// A line of a file.
    Line(PathBuf, usize),
    /// A variable of the environment.
    Environment(&'static str),
    /// The table of keys.
    Default,
}

/// Keys of ours that go before keys of the Java agent: the latter counts where the former is not given.
const INSTEAD: [(&str, &str); 2] =
    [("lingerMillis", "maxBufferAgeMillis"), ("requestBytes", "maxBufferSizeBytes")];

/// Explains the main file's own keys.
pub(super) fn agent(file: &Path, object: &Object, sources: &Sources) -> Explained {
    let mut settings = settings(file, Holder::Agent, object);
    for setting in
        settings.iter_mut().filter(|setting| setting.key == "stateDirectory" && setting.value.is_none())
    {
        let (directory, whence) = match &sources.state_directory {
            Some(directory) => (directory.as_path(), Whence::Environment("STATE_DIRECTORY")),
            None => (Path::new(STATE_DIRECTORY), Whence::Default),
        };
        (setting.value, setting.whence) = (Some(quoted(&directory.display().to_string())), whence);
    }
    // It may hold a password, and is told without.
    if let Some(Value::Text(text)) = object.get("proxy").map(|entry| &entry.node.value)
        && let Ok(proxy) = Proxy::parse(text)
    {
        let shown = settings.iter_mut().filter(|setting| setting.key == "proxy");
        shown.for_each(|setting| setting.value = Some(quoted(&proxy.to_string())));
    }
    Explained { title: "agent".to_owned(), settings }
}

/// Explains a flow called `name`, whose requests hold `request_bytes`, and its steps.
pub(super) fn flow(file: &Path, object: &Object, name: &str, request_bytes: usize) -> Vec<Explained> {
    let mut settings = settings(file, Holder::Flow, object);
    for (ours, java) in INSTEAD {
        let is_given =
            |key: &str| object.get(key).is_some_and(|entry| !matches!(entry.node.value, Value::Null));
        let (without, before) = if is_given(java) && !is_given(ours) { (ours, java) } else { (java, ours) };
        let both = is_given(ours) && is_given(java);
        for setting in settings.iter_mut().filter(|setting| setting.key == without) {
            let counts = format!("`{before}` counts");
            (setting.value, setting.remark) = (setting.value.take().filter(|_| both), Some(counts));
        }
    }
    for setting in &mut settings {
        let is_size =
            ["requestBytes", "maxBufferSizeBytes"].contains(&setting.key) && setting.remark.is_none();
        if is_size && setting.value.as_deref() != Some(&request_bytes.to_string()) {
            setting.remark = Some(format!(
                "requests hold {request_bytes}: a third of the flow's share of `maxMemoryBytes`"
            ));
        }
        if setting.key == "name" && setting.value.is_none() {
            (setting.value, setting.remark) = (Some(quoted(name)), Some("the flow's id".to_owned()));
        }
    }
    let title = format!("flow {name}");
    let steps = match object.get("dataProcessingOptions").map(|entry| &entry.node.value) {
        Some(Value::List(items)) => items.as_slice(),
        Some(_) | None => &[],
    };
    let steps = steps.iter().zip(1..).filter_map(|(item, number)| match &item.value {
        Value::Object(step) => {
            let settings = self::settings(file, Holder::Step, step);
            Some(Explained { title: format!("{title}, step {number}"), settings })
        }
        Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    });
    std::iter::once(Explained { title: title.clone(), settings }).chain(steps).collect()
}

/// What each key of `object` comes to that has an effect or is given.
fn settings(file: &Path, holder: Holder, object: &Object) -> Vec<Setting> {
    let keys = KEYS.iter().filter(|key| key.holder == holder);
    keys.filter_map(|key| setting(file, key, object)).collect()
}

fn setting(file: &Path, key: &'static Key, object: &Object) -> Option<Setting> {
    let entry = object.get(key.name);
    let given = entry
        .and_then(|entry| coerce(key.kind, &entry.node.value).ok().flatten().map(|given| (entry, given)));
    let remark = match key.effect {
        Effect::Honoured => None,
        Effect::Without(reason) => Some(format!("no effect: {reason}")),
        Effect::Impossible(reason) => Some(reason.to_owned()),
    };
    let (value, whence) = match given {
        Some((entry, given)) => {
            (Some(text(key, &given, &entry.node.value)), Whence::Line(file.to_path_buf(), entry.spot.line))
        }
        None if remark.is_some() => return None,
        None => (default(key.default), Whence::Default),
    };
    Some(Setting { key: key.name, value, whence, remark })
}

/// A value as it counts, in JSON where it is one value.
fn text(key: &Key, given: &Given, value: &Value) -> String {
    match given {
        _ if key.kind == Kind::Secret => "(hidden)".to_owned(),
        Given::Flag(flag) => flag.to_string(),
        Given::Number(number) => number.to_string(),
        Given::Text(text) => quoted(text),
        Given::Structure => match value {
            Value::List(items) if items.len() == 1 => "1 item".to_owned(),
            Value::List(items) => format!("{} items", items.len()),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) => {
                value.describe()
            }
        },
    }
}

fn default(default: Default) -> Option<String> {
    match default {
        Default::Nothing => None,
        Default::Flag(flag) => Some(flag.to_string()),
        Default::Number(number) => Some(number.to_string()),
        Default::Text(text) => Some(quoted(text)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw;

    fn object(text: &str) -> Object {
        raw::parse(Path::new("a.json"), text).unwrap().root
    }

    /// A key, its value, its line, its remark.
    type Row<'a> = (&'a str, Option<&'a str>, Option<usize>, Option<&'a str>);

    /// How a flow's keys that are named are explained: value, line, remark.
    #[track_caller]
    fn check_flow(text: &str, request_bytes: usize, expected: &[Row<'_>]) {
        let explained = flow(Path::new("a.json"), &object(text), "f", request_bytes);
        for (key, value, line, remark) in expected {
            let setting = explained[0].settings.iter().find(|setting| setting.key == *key).unwrap();
            let at = match &setting.whence {
                Whence::Line(file, line) => {
                    assert_eq!(file, Path::new("a.json"));
                    Some(*line)
                }
                Whence::Environment(_) | Whence::Default => None,
            };
            let found = (setting.value.as_deref(), at, setting.remark.as_deref());
            assert_eq!(found, (*value, *line, *remark), "{key}");
        }
    }

    #[test]
    fn what_is_written_counts_and_the_default_where_nothing_is() {
        let text = "{\n\"kinesisStream\": \"s\",\n\"skipHeaderLines\": \"0x2\",\n\"jsonTypes\": null }";
        check_flow(
            text,
            5 << 20,
            &[
                ("kinesisStream", Some("\"s\""), Some(2), None),
                ("skipHeaderLines", Some("2"), Some(3), None),
                ("jsonTypes", Some("\"strings\""), None, None),
                ("filePattern", None, None, None),
                ("name", Some("\"f\""), None, Some("the flow's id")),
            ],
        );
    }

    #[test]
    fn of_two_keys_for_one_thing_the_one_that_counts_is_named() {
        let ours = Some("`lingerMillis` counts");
        check_flow(
            "{}",
            5 << 20,
            &[("lingerMillis", Some("1000"), None, None), ("maxBufferAgeMillis", None, None, ours)],
        );
        let java = Some("`maxBufferAgeMillis` counts");
        let text = "{\"maxBufferAgeMillis\": 2000}";
        check_flow(
            text,
            5 << 20,
            &[("lingerMillis", None, None, java), ("maxBufferAgeMillis", Some("2000"), Some(1), None)],
        );
        let text = "{\"maxBufferAgeMillis\": 2000, \"lingerMillis\": 5}";
        check_flow(
            text,
            5 << 20,
            &[
                ("lingerMillis", Some("5"), Some(1), None),
                ("maxBufferAgeMillis", Some("2000"), Some(1), ours),
            ],
        );
    }

    #[test]
    fn a_size_that_the_memory_does_not_allow_is_told() {
        let less = Some("requests hold 1000: a third of the flow's share of `maxMemoryBytes`");
        check_flow("{}", 1000, &[("requestBytes", Some("5242880"), None, less)]);
    }

    #[test]
    fn a_key_without_effect_is_there_only_if_it_is_given() {
        let text = "{\"publishQueueCapacity\": 7}";
        let remark = Some("no effect: `maxMemoryBytes` bounds what waits");
        check_flow(text, 5 << 20, &[("publishQueueCapacity", Some("7"), Some(1), remark)]);
        let explained = flow(Path::new("a.json"), &object("{}"), "f", 5 << 20);
        assert!(!explained[0].settings.iter().any(|setting| setting.key == "publishQueueCapacity"));
    }

    #[test]
    fn the_steps_of_a_flow_follow_it() {
        let text = "{ \"dataProcessingOptions\": [{ \"optionName\": \"A\" }, 7, { \"optionName\": \"B\" }] }";
        let explained = flow(Path::new("a.json"), &object(text), "f", 5 << 20);
        let titles: Vec<_> = explained.iter().map(|explained| explained.title.as_str()).collect();
        assert_eq!(titles, ["flow f", "flow f, step 1", "flow f, step 3"]);
    }

    #[test]
    fn a_secret_is_not_told() {
        let text = "{\"awsSecretAccessKey\": \"wJalrXUtnFEMI\"}";
        let sources = Sources { main: "a.json".into(), drop_ins: None, state_directory: None };
        let explained = agent(Path::new("a.json"), &object(text), &sources);
        assert!(!format!("{explained:?}").contains("wJalr"), "{explained:?}");
        let secret = explained.settings.iter().find(|setting| setting.key == "awsSecretAccessKey");
        assert_eq!(secret.and_then(|setting| setting.value.as_deref()), Some("(hidden)"));
    }

    #[test]
    fn a_proxy_is_told_without_its_password() {
        let sources = Sources { main: "a.json".into(), drop_ins: None, state_directory: None };
        for (proxy, expected) in
            [("http://user:hidden@proxy:1/", "\"http://proxy:1\""), ("user:hidden", "(hidden)")]
        {
            let text = format!("{{\"proxy\": \"{proxy}\"}}");
            let explained = agent(Path::new("a.json"), &object(&text), &sources);
            let found = explained.settings.iter().find(|setting| setting.key == "proxy");
            assert_eq!(found.and_then(|setting| setting.value.as_deref()), Some(expected));
        }
    }

    #[test]
    fn the_state_directory_may_be_the_environments() {
        let whence = |text: &str, variable: Option<&str>| {
            let state_directory = variable.map(PathBuf::from);
            let sources = Sources { main: "a.json".into(), drop_ins: None, state_directory };
            let explained = agent(Path::new("a.json"), &object(text), &sources);
            let setting =
                explained.settings.into_iter().find(|setting| setting.key == "stateDirectory").unwrap();
            (setting.value.unwrap(), setting.whence)
        };
        let given = "{\"stateDirectory\": \"/a\"}";
        assert_eq!(whence(given, Some("/b")), ("\"/a\"".to_owned(), Whence::Line("a.json".into(), 1)));
        assert_eq!(whence("{}", Some("/b")), ("\"/b\"".to_owned(), Whence::Environment("STATE_DIRECTORY")));
        assert_eq!(whence("{}", None), ("\"/var/lib/kinetail\"".to_owned(), Whence::Default));
    }
}
