//! What must come, what may come again, and from where: the exact account of every line.
//!
//! Every line has a number of its own, so that it is known of each which files held it, whether a kill or a counted
//! re-reading lies between two copies, and whether it was cut away; and that no two lines say that they are from the same
//! place. Where even an agent that does everything right cannot tell, the exception is written down here, each with its
//! reason. (G1, G3)

use std::collections::{BTreeMap, BTreeSet};

use super::super::simulated::Refusal;
use super::super::stage::Came;
use super::file::{Altered, File, FileNumber, Piece};
use super::host::Host;
use super::lines::Part;
use crate::metrics::Metric;
use crate::position::{FileId, Head, Mark, Offset, Tail};
use crate::source::discover::Scope;

/// When a line last came.
#[derive(Clone, Copy)]
struct Last {
    starts: u32,
    kills: u32,
    reread: u64,
    place: (Mark, Offset),
}

/// How many bytes of two lines may be the same at their beginning: the digits of their numbers.
const LINES_BEGIN: usize = 5;

#[derive(Default)]
pub(super) struct Books {
    /// How often the agent started again, and how often of these it had been killed.
    starts: u32,
    kills: u32,
    last: BTreeMap<(u32, Part), Last>,
    /// Which line said that it is from where.
    places: BTreeMap<(Mark, Offset), u32>,
    /// The line that came last of each file in this run.
    order: BTreeMap<FileId, (u32, Part)>,
    /// How much of what came is judged.
    judged: usize,
    /// How many files were counted as read again when it was judged last.
    reread: u64,
    /// Files that the source knew then in this run, and whether one was counted when it came to know them.
    met: BTreeMap<FileId, bool>,
    /// Whole lines that the source could see in a file since it was started.
    seen: BTreeSet<u32>,
    /// Whether a file was cut that has a copy: both go on from one beginning, and what is lost of one seems to be in
    /// the other.
    forked: bool,
    /// Lines of copies that are too short, or were made too soon, to be told from other files.
    ambiguous: BTreeSet<u32>,
    /// Lines with which a file began when it was cut in its middle, and no checkpoint was written since: an agent that
    /// is killed then cannot know that the file is not what it was.
    cut: BTreeSet<u32>,
    /// Those of them with which two files begin that cannot be told apart.
    mistaken: BTreeSet<u32>,
    /// The last start after which an earlier alteration was known to no checkpoint: what is emptied or cut before
    /// it is known makes other marks. So does a reboot, which changes where a file is, and what could not be read then.
    confused: u32,
    /// How many checkpoints were written, and from which on one knows what such a start came upon.
    saves: u32,
    settles: u32,
    /// Lines of which a cut has left only what is in a copy. Those of a file that was changed once more since: whether they
    /// were read before is forgotten with what it was.
    cut_off: BTreeSet<u32>,
    forgotten: BTreeSet<u32>,
    /// Lines that a cut has left: they come again, as the beginning of another file.
    kept: BTreeSet<u32>,
    /// Lines of copies, which need not be known as such by what a killed agent has left.
    copied: BTreeSet<u32>,
    /// Files that may be taken for copies: they could not be opened when the source came upon them first, or were cut.
    doubtful: BTreeSet<FileNumber>,
    /// Lines that the source could see behind a head of NUL bytes.
    holed: BTreeMap<FileNumber, BTreeSet<u32>>,
    /// Whether half a line was ever taken as it is.
    halved: bool,
}

