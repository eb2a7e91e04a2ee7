//! Keeps the page up to date with what runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use kinetail_tests::cloud::cloudwatch::request::Datum;
use kinetail_tests::cloud::mapping::reader::Reader;
use kinetail_tests::cloud::mapping::settings::Start;
use kinetail_tests::cloud::moment::Moment;
use kinetail_tests::cloud::{OUTPUT, whole};
use kinetail_tests::endpoint;
use kinetail_tests::page::{CloudData, Data, Page, WindowData};
use kinetail_tests::wait;

use crate::alarms::Alarms;
use crate::join::UNKNOWN;
use crate::sources::Sources;
use crate::stage::{Stage, WINDOW};

/// The one shard of the output stream.
const SHARD: &str = "shardId-000000000000";
/// How long a browser that looks may take to ask for the last numbers: it asks each second.
const FAREWELL: Duration = Duration::from_secs(5);

/// The page and what it is made from.
#[derive(Debug)]
pub(crate) struct Board {
    page: Page,
    shown: Arc<Shown>,
    alarms: Alarms,
    sources: Sources,
    rows: Reader,
    repeats_counted: u64,
}

/// What the page's server has in common with who keeps it up to date.
#[derive(Debug, Default)]
struct Shown {
    data: Mutex<Data>,
    asked: AtomicU64,
}

impl Board {
    /// Serves the page of this run.
    pub(crate) fn start(stage: &Stage) -> Result<Board> {
        let shown = Arc::<Shown>::default();
        let served = Arc::clone(&shown);
        let page = Page::serve(move || {
            served.asked.fetch_add(1, Ordering::Relaxed);
            served.data()
        })?;
        let client = endpoint::client(stage.cloud.endpoint.address());
        Ok(Board {
            page,
            shown,
            alarms: Alarms::new(),
            sources: Sources::default(),
            rows: Reader::new(client, OUTPUT, SHARD, Start::TrimHorizon),
            repeats_counted: 0,
        })
    }

    /// What to open in a browser.
    pub(crate) fn url(&self) -> String {
        self.page.url()
    }

    /// What it shows.
    pub(crate) fn data(&self) -> Data {
        self.shown.data()
    }

    /// Shows what is so now, and says what has become of alarms since the last time.
    pub(crate) async fn refresh(&mut self, stage: &Stage) -> Result<Vec<String>> {
        if let Some(batch) = self.rows.read().await? {
            batch.records.iter().try_for_each(|record| self.sources.enter(&record.data))?;
        }
        let cloud = &stage.cloud;
        let totals = cloud.totals()?;
        let (alarms, changed) = self.alarms.look(&cloud.cloudwatch);
        let data = Data {
            now_millis: Moment::now().to_millis(),
            window: WINDOW,
            windows: windows(&cloud.cloudwatch.all())?,
            sources: self.sources.largest(),
            agent: stage.agent()?,
            cloud: CloudData {
                counted: totals.lines,
                repeats_skipped: totals.repeats,
                repeats_counted: self.repeats_counted,
                set_aside: totals.set_aside,
            },
            alarms,
            is_over: false,
        };
        *self.shown.data.lock().unwrap_or_else(PoisonError::into_inner) = data;
        Ok(changed)
    }

    /// Notes how many repeats were counted beside the lines that they repeat.
    pub(crate) fn note_repeats(&mut self, counted: u64) {
        self.repeats_counted = counted;
    }

    /// Shows that it is over, to whoever looks.
    pub(crate) async fn end(&self) {
        self.shown.data.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        let asked = || self.shown.asked.load(Ordering::Relaxed);
        let before = asked();
        if before > 0 {
            let told =
                wait::until("the browser has asked", FAREWELL, async || Ok((asked() > before).then_some(())));
            // Nobody may look any more.
            told.await.unwrap_or_default();
        }
    }
}

impl Shown {
    fn data(&self) -> Data {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What was published, window by window.
fn windows(published: &[Datum]) -> Result<Vec<WindowData>> {
    let mut windows: BTreeMap<Moment, WindowData> = BTreeMap::new();
    for Datum { metric, dimensions, at, statistics, .. } in published {
        let window = windows
            .entry(*at)
            .or_insert_with(|| WindowData { start_millis: at.to_millis(), ..WindowData::default() });
        match (metric.as_str(), dimensions.get("Application"), dimensions.get("StatusClass")) {
            ("Requests", Some(application), Some(class)) => {
                let by_status = match application.as_str() {
                    UNKNOWN => &mut window.unknown,
                    _ => window.applications.entry(application.clone()).or_default(),
                };
                *by_status.entry(class.clone()).or_default() += whole(statistics.sum)?;
            }
            ("LinesSetAside", None, None) => window.set_aside += whole(statistics.sum)?,
            ("Lateness", None, None) => {
                let lateness = Duration::try_from_secs_f64(statistics.maximum).unwrap_or_default();
                window.max_lateness = window.max_lateness.max(lateness);
            }
            _ => {}
        }
    }
    Ok(windows.into_values().collect())
}

#[cfg(test)]
mod tests {
    use kinetail_tests::cloud::cloudwatch::dimensions;
    use kinetail_tests::cloud::cloudwatch::request::Dimensions;
    use kinetail_tests::cloud::cloudwatch::statistics::Statistics;

    use super::*;

    fn datum(metric: &str, dimensions: Dimensions, second: u64, value: f64) -> Datum {
        Datum {
            namespace: "n".to_owned(),
            metric: metric.to_owned(),
            dimensions,
            at: Moment::from_millis(second * 1000),
            statistics: Statistics::of(value),
            unit: None,
            is_high_resolution: true,
        }
    }

    #[test]
    fn what_several_shards_publish_of_a_window_is_added() {
        let by = |application, class| dimensions([("Application", application), ("StatusClass", class)]);
        let nothing = Dimensions::new;
        let published = [
            datum("Requests", by("shop", "2xx"), 5, 3.0),
            datum("Requests", by("shop", "2xx"), 5, 4.0),
            datum("Requests", by("shop", "5xx"), 5, 1.0),
            datum("Requests", by("UNKNOWN", "4xx"), 5, 2.0),
            datum("Requests", by("blog", "2xx"), 10, 9.0),
            datum("Bytes", dimensions([("Application", "shop")]), 5, 1e6),
            datum("LinesSetAside", nothing(), 5, 1.0),
            datum("LinesSetAside", nothing(), 5, 2.0),
            datum("Lateness", nothing(), 5, 2.0),
            datum("Lateness", nothing(), 5, 1.0),
        ];
        let [first, second] = <[WindowData; 2]>::try_from(windows(&published).unwrap()).unwrap();
        let shop = BTreeMap::from([("2xx".to_owned(), 7), ("5xx".to_owned(), 1)]);
        assert_eq!((first.start_millis, second.start_millis), (5000, 10_000));
        assert_eq!(first.applications, BTreeMap::from([("shop".to_owned(), shop)]));
        assert_eq!(first.unknown, BTreeMap::from([("4xx".to_owned(), 2)]));
        assert_eq!((first.set_aside, first.max_lateness), (3, Duration::from_secs(2)));
        assert_eq!(second.applications["blog"]["2xx"], 9);
    }
}
