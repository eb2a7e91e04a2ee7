//! Everything at once for an hour: files that are renamed, compressed, copied and truncated, or get a new name each
//! period, and a stream that is away now and then. What the agent holds must stay what it was, and every line must arrive.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::{Mode, Request};
use kinetail_tests::host::Host;
use kinetail_tests::logrotate::Logrotate;
use kinetail_tests::scene::Scene;
use kinetail_tests::server::{self, GoesOn, Habits, Server};
use kinetail_tests::{usage, wait, writer};
use serde_json::json;
use tokio::runtime;
use tokio::time::Instant;

use crate::figures::{self, Run};

/// Lines a second of each log.
const RATE: u32 = 50;
/// Between two rotations, of one log after the other.
const ROTATED_EVERY: Duration = Duration::from_millis(1500);
/// Between two times that the stream is away, and how long it is.
const AWAY_EVERY: Duration = Duration::from_secs(25);
const AWAY: Duration = Duration::from_secs(6);
/// Between two looks at the agent.
const SAMPLED_EVERY: Duration = Duration::from_millis(500);
/// How long a renamed file is waited for: far less than a quarter of the shortest soak.
const GRACE_MILLIS: u64 = 5000;
/// Files that are kept of a log, in each way to rotate. They outlast the stream's absence.
const KEPT: usize = 12;
/// Numbers of lines for each log.
const NUMBERS: u64 = 1_000_000_000;

/// What may come on top from the second quarter to the last: a share of what was held, and so much.
const SHARE: f64 = 0.1;
const MEMORY_MIB: f64 = 2.0;
const FILES: f64 = 4.0;
const WATCHES: f64 = 0.0;

/// The ways that logs are rotated, each log in a directory of its own. `rotatelogs` has one more.
const LOGROTATE: [(&str, &str, Talk); 3] = [
    ("access_log*", "compress\ndelaycompress\ncreate\npostrotate\ntouch SIGNAL\nendscript", Talk::On),
    ("access_log", "dateext\ncreate\npostrotate\ntouch SIGNAL\nendscript", Talk::On),
    ("access_log", "copytruncate", Talk::Silence),
];
/// The pattern for the log of `rotatelogs`.
const ROTATELOGS: &str = "access_log*";

/// Whether a log is written to while it is rotated.
#[derive(Clone, Copy, Debug)]
enum Talk {
    On,
    /// Otherwise lines would be destroyed, and the books could not balance.
    Silence,
}

/// Lets `binary` run for `minutes`; fails if what it holds grows, or a line is missing or came twice.
pub(crate) fn run(binary: &Path, minutes: u32) -> anyhow::Result<Run> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(soak(binary, Duration::from_secs(60) * minutes))
}

async fn soak(binary: &Path, how_long: Duration) -> anyhow::Result<Run> {
    let scene = Scene::new(Throughput::Unlimited, 4).await?;
    let patterns = LOGROTATE.iter().map(|(pattern, ..)| *pattern).chain([ROTATELOGS]);
    let flows: Vec<_> = (0..)
        .zip(patterns)
        .map(|(log, pattern)| {
            let pattern = Path::new(&name(log)).join(pattern);
            // A finished file is let go at a look at everything: as often as that, what is held is what it stays at.
            let keys = json!({
                "rotationGraceMillis": GRACE_MILLIS,
                "maxTimeBetweenFileTrackerRefreshMillis": GRACE_MILLIS,
            });
            scene.host.flow(&pattern.to_string_lossy(), keys)
        })
        .collect();
    let scene = scene.on(|host| host.with("flows", flows.into()));
    let mut logs = Vec::new();
    for (log, (_, directives, talk)) in (0..).zip(LOGROTATE) {
        logs.push(Log::by_logrotate(&scene.host, log, directives, talk)?);
    }
    logs.push(Log::by_rotatelogs(&scene.host, logs.len() as u64)?);

    let agent = scene.host.start_as(binary)?;
    let mut samples = Vec::new();
    let mut rotations = 0;
    let start = Instant::now();
    let (mut rotate, mut away, mut sample) = (start + ROTATED_EVERY, start + AWAY, start + SAMPLED_EVERY);
    let mut is_away = false;
    while start.elapsed() < how_long {
        let now = Instant::now();
        if now >= rotate {
            rotate += ROTATED_EVERY;
            let turn = rotations % logs.len();
            logs.get_mut(turn).context("each log has its turn")?.rotate()?;
            rotations += 1;
        }
        if now >= away {
            is_away = !is_away;
            away += if is_away { AWAY } else { AWAY_EVERY };
            scene.faults.set(if is_away { Mode::Away } else { Mode::Pass });
        }
        if now >= sample {
            sample += SAMPLED_EVERY;
            samples.push(Sample::of(&agent)?);
        }
        tokio::time::sleep_until(rotate.min(away).min(sample)).await;
    }
    scene.faults.set(Mode::Pass);
    let written = logs.into_iter().map(Log::stop).collect::<anyhow::Result<Vec<_>>>()?;
    let lines = balance(&scene, agent, &written).await?;
    let [memory, files, watches] = [
        Trend::of(&samples, |sample| sample.memory).flat("MiB of memory", MEMORY_MIB)?,
        Trend::of(&samples, |sample| sample.files).flat("open files", FILES)?,
        Trend::of(&samples, |sample| sample.watches).flat("inotify watches", WATCHES)?,
    ];
    Ok(Run::new([
        ("minutes", how_long.as_secs_f64() / 60.0),
        ("lines", lines as f64),
        ("rotations", rotations as f64),
        ("rss_second_quarter_mib", memory.second),
        ("rss_last_quarter_mib", memory.last),
        ("open_files_second_quarter", files.second),
        ("open_files_last_quarter", files.last),
        ("watches_second_quarter", watches.second),
        ("watches_last_quarter", watches.last),
    ]))
}