impl Books {
    /// The source looks at names, and sees what the files hold to which the pattern leads by them.
    pub(super) fn look(&mut self, host: &mut Host, scope: &Scope) {
        let found = host.found(scope);
        if found.iter().any(|file| host.files[*file].is_copy) {
            // What is heard of after its copy is taken for the copy.
            let is_late = |file: &FileNumber| !found.contains(file) && !host.files[*file].known;
            self.doubtful.extend(host.matching().into_iter().filter(is_late));
        }
        for file in found.iter().copied() {
            match host.files[file].refusal {
                Some(Refusal::Read) if host.files[file].known => continue,
                Some(Refusal::Read | Refusal::Open) if !host.files[file].known => {
                    self.doubtful.insert(file);
                    continue;
                }
                Some(_) | None => {}
            }
            self.seen.extend(host.lines_of(file));
            if is_hole(&host.files[file]) {
                self.holed.entry(file).or_default().extend(host.lines_of(file));
            }
            // A copy is left alone while its original is whole, and so is an original that was found after its copy.
            let has_copy = host.named().into_iter().any(|file| host.files[file].is_copy);
            let is_left_alone = host.files[file].is_copy || (has_copy && self.doubtful.contains(&file));
            host.files[file].known |= !is_left_alone;
        }
        for (number, file) in host.files.iter_mut().enumerate() {
            let is_met = *scope == Scope::Everything || found.contains(&number);
            if is_met && file.altered == Altered::Unseen && file.refusal != Some(Refusal::Read) {
                file.altered = Altered::Seen;
            }
        }
    }

    /// The live file was copied.
    pub(super) fn copied(&mut self, host: &Host, copy: FileNumber, original: FileNumber) {
        self.copied.extend(host.lines_of(copy));
        // A copy of a file that was cut may be taken for one of what it was before.
        self.mistaken.extend(&self.kept);
        let live = &host.files[original];
        let is_known = live.known && live.altered != Altered::Unseen && live.refusal.is_none();
        // Of two that are met together, the first by its name is taken for the original.
        if !is_known && host.first_name(copy) < host.first_name(original) {
            self.doubtful.insert(original);
        }
        // One head of NUL bytes is like another.
        if !is_known || is_hole(live) || host.size(copy) < Head::BYTES {
            self.ambiguous.extend(host.lines_of(copy).chain(host.half_of(copy)));
        }
    }

    /// The live file withholds what it holds: nothing tells copies from it.
    pub(super) fn refused(&mut self, host: &Host) {
        for copy in host.named().into_iter().filter(|file| host.files[*file].is_copy) {
            self.ambiguous.extend(host.lines_of(copy).chain(host.half_of(copy)));
        }
    }

    /// The live file is about to be another.
    pub(super) fn changed(&mut self) {
        self.forgotten.append(&mut self.cut_off);
    }

    /// The live file is about to lose what stands behind its first `pieces` pieces, or `len` bytes.
    pub(super) fn cut(&mut self, host: &Host, pieces: usize, len: usize) {
        let live = host.live().unwrap();
        let has_copy = host.named().into_iter().any(|file| host.files[file].is_copy);
        // A line or two that are left, or what is in a copy as well, cannot be told from another file's; nor can what
        // could not be read before.
        let was_refused = host.files[live].is_late || host.files[live].refusal.is_some();
        // Lines begin alike, and so do files whose heads end there.
        let is_head = (Head::BYTES - LINES_BEGIN..Head::BYTES).contains(&len);
        if len < Tail::BYTES || is_head || has_copy || was_refused {
            self.ambiguous.extend(host.lines_of(live).chain(host.half_of(live)));
        }
        let kept: BTreeSet<u32> = host.files[live].lines_within(pieces).collect();
        let lost: Vec<u32> = host.lines_of(live).filter(|line| !kept.contains(line)).collect();
        if has_copy {
            self.cut_off.extend(&lost);
            self.forked = true;
            self.doubtful.insert(live);
        }
        // Behind the position, a cut that is filled up again at once is not seen.
        lost.iter().for_each(|line| {
            self.seen.remove(line);
        });
        // Nor is it after a start, where what is cut away was read before that only. And a copy that still holds
        // it is as much the same file as what grows here.
        let is_before =
            |line: &u32| self.last.get(&(*line, Part::Whole)).is_some_and(|last| last.starts < self.starts);
        if self.forked || lost.iter().any(is_before) {
            self.mistaken.extend(&kept);
        }
        self.kept.extend(&kept);
        self.cut.extend(kept);
    }

    /// The live file is about to be emptied, and NUL bytes are to stand before what comes next.
    pub(super) fn hole(&mut self, host: &Host) {
        let live = host.live().unwrap();
        // One head of NUL bytes is like another: what was not read behind it is replaced unseen.
        for line in self.holed.remove(&live).unwrap_or_default() {
            self.seen.remove(&line);
        }
    }

