//! How much is offered: what the stream takes, and hardly more. Pure: time is an argument.
//!
//! As long as nothing is refused, everything is offered at once. The first refusals set a rate, that of what was taken in a
//! second; from then on it grows little by little while it is used up, and is cut by what was refused whenever that is more
//! than a hundredth. So the stream is used up to a few hundredths, and little is offered in vain. Where a shard takes few
//! entries a second, as they are large, the batcher has them meet the shards evenly.
//!
//! A shard that has taken all it takes refuses everything until its second is over. Refusals that come evenly, some of each
//! request, are by chance or by others: going slower would mend nothing, and they do not count.
//!
//! Of those who share a lane, each sees the same share refused and is cut alike, and the slower grow more in proportion: in
//! time they come to the same rate.
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
const TOLERATED: f64 = 0.008;

/// How much a rate grows in a second after the last cut, and how many seconds it takes to grow by twice as much: a stream
/// that was given more shards is used after half a minute.
const GROWTH: f64 = 0.005;
const GROWS_TWICE: f64 = 4.0;

/// What may go in one request, in seconds of the rate: of large ones, one more in the same second is too many.
const PORTION: f64 = 0.05;

/// The least rate, at which it can still be told whether refusals are even; and the longest that one waits for its place.
const LEAST: f64 = 0.06;
const LONGEST: Duration = Duration::from_secs(10);

/// What a cut leaves at least: the worst of seconds says little of the next.
const LEFT: f64 = 0.5;

/// Of how many entries a moment is made at least, and how many moments tell whether refusals are even. A shard takes fewer
/// large entries than that in an interval: their refusals count.
const MOMENT: f64 = 10.0;
const MOMENTS: f64 = 10.0;

/// Moments that differ so many times as much as chance makes them differ are not even.
const UNEVEN: f64 = 2.0;

/// What some entries demand of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Load {
    seconds: f64,
    entries: f64,
}

impl Load {
    /// That of one entry with so many bytes, its key included.
    pub(super) fn of(bytes: usize) -> Load {
        let bytes = u32::try_from(bytes).map_or(f64::from(u32::MAX), f64::from);
        Load { seconds: (1.0 / SHARD_ENTRIES).max(bytes / SHARD_BYTES), entries: 1.0 }
    }

    /// What is left of it without a part.
    pub(super) fn less(self, part: Load) -> Load {
        let left = |whole: f64, part: f64| (whole - part).max(0.0);
        Load { seconds: left(self.seconds, part.seconds), entries: left(self.entries, part.entries) }
    }
}

impl Add for Load {
    type Output = Load;

    fn add(self, other: Load) -> Load {
        Load { seconds: self.seconds + other.seconds, entries: self.entries + other.entries }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Load) {
        *self = *self + other;
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
    /// Seconds of a shard a second, since it refused any.
    rate: Option<f64>,
    /// When what was let go before is used up.
    next: Option<Instant>,
    interval: Option<Interval>,
    /// Seconds since the last cut.
    calm: f64,
}

/// What came of a rate so far.
#[derive(Debug)]
struct Interval {
    began: Instant,
    all: Moment,
    /// In the order in which they were learned.
    moments: Vec<Moment>,
    /// Whether anything had to wait.
    is_used_up: bool,
}

/// What was taken and what was refused in one request, or in as many as make it worth a look.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    taken: Load,
    refused: Load,
}

impl Pace {
    /// How many of the entries with these loads may go in one request; more than there are if it is all, and never none.
    pub(super) fn portion(&self, loads: impl Iterator<Item = Load>) -> usize {
        let Some(rate) = self.rate else { return usize::MAX };
        let sums = loads.scan(Load::default(), |sum, load| {
            *sum += load;
            Some(sum.seconds)
        });
        sums.take_while(|seconds| *seconds <= rate * PORTION).count().max(1)
    }

