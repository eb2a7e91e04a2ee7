//! The demo's page in a real browser: what it shows is what it was served, whatever that is, and for everybody.
//!
//! The numbers are read back three times: from the tables, from what the charts' layers say of themselves, and from the
//! layers' outlines, measured against the axis. Expected numbers come from the served data by plain sums.

#[path = "page/everybody.rs"]
mod everybody;
#[path = "page/shown.rs"]
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kinetail_tests::page::{AlarmData, AlarmState, Data, SourceData, WindowData};

use crate::shown::{Layer, Shown};

/// 2026-11-22, 10:00:00 UTC.
const START_MILLIS: u64 = 1_795_341_600_000;
/// Applications that the chart shows one by one.
const DIRECT: usize = 7;

/// `windows` windows of 5 s; application `n` has `n` + 1 requests with 2xx in the first, one more in each that follows.
fn data(windows: u64, applications: u64) -> Data {
    let window = |number: u64| WindowData {
        start_millis: START_MILLIS + number * 5_000,
        applications: (0..applications)
            .map(|place| {
                let statuses = [("2xx".to_owned(), place + 1 + number), ("5xx".to_owned(), place % 2)];
                (format!("app {place}"), BTreeMap::from(statuses))
            })
            .collect(),
        unknown: BTreeMap::from([("2xx".to_owned(), 3), ("4xx".to_owned(), number)]),
        set_aside: number,
        max_lateness: Duration::from_millis(400),
    };
    Data {
        now_millis: START_MILLIS + windows * 5_000,
        window: Duration::from_secs(5),
        windows: (0..windows).map(window).collect(),
        ..Data::default()
    }
}

/// What each application of `data` has in each window.
fn by_application(data: &Data) -> BTreeMap<String, Vec<u64>> {
    let mut counts = BTreeMap::from([(
        "UNKNOWN".to_owned(),
        data.windows.iter().map(|window| window.unknown.values().sum()).collect::<Vec<u64>>(),
    )]);
    let names: BTreeSet<&String> =
        data.windows.iter().flat_map(|window| window.applications.keys()).collect();
    for name in names {
        let of_window = |window: &WindowData| window.applications.get(name).map_or(0, |by| by.values().sum());
        counts.insert(name.clone(), data.windows.iter().map(of_window).collect());
    }
    counts
}

/// What each status class of `data` has in each window.
fn by_status(data: &Data) -> BTreeMap<String, Vec<u64>> {
    let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (place, window) in data.windows.iter().enumerate() {
        for (status, count) in window.applications.values().chain([&window.unknown]).flatten() {
            counts.entry(status.clone()).or_insert_with(|| vec![0; data.windows.len()])[place] += count;
        }
    }
    counts
}

/// Checks both charts and both tables of `shown` against the data served.
async fn check(data: &Data) -> Result<Shown> {
    let mut shown = Shown::open(data.clone()).await?;
    for (figure, expected) in [("applications", by_application(data)), ("statuses", by_status(data))] {
        let table = shown.table(figure)?;
        for (name, counts) in &expected {
            let column = table.get(name).with_context(|| format!("no column `{name}` in {figure}"))?;
            ensure!(column == counts, "column `{name}` of {figure} is {column:?}, not {counts:?}");
        }
        let all: Vec<u64> = (0..data.windows.len())
            .map(|place| expected.values().map(|counts| counts[place]).sum())
            .collect();
        ensure!(table["All"] == all, "all of {figure} are {:?}, not {all:?}", table["All"]);

        let mut drawn = vec![0; all.len()];
        for Layer { kind, name, counts, outline } in shown.layers(figure)? {
            if kind != "others" {
                ensure!(Some(&counts) == expected.get(&name), "layer `{name}` of {figure} is {counts:?}");
            }
            ensure!(outline.len() == counts.len(), "layer `{name}` is drawn over {} windows", outline.len());
            for ((below, count), edges) in drawn.iter_mut().zip(counts).zip(outline) {
                let expected = [*below, *below + count];
                *below += count;
                let is_close =
                    expected.iter().zip(edges).all(|(expected, edge)| (*expected as f64 - edge).abs() < 0.02);
                ensure!(is_close, "layer `{name}` of {figure} is drawn over {edges:?}, not {expected:?}");
            }
        }
        ensure!(drawn == all, "the layers of {figure} are {drawn:?} in all, not {all:?}");
    }
    Ok(shown)
}

#[tokio::test]
async fn tables_layers_and_outlines_have_the_numbers_that_were_served() -> Result<()> {
    let mut shown = check(&data(24, 4)).await?;
    let names: Vec<String> = shown.layers("applications")?.into_iter().map(|layer| layer.name).collect();
    ensure!(
        names.last().is_some_and(|name| name == "UNKNOWN") && names.len() == 5,
        "the layers are {names:?}"
    );
    Ok(())
}

#[tokio::test]
async fn one_window_of_one_application_is_shown() -> Result<()> {
    check(&data(1, 1)).await.map(drop)
}

