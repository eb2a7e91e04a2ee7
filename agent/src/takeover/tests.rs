//! Stores as the Java agent leaves them, held against real files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::*;
use crate::position::Offset;
use crate::source::{Content, Kind, Stat, System};

/// The schema of the Java agent 2.0, as `.schema` prints it.
const SCHEMA: &str = "CREATE TABLE FILE_CHECKPOINTS (flow text, path text, fileId text, lastModifiedTime bigint, \
                      size bigint, offset bigint, lastUpdated datetime, primary key (flow, path))";

/// The host's file system with a change.
#[derive(Clone, Debug, Default)]
struct Changed {
    /// When every file was made, in nanoseconds since the epoch.
    born: u64,
    /// What cannot be opened.
    refused: Option<PathBuf>,
}

impl Disk for Changed {
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        System.stat(path).map(|stat| Stat { born: self.born, ..stat })
    }

    fn stat_link(&self, path: &Path) -> io::Result<Stat> {
        System.stat_link(path)
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        System.real_path(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<io::Result<(OsString, Kind)>>> {
        System.list(directory)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn Content>> {
        if self.refused.as_deref() == Some(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        System.open(path)
    }
}

/// A directory with logs, and another with a store.
struct Stage {
    logs: TempDir,
    store: TempDir,
    disk: Changed,
}

impl Stage {
    fn new() -> Stage {
        let stage = Stage {
            logs: tempfile::tempdir().unwrap(),
            store: tempfile::tempdir().unwrap(),
            disk: Changed::default(),
        };
        stage.connection().execute(SCHEMA, ()).unwrap();
        stage
    }

    fn store(&self) -> PathBuf {
        self.store.path().join("checkpoints")
    }

    fn connection(&self) -> Connection {
        Connection::open(self.store()).unwrap()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    /// Writes a file that was modified at this second.
    fn write(&self, name: &str, text: &str, second: u64) {
        fs::write(self.log(name), text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        File::options().write(true).open(self.log(name)).unwrap().set_modified(time).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        #[expect(clippy::disallowed_methods, reason = "a log that is rotated need not survive a power cut")]
        fs::rename(self.log(from), self.log(to)).unwrap();
    }

    fn id(&self, pattern: &str) -> FlowId {
        FlowId::new("kinesis:s", self.log(pattern).to_str().unwrap())
    }

    /// Adds a row of the flow `pattern` for a file that is there, as it is now; the row was written at this second.
    fn row(&self, pattern: &str, name: &str, offset: u64, second: u32) {
        let metadata = fs::metadata(self.log(name)).unwrap();
        let file_id = format!("(dev={:x},ino={})", metadata.dev(), metadata.ino());
        let modified = metadata.mtime() * 1000;
        let updated = format!("2026-01-02 03:04:{second:02}.500");
        let path = self.log(name);
        self.connection()
            .execute(
                "INSERT INTO FILE_CHECKPOINTS VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    self.id(pattern).as_str(),
                    path.to_str().unwrap(),
                    file_id,
                    modified,
                    metadata.size().cast_signed(),
                    offset.cast_signed(),
                    updated
                ],
            )
            .unwrap();
    }

    /// Everything in the store's directory, byte by byte.
    fn bytes(&self) -> Vec<(OsString, Vec<u8>)> {
        let entries = fs::read_dir(self.store.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut files: Vec<_> =
            entries.map(|name| (name.clone(), fs::read(self.store.path().join(name)).unwrap())).collect();
        files.sort();
        files
    }

    fn take(&self, pattern: &str) -> Result<Takeover, StoreError> {
        let (id, parsed) = (self.id(pattern), Pattern::parse(self.log(pattern).to_str().unwrap()).unwrap());
        let before = self.bytes();
        let taken = take(&self.store(), &[(&id, &parsed)], &self.disk);
        assert_eq!(self.bytes(), before, "reading has left a trace");
        taken
    }

    /// What is told of the flow `pattern` with a row of `a` at 4, where it is not asked for.
    fn foreign(&self, pattern: &str) -> String {
        let told = "not taken over from a@4: no flow of the configuration has this id";
        self.short(&format!("{}: {told}", self.id(pattern)))
    }

    /// A text without the directory of the logs.
    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.logs.path().display()), "")
    }

    /// What is known of the flow `pattern` after a takeover, and what is told of it.
    #[track_caller]
    fn check(&self, pattern: &str, known: &[(&str, u64)], told: &[&str]) {
        let taken = self.take(pattern).unwrap();
        let files = taken.flows.iter().flat_map(|(_, files)| files);
        let mut found: Vec<(PathBuf, Offset)> =
            files.map(|file| (file.path.clone(), file.position.offset)).collect();
        found.sort();
        let known: Vec<_> =
            known.iter().map(|(name, offset)| (self.log(name), Offset::from_raw(*offset))).collect();
        assert_eq!(found, known);
        let flow = format!("{}: ", self.id(pattern));
        let short = |finding: &Finding| {
            let text = finding.to_string();
            self.short(text.strip_prefix(&flow).unwrap_or(&text))
        };
        assert_eq!(taken.findings.iter().map(short).collect::<Vec<_>>(), told);
    }

    #[track_caller]
    fn check_error(&self, expected: &str, can_be_mended: bool) {
        let error = self.take("a*").unwrap_err();
        assert_eq!(error.to_string().replace(&self.store().display().to_string(), "STORE"), expected);
        assert_eq!(error.can_be_mended(), can_be_mended);
    }
}

#[test]
fn a_file_goes_on_where_the_java_agent_stopped() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    stage.check("a*", &[("a", 4)], &["taken over from a@4"]);
}

#[test]
fn what_is_taken_over_is_proved_by_head_and_tail() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\nthree\n", 10);
    stage.row("a*", "a", 8, 0);
    let taken = stage.take("a*").unwrap();
    let file = &taken.flows[0].1[0];
    assert_eq!(file.identity.head, crate::position::Head::of(b"one\ntwo\nthree\n"));
    assert_eq!(file.position.tail, crate::position::Tail::of(b"one\ntwo\n"));
    assert_eq!(file.identity.inode, fs::metadata(stage.log("a")).unwrap().ino());
}

