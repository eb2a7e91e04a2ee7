//! Finds the values of a line: one walk over its bytes, with a second look only where a text may hold what divides it
//! from the rest.

use memchr::{memchr, memchr_iter};

use super::date::{DatePattern, Reading};
use super::ends::{
    Commas, apart_len, decimal_len, is_escaped, last_place, number_len, places, source_len, status_len,
    stop_len, word_len,
};
use super::frame::Frame;
use super::literal::Literal;
use super::miss::{Miss, Missing};
use super::{Extent, Group, MOST_VALUES, Meaning, Part, Presence, Shape, Template};
use crate::parse::json::Content;
use crate::parse::{JsonTypes, Mismatch, scan};

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
    let mut walk = Walk { template, line, found, holds_quote: false };
    walk.groups().map_err(|miss| miss.tell(template))?;
    if let Some(target) = template.target {
        walk.split_target(target);
    }
    let is_plain = if template.has_quotes {
        scan::is_plain_but_for_quotes(line) && !walk.holds_quote
    } else {
        scan::is_plain(line)
    };
    found.content = if is_plain { Content::Plain } else { Content::Any };
    Ok(())
}

struct Walk<'t, 'a, 'f> {
    template: &'t Template,
    line: &'a [u8],
    found: &'f mut Found<'a>,
    /// Whether a value may hold a quote that has no backslash before it.
    holds_quote: bool,
}

