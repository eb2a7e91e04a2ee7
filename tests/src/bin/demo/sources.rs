//! The unknown sources of all windows together, from the rows of the output stream. Pure.
//!
//! A row names the sources with the most requests and bounds those of all others, so a source that one row names and
//! another does not may have had that many more there. The count of a source is never too low, and too high by its
//! error at the most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use kinetail_tests::page::SourceData;
use serde_json::Value;

/// Sources that are shown at the most.
const SHOWN: usize = 100;

/// What all rows so far have said.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    rows: BTreeSet<String>,
    named: BTreeMap<String, Named>,
    /// What a source may have had in rows that did not name it, if none did.
    unnamed: u64,
}

#[derive(Debug, Default)]
struct Named {
    count: u64,
    count_error: u64,
    /// The part of [`Sources::unnamed`] that comes from rows that did name it.
    known: u64,
}

impl Sources {
    /// Enters a row. One that has been entered before, or is of another kind, says nothing.
    pub(crate) fn enter(&mut self, row: &[u8]) -> Result<()> {
        let row: Value = serde_json::from_slice(row).context("a row is no JSON")?;
        let id = row["id"].as_str().context("a row without id")?;
        if row["kind"] != "unknownSources" || !self.rows.insert(id.to_owned()) {
            return Ok(());
        }
        let sources = row["sources"].as_array().context("a row without sources")?;
        let number =
            |of: &Value, name: &str| of[name].as_u64().with_context(|| format!("no number `{name}`"));
        let unnamed = match number(&row, "other")? {
            0 => 0,
            _ => {
                let last = sources.last().map_or(Ok(0), |last| number(last, "count"))?;
                number(&row, "countError")?.max(last)
            }
        };
        self.unnamed += unnamed;
        for source in sources {
            let name = source["source"].as_str().context("a source without name")?;
            let named = self.named.entry(name.to_owned()).or_default();
            named.count += number(source, "count")?;
            named.count_error += number(source, "countError")?;
            named.known += unnamed;
        }
        Ok(())
    }

    /// Those with the most requests, largest first.
    pub(crate) fn largest(&self) -> Vec<SourceData> {
        let mut all: Vec<SourceData> = self
            .named
            .iter()
            .map(|(source, named)| {
                let elsewhere = self.unnamed - named.known;
                let (count, count_error) = (named.count + elsewhere, named.count_error + elsewhere);
                SourceData { source: source.clone(), count, count_error }
            })
            .collect();
        all.sort_by_key(|source| Reverse(source.count));
        all.truncate(SHOWN);
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(id: &str, sources: &[(&str, u64, u64)], other: u64, count_error: u64) -> Vec<u8> {
        let sources: Vec<Value> = sources
            .iter()
            .map(|(source, count, error)| json!({"source": source, "count": count, "countError": error}))
            .collect();
        let row = json!({
            "id": id, "kind": "unknownSources", "sources": sources, "other": other, "countError": count_error,
        });
        row.to_string().into_bytes()
    }

    #[track_caller]
    fn check(rows: &[Vec<u8>], expected: &[(&str, u64, u64)]) {
        let mut sources = Sources::default();
        rows.iter().for_each(|row| sources.enter(row).unwrap());
        let largest = sources.largest();
        let found: Vec<(&str, u64, u64)> = largest
            .iter()
            .map(|SourceData { source, count, count_error }| (source.as_str(), *count, *count_error))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn sources_of_several_rows_are_added_and_the_largest_comes_first() {
        let rows = [row("1", &[("a", 3, 0), ("b", 2, 1)], 0, 1), row("2", &[("b", 5, 0)], 0, 0)];
        check(&rows, &[("b", 7, 1), ("a", 3, 0)]);
    }

    #[test]
    fn where_a_row_leaves_sources_out_those_that_it_does_not_name_may_be_among_them() {
        let rows =
            [row("1", &[("a", 3, 0)], 0, 0), row("2", &[("b", 5, 0)], 9, 2), row("3", &[("a", 1, 0)], 4, 6)];
        check(&rows, &[("b", 11, 6), ("a", 9, 5)]);
    }

    #[test]
    fn a_row_that_came_twice_and_a_row_of_another_kind_say_nothing() {
        let other = br#"{"id": "3", "kind": "window", "lines": 7}"#.to_vec();
        check(&[row("1", &[("a", 3, 0)], 0, 0), row("1", &[("a", 3, 0)], 0, 0), other], &[("a", 3, 0)]);
        assert!(Sources::default().enter(b"{}").is_err());
    }
}
