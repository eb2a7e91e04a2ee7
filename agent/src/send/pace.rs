//! How much is offered: what the stream takes, and hardly more. Pure: time is an argument.
//!
//! As long as nothing is refused, everything is offered at once. The first refusals set a rate, that of what was taken in a
//! second; from then on it grows little by little while it is used up, and is cut by what was refused whenever that is more
//! than a hundredth. So the stream is used up to a few hundredths, and little is offered in vain. Where a shard takes few
//! entries a second, as they are large, random keys meet the shards so unevenly that more is left unused.
//!
//! It knows a lane, and not a stream: one for each shard may take the place of one for all.
//!
//! A lane takes so many entries or so many bytes a second, whichever comes first. Both are one number here, the [`Load`]: a
//! shard takes one each second. Firehose's limits stand in the same proportion.

use std::ops::{Add, AddAssign};
use std::time::Duration;

use tokio::time::Instant;

/// What one shard takes in a second.
/// Source: <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>.
const SHARD_ENTRIES: f64 = 1000.0;
const SHARD_BYTES: f64 = 1024.0 * 1024.0;

/// How long a rate is tried before it is judged: two of the seconds in which a shard counts.
const INTERVAL: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

/// The share of what is offered that may be refused without a consequence. Random keys meet shards unevenly.
const TOLERATED: f64 = 0.01;

/// How much a rate grows in a second after the last refusal, and how many seconds it takes to grow by twice as much: a stream
/// that was given more shards is used after half a minute.
const GROWTH: f64 = 0.005;
const GROWS_TWICE: f64 = 4.0;

/// What may go in one request, in seconds of the rate: of large ones, one more in the same second is too many.
const PORTION: f64 = 0.05;

/// The least rate, nearly a shard's: who takes less is refused by others than us, or by chance, and going slower would mend
/// nothing. If it goes on it does: the least rate is halved in five minutes of that.
const LEAST: f64 = 0.95;
const HALVED: f64 = 300.0;

/// What some entries demand of a shard, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Load(f64);

impl Load {
    /// That of one entry with so many bytes, its key included.
    pub(super) fn of(bytes: usize) -> Load {
        let bytes = u32::try_from(bytes).map_or(f64::from(u32::MAX), f64::from);
        Load((1.0 / SHARD_ENTRIES).max(bytes / SHARD_BYTES))
    }
}

impl Load {
    /// So many small entries of a shard make it up.
    pub(super) fn entries(self) -> u64 {
        Duration::from_secs_f64(self.0 * SHARD_ENTRIES).as_secs()
    }

    /// What is left of it without a part.
    pub(super) fn less(self, part: Load) -> Load {
        Load((self.0 - part.0).max(0.0))
    }
}

impl Add for Load {
    type Output = Load;

    fn add(self, other: Load) -> Load {
        Load(self.0 + other.0)
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Load) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Load>>(loads: I) -> Load {
        loads.fold(Load::default(), Add::add)
    }
}

/// How fast one lane is used.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Load a second, since it refused any.
    rate: Option<f64>,
    /// When what was let go before is used up.
    next: Option<Instant>,
    interval: Option<Interval>,
    /// Seconds since the last refusal that counted.
    calm: f64,
    /// Seconds in which more was refused than is tolerated; what is calm counts against it.
    refusing: f64,
}

/// What came of a rate so far.
#[derive(Debug)]
struct Interval {
    began: Instant,
    taken: f64,
    refused: f64,
    /// Whether anything had to wait.
    is_used_up: bool,
}

impl Pace {
    /// The most that may go in one request; nothing if that is as much as it likes.
    pub(super) fn portion(&self) -> Option<Load> {
        self.rate.map(|rate| Load(rate * PORTION))
    }

    /// How much it offers in a second; nothing if that is as much as there is.
    pub(super) fn rate(&self) -> Option<Load> {
        self.rate.map(Load)
    }

    /// Takes the next place for this load; says how long to wait for it.
    pub(super) fn reserve(&mut self, load: Load, now: Instant) -> Duration {
        let interval = self.interval.get_or_insert_with(|| Interval::from(now));
        let Some(rate) = self.rate else { return Duration::ZERO };
        let start = self.next.map_or(now, |next| next.max(now));
        self.next = Some(start + Duration::from_secs_f64(load.0 / rate));
        let wait = start - now;
        interval.is_used_up |= !wait.is_zero();
        wait
    }

