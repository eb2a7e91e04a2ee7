//! The data of rows, in calls that the service takes. Pure.
//!
//! A row is published whole, in one call, or not at all; the sum of what the calls say is the sum of what the rows say,
//! and no call passes the limits of the service.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Datum, Dimension, Identity, TimelyRow, Value};

/// What a call may hold.
pub const CALL_DATA: usize = 1_000;

/// How large a call may be. The service counts the bytes after their compression, we those before.
pub const CALL_BYTES: usize = 1_000_000;

/// More than a call has of its own, with the longest namespace.
pub(super) const CALL_BYTES_FIXED: usize = 512;

/// More than a datum has beside its texts, with a statistic set.
const DATUM_BYTES: usize = 256;

/// More than a dimension has beside its texts.
const DIMENSION_BYTES: usize = 24;

/// One call: the data of a run of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which rows.
    pub rows: Range<usize>,
    /// What they say together. No two have the same name, dimensions and time.
    pub data: Vec<Datum>,
}

/// The calls for those of `rows` that lie `within`, in their order, with requests counted by `dimensions`.
#[must_use]
pub fn calls(rows: &[TimelyRow], within: Range<usize>, dimensions: &[Dimension]) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut open = Open::at(within.start);
    let rows = rows.iter().enumerate().skip(within.start).take(within.len());
    for (index, row) in rows {
        let data = row.data(dimensions);
        if !open.has_room(&data) {
            calls.extend(open.close(index));
            open = Open::at(index);
        }
        open.add(data);
    }
    calls.extend(open.close(within.end));
    calls
}

impl Call {
    /// The same rows in two halves; `None` for a single row, which is published whole.
    #[must_use]
    pub fn halves(&self) -> Option<[Range<usize>; 2]> {
        let Range { start, end } = self.rows;
        let middle = start + self.rows.len() / 2;
        (self.rows.len() > 1).then_some([start..middle, middle..end])
    }
}

/// A call that is being filled.
struct Open {
    first: usize,
    data: BTreeMap<Identity, Value>,
    bytes: usize,
}

impl Open {
    fn at(first: usize) -> Open {
        Open { first, data: BTreeMap::new(), bytes: CALL_BYTES_FIXED }
    }

    /// Whether these data fit in beside what is there. Into an empty call they always do: a row has few.
    fn has_room(&self, data: &[Datum]) -> bool {
        let new = || data.iter().filter(|datum| !self.data.contains_key(&datum.identity));
        let bytes: usize = new().map(|datum| datum.identity.bytes()).sum();
        self.data.len() + new().count() <= CALL_DATA && self.bytes + bytes <= CALL_BYTES
    }

    fn add(&mut self, data: Vec<Datum>) {
        for Datum { identity, value } in data {
            let bytes = identity.bytes();
            match self.data.get_mut(&identity) {
                Some(before) => *before = before.with(value),
                None => {
                    self.bytes += bytes;
                    self.data.insert(identity, value);
                }
            }
        }
    }

    fn close(self, end: usize) -> Option<Call> {
        let data = self.data.into_iter().map(|(identity, value)| Datum { identity, value });
        (self.first < end).then(|| Call { rows: self.first..end, data: data.collect() })
    }
}

impl Identity {
    /// More than a datum with this identity has on its way to the service.
    pub(super) fn bytes(&self) -> usize {
        let text = |(dimension, value): &(Dimension, String)| {
            DIMENSION_BYTES + dimension.as_str().len() + value.len()
        };
        DATUM_BYTES + self.metric.as_str().len() + self.dimensions.iter().map(text).sum::<usize>()
    }
}
