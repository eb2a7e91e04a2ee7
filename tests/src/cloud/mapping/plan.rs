//! The invocations of one shard, planned: records and the clock in, invocations out. Pure.
//!
//! A record is in at most one invocation at a time, and leaves the plan when an invocation has dealt with it or it has
//! been given up. Records leave in their order. An invocation with a window has records of that window only, and no
//! window begins before the one before it has had its last invocation.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-errors.html>.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::batch::{self, Limits, Run};
use super::failure::{self, Condition, Expected, GivenUp, Verdict};
use super::record::{Number, Record, Source};
use super::settings::Settings;
use super::windows::{Open, Window};
use crate::cloud::moment::Moment;
use crate::cloud::runtime::PAYLOAD_LIMIT;

/// What an event has beside records and state, generously.
const ENVELOPE_BYTES: usize = 1024;

/// The wait after the first failure; it doubles with each further one. The service names no figures.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait, and after how many doublings it is reached.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const DOUBLINGS: u32 = 6;

/// What is to be done next.
#[derive(Clone, Debug)]
pub enum Step {
    /// The function is to be invoked; the plan waits for [`Plan::settle`].
    Invoke(Invocation),
    /// These records are given up.
    GiveUp(GivenUp),
    /// Nothing yet.
    Wait,
    /// Nothing any more: the shard has ended and all of it is dealt with.
    End,
}

/// One call of the function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The event.
    pub payload: String,
    /// How many records it has.
    pub records: usize,
    /// The window it belongs to.
    pub window: Option<Window>,
    /// Which call of the window it is.
    pub call: Call,
}

/// Which call of its window an invocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// One that others follow, or one without a window.
    Middle,
    /// The last one.
    Final,
    /// The last one, of a window that has ended early because of its state.
    FinalEarly,
}

/// A batch that has been formed.
#[derive(Clone, Copy, Debug)]
struct Segment {
    records: usize,
    call: Call,
    attempts: u32,
    not_before: Moment,
}

#[derive(Clone, Debug)]
struct Queued {
    number: Number,
    arrived: Moment,
    json: String,
}

/// The plan of one shard.
#[derive(Clone, Debug)]
pub struct Plan {
    settings: Settings,
    source: Source,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// When the records that wait began to.
    waiting_since: Moment,
    /// Formed batches, the next one last; together they are the front of the queue.
    segments: Vec<Segment>,
    open: Option<Open>,
    /// Every record that arrived before this has been read.
    read_until: Moment,
    is_ended: bool,
}

impl Plan {
    /// A plan for a shard of which nothing has been read.
    #[must_use]
    pub fn new(settings: Settings, source: Source) -> Plan {
        Plan {
            settings,
            source,
            queue: VecDeque::new(),
            queue_bytes: 0,
            waiting_since: Moment::EPOCH,
            segments: Vec::new(),
            open: None,
            read_until: Moment::EPOCH,
            is_ended: false,
        }
    }

