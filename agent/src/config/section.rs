//! One object of the configuration, read by the table of keys.
//!
//! Everything that the table can say about a key is checked here, whether or not somebody asks for the key: that it
//! is known, that its value is of the right kind and within its range, and what follows from giving it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::config::coerce::{Given, coerce, text};
use crate::config::key::{Default, Effect, Holder, Key, Kind};
use crate::config::keys::{self, KEYS};
use crate::config::problem::{Problem, Spot};
use crate::config::raw::{Entry, Node, Object, Value};
use crate::config::suggest::nearest;

/// One object of the configuration, and what was found out about it.
pub(super) struct Section<'a> {
    file: &'a Path,
    holder: Holder,
    object: &'a Object,
    /// The honoured keys that were given, with values that they may have.
    given: BTreeMap<&'static str, Given>,
    /// The keys that somebody asked for.
    asked: BTreeSet<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Section<'a> {
    /// Reads `object`, which is a `holder` of keys in `file`.
    pub(super) fn new(file: &'a Path, holder: Holder, object: &'a Object) -> Section<'a> {
        let mut section = Section {
            file,
            holder,
            object,
            given: BTreeMap::new(),
            asked: BTreeSet::new(),
            problems: Vec::new(),
        };
        for entry in &object.entries {
            section.take(entry);
        }
        section
    }

    /// What was wrong with it.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The text of the key `name`, or its default.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.value(name) {
            Some(Given::Text(text)) => Some(text),
            Some(Given::Flag(_) | Given::Number(_) | Given::Structure) | None => None,
        }
    }

    /// The text of a key without which this object means nothing; a problem if it is not there.
    pub(super) fn required(&mut self, name: &str) -> Option<String> {
        let text = self.text(name);
        // If it is there, what is wrong with it has been told.
        if text.is_none() && !self.has(name) {
            self.error(name, format!("{} needs `{name}`", self.holder.this()));
        }
        text
    }

    /// Whether the key `name`, or its default, says so.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.value(name) {
            Some(Given::Flag(flag)) => flag,
            Some(Given::Number(_) | Given::Text(_) | Given::Structure) | None => false,
        }
    }

    /// The number of the key `name`, or its default.
    pub(super) fn number(&mut self, name: &str) -> i64 {
        match self.value(name) {
            Some(Given::Number(number)) => number,
            Some(Given::Flag(_) | Given::Text(_) | Given::Structure) | None => 0,
        }
    }

    /// The number of the key `name` as a size.
    pub(super) fn size(&mut self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or_default()
    }

    /// The number of the key `name` as a time in milliseconds.
    pub(super) fn millis(&mut self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or_default())
    }

    /// The number of the key `name` as a time in seconds.
    pub(super) fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(u64::try_from(self.number(name)).unwrap_or_default())
    }

    /// The items of the key `name`; none if it is not given.
    pub(super) fn list(&mut self, name: &str) -> &'a [Node] {
        match (self.value(name), self.object.get(name).map(|entry| &entry.node.value)) {
            (Some(Given::Structure), Some(Value::List(items))) => items,
            _ => &[],
        }
    }

    /// What the key `name` holds, which may be anything.
    pub(super) fn node(&mut self, name: &str) -> Option<&'a Node> {
        matches!(self.value(name), Some(Given::Structure)).then_some(())?;
        self.object.get(name).map(|entry| &entry.node)
    }

    /// The texts of the key `name`, if it is given; what is none is a problem.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.node(name)?;
        let items = self.list(name).iter();
        Some(items.filter_map(|item| self.text_of(name, item)).collect())
    }

    fn text_of(&mut self, name: &str, item: &Node) -> Option<String> {
        let text = text(&item.value);
        if text.is_none() {
            let told = format!("`{name}` must hold texts, not {}", item.value.describe());
            self.problems.push(Problem::error(self.file, item.spot, told));
        }
        text
    }

    /// Whether the key `name` has a value of its own.
    pub(super) fn is_given(&mut self, name: &str) -> bool {
        self.value(name);
        self.given.contains_key(name)
    }

    /// Whether the key `name` stands there, honoured or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|entry| !is_unset(&entry.node.value))
    }

    /// Where the key `name` stands; the object, if it is not there.
    pub(super) fn spot(&self, name: &str) -> Spot {
        self.object.get(name).map_or(self.object.spot, |entry| entry.spot)
    }

    /// Notes an error about the key `name`.
    pub(super) fn error(&mut self, name: &str, text: impl Into<String>) {
        self.problems.push(Problem::error(self.file, self.spot(name), text));
    }

    /// Notes a warning about the key `name`.
    pub(super) fn warn(&mut self, name: &str, text: impl Into<String>) {
        self.problems.push(Problem::warning(self.file, self.spot(name), text));
    }

    /// Notes that nothing comes of the key `name`.
    pub(super) fn note(&mut self, name: &str, text: impl Into<String>) {
        self.problems.push(Problem::note(self.file, self.spot(name), text));
    }

    /// Notes of each key that was given and that nobody asked for that `who` does not use it.
    pub(super) fn note_unasked(&mut self, who: &str) {
        let unasked: Vec<_> = self.given.keys().copied().filter(|name| !self.asked.contains(name)).collect();
        for name in unasked {
            self.note(name, format!("`{name}` has no effect here: {who} does not use it"));
        }
    }

    fn value(&mut self, name: &str) -> Option<Given> {
        let key = keys::find(self.holder, name)?;
        self.asked.insert(key.name);
        self.given.get(name).cloned().or(match key.default {
            Default::Nothing => None,
            Default::Flag(flag) => Some(Given::Flag(flag)),
            Default::Number(number) => Some(Given::Number(number)),
            Default::Text(text) => Some(Given::Text(text.to_owned())),
        })
    }

    fn take(&mut self, entry: &Entry) {
        let name = &entry.name;
        if let Some(counts) = self.object.get(name)
            && counts.spot != entry.spot
        {
            let text = format!("`{name}` stands in this object again at {}, which counts", counts.spot);
            self.problems.push(Problem::warning(self.file, entry.spot, text));
            return;
        }
        let Some(key) = keys::find(self.holder, name) else {
            let text = self.unknown(entry);
            return self.warn(name, text);
        };
        match coerce(key.kind, &entry.node.value) {
            Ok(None) => {}
            Ok(Some(given)) => {
                let is_text = matches!(key.kind, Kind::Text | Kind::AnyText | Kind::Secret);
                if is_text && matches!(entry.node.value, Value::List(_) | Value::Object(_)) {
                    let what = entry.node.value.describe();
                    self.warn(
                        name,
                        format!("`{name}` is {what}, and is taken for one text as by the Java agent"),
                    );
                }
                self.follow(key, given);
            }
            Err(message) => self.error(name, format!("`{name}` {message}")),
        }
    }

    /// What follows from giving `key` this value.
    fn follow(&mut self, key: &'static Key, given: Given) {
        let name = key.name;
        match key.effect {
            Effect::Honoured => {
                self.given.insert(name, given);
            }
            Effect::Without(reason) => {
                let text = format!("`{name}` has no effect here: {reason}");
                self.problems.push(Problem::note(self.file, self.spot(name), text));
            }
            Effect::Impossible(reason) => {
                self.error(name, format!("`{name}` cannot be supported: {reason}"));
            }
        }
    }

    /// What to say of a key that the table does not have.
    fn unknown(&self, entry: &Entry) -> String {
        let name = &entry.name;
        if let Some(flat) = self.flat(entry) {
            return format!("`{name}` has no effect: keys are flat, as in `\"{flat}\": …`");
        }
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            return format!("`{name}` has no effect here: it is a key of {}", key.holder.name());
        }
        match nearest(self.holder, name) {
            Some(near) => format!("`{name}` is not a known key and has no effect; did you mean `{near}`?"),
            None => format!("`{name}` is not a known key and has no effect"),
        }
    }

    /// The key of the table that was meant by one in the object that `entry` holds.
    fn flat(&self, entry: &Entry) -> Option<&'static str> {
        let Value::Object(object) = &entry.node.value else { return None };
        let mut flat = object.entries.iter().map(|inner| format!("{}.{}", entry.name, inner.name));
        flat.find_map(|name| keys::find(self.holder, &name)).map(|key| key.name)
    }

    /// The honoured keys that nobody asked for.
    #[cfg(test)]
    pub(super) fn unasked(&self) -> Vec<&'static str> {
        let honoured = KEYS.iter().filter(|key| key.holder == self.holder && key.effect == Effect::Honoured);
        honoured.map(|key| key.name).filter(|name| !self.asked.contains(name)).collect()
    }
}

/// Whether the value is as good as none.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::Flag(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => false,
    }
}