    /// Learns how much of what was offered the lane took, and how much it refused as too much.
    pub(super) fn note(&mut self, taken: Load, refused: Load, now: Instant) {
        let interval = self.interval.get_or_insert_with(|| Interval::from(now));
        interval.taken += taken.0;
        interval.refused += refused.0;
        let seconds = (now - interval.began).as_secs_f64();
        let share =
            if interval.refused > 0.0 { interval.refused / (interval.taken + interval.refused) } else { 0.0 };
        let (taken, is_used_up) = (interval.taken, interval.is_used_up);
        if self.rate.is_none() && share > TOLERATED {
            self.rate = Some((taken / seconds.max(SECOND.as_secs_f64())).max(LEAST));
            // Of this second there is nothing left.
            self.next = Some(now + SECOND);
        } else if seconds < INTERVAL.as_secs_f64() {
            return;
        } else if share > TOLERATED {
            self.slow_down(share - TOLERATED, seconds);
        } else {
            self.refusing = (self.refusing - seconds).max(0.0);
            self.calm += seconds;
            if is_used_up && let Some(rate) = &mut self.rate {
                *rate += *rate * GROWTH * (1.0 + self.calm / GROWS_TWICE) * seconds;
            }
        }
        self.interval = None;
    }

    /// A share too much was refused in so many seconds.
    fn slow_down(&mut self, share: f64, seconds: f64) {
        self.refusing += seconds;
        self.calm = 0.0;
        let least = LEAST * 0.5_f64.powf(self.refusing / HALVED);
        self.rate = self.rate.map(|rate| (rate * (1.0 - share)).max(least));
    }
}