    /// Whether there is room for more records: not yet as many as two batches.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < 2 * self.settings.batch_size && self.queue_bytes < 2 * PAYLOAD_LIMIT
    }

    /// Takes records that have been read; all that arrived before `until` have been now.
    pub fn read(&mut self, records: Vec<Record>, until: Moment, now: Moment) {
        if self.queue.is_empty() {
            self.waiting_since = now;
        }
        for record in records {
            let json = record.to_json(&self.source).to_string();
            self.queue_bytes += json.len();
            self.queue.push_back(Queued { number: record.number, arrived: record.arrived, json });
        }
        self.read_until = self.read_until.max(until);
    }

    /// The shard has no further records.
    pub fn end(&mut self) {
        self.is_ended = true;
    }

    /// Up to when all that arrived is dealt with, windows included; none if something is still to be done.
    #[must_use]
    pub fn settled_until(&self) -> Option<Moment> {
        let is_idle = self.queue.is_empty() && self.segments.is_empty() && self.open.is_none();
        is_idle.then_some(self.read_until)
    }

    /// What is to be done now.
    pub fn next(&mut self, now: Moment) -> Step {
        if self.segments.is_empty() {
            match self.form(now) {
                Some(segment) => self.segments.push(segment),
                None if self.is_ended && self.settled_until().is_some() => return Step::End,
                None => return Step::Wait,
            }
        }
        if let Some(given_up) = self.give_up_old(now) {
            return Step::GiveUp(given_up);
        }
        match self.segments.last().copied() {
            Some(segment) if segment.not_before <= now => Step::Invoke(self.invocation(segment)),
            Some(_) | None => Step::Wait,
        }
    }

    /// Takes the answer of the last invocation, or why there is none. Says what has been given up for it.
    pub fn settle(&mut self, answer: Result<&[u8], String>, now: Moment) -> Option<GivenUp> {
        let segment = self.segments.pop()?;
        let verdict = match answer {
            Err(why) => Verdict::Failed(why),
            Ok(answer) => {
                let numbers: Vec<&Number> =
                    self.queue.iter().take(segment.records).map(|queued| &queued.number).collect();
                failure::verdict(
                    answer,
                    Expected {
                        numbers: &numbers,
                        has_window: self.settings.tumbling_window.is_some(),
                        reports_item_failures: self.settings.reports_item_failures,
                    },
                )
            }
        };
        match verdict {
            Verdict::Done(state) => {
                self.drop_front(segment.records);
                self.keep(state, segment.call);
                None
            }
            Verdict::From(done, state) => {
                self.drop_front(done);
                self.keep(state, Call::Middle);
                let records = segment.records.saturating_sub(done);
                // To go on from the record named is a bisection, which uses up no retry; where the first is named, nothing
                // is cut off, and all of it comes again as it was.
                let is_bisected = self.settings.bisects && done > 0;
                let attempts = if is_bisected { segment.attempts } else { segment.attempts + 1 };
                self.again(Segment { records, attempts, ..segment }, now)
            }
            Verdict::Failed(_) if self.settings.bisects && segment.records > 1 => {
                let first = segment.records / 2;
                let not_before = now.plus(FIRST_WAIT);
                self.segments.push(Segment { records: segment.records - first, not_before, ..segment });
                self.segments.push(Segment { records: first, call: Call::Middle, not_before, ..segment });
                None
            }
            Verdict::Failed(_) => self.again(Segment { attempts: segment.attempts + 1, ..segment }, now),
        }
    }

    /// The next batch of the records that wait, and the last call of a window that is over.
    fn form(&mut self, now: Moment) -> Option<Segment> {
        let segment = |records, call| Segment { records, call, attempts: 0, not_before: now };
        if self.open.as_ref().is_some_and(Open::is_too_large) {
            return Some(segment(0, Call::FinalEarly));
        }
        let Some(first) = self.queue.front() else {
            let open = self.open.as_ref()?;
            return self.is_over(open.window).then(|| segment(0, Call::Final));
        };
        let window = self.window_of(first.arrived);
        if let Some(open) = &self.open
            && window != Some(open.window)
        {
            return Some(segment(0, Call::Final));
        }
        let same = self.queue.iter().take_while(|queued| self.window_of(queued.arrived) == window).count();
        let state_bytes = self.open.as_ref().map_or(0, Open::state_bytes);
        let limits = Limits {
            records: self.settings.batch_size.max(1),
            bytes: PAYLOAD_LIMIT.saturating_sub(ENVELOPE_BYTES + state_bytes),
        };
        let sizes = self.queue.iter().take(same).map(|queued| queued.json.len());
        let Run { records, is_full } = batch::longest(sizes, limits);
        // Nothing can join the batch any more: what follows belongs to another window, or does not come.
        let is_last =
            same < self.queue.len() || self.is_ended || window.is_some_and(|window| self.is_over(window));
        let is_complete = records == same && is_last;
        if !is_full && !is_complete && now.since(self.waiting_since) < self.settings.batching_window {
            return None;
        }
        if let Some(window) = window {
            self.open.get_or_insert_with(|| Open::new(window));
        }
        let call = if window.is_some() && is_complete { Call::Final } else { Call::Middle };
        Some(segment(records, call))
    }

    fn window_of(&self, arrived: Moment) -> Option<Window> {
        self.settings.tumbling_window.map(|length| Window::of(arrived, length))
    }

    /// Whether no record of the window can come any more.
    fn is_over(&self, window: Window) -> bool {
        self.is_ended || self.read_until >= window.end
    }

    /// Gives up the records of the next batch that are older than they may be. The last call of a window is made even
    /// if none of them is left.
    fn give_up_old(&mut self, now: Moment) -> Option<GivenUp> {
        let limit = self.settings.record_age?;
        let segment = *self.segments.last()?;
        let batch = self.queue.iter().take(segment.records);
        let old = batch.take_while(|queued| now.since(queued.arrived) > limit).count();
        if old == 0 {
            return None;
        }
        let given_up = self
            .given_up(Segment { records: old, call: Call::Middle, ..segment }, Condition::RecordAgeExceeded);
        self.drop_front(old);
        self.segments.pop();
        let rest = Segment { records: segment.records - old, ..segment };
        if rest.records > 0 || rest.call != Call::Middle {
            self.segments.push(rest);
        }
        Some(given_up)
    }

    /// A batch that has failed is to be tried again, unless it has been tried as often as it may.
    fn again(&mut self, segment: Segment, now: Moment) -> Option<GivenUp> {
        if self.settings.retries.is_some_and(|retries| segment.attempts > retries) {
            let given_up = self.given_up(segment, Condition::RetryAttemptsExhausted);
            self.drop_front(segment.records);
            if segment.call != Call::Middle {
                self.open = None;
            }
            return Some(given_up);
        }
        let doubled = FIRST_WAIT * 2_u32.pow(segment.attempts.saturating_sub(1).min(DOUBLINGS));
        self.segments.push(Segment { not_before: now.plus(doubled.min(LONGEST_WAIT)), ..segment });
        None
    }

    fn keep(&mut self, state: Value, call: Call) {
        match call {
            Call::Final | Call::FinalEarly => self.open = None,
            Call::Middle => {
                if let Some(open) = &mut self.open {
                    open.keep(state);
                }
            }
        }
    }

    fn drop_front(&mut self, records: usize) {
        for queued in self.queue.drain(..records) {
            self.queue_bytes -= queued.json.len();
        }
    }

    fn given_up(&self, segment: Segment, condition: Condition) -> GivenUp {
        let end = |index| {
            let queued: &Queued = self.queue.get(index)?;
            Some((queued.number.clone(), queued.arrived))
        };
        let last = segment.records.checked_sub(1);
        GivenUp {
            condition,
            attempts: segment.attempts,
            payload: self.invocation(segment).payload,
            shard: self.source.shard.clone(),
            stream: self.source.stream.clone(),
            records: segment.records,
            ends: last.and_then(|last| Some([end(0)?, end(last)?])),
        }
    }

    fn invocation(&self, segment: Segment) -> Invocation {
        let records: Vec<&str> =
            self.queue.iter().take(segment.records).map(|queued| queued.json.as_str()).collect();
        let mut payload = format!("{{\"Records\":[{}]", records.join(","));
        if let Some(open) = &self.open {
            let rest = json!({
                "window": {"start": open.window.start.to_string(), "end": open.window.end.to_string()},
                "state": open.state(),
                "shardId": self.source.shard,
                "eventSourceARN": self.source.stream,
                "isFinalInvokeForWindow": segment.call != Call::Middle,
                "isWindowTerminatedEarly": segment.call == Call::FinalEarly,
            });
            // The object goes on: its opening brace is the comma's place.
            let rest = rest.to_string();
            payload.push(',');
            payload.push_str(rest.strip_prefix('{').unwrap_or_default());
        } else {
            payload.push('}');
        }
        Invocation {
            payload,
            records: segment.records,
            window: self.open.as_ref().map(|open| open.window),
            call: segment.call,
        }
    }
}

#[cfg(test)]
mod tests;
