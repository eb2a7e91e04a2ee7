//! The books of one run: which lines of the log have arrived, how often, and what else came.
//!
//! Pure, but for the times that are handed in. Does not know how a line is found in a record.

use std::fmt;

use tokio::time::Instant;

use crate::records::Found;

/// What has arrived at the endpoint.
#[derive(Debug)]
pub(crate) struct Books {
    /// Whether each line has arrived, by its sequence number less one.
    arrived: Vec<bool>,
    highest: u64,
    accepted: u64,
    repeated: u64,
    foreign: u64,
    first_foreign: Option<String>,
    out_of_order: u64,
    requests: u64,
    offered: u64,
    entries: u64,
    payload: u64,
    bytes: u64,
    faults: Vec<String>,
    /// When each line first arrived, if that is to be known.
    times: Option<Vec<Option<Instant>>>,
}

/// What one request brought.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Head and body.
    pub(crate) bytes: usize,
    /// When the last byte of it had come.
    pub(crate) at: Instant,
    /// Records that it offered.
    pub(crate) offered: usize,
    /// Those of them that were taken: how many, and the bytes of their data.
    pub(crate) entries: usize,
    pub(crate) payload: usize,
    /// What was found in these: the sequence number of each line, or what is wrong with it.
    pub(crate) records: Vec<Found>,
}

/// The sum of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Lines of the log that never came.
    pub(crate) missing: u64,
    /// Records whose line had come before.
    pub(crate) repeated: u64,
    /// Records that are none of the log's lines.
    pub(crate) foreign: u64,
    /// What is wrong with the first of these.
    pub(crate) first_foreign: Option<String>,
    /// Requests and connections that the service would have refused.
    pub(crate) faults: Vec<String>,
    /// Lines that came after a later one: counted, but not a fault, as several requests are on their way at once.
    pub(crate) out_of_order: u64,
}

/// Something is missing, or came that should not have come.
#[derive(Debug, thiserror::Error)]
#[error("the books do not balance, so the figures do not count: {0}")]
pub(crate) struct Uneven(Balance);

impl Books {
    /// At most this many faults are kept: they are all told of one by one.
    const FAULTS_KEPT: usize = 10;

    /// Books for a log of `lines` lines.
    pub(crate) fn awaiting(lines: usize) -> Books {
        Books {
            arrived: vec![false; lines],
            highest: 0,
            accepted: 0,
            repeated: 0,
            foreign: 0,
            first_foreign: None,
            out_of_order: 0,
            requests: 0,
            offered: 0,
            entries: 0,
            payload: 0,
            bytes: 0,
            faults: Vec::new(),
            times: None,
        }
    }

    /// The same, but with the time at which each line arrives.
    pub(crate) fn with_times(self) -> Books {
        Books { times: Some(vec![None; self.arrived.len()]), ..self }
    }

    /// Enters what a request brought.
    pub(crate) fn enter(&mut self, delivery: &Delivery) {
        self.requests += 1;
        self.bytes += delivery.bytes as u64;
        self.offered += delivery.offered as u64;
        self.entries += delivery.entries as u64;
        self.payload += delivery.payload as u64;
        for record in &delivery.records {
            self.accepted += 1;
            match record {
                Ok(sequence) => self.enter_line(*sequence, delivery.at),
                Err(error) => self.enter_foreign(|| chain(error)),
            }
        }
    }

    /// Enters that something came which the service would not have taken.
    pub(crate) fn enter_fault(&mut self, what: String) {
        if self.faults.len() < Self::FAULTS_KEPT {
            self.faults.push(what);
        }
    }

    /// How many records were taken, whatever was in them.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Records that were offered, taken or not.
    pub(crate) fn offered(&self) -> u64 {
        self.offered
    }

    /// Records that were taken: what a stream bills.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of data in them.
    pub(crate) fn payload(&self) -> u64 {
        self.payload
    }

    /// How many requests were answered.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Bytes of all requests, heads included, before encryption.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When each line first arrived, in the order of the log, as far as it did.
    pub(crate) fn times(&self) -> impl Iterator<Item = Option<Instant>> + '_ {
        self.times.iter().flatten().copied()
    }

    /// The sum, if it is as it must be at the end.
    pub(crate) fn even_balance(&self) -> Result<Balance, Uneven> {
        let balance = self.balance();
        if balance.is_even() { Ok(balance) } else { Err(Uneven(balance)) }
    }

    /// The sum as it stands.
    pub(crate) fn balance(&self) -> Balance {
        Balance {
            missing: self.arrived.iter().filter(|arrived| !**arrived).count() as u64,
            repeated: self.repeated,
            foreign: self.foreign,
            first_foreign: self.first_foreign.clone(),
            faults: self.faults.clone(),
            out_of_order: self.out_of_order,
        }
    }

    fn enter_line(&mut self, sequence: u64, at: Instant) {
        let index = sequence.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let Some((index, arrived)) = index.and_then(|index| Some((index, self.arrived.get_mut(index)?)))
        else {
            return self.enter_foreign(|| format!("there is no line {sequence} in the log"));
        };
        if *arrived {
            self.repeated += 1;
        } else if let Some(time) = self.times.as_mut().and_then(|times| times.get_mut(index)) {
            *time = Some(at);
        }
        *arrived = true;
        if sequence < self.highest {
            self.out_of_order += 1;
        }
        self.highest = self.highest.max(sequence);
    }

    fn enter_foreign(&mut self, why: impl FnOnce() -> String) {
        self.foreign += 1;
        self.first_foreign.get_or_insert_with(why);
    }
}

