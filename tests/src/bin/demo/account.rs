//! The account of a run: what was written, delivered and counted, and whether it is as promised.
//!
//! What CloudWatch should have is worked out from the records in the input stream by the slow definition: of the records
//! of one shard and one window that come from one place in one file, one is counted and the others are skipped. Nothing
//! that the functions or the agent say of themselves goes into that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use kinetail_tests::books::{Balance, Books};
use kinetail_tests::cloud::Totals;
use kinetail_tests::cloud::cloudwatch::dimensions;
use kinetail_tests::cloud::cloudwatch::request::Dimensions;
use kinetail_tests::cloud::mapping::windows::Window;
use kinetail_tests::endpoint::Stored;
use serde_json::Value;

use crate::join::Join;
use crate::replay;
use crate::stage::WINDOW;

/// The account.
#[derive(Debug)]
pub(crate) struct Account {
    /// What was written against what was delivered.
    pub(crate) balance: Balance,
    /// What was published of it.
    pub(crate) totals: Totals,
    /// The most that the kill could repeat, as the agent had published before.
    bound: u64,
    applications: BTreeMap<String, Line>,
    shards: BTreeMap<String, u64>,
    /// What should have been published.
    expected: BTreeMap<Dimensions, u64>,
}

/// What became of the lines of one application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    /// Lines in the log.
    written: u64,
    /// Records of lines that were delivered before.
    repeated: u64,
    /// Of these, the ones that could be recognised.
    skipped: u64,
    /// Requests in CloudWatch.
    counted: u64,
}

impl Account {
    /// The account of `written` lines and the records that the stream has, of which `totals` were published.
    pub(crate) fn of<'a>(
        written: impl Iterator<Item = &'a [u8]>,
        stored: &[Stored],
        join: &Join,
        bound: u64,
        totals: Totals,
    ) -> Result<Account> {
        let mut applications: BTreeMap<String, Line> = BTreeMap::new();
        let mut numbers = Vec::new();
        for line in written {
            let host = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            let application = join.application(&String::from_utf8_lossy(host)).to_owned();
            applications.entry(application).or_default().written += 1;
            numbers.push(replay::number(line).unwrap_or(line));
        }
        let delivered = stored.iter().map(number);
        let balance = Books::of(numbers).against(delivered).balance();

        let (mut shards, mut expected) = (BTreeMap::new(), BTreeMap::new());
        let (mut seen, mut places) = (BTreeSet::new(), BTreeSet::new());
        for record in stored {
            *shards.entry(record.shard.clone()).or_default() += 1;
            let request: Value = serde_json::from_slice(&record.data).context("a record is no JSON")?;
            let application = join.application(request["host"].as_str().unwrap_or_default());
            let line = applications.entry(application.to_owned()).or_default();
            line.repeated += u64::from(!seen.insert(number(record)));
            let [host, file, offset] = ["@host", "@file", "@offset"].map(|name| request[name].to_string());
            let window = Window::of(record.arrived, WINDOW).start;
            if places.insert((&record.shard, window, host, file, offset)) {
                let class = class(&request["response"]);
                let by = dimensions([("Application", application), ("StatusClass", &class)]);
                *expected.entry(by).or_default() += 1;
            } else {
                line.skipped += 1;
            }
        }
        for (by, count) in &totals.requests {
            let application = by.get("Application").cloned().unwrap_or_default();
            applications.entry(application).or_default().counted += count;
        }
        Ok(Account { balance, totals, bound, applications, shards, expected })
    }

    /// Repeats that were counted beside the lines that they repeat.
    pub(crate) fn repeats_counted(&self) -> u64 {
        self.balance.repeated.saturating_sub(self.totals.repeats)
    }

    /// What is not as promised; empty if all is.
    pub(crate) fn faults(&self) -> Vec<String> {
        let Account { balance, totals, bound, applications, expected, .. } = self;
        let mut faults = Vec::new();
        let mut hold = |is_so: bool, fault: String| {
            if !is_so {
                faults.push(fault);
            }
        };
        hold(balance.missing == 0 && balance.foreign == 0, balance.to_string());
        hold(balance.repeated <= *bound, format!("{} repeated, published were {bound}", balance.repeated));
        let found = totals.lines + totals.repeats + totals.set_aside;
        hold(
            found == balance.delivered,
            format!("{found} counted, skipped or set aside, not what was delivered"),
        );
        let skipped: u64 = applications.values().map(|line| line.skipped).sum();
        hold(
            skipped == totals.repeats,
            format!("{skipped} repeats could be recognised, {} were", totals.repeats),
        );
        for by in expected.keys().chain(totals.requests.keys().filter(|by| !expected.contains_key(*by))) {
            let count = |of: &BTreeMap<Dimensions, u64>| of.get(by).copied().unwrap_or_default();
            let (expected, counted) = (count(expected), count(&totals.requests));
            hold(expected == counted, format!("{expected} of {by:?} were to be counted, {counted} were"));
        }
        for (name, line) in applications {
            let Line { written, repeated, skipped, counted } = line;
            let is_so = written + repeated == counted + skipped;
            hold(is_so, format!("the row of {name} does not add up"));
        }
        faults
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { balance, totals, bound, applications, shards, .. } = self;
        let Balance { written, delivered, missing, repeated, .. } = balance;
        for (shard, records) in shards {
            writeln!(f, "  {shard:<30}{records:>9}")?;
        }
        writeln!(f, "  {:<30}{written:>9}", "written")?;
        writeln!(f, "  {:<30}{delivered:>9}", "delivered")?;
        writeln!(f, "  {:<30}{repeated:>9}  by the kill; published before: up to {bound}", "repeated")?;
        writeln!(f, "  {:<30}{missing:>9}", "missing")?;
        writeln!(f)?;
        writeln!(f, "  {:<30}{:>9}", "counted in CloudWatch", totals.lines)?;
        writeln!(f, "  {:<30}{:>9}", "skipped as repeats", totals.repeats)?;
        writeln!(f, "  {:<30}{:>9}", "set aside", totals.set_aside)?;
        writeln!(f)?;
        let [written, repeated, skipped, counted] = ["written", "repeated", "skipped", "counted"];
        writeln!(f, "  {:<30}{written:>9}{repeated:>10}{skipped:>10}{counted:>10}", "application")?;
        for (name, Line { written, repeated, skipped, counted }) in applications {
            writeln!(f, "  {name:<30}{written:>9}{repeated:>10}{skipped:>10}{counted:>10}")?;
        }
        Ok(())
    }
}