impl<'t, 'a> Walk<'t, 'a, '_> {
    fn groups(&mut self) -> Result<(), Miss<'t>> {
        let template = self.template;
        let mut at = 0;
        let mut groups = template.groups.as_slice();
        while let Some((group, rest)) = groups.split_first() {
            groups = rest;
            if group.presence == Presence::Perhaps && !self.may_begin(group, at) {
                continue;
            }
            match self.group(group, rest, at) {
                Ok(end) => at = end,
                Err(_) if group.presence == Presence::Perhaps => self.forget(&group.parts),
                Err(mismatch) => return Err(mismatch),
            }
        }
        if at == self.line.len() { Ok(()) } else { Err(Miss { at, what: Missing::End }) }
    }

    /// Whether the bytes with which `group` begins stand at `at`: mostly that tells that it is not there.
    fn may_begin(&self, group: &Group, at: usize) -> bool {
        let rest = self.rest(at);
        let behind_divider = if at > 0 { group.divider.stands_before(rest) } else { Some(rest) };
        behind_divider.is_some_and(|rest| match group.parts.first() {
            Some(Part::Literal(first)) => first.stands_before(rest).is_some(),
            Some(Part::Spaces(_) | Part::Value(..) | Part::Sought { .. } | Part::End) | None => true,
        })
    }

    /// Reads `group` at `at`, where those behind it are `behind`; gives out where it ends.
    fn group(&mut self, group: &'t Group, behind: &'t [Group], mut at: usize) -> Result<usize, Miss<'t>> {
        if at > 0 {
            at = self.literal(&group.divider, at)?;
        }
        if let [before @ .., Part::Value(value, Shape::Rest)] = group.parts.as_slice()
            && !behind.is_empty()
        {
            at = self.parts(before, at)?;
            let end = self.end_before(behind, at);
            let text = self.line.get(at..end).unwrap_or_default();
            self.look_for_quotes(text);
            self.keep(*value, text);
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
            let Some(place) = last_place(rest, first.text()) else { continue };
            let start = (at + place).saturating_sub(group.divider.text().len());
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
                Part::Literal(literal) => self.literal(literal, at)?,
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

    fn literal(&self, literal: &'t Literal, at: usize) -> Result<usize, Miss<'t>> {
        match literal.stands_before(self.rest(at)) {
            Some(rest) => Ok(self.line.len() - rest.len()),
            None => Err(Miss { at, what: Missing::Literal(literal.text()) }),
        }
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
                    let text = rest.get(..len).unwrap_or_default();
                    self.look_for_quotes(text);
                    self.keep(value, text);
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
            Shape::Date(pattern, frame) => match self.date(value, pattern, frame, rest) {
                Some(len) => len,
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
            Shape::Apart { divider, dividers, stops, commas } => {
                let divider = divider.as_deref();
                match divider.and_then(|divider| stop_len(rest, divider, stops, *commas)) {
                    Some(len) => len,
                    None => self.apart(value, (divider, dividers, *commas), at)?,
                }
            }
            Shape::Rest => rest.len(),
        };
        let text = rest.get(..len).unwrap_or_default();
        match shape {
            // A quote ends the one, and the others have none.
            Shape::Quoted | Shape::Number | Shape::Decimal => {}
            Shape::Date(..)
            | Shape::Word
            | Shape::Source
            | Shape::Status
            | Shape::Until(_)
            | Shape::WordUntil(_)
            | Shape::Apart { .. }
            | Shape::Rest => self.look_for_quotes(text),
        }
        self.keep(value, text);
        Ok(at + len)
    }

    /// The length of the value `value` at `at`, which ends at the first `divider`, and in which none of `dividers`
    /// begins.
    fn apart(
        &self,
        value: usize,
        (divider, dividers, commas): (Option<&'t [u8]>, &'t [Vec<u8>], Commas),
        at: usize,
    ) -> Result<usize, Miss<'t>> {
        let rest = self.rest(at);
        let expected = |what| Miss { at, what };
        let len = match divider {
            Some(divider) => {
                apart_len(rest, divider, commas).ok_or_else(|| expected(Missing::Text(value, divider)))?
            }
            None => rest.len(),
        };
        let end = len + divider.map_or(0, <[u8]>::len);
        let begins_before = |held: &[u8]| {
            let reach = (len + held.len()).saturating_sub(1).min(rest.len());
            apart_len(rest.get(..reach).unwrap_or_default(), held, commas).is_some()
        };
        // As where two bars divide and three are there: one of them is the value's.
        let begins_again = |held: &[u8]| {
            let reach = (end + held.len()).saturating_sub(1).min(rest.len());
            held.len() > 1
                && rest.get(len + 1..reach).is_some_and(|rest| apart_len(rest, held, commas).is_some())
        };
        let held = dividers.iter().find(|held| {
            if divider == Some(held.as_slice()) { begins_again(held) } else { begins_before(held) }
        });
        match held {
            Some(held) => Err(expected(Missing::Undivided(value, held))),
            None => Ok(len),
        }
    }

    /// The length of the date at the start of `rest`.
    fn date(&mut self, value: usize, pattern: &DatePattern, frame: &Frame, rest: &'a [u8]) -> Option<usize> {
        match self.template.types {
            JsonTypes::Strings => pattern.len(frame, rest),
            JsonTypes::Native => {
                let (reading, len) = pattern.read(rest)?;
                self.found.reading = Some((value, reading));
                Some(len)
            }
        }
    }

    /// Notes whether a value holds quotes, which matters only where the line has some.
    fn look_for_quotes(&mut self, text: &[u8]) {
        if self.template.has_quotes {
            self.holds_quote |= scan::place(text, b'"').is_some();
        }
    }

    /// Whether a user begins at `rest` that is empty, between the quotes of the format: httpd writes quotes of its own
    /// for it.
    fn is_empty_user(&self, value: usize, rest: &[u8]) -> bool {
        let is_user = self.template.values.get(value).is_some_and(|value| value.meaning == Meaning::User);
        is_user && rest.starts_with(b"\"\"\"")
    }

    fn keep(&mut self, value: usize, text: &'a [u8]) {
        if let Some(place) = self.found.values.get_mut(value) {
            *place = Some(text);
        }
    }

    /// Gives the query of `target` to the value behind it.
    fn split_target(&mut self, target: usize) {
        let Some([Some(path), query]) = self.found.values.get_mut(target..target + 2) else { return };
        let len = memchr(b'?', path).unwrap_or(path.len());
        (*path, *query) = (path.get(..len).unwrap_or_default(), path.get(len..));
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.line.get(at..).unwrap_or_default()
    }
}