    /// How many small entries it offers in a second; nothing if that is as many as there are.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate.map(|rate| Duration::from_secs_f64(rate * SHARD_ENTRIES).as_secs())
    }

    /// Takes the next place for this load; says how long to wait for it.
    pub(super) fn reserve(&mut self, load: Load, now: Instant) -> Duration {
        let interval = self.interval.get_or_insert_with(|| Interval::from(now));
        let Some(rate) = self.rate else { return Duration::ZERO };
        let start = self.next.map_or(now, |next| next.max(now));
        self.next = Some(start + Duration::from_secs_f64(load.seconds / rate)).min(Some(now + LONGEST));
        let wait = start - now;
        interval.is_used_up |= !wait.is_zero();
        wait
    }

    /// Learns how much of what was offered the lane took, and how much it refused as too much.
    pub(super) fn note(&mut self, taken: Load, refused: Load, now: Instant) {
        let interval = self.interval.get_or_insert_with(|| Interval::from(now));
        interval.note(Moment { taken, refused });
        let seconds = (now - interval.began).as_secs_f64();
        let excess = interval.all.share() - TOLERATED;
        match &mut self.rate {
            None if excess > 0.0 => {
                self.rate = Some((interval.all.taken.seconds / seconds.max(1.0)).max(LEAST));
                // Of this second there is nothing left.
                self.next = Some(now + SECOND);
            }
            _ if seconds < INTERVAL.as_secs_f64() => return,
            None => (),
            Some(rate) if excess > 0.0 && !interval.is_even() => {
                self.calm = 0.0;
                *rate = (*rate * (1.0 - excess).max(LEFT)).max(LEAST);
            }
            Some(rate) => {
                self.calm += seconds;
                if interval.is_used_up {
                    *rate += rate.max(rate.sqrt()) * GROWTH * (1.0 + self.calm / GROWS_TWICE) * seconds;
                }
            }
        }
        self.interval = None;
    }
}

impl Interval {
    fn from(began: Instant) -> Interval {
        Interval { began, all: Moment::default(), moments: Vec::new(), is_used_up: false }
    }

    fn note(&mut self, moment: Moment) {
        self.all = self.all.and(moment);
        match self.moments.last_mut() {
            Some(last) if last.entries() < MOMENT => *last = last.and(moment),
            _ => self.moments.push(moment),
        }
    }

    /// Whether each moment had its part of the refusals: by the mean square of what they differ by, in what chance makes of
    /// it (Pearson's chi-squared, of each moment).
    fn is_even(&self) -> bool {
        let share = self.all.refused.entries / self.all.entries();
        let squares = self.moments.iter().map(|moment| {
            let entries = moment.entries();
            (moment.refused.entries - entries * share).powi(2) / (entries * share * (1.0 - share))
        });
        let moments = f64::from(u32::try_from(self.moments.len()).unwrap_or(u32::MAX));
        moments >= MOMENTS && share < 1.0 && squares.sum::<f64>() < UNEVEN * moments
    }
}

impl Moment {
    fn and(self, other: Moment) -> Moment {
        Moment { taken: self.taken + other.taken, refused: self.refused + other.refused }
    }

    fn entries(self) -> f64 {
        (self.taken + self.refused).entries
    }

    /// The share that was refused, of the load.
    fn share(self) -> f64 {
        let offered = (self.taken + self.refused).seconds;
        if offered > 0.0 { self.refused.seconds / offered } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

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
        /// Of a hundred entries, so many are refused whatever is left.
        by_chance: u8,
        /// Where in the range of hash keys the last pack went.
        place: u64,
    }

    impl Shards {
        fn new(shards: usize, began: Instant, seed: u64) -> Shards {
            let random = fastrand::Rng::with_seed(seed);
            Shards { random, began, second: u64::MAX, left: vec![(0, 0); shards], by_chance: 0, place: seed }
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
                let shard = self.shard(bytes);
                let (entries_left, bytes_left) = &mut self.left[shard];
                let is_refused = self.random.u8(..100) < self.by_chance;
                if *entries_left > 0 && *bytes_left >= bytes && !is_refused {
                    *entries_left -= 1;
                    *bytes_left -= bytes;
                    taken += 1;
                }
            }
            taken
        }