/// What tells a record's line from all others.
pub(crate) fn number(record: &Stored) -> &[u8] {
    replay::number(&record.data).unwrap_or(&record.data)
}

/// The class of a status as it is published.
fn class(status: &Value) -> String {
    match status.as_u64() {
        Some(status @ 100..=599) => format!("{}xx", status / 100),
        Some(_) | None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kinetail_tests::cloud::moment::Moment;

    use super::*;

    const LINES: [&str; 3] =
        ["192.0.2.1 replay-0 - rest\n", "192.0.2.1 replay-1 - rest\n", "203.0.113.1 replay-2 - rest\n"];

    /// A record: its number, which is its offset as well, its shard, and the second in which it arrived.
    type Arrived = (usize, &'static str, u64);

    /// Every line arrives, the second one again: on another shard, in another window, and recognisably.
    const ARRIVED: [Arrived; 6] =
        [(0, "a", 0), (1, "a", 0), (2, "b", 1), (1, "b", 1), (1, "a", 5), (1, "a", 4)];

    fn account(arrived: &[Arrived], bound: u64, shop: u64, repeats: u64) -> Account {
        let stored: Vec<Stored> = arrived
            .iter()
            .map(|(line, shard, second)| {
                let host = LINES[*line].split(' ').next().unwrap();
                let data = format!(
                    r#"{{"host":"{host}","ident":"replay-{line}","response":200,"@host":"h","@file":"f","@offset":{line}}}"#
                );
                Stored {
                    shard: (*shard).to_owned(),
                    arrived: Moment::from_millis(1_000_000 + second * 1000),
                    partition_key: String::new(),
                    data: data.into_bytes(),
                }
            })
            .collect();
        let by = |application| dimensions([("Application", application), ("StatusClass", "2xx")]);
        let totals = Totals {
            lines: shop + 1,
            requests: BTreeMap::from([(by("shop"), shop), (by("UNKNOWN"), 1)]),
            repeats,
            ..Totals::default()
        };
        let join = Join::read("Host,ApplicationName,Contact\n192.0.2.0/24,shop,a\n").unwrap();
        Account::of(LINES.iter().map(|line| line.as_bytes()), &stored, &join, bound, totals).unwrap()
    }

    /// How many faults there are, each by a word of it.
    #[track_caller]
    fn check(account: &Account, expected: &[&str]) {
        let faults = account.faults();
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, word) in faults.iter().zip(expected) {
            assert!(fault.contains(word), "`{fault}` has no `{word}`");
        }
    }

    #[test]
    fn repeats_are_skipped_within_a_shard_and_window_and_counted_elsewhere() {
        let account = account(&ARRIVED, 3, 4, 1);
        check(&account, &[]);
        assert_eq!(account.repeats_counted(), 2);
        let shop = Line { written: 2, repeated: 3, skipped: 1, counted: 4 };
        assert_eq!(account.applications["shop"], shop);
    }

    #[test]
    fn what_is_not_as_promised_is_named() {
        check(&account(&ARRIVED, 2, 4, 1), &["published were 2"]);
        check(
            &account(&ARRIVED, 3, 5, 0),
            &["1 repeats could be recognised, 0 were", "5 were", "row of shop"],
        );
        check(&account(&ARRIVED, 3, 3, 1), &["not what was delivered", "3 were", "row of shop"]);
        check(&account(&ARRIVED[1..], 3, 3, 1), &["1 missing", "row of shop"]);
    }

    #[test]
    fn a_status_is_published_by_its_class() {
        for (status, expected) in
            [("200", "2xx"), ("599", "5xx"), ("600", "none"), ("99", "none"), ("null", "none")]
        {
            assert_eq!(class(&serde_json::from_str(status).unwrap()), expected);
        }
    }
}
