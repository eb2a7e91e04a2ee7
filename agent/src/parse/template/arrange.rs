//! What a format states, to what is read in turn: for each text the way its end is found.
//!
//! Between two sure places, which no text can hold (a quote, say, since httpd writes `\"` in a text), one text may hold
//! whatever divides the values around it: it ends where the rest fits. Of several such texts none may, or it could not
//! be told whose bytes they are.

use std::collections::BTreeSet;

use super::date::DatePattern;
use super::ends::Commas;
use super::frame::Frame;
use super::literal::Literal;
use super::{Extent, Group, Part, Presence, Shape, TemplateError, Value};

/// What a format states, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// These bytes.
    Literal(Vec<u8>),
    /// Spaces that align, perhaps none.
    Spaces,
    /// A value.
    Value(Kind, Value),
    /// The end of the line.
    End,
}

/// What a value may look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As [`Shape::Number`].
    Number,
    /// As [`Shape::Decimal`].
    Decimal,
    /// As [`Shape::Date`].
    Date(DatePattern),
    /// A text without spaces that is not empty.
    Word,
    /// Any text.
    Text,
    /// Any text, but most likely a list of addresses, with a space behind each comma.
    Addresses,
    /// As [`Shape::Source`].
    Source,
    /// As [`Shape::Status`].
    Status,
    /// Nothing: the value before holds it.
    Held,
    /// As [`Shape::Rest`].
    Rest,
}

/// Which bytes cannot stand in a text, as its writer escapes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Quotes, controls and what is not ASCII.
    Quotes,
    /// Controls.
    Controls,
    /// None is escaped.
    None,
}

impl Escapes {
    /// Whether no text holds `byte`.
    fn keep_out(self, byte: u8) -> bool {
        let is_control = !(b' '..0x7F).contains(&byte);
        match self {
            Escapes::Quotes => byte == b'"' || is_control,
            Escapes::Controls => byte < b' ',
            Escapes::None => false,
        }
    }
}

/// A token whose value has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    /// At least so many spaces.
    Spaces(usize),
    Value(usize, Kind),
    End,
}

/// What to read in turn for `tokens`, whose values go behind `values`.
pub(super) fn parts(
    tokens: Vec<Token>,
    escapes: Escapes,
    values: &mut Vec<Value>,
) -> Result<Vec<Part>, TemplateError> {
    let pieces = align(pieces(tokens, values)?);
    let segments = pieces.split_inclusive(|piece| is_sure(piece, escapes));
    Ok(segments.flat_map(|segment| segment_parts(segment, escapes)).collect())
}

/// What to read for `pieces`, of which at most the last is a sure place. Up to the first text that may hold spaces, each
/// space is one as well.
fn segment_parts(pieces: &[Piece], escapes: Escapes) -> Vec<Part> {
    let holds_space = |piece: &Piece| match piece {
        Piece::Literal(text) => text.contains(&b' '),
        Piece::Spaces(_) => true,
        Piece::Value(..) | Piece::End => false,
    };
    let is_soft_text = |pair: &[Piece]| matches!(pair, [Piece::Value(_, Kind::Text | Kind::Addresses), next] if !is_sure(next, escapes));
    let first_text = pieces.windows(2).position(is_soft_text).unwrap_or(pieces.len());
    let is_text = |piece: &Piece| matches!(piece, Piece::Value(_, Kind::Text | Kind::Addresses));
    let until_text = pieces.get(..first_text).unwrap_or_default();
    let words = match until_text.iter().rposition(holds_space) {
        _ if first_text == pieces.len() => pieces.len(),
        // A text that a sure place ends would not come before.
        Some(space) if !until_text.iter().any(is_text) => space + 1,
        Some(_) | None => 0,
    };
    let (words, rest) = pieces.split_at_checked(words).unwrap_or((pieces, &[]));
    let runs = words.split_inclusive(holds_space).flat_map(|run| divide(run, Extent::Word, escapes));
    runs.chain(divide(rest, Extent::Line, escapes)).collect()
}

impl Group {
    /// A group behind `divider`.
    pub(super) fn new(divider: &str, parts: Vec<Part>, presence: Presence) -> Group {
        Group { divider: Literal::new(divider.as_bytes()), parts, presence }
    }
}

