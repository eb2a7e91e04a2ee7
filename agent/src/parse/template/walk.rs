//! Finds the values of a line: one walk over its bytes, with a second look only where a text may hold what divides it
//! from the rest.

use memchr::{memchr, memchr_iter};

use super::arrange::quotes_in;
use super::date::Reading;
use super::ends::{
    apart_len, decimal_len, is_escaped, last_place, number_len, places, source_len, status_len, word_len,
};
use super::{Commas, Extent, Group, MOST_VALUES, Meaning, Part, Presence, Shape, Template};
use crate::parse::json::{self, Content};
use crate::parse::{Fault, Mismatch};

/// The values of one line.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Each in its place; none for what the line does not have.
    pub(super) values: [Option<&'a [u8]>; MOST_VALUES],
    /// What can be said of all of them at once.
    pub(super) content: Content,
    /// What the date says that was read last, and the place of its value.
    reading: Option<(usize, Reading<'a>)>,
}

impl Default for Found<'_> {
    fn default() -> Self {
        Found { values: [None; MOST_VALUES], content: Content::Any, reading: None }
    }
}

impl<'a> Found<'a> {
    /// What the date in the place `value` says, if that is known from finding its end.
    pub(super) fn reading(&self, value: usize) -> Option<Reading<'a>> {
        self.reading.filter(|(place, _)| *place == value).map(|(_, reading)| reading)
    }
}

/// Finds the values of `line`, which has no newline at its end. `found` is as it was made, and has its place at the
/// caller's, since it is large.
pub(super) fn read<'a>(template: &Template, line: &'a [u8], found: &mut Found<'a>) -> Result<(), Mismatch> {
    let mut walk = Walk { template, line, found, quotes: 0 };
    walk.groups().map_err(|miss| miss.tell(template))?;
    // Each byte belongs to a value or to the format: where the quotes are the format's, no value holds one.
    let is_plain = quotes_in(line) == walk.quotes && json::is_plain_but_for_quotes(line);
    found.content = if is_plain { Content::Plain } else { Content::Any };
    Ok(())
}

struct Walk<'t, 'a, 'f> {
    template: &'t Template,
    line: &'a [u8],
    found: &'f mut Found<'a>,
    /// How many quotes of the line are the format's.
    quotes: usize,
}

