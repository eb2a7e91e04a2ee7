//! Where a file of the agent stands among its modules.

/// A file of the agent by its path below `agent/src`, without `.rs`: `position`, `send/mod`, `send/kinesis`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a>(&'a str);

impl<'a> Place<'a> {
    /// The folder of the agent's modules.
    pub(crate) const ROOT: &'static str = "agent/src/";

    /// The place of the file at `path`, from the root of the tree.
    pub(crate) fn new(path: &'a str) -> Place<'a> {
        let name = path.strip_prefix(Self::ROOT).unwrap_or(path);
        Place(name.strip_suffix(".rs").unwrap_or(name))
    }

    /// The module of the crate's root that the file belongs to.
    pub(crate) fn module(self) -> &'a str {
        self.0.split('/').next().unwrap_or(self.0)
    }

    /// How many modules stand between the crate's root and what the file holds, itself included.
    pub(crate) fn depth(self) -> usize {
        match self.0.strip_suffix("/mod").unwrap_or(self.0) {
            "lib" => 0,
            name => name.split('/').count(),
        }
    }

    /// Whether the file is one of `places`, or stands in a folder that is.
    pub(crate) fn is_within(self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.0.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, module: &str, depth: usize) {
        let place = Place::new(path);
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
    fn a_folder_holds_its_files_and_no_neighbour() {
        assert!(Place::new("agent/src/split/mod.rs").is_within(&["split"]));
        assert!(!Place::new("agent/src/splitter.rs").is_within(&["split"]));
    }
}
