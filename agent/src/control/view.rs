//! What an operator is shown: numbers and sentences, of the agent, its flows, and their files. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::position::Offset;
use crate::source::{self, AmendError, Amended, Explanation, Lane, Listed, Looks, Stage};

/// How everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub agent: Agent,
    /// Its flows, in the order of the configuration.
    pub flows: Vec<Flow>,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// The version of kinetail.
    pub version: String,
    /// Its number.
    pub pid: u32,
    /// How long it has been running.
    pub uptime_seconds: u64,
    /// Where its state is.
    pub state_directory: PathBuf,
    /// What it does.
    pub run: Run,
    /// How much memory the whole process takes up, in bytes; nothing if the system does not say.
    #[serde(default)]
    pub resident_bytes: Option<u64>,
}

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Run {
    /// It reads and sends.
    Running,
    /// It was asked to stop and sends what it has read.
    Stopping,
}

/// How a flow is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// How commands name it.
    pub name: String,
    /// Whom its positions belong to.
    pub id: String,
    /// Where it sends to.
    pub stream: String,
    /// Bytes not read yet.
    pub lag_bytes: u64,
    /// How long the oldest record on its way has been waiting.
    pub oldest_undelivered_seconds: u64,
    /// Bytes of the lag that are in rotated files.
    pub backlog_bytes: u64,
    /// The rotated files that they are in.
    pub backlog_files: u64,
    /// Those of these files that are compressed.
    pub backlog_files_compressed: u64,
    /// Bytes read in a second, over the last minute.
    pub bytes_per_second: u64,
    /// How long it takes at this rate until everything is read; nothing if the lag does not become less.
    pub seconds_left: Option<u64>,
    /// Lines read since the start.
    pub lines_read: u64,
    /// Records that the stream has taken.
    pub records_acked: u64,
    /// Records read that are neither acked nor dropped.
    pub unacked_records: u64,
    /// Records that a crash would send again.
    pub repeatable_records: u64,
    /// Lines put into the quarantine, by reason.
    #[serde(default)]
    pub lines_quarantined: BTreeMap<String, u64>,
    /// Lines that are in the quarantine now, also from earlier runs.
    #[serde(default)]
    pub quarantined_lines: u64,
    /// Lines left behind, by reason.
    pub lines_dropped: BTreeMap<String, u64>,
    /// Files held open.
    pub open_files: u64,
    /// What it holds of the memory for lines.
    #[serde(default)]
    pub memory: Memory,
    /// What its stream made of what it was offered.
    #[serde(default)]
    pub delivery: Delivery,
    /// What is wrong with the stream, or was a moment ago.
    pub trouble: Option<Trouble>,
    /// How the flow hears of its files; nothing if its reader does not answer.
    pub watching: Option<Watching>,
    /// Its files, those most behind first.
    pub files: Vec<File>,
    /// How many more there are.
    pub files_left_out: usize,
}

/// What a flow holds of the memory for lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Bytes of lines and records that are not dealt with.
    pub held_bytes: u64,
    /// How many it may hold.
    pub share_bytes: u64,
}

/// What a stream made of what it was offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Calls since the start.
    pub requests: u64,
    /// Those that failed as a whole, by code.
    pub requests_failed: BTreeMap<String, u64>,
    /// Records that were refused for now, by code. Each is offered again.
    pub records_refused: BTreeMap<String, u64>,
    /// Records that were offered again though the stream may have taken them.
    pub records_possibly_repeated: u64,
    /// Bytes that the stream took in a second, over the last minute.
    pub bytes_per_second: u64,
    /// How many records of a request are offered in a second at most; nothing if all there are.
    pub entries_per_second_limit: Option<u64>,
    /// How long the longest of its waits goes on; nothing if none waits.
    pub wait_millis: Option<u64>,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// What it said last.
    pub error: String,
    /// How long ago it began.
    pub began_seconds_ago: u64,
    /// How long ago it showed last.
    pub last_seconds_ago: u64,
}

/// How a flow hears of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Watching {
    /// Every directory tells of itself.
    Notified,
    /// Some do not: everything is looked at each second.
    EverySecond,
}

/// How far one file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its name; what is not UTF-8 in it is replaced.
    pub path: String,
    /// Its file system.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// What its lines say that they are from.
    pub mark: Option<String>,
    /// How far it is read; nothing if only the checkpoint is known.
    pub read: Option<u64>,
    /// How far it is delivered and needs no reading after a crash; nothing if that is not known.
    pub safe: Option<u64>,
    /// How many bytes it has, or had when it was last seen.
    pub size: u64,
    /// Bytes that are not read, or not delivered if only the checkpoint is known.
    pub behind: u64,
    /// `live` or `backlog`.
    pub lane: String,
    /// `read`, `leaving`, `finished` or `remembered`.
    pub stage: String,
}

