//! Rows to CloudWatch, each of them once as far as is remembered: the function `publish`, and the second half of
//! `aggregate` where there is no output stream.
//!
//! Does not know how rows were counted. A row is published whole or not at all, and the reply names the first record whose
//! row is not; what can never be published is set aside and blocks nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use tokio::time::Instant;
use tracing::{error, info};

use crate::aside::{Aside, Pile, Place};
use crate::chain::Chain;
use crate::cloudwatch::CloudWatch;
use crate::event::{Event, Reply};
use crate::fault::{Fault, Remedy};
use crate::metrics::call::{self, Call};
use crate::metrics::{Datum, Dimension, TimelyRow};
use crate::patience::Deadline;
use crate::published::Published;
use crate::reason::Reason;
use crate::rows::Row;

/// The function `publish`.
#[derive(Debug)]
pub struct Publish {
    publisher: Publisher,
    aside: Aside,
}

impl Publish {
    /// The function, with where its metrics go and where it sets things aside.
    #[must_use]
    pub fn new(publisher: Publisher, aside: Aside) -> Publish {
        Publish { publisher, aside }
    }

    /// Deals with one event of the output stream.
    pub async fn handle(&mut self, event: &Event, deadline: Deadline) -> Reply {
        let began = Instant::now();
        let mut pile = Pile::default();
        let (mut rows, mut records) = (vec![], vec![]);
        for record in &event.records {
            match record.data.as_deref().map_err(crate::event::DataError::reason).and_then(read) {
                Ok(row) => {
                    rows.push(row);
                    records.push(record);
                }
                Err(reason) => pile.record(reason, record),
            }
        }
        let report = self.publisher.publish(rows, deadline).await;
        for (index, reason) in &report.refused {
            if let Some(record) = records.get(*index) {
                pile.record(*reason, record);
            }
        }
        let set_aside = pile.count();
        self.publisher.count_set_aside(set_aside, deadline).await;
        self.aside.store(pile, &Place::of("publish", event)).await;
        info!(
            records = event.records.len(),
            published = report.published,
            repeats = report.repeats,
            set_aside,
            millis = began.elapsed().as_millis(),
            "published a batch"
        );

        let Some((index, fault)) = report.left else { return Reply::Done };
        error!(error = %Chain(&fault), "could not publish every row; the service is to send the others again");
        // An index into the rows is one into their records.
        records.get(index).map_or(Reply::Done, |record| Reply::ResumeFrom(record.sequence_number.clone()))
    }
}

/// The row that a record holds.
fn read(data: &[u8]) -> Result<Row, Reason> {
    serde_json::from_slice(data).map_err(|_| Reason::NotARow)
}

/// What brings rows to CloudWatch, and remembers which it has brought.
#[derive(Debug)]
pub struct Publisher {
    cloudwatch: CloudWatch,
    dimensions: Vec<Dimension>,
    published: Published,
    /// Whether CloudWatch has ever taken anything: if not, it may be the namespace or the role that it refuses. Until then
    /// a row that is refused alone is not set aside but left, and comes again.
    has_taken: bool,
}

/// How far rows have been published.
#[derive(Debug)]
pub struct Report {
    /// How many are published.
    pub published: usize,
    /// How many were published before.
    pub repeats: usize,
    /// Those that never can be, by their index.
    pub refused: Vec<(usize, Reason)>,
    /// The first that is not dealt with, by its index, and why.
    pub left: Option<(usize, Fault)>,
}

impl Publisher {
    /// Publishes requests by `dimensions`.
    #[must_use]
    pub fn new(cloudwatch: CloudWatch, dimensions: Vec<Dimension>) -> Publisher {
        Publisher { cloudwatch, dimensions, published: Published::default(), has_taken: false }
    }

    /// Publishes the rows that were not published before, in their order, until the deadline.
    pub async fn publish(&mut self, rows: Vec<Row>, deadline: Deadline) -> Report {
        let Sorted { rows, indices, repeats, mut refused } =
            sort(rows, &self.published, SystemTime::now().into());
        let index = |row: usize| indices.get(row).copied().unwrap_or(row);
        let mut division = Division::of(&rows, &self.dimensions);
        let mut left = None;
        let mut published = 0;
        while let Some(call) = division.next() {
            match self.cloudwatch.put(&call, deadline).await {
                Ok(()) => {
                    self.has_taken = true;
                    published += call.rows.len();
                    for row in rows.get(call.rows).unwrap_or_default() {
                        self.published.note(row.id());
                    }
                }
                Err(fault) if fault.remedy == Remedy::Split => division.refuse(call, fault),
                Err(fault) => {
                    left = Some((index(call.rows.start), fault));
                    break;
                }
            }
        }
        for (row, fault) in division.suspects {
            let place = index(row);
            if self.has_taken {
                error!(error = %Chain(&fault), "CloudWatch refuses the data of a row; sets it aside");
                refused.push((place, Reason::Refused));
            } else if left.as_ref().is_none_or(|(first, _)| place < *first) {
                left = Some((place, fault));
            }
        }
        // What stands behind the first that is left comes again, and is set aside then.
        refused.retain(|(place, _)| left.as_ref().is_none_or(|(first, _)| place < first));
        Report { published, repeats, refused, left }
    }

    /// Tells CloudWatch that things were set aside that no window counts, so that an alarm can tell of them.
    pub async fn count_set_aside(&self, count: u64, deadline: Deadline) {
        if count == 0 {
            return;
        }
        let data = vec![Datum::set_aside(count, SystemTime::now().into())];
        if let Err(fault) = self.cloudwatch.put(&Call { rows: 0..0, data }, deadline).await {
            error!(count, error = %Chain(&fault), "could not count what is set aside; only the log tells of it");
        }
    }
}

