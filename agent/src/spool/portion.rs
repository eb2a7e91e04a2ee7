//! How much of what stands in a pipe is taken out of it at once. Pure: knows bytes, no pipe.
//!
//! Whole lines, so that a program that is killed leaves the beginning of a line in the pipe for the one that is started in
//! its place. Only a line that does not fit into the pipe, or whose end does not come, is taken in parts.

/// What ends a line.
pub(super) const NEWLINE: u8 = b'\n';

/// Whether the last byte that was taken ended a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It did, or there was none.
    Whole,
    /// More belongs to it.
    Begun,
}

impl Line {
    /// What it is behind `bytes`.
    pub(super) fn behind(self, bytes: &[u8]) -> Line {
        match bytes.last() {
            None => self,
            Some(&NEWLINE) => Line::Whole,
            Some(_) => Line::Begun,
        }
    }
}

/// Whether the end of a line can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// There is room for it in the pipe, and it may come.
    Left,
    /// The pipe is full, or nobody writes to it any more, or it was waited for long enough.
    Spent,
}

/// How many of the bytes that stand in the pipe, `seen`, are to be taken.
pub(super) fn portion(seen: &[u8], line: Line, patience: Patience) -> usize {
    match (memchr::memrchr(NEWLINE, seen), line, patience) {
        (Some(last), Line::Whole | Line::Begun, Patience::Left | Patience::Spent) => last.saturating_add(1),
        // The beginning has left the pipe already, so nothing is won by leaving the rest.
        (None, Line::Begun, Patience::Left | Patience::Spent) | (None, Line::Whole, Patience::Spent) => {
            seen.len()
        }
        (None, Line::Whole, Patience::Left) => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(seen: &[u8], line: Line, patience: Patience, expected: usize) {
        assert_eq!(portion(seen, line, patience), expected);
    }

    #[test]
    fn whole_lines_are_taken_and_the_beginning_of_another_is_left() {
        check(b"one\ntwo\nbeg", Line::Whole, Patience::Left, 8);
        check(b"one\ntwo\nbeg", Line::Begun, Patience::Spent, 8);
        check(b"beg", Line::Whole, Patience::Left, 0);
        check(b"", Line::Whole, Patience::Spent, 0);
    }

    #[test]
    fn a_line_that_cannot_be_waited_for_is_taken_in_parts() {
        check(b"beg", Line::Whole, Patience::Spent, 3);
        check(b"un", Line::Begun, Patience::Left, 2);
    }

    proptest! {
        /// However bytes come in, with patience each portion ends a line until the last.
        #[test]
        fn nothing_is_left_out_and_no_line_torn(
            pieces in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..20), 0..20)
        ) {
            let (mut pipe, mut taken, mut line) = (Vec::new(), Vec::new(), Line::Whole);
            for piece in &pieces {
                pipe.extend_from_slice(piece);
                let rest = pipe.split_off(portion(&pipe, line, Patience::Left));
                prop_assert!(pipe.is_empty() || pipe.ends_with(b"\n"));
                line = line.behind(&pipe);
                taken.append(&mut std::mem::replace(&mut pipe, rest));
            }
            prop_assert_eq!(line, Line::Whole);
            prop_assert!(!pipe.contains(&b'\n'));
            prop_assert_eq!(portion(&pipe, line, Patience::Spent), pipe.len());
            taken.append(&mut pipe);
            prop_assert_eq!(taken, pieces.concat());
        }
    }
}
