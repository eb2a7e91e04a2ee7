//! What is counted of requests: how many, with how many bytes, how long they took; by status, and by application. Pure.
//!
//! Does not know what an application is unknown for. A table never outgrows its room: what finds none is refused, and
//! the caller counts it elsewhere.

use std::collections::BTreeMap;

use crate::reference::Application;
use crate::request::Request;

/// The largest number that is counted up to: what is larger, readers of JSON no longer tell from its neighbours. It has
/// 16 digits, so that the size of a state can be told without writing it.
pub(super) const LARGEST: u64 = (1 << 53) - 1;

/// What one status of one application takes in a state, at most: its status, seven numbers and what separates them, as
/// `[65535,…,…,…,[…,…,…,…]],`.
pub(super) const STATUS_BYTES: usize = 5 + 7 * 16 + 12;

/// What separates an application with its statuses from the next one in a state: `[,,[]],`.
const APPLICATION_BYTES: usize = 7;

/// How many statuses are told apart where no room is reckoned for each. There are 63 registered ones.
/// <https://www.iana.org/assignments/http-status-codes>
pub(super) const STATUSES: usize = 100;

/// The sum of two counts, which stays at the largest.
pub(super) fn add(one: u64, other: u64) -> u64 {
    one.saturating_add(other).min(LARGEST)
}

/// Some amounts, of which there is one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The least of them.
    pub min: u64,
    /// The largest of them.
    pub max: u64,
}

impl Spread {
    pub(super) fn of(amount: u64) -> Spread {
        let amount = amount.min(LARGEST);
        Spread { count: 1, sum: amount, min: amount, max: amount }
    }

    /// The two taken as one.
    pub(super) fn join(self, other: Spread) -> Spread {
        Spread {
            count: add(self.count, other.count),
            sum: add(self.sum, other.sum),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// Adds an amount to those that there may be.
    pub(super) fn note(spread: &mut Option<Spread>, amount: u64) {
        let new = Spread::of(amount);
        *spread = Some(spread.map_or(new, |spread| spread.join(new)));
    }
}

/// What is counted of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many there are.
    pub count: u64,
    /// Those that the server failed: with a status of 500 or more.
    pub errors: u64,
    /// The bytes that were sent, as far as they are logged.
    pub bytes: u64,
    /// How long they took, in microseconds; nothing if that is not logged.
    pub latency: Option<Spread>,
}

impl Counts {
    fn note(&mut self, request: &Request<'_>) {
        let errors = u64::from(request.status.is_some_and(|status| status >= 500));
        self.count = add(self.count, 1);
        self.errors = add(self.errors, errors);
        self.bytes = add(self.bytes, request.bytes.unwrap_or(0));
        if let Some(micros) = request.duration_micros {
            Spread::note(&mut self.latency, micros);
        }
    }
}

/// Counts by status; where there is none, by that.
pub(super) type ByStatus = BTreeMap<Option<u16>, Counts>;

/// Counts by at most [`STATUSES`] statuses; those of further ones are counted as if they had none.
#[derive(Clone, Debug, Default)]
pub(super) struct Statuses(ByStatus);

impl Statuses {
    /// The counts as they were kept, unless there are too many.
    pub(super) fn restore(statuses: ByStatus) -> Option<Statuses> {
        // The one for none is beyond the statuses that are told apart.
        (statuses.len() <= STATUSES + 1).then_some(Statuses(statuses))
    }

    pub(super) fn note(&mut self, request: &Request<'_>) {
        let is_told_apart = self.0.len() < STATUSES || self.0.contains_key(&request.status);
        let status = request.status.filter(|_| is_told_apart);
        self.0.entry(status).or_default().note(request);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<u16>, &Counts)> {
        self.0.iter().map(|(status, counts)| (*status, counts))
    }

    /// How many requests there are.
    pub(super) fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, counts| add(sum, counts.count))
    }
}

/// Counts by application and status.
#[derive(Clone, Debug, Default)]
pub(super) struct Applications {
    counts: BTreeMap<Application, ByStatus>,
    /// What they take in a state, at most.
    bytes: usize,
}