/// Rows that can be published, and what became of the others.
struct Sorted {
    rows: Vec<TimelyRow>,
    /// Of each of them, its index among all.
    indices: Vec<usize>,
    repeats: usize,
    refused: Vec<(usize, Reason)>,
}

fn sort(rows: Vec<Row>, published: &Published, now: DateTime) -> Sorted {
    let mut sorted = Sorted { rows: vec![], indices: vec![], repeats: 0, refused: vec![] };
    let mut seen = BTreeSet::new();
    for (index, row) in rows.into_iter().enumerate() {
        if published.holds(&row.id) || !seen.insert(row.id.clone()) {
            sorted.repeats += 1;
            continue;
        }
        match TimelyRow::new(row, now) {
            Ok(row) => {
                sorted.rows.push(row);
                sorted.indices.push(index);
            }
            Err(reason) => sorted.refused.push((index, reason)),
        }
    }
    sorted
}

/// Rows as calls, of which those that are refused as invalid are halved until the row is found that is at fault.
struct Division<'a> {
    rows: &'a [TimelyRow],
    dimensions: &'a [Dimension],
    /// The next one last.
    calls: Vec<Call>,
    /// Rows that were refused alone, and why.
    suspects: Vec<(usize, Fault)>,
}

impl<'a> Division<'a> {
    fn of(rows: &'a [TimelyRow], dimensions: &'a [Dimension]) -> Division<'a> {
        let mut division = Division { rows, dimensions, calls: vec![], suspects: vec![] };
        division.push(0..rows.len());
        division
    }

    fn next(&mut self) -> Option<Call> {
        self.calls.pop()
    }

    fn refuse(&mut self, call: Call, fault: Fault) {
        match call.halves() {
            Some([one, other]) => {
                self.push(other);
                self.push(one);
            }
            None => self.suspects.push((call.rows.start, fault)),
        }
    }

    fn push(&mut self, rows: Range<usize>) {
        self.calls.extend(call::calls(self.rows, rows, self.dimensions).into_iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use crate::rows::{Counted, UnknownSources};

    const NOW: i64 = 1_800_000_000;

    fn now() -> DateTime {
        DateTime::from_secs(NOW)
    }

    fn row(id: &str) -> Row {
        let unknown = UnknownSources { count: 1, sources: vec![], other: 1, count_error: 0 };
        Row {
            id: id.to_owned(),
            stream: "in".to_owned(),
            shard: "shardId-0".to_owned(),
            window_start: "2027-01-15T08:00:00Z".to_owned(),
            window_end: "2027-01-15T08:05:00Z".to_owned(),
            part: "1".to_owned(),
            counted: Counted::UnknownSources(unknown),
        }
    }

    /// Which rows are published when a call with any of `poison` is refused, and which are suspects.
    fn divide(all: usize, poison: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>) {
        let rows: Vec<TimelyRow> =
            (0..all).map(|number| TimelyRow::new(row(&number.to_string()), now()).unwrap()).collect();
        let mut division = Division::of(&rows, &[]);
        let mut published = vec![];
        while let Some(call) = division.next() {
            if call.rows.clone().any(|row| poison.contains(&row)) {
                division.refuse(call, Fault::out_of_time());
            } else {
                published.extend(call.rows);
            }
        }
        (published, division.suspects.into_iter().map(|(row, _)| row).collect())
    }

    proptest! {
        /// Whichever rows the service refuses, they alone are suspects, and every other row is published once, in order.
        #[test]
        fn only_rows_at_fault_are_not_published(all in 0_usize..80, poison in btree_set(0_usize..80, 0..6)) {
            let (published, suspects) = divide(all, &poison);
            let is_poison = |row: &usize| poison.contains(row);
            prop_assert_eq!(published, (0..all).filter(|row| !is_poison(row)).collect::<Vec<_>>());
            prop_assert_eq!(suspects, (0..all).filter(is_poison).collect::<Vec<_>>());
        }
    }

    /// Of rows with these ids, `published` before: the indices of those to be published, and how many are repeats.
    #[track_caller]
    fn check(ids: &[&str], published: &[&str], indices: &[usize], repeats: usize) {
        let mut memory = Published::default();
        published.iter().for_each(|id| memory.note(id));
        let sorted = sort(ids.iter().map(|id| row(id)).collect(), &memory, now());
        assert_eq!((sorted.indices.as_slice(), sorted.repeats), (indices, repeats));
        assert_eq!(sorted.rows.len(), indices.len());
    }

    #[test]
    fn a_row_that_was_published_is_skipped() {
        check(&["a", "b", "c"], &["b"], &[0, 2], 1);
        check(&["a"], &["a"], &[], 1);
    }

    #[test]
    fn a_row_that_is_there_twice_is_published_once() {
        check(&["a", "b", "a", "a"], &[], &[0, 1], 2);
    }

    #[test]
    fn a_row_whose_time_is_over_is_refused_and_the_others_are_not() {
        let old = Row { window_start: "2026-12-31T08:00:00Z".to_owned(), ..row("old") };
        let sorted = sort(vec![old, row("new")], &Published::default(), now());
        assert_eq!((sorted.indices, sorted.refused), (vec![1], vec![(0, Reason::TooOld)]));
    }

    #[test]
    fn a_record_that_is_no_row_is_told() {
        assert_eq!(read(&serde_json::to_vec(&row("a")).unwrap()), Ok(row("a")));
        for data in [b"".as_slice(), b"{}", b"[1]", b"\xff", br#"{"kind":"window"}"#] {
            assert_eq!(read(data), Err(Reason::NotARow));
        }
    }
}
