//! A headless Chromium from Debian's packages, driven by its own debugging interface.
//!
//! It is spoken to over two pipes (`--remote-debugging-pipe`: JSON texts, each ended by a NUL byte, in on descriptor 3 and
//! out on 4), so that no port is open. The methods are described at
//! <https://chromedevtools.github.io/devtools-protocol/>. It does not know what a page should look like, and never waits
//! longer than [`wait::LONG`] for an answer.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use base64_simd::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait;

const PROGRAM: &str = "/usr/bin/chromium";

/// Messages read and not looked at yet. The reader waits beyond that, and Chromium with it.
const MESSAGES_QUEUED: usize = 256;

/// Makes Chromium's descriptors 3 and 4 out of what it would have as input and output.
const PIPES: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A running browser with one tab. Ended when dropped.
#[derive(Debug)]
pub struct Browser {
    _profile: TempDir,
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    asked: u64,
    tab: Value,
}

impl Browser {
    /// Starts a browser with an empty tab.
    ///
    /// # Errors
    /// If it is not installed, or does not answer.
    pub fn start() -> Result<Browser> {
        ensure!(
            Path::new(PROGRAM).exists(),
            "there is no browser at {PROGRAM}, and this test is worth nothing without: \
             `apt-get install chromium` has it"
        );
        let profile = tempfile::Builder::new().prefix("kinetail-browser-").tempdir()?;
        let mut child = Command::new("sh")
            .args(["-c", PIPES, "sh", PROGRAM, "--headless=new", "--remote-debugging-pipe"])
            // The tests may run as root, for whom there is no sandbox; the only page is our own. /dev/shm may be small.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // Times are shown as the reader's own, which differ from machine to machine.
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start the browser")?;
        let input = child.stdin.take().context("the browser has no input")?;
        let output = child.stdout.take().context("the browser has no output")?;
        let (sender, messages) = sync_channel(MESSAGES_QUEUED);
        // Ends with the browser, or with whoever listens.
        thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser { _profile: profile, child, input, messages, asked: 0, tab: Value::Null };
        browser.open_tab()?;
        Ok(browser)
    }

    /// Opens a page in the tab.
    ///
    /// # Errors
    /// If there is no such page.
    pub fn open(&mut self, url: &str) -> Result<()> {
        let answer = self.ask("Page.navigate", &json!({ "url": url }))?;
        ensure!(answer.get("errorText").is_none(), "failed to open `{url}`: {answer}");
        Ok(())
    }

    /// What a JavaScript expression gives in the page.
    ///
    /// # Errors
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let question = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let mut answer = self.ask("Runtime.evaluate", &question)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("`{expression}` threw: {thrown}");
        }
        Ok(answer["result"]["value"].take())
    }

    /// Presses and releases a key, named as in the `key` of a keyboard event (`ArrowLeft`, `Tab`).
    ///
    /// # Errors
    /// If it cannot be pressed.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            _ => bail!("the code of `{key}` is not known here"),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.ask("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Shows the page as to a reader who prefers this: a media feature (`prefers-color-scheme`) and its value (`dark`).
    ///
    /// # Errors
    /// If it cannot be set.
    pub fn prefer(&mut self, feature: &str, value: &str) -> Result<()> {
        let features = json!([{ "name": feature, "value": value }]);
        self.ask("Emulation.setEmulatedMedia", &json!({ "features": features })).map(drop)
    }

    /// Makes the window this large, in pixels.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// The page as a PNG, all of it.
    ///
    /// # Errors
    /// If there is no picture.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let answer = self.ask("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }))?;
        let picture = answer["data"].as_str().context("no picture")?;
        Ok(STANDARD.decode_to_vec(picture)?)
    }

    fn open_tab(&mut self) -> Result<()> {
        let target = self.ask("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        self.tab = self.ask("Target.attachToTarget", &attach)?["sessionId"].take();
        ensure!(self.tab.is_string(), "the browser gives no tab");
        Ok(())
    }

    /// Calls a method, and steps over the events before its answer.
    fn ask(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if self.tab.is_string() {
            message["sessionId"] = self.tab.clone();
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.input.write_all(&text).with_context(|| format!("failed to ask the browser for {method}"))?;
        loop {
            let mut message = self
                .messages
                .recv_timeout(wait::LONG)
                .with_context(|| format!("the browser does not answer to {method}"))?;
            if message["id"] != self.asked {
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("the browser refused {method}: {error}");
            }
            return Ok(message["result"].take());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to, it ends its own processes too, which write to the profile until then; its pipe closes with it. All of
        // this fails only if it has gone already.
        self.tab = Value::Null;
        self.ask("Browser.close", &json!({})).unwrap_or_default();
        while self.messages.recv_timeout(wait::LONG).is_ok() {}
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}