    /// A checkpoint was written.
    pub(super) fn save(&mut self, host: &mut Host) {
        self.saves += 1;
        for file in &mut host.files {
            if file.altered == Altered::Seen {
                file.altered = Altered::No;
            }
        }
        if host.files.iter().all(|file| file.altered == Altered::No) {
            self.cut.clear();
        }
    }

    /// Files were compressed, perhaps just now.
    pub(super) fn compressed(&mut self, host: &Host) {
        // It has an inode of its own: nothing but what a checkpoint knows to be in the file tells that it is its archive, and
        // of a short file that of a copy may be it as well. Where nothing does and its time is late, it is taken for one of
        // the file that was begun before that.
        let has_copy = host.archived().into_iter().any(|file| host.files[file].is_copy);
        for file in host.archived() {
            let it = &host.files[file];
            let is_short = has_copy && host.size(file) < Head::BYTES;
            if is_short || it.saved.is_none_or(|head| head.len == 0) {
                self.copied.extend(host.lines_of(file));
            }
            if it.saved.is_none() && it.is_overlapping {
                self.ambiguous.extend(host.lines_of(file).chain(host.half_of(file)));
            }
        }
    }

    /// The agent is about to start again, after it was killed or stopped.
    pub(super) fn start(&mut self, host: &mut Host, was_killed: bool, was_rebooted: bool) {
        self.changed();
        self.starts += 1;
        self.kills += u32::from(was_killed);
        let is_confusing = |file: &File| file.altered != Altered::No || file.refusal.is_some();
        if was_rebooted || host.files.iter().any(is_confusing) {
            self.confused = self.starts;
            // The one of the start knows only what was found again.
            self.settles = self.saves + 2;
        } else if self.saves < self.settles {
            self.confused = self.starts;
        }
        self.mistaken.append(&mut self.cut);
        // An archive does not say how often its file was cut.
        if !host.archived().is_empty() {
            self.mistaken.extend(&self.kept);
        }
        self.compressed(host);
        self.seen.clear();
        self.order.clear();
        self.met.clear();
        // Copies and originals that the checkpoint does not know are met together; and a file that was closed, and that
        // somebody wrote to after that, looks like one that was rotated since.
        // What a cut has left may have grown beyond what is known of it.
        self.ambiguous.extend(&self.kept);
        for file in host.named() {
            let it = &host.files[file];
            if it.is_copy || it.is_late || (was_rebooted && it.refusal.is_some()) {
                self.ambiguous.extend(host.lines_of(file).chain(host.half_of(file)));
            }
            // It is begun again under the mark that it had before it was cut, as nothing says that it was.
            if it.is_late {
                self.mistaken.extend(host.lines_of(file).filter(|line| self.kept.contains(line)));
            }
        }
        // What has no name left is gone with the process; what the checkpoint does not know is found only where
        // the pattern leads. And what was rewritten as well has nothing but a number that may have been used again.
        // After a reboot, nothing proves who an empty file is, and nothing ever that an archive is that of one.
        let archived = host.archived();
        let beside = host.beside();
        for (number, file) in host.files.iter_mut().enumerate() {
            file.known &= beside.contains(&number)
                && file
                    .saved
                    .is_some_and(|head| head.len > 0 || !(was_rebooted || archived.contains(&number)))
                && file.altered == Altered::No
                && file.refusal.is_none();
            file.altered = Altered::No;
            file.follows &= beside.contains(&number) && !was_rebooted;
            // What could not be read at a start is known to that run alone.
            file.is_late |= file.refusal.is_some();
        }
        // By a second name it is of another log.
        let known: BTreeSet<FileNumber> =
            host.rotated().into_iter().filter(|file| host.files[*file].known).collect();
        for (number, file) in host.files.iter_mut().enumerate() {
            file.follows &= known.range(..number).next().is_some();
        }
        // Of a copy and its original that are met together, either may be left alone, or be taken for what was rotated.
        if host.named().into_iter().any(|file| host.files[file].is_copy) {
            let unknown = host.named().into_iter().filter(|file| !host.files[*file].known);
            for file in unknown.collect::<Vec<_>>() {
                self.doubtful.insert(file);
                if let Some(line) = host.half_of(file) {
                    host.lines.tear(line);
                }
            }
        }
    }