/// What a flow makes of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The flow's name.
    pub flow: String,
    /// Whether the flow reads it.
    pub is_read: bool,
    /// Why it does or does not.
    pub why: String,
    /// What is there now; nothing if it cannot be opened.
    pub looks: Option<Look>,
    /// Whom it is taken for; nothing if nothing that is known is like it.
    pub kin: Option<Kin>,
}

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// Its file system.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The checksum of its first bytes.
    pub head_crc: u32,
    /// How many these are.
    pub head_bytes: u16,
    /// How many bytes it has.
    pub size: u64,
}

/// The known file that another is taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kin {
    /// The known file.
    pub file: File,
    /// Which row of the identity table applied, as a sentence.
    pub row: String,
}

/// Which lines of the quarantine are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Picked {
    /// Of the flow with this name or id; of all if there is none.
    pub flow: Option<String>,
    /// Kept for this reason; for any if there is none.
    pub reason: Option<String>,
}

/// What became of one round of lines that were to be sent after all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// In the stream, and in the quarantine no more.
    pub sent: u64,
    /// They do not match now either.
    pub unmatched: u64,
    /// The stream refuses their records.
    pub refused: u64,
    /// On their way; they leave the quarantine as the stream takes them.
    pub waiting: u64,
    /// There is no room for them, as the stream takes nothing.
    pub held_up: u64,
    /// No flow reads their files or sends to their stream any more.
    pub unclaimed: u64,
    /// The last that was looked at; nothing if there are no more.
    pub next: Option<u64>,
}

impl Replayed {
    /// Counts records of which `sent` and `refused` are known, or nothing yet.
    pub fn count(&mut self, records: u64, known: Option<(u64, u64)>) {
        match known {
            Some((sent, refused)) => {
                self.sent += sent;
                self.refused += refused;
            }
            None => self.waiting += records,
        }
    }
}

/// What became of a wish to change a flow's place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amendment {
    /// The flow's name.
    pub flow: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is as wished.
    Done {
        /// How far the file was read; nothing if it was not known.
        before: Option<u64>,
        /// From where it is read now; nothing if it is not read any more.
        now: Option<u64>,
        /// How many bytes it has; nothing if it is gone.
        size: Option<u64>,
        /// What that means for its lines.
        consequence: String,
    },
    /// Nothing was changed.
    Refused {
        /// Why.
        reason: String,
    },
}

impl File {
    /// What is told of a file, of which `safe` is known to be delivered.
    #[must_use]
    pub fn new(listed: &Listed, safe: Option<Offset>) -> File {
        let Listed { generation, stage, lane } = listed;
        let stage = match stage {
            Stage::Read => "read",
            Stage::Leaving => "leaving",
            Stage::Finished => "finished",
            Stage::Remembered => "remembered",
        };
        let lane = match lane {
            Lane::Live => "live",
            Lane::Backlog { .. } => "backlog",
        };
        File {
            path: generation.path.to_string_lossy().into_owned(),
            device: generation.identity.device,
            inode: generation.identity.inode,
            mark: generation.mark.map(|mark| mark.to_string()),
            read: Some(generation.position.offset.to_raw()),
            safe: safe.map(Offset::to_raw),
            size: generation.size,
            behind: listed.behind(),
            lane: lane.to_owned(),
            stage: stage.to_owned(),
        }
    }

    /// What the checkpoint tells of a file.
    #[must_use]
    pub fn saved(listed: &Listed) -> File {
        File { read: None, ..File::new(listed, Some(listed.generation.position.offset)) }
    }
}

impl Explained {
    /// What the flow called `flow` makes of a path; `file` says what is told of the file that it is taken for.
    #[must_use]
    pub fn new(flow: &str, explanation: &Explanation, file: impl FnOnce(&Listed) -> File) -> Explained {
        let Explanation { looks, kin, is_read, why } = explanation;
        let look = |Looks { identity, size }: Looks| Look {
            device: identity.device,
            inode: identity.inode,
            head_crc: identity.head.crc,
            head_bytes: identity.head.len,
            size,
        };
        let kin = kin
            .as_ref()
            .map(|source::Kin { file: listed, row }| Kin { file: file(listed), row: (*row).to_owned() });
        Explained { flow: flow.to_owned(), is_read: *is_read, why: why.clone(), looks: looks.map(look), kin }
    }
}

impl Amendment {
    /// What became of a wish to the flow called `flow`.
    #[must_use]
    pub fn new(flow: &str, result: Result<Amended, AmendError>) -> Amendment {
        let outcome = match result {
            Ok(amended) => Outcome::Done {
                before: amended.before.map(Offset::to_raw),
                now: amended.now.map(Offset::to_raw),
                size: amended.size,
                consequence: amended.consequence(),
            },
            Err(error) => Outcome::Refused { reason: Chain(&error).to_string() },
        };
        Amendment { flow: flow.to_owned(), outcome }
    }
}