/// Waits until all that was written has arrived, and stops the agent; says how many lines that were.
async fn balance(scene: &Scene, agent: Agent, written: &[(u64, u64)]) -> anyhow::Result<u64> {
    let lines = written.iter().map(|(first, next)| next - first).sum::<u64>();
    let arrived = wait::until("every line has arrived", 2 * wait::LONG, async || {
        Ok(scene.faults.look(|requests| taken(requests).len() as u64 >= lines).then_some(()))
    });
    let arrived = arrived.await;
    agent.stop().await?;

    let metrics = scene.host.metrics()?.context("nothing is published")?;
    let taken = scene.faults.look(taken);
    let is_ours = |number: &u64| written.iter().any(|(first, next)| (*first..*next).contains(number));
    let foreign = taken.keys().filter(|number| !is_ours(number)).count() as u64;
    let missing = lines + foreign - taken.len() as u64;
    let first_missing =
        written.iter().flat_map(|(first, next)| *first..*next).find(|number| !taken.contains_key(number));
    let repeated: u64 = taken.values().map(|times| times - 1).sum();
    // A connection that is cut takes the answers with it.
    let possible = metrics.sum("kinetail_records_possibly_repeated_total")?;
    anyhow::ensure!(
        missing == 0 && foreign == 0 && repeated <= possible,
        "{lines} lines written, {missing} missing (the first is {first_missing:?}), {foreign} foreign, {repeated} repeated \
         where {possible} may be; {}",
        scene.host.agent_log()
    );
    arrived.with_context(|| scene.host.agent_log())?;
    metrics.balance()?;
    Ok(lines)
}

/// How often each line was taken, by its number.
fn taken(requests: &[Request]) -> BTreeMap<u64, u64> {
    let mut taken = BTreeMap::new();
    for entry in requests.iter().flat_map(|request| &request.entries).filter(|entry| entry.taken) {
        *taken.entry(writer::number(&entry.data).unwrap_or(u64::MAX)).or_default() += 1;
    }
    taken
}

/// The directory of a log.
fn name(log: u64) -> String {
    format!("server-{log}")
}

/// A log that is written to and rotated.
struct Log {
    directory: PathBuf,
    first: u64,
    server: Server,
    rotator: Rotator,
}

enum Rotator {
    Logrotate(Logrotate, Talk),
    /// It rotates by itself; what is too old is removed.
    Rotatelogs(Child),
}

impl Log {
    fn by_logrotate(host: &Host, log: u64, directives: &str, talk: Talk) -> anyhow::Result<Log> {
        let directory = host.log(&name(log));
        let tool = host.path().join(name(log));
        fs::create_dir(&directory)?;
        fs::create_dir(&tool)?;
        let path = directory.join("access_log");
        let text = format!("\"{}\" {{\nrotate {KEPT}\n{directives}\n}}\n", path.display());
        let text = text.replace("SIGNAL", &server::signal(&path).display().to_string());
        let rotator = Rotator::Logrotate(Logrotate::new(&tool, &text)?.daily(), talk);
        let habits = habits(log);
        Ok(Log { directory, first: habits.first, server: Server::to_file(&path, habits)?, rotator })
    }