        /// That of the next entry: packs go to places at the same distance, by the golden ratio.
        fn shard(&mut self, bytes: u32) -> usize {
            if bytes < 10_000 {
                return self.random.usize(..self.left.len());
            }
            self.place = self.place.wrapping_add(0x9E37_79B9_7F4A_7C15);
            usize::try_from((u128::from(self.place) * self.left.len() as u128) >> 64).unwrap()
        }
    }

    /// So many entries of so many bytes.
    fn of(entries: u32, bytes: u32) -> Load {
        repeat_n(Load::of(bytes as usize), entries as usize).sum()
    }

    /// One sender with more entries of `bytes` than the stream takes.
    struct Sender {
        pace: Pace,
        now: Instant,
        bytes: u32,
        offered: f64,
        taken: f64,
    }

    impl Sender {
        fn new(bytes: u32, now: Instant) -> Sender {
            Sender { pace: Pace::default(), now, bytes, offered: 0.0, taken: 0.0 }
        }

        /// Makes one request.
        fn offer(&mut self, shards: &mut Shards) {
            let entries = self.pace.portion(repeat_n(Load::of(self.bytes as usize), 500)).min(500);
            let entries = u32::try_from(entries).unwrap();
            self.now += self.pace.reserve(of(entries, self.bytes), self.now);
            let taken = shards.offer(entries, self.bytes, self.now);
            self.now += TRIP;
            self.pace.note(of(taken, self.bytes), of(entries - taken, self.bytes), self.now);
            self.offered += f64::from(entries);
            self.taken += f64::from(taken);
        }
    }

    /// All offer for so long; gives how many entries each had offered and taken.
    fn run(senders: &mut [Sender], shards: &mut Shards, time: Duration) -> Vec<(f64, f64)> {
        let first =
            |senders: &[Sender]| (0..senders.len()).min_by_key(|sender| senders[*sender].now).unwrap();
        let end = senders[first(senders)].now + time;
        senders.iter_mut().for_each(|sender| (sender.offered, sender.taken) = (0.0, 0.0));
        loop {
            let sender = &mut senders[first(senders)];
            if sender.now >= end {
                return senders.iter().map(|sender| (sender.offered, sender.taken)).collect();
            }
            sender.offer(shards);
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The share of the possible that so many senders use of so many shards, the share that is refused of what they offer,
    /// and how many times as much the luckiest has taken as the unluckiest: in the two minutes after `before`.
    fn shares(senders: usize, shards: u32, bytes: u32, by_chance: u8, before: Duration) -> (f64, f64, f64) {
        let now = Instant::now();
        let mut senders: Vec<_> = (0..senders).map(|_| Sender::new(bytes, now)).collect();
        let mut stream = Shards::new(shards as usize, now, u64::from(shards + bytes));
        stream.by_chance = by_chance;
        run(&mut senders, &mut stream, before);
        let books = run(&mut senders, &mut stream, seconds(120));
        let (offered, taken) = books.iter().fold((0.0, 0.0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        let possible = f64::from(shards) * 120.0 * (SHARD_BYTES / f64::from(bytes)).min(SHARD_ENTRIES);
        let most = books.iter().map(|(_, taken)| *taken).fold(0.0, f64::max);
        let least = books.iter().map(|(_, taken)| *taken).fold(f64::INFINITY, f64::min);
        (taken / possible, 1.0 - taken / offered, most / least)
    }

    /// Of what so many shards take of entries of `bytes`, nearly all is used, and little refused.
    #[track_caller]
    fn check(shards: u32, bytes: u32) {
        let (used, refused, _) = shares(1, shards, bytes, 0, seconds(10));
        assert!(used >= 0.95, "{used} of what {shards} shards take is used");
        assert!(refused <= 0.02, "{refused} is refused by {shards} shards");
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
    fn packs_that_go_to_all_shards_alike_use_them() {
        for shards in [1, 4, 10] {
            for bytes in [25_600, 51_200] {
                let (used, refused, _) = shares(1, shards, bytes, 0, seconds(30));
                assert!(used >= 0.95, "{used} of what {shards} shards take in packs of {bytes} is used");
                assert!(refused <= 0.021, "{refused} is refused by {shards} shards in packs of {bytes}");
            }
        }
    }

    #[test]
    fn a_stream_with_more_shards_is_used_after_a_while() {
        let now = Instant::now();
        let (mut sender, mut stream) = ([Sender::new(300, now)], Shards::new(1, now, 1));
        run(&mut sender, &mut stream, seconds(30));
        stream.left.push((0, 0));
        run(&mut sender, &mut stream, seconds(40));
        let (_, taken) = run(&mut sender, &mut stream, seconds(10))[0];
        assert!(taken > 19_000.0, "{taken} of 20,000 in ten seconds");
    }

    /// Hosts of a fleet, all with more than the stream takes.
    #[test]
    fn those_who_share_a_stream_use_it_and_come_to_the_same_rate() {
        for (senders, shards) in [(10, 2), (50, 10)] {
            let (used, refused, unfair) = shares(senders, shards, 300, 0, seconds(300));
            assert!(used >= 0.95, "{used} of what {shards} shards take is used by {senders}");
            assert!(refused <= 0.03, "{refused} is refused by {shards} shards to {senders}");
            assert!(unfair <= 4.0, "the luckiest of {senders} has {unfair} times as much as the unluckiest");
        }
    }

    /// What is refused by chance does not become less by going slower.
    #[test]
    fn refusals_that_come_at_any_rate_do_not_stop_delivery() {
        let now = Instant::now();
        let (mut sender, mut stream) = ([Sender::new(300, now)], Shards::new(100, now, 5));
        stream.by_chance = 30;
        let (offered, taken) = run(&mut sender, &mut stream, seconds(90))[0];
        assert!(taken > 73_099.0, "{taken} in 90 s");
        assert!(offered / taken < 1.45, "{offered} for {taken}");
    }

    /// What a shard refuses as too much counts, too, where others are refused by chance.
    #[test]
    fn a_stream_that_refuses_by_chance_is_not_offered_more_than_it_takes() {
        for shards in [1, 4] {
            let (used, refused, _) = shares(1, shards, 300, 30, seconds(120));
            assert!(used >= 0.7, "{used} of what {shards} shards take is used");
            assert!(refused <= 0.33, "{refused} is refused by {shards} shards, 0.3 of it by chance");
        }
    }

    /// Whether refusals are taken as even where of each request of so many entries so many are refused.
    #[track_caller]
    fn check_even(requests: &[(u32, u32)], expected: bool) {
        let mut interval = Interval::from(Instant::now());
        for (entries, refused) in requests.iter().cycle().take(200) {
            interval.note(Moment { taken: of(entries - refused, 1), refused: of(*refused, 1) });
        }
        assert_eq!(interval.is_even(), expected, "{requests:?}");
    }

    #[test]
    fn refusals_are_even_if_each_request_has_its_part() {
        check_even(&[(50, 15), (50, 12), (50, 18)], true);
        check_even(&[(50, 0), (50, 0), (50, 50)], false);
        check_even(&[(50, 10), (50, 0), (50, 40)], false);
        check_even(&[(50, 50)], false);
        // Single entries say nothing; some of them together do.
        let one_by_one: Vec<_> = repeat_n((1, 0), 10).chain(repeat_n((1, 1), 10)).collect();
        check_even(&one_by_one, false);
        check_even(&[(1, 0), (1, 0), (1, 1)], true);
    }

    #[test]
    fn where_nothing_is_refused_nothing_waits() {
        let mut pace = Pace::default();
        let now = Instant::now();
        for second in 0..100 {
            let now = now + seconds(second);
            assert_eq!(pace.reserve(of(100_000, 1), now), Duration::ZERO);
            pace.note(of(100_000, 1), Load::default(), now);
        }
        assert_eq!(pace.rate(), None);
    }

    #[test]
    fn a_bad_moment_leaves_half_of_the_rate() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.note(of(1000, 1), of(100, 1), start);
        assert_eq!(pace.rate(), Some(1000));
        pace.reserve(of(1, 1), start);
        pace.note(Load::default(), of(1000, 1), start + INTERVAL);
        assert_eq!(pace.rate(), Some(500));
    }

    #[test]
    fn an_entry_demands_what_is_shorter() {
        assert_eq!(Load::of(10).seconds, 0.001);
        assert_eq!(Load::of(512 * 1024).seconds, 0.5);
    }

    proptest! {
        /// Whatever the stream says, the next place comes soon.
        #[test]
        fn there_is_always_a_next_time(bytes in 0u32..2_000_000, answers in proptest::collection::vec((0u32..500, 0u32..500, 0u64..5_000), 1..400)) {
            let (mut pace, mut now) = (Pace::default(), Instant::now());
            for (taken, refused, millis) in answers {
                let wait = pace.reserve(of(1, bytes), now);
                prop_assert!(wait <= LONGEST, "{:?}", wait);
                now += wait + Duration::from_millis(millis);
                pace.note(of(taken, 1), of(refused, 1), now);
                prop_assert!(pace.rate.is_none_or(|rate| rate >= LEAST && rate.is_finite()));
            }
        }
    }
}