impl Interval {
    fn from(began: Instant) -> Interval {
        Interval { began, taken: 0.0, refused: 0.0, is_used_up: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRIP: Duration = Duration::from_millis(15);

    /// A stream as the service has it: each shard takes so much of each second, and entries go to any of them.
    struct Shards {
        random: fastrand::Rng,
        began: Instant,
        second: u64,
        /// What each has left of this second: entries, bytes.
        left: Vec<(u32, u32)>,
    }

    impl Shards {
        fn new(shards: usize, began: Instant, seed: u64) -> Shards {
            let random = fastrand::Rng::with_seed(seed);
            Shards { random, began, second: u64::MAX, left: vec![(0, 0); shards] }
        }

        /// How many of so many entries are taken.
        fn offer(&mut self, entries: u32, bytes: u32, now: Instant) -> u32 {
            let second = (now - self.began).as_secs();
            if self.second != second {
                self.second = second;
                self.left.fill((1000, 1024 * 1024));
            }
            let mut taken = 0;
            for _ in 0..entries {
                let shard = self.random.usize(..self.left.len());
                let (entries_left, bytes_left) = &mut self.left[shard];
                if *entries_left > 0 && *bytes_left >= bytes {
                    *entries_left -= 1;
                    *bytes_left -= bytes;
                    taken += 1;
                }
            }
            taken
        }
    }

    /// One sender with more entries of `bytes` than the stream takes.
    struct Sender {
        pace: Pace,
        now: Instant,
        bytes: u32,
    }

    impl Sender {
        fn new(bytes: u32) -> Sender {
            Sender { pace: Pace::default(), now: Instant::now(), bytes }
        }

        /// Offers for so long; gives how many entries were offered and how many taken.
        fn run(&mut self, shards: &mut Shards, time: Duration) -> (f64, f64) {
            let (end, entry) = (self.now + time, Load::of(self.bytes as usize));
            let (mut offered, mut taken) = (0.0, 0.0);
            while self.now < end {
                let portion = self.pace.portion().map_or(f64::MAX, |portion| portion.0 / entry.0);
                let entries =
                    (1..500).take_while(|entries| f64::from(*entries) < portion).last().unwrap_or(1);
                let load = Load(entry.0 * f64::from(entries));
                self.now += self.pace.reserve(load, self.now);
                let got = shards.offer(entries, self.bytes, self.now);
                self.now += TRIP;
                let (got, lost) = (f64::from(got), f64::from(entries - got));
                self.pace.note(Load(entry.0 * got), Load(entry.0 * lost), self.now);
                offered += got + lost;
                taken += got;
            }
            (offered, taken)
        }
    }

    const LONG: Duration = Duration::from_secs(120);

    /// Of what so many shards take of entries of `bytes`, nearly all is used, and little refused.
    #[track_caller]
    fn check(shards: u32, bytes: u32) {
        let mut sender = Sender::new(bytes);
        let mut stream = Shards::new(shards as usize, sender.now, u64::from(shards + bytes));
        sender.run(&mut stream, Duration::from_secs(10));
        let (offered, taken) = sender.run(&mut stream, LONG);
        let possible =
            f64::from(shards) * LONG.as_secs_f64() * (SHARD_BYTES / f64::from(bytes)).min(SHARD_ENTRIES);
        assert!(taken / possible >= 0.95, "{} of what {shards} shards take is used", taken / possible);
        assert!(1.0 - taken / offered <= 0.02, "{} is refused by {shards} shards", 1.0 - taken / offered);
    }

    #[test]
    fn a_stream_is_used_and_hardly_refuses_anything() {
        for shards in [1, 2, 4, 10] {
            check(shards, 300);
        }
    }

    #[test]
    fn bytes_count_where_they_are_what_is_short() {
        for shards in [1, 4] {
            check(shards, 4000);
        }
    }

    #[test]
    fn a_stream_with_more_shards_is_used_after_a_while() {
        let mut sender = Sender::new(300);
        let mut stream = Shards::new(1, sender.now, 1);
        sender.run(&mut stream, Duration::from_secs(30));
        stream.left.push((0, 0));
        sender.run(&mut stream, Duration::from_secs(40));
        let (_, taken) = sender.run(&mut stream, Duration::from_secs(10));
        assert!(taken > 19_000.0, "{taken} of 20,000 in ten seconds");
    }

    /// What is refused by chance does not become less by going slower: for minutes it is no reason to.
    #[test]
    fn refusals_that_come_at_any_rate_do_not_stop_delivery() {
        let mut pace = Pace::default();
        let (mut now, mut random, mut left) = (Instant::now(), fastrand::Rng::with_seed(5), 73_099_u32);
        let (start, mut sends) = (now, 0_u32);
        while left > 0 {
            let entries = left.min(150);
            now += pace.reserve(Load(f64::from(entries) / 1000.0), now) + TRIP;
            let taken = u32::try_from((0..entries).filter(|_| random.u8(..100) >= 30).count()).unwrap();
            pace.note(Load(f64::from(taken) / 1000.0), Load(f64::from(entries - taken) / 1000.0), now);
            left -= taken;
            sends += entries;
        }
        assert!(now - start < Duration::from_secs(180), "{:?}", now - start);
        assert!(f64::from(sends) / 73_099.0 < 1.45);
    }

    #[test]
    fn where_nothing_is_refused_nothing_waits() {
        let mut pace = Pace::default();
        let now = Instant::now();
        for second in 0..100 {
            let now = now + Duration::from_secs(second);
            assert_eq!(pace.reserve(Load(100.0), now), Duration::ZERO);
            pace.note(Load(100.0), Load::default(), now);
        }
        assert_eq!(pace.portion(), None);
    }

    #[test]
    fn an_entry_demands_what_is_shorter() {
        assert_eq!(Load::of(10), Load(0.001));
        assert_eq!(Load::of(512 * 1024), Load(0.5));
    }

    proptest! {
        /// Whatever the stream says, something may always go, and no wait is longer than the load takes at the least rate.
        #[test]
        fn there_is_always_a_next_time(answers in proptest::collection::vec((0u32..500, 0u32..500, 0u64..5_000), 1..400)) {
            let (mut pace, mut now) = (Pace::default(), Instant::now());
            for (taken, refused, millis) in answers {
                let wait = pace.reserve(Load(0.001), now);
                prop_assert!(wait <= Duration::from_secs(1), "{:?}", wait);
                now += wait + Duration::from_millis(millis);
                pace.note(Load(f64::from(taken) / 1000.0), Load(f64::from(refused) / 1000.0), now);
                prop_assert!(pace.rate().is_none_or(|rate| rate.0 > 0.01 && rate.0.is_finite()));
            }
        }
    }
}
