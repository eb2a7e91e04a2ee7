//! Random histories of writing, rotating, truncating, killing and starting again, against an exact model.
//!
//! The same histories happen on a simulated file system, by the hundred thousand and with what no real one does on
//! demand, and on the real one, where the kernel's own behaviour matters.

mod books;
mod file;
mod found;
mod history;
mod host;
mod lines;

use std::collections::BTreeMap;
use std::{panic, thread};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::simulated::Refusal;
use crate::position::Generation;
use crate::source::discover::Scope;
use crate::source::identity;
use books::Books;
use file::Piece;
use found::FOUND;
use history::{Action, History, Reach};
use host::{Host, LINK, LIVE, OLD};

/// Longer than a block of the reader.
const LONG: u32 = 300_000;

struct Model {
    host: Host,
    books: Books,
    agent: Agent,
    /// The last checkpoint.
    saved: Vec<Generation>,
    /// How often each action was possible and done.
    occurred: Counts,
}

/// How often something occurred, by its name.
type Counts = BTreeMap<String, u64>;

/// How the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agent {
    Up,
    Down { was_killed: bool, was_rebooted: bool },
}

impl Model {
    fn new(mut host: Host) -> Model {
        let saved = host.stage.known();
        Model { host, books: Books::default(), agent: Agent::Up, saved, occurred: BTreeMap::new() }
    }

    fn run(&mut self, actions: &[Action]) {
        for action in actions {
            if self.act(*action) {
                *self.occurred.entry(action.name()).or_default() += 1;
                self.host.stage.hear();
                self.books.judge(&self.host);
            }
        }
        if self.agent != Agent::Up {
            self.start();
        }
        self.outwait();
    }

    /// Lets it happen; says whether that was possible.
    fn act(&mut self, action: Action) -> bool {
        let is_live = self.host.live().is_some();
        let is_up = self.agent == Agent::Up;
        match action {
            Action::Create if !is_live => self.host.create(),
            Action::Write { lines, padding } => self.host.write(LIVE, lines, padding.into()),
            Action::WriteAlike { lines } => self.host.write_alike(lines),
            Action::WriteLong => self.host.write(LIVE, 1, LONG),
            Action::WriteOld if self.host.at(OLD).is_some_and(|old| !self.host.files[old].is_copy) => {
                self.host.write(OLD, 1, 0);
            }
            Action::Hold if is_live => self.host.hold(),
            Action::WriteHeld => return self.host.write_held(),
            Action::WriteHalf => self.host.write_half(LIVE),
            Action::Rename if is_live => self.host.rename_live(),
            Action::Copytruncate if is_live => {
                self.copy();
                self.truncate();
            }
            Action::Copy if is_live => self.copy(),
            Action::Truncate if is_live => self.truncate(),
            Action::TruncatePart if is_live => self.truncate_part(),
            Action::RewritePart { lines } if is_live => {
                self.truncate_part();
                self.host.write(LIVE, lines, 700);
            }
            Action::TruncateHoled if is_live => {
                let live = self.host.live().unwrap();
                let len = self.host.size(live);
                self.books.hole(&self.host);
                self.truncate();
                self.host.leave_hole(len);
                self.host.write(LIVE, 1, 0);
            }
            Action::Rewrite { lines, padding } if is_live => {
                self.truncate();
                self.host.write(LIVE, lines, padding.into());
            }
            Action::Delete if is_live => {
                self.books.changed();
                self.host.remove(LIVE);
            }
            Action::Recreate { lines } if is_live => {
                self.books.changed();
                self.host.remove(LIVE);
                self.host.write(LIVE, lines, 0);
            }
            Action::Compress => {
                let is_done = self.host.compress();
                self.books.compressed(&self.host);
                return is_done;
            }
            Action::Move if is_live => {
                let live = self.host.live().unwrap();
                let copy = self.host.move_live();
                self.books.copied(&self.host, copy, live);
            }
            Action::Link if self.host.at(LINK).is_some() => self.host.remove(LINK),
            Action::Link if is_live => self.host.link(),
            Action::Repoint { lines } => return self.host.repoint(lines),
            Action::WriteLinked => return self.host.write_linked(),
            Action::Forbid => return self.refuse(Refusal::Open),
            Action::Break => return self.refuse(Refusal::Read),
            Action::Mend => self.host.mend(),
            Action::Look if is_up => self.look(),
            Action::Hear { count } if is_up => return self.hear(count),
            Action::Read { lines } if is_up => {
                self.look();
                self.host.stage.read(lines.into());
            }
            Action::ReadAll if is_up => {
                self.look();
                self.host.stage.read_all();
            }
            Action::Pass => self.host.stage.pass(super::stage::GRACE / 3),
            Action::Outwait if is_up => self.outwait(),
            Action::Ack { spans } if is_up => self.host.stage.books.ack(spans.into()),
            Action::AckLater { kept, spans } if is_up => {
                self.host.stage.books.ack_behind(kept.into(), spans.into());
            }
            Action::Save if is_up => self.save(),
            Action::Kill if is_up => self.stop(true, false),
            Action::Stop if is_up => {
                self.host.stage.books.ack(usize::MAX);
                self.save();
                self.stop(false, false);
            }
            Action::Start if !is_up => self.start(),
            Action::Reboot if self.host.is_simulated() => {
                let was_killed = !matches!(self.agent, Agent::Down { was_killed: false, .. });
                self.stop(was_killed, true);
                self.host.reboot();
            }
            Action::Create
            | Action::WriteOld
            | Action::Hold
            | Action::Rename
            | Action::Copytruncate
            | Action::Copy
            | Action::Truncate
            | Action::TruncatePart
            | Action::RewritePart { .. }
            | Action::TruncateHoled
            | Action::Rewrite { .. }
            | Action::Delete
            | Action::Recreate { .. }
            | Action::Move
            | Action::Link
            | Action::Look
            | Action::Hear { .. }
            | Action::Read { .. }
            | Action::ReadAll
            | Action::Outwait
            | Action::Ack { .. }
            | Action::AckLater { .. }
            | Action::Save
            | Action::Kill
            | Action::Stop
            | Action::Start
            | Action::Reboot => return false,
        }
        true
    }

