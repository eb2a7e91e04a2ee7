//! The page as a reader has it: served, opened in a browser, read back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use kinetail_tests::browser::Browser;
use kinetail_tests::page::{Data, Page};
use kinetail_tests::wait;
use serde_json::Value;

/// Each visible text with the contrast between its colour and the ground it stands on, as WCAG 2 defines it
/// (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>).
pub(crate) const CONTRASTS: &str = "(() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const channel = (value) => value <= 0.04045 * 255 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = ([red, green, blue]) => 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parts(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
        const isSeen = text && element.getClientRects().length && !['SCRIPT', 'NOSCRIPT'].includes(element.tagName);
        if (!isSeen) continue;
        const style = getComputedStyle(element);
        const pair = [parts(element instanceof SVGElement ? style.fill : style.color), ground(element)].map(luminance);
        found.push({ text, contrast: (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05) });
    }
    return found;
})()";

/// The layers of a chart. Its outline over the middle of each window is measured by the axis' own marks.
const LAYERS: &str = "[...document.querySelectorAll('#FIGURE .layer')].map((layer) => {
    const points = layer.getAttribute('d').slice(1, -1).split('L').map((point) => Number(point.split(' ')[1]));
    const half = points.length / 2;
    const marks = [...document.querySelectorAll('#FIGURE text[text-anchor=end]')]
        .map((mark) => [Number(mark.textContent.replaceAll(',', '')), Number(mark.previousElementSibling.getAttribute('y1'))]);
    const unit = (marks[0][1] - marks.at(-1)[1]) / (marks.at(-1)[0] - marks[0][0]);
    const measure = (point) => (marks[0][1] - point) / unit;
    const outline = points.slice(1, half - 1).map((top, place) => [points[points.length - 2 - place], top].map(measure));
    const { kind, name, counts } = layer.dataset;
    return { kind, name, counts: counts.split(' ').map(Number), outline };
})";

/// The columns of a table by their heads, opened first.
const TABLE: &str = "(() => {
    document.querySelector('#FIGURE details').open = true;
    return new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => {
        const cells = (row) => [...row.children].map((cell) => cell.textContent);
        const rows = [...document.querySelectorAll('#FIGURE tbody tr')].map(cells);
        resolve(cells(document.querySelector('#FIGURE thead tr')).slice(1)
            .map((head, place) => [head, rows.map((row) => Number(row[place + 1].replaceAll(',', '')))]));
    })));
})()";

/// One layer of a chart.
#[derive(Debug)]
pub(crate) struct Layer {
    /// `application`, `others`, `unknown` or `status`.
    pub(crate) kind: String,
    /// What its label says.
    pub(crate) name: String,
    /// What it says that it shows, window by window.
    pub(crate) counts: Vec<u64>,
    /// From where to where it is drawn in the middle of each window, in requests above the axis.
    pub(crate) outline: Vec<[f64; 2]>,
}

/// A page that is served and shown.
pub(crate) struct Shown {
    pub(crate) browser: Browser,
    page: Option<Page>,
    data: Arc<Mutex<Data>>,
}

impl Shown {
    /// Serves `data` and waits until the page has drawn them.
    pub(crate) async fn open(data: Data) -> Result<Shown> {
        let data = Arc::new(Mutex::new(data));
        let served = Arc::clone(&data);
        let page = Page::serve(move || served.lock().unwrap_or_else(PoisonError::into_inner).clone())?;
        let mut browser = Browser::start()?;
        browser.resize(1280, 900)?;
        browser.open(&page.url())?;
        let mut shown = Shown { browser, page: Some(page), data };
        shown.until("the first numbers are drawn", "find('#books')?.textContent.length > 0").await?;
        Ok(shown)
    }

    /// From now on, these are the data.
    pub(crate) fn serve(&self, data: Data) {
        *self.data.lock().unwrap_or_else(PoisonError::into_inner) = data;
    }

    /// Serves no more.
    pub(crate) fn stop(&mut self) {
        drop(self.page.take());
    }

    /// Waits until an expression is true in the page.
    pub(crate) async fn until(&mut self, what: &str, expression: &str) -> Result<()> {
        wait::until(what, wait::LONG, async || Ok((self.evaluate(expression)? == true).then_some(()))).await
    }

    /// What an expression gives, in which `find` finds an element by its selector.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        self.browser
            .evaluate(&format!("((find) => ({expression}))((selector) => document.querySelector(selector))"))
    }

    /// The text of the element that a selector names.
    pub(crate) fn text(&mut self, selector: &str) -> Result<String> {
        let text = self.evaluate(&format!("find('{selector}').textContent"))?;
        Ok(text.as_str().context("no text")?.to_owned())
    }

    /// What an expression that gives texts gives.
    pub(crate) fn texts(&mut self, expression: &str) -> Result<Vec<String>> {
        let texts = self.evaluate(expression)?;
        let texts = texts.as_array().context("no list")?.iter();
        texts.map(|text| Ok(text.as_str().context("no text")?.to_owned())).collect()
    }

    /// The columns of numbers in a chart's table.
    pub(crate) fn table(&mut self, figure: &str) -> Result<BTreeMap<String, Vec<u64>>> {
        let columns = self.evaluate(&TABLE.replace("FIGURE", figure))?;
        let columns = columns.as_array().context("no table")?.iter();
        columns
            .map(|column| {
                let head = column[0].as_str().context("no head")?.to_owned();
                // Lateness alone has fractions; the tests do not read it here.
                let numbers = column[1].as_array().context("no column")?.iter().filter_map(Value::as_u64);
                Ok((head, numbers.collect()))
            })
            .collect()
    }

    /// The layers of a chart, from the axis up.
    pub(crate) fn layers(&mut self, figure: &str) -> Result<Vec<Layer>> {
        let layers = self.evaluate(&LAYERS.replace("FIGURE", figure))?;
        let layers = layers.as_array().context("no layers")?.iter();
        layers
            .map(|layer| {
                let text = |key: &str| layer[key].as_str().map(str::to_owned).context("no text");
                let numbers = |key: &str| layer[key].as_array().cloned().context("no numbers");
                Ok(Layer {
                    kind: text("kind")?,
                    name: text("name")?,
                    counts: numbers("counts")?.iter().filter_map(Value::as_u64).collect(),
                    outline: numbers("outline")?
                        .iter()
                        .filter_map(|edges| Some([edges[0].as_f64()?, edges[1].as_f64()?]))
                        .collect(),
                })
            })
            .collect()
    }
}