#[tokio::test]
async fn two_hundred_applications_are_folded_in_the_chart_and_whole_in_the_table() -> Result<()> {
    let mut shown = check(&data(12, 200)).await?;
    let layers = shown.layers("applications")?;
    let kinds: Vec<&str> = layers.iter().map(|layer| layer.kind.as_str()).collect();
    let expected: Vec<&str> = [["application"; DIRECT].as_slice(), &["others", "unknown"]].concat();
    ensure!(kinds == expected, "the layers are {kinds:?}");
    ensure!(layers.iter().any(|layer| layer.name == "193 others"));
    let is_largest = |layer: &&Layer| layer.kind == "application" && layer.counts[0] >= 194;
    ensure!(layers.iter().filter(is_largest).count() == DIRECT, "not the largest are shown one by one");
    Ok(())
}

#[tokio::test]
async fn a_window_without_data_counts_nothing_and_parts_of_one_are_added() -> Result<()> {
    let mut served = data(4, 1);
    let part = served.windows[3].clone();
    served.windows.insert(0, part);
    served.windows.remove(2);
    let mut shown = Shown::open(served).await?;
    let table = shown.table("applications")?;
    ensure!(table["app 0"] == [1, 0, 3, 8], "{:?}", table["app 0"]);
    let layers = shown.layers("applications")?;
    ensure!(layers[0].counts == [1, 0, 3, 8], "{:?}", layers[0].counts);
    Ok(())
}

#[tokio::test]
async fn new_numbers_come_by_themselves_and_colours_stay() -> Result<()> {
    let mut served = data(3, 9);
    let mut shown = Shown::open(served.clone()).await?;
    let paints = "[...document.querySelectorAll('#applications .layer')].map(layer => layer.dataset.name + layer.getAttribute('class'))";
    let before = shown.texts(paints)?;
    served.windows = data(4, 9).windows;
    served.windows[3].applications.get_mut("app 8").context("app 8")?.insert("2xx".to_owned(), 5_000);
    served.sources = vec![SourceData { source: "203.0.113.9".to_owned(), count: 12, count_error: 2 }];
    served.agent.written = 1_234;
    shown.serve(served.clone());
    shown
        .until(
            "the fourth window is drawn",
            "find('#applications .layer').dataset.counts.split(' ').length === 4",
        )
        .await?;
    ensure!(shown.layers("applications")?.iter().any(|layer| layer.counts[3] == 5_000));
    let sources = shown
        .texts("[...document.querySelectorAll('#sources tbody tr > *')].map(cell => cell.textContent)")?;
    ensure!(sources == ["203.0.113.9", "12", "up to 2 fewer"], "{sources:?}");
    let way =
        shown.texts("[...document.querySelectorAll('#agent .way dd')].map(number => number.textContent)")?;
    ensure!(way == ["1,234", "0", "0", "0"], "{way:?}");
    let after = shown.texts(paints)?;
    ensure!(before == after, "the colours were {before:?} and are {after:?}");
    Ok(())
}

#[tokio::test]
async fn an_alarm_is_shown_and_announced_when_it_fires_and_when_it_ends() -> Result<()> {
    let alarm = |name: &str, state, since| AlarmData {
        name: name.to_owned(),
        state,
        since_millis: START_MILLIS + since,
        reason: "1 of 3".to_owned(),
    };
    let mut served = data(3, 2);
    served.alarms =
        vec![alarm("lateness", AlarmState::Alarm, 0), alarm("sources", AlarmState::InsufficientData, 0)];
    let mut shown = Shown::open(served.clone()).await?;
    ensure!(
        shown.evaluate("find('#fired').role")? == "alert"
            && shown.evaluate("find('#ended').role")? == "status"
    );
    let states = "[...document.querySelectorAll('#alarms .state')].map((state) => state.textContent)";
    for (state, fired, ended, now, title) in [
        (
            AlarmState::InsufficientData,
            "Alarm: lateness, at 10:00:00.",
            "",
            "○ too few data since 10:00:05",
            "▲ 1 alarm – kinetail",
        ),
        (
            AlarmState::Alarm,
            "Alarm: sources, at 10:00:05.",
            "",
            "▲ in alarm since 10:00:05",
            "▲ 2 alarms – kinetail",
        ),
        (AlarmState::Ok, "", "sources ended at 10:00:05.", "● OK since 10:00:05", "▲ 1 alarm – kinetail"),
    ] {
        served.alarms[1] = alarm("sources", state, 5_000);
        shown.serve(served.clone());
        shown.until("the alarm is shown", &format!("({states})[1] === '{now}'")).await?;
        ensure!(
            shown.texts(states)?[0] == "▲ in alarm since 10:00:00",
            "the other alarm is {:?}",
            shown.texts(states)?
        );
        ensure!(shown.text("#fired")? == fired, "{state:?}: the alert says `{}`", shown.text("#fired")?);
        ensure!(shown.text("#ended")? == ended, "{state:?}: the status says `{}`", shown.text("#ended")?);
        ensure!(
            shown.evaluate("document.title")? == title,
            "{state:?}: {}",
            shown.evaluate("document.title")?
        );
    }
    Ok(())
}