    fn refuse(&mut self, refusal: Refusal) -> bool {
        self.books.refused(&self.host);
        self.host.refuse(refusal)
    }

    fn copy(&mut self) {
        let live = self.host.live().unwrap();
        let copy = self.host.copy_live();
        self.books.copied(&self.host, copy, live);
    }

    fn truncate(&mut self) {
        self.books.changed();
        self.host.truncate(0, 0);
    }

    /// Cuts away the second half of the live file, at the end of a line.
    fn truncate_part(&mut self) {
        let live = self.host.live().unwrap();
        let half = self.host.size(live) / 2;
        let (mut pieces, mut len, mut before) = (0, 0, 0);
        for (number, piece) in self.host.files[live].pieces.iter().enumerate() {
            before += self.host.lines.text_of(*piece).len();
            if before <= half && matches!(piece, Piece::Line(_)) {
                (pieces, len) = (number + 1, before);
            }
        }
        self.books.changed();
        self.books.cut(&self.host, pieces, len);
        self.host.truncate(pieces, len);
    }

    /// The source looks, and knows from then on what there is.
    fn look(&mut self) {
        self.books.look(&mut self.host, &Scope::Everything);
        self.host.stage.look();
    }

    /// The source looks where it was told to, and reads on there.
    fn hear(&mut self, count: u8) -> bool {
        let Some(scope) = self.host.stage.look_where_told(count.into()) else { return false };
        self.books.look(&mut self.host, &scope);
        self.host.stage.read(1);
        true
    }

    fn outwait(&mut self) {
        self.host.mend();
        self.look();
        self.host.stage.outwait();
        self.books.judge(&self.host);
        self.books.all_came(&self.host);
        self.host
            .files
            .iter_mut()
            .for_each(|file| (file.known, file.follows, file.saved) = (false, false, None));
        self.look();
    }