impl<'t, 'a> Walk<'t, 'a, '_> {
    fn groups(&mut self) -> Result<(), Miss<'t>> {
        let template = self.template;
        let mut at = 0;
        let mut groups = template.groups.as_slice();
        while let Some((group, rest)) = groups.split_first() {
            groups = rest;
            match self.group(group, rest, at) {
                Ok(end) => {
                    at = end;
                    self.quotes += group.quotes;
                }
                Err(_) if group.presence == Presence::Perhaps => self.forget(&group.parts),
                Err(mismatch) => return Err(mismatch),
            }
        }
        if at == self.line.len() { Ok(()) } else { Err(Miss { at, what: Missing::End }) }
    }

    /// Reads `group` at `at`, where those behind it are `behind`; gives out where it ends.
    fn group(&mut self, group: &'t Group, behind: &'t [Group], mut at: usize) -> Result<usize, Miss<'t>> {
        if at > 0 {
            at = self.literal(group.divider.as_bytes(), at)?;
        }
        if let [before @ .., Part::Value(value, Shape::Rest)] = group.parts.as_slice()
            && !behind.is_empty()
        {
            at = self.parts(before, at)?;
            let end = self.end_before(behind, at);
            self.keep(*value, self.line.get(at..end).unwrap_or_default());
            return Ok(end);
        }
        self.parts(&group.parts, at)
    }

    /// Where a text ends that begins at `at` and goes on up to `groups`: before the last place from which the rest of
    /// the line fits them.
    fn end_before(&mut self, groups: &'t [Group], at: usize) -> usize {
        for (index, group) in groups.iter().enumerate() {
            let Some(Part::Literal(first)) = group.parts.first() else { continue };
            let rest = self.line.get(at..).unwrap_or_default();
            let Some(place) = last_place(rest, first) else { continue };
            let start = (at + place).saturating_sub(group.divider.len());
            let mut end = Ok(start);
            for (group, behind) in
                (index..).map_while(|index| Some((groups.get(index)?, groups.get(index + 1..)?)))
            {
                end = end.and_then(|end| match self.group(group, behind, end) {
                    Err(_) if group.presence == Presence::Perhaps => Ok(end),
                    result => result,
                });
            }
            // What was found on the way is found again, or not, when these groups have their turn.
            groups.iter().for_each(|group| self.forget(&group.parts));
            if end.is_ok_and(|end| end == self.line.len()) {
                return start.max(at);
            }
        }
        self.line.len()
    }

    /// Forgets the values of `parts`, which the line does not have after all.
    fn forget(&mut self, parts: &[Part]) {
        for part in parts {
            match part {
                Part::Value(value, _) | Part::Sought { value, .. } => {
                    if let Some(place) = self.found.values.get_mut(*value) {
                        *place = None;
                    }
                }
                Part::Literal(_) | Part::Spaces(_) | Part::End => {}
            }
            if let Part::Sought { then, .. } = part {
                self.forget(then);
            }
        }
    }

    fn parts(&mut self, parts: &'t [Part], mut at: usize) -> Result<usize, Miss<'t>> {
        for part in parts {
            at = match part {
                Part::Literal(text) => self.literal(text, at)?,
                Part::Spaces(least) => {
                    let spaces = self.rest(at).iter().take_while(|&&byte| byte == b' ').count();
                    if spaces < *least {
                        return Err(Miss { at, what: Missing::Spaces });
                    }
                    at + spaces
                }
                Part::Value(value, shape) => self.value(*value, shape, at)?,
                Part::Sought { value, divider, extent, then } => {
                    self.sought(*value, (divider, *extent, then), at)?
                }
                // Behind a newline there may be another group.
                Part::End if matches!(self.rest(at), [] | [b'\n', ..]) => at,
                Part::End => return Err(Miss { at, what: Missing::End }),
            };
        }
        Ok(at)
    }

    fn literal(&self, text: &'t [u8], at: usize) -> Result<usize, Miss<'t>> {
        if self.rest(at).starts_with(text) {
            return Ok(at + text.len());
        }
        Err(Miss { at, what: Missing::Literal(text) })
    }

    /// Reads the value `value` at `at`, which ends before the first `divider` behind which `then` fits.
    fn sought(
        &mut self,
        value: usize,
        (divider, extent, then): (&'t [u8], Extent, &'t [Part]),
        at: usize,
    ) -> Result<usize, Miss<'t>> {
        let rest = self.rest(at);
        let within = match extent {
            Extent::Word => word_len(rest).saturating_add(divider.len()),
            Extent::Line => rest.len(),
        };
        let mut first = None;
        for len in places(rest.get(..within).unwrap_or(rest), divider) {
            if len == 0 && extent == Extent::Word {
                continue;
            }
            match self.parts(then, at + len + divider.len()) {
                Ok(end) => {
                    self.keep(value, rest.get(..len).unwrap_or_default());
                    return Ok(end);
                }
                Err(mismatch) => {
                    first.get_or_insert(mismatch);
                }
            }
        }
        Err(first.unwrap_or(Miss { at, what: Missing::Text(value, divider) }))
    }

    /// Reads the value `value` at `at`; gives out where it ends.
    fn value(&mut self, value: usize, shape: &'t Shape, at: usize) -> Result<usize, Miss<'t>> {
        let rest = self.rest(at);
        let expected = |what| Miss { at, what };
        let value_missing = |what| expected(Missing::Value(value, what));
        let len = match shape {
            Shape::Number => number_len(rest).ok_or_else(|| value_missing("a number or `-`"))?,
            Shape::Decimal => decimal_len(rest).ok_or_else(|| value_missing("a number or `-`"))?,
            Shape::Date(pattern) => match pattern.read(rest) {
                Some((reading, len)) => {
                    self.found.reading = Some((value, reading));
                    len
                }
                None if rest.first() == Some(&b'-') => 1,
                None => return Err(value_missing("a date as the format lays it out")),
            },
            Shape::Word => match word_len(rest) {
                0 => return Err(value_missing("a word")),
                len => len,
            },
            Shape::Source => source_len(rest).ok_or_else(|| value_missing("`file.c(line)`"))?,
            Shape::Status => status_len(rest).ok_or_else(|| value_missing("`(number)text: `"))?,
            Shape::Quoted => {
                if self.is_empty_user(value, rest) {
                    self.keep(value, b"");
                    return Ok(at + 2);
                }
                let unescaped = memchr_iter(b'"', rest).find(|&len| !is_escaped(rest, len));
                unescaped.ok_or_else(|| expected(Missing::Quote(value)))?
            }
            Shape::Until(divider) => {
                places(rest, divider).next().ok_or_else(|| expected(Missing::Text(value, divider)))?
            }
            Shape::WordUntil(divider) => {
                let len = apart_len(rest, divider, Commas::Divide).filter(|len| *len <= word_len(rest));
                len.ok_or_else(|| expected(Missing::Word(value, divider)))?
            }
            Shape::Apart { divider, dividers, commas } => {
                let len = match divider {
                    Some(divider) => apart_len(rest, divider, *commas)
                        .ok_or_else(|| expected(Missing::Text(value, divider)))?,
                    None => rest.len(),
                };
                let end = len + divider.as_ref().map_or(0, Vec::len);
                let begins_before = |held: &[u8]| {
                    let reach = (len + held.len()).saturating_sub(1).min(rest.len());
                    apart_len(rest.get(..reach).unwrap_or_default(), held, *commas).is_some()
                };
                // As where two bars divide and three are there: one of them is the value's.
                let begins_again = |held: &[u8]| {
                    let reach = (end + held.len()).saturating_sub(1).min(rest.len());
                    held.len() > 1
                        && rest
                            .get(len + 1..reach)
                            .is_some_and(|rest| apart_len(rest, held, *commas).is_some())
                };
                let held = dividers.iter().find(|held| {
                    if divider.as_ref() == Some(*held) { begins_again(held) } else { begins_before(held) }
                });
                if let Some(held) = held {
                    return Err(expected(Missing::Undivided(value, held)));
                }
                len
            }
            Shape::Rest => rest.len(),
        };
        self.keep(value, rest.get(..len).unwrap_or_default());
        Ok(at + len)
    }

    /// Whether a user begins at `rest` that is empty, between the quotes of the format: httpd writes quotes of its own
    /// for it.
    fn is_empty_user(&self, value: usize, rest: &[u8]) -> bool {
        let is_user = self.template.values.get(value).is_some_and(|value| value.meaning == Meaning::User);
        is_user && rest.starts_with(b"\"\"\"")
    }

    fn keep(&mut self, value: usize, text: &'a [u8]) {
        let meaning = self.template.values.get(value).map(|value| &value.meaning);
        let (text, behind) = match meaning {
            Some(Meaning::Target) => {
                let query = memchr(b'?', text).unwrap_or(text.len());
                (text.get(..query).unwrap_or_default(), text.get(query..))
            }
            Some(Meaning::Verbatim) => (text.trim_ascii(), None),
            Some(Meaning::User) if text == b"\"\"" => (&[] as &[u8], None),
            Some(_) | None => (text, None),
        };
        if let Some(place) = self.found.values.get_mut(value) {
            *place = Some(text);
        }
        if let (Some(behind), Some(place)) = (behind, self.found.values.get_mut(value + 1)) {
            *place = Some(behind);
        }
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.line.get(at..).unwrap_or_default()
    }
}

/// What is not where it should be. Told in words only if the line does not match, not where it is one of several tries.
#[derive(Clone, Copy, Debug)]
struct Miss<'t> {
    at: usize,
    what: Missing<'t>,
}

#[derive(Clone, Copy, Debug)]
enum Missing<'t> {
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
    fn tell(self, template: &Template) -> Mismatch {
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
