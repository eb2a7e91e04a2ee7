//! `agent.json`: whatever stands in it, it is understood, or every problem is told with its place.
#![no_main]

use std::cell::LazyCell;
use std::fs;

use kinetail::config::{Sources, load};

thread_local! {
    /// Where the file is put, in memory if there is such a place.
    static DIRECTORY: LazyCell<tempfile::TempDir> = LazyCell::new(|| {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory can be made")
    });
}

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let main = DIRECTORY.with(|directory| directory.path().join("agent.json"));
    fs::write(&main, text).expect("the file can be written");
    match load(&Sources { main: main.clone(), drop_ins: None, state_directory: None }) {
        Ok(config) => assert!(!config.flows.is_empty()),
        Err(problems) => {
            let lines = text.split(|byte| *byte == b'\n').count();
            for problem in problems.all() {
                assert_eq!(problem.file, main);
                assert!(problem.spot.is_none_or(|spot| (1..=lines).contains(&spot.line)), "{problem}");
                assert!(!problem.text.is_empty());
            }
        }
    }
});
