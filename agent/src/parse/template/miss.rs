//! Why a line does not follow its format, as numbers until somebody wants it in words.
//!
//! Does not know how a line is read.

use super::Template;
use crate::parse::{Fault, Mismatch};

/// What is not where it should be. Told in words only if the line does not match, not where it is one of several tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Miss<'t> {
    pub(super) at: usize,
    pub(super) what: Missing<'t>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Missing<'t> {
    /// A value that looks like this.
    Value(usize, &'static str),
    /// A text before these bytes.
    Text(usize, &'t [u8]),
    /// A word before these bytes.
    Word(usize, &'t [u8]),
    /// A text without these bytes.
    Undivided(usize, &'t [u8]),
    /// The quote that ends a text.
    Quote(usize),
    /// A text of the format.
    Literal(&'t [u8]),
    Spaces,
    End,
}

impl Miss<'_> {
    /// In words.
    pub(super) fn tell(self, template: &Template) -> Mismatch {
        let name =
            |value: usize| template.values.get(value).map(|value| value.name.clone()).unwrap_or_default();
        let shown = String::from_utf8_lossy;
        let (name, shape) = match self.what {
            Missing::Value(value, shape) => (name(value), shape.to_owned()),
            Missing::Text(value, divider) => (name(value), format!("a text, then `{}`", shown(divider))),
            Missing::Word(value, divider) => (name(value), format!("a word, then `{}`", shown(divider))),
            Missing::Undivided(value, held) => (name(value), format!("a text without `{}`", shown(held))),
            Missing::Quote(value) => (name(value), "a text, then `\"`".to_owned()),
            Missing::Literal(text) => ("text of the format".to_owned(), format!("`{}`", shown(text))),
            Missing::Spaces => ("space".to_owned(), "spaces that align".to_owned()),
            Missing::End => ("end".to_owned(), "nothing more".to_owned()),
        };
        let is_open = matches!(self.what, Missing::Quote(_));
        let fault = if is_open { Fault::Open } else { Fault::Missing };
        Mismatch { fault, name: name.into(), shape: shape.into(), at: self.at }
    }
}