/// There is no room for a further status or application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl Applications {
    /// Counts a request of an application, unless that takes more than `room` bytes of a state.
    pub(super) fn note(
        &mut self,
        application: &Application,
        request: &Request<'_>,
        room: usize,
    ) -> Result<(), NoRoom> {
        self.counts(application, request.status, room)?.note(request);
        Ok(())
    }

    /// Puts counts back that were kept.
    pub(super) fn restore(
        &mut self,
        application: &Application,
        status: Option<u16>,
        counts: Counts,
        room: usize,
    ) -> Result<(), NoRoom> {
        *self.counts(application, status, room)? = counts;
        Ok(())
    }

    fn counts(
        &mut self,
        application: &Application,
        status: Option<u16>,
        room: usize,
    ) -> Result<&mut Counts, NoRoom> {
        let known = self.counts.get(application);
        if known.is_none_or(|statuses| !statuses.contains_key(&status)) {
            let names = if known.is_none() { names_len(application) + APPLICATION_BYTES } else { 0 };
            let bytes = self.bytes + names + STATUS_BYTES;
            if bytes > room {
                return Err(NoRoom);
            }
            self.bytes = bytes;
        }
        // Asked for twice, so that an application that is known is not cloned for each of its requests.
        if self.counts.contains_key(application) {
            self.counts.get_mut(application).map(|statuses| statuses.entry(status).or_default()).ok_or(NoRoom)
        } else {
            Ok(self.counts.entry(application.clone()).or_default().entry(status).or_default())
        }
    }

    /// What they take in a state, at most.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Application, &ByStatus)> {
        self.counts.iter()
    }
}

/// What the names of an application take as texts of JSON, at most.
fn names_len(application: &Application) -> usize {
    let text_len = |text: &str| -> usize {
        let escaped_len = |byte| match byte {
            b'"' | b'\\' => 2,
            0..b' ' => 6,
            _ => 1,
        };
        2 + text.bytes().map(escaped_len).sum::<usize>()
    };
    text_len(&application.name) + text_len(&application.contact)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::{any, prop_assert, proptest};

    fn request(status: Option<u16>) -> Request<'static> {
        Request {
            source: None,
            status,
            bytes: Some(100),
            duration_micros: Some(u64::from(status.unwrap_or(7))),
            time_millis: None,
            position: None,
        }
    }

    fn application(name: &str) -> Application {
        Application { name: name.into(), contact: "team".into() }
    }

    #[test]
    fn a_status_of_500_or_more_is_an_error() {
        let mut counts = Counts::default();
        for status in [Some(499), Some(500), None, Some(503)] {
            counts.note(&request(status));
        }
        let latency = Some(Spread { count: 4, sum: 1_509, min: 7, max: 503 });
        assert_eq!(counts, Counts { count: 4, errors: 2, bytes: 400, latency });
    }

    #[test]
    fn no_number_grows_beyond_the_largest() {
        assert_eq!(LARGEST.to_string().len(), 16);
        assert_eq!(add(LARGEST, 1), LARGEST);
        assert_eq!(add(u64::MAX, u64::MAX), LARGEST);
        let spread = Spread::of(u64::MAX).join(Spread::of(1));
        assert_eq!(spread, Spread { count: 2, sum: LARGEST, min: 1, max: LARGEST });
    }

    #[test]
    fn statuses_beyond_those_that_are_told_apart_count_as_none() {
        let mut statuses = Statuses::default();
        for status in 0..1_000 {
            statuses.note(&request(Some(status)));
        }
        statuses.note(&request(Some(5)));
        let counts: BTreeMap<_, _> = statuses.iter().map(|(status, counts)| (status, counts.count)).collect();
        assert_eq!(counts.len(), STATUSES + 1);
        assert_eq!(counts[&Some(5)], 2);
        assert_eq!((counts[&None], statuses.count()), (900, 1_001));
        // The errors among them are still errors.
        let errors: u64 = statuses.iter().map(|(_, counts)| counts.errors).sum();
        assert_eq!(errors, 500);
        assert!(Statuses::restore(statuses.0.clone()).is_some());
        statuses.0.insert(Some(999), Counts::default());
        assert!(Statuses::restore(statuses.0).is_none());
    }

    #[test]
    fn what_has_no_room_is_refused_and_what_is_there_goes_on() {
        let mut known = Applications::default();
        let room = 2 * STATUS_BYTES + APPLICATION_BYTES + names_len(&application("a"));
        let mut note = |name, status| known.note(&application(name), &request(Some(status)), room);
        assert_eq!(note("a", 200), Ok(()));
        assert_eq!(note("b", 200), Err(NoRoom));
        assert_eq!(note("a", 404), Ok(()));
        assert_eq!(note("a", 500), Err(NoRoom));
        assert_eq!(note("a", 200), Ok(()));
        let counts: Vec<u64> =
            known.iter().flat_map(|(_, statuses)| statuses.values()).map(|c| c.count).collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!(known.bytes(), room);
    }

    proptest! {
        #[test]
        fn names_take_no_more_in_a_state_than_is_reckoned(name in any::<String>(), contact in any::<String>()) {
            let application = Application { name: name.as_str().into(), contact: contact.as_str().into() };
            let json = serde_json::to_string(&(name, contact)).unwrap();
            prop_assert!(json.len() - "[,]".len() <= names_len(&application));
        }
    }
}