    fn by_rotatelogs(host: &Host, log: u64) -> anyhow::Result<Log> {
        let directory = host.log(&name(log));
        fs::create_dir(&directory)?;
        let mut child = Command::new("/usr/bin/rotatelogs")
            .arg(directory.join("access_log"))
            .arg("3")
            .stdin(Stdio::piped())
            .spawn()
            .context("failed to start rotatelogs: `apt-get install apache2-utils` has it")?;
        let pipe = child.stdin.take().context("it has a pipe")?;
        let habits = habits(log);
        let first = habits.first;
        let server = Server::to_pipe(pipe, habits)?;
        Ok(Log { directory, first, server, rotator: Rotator::Rotatelogs(child) })
    }

    fn rotate(&mut self) -> anyhow::Result<()> {
        match &mut self.rotator {
            Rotator::Logrotate(logrotate, Talk::On) => logrotate.run(),
            Rotator::Logrotate(logrotate, Talk::Silence) => self.server.silent(|| logrotate.run()),
            Rotator::Rotatelogs(_) => {
                let names = fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.path()));
                let mut names = names.collect::<anyhow::Result<Vec<_>>>()?;
                // They end in the time of their beginning.
                names.sort_unstable();
                let old = names.len().saturating_sub(KEPT);
                names.into_iter().take(old).try_for_each(fs::remove_file)?;
                Ok(())
            }
        }
    }

    /// Ends what writes; says which numbers its lines have, from and to.
    fn stop(self) -> anyhow::Result<(u64, u64)> {
        let next = self.server.stop()?;
        if let Rotator::Rotatelogs(mut child) = self.rotator {
            let status = child.wait()?;
            anyhow::ensure!(status.success(), "rotatelogs ended with {status}");
        }
        Ok((self.first, next))
    }
}

fn habits(log: u64) -> Habits {
    let goes_on = GoesOn::AtOnce;
    Habits { rate: RATE, first: log * NUMBERS, lingering: Duration::from_secs(1), goes_on }
}

/// What the agent holds at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    memory: f64,
    files: f64,
    watches: f64,
}

impl Sample {
    fn of(agent: &Agent) -> anyhow::Result<Sample> {
        let pid = agent.pid();
        Ok(Sample {
            memory: usage::memory(pid)?.resident,
            files: usage::descriptors(pid)? as f64,
            watches: usage::inotify_watches(pid)? as f64,
        })
    }
}

/// The medians of the second quarter and of the last. In the first everything is used for the first time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Trend {
    second: f64,
    last: f64,
}

impl Trend {
    fn of<T>(samples: &[T], value: impl Fn(&T) -> f64) -> Trend {
        let quarter = samples.len() / 4;
        let median = |from: usize| {
            let mut values: Vec<f64> = samples.iter().skip(from).take(quarter).map(&value).collect();
            values.sort_by(f64::total_cmp);
            figures::quantile(&values, 0.5)
        };
        Trend { second: median(quarter), last: median(samples.len() - quarter) }
    }

    /// The same if the last is not more than the second with a share of it and `more` on top.
    fn flat(self, what: &str, more: f64) -> anyhow::Result<Trend> {
        let Trend { second, last } = self;
        let most = second * (1.0 + SHARE) + more;
        anyhow::ensure!(
            last <= most,
            "the agent had {second:.1} {what} in the second quarter and {last:.1} in the last, where {most:.1} may be"
        );
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(samples: &[f64], second: f64, last: f64, is_flat: bool) {
        let trend = Trend::of(samples, |sample| *sample);
        assert_eq!(trend, Trend { second, last });
        assert_eq!(trend.flat("things", 1.0).is_ok(), is_flat);
    }

    #[test]
    fn growth_is_told_from_waves_and_from_the_beginning() {
        check(&[0.0, 0.0, 10.0, 30.0, 0.0, 0.0, 30.0, 10.0], 20.0, 20.0, true);
        check(&[90.0, 90.0, 10.0, 10.0, 50.0, 50.0, 12.0, 12.0], 10.0, 12.0, true);
        check(&[0.0, 0.0, 10.0, 10.0, 11.0, 11.0, 12.1, 12.1], 10.0, 12.1, false);
        check(&[0.0, 0.0, 20.0, 20.0, 10.0, 10.0, 5.0, 5.0, 5.0], 20.0, 5.0, true);
    }
}