impl Part {
    /// Whether quotes stand in it beside those of its values.
    pub(super) fn has_quotes(&self) -> bool {
        match self {
            Part::Literal(literal) => literal.text().contains(&b'"'),
            Part::Sought { divider, then, .. } => {
                divider.contains(&b'"') || then.iter().any(Part::has_quotes)
            }
            Part::Spaces(_) | Part::Value(..) | Part::End => false,
        }
    }
}

/// The pieces of `tokens`, whose values go behind `values`; literals that touch are one.
fn pieces(tokens: Vec<Token>, values: &mut Vec<Value>) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut before: Option<(Kind, String)> = None;
    for token in tokens {
        let last = before.take();
        match (token, pieces.last_mut()) {
            (Token::Literal(bytes), Some(Piece::Literal(text))) => text.extend(bytes),
            (Token::Literal(bytes), _) => pieces.push(Piece::Literal(bytes)),
            (Token::Spaces, _) => pieces.push(Piece::Spaces(0)),
            (Token::End, _) => pieces.push(Piece::End),
            (Token::Value(kind, value), _) => {
                if let Some((first_kind, first)) = last
                    && is_open(&first_kind, &kind)
                {
                    return Err(TemplateError::Undivided { first, second: value.name });
                }
                before = Some((kind.clone(), value.name.clone()));
                values.push(value);
                if kind != Kind::Held {
                    pieces.push(Piece::Value(values.len() - 1, kind));
                }
            }
        }
    }
    Ok(pieces)
}

/// Whether a value of the kind `first` directly before one of the kind `second` has no end that shows.
fn is_open(first: &Kind, second: &Kind) -> bool {
    !matches!(first, Kind::Date(_)) && *second != Kind::Held
}

/// Gives the spaces of literals to the spaces that align beside them: what aligns does not tell itself from them.
fn align(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut aligned: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (aligned.last_mut(), piece) {
            (Some(Piece::Spaces(least)), Piece::Literal(text)) => {
                let spaces = text.iter().take_while(|&&byte| byte == b' ').count();
                *least += spaces;
                aligned.extend(literal(text.get(spaces..)));
            }
            (Some(Piece::Literal(text)), Piece::Spaces(least)) => {
                let spaces = text.iter().rev().take_while(|&&byte| byte == b' ').count();
                text.truncate(text.len() - spaces);
                if text.is_empty() {
                    aligned.pop();
                }
                aligned.push(Piece::Spaces(least + spaces));
            }
            (_, piece) => aligned.push(piece),
        }
    }
    aligned
}

fn literal(text: Option<&[u8]>) -> Option<Piece> {
    text.filter(|text| !text.is_empty()).map(|text| Piece::Literal(text.to_vec()))
}

fn is_sure(piece: &Piece, escapes: Escapes) -> bool {
    matches!(piece, Piece::Literal(text) if text.iter().any(|&byte| escapes.keep_out(byte)))
}

