//! Shows how far the demo is: on a terminal one line that changes, elsewhere a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use kinetail_tests::page::Data;
use tokio::time::sleep;

/// Between two lines, where each stays.
const PLAIN: Duration = Duration::from_secs(1);
/// Between two on a terminal.
const LIVE: Duration = Duration::from_millis(200);

/// The progress.
#[derive(Debug)]
pub(crate) struct Show {
    is_live: bool,
}

impl Show {
    /// On the standard output, as that is.
    pub(crate) fn new() -> Show {
        Show { is_live: io::stdout().is_terminal() }
    }

    /// Waits until it is time for another line.
    pub(crate) async fn pause(&self) {
        sleep(if self.is_live { LIVE } else { PLAIN }).await;
    }

    /// Says something that stays.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        let start = if self.is_live { "\r\x1b[K" } else { "" };
        writeln!(io::stdout(), "{start}{text}")?;
        Ok(())
    }

    /// Shows these numbers, and how many records the stream is known to have in how many requests.
    pub(crate) fn numbers(&self, data: &Data, (delivered, requests): (u64, usize)) -> Result<()> {
        let agent = &data.agent;
        let text = format!(
            "  {:>6} written  {delivered:>6} delivered  {:>6} counted  {requests:>4} requests  {:>5.2} s CPU  {:>4.1} MiB",
            agent.written,
            data.cloud.counted,
            agent.cpu.as_secs_f64(),
            agent.memory_mib,
        );
        let mut out = io::stdout();
        if self.is_live {
            write!(out, "\r\x1b[K{text}")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()?;
        Ok(())
    }
}