#[test]
fn a_file_that_was_rotated_since_is_found_by_its_inode() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    stage.row("a", "a", 4, 0);
    stage.rename("a", "a.1");
    stage.write("a", "three\n", 20);
    let [one, many] = ["a", "a*"].map(|pattern| stage.foreign(pattern));
    let newer = "1 newer file(s) that waited for the Java agent are read from their beginning, among them a";
    stage.check("a*", &[("a.1", 4)], &["taken over from a@4, which is a.1 now", newer, &one]);
    stage.check("a", &[("a.1", 4)], &["taken over from a@4, which is a.1 now", newer, &many]);
}

#[test]
fn older_files_without_a_row_count_as_read() {
    let stage = Stage::new();
    stage.write("a.2", "one\ntorn", 5);
    stage.write("a.1", "one\n", 6);
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    let older = "2 older file(s) that the Java agent was done with count as read to their end";
    stage.check("a*", &[("a", 4), ("a.1", 4), ("a.2", 4)], &["taken over from a@4", older]);
}

#[test]
fn what_was_written_to_since_the_row_is_read() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    stage.write("ab", "one\n", 11);
    // By now the file of the row is the newest, but that does not make the other older than the row.
    stage.write("a", "one\ntwo\nthree\n", 12);
    let newer = "1 newer file(s) that waited for the Java agent are read from their beginning, among them ab";
    stage.check("a*", &[("a", 4)], &["taken over from a@4", newer]);
}

#[test]
fn of_several_rows_the_latest_counts_and_the_others_prove_other_files() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.write("ab", "one\ntwo\nthree\n", 20);
    stage.row("a*", "ab", 8, 1);
    stage.row("a*", "a", 4, 2);
    stage.check("a*", &[("a", 4), ("ab", 8)], &["taken over from a@4", "taken over from ab@8"]);
}