impl Balance {
    /// Whether every line came exactly once and nothing else did.
    pub(crate) fn is_even(&self) -> bool {
        self.missing == 0 && self.repeated == 0 && self.foreign == 0 && self.faults.is_empty()
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Balance { missing, repeated, foreign, first_foreign, faults, out_of_order } = self;
        write!(f, "{missing} missing, {repeated} repeated, {foreign} foreign, {out_of_order} out of order")?;
        if let Some(why) = first_foreign {
            write!(f, "\nthe first foreign record: {why}")?;
        }
        faults.iter().try_for_each(|fault| write!(f, "\na fault: {fault}"))
    }
}

/// An error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::RecordError;

    fn delivery(records: &[Found]) -> Delivery {
        Delivery {
            bytes: 10,
            at: Instant::now(),
            offered: 1,
            entries: 1,
            payload: 8,
            records: records.to_vec(),
        }
    }

    /// `(missing, repeated, foreign, out of order)` of a log of `lines` lines, of which these came, each alone.
    #[track_caller]
    fn check(lines: usize, came: &[u64], expected: (u64, u64, u64, u64)) {
        let mut books = Books::awaiting(lines);
        came.iter().for_each(|sequence| books.enter(&delivery(&[Ok(*sequence)])));
        let Balance { missing, repeated, foreign, out_of_order, .. } = books.balance();
        assert_eq!((missing, repeated, foreign, out_of_order), expected);
        let even = missing + repeated + foreign == 0;
        assert_eq!(books.even_balance().is_ok(), even);
    }

    #[test]
    fn every_line_once_is_even() {
        check(3, &[1, 2, 3], (0, 0, 0, 0));
        check(0, &[], (0, 0, 0, 0));
    }

    #[test]
    fn another_order_is_counted_and_even() {
        check(3, &[2, 3, 1], (0, 0, 0, 1));
    }

    #[test]
    fn a_missing_a_repeated_or_a_foreign_line_is_noticed() {
        check(3, &[1, 3], (1, 0, 0, 0));
        check(3, &[1, 2, 2, 3], (0, 1, 0, 0));
        check(3, &[1, 2, 3, 4], (0, 0, 1, 0));
        check(3, &[0, 1, 2, 3], (0, 0, 1, 0));
        check(3, &[1, 2, 2], (1, 1, 0, 0));
    }

    #[test]
    fn a_fault_and_a_record_that_is_no_line_are_noticed_and_told() {
        let mut books = Books::awaiting(1);
        books.enter(&delivery(&[Ok(1)]));
        assert!(books.balance().is_even());
        books.enter_fault("unknown operation".to_owned());
        assert!(!books.balance().is_even());
        assert!(books.balance().to_string().ends_with("a fault: unknown operation"));

        let mut books = Books::awaiting(1);
        books.enter(&delivery(&[Ok(1), Err(RecordError::Base64)]));
        assert!(!books.balance().is_even());
        assert!(books.balance().to_string().ends_with("the first foreign record: its data is not base64"));
        assert_eq!((books.accepted(), books.requests(), books.bytes()), (2, 1, 10));
    }

    #[test]
    fn the_first_arrival_of_a_line_is_its_time() {
        let mut books = Books::awaiting(2).with_times();
        let (first, again) = (delivery(&[Ok(1)]), delivery(&[Ok(1)]));
        books.enter(&first);
        books.enter(&again);
        assert_eq!(books.times().collect::<Vec<_>>(), [Some(first.at), None]);
    }

    proptest! {
        /// The sums are those of the slow definitions, whatever came.
        #[test]
        fn the_balance_is_what_came(came in prop::collection::vec(0u64..12, 0..40)) {
            let mut books = Books::awaiting(10);
            came.chunks(7).for_each(|part| {
                let records: Vec<_> = part.iter().map(|sequence| Ok(*sequence)).collect();
                books.enter(&delivery(&records));
            });
            let balance = books.balance();
            let count = |line: &u64| came.iter().filter(|sequence| *sequence == line).count() as u64;
            prop_assert_eq!(balance.missing, (1..=10).filter(|line| count(line) == 0).count() as u64);
            prop_assert_eq!(balance.repeated, (1..=10).map(|line| count(&line).saturating_sub(1)).sum::<u64>());
            prop_assert_eq!(balance.foreign, count(&0) + count(&11));
        }
    }
}
