//! A cloud and the books of what was put into it.
//!
//! Does not know how anything is counted: who puts a line says what is to be counted of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use kinetail_tests::binary;
use kinetail_tests::cloud::cloudwatch::dimensions;
use kinetail_tests::cloud::cloudwatch::request::Dimensions;
use kinetail_tests::cloud::mapping::plan::Call;
use kinetail_tests::cloud::mapping::{Fault, Invoked};
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::cloud::runtime::Function;
use kinetail_tests::cloud::{Cloud, INPUT, Settings, Totals, Way};
use kinetail_tests::endpoint;
use kinetail_tests::wait;
use serde_json::json;

/// How long the windows are here.
pub(crate) const WINDOW: Duration = Duration::from_secs(5);

/// The reference of most tests.
pub(crate) const REFERENCE: &str =
    "Host,ApplicationName,Contact\n192.0.2.1,shop,ops\n2001:db8::/64,blog,press\n";

/// Where lines come from, and whom the reference says they belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) host: &'static str,
    pub(crate) application: &'static str,
}

/// One with an address of its own.
pub(crate) const SHOP: Source = Source { host: "192.0.2.1", application: "shop" };
/// One within a block.
pub(crate) const BLOG: Source = Source { host: "2001:db8::17", application: "blog" };
/// One that the reference does not have.
pub(crate) const STRANGER: Source = Source { host: "198.51.100.7", application: "UNKNOWN" };

/// Records of one request, and their bytes, at the most: in this process the emulator takes 2 MiB, base64 and keys
/// included.
const REQUEST_RECORDS: usize = 500;
const REQUEST_BYTES: usize = 1024 * 1024;

/// A cloud and what was put into it.
pub(crate) struct Scene {
    pub(crate) cloud: Cloud,
    /// What is to be counted, by the dimensions of its metric.
    pub(crate) requests: BTreeMap<Dimensions, u64>,
    /// How much is to be set aside.
    pub(crate) set_aside: u64,
    /// How many records were put.
    records: usize,
    client: Client,
}

/// One shard, short windows, and otherwise what the template sets up.
pub(crate) fn settings(way: Way, reference: &str) -> Settings {
    Settings { shards: 1, way, ..Settings::new(WINDOW, reference) }
}

/// A line as the agent sends it, as far as it is counted.
pub(crate) fn line(host: &str, status: u16) -> String {
    json!({ "host": host, "response": status, "bytes": 100 }).to_string()
}

/// Applications `app-0`, `app-1` and so on, each with a host: the reference, and a line of each.
pub(crate) fn many(applications: u32) -> (String, Vec<String>) {
    let host = |number: u32| Ipv4Addr::from_bits(Ipv4Addr::new(192, 0, 0, 0).to_bits() + number);
    let mut reference = "Host,ApplicationName,Contact\n".to_owned();
    reference.extend((0..applications).map(|number| format!("{},app-{number},\n", host(number))));
    (reference, (0..applications).map(|number| line(&host(number).to_string(), 200)).collect())
}

/// The dimensions of an application's requests of one class, by default.
pub(crate) fn requests(application: &str, class: &str) -> Dimensions {
    dimensions([("Application", application), ("StatusClass", class)])
}

/// How many records the invocations that were answered had.
pub(crate) fn taken(history: &[Invoked]) -> usize {
    history.iter().filter(|invoked| invoked.failure.is_none()).map(|invoked| invoked.records).sum()
}

/// Waits until a function says this, in the end of its log.
pub(crate) async fn said(function: &Function, text: &str) -> Result<()> {
    let what = format!("it says `{text}`");
    let found =
        wait::until(&what, wait::LONG, async || Ok(function.log().contains(text).then_some(()))).await;
    found.with_context(|| function.log())
}

impl Scene {
    /// A cloud with the reference of most tests.
    pub(crate) async fn new(way: Way) -> Result<Scene> {
        Scene::with(settings(way, REFERENCE)).await
    }

    /// A cloud.
    pub(crate) async fn with(settings: Settings) -> Result<Scene> {
        let cloud = Cloud::start(binary::bootstrap()?, settings).await?;
        let client = endpoint::client(cloud.endpoint.address());
        Ok(Scene { cloud, requests: BTreeMap::new(), set_aside: 0, records: 0, client })
    }

    /// Puts so many lines, each a record of its own.
    pub(crate) async fn put(&mut self, source: Source, status: u16, count: usize) -> Result<()> {
        let records = vec![line(source.host, status).into_bytes(); count];
        self.put_records(records).await?;
        self.expect(source.application, &format!("{}xx", status / 100), count as u64);
        Ok(())
    }