#[test]
fn a_row_of_another_file_proves_nothing_where_that_has_moved() {
    let stage = Stage::new();
    stage.write("ab", "one\ntwo\nthree\n", 5);
    stage.row("a*", "ab", 8, 1);
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 2);
    // Its inode may have been used again, and what is there now may be new.
    stage.rename("ab", "ac");
    stage.write("ac", "one\ntwo\nthree\n", 20);
    let newer = "1 newer file(s) that waited for the Java agent are read from their beginning, among them ac";
    stage.check("a*", &[("a", 4)], &["taken over from a@4", newer]);
}

#[test]
fn a_file_that_is_gone_is_told_and_the_others_are_judged_by_the_time_of_its_row() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    fs::remove_file(stage.log("a")).unwrap();
    let gone = "not taken over from a@4: the file is gone";
    stage.check("a*", &[("a", 4)], &[gone]);
    stage.write("a.1", "old\n", 9);
    stage.write("a.2", "new\n", 11);
    let older = "1 older file(s) that the Java agent was done with count as read to their end";
    let newer =
        "1 newer file(s) that waited for the Java agent are read from their beginning, among them a.2";
    // Neither may have the inode of the one that is gone.
    stage.connection().execute("UPDATE FILE_CHECKPOINTS SET fileId = '(dev=1,ino=1)'", ()).unwrap();
    stage.check("a*", &[("a", 4), ("a.1", 4)], &[gone, older, newer]);
}

#[test]
fn an_offset_beyond_the_end_means_that_it_was_truncated() {
    let stage = Stage::new();
    stage.write("a", "one\n", 10);
    stage.row("a*", "a", 5, 0);
    let told = "not taken over from a@5: the file has 4 bytes; it was truncated or written anew, and is read from its beginning";
    stage.check("a*", &[], &[told]);
}

#[test]
fn an_offset_in_the_middle_of_a_line_goes_back_to_its_beginning() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 6, 0);
    let told = "taken over from a@6; that is in the middle of a line, which is read from its beginning at 4";
    stage.check("a*", &[("a", 4)], &[told]);
}

#[test]
fn a_file_that_was_made_after_the_row_is_another() {
    let mut stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    // 2026-01-02 03:04:00.500, and a thousandth of a second later.
    const ROW: u64 = 1_767_323_040_500_000_000;
    stage.disk.born = ROW;
    stage.check("a*", &[("a", 4)], &["taken over from a@4"]);
    stage.disk.born = ROW + 1_000_000;
    let reused = "not taken over from a@4: its inode belongs to a file that was made after that";
    let older = "1 older file(s) that the Java agent was done with count as read to their end";
    stage.check("a*", &[("a", 4), ("a", 8)], &[reused, older]);
}

#[test]
fn after_a_reboot_the_device_may_have_another_number() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    let moved = format!(
        "UPDATE FILE_CHECKPOINTS SET fileId = '(dev=1,ino={})'",
        fs::metadata(stage.log("a")).unwrap().ino()
    );
    stage.connection().execute(&moved, ()).unwrap();
    stage.check("a*", &[("a", 4)], &["taken over from a@4"]);
    stage.rename("a", "a.1");
    let older = "1 older file(s) that the Java agent was done with count as read to their end";
    stage.check("a*", &[("a", 4), ("a.1", 8)], &["not taken over from a@4: the file is gone", older]);
}

#[test]
fn no_row_grows_too_old() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    stage
        .connection()
        .execute("UPDATE FILE_CHECKPOINTS SET lastUpdated = '1999-12-31 23:59:59.999'", ())
        .unwrap();
    stage.check("a*", &[("a", 4)], &["taken over from a@4"]);
}

#[test]
fn a_flow_without_a_row_starts_for_the_first_time() {
    let stage = Stage::new();
    stage.write("a", "one\n", 10);
    let unknown = "not taken over: the store has no position of it; `initialPosition` says where it begins";
    stage.check("a*", &[], &[unknown]);
    assert!(stage.take("a*").unwrap().flows.is_empty());
}

