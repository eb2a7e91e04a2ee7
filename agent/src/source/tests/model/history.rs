//! What can happen to a log and to the agent that reads it, and random histories of that.
//!
//! Knows nothing of what follows from it. An action that is not possible where it comes does nothing.

use proptest::collection::vec;
use proptest::prelude::*;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// An empty live file appears.
    Create,
    /// Whole lines to the live file, each with this much padding.
    Write {
        lines: u8,
        padding: u16,
    },
    /// Whole lines to the live file that end alike, as those of one client do: the end of one proves no position.
    WriteAlike {
        lines: u8,
    },
    /// A line to the live file that is longer than a block.
    WriteLong,
    /// Whole lines to the file that was rotated last, as by a writer that still has it open.
    WriteOld,
    /// A writer opens the live file, and keeps it open whatever becomes of its name.
    Hold,
    /// A line by that writer, to a file without a name.
    WriteHeld,
    /// Half a line, or the other half.
    WriteHalf,
    /// Every name moves one on, the last is lost, and there is no live file until the next write.
    Rename,
    /// The same, but the live file is copied and emptied.
    Copytruncate,
    /// The first half of that; others may act before the second.
    Copy,
    /// The second half of that.
    Truncate,
    /// Only the second half of the file is cut away.
    TruncatePart,
    /// The same, and at once longer lines stand there than before.
    RewritePart {
        lines: u8,
    },
    /// Emptied under a writer that goes on where it was: NUL bytes stand before its next line.
    TruncateHoled,
    /// Emptied and written again.
    Rewrite {
        lines: u8,
        padding: u16,
    },
    Delete,
    /// Deleted and made again, under the same inode number if nobody has the file open.
    Recreate {
        lines: u8,
    },
    /// A rotated file is replaced by a compressed one.
    Compress,
    /// The live file is moved to another device: copied and deleted.
    Move,
    /// The live file has a second name, or loses it.
    Link,
    /// A symbolic link leads to a new file, as that of `rotatelogs -L`.
    Repoint {
        lines: u8,
    },
    /// A line to the file that the symbolic link leads to.
    WriteLinked,
    /// The live file cannot be opened.
    Forbid,
    /// The disk does not give the bytes of the live file.
    Break,
    /// All can be opened and read again.
    Mend,
    /// The agent looks at all names.
    Look,
    /// The agent hears of what happened, the oldest first, and looks there.
    Hear {
        count: u8,
    },
    /// And looks at all names before.
    Read {
        lines: u8,
    },
    ReadAll,
    /// A part of the grace time passes.
    Pass,
    /// More than the grace time passes.
    Outwait,
    /// The stream takes the oldest spans.
    Ack {
        spans: u8,
    },
    /// The stream takes spans, but the oldest not yet.
    AckLater {
        kept: u8,
        spans: u8,
    },
    /// A checkpoint is written.
    Save,
    /// The agent is killed, and a later start goes on from the last checkpoint.
    Kill,
    /// The agent stops in order: all that it read is safe.
    Stop,
    Start,
    /// The agent is killed, and the devices have other numbers when it starts.
    Reboot,
}

impl Action {
    /// What it is called in the count.
    pub(super) fn name(self) -> String {
        let text = format!("{self:?}");
        text.split(' ').next().unwrap_or_default().to_owned()
    }
}

/// Which files the agent is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The live one by its name.
    Name,
    /// All whose names begin like it.
    Names,
    /// The same in all directories, also on another device.
    Tree,
}

impl Reach {
    pub(super) fn pattern(self) -> &'static str {
        match self {
            Reach::Name => "log",
            Reach::Names => "log*",
            Reach::Tree => "**/log*",
        }
    }
}

/// What happens, in order, to an agent that is running at first.
pub(super) type History = (Reach, Vec<Action>);

pub(super) fn histories() -> impl Strategy<Value = History> {
    let reach = prop_oneof![Just(Reach::Name), Just(Reach::Names), Just(Reach::Tree)];
    (reach, vec(action(), 1..60))
}

fn action() -> impl Strategy<Value = Action> {
    // Most lines are short; some make a head whole at once.
    let padding = prop_oneof![0u16..60, 300u16..700];
    let lines = 1u8..5;
    let writing = prop_oneof![
        300 => (lines.clone(), padding.clone()).prop_map(|(lines, padding)| Action::Write { lines, padding }),
        50 => lines.clone().prop_map(|lines| Action::WriteAlike { lines }),
        1 => Just(Action::WriteLong),
        100 => Just(Action::WriteOld),
        100 => Just(Action::WriteHeld),
        100 => Just(Action::WriteHalf),
        50 => Just(Action::WriteLinked),
        25 => Just(Action::Create),
    ];
    let rotating = prop_oneof![
        4 => Just(Action::Rename),
        2 => Just(Action::Copytruncate),
        3 => Just(Action::Copy),
        2 => Just(Action::Truncate),
        3 => Just(Action::TruncatePart),
        3 => (3u8..6).prop_map(|lines| Action::RewritePart { lines }),
        1 => Just(Action::TruncateHoled),
        2 => (lines.clone(), padding).prop_map(|(lines, padding)| Action::Rewrite { lines, padding }),
        2 => Just(Action::Delete),
        2 => lines.clone().prop_map(|lines| Action::Recreate { lines }),
        1 => Just(Action::Compress),
        2 => Just(Action::Move),
        2 => Just(Action::Link),
        3 => Just(Action::Hold),
        2 => lines.clone().prop_map(|lines| Action::Repoint { lines }),
        1 => Just(Action::Forbid),
        1 => Just(Action::Break),
        1 => Just(Action::Mend),
    ];
    let reading = prop_oneof![
        6 => Just(Action::Look),
        6 => (1u8..8).prop_map(|count| Action::Hear { count }),
        6 => lines.prop_map(|lines| Action::Read { lines }),
        6 => Just(Action::ReadAll),
        2 => Just(Action::Pass),
        2 => Just(Action::Outwait),
        4 => (0u8..4).prop_map(|spans| Action::Ack { spans }),
        2 => (1u8..3, 1u8..3).prop_map(|(kept, spans)| Action::AckLater { kept, spans }),
        4 => Just(Action::Save),
    ];
    // What stops an agent is rare, or it would never come far.
    let running = prop_oneof![
        2 => Just(Action::Kill),
        2 => Just(Action::Stop),
        6 => Just(Action::Start),
        1 => Just(Action::Reboot),
    ];
    prop_oneof![11 => writing, 14 => rotating, 15 => reading, 5 => running]
}
