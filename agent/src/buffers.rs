//! Large buffers that are used again, as long as there is use for them.
//!
//! Does not know what is in them. A page of memory that the system has just given costs more than all that is done with the bytes
//! of a log that go into it: where each request of 500 lines had new ones for its batch and its body, they took a third of the
//! agent's CPU. What is kept never adds to what a flow may hold: kept and in use, its buffers are within its share of the
//! memory; and what nobody wanted for a while is given back.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is smaller is left to the allocator, which keeps it anyway.
const LARGE: usize = 64 * 1024;

/// The large buffers of one flow. One that is made by default keeps none.
#[derive(Debug, Default)]
pub struct Buffers(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    /// The one that was kept last is the last.
    kept: Vec<Vec<u8>>,
    /// How many bytes are in use, as far as that was known when they were taken.
    used: usize,
    /// How many bytes may be kept and in use together.
    most: usize,
    /// How few bytes were kept at any time since the last [`Buffers::release`].
    least: usize,
}

/// A buffer. When it is dropped it is kept for the next that needs one of its size.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// How many of the bytes in use are its.
    used: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// None yet. Kept and in use they will be within `most` bytes, unless more are in use.
    #[must_use]
    pub fn new(most: usize) -> Arc<Buffers> {
        let buffers = Buffers::default();
        buffers.set_most(most);
        Arc::new(buffers)
    }

    /// Changes how many bytes may be kept and in use together.
    pub fn set_most(&self, most: usize) {
        let mut shelf = self.shelf();
        shelf.most = most;
        shelf.make_room();
    }

    /// An empty buffer for `len` bytes.
    #[must_use]
    pub fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let bytes = if len < LARGE { Vec::with_capacity(len) } else { self.shelf().take(class(len)) };
        let used = if len < LARGE { 0 } else { bytes.capacity() };
        Buffer { bytes, used, home: Arc::clone(self) }
    }

    /// Gives back what was kept since the last call and not wanted.
    pub fn release(&self) {
        let mut shelf = self.shelf();
        let least = shelf.least;
        shelf.free(least);
        shelf.least = shelf.bytes();
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn take(&mut self, capacity: usize) -> Vec<u8> {
        // One that is much larger would be held for less than what it is counted for.
        let sizes = capacity..=capacity + capacity / 4;
        let of_size = self.kept.iter().enumerate().filter(|(_, buffer)| sizes.contains(&buffer.capacity()));
        let smallest = of_size.min_by_key(|(_, buffer)| buffer.capacity()).map(|(at, _)| at);
        let taken = match smallest {
            Some(at) => self.kept.remove(at),
            None => Vec::with_capacity(capacity),
        };
        self.used += taken.capacity();
        self.make_room();
        self.least = self.least.min(self.bytes());
        taken
    }

    fn put(&mut self, mut buffer: Vec<u8>, used: usize) {
        self.used -= used;
        if buffer.capacity() >= LARGE {
            buffer.clear();
            self.kept.push(buffer);
            self.make_room();
        }
    }

    /// Frees what is kept beyond what may be.
    fn make_room(&mut self) {
        self.free((self.used + self.bytes()).saturating_sub(self.most));
    }

    /// Frees so many bytes at least, those that were kept first, if there are as many.
    fn free(&mut self, bytes: usize) {
        let mut freed = 0;
        let goes = self.kept.iter().take_while(|buffer| {
            let goes = freed < bytes;
            freed += buffer.capacity();
            goes
        });
        let count = goes.count();
        for mut buffer in self.kept.drain(..count) {
            // What is freed while it is large tells glibc to ask the system no more for blocks as large as that, but to cut them
            // from heaps of its own, which it gives back only from their end: <https://man7.org/linux/man-pages/man3/mallopt.3.html>,
            // `M_MMAP_THRESHOLD`. What was made small before tells it nothing.
            buffer.shrink_to(1);
        }
    }

    /// How many bytes are kept.
    fn bytes(&self) -> usize {
        self.kept.iter().map(Vec::capacity).sum()
    }
}

