//! `matchPattern`: lines that an expression matches as a whole, and what its groups match under names of one's own.
//!
//! Knows nothing of what a value means, except what the family of its format says of a `-`.

use super::fields::{Names, Value};
use super::format::Family;
use super::json::{Content, Object};
use super::{Fault, Field, Format, JsonTypes, Mismatch, Record};
use crate::expression::{Expression, ExpressionError, STEPS};

const MATCH: Field = Field::new("match", "what `matchPattern` matches from the first character to the last");
const ANSWER: Field = Field::new("match", "an answer within 1000000 steps");
const _: () = assert!(STEPS == 1_000_000, "the mismatch names the number");

/// An expression that lines are matched with, and the names of its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    expression: Expression,
    names: Names,
    family: Family,
}

/// Why an expression and names make no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The expression cannot be followed.
    #[error("the expression cannot be followed")]
    Expression(#[source] ExpressionError),
    /// There is not one name for each group.
    #[error("there must be {groups} names, one for each group of `matchPattern`, not {names}")]
    Count {
        /// How many groups the expression has.
        groups: usize,
        /// How many names there are.
        names: usize,
    },
}

impl Pattern {
    /// The groups of the expression `text` under `names`. What a `-` means is as in `format`.
    ///
    /// # Errors
    /// If the expression cannot be followed, or has more groups than there are names, or fewer.
    pub fn new<'n>(
        text: &str,
        names: impl IntoIterator<Item = &'n str>,
        format: Format,
    ) -> Result<Pattern, PatternError> {
        let expression = Expression::whole_line(text).map_err(PatternError::Expression)?;
        let names: Vec<_> = names.into_iter().collect();
        let groups = expression.groups();
        if names.len() != groups {
            return Err(PatternError::Count { groups, names: names.len() });
        }
        Ok(Pattern { expression, names: Names::new(names), family: format.family() })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_text(&self) -> &str {
        self.expression.as_text()
    }

    /// Appends the record of `line`, which has no newline at its end.
    pub(super) fn write(&self, line: &[u8], out: &mut Vec<u8>) -> Result<Record, Mismatch> {
        let text = String::from_utf8_lossy(line);
        let groups = self
            .expression
            .groups_in(&text)
            .map_err(|_| ANSWER.mismatch(Fault::Undecided, 0))?
            .ok_or_else(|| MATCH.mismatch(Fault::Missing, 0))?;
        let value = |group: usize| {
            let value = groups.get(group).map_or(Value::Nothing, |text| Value::Text(text.as_bytes()));
            match self.family {
                Family::Apache => value.or_nothing(),
                Family::Syslog => value,
            }
        };
        let mut object = Object::begin(out, Content::Any);
        self.names.write(value, JsonTypes::Strings, &mut object);
        if str::from_utf8(line).is_err() {
            object.repair();
        }
        Ok(object.end())
    }
}
