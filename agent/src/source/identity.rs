//! Is this the same file? Pure: a table from what was seen to what it means.
//!
//! Does not read: `source/evidence.rs` gathers the [`Evidence`], `source/files.rs` acts on the [`Verdict`]. A repeat
//! is cheaper than a hole: what cannot be proved is read again, and counted. (G1, G3)

/// How the inode of what was found relates to the one that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inode {
    /// The same number on the same device.
    Same,
    /// The same number on another device, and not of an empty file: device numbers may change at a reboot.
    OtherDevice,
    /// Another number.
    Other,
}

/// Whether a proof holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It covers as many bytes as it ever can, and they agree.
    Whole,
    /// It covers fewer bytes, as the file was short; they agree.
    Part,
    /// The bytes differ or are not there.
    Fails,
}

/// What became of the file under the known inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Original {
    /// It still holds everything up to the known offset.
    Whole,
    /// It is gone, or was truncated, or rewritten.
    Gone,
}

/// What was seen of a file beside one that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) inode: Inode,
    /// The known head, over as many bytes as it had.
    pub(crate) head: Proof,
    /// Whether the file is at least as long as the known offset.
    pub(crate) reaches: bool,
    /// The bytes before the known offset. [`Proof::Fails`] where the file does not reach it.
    pub(crate) tail: Proof,
    /// Whether anything was read of the known file: an offset of 0 proves nothing and loses nothing.
    pub(crate) begun: bool,
    /// What became of the known file. Of no meaning where the inode is the same.
    pub(crate) original: Original,
}

/// What a known file was when it no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Shorter than what was read.
    Truncated,
    /// Begins alike, but what was read is not in it any more.
    Rewritten,
    /// Begins otherwise: the inode was used again.
    Reused,
}

/// What the evidence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same file, whatever its name: go on at the offset.
    Same,
    /// The same file: first look for the old bytes, then a new generation from 0.
    Changed(Change),
    /// Its copy, and the file itself is gone: read the rest from here.
    Copy,
    /// A copy while the file itself is whole: leave it, look again when that changes.
    CopyBeside,
    /// It may be its copy, but is too short to prove it: read all of it, and count that.
    Unclear,
    /// Another file.
    Unrelated,
}

impl Verdict {
    /// What was found out by the row of the table that applied, for an operator.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Verdict::Same => {
                "its inode is known, and its head and the bytes before the offset agree: the same file, whatever its name"
            }
            Verdict::Changed(Change::Truncated) => {
                "its inode is known, but it is shorter than what was read: truncated"
            }
            Verdict::Changed(Change::Rewritten) => {
                "its inode and its head are known, but the bytes before the offset differ: rewritten in place"
            }
            Verdict::Changed(Change::Reused) => {
                "its inode is known, but it begins otherwise: another file that got the inode"
            }
            Verdict::Copy => {
                "head and bytes before the offset agree with a known file that is gone from its inode: its copy"
            }
            Verdict::CopyBeside => {
                "head and bytes before the offset agree with a known file that is whole itself: a copy beside its original"
            }
            Verdict::Unclear => {
                "it begins like a known file, but is too short to prove that it is its copy: read from its beginning"
            }
            Verdict::Unrelated => "nothing agrees with a known file: a file of its own",
        }
    }
}

/// The decision table.
pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let verdict = decide(evidence);
    #[cfg(test)]
    rows::count(evidence.inode, verdict);
    verdict
}

fn decide(evidence: &Evidence) -> Verdict {
    let Evidence { inode, head, reaches, tail, begun, original } = *evidence;
    let agrees = head != Proof::Fails && (!begun || (reaches && tail != Proof::Fails));
    match inode {
        Inode::Same if agrees => Verdict::Same,
        Inode::Same if head == Proof::Fails && reaches => Verdict::Changed(Change::Reused),
        Inode::Same if !reaches => Verdict::Changed(Change::Truncated),
        Inode::Same => Verdict::Changed(Change::Rewritten),
        Inode::OtherDevice if agrees => Verdict::Same,
        Inode::OtherDevice | Inode::Other => {
            // A tail is short only where a whole head covers everything before it.
            let proved = agrees && head == Proof::Whole;
            match original {
                Original::Gone if proved => Verdict::Copy,
                Original::Whole if proved => Verdict::CopyBeside,
                // A copy that was made before the last bytes were read does not reach them.
                _ if begun && head != Proof::Fails && (agrees || !reaches) => Verdict::Unclear,
                Original::Gone | Original::Whole => Verdict::Unrelated,
            }
        }
    }
}

/// How often each row applied on this thread, for the histories of the model to show that they reach them all.
#[cfg(test)]
pub(super) mod rows {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::{Inode, Verdict};

    thread_local! {
        static ROWS: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) fn count(inode: Inode, verdict: Verdict) {
        ROWS.with_borrow_mut(|rows| *rows.entry(format!("{inode:?} inode: {verdict:?}")).or_default() += 1);
    }