/// What a buffer for `len` bytes is made to hold, so that the next, which is seldom of the same length, finds room in it: in steps
/// of a sixteenth of the power of two above.
fn class(len: usize) -> usize {
    len.next_multiple_of((len.next_power_of_two() / 16).max(1))
}

impl Buffer {
    /// Another for `len` bytes, from where this one is from.
    #[must_use]
    pub fn another(&self, len: usize) -> Buffer {
        self.home.take(len)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if self.used > 0 || bytes.capacity() >= LARGE {
            self.home.shelf().put(bytes, self.used);
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 8_000_000;

    fn kept(buffers: &Buffers) -> usize {
        buffers.shelf().bytes()
    }

    #[test]
    fn a_buffer_that_is_done_with_is_used_again_and_is_empty() {
        let buffers = Buffers::new(MOST);
        let mut first = buffers.take(300_000);
        first.extend_from_slice(b"of another request");
        let place = first.as_ptr();
        drop(first);
        let second = buffers.take(310_000);
        assert_eq!((second.as_ptr(), second.len()), (place, 0));
        let third = second.another(300_000);
        assert_ne!(third.as_ptr(), place);
    }

    #[test]
    fn one_that_is_much_too_large_is_not_of_its_size() {
        let buffers = Buffers::new(MOST);
        drop(buffers.take(5_000_000));
        assert!(buffers.take(300_000).capacity() < 400_000);
    }

    #[test]
    fn a_small_one_is_the_allocators() {
        let buffers = Buffers::new(MOST);
        drop(buffers.take(LARGE - 1));
        assert_eq!(kept(&buffers), 0);
    }

    #[test]
    fn one_that_has_grown_is_kept_as_it_is() {
        let buffers = Buffers::new(MOST);
        let mut small = buffers.take(0);
        small.extend_from_slice(&[0; 2 * LARGE]);
        drop(small);
        assert!(kept(&buffers) >= 2 * LARGE);
        assert_eq!(buffers.shelf().used, 0);
    }

    #[test]
    fn what_is_not_wanted_from_one_release_to_the_next_is_given_back() {
        let buffers = Buffers::new(MOST);
        drop((buffers.take(300_000), buffers.take(300_000)));
        let both = kept(&buffers);
        buffers.release();
        assert_eq!(kept(&buffers), both, "they have come since");
        drop(buffers.take(300_000));
        buffers.release();
        assert_eq!(kept(&buffers), both / 2, "one was enough");
        buffers.release();
        assert_eq!(kept(&buffers), 0);
    }

    #[test]
    fn a_smaller_share_is_made_room_in() {
        let buffers = Buffers::new(MOST);
        drop((buffers.take(300_000), buffers.take(300_000)));
        buffers.set_most(400_000);
        assert!(kept(&buffers) <= 400_000 && kept(&buffers) > 0);
        buffers.set_most(0);
        assert_eq!(kept(&buffers), 0);
    }

    proptest! {
        /// Whatever is taken and given back, what is kept and what is in use are together within their bound, unless what is in
        /// use alone is not.
        #[test]
        fn what_is_kept_adds_nothing_to_what_may_be_held(
            steps in proptest::collection::vec((any::<u8>(), 1usize..400_000), 1..60),
            most in 0usize..3_000_000,
        ) {
            let buffers = Buffers::new(most);
            let mut used = Vec::<Buffer>::new();
            for (step, len) in steps {
                match step % 5 {
                    0..=2 => {
                        let buffer = buffers.take(len);
                        prop_assert!(buffer.is_empty() && buffer.capacity() >= len);
                        prop_assert!(len < LARGE || buffer.capacity() <= class(len) * 5 / 4);
                        used.push(buffer);
                    }
                    3 if !used.is_empty() => drop(used.swap_remove(usize::from(step) % used.len())),
                    _ => buffers.release(),
                }
                let in_use: usize = used.iter().map(|buffer| buffer.capacity()).filter(|len| *len >= LARGE).sum();
                prop_assert_eq!(buffers.shelf().used, in_use);
                prop_assert!(in_use + kept(&buffers) <= most.max(in_use));
            }
        }
    }
}
