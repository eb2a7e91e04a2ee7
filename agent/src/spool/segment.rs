//! The names of segments and instances. Pure: knows text, no directory.

use std::time::Duration;

/// The number of one segment of an instance; each is one more than that before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u32);

impl Number {
    /// That of an instance's first segment.
    pub(super) const FIRST: Number = Number(1);

    /// That of the segment behind this one.
    pub(super) fn next(self) -> Number {
        Number(
            self.0.checked_add(1).expect("four billion segments of at least 64 KiB do not fit into one life"),
        )
    }

    /// The name of its file.
    pub(super) fn name(self) -> String {
        format!("{:010}.log", self.0)
    }

    /// Which segment a file of this name is, if it is one.
    pub(super) fn of(name: &str) -> Option<Number> {
        let digits = name.strip_suffix(".log")?;
        let number = Number(digits.parse().ok()?);
        (number.name() == name).then_some(number)
    }
}

/// What stands before the number of the pipe in the name of an instance.
const PIPE: &str = "-pipe";

/// The name of the directory of an instance that begins so long `since` the epoch: those that begin later sort behind it. It
/// ends with the number of the `pipe` that it reads, if it does.
pub(super) fn instance_name(since: Duration, process: u32, attempt: u32, pipe: Option<u64>) -> String {
    let pipe = pipe.map(|pipe| format!("{PIPE}{pipe}")).unwrap_or_default();
    format!("{:014}-{process}-{attempt}{pipe}", since.as_millis())
}

/// The number of the pipe that the instance of this name reads, if it does.
pub(super) fn pipe_of(name: &str) -> Option<u64> {
    name.rsplit_once(PIPE)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<u32>) {
        assert_eq!(Number::of(name), expected.map(Number));
    }

    #[test]
    fn only_what_we_name_is_a_segment() {
        check("0000000001.log", Some(1));
        check("4294967295.log", Some(u32::MAX));
        for other in
            ["1.log", "0000000001", "0000000001.log.gz", "+000000001.log", "4294967296.log", ".log", ""]
        {
            check(other, None);
        }
    }

    proptest! {
        #[test]
        fn names_sort_as_their_numbers(one: u32, other: u32) {
            prop_assert_eq!(Number(one).name().cmp(&Number(other).name()), one.cmp(&other));
            prop_assert_eq!(Number::of(&Number(one).name()), Some(Number(one)));
        }

        #[test]
        fn instances_sort_by_their_beginning(one in 0..1_u64 << 45, other in 0..1_u64 << 45, process: u32) {
            let name = |millis| instance_name(Duration::from_millis(millis), process, 0, None);
            prop_assert_eq!(name(one).cmp(&name(other)), one.cmp(&other));
        }

        #[test]
        fn instances_are_found_by_their_pipe(process: u32, attempt: u32, pipe: Option<u64>) {
            prop_assert_eq!(pipe_of(&instance_name(Duration::ZERO, process, attempt, pipe)), pipe);
        }
    }
}