    /// The counts since they were last taken.
    pub(crate) fn take() -> BTreeMap<String, u64> {
        ROWS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of which something was read, found again untouched.
    const FOUND: Evidence = Evidence {
        inode: Inode::Same,
        head: Proof::Whole,
        reaches: true,
        tail: Proof::Whole,
        begun: true,
        original: Original::Gone,
    };

    #[track_caller]
    fn check(evidence: Evidence, verdict: Verdict) {
        assert_eq!(judge(&evidence), verdict, "{evidence:?}");
    }

    #[test]
    fn a_known_inode_whose_head_and_tail_agree_is_the_same_file() {
        check(FOUND, Verdict::Same);
        check(Evidence { head: Proof::Part, tail: Proof::Part, ..FOUND }, Verdict::Same);
    }

    #[test]
    fn nothing_read_yet_needs_no_tail() {
        check(Evidence { begun: false, tail: Proof::Fails, head: Proof::Part, ..FOUND }, Verdict::Same);
    }

    #[test]
    fn the_same_inode_number_on_another_device_is_the_same_file_after_a_reboot() {
        check(Evidence { inode: Inode::OtherDevice, ..FOUND }, Verdict::Same);
        check(
            Evidence { inode: Inode::OtherDevice, head: Proof::Part, tail: Proof::Part, ..FOUND },
            Verdict::Same,
        );
        let unread = Evidence { head: Proof::Part, begun: false, tail: Proof::Fails, ..FOUND };
        check(Evidence { inode: Inode::OtherDevice, ..unread }, Verdict::Same);
    }

    #[test]
    fn a_known_inode_that_became_shorter_was_truncated() {
        check(Evidence { reaches: false, tail: Proof::Fails, ..FOUND }, Verdict::Changed(Change::Truncated));
        let emptied = Evidence { head: Proof::Fails, reaches: false, tail: Proof::Fails, ..FOUND };
        check(emptied, Verdict::Changed(Change::Truncated));
    }

    #[test]
    fn a_known_inode_with_another_tail_was_rewritten() {
        check(Evidence { tail: Proof::Fails, ..FOUND }, Verdict::Changed(Change::Rewritten));
    }

    #[test]
    fn a_known_inode_with_another_head_was_used_again() {
        check(Evidence { head: Proof::Fails, ..FOUND }, Verdict::Changed(Change::Reused));
        check(Evidence { head: Proof::Fails, tail: Proof::Fails, ..FOUND }, Verdict::Changed(Change::Reused));
    }

    #[test]
    fn another_inode_with_whole_head_and_tail_is_a_copy_once_the_original_is_gone() {
        check(Evidence { inode: Inode::Other, ..FOUND }, Verdict::Copy);
        check(Evidence { inode: Inode::Other, original: Original::Whole, ..FOUND }, Verdict::CopyBeside);
        check(Evidence { inode: Inode::Other, tail: Proof::Part, ..FOUND }, Verdict::Copy);
    }

    #[test]
    fn a_short_file_that_may_be_a_copy_cannot_be_told() {
        check(Evidence { inode: Inode::Other, head: Proof::Part, ..FOUND }, Verdict::Unclear);
        let beside = Evidence { inode: Inode::Other, original: Original::Whole, ..FOUND };
        check(Evidence { head: Proof::Part, tail: Proof::Part, ..beside }, Verdict::Unclear);
    }

    #[test]
    fn a_copy_that_ends_before_what_was_read_cannot_be_told() {
        let earlier = Evidence { inode: Inode::Other, reaches: false, tail: Proof::Fails, ..FOUND };
        check(earlier, Verdict::Unclear);
        check(Evidence { original: Original::Whole, ..earlier }, Verdict::Unclear);
    }

    #[test]
    fn equal_heads_do_not_make_one_file_of_two() {
        let other = Evidence { inode: Inode::Other, original: Original::Whole, ..FOUND };
        check(Evidence { tail: Proof::Fails, ..other }, Verdict::Unrelated);
        check(Evidence { tail: Proof::Fails, original: Original::Gone, ..other }, Verdict::Unrelated);
    }

    #[test]
    fn nothing_agrees_with_a_new_file() {
        let other = Evidence { inode: Inode::Other, head: Proof::Fails, tail: Proof::Fails, ..FOUND };
        check(other, Verdict::Unrelated);
        check(Evidence { inode: Inode::OtherDevice, ..other }, Verdict::Unrelated);
        check(Evidence { reaches: false, ..other }, Verdict::Unrelated);
        check(Evidence { begun: false, head: Proof::Part, ..other }, Verdict::Unrelated);
    }

    /// After a crash, what was read of the original need not be safe; then its copy is read from the beginning.
    #[test]
    fn a_copy_of_what_was_not_begun_is_known_by_its_head() {
        let other = Evidence { inode: Inode::Other, begun: false, tail: Proof::Fails, ..FOUND };
        check(other, Verdict::Copy);
        check(Evidence { original: Original::Whole, ..other }, Verdict::CopyBeside);
    }

    /// Every combination there is: only proof of all that was read lets the agent go on behind it.
    #[test]
    fn no_combination_skips_what_is_not_proved() {
        let proofs = [Proof::Whole, Proof::Part, Proof::Fails];
        let mut seen = 0;
        for inode in [Inode::Same, Inode::OtherDevice, Inode::Other] {
            for head in proofs {
                for tail in proofs {
                    for (reaches, begun) in [(true, true), (true, false), (false, true), (false, false)] {
                        for original in [Original::Whole, Original::Gone] {
                            let evidence = Evidence { inode, head, reaches, tail, begun, original };
                            let goes_on = matches!(judge(&evidence), Verdict::Same | Verdict::Copy);
                            let proved =
                                head != Proof::Fails && (!begun || (reaches && tail != Proof::Fails));
                            assert!(!goes_on || proved, "{evidence:?}");
                            seen += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(seen, 3 * 3 * 3 * 4 * 2);
    }
}