#[tokio::test]
async fn whatever_a_log_holds_is_shown_as_text() -> Result<()> {
    const NAMES: [&str; 5] = [
        "<script>globalThis.hit = 1</script>",
        "\"><img src=x onerror='globalThis.hit = 1'>",
        "商店 – متجر & <b>Köln</b>",
        "__proto__",
        "{{nonce}}",
    ];
    let mut served = data(2, 0);
    for (place, window) in served.windows.iter_mut().enumerate() {
        for name in NAMES {
            window
                .applications
                .insert(name.to_owned(), BTreeMap::from([("2xx".to_owned(), place as u64 + 1)]));
        }
    }
    let source = |name: &&str| SourceData { source: (*name).to_owned(), count: 1, count_error: 0 };
    served.sources = NAMES.iter().map(source).collect();
    let alarm = |name: &&str| AlarmData {
        name: (*name).to_owned(),
        state: AlarmState::Alarm,
        since_millis: START_MILLIS,
        reason: (*name).to_owned(),
    };
    served.alarms = NAMES.iter().map(alarm).collect();
    let mut shown = check(&served).await?;
    for cells in ["#sources tbody th", "#alarms li b", "#alarms li .reason"] {
        let texts = shown
            .texts(&format!("[...document.querySelectorAll('{cells}')].map(cell => cell.textContent)"))?;
        ensure!(texts == NAMES, "{cells} are {texts:?}");
    }
    ensure!(shown.evaluate("globalThis.hit === undefined && document.scripts.length === 1")? == true);
    ensure!(shown.evaluate("document.querySelectorAll('img').length")? == 0);
    Ok(())
}

#[tokio::test]
async fn the_browser_runs_and_loads_nothing_but_the_page() -> Result<()> {
    let mut shown = Shown::open(data(1, 1)).await?;
    let add = "(() => { const script = document.createElement('script'); script.textContent = 'globalThis.hit = 1'; \
               document.body.append(script); return globalThis.hit === undefined; })()";
    ensure!(shown.evaluate(add)? == true, "a script without the page's word was run");
    // The event comes before the refusal, which is all there is to wait for if the browser asks for the address.
    let load = "new Promise((resolve) => {
        addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective), { once: true });
        fetch('http://127.0.0.1:1/').catch(() => setTimeout(() => resolve('asked'), 1000));
    })";
    let load = shown.evaluate(load)?;
    ensure!(load == "connect-src", "another address was {load}");
    let stored = shown.evaluate("fetch('/data').then(answer => answer.headers.get('cache-control'))")?;
    ensure!(stored == "no-store", "{stored}");
    let words = "fetch('/').then(answer => answer.text()).then(text => text.match(/nonce=\"[^\"]+\"/g))";
    let (one, other) = (shown.texts(words)?, shown.texts(words)?);
    ensure!(one.len() == 2 && one[0] == one[1] && one != other, "the words are {one:?}, then {other:?}");
    Ok(())
}

#[tokio::test]
async fn a_pause_holds_the_numbers_still() -> Result<()> {
    let mut shown = Shown::open(data(3, 2)).await?;
    shown.evaluate("find('#pause').click()")?;
    shown.serve(data(4, 2));
    // Long enough for the page to ask twice, by the page's own clock: whether it does is what is tested.
    shown.evaluate("new Promise((resolve) => setTimeout(resolve, 2500))")?;
    ensure!(shown.text("#state")? == "Paused at 10:00:15", "{}", shown.text("#state")?);
    ensure!(shown.layers("applications")?[0].counts.len() == 3, "the page went on");
    shown.evaluate("find('#pause').click()")?;
    shown.until("it goes on", "find('#applications .layer').dataset.counts.split(' ').length === 4").await
}

#[tokio::test]
async fn a_demo_that_answers_no_more_is_named_and_its_end_is_judged() -> Result<()> {
    let mut shown = Shown::open(data(3, 2)).await?;
    shown.stop();
    shown
        .until("the silence is named", "find('#state').textContent.startsWith('No answer since 10:00:15')")
        .await?;

    for (counted, repeats, verdict) in [
        (90, 0, "✓ Over. Every line written is counted once, or named as dropped or set aside."),
        (
            93,
            3,
            "✓ Over. Every line written is counted once, or named as dropped or set aside. \
             3 repeats are counted beside them.",
        ),
        (89, 0, "✗ Over. 1 line is missing."),
        (92, 1, "✗ Over. 1 line is counted too many."),
        (92, 0, "✗ Over. 2 lines are counted too many."),
    ] {
        let mut served = data(3, 2);
        served.agent.written = 100;
        served.agent.dropped = 4;
        served.cloud.set_aside = 6;
        served.cloud.counted = counted;
        served.cloud.repeats_counted = repeats;
        served.is_over = true;
        let mut shown = Shown::open(served).await?;
        ensure!(shown.text("#verdict")? == verdict, "{}", shown.text("#verdict")?);
        ensure!(shown.text("#books")?.starts_with('✗'), "4 dropped of none read: {}", shown.text("#books")?);
    }
    Ok(())
}
