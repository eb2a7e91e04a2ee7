//! Where a file stands among the modules of its crate.

use crate::crates::{CRATES, Crate};

/// A file of a crate by its path below the crate's root, without `.rs`: `position`, `send/mod`, `send/kinesis`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    krate: &'static Crate,
    name: &'a str,
}

impl<'a> Place<'a> {
    /// The place of the file at `path`, from the root of the tree; none if it is of none of the crates.
    pub(crate) fn of(path: &'a str) -> Option<Place<'a>> {
        CRATES.iter().find_map(|krate| {
            let name = path.strip_prefix(krate.root)?.strip_suffix(".rs")?;
            Some(Place { krate, name })
        })
    }

    /// Its crate.
    pub(crate) fn krate(self) -> &'static Crate {
        self.krate
    }

    /// The module of the crate's root that the file belongs to.
    pub(crate) fn module(self) -> &'a str {
        self.name.split('/').next().unwrap_or(self.name)
    }

    /// How many modules stand between the crate's root and what the file holds, itself included.
    pub(crate) fn depth(self) -> usize {
        match self.name.strip_suffix("/mod").unwrap_or(self.name) {
            "lib" => 0,
            name => name.split('/').count(),
        }
    }

    /// Whether the file is one of `places`, or stands in a folder that is.
    pub(crate) fn is_within(self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.name.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Whether the file is pure.
    pub(crate) fn is_pure(self) -> bool {
        self.is_within(self.krate.pure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, module: &str, depth: usize) {
        let place = Place::of(path).unwrap();
        assert_eq!((place.module(), place.depth()), (module, depth));
    }

    #[test]
    fn a_file_belongs_to_the_first_module_of_its_path() {
        check("agent/src/lib.rs", "lib", 0);
        check("agent/src/position.rs", "position", 1);
        check("agent/src/send/mod.rs", "send", 1);
        check("agent/src/send/kinesis.rs", "send", 2);
    }

    #[test]
    fn a_file_belongs_to_the_crate_whose_folder_it_is_in() {
        assert_eq!(Place::of("lambda/src/event.rs").map(|place| place.krate().name), Some("kinetail_lambda"));
        assert!(Place::of("tests/src/host.rs").is_none());
    }

    #[test]
    fn a_folder_holds_its_files_and_no_neighbour() {
        assert!(Place::of("agent/src/split/mod.rs").unwrap().is_within(&["split"]));
        assert!(!Place::of("agent/src/splitter.rs").unwrap().is_within(&["split"]));
    }
}
