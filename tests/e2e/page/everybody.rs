//! The page serves everybody: by keyboard, in both themes, on any screen, without motion.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kinetail_tests::page::{AlarmData, AlarmState, SourceData, WindowData};

use crate::shown::{self, Shown};
use crate::{START_MILLIS, check, data};

#[tokio::test]
async fn the_keyboard_reaches_everything_and_moves_the_cursor() -> Result<()> {
    let mut shown = Shown::open(data(3, 2)).await?;
    shown.browser.press("Tab")?;
    ensure!(shown.evaluate("document.activeElement.id")? == "pause");
    shown.browser.press("Tab")?;
    ensure!(shown.evaluate("document.activeElement.id")? == "cursor");
    ensure!(shown.text("#told")?.is_empty(), "spoken without being asked: {}", shown.text("#told")?);
    for (key, when, told) in [
        (
            "ArrowLeft",
            "10:00:05 – 10:00:10",
            "10:00:05: 10 requests. UNKNOWN 4, app 0 2, app 1 4. By status: 2xx 8, 4xx 1, 5xx 1. 1 set aside.",
        ),
        (
            "Home",
            "10:00:00 – 10:00:05",
            "10:00:00: 7 requests. UNKNOWN 3, app 0 1, app 1 3. By status: 2xx 6, 4xx 0, 5xx 1. 0 set aside.",
        ),
        (
            "ArrowRight",
            "10:00:05 – 10:00:10",
            "10:00:05: 10 requests. UNKNOWN 4, app 0 2, app 1 4. By status: 2xx 8, 4xx 1, 5xx 1. 1 set aside.",
        ),
        (
            "Escape",
            "10:00:10 – 10:00:15",
            "10:00:10: 13 requests. UNKNOWN 5, app 0 3, app 1 5. By status: 2xx 10, 4xx 2, 5xx 1. 2 set aside.",
        ),
    ] {
        shown.browser.press(key)?;
        ensure!(shown.text("#when")? == when, "after {key} it is {}", shown.text("#when")?);
        ensure!(shown.text("#told")? == told, "after {key} it says {}", shown.text("#told")?);
        let values = shown.texts("[...document.querySelectorAll('#applications .key li')].map(item => item.children[1].textContent + ' ' + item.children[2].textContent)")?;
        let listed = values.join(", ");
        ensure!(told.contains(&listed), "after {key} the key has {listed}");
    }
    shown.table("applications")?;
    let mut reached = BTreeSet::new();
    for _ in 0..6 {
        shown.browser.press("Tab")?;
        let here = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText";
        reached.extend(shown.evaluate(here)?.as_str().map(str::to_owned));
    }
    for part in [
        "Requests per application as a table",
        "Requests per status class as a table",
        "Table of requests per application",
        "Table of unknown sources",
    ] {
        ensure!(reached.contains(part), "Tab does not reach `{part}`, only {reached:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_text_stands_out_in_both_themes() -> Result<()> {
    let mut served = data(12, 9);
    let alarm =
        |state| AlarmData { name: "a".to_owned(), state, since_millis: START_MILLIS, reason: "b".to_owned() };
    served.alarms = [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData].map(alarm).to_vec();
    let mut shown = check(&served).await?;
    let mut grounds = BTreeSet::new();
    for scheme in ["light", "dark"] {
        shown.browser.prefer("prefers-color-scheme", scheme)?;
        let contrasts = shown.evaluate(shown::CONTRASTS)?;
        let contrasts = contrasts.as_array().context("no contrasts")?;
        ensure!(contrasts.len() > 60, "only {} texts", contrasts.len());
        for text in contrasts {
            ensure!(text["contrast"].as_f64() >= Some(4.5), "{scheme}: {text}");
        }
        grounds.insert(
            shown.evaluate("getComputedStyle(document.documentElement).backgroundColor")?.to_string(),
        );
    }
    ensure!(grounds.len() == 2, "both themes are {grounds:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_moves_when_numbers_come_and_nothing_is_cut_off_on_a_small_screen() -> Result<()> {
    let mut served = data(3, 2);
    let mut shown = Shown::open(served.clone()).await?;
    for width in [1280, 800, 360] {
        shown.browser.resize(width, 800)?;
        shown.until("the page has its width", &format!("innerWidth === {width}")).await?;
        let wide = shown.evaluate("document.documentElement.scrollWidth - innerWidth")?;
        ensure!(wide.as_i64() <= Some(0), "{wide} pixels beyond {width}");
        let places = "JSON.stringify([...document.querySelectorAll('section, figure, .plot, h2')].map(part => part.getBoundingClientRect().toJSON()))";
        let before = shown.evaluate(places)?;
        served.windows.push(WindowData {
            start_millis: START_MILLIS + served.windows.len() as u64 * 5_000,
            ..data(1, 9).windows[0].clone()
        });
        served.sources = (0..100)
            .map(|n| SourceData { source: format!("2001:db8::{n}"), count: 1, count_error: 0 })
            .collect();
        shown.serve(served.clone());
        let drawn = format!(
            "find('#applications .layer').dataset.counts.split(' ').length === {}",
            served.windows.len()
        );
        shown.until("the new window is drawn", &drawn).await?;
        ensure!(shown.evaluate(places)? == before, "the page moved at {width}");
    }
    Ok(())
}

#[tokio::test]
async fn who_wants_no_motion_has_none() -> Result<()> {
    let mut served = data(1, 1);
    served.alarms = vec![AlarmData {
        name: "a".to_owned(),
        state: AlarmState::Alarm,
        since_millis: 0,
        reason: String::new(),
    }];
    let mut shown = Shown::open(served).await?;
    let animation = "getComputedStyle(find('#alarms li')).animationName";
    shown.browser.prefer("prefers-reduced-motion", "no-preference")?;
    ensure!(shown.evaluate(animation)? == "fire");
    shown.browser.prefer("prefers-reduced-motion", "reduce")?;
    ensure!(shown.evaluate(animation)? == "none");
    Ok(())
}