#[test]
fn a_bad_row_is_left_out_alone() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.write("ab", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    stage.row("a*", "ab", 4, 1);
    let spoil = "UPDATE FILE_CHECKPOINTS SET lastUpdated = 'yesterday' WHERE path LIKE '%/ab'";
    stage.connection().execute(spoil, ()).unwrap();
    let bad = format!(
        "the row of `{}` and `ab` is left out: its `lastUpdated` must be a date and time, not `NULL`",
        stage.short(stage.id("a*").as_str())
    );
    let older = "1 older file(s) that the Java agent was done with count as read to their end";
    stage.check("a*", &[("a", 4), ("ab", 8)], &[&bad, "taken over from a@4", older]);
}

#[test]
fn what_copytruncate_took_away_is_read_in_its_copy() {
    let mut stage = Stage::new();
    stage.write("a", "one\ntwo\nthree\n", 10);
    stage.row("a", "a", 4, 0);
    stage.row("a*", "a", 4, 0);
    stage.write("ab", "other\nfile\n", 11);
    stage.write("b", "ano\nther\n", 11);
    stage.write("a.2", "one\ntwo\nthree\n", 12);
    stage.write("a.1", "new\nlines\n", 13);
    stage.write("a", "n\n", 14);
    let told = "not taken over from a@4: the file has 2 bytes; it was truncated or written anew, and is read from its \
                beginning; what followed 4 before is read in its copy a.2";
    let [one, many] = ["a", "a*"].map(|pattern| stage.foreign(pattern));
    stage.check("a", &[("a.2", 4)], &[told, &many]);
    let newer =
        "2 newer file(s) that waited for the Java agent are read from their beginning, among them a.1";
    stage.check("a*", &[("a.2", 4)], &[told, newer, &one]);
    // What was there before the row cannot be a copy that was made after it.
    stage.disk.born = 1;
    let told = told.split("; what followed").next().unwrap();
    stage.check("a", &[], &[told, &many]);
}

#[test]
fn a_file_that_cannot_be_opened_is_told() {
    let mut stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a*", "a", 4, 0);
    stage.disk.refused = Some(stage.log("a"));
    let then = "permission denied; it is read from its beginning when that is mended";
    stage.check("a*", &[], &[&format!("nothing is known of a: could not open `a`: {then}")]);
}

#[test]
fn what_is_no_store_is_told_apart_from_one_that_cannot_be_had() {
    let stage = Stage::new();
    fs::write(stage.store(), "").unwrap();
    stage.check_error("`STORE` is no store of the Java agent, or is damaged", false);
    fs::write(stage.store(), "positions: none\n".repeat(100)).unwrap();
    stage.check_error("`STORE` is no store of the Java agent, or is damaged", false);
    fs::remove_file(stage.store()).unwrap();
    Connection::open(stage.store()).unwrap().execute("CREATE TABLE other (a)", ()).unwrap();
    stage.check_error("`STORE` is no store of the Java agent, or is damaged", false);
    fs::remove_file(stage.store()).unwrap();
    stage.check_error("could not open the Java agent's store `STORE`", true);
}

#[test]
fn a_damaged_store_is_refused_whole() {
    let stage = Stage::new();
    for number in 0..200 {
        stage.write(&format!("a{number}"), "one\n", 10);
        stage.row("a*", &format!("a{number}"), 4, 0);
    }
    let mut bytes = fs::read(stage.store()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x55);
    fs::write(stage.store(), bytes).unwrap();
    stage.check_error("`STORE` is no store of the Java agent, or is damaged", false);
}

#[test]
fn a_store_that_another_process_writes_is_waited_for_and_then_refused() {
    let stage = Stage::new();
    let other = stage.connection();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    stage.check_error(
        "another process works with the Java agent's store `STORE`; stop the Java agent first",
        true,
    );
    other.execute_batch("COMMIT").unwrap();
    assert!(stage.take("a*").is_ok());
}

#[test]
fn a_store_with_a_write_ahead_log_is_read_without_a_trace() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    let other = stage.connection();
    other.query_row("PRAGMA journal_mode = WAL", (), |_| Ok(())).unwrap();
    other.query_row("SELECT count(*) FROM FILE_CHECKPOINTS", (), |_| Ok(())).unwrap();
    // Only in the log as long as the other connection is open.
    stage.row("a*", "a", 4, 0);
    assert!(stage.bytes().len() > 1);
    stage.check("a*", &[("a", 4)], &["taken over from a@4"]);
    drop(other);
    stage.check("a*", &[("a", 4)], &["taken over from a@4"]);
}

