//! Shows how far the demo is: on a terminal one line that changes, elsewhere a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use kinetail_tests::agent::Agent;
use kinetail_tests::faults::Fate;
use kinetail_tests::scene::Scene;
use kinetail_tests::writer::Load;
use tokio::time::{Instant, sleep};

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

    /// Shows the progress for a while.
    pub(crate) async fn during(
        &mut self,
        duration: Duration,
        scene: &Scene,
        load: &Load,
        agent: &Agent,
    ) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            sleep(if self.is_live { LIVE } else { PLAIN }).await;
            self.line(&line(scene, load, agent)?)?;
        }
        Ok(())
    }

    /// Says something that stays.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        let start = if self.is_live { "\r\x1b[K" } else { "" };
        writeln!(io::stdout(), "{start}{text}")?;
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<()> {
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

fn line(scene: &Scene, load: &Load, agent: &Agent) -> Result<String> {
    let written = load.with(|writer| writer.count());
    let (requests, delivered) = scene.faults.look(|requests| {
        let entries = requests.iter().flat_map(|request| &request.entries);
        (requests.len(), entries.filter(|entry| entry.fate == Fate::Accepted).count() as u64)
    });
    let usage = agent.usage()?;
    Ok(format!(
        "  {written:>6} written  {delivered:>6} delivered  {:>5} behind  {requests:>4} requests  \
         {:>5.2} s CPU  {:>4.1} MiB",
        written.saturating_sub(delivered),
        usage.cpu_seconds,
        usage.memory.resident,
    ))
}
