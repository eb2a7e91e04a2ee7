//! What a row of the table of keys says.

/// One key of `agent.json`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name. A dot is a part of it.
    pub name: &'static str,
    /// The object it stands in.
    pub holder: Holder,
    /// What its value is.
    pub kind: Kind,
    /// The value that it has if it is not given.
    pub default: Default,
    /// Who brought it in.
    pub origin: Origin,
    /// What follows from it.
    pub effect: Effect,
    /// What it is for, in sentences.
    pub help: &'static str,
}

/// An object that keys stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The whole file.
    Agent,
    /// An item of `flows`.
    Flow,
    /// An item of `dataProcessingOptions`.
    Step,
}

impl Holder {
    /// How a message names the one that it is about.
    pub(super) fn this(self) -> &'static str {
        match self {
            Holder::Agent => "the agent",
            Holder::Flow => "this flow",
            Holder::Step => "this item of `dataProcessingOptions`",
        }
    }

    /// How a message names any of them.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Holder::Agent => "the agent, beside `flows`",
            Holder::Flow => "a flow",
            Holder::Step => "an item of `dataProcessingOptions`",
        }
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text. An empty one is as good as none.
    Text,
    /// A text that may be empty.
    AnyText,
    /// A text that is never shown.
    Secret,
    /// True or false.
    Flag,
    /// A whole number within a range, both ends included.
    Number {
        /// What it counts.
        unit: Unit,
        /// The least one.
        least: i64,
        /// The greatest one.
        most: i64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of objects.
    Objects,
    /// Whatever JSON can say.
    Anything,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Days.
    Days,
    /// Bytes.
    Bytes,
    /// Things, which the name of the key says.
    Pieces,
}

/// A value as the table states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// None.
    Nothing,
    /// True or false.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A text or a word.
    Text(&'static str),
}

/// Who brought a key in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The Java agent: it means what it meant there.
    Java,
    /// This agent.
    Ours,
}

/// What follows from a key that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What its help says.
    Honoured,
    /// Nothing, and nothing is missing: this is why.
    Without(&'static str),
    /// No version can do it: this is why, and what to do instead.
    Impossible(&'static str),
}

impl Key {
    /// A key of the Java agent that is honoured and has no default, to be refined.
    pub(super) const fn new(holder: Holder, name: &'static str, kind: Kind, help: &'static str) -> Key {
        let (default, origin, effect) = (Default::Nothing, Origin::Java, Effect::Honoured);
        Key { name, holder, kind, default, origin, effect, help }
    }

    pub(super) const fn default(self, default: Default) -> Key {
        Key { default, ..self }
    }

    pub(super) const fn ours(self) -> Key {
        Key { origin: Origin::Ours, ..self }
    }

    pub(super) const fn without(self, reason: &'static str) -> Key {
        Key { effect: Effect::Without(reason), ..self }
    }

    pub(super) const fn impossible(self, reason: &'static str) -> Key {
        Key { effect: Effect::Impossible(reason), ..self }
    }
}