    /// Puts records of which nothing is expected yet; gives their sequence numbers.
    pub(crate) async fn put_records(&mut self, records: Vec<Vec<u8>>) -> Result<Vec<String>> {
        let mut numbers = vec![];
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let (mut request, mut bytes) = (vec![], 0);
            while request.len() < REQUEST_RECORDS
                && let Some(data) = records.next_if(|data| bytes + data.len() <= REQUEST_BYTES)
            {
                bytes += data.len();
                let entry = PutRecordsRequestEntry::builder().data(Blob::new(data)).partition_key("k");
                request.push(entry.build()?);
            }
            ensure!(!request.is_empty(), "a record is too large for a request");
            self.records += request.len();
            let answer = self.client.put_records().stream_name(INPUT).set_records(Some(request));
            let answer = answer.send().await?;
            ensure!(answer.failed_record_count() == Some(0), "the stream refuses records");
            let number = |record: PutRecordsResultEntry| record.sequence_number;
            numbers.extend(answer.records.into_iter().filter_map(number));
        }
        Ok(numbers)
    }

    /// So many lines that were put are of this application and class.
    pub(crate) fn expect(&mut self, application: &str, class: &str, count: u64) {
        *self.requests.entry(requests(application, class)).or_default() += count;
    }

    /// So many lines were put of each of [`many`].
    pub(crate) fn expect_many(&mut self, applications: u32, count: u64) {
        for number in 0..applications {
            self.expect(&format!("app-{number}"), "2xx", count);
        }
    }

    /// Waits until a window has begun just now, so that what is put next is in it together.
    pub(crate) async fn at_start_of_window(&self) -> Result<()> {
        let early = Duration::from_millis(500);
        wait::until("a window begins", wait::LONG, async || {
            let now = Moment::now();
            Ok((now.since(now.floor(WINDOW)) < early).then_some(()))
        })
        .await
    }

    /// Waits until every record that was put has been in an invocation that was answered.
    pub(crate) async fn all_taken(&self) -> Result<()> {
        let all = wait::until("all records are taken", wait::LONG, async || {
            Ok((taken(&self.cloud.input.history()) == self.records).then_some(()))
        });
        all.await.with_context(|| self.cloud.aggregate.log())
    }

    /// Lets the final call of a window fail, and puts a line whenever one is needed for that.
    pub(crate) async fn fail_final(&mut self, fault: Fault) -> Result<()> {
        let failed = |history: &[Invoked]| {
            history.iter().filter(|invoked| invoked.call == Call::Final && invoked.failure.is_some()).count()
        };
        let goal = failed(&self.cloud.input.history()) + 1;
        let mut looked_at = 0;
        wait::until("a final call has failed", wait::LONG, async || {
            let history = self.cloud.input.history();
            if failed(&history) >= goal {
                return Ok(Some(()));
            }
            if history.len() > looked_at && taken(&history) == self.records {
                looked_at = history.len();
                match history.last().map(|invoked| invoked.call) {
                    // Nothing of the window is left but its final call.
                    Some(Call::Middle) => self.cloud.input.fail_next(1, fault),
                    Some(Call::Final | Call::FinalEarly) | None => self.put(SHOP, 200, 1).await?,
                }
            }
            Ok(None)
        })
        .await
    }

    /// The end of each test here, once all is counted: what was put is what CloudWatch has, by application and class.
    pub(crate) async fn balance(&self) -> Result<Totals> {
        self.cloud.settled(wait::LONG).await?;
        let totals = self.cloud.totals()?;
        let expected = Totals {
            lines: self.requests.values().sum(),
            requests: self.requests.clone(),
            unknown: self.of_application("UNKNOWN"),
            set_aside: self.set_aside,
            repeats: 0,
        };
        ensure!(
            totals == expected,
            "CloudWatch has {totals:#?}, put were {expected:#?}\n{}",
            self.cloud.aggregate.log()
        );
        let refusals = self.cloud.cloudwatch.refusals();
        ensure!(refusals.is_empty(), "CloudWatch refuses: {refusals:?}");
        Ok(totals)
    }

    fn of_application(&self, name: &str) -> u64 {
        let is_of = |dimensions: &Dimensions| {
            dimensions.get("Application").is_some_and(|application| application == name)
        };
        self.requests.iter().filter(|(dimensions, _)| is_of(dimensions)).map(|(_, count)| count).sum()
    }
}