/// What to read for `pieces`, of which at most the last is a sure place.
fn divide(pieces: &[Piece], extent: Extent, escapes: Escapes) -> Vec<Part> {
    let next = |at: usize| pieces.get(at + 1);
    let texts: Vec<_> = (0..pieces.len())
        .filter(|&at| {
            matches!(pieces.get(at), Some(Piece::Value(_, Kind::Text | Kind::Addresses | Kind::Word)))
        })
        .collect();
    let soft: Vec<_> =
        texts.iter().copied().filter(|&at| is_soft(pieces.get(at), next(at), escapes)).collect();
    // What divides one text from the rest, another text may hold, but for a word that cannot hold its spaces.
    let may_hold = |at: usize, divider: Option<Vec<u8>>| {
        let is_word = matches!(pieces.get(at), Some(Piece::Value(_, Kind::Word)));
        !is_word || divider.is_some_and(|divider| !divider.contains(&b' '))
    };
    let is_certain = match soft.as_slice() {
        [] => true,
        [soft] => !texts.iter().any(|at| at != soft && may_hold(*at, divider(next(*soft)))),
        _ => false,
    };
    let soft = if is_certain { soft } else { texts };
    let direct = |pieces: &[Piece]| -> Vec<Part> {
        (0..pieces.len()).filter_map(|at| part(pieces.get(at)?, pieces.get(at + 1))).collect()
    };
    match soft.as_slice() {
        [] => direct(pieces),
        [at] => {
            let (before, behind) =
                (pieces.get(..=*at).unwrap_or_default(), pieces.get(at + 1..).unwrap_or_default());
            let (value, before) = match before {
                [before @ .., Piece::Value(value, _)] => (*value, before),
                before => return direct(before),
            };
            let mut parts = direct(before);
            match divider(behind.first()) {
                Some(divider) => {
                    let behind = behind.get(1..).unwrap_or_default();
                    parts.push(Part::Sought { value, divider, extent, then: direct(behind) });
                }
                None => {
                    parts.push(Part::Value(value, Shape::Rest));
                    parts.extend(direct(behind));
                }
            }
            parts
        }
        several => {
            let mut dividers: Vec<_> = several.iter().filter_map(|&at| divider(next(at))).collect();
            if extent == Extent::Word {
                dividers.push(b" ".to_vec());
            }
            if escapes == Escapes::None {
                // No client has a say in these texts, and what aligns them divides them as well.
                dividers.clear();
            }
            let part = |at: usize| match pieces.get(at)? {
                Piece::Value(value, kind) if several.contains(&at) => {
                    let commas = if *kind == Kind::Addresses { Commas::Join } else { Commas::Divide };
                    let (divider, dividers) = (divider(next(at)), dividers.clone());
                    let stops = divider.iter().chain(&dividers).filter_map(|text| text.first().copied());
                    let stops = stops.collect::<BTreeSet<u8>>().into_iter().collect();
                    Some(Part::Value(*value, Shape::Apart { divider, dividers, stops, commas }))
                }
                piece @ (Piece::Literal(_) | Piece::Spaces(_) | Piece::Value(..) | Piece::End) => {
                    part(piece, next(at))
                }
            };
            (0..pieces.len()).filter_map(part).collect()
        }
    }
}

/// The bytes that divide a value from what comes behind it.
fn divider(next: Option<&Piece>) -> Option<Vec<u8>> {
    match next? {
        Piece::Literal(text) => Some(text.clone()),
        Piece::Spaces(_) => Some(b" ".to_vec()),
        Piece::Value(..) | Piece::End => None,
    }
}

/// Whether it cannot be seen at once where `piece` ends.
fn is_soft(piece: Option<&Piece>, next: Option<&Piece>, escapes: Escapes) -> bool {
    match (piece, next) {
        (Some(Piece::Value(_, Kind::Text | Kind::Addresses)), next) => {
            !next.is_some_and(|next| is_sure(next, escapes))
        }
        (Some(Piece::Value(_, Kind::Word)), Some(next @ Piece::Literal(text))) => {
            !text.starts_with(b" ") && !is_sure(next, escapes)
        }
        (_, _) => false,
    }
}

/// The part of a piece whose end shows.
fn part(piece: &Piece, next: Option<&Piece>) -> Option<Part> {
    let (value, kind) = match piece {
        Piece::Literal(text) => return Some(Part::Literal(Literal::new(text))),
        Piece::Spaces(least) => return Some(Part::Spaces(*least)),
        Piece::End => return Some(Part::End),
        Piece::Value(value, kind) => (*value, kind),
    };
    let shape = match (kind, next) {
        (Kind::Number, _) => Shape::Number,
        (Kind::Decimal, _) => Shape::Decimal,
        (Kind::Date(pattern), _) => Shape::Date(pattern.clone(), Frame::new(&pattern.items)),
        (Kind::Source, _) => Shape::Source,
        (Kind::Status, _) => Shape::Status,
        (Kind::Rest, _) => Shape::Rest,
        (Kind::Text | Kind::Addresses, Some(Piece::Literal(text))) if text.starts_with(b"\"") => {
            Shape::Quoted
        }
        (Kind::Text | Kind::Addresses, Some(Piece::Literal(text))) => Shape::Until(text.clone()),
        (Kind::Word, Some(Piece::Literal(text))) if !text.starts_with(b" ") => Shape::WordUntil(text.clone()),
        (Kind::Word, _) => Shape::Word,
        (Kind::Text | Kind::Addresses, _) => Shape::Rest,
        (Kind::Held, _) => return None,
    };
    Some(Part::Value(value, shape))
}
