//! Why something was set aside instead of being counted.
//!
//! Pure. The one list of these reasons: whatever cannot be read is counted and kept under one of them, so that what was
//! counted and what was set aside are together all that came. Does not know where it is kept.

use std::fmt;

/// Why a record, a line or a state was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The record has no data.
    NoData,
    /// The data of the record is not base64.
    NotBase64,
    /// What is packed into the record is larger than may be unpacked.
    TooLarge,
    /// The record is packed, and what comes out too, and so on.
    TooDeep,
    /// The record begins as gzip does and is not gzip to its end.
    NotGzip,
    /// The record begins as zstd does and is not zstd to its end.
    NotZstd,
    /// The line is not a JSON object.
    NotJson,
    /// The state of a window cannot be read.
    State,
}

impl Reason {
    /// Every reason there is, in their order.
    pub const ALL: [Reason; 8] = [
        Reason::NoData,
        Reason::NotBase64,
        Reason::TooLarge,
        Reason::TooDeep,
        Reason::NotGzip,
        Reason::NotZstd,
        Reason::NotJson,
        Reason::State,
    ];

    /// Its name in rows, states and names of objects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::NoData => "no-data",
            Reason::NotBase64 => "not-base64",
            Reason::TooLarge => "too-large",
            Reason::TooDeep => "too-deep",
            Reason::NotGzip => "not-gzip",
            Reason::NotZstd => "not-zstd",
            Reason::NotJson => "not-json",
            Reason::State => "state",
        }
    }

    /// The reason of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_found_by_its_own_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::from_name("no-reason"), None);
    }

    #[test]
    fn the_list_of_all_is_in_order_and_names_none_twice() {
        assert!(Reason::ALL.is_sorted_by(|one, next| one < next));
        assert_eq!(Reason::ALL.last(), Some(&Reason::State));
    }

    #[test]
    fn names_are_words_joined_by_hyphens() {
        for reason in Reason::ALL {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(reason.as_str().chars().all(is_plain), "{reason}");
        }
    }
}
