//! The life of an instance: standard input to segments, until its end.
//!
//! A signal does not end it: httpd sends one at a graceful restart while its old children still write. It reads on until
//! nobody writes any more, up to a bound. It never waits for anything but input, and for room as long as it may. (G6)

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::time::Instant;

use super::inlet::{Inlet, Refusal, Taken};
use super::instance::{Instance, Lost, Room};
use super::portion::{Line, Patience};
use super::signals::{Asked, Signals, timeout};
use super::{Settings, SpoolError};
use crate::layout::Records;

/// How long after a signal others may go on writing: longer than httpd's old children take for a slow answer.
const DRAIN: Duration = Duration::from_secs(120);

/// How long the end of a line is waited for before its beginning is taken. Its writer may be waiting for room meanwhile.
const LINE: Duration = Duration::from_millis(100);

/// How often the rest of a line is looked for, and room in a full spool.
const LOOK: Duration = Duration::from_millis(10);

/// What is to be told while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// These lines, the oldest, were dropped, as the spool was full.
    Dropped(Lost),
    /// These lines were dropped as they came, as the disk is full and the spool holds nothing else.
    Discarded(Lost),
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Nobody writes any more.
    End,
    /// It was asked to, and somebody still wrote after the longest time that it goes on.
    Asked,
}

/// Takes everything from `input` into the spool.
///
/// # Errors
/// If the spool cannot be written to for another reason than that it is full, or `input` cannot be read.
pub fn feed(
    settings: &Settings,
    input: OwnedFd,
    signals: &Signals,
    tell: &mut dyn FnMut(Told),
) -> Result<Fed, SpoolError> {
    // What is taken at once stays in one segment.
    let most = usize::try_from(settings.segment_bytes()).unwrap_or(usize::MAX);
    let mut inlet = Inlet::new(input, most).map_err(SpoolError::Input)?;
    let instance = Instance::begin(settings, inlet.pipe())?;
    inlet.line = instance.line();
    let (wait, records) = (settings.wait, &settings.records);
    let mut feed = Feed {
        wait,
        records,
        signals,
        instance,
        inlet,
        ends: None,
        held: None,
        full: None,
        turns: Turns::Later,
    };
    let fed = feed.run(tell)?;
    feed.instance.seal()?;
    Ok(fed)
}

struct Feed<'a> {
    /// How long to wait for room.
    wait: Duration,
    records: &'a Records,
    signals: &'a Signals,
    instance: Instance,
    inlet: Inlet,
    /// When it ends, once it was asked to.
    ends: Option<Instant>,
    /// Since when the beginning of a line waits for its end.
    held: Option<Instant>,
    /// Since when there is no room.
    full: Option<Instant>,
    turns: Turns,
}

/// When to turn to another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turns {
    /// When the one that is written is large enough.
    Later,
    /// It is; with the record that is there now.
    Now,
}

impl Feed<'_> {
    fn run(&mut self, tell: &mut dyn FnMut(Told)) -> Result<Fed, SpoolError> {
        loop {
            let now = Instant::now();
            if self.ends.is_some_and(|ends| ends <= now) {
                return Ok(Fed::Asked);
            }
            if self.full.is_some() || self.held.is_some() {
                self.pause()?;
            }
            let waiting = if self.inlet.holds_lines() { PollFlags::POLLIN } else { self.hear()? };
            if waiting.is_empty() {
                continue;
            }
            if !self.has_room(tell)? {
                continue;
            }
            let patience = self.patience(waiting);
            let ends = self.instance.is_due() && self.inlet.line == Line::Whole;
            let one = ends.then_some(self.records);
            let Some(mut place) = self.instance.place() else { continue };
            match self.inlet.take(patience, one, &mut place) {
                Ok(Taken::Bytes) => (self.held, self.full) = (None, None),
                Ok(Taken::Record) => self.turns = Turns::Now,
                Ok(Taken::Held) => drop(self.held.get_or_insert_with(Instant::now)),
                Ok(Taken::End) => return Ok(Fed::End),
                Err(Refusal::NoSpace) => self.make_room(tell)?,
                Err(Refusal::Segment(error)) => {
                    return Err(SpoolError::write(self.instance.directory())(error));
                }
                Err(Refusal::Input(error)) => return Err(SpoolError::Input(error)),
            }
        }
    }

    /// Waits until there is input or a signal; says what there is of input.
    fn hear(&mut self) -> Result<PollFlags, SpoolError> {
        let mut polled = [
            PollFd::new(self.inlet.descriptor(), PollFlags::POLLIN),
            PollFd::new(self.signals.descriptor(), PollFlags::POLLIN),
        ];
        let timeout = match self.ends {
            Some(ends) => timeout(ends.saturating_duration_since(Instant::now())),
            None => PollTimeout::NONE,
        };
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(SpoolError::Input(errno.into())),
        }
        let [input, signals] = polled.map(|polled| polled.revents().unwrap_or(PollFlags::empty()));
        if !signals.is_empty() && self.signals.wait(Duration::ZERO)? == Asked::Yes {
            self.ask();
        }
        Ok(input)
    }

    /// Waits for a moment, or for a signal.
    fn pause(&mut self) -> Result<(), SpoolError> {
        if self.signals.wait(LOOK)? == Asked::Yes {
            self.ask();
        }
        Ok(())
    }

    /// Notes that it was asked to end.
    fn ask(&mut self) {
        self.ends.get_or_insert_with(|| Instant::now() + DRAIN);
    }

    fn patience(&self, waiting: PollFlags) -> Patience {
        let is_long = self.held.is_some_and(|since| since.elapsed() >= LINE);
        if is_long || waiting.contains(PollFlags::POLLHUP) { Patience::Spent } else { Patience::Left }
    }

    /// Whether there is a segment to write to. Turns to a new one if this is due, and for that drops an old one, but not
    /// before it has waited for room as long as it may.
    fn has_room(&mut self, tell: &mut dyn FnMut(Told)) -> Result<bool, SpoolError> {
        let is_to_turn = self.turns == Turns::Now || self.instance.is_overdue();
        if self.instance.place().is_some() && !is_to_turn {
            return Ok(true);
        }
        while self.instance.room()? == Room::Full {
            if !self.has_waited() {
                return Ok(false);
            }
            // It can hold no less than what is being written to.
            let Some(lost) = self.instance.drop_oldest()? else { break };
            tell(Told::Dropped(lost));
        }
        match self.instance.turn()? {
            Room::Enough => {
                (self.full, self.turns) = (None, Turns::Later);
                Ok(true)
            }
            Room::Full => {
                self.make_room(tell)?;
                Ok(false)
            }
        }
    }

    /// Whether it has waited for room as long as it may.
    fn has_waited(&mut self) -> bool {
        let since = *self.full.get_or_insert_with(Instant::now);
        since.elapsed() >= self.wait
    }

    /// Makes room on a disk that is full.
    fn make_room(&mut self, tell: &mut dyn FnMut(Told)) -> Result<(), SpoolError> {
        if self.has_waited() {
            match self.instance.drop_oldest()? {
                Some(lost) => tell(Told::Dropped(lost)),
                None => tell(Told::Discarded(self.inlet.discard().map_err(SpoolError::Input)?)),
            }
        }
        Ok(())
    }
}