    fn save(&mut self) {
        self.saved = self.host.stage.known();
        self.books.save(&mut self.host);
        for file in &mut self.host.files {
            let is_it = |saved: &&Generation| (saved.identity.device, saved.identity.inode) == file.inode;
            file.saved =
                self.saved.iter().rfind(is_it).filter(|_| file.known).map(|saved| saved.identity.head);
        }
    }

    fn stop(&mut self, was_killed: bool, was_rebooted: bool) {
        self.agent = Agent::Down { was_killed, was_rebooted };
        self.host.stage.kill();
    }

    fn start(&mut self) {
        let Agent::Down { was_killed, was_rebooted } = self.agent else { return };
        self.agent = Agent::Up;
        self.books.start(&mut self.host, was_killed, was_rebooted);
        self.host.stage.restart(self.saved.clone());
        self.save();
        self.look();
    }
}

/// How many histories happen on simulated files, and on real ones.
fn cases() -> (u32, u32) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.map_or((200_000, 2_000), |simulated: u32| (simulated, simulated / 10))
}

/// Lets `cases` histories happen, the same each time, so that a change is to blame when one fails; others when a number of
/// them is asked for. Gives how often each action occurred and each row of the identity table applied.
fn play(cases: u32, seed: u8, host: fn(Reach) -> Host) -> Result<(Counts, Counts), String> {
    let config =
        ProptestConfig { cases, max_shrink_iters: 20_000, ..ProptestConfig::with_source_file(file!()) };
    let mut runner = if std::env::var_os("PROPTEST_CASES").is_some() {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
    };
    let mut occurred = Counts::new();
    let counts = std::cell::RefCell::new(&mut occurred);
    let result = runner.run(&history::histories(), |(reach, actions): History| {
        let mut model = Model::new(host(reach));
        model.run(&actions);
        for (name, times) in model.occurred {
            *counts.borrow_mut().entry(name).or_default() += times;
        }
        Ok(())
    });
    result.map_err(|error| error.to_string())?;
    Ok((occurred, identity::rows::take()))
}

#[expect(clippy::print_stdout, reason = "how often each action occurred is part of what the test has to say")]
#[test]
fn no_history_loses_repeats_or_invents_a_line() {
    let cases = cases().0;
    let players: Vec<_> = (0..PLAYERS)
        .map(|seed| thread::spawn(move || play(cases / u32::from(PLAYERS), seed, Host::simulated)))
        .collect();
    let mut occurred = Counts::new();
    let mut rows = Counts::new();
    for player in players {
        let (more_occurred, more_rows) = player.join().unwrap().unwrap();
        more_occurred.into_iter().for_each(|(name, times)| *occurred.entry(name).or_default() += times);
        more_rows.into_iter().for_each(|(name, times)| *rows.entry(name).or_default() += times);
    }
    println!("{cases} histories: {occurred:#?} {rows:#?}");
    let is_rare = |times: &u64| *times < u64::from(cases) / 200;
    assert!(occurred.len() == ACTIONS && !occurred.values().any(is_rare), "too rare: {occurred:?}");
    assert!(rows.values().filter(|times| !is_rare(times)).count() >= ROWS, "too rare: {rows:?}");
}

/// How many threads share the histories. Each has a seed of its own, so that another number means other histories.
const PLAYERS: u8 = 2;

/// How many kinds of action there are.
const ACTIONS: usize = 39;

/// How many rows of the identity table a source comes upon: the same inode untouched or changed in three ways, the same
/// number on another device, which is the same file or none that is known, and another inode in four ways.
const ROWS: usize = 10;

#[test]
fn no_history_that_once_failed_does_again() {
    for (about, reach, actions) in FOUND {
        let result = panic::catch_unwind(|| Model::new(Host::simulated(*reach)).run(actions));
        assert!(result.is_ok(), "{about}: {reach:?}, {actions:?}");
    }
}

#[test]
fn no_history_on_real_files_does_either() {
    play(cases().1, 0, Host::real).unwrap();
}