    /// Whatever came since the last judgement was written, and came before only if that is allowed.
    pub(super) fn judge(&mut self, host: &Host) {
        let came = host.stage.came.get(self.judged..).unwrap_or_default();
        self.judged = host.stage.came.len();
        let reread = host.stage.counted(Metric::FilesReread);
        let is_more = self.reread < reread;
        self.reread = reread;
        for file in host.stage.books.files() {
            self.met.entry(file).or_insert(is_more);
        }
        came.iter().for_each(|came| self.judge_one(host, came, reread));
    }

    fn judge_one(&mut self, host: &Host, came: &Came, reread: u64) {
        let recognised = host.lines.recognise(&came.text);
        assert!(recognised.is_some(), "{:.30?} was not written", came.text);
        let Some((line, part)) = recognised else { return };
        self.halved |= part == Part::First;
        let now = Last { starts: self.starts, kills: self.kills, reread, place: came.place };
        if let Some(last) = self.last.insert((line, part), now) {
            let is_ambiguous = self.ambiguous.contains(&line);
            let is_counted = last.reread < now.reread || self.met.get(&came.file) == Some(&true);
            let is_allowed = last.kills < now.kills || is_counted || is_ambiguous;
            assert!(is_allowed, "line {line} came twice ({part:?})");
            // A first line that came in halves, and comes whole after a kill, makes another mark.
            let is_found = last.reread == now.reread
                && !self.halved
                && last.starts >= self.confused
                && !self.begins_with(came.place.0, line, &self.kept)
                && !self.copied.contains(&line)
                && !is_ambiguous;
            assert!(!is_found || last.place == came.place, "line {line} is from two places");
        }
        if let Some(other) = self.places.insert(came.place, line)
            && other != line
        {
            let is_mistaken = self.begins_with(came.place.0, other, &self.mistaken);
            assert!(is_mistaken, "lines {other} and {line} are both at {:?}", came.place);
        }
        let before = self.order.insert(came.file, (line, part));
        assert!(before.is_none_or(|before| before < (line, part)), "line {line} came after {before:?}");
    }

    /// Whether the first line that came with `mark`, or `line` if none did yet, is one of `lines`.
    fn begins_with(&self, mark: Mark, line: u32, lines: &BTreeSet<u32>) -> bool {
        let first =
            self.places.range((mark, Offset::START)..).next().filter(|((found, _), _)| *found == mark);
        lines.contains(first.map_or(&line, |(_, first)| first))
    }

    /// Every whole line came that is in a file which the pattern leads to, or which the source knows.
    pub(super) fn all_came(&self, host: &Host) {
        let came = |line: u32, part: Part| self.last.contains_key(&(line, part));
        let known = (0..host.files.len()).filter(|file| host.files[*file].known);
        let rotated = host.beside().into_iter().filter(|file| host.files[*file].follows);
        for file in host.matching().into_iter().chain(known).chain(rotated) {
            let is_copy = host.files[file].is_copy;
            for line in host.lines_of(file).filter(|line| !is_copy || !self.forgotten.contains(line)) {
                let in_halves = came(line, Part::First) && came(line, Part::Second);
                assert!(came(line, Part::Whole) || in_halves, "line {line} of file {file} did not come");
            }
        }
        let is_lost = |line: &u32| !came(*line, Part::Whole) && !host.lines.is_halved(*line);
        if self.seen.iter().any(is_lost) && !self.forked {
            assert_ne!(host.stage.counted(Metric::BytesLost), 0, "lost in silence");
        }
    }
}

/// Whether nothing but NUL bytes is in its head.
fn is_hole(file: &File) -> bool {
    matches!(file.pieces.first(), Some(Piece::Nuls(Head::BYTES..)))
}