/// What `hand_back` writes, `take` reads.
#[test]
fn there_and_back_again_gives_the_same_positions() {
    let stage = Stage::new();
    for (name, second) in [("a", 30), ("a.1", 20), ("a.2", 10), ("ab", 25)] {
        stage.write(name, "one\ntwo\nthree\n", second);
    }
    for (name, offset) in [("a", 4), ("a.1", 8), ("a.2", 14), ("ab", 8)] {
        stage.row("a*", name, offset, 0);
    }
    let before = stage.take("a*").unwrap().flows;
    assert_eq!(before[0].1.len(), 4);
    let (id, pattern) = (stage.id("a*"), Pattern::parse(stage.log("a*").to_str().unwrap()).unwrap());
    fs::remove_file(stage.store()).unwrap();
    let returned = hand_back(&stage.store(), &before, &[(&id, &pattern)], &stage.disk).unwrap();
    let told: Vec<String> = returned.iter().map(|(_, fate)| stage.short(&fate.to_string())).collect();
    let newer = "is newer than that, so the Java agent reads it from its beginning";
    assert_eq!(
        told,
        [
            "the Java agent goes on in a.1@8".to_owned(),
            format!("ab {newer}: 8 byte(s) of it are sent again"),
            format!("a {newer}: 4 byte(s) of it are sent again"),
            "1 older file(s) are read to their end, and the Java agent leaves them alone".to_owned(),
        ]
    );
    let sorted = |mut flows: Vec<(FlowId, Vec<Generation>)>| {
        flows.iter_mut().for_each(|(_, files)| files.sort_by(|one, other| one.path.cmp(&other.path)));
        flows
    };
    let again = stage.take("a*").unwrap();
    let latest = stage.short(&again.findings[0].to_string());
    assert!(latest.ends_with("taken over from a.1@8"), "{latest}");
    assert_eq!(sorted(again.flows), sorted(before));
}

#[test]
fn what_the_java_agent_cannot_find_is_told_when_it_is_handed_back() {
    let stage = Stage::new();
    stage.write("a", "one\ntwo\n", 10);
    stage.row("a", "a", 4, 0);
    let known = stage.take("a").unwrap().flows;
    stage.rename("a", "a.1");
    let (id, pattern) = (stage.id("a"), Pattern::parse(stage.log("a").to_str().unwrap()).unwrap());
    let fates = || {
        let returned = hand_back(&stage.store(), &known, &[(&id, &pattern)], &stage.disk).unwrap();
        returned.into_iter().map(|(_, fate)| fate).collect::<Vec<_>>()
    };
    let offset = Offset::from_raw(4);
    assert_eq!(fates(), [Fate::Misses { path: stage.log("a.1"), offset, left: 4 }, Fate::NoFile]);
    fs::remove_file(stage.log("a.1")).unwrap();
    assert_eq!(fates(), [Fate::Gone { path: stage.log("a"), offset, left: 4 }, Fate::NoFile]);
}

#[test]
fn what_cannot_be_handed_back_is_told() {
    let stage = Stage::new();
    let known = [(stage.id("b*"), Vec::new()), (stage.id("*/a"), Vec::new())];
    let flows = ["a*", "*/a"]
        .map(|pattern| (stage.id(pattern), Pattern::parse(stage.log(pattern).to_str().unwrap()).unwrap()));
    let flows = [(&flows[0].0, &flows[0].1), (&flows[1].0, &flows[1].1)];
    let returned = hand_back(&stage.store(), &known, &flows, &System).unwrap();
    let expected = [
        (stage.id("a*"), Fate::NeverRan),
        (stage.id("*/a"), Fate::NoPattern),
        (stage.id("b*"), Fate::NotConfigured),
    ];
    assert_eq!(returned, expected);
}
