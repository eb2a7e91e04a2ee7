//! Finds the application of an address or of a name. Pure.
//!
//! Does not know what an application is: it stands here as its number.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The longest name that there is. <https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4>
const NAME_BYTES: usize = 253;

/// The addresses of a prefix. Of two blocks, one lies within the other, or none of their addresses is the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) application: usize,
}

/// Addresses cut into stretches of one application each, so that however blocks lie within each other, an address is
/// found by one search.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Where the stretches begin, ascending.
    starts: Vec<u128>,
    /// Whom they belong to.
    applications: Vec<Option<usize>>,
}

impl Blocks {
    pub(super) fn new(mut blocks: Vec<Block>) -> Blocks {
        // An outer block comes before those within it.
        blocks.sort_unstable_by_key(|block| (block.first, Reverse(block.last)));
        let mut stretches = Blocks::default();
        let mut open: Vec<Block> = vec![];
        for block in blocks {
            while let Some(ended) = open.pop_if(|outer| outer.last < block.first) {
                stretches.end(ended, &open);
            }
            stretches.begin(block.first, Some(block.application));
            open.push(block);
        }
        while let Some(ended) = open.pop() {
            stretches.end(ended, &open);
        }
        stretches.starts.shrink_to_fit();
        stretches.applications.shrink_to_fit();
        stretches
    }

    /// Behind a block, its addresses are again those of the block that it lies within.
    fn end(&mut self, block: Block, outer: &[Block]) {
        if let Some(behind) = block.last.checked_add(1) {
            self.begin(behind, outer.last().map(|outer| outer.application));
        }
    }

    fn begin(&mut self, start: u128, application: Option<usize>) {
        if self.starts.last() == Some(&start) {
            self.applications.pop();
        } else {
            self.starts.push(start);
        }
        self.applications.push(application);
    }

    pub(super) fn find(&self, address: u128) -> Option<usize> {
        let behind = self.starts.partition_point(|start| *start <= address);
        *self.applications.get(behind.checked_sub(1)?)?
    }
}

/// Names, and what names may end in. All are in lower case.
#[derive(Debug, Default)]
pub(super) struct Names {
    whole: BTreeMap<Box<str>, usize>,
    endings: BTreeMap<Box<str>, usize>,
    /// The labels of the longest ending: nothing longer needs to be looked up.
    labels: usize,
}

impl Names {
    pub(super) fn insert(&mut self, name: Box<str>, application: usize) {
        self.whole.insert(name, application);
    }

    pub(super) fn insert_ending(&mut self, ending: Box<str>, application: usize) {
        self.labels = self.labels.max(ending.split('.').count());
        self.endings.insert(ending, application);
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > NAME_BYTES {
            return None;
        }
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        self.whole.get(&*name).or_else(|| self.find_ending(&name)).copied()
    }

    fn find_ending(&self, name: &str) -> Option<&usize> {
        if self.endings.is_empty() {
            return None;
        }
        let mut labels = name.split('.').count();
        let mut rest = name;
        while let Some((_, ending)) = rest.split_once('.') {
            labels -= 1;
            rest = ending;
            if labels <= self.labels
                && let Some(application) = self.endings.get(ending)
            {
                return Some(application);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Strategy, prop_assert_eq, proptest};

    /// Blocks of a space of 64 addresses at its very end, none of them twice.
    fn blocks() -> impl Strategy<Value = Vec<Block>> {
        vec((0_u32..7, 0_u128..64), 0..30).prop_map(|prefixes| {
            let firsts: BTreeMap<(u128, u128), usize> = prefixes
                .into_iter()
                .map(|(bits, address)| {
                    let size = 1 << bits;
                    ((u128::MAX - 63 + address / size * size, size), 0)
                })
                .collect();
            firsts
                .into_keys()
                .enumerate()
                .map(|(application, (first, size))| Block { first, last: first + (size - 1), application })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn an_address_belongs_to_the_smallest_block_that_holds_it(blocks in blocks()) {
            let stretches = Blocks::new(blocks.clone());
            for address in u128::MAX - 70..=u128::MAX {
                let holds = |block: &&Block| (block.first..=block.last).contains(&address);
                let smallest = blocks.iter().filter(holds).min_by_key(|block| block.last - block.first);
                prop_assert_eq!(stretches.find(address), smallest.map(|block| block.application));
            }
        }

        #[test]
        fn a_name_belongs_to_itself_or_to_the_longest_of_its_endings(
            whole in option::of("[ab]{1}(\\.[ab]{1}){0,3}"),
            endings in vec("[ab]{1}(\\.[ab]{1}){0,3}", 0..8),
            name in "[abAB]{1}(\\.[abAB]{1}){0,5}\\.?",
        ) {
            let mut names = Names::default();
            if let Some(whole) = &whole {
                names.insert(whole.as_str().into(), usize::MAX);
            }
            for (ending, number) in endings.iter().zip(0..) {
                names.insert_ending(ending.as_str().into(), number);
            }
            let plain = name.trim_end_matches('.').to_lowercase();
            let is_ending = |(_, ending): &(usize, &String)| plain.ends_with(&format!(".{ending}"));
            // The last one that was put in holds.
            let longest = endings
                .iter()
                .enumerate()
                .filter(is_ending)
                .max_by_key(|(number, ending)| (ending.len(), *number))
                .map(|(number, _)| number);
            let expected = if whole.as_ref() == Some(&plain) { Some(usize::MAX) } else { longest };
            prop_assert_eq!(names.find(&name), expected);
        }
    }

    #[test]
    fn what_is_longer_than_any_name_is_not_sought() {
        let mut names = Names::default();
        names.insert_ending("org".into(), 0);
        assert_eq!(names.find(&format!("{}org", "a.".repeat(125))), Some(0));
        assert_eq!(names.find(&format!("{}org", "a.".repeat(126))), None);
    }
}
