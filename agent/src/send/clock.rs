//! Whether a call was signed for another time than the service's.
//!
//! The SDK learns the service's time from each answer, and signs the next call for that. What is refused after it was signed
//! for another time is therefore mended with the next call; what is refused after that is for somebody to mend.

use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use aws_smithy_types::date_time::Format;

/// From where on a clock is off. Services take five minutes for it, which the way there is a part of:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.
const OFF_SECONDS: u64 = 4 * 60;

/// Compares the time that each call is signed for with that of its answer.
#[derive(Debug)]
pub(super) struct Clock;

/// The header that a call says with what time it is signed for.
#[derive(Debug)]
struct Signed(String);

impl Storable for Signed {
    type Storer = StoreReplace<Signed>;
}

/// What an answer bears whose call was signed for another time.
#[derive(Clone, Copy, Debug)]
struct Off;

/// Whether what is answered here was signed for another time.
pub(super) fn was_off(answer: &HttpResponse) -> bool {
    answer.extension::<Off>().is_some()
}

#[dyn_dispatch_hint]
impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(signed) = context.request().headers().get("x-amz-date") {
            config.interceptor_state().store_put(Signed(signed.to_owned()));
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        // Out of a cache, it says nothing of now: the SDK does not go by it either.
        let date = headers.get("date").filter(|_| headers.get("age").is_none());
        if config.load::<Signed>().zip(date).is_some_and(|(Signed(signed), date)| is_off(signed, date)) {
            context.response_mut().add_extension(Off);
        }
        Ok(())
    }
}

/// Whether `20261122T100000Z` is far from `Sun, 22 Nov 2026 10:00:00 GMT`.
fn is_off(signed: &str, date: &str) -> bool {
    let answered = DateTime::from_str(date, Format::HttpDate);
    seconds(signed)
        .zip(answered.ok())
        .is_some_and(|(signed, answered)| signed.abs_diff(answered.secs()) > OFF_SECONDS)
}

/// The seconds since 1970 that `20261122T100000Z` means.
fn seconds(signed: &str) -> Option<i64> {
    let (day, time) = signed.split_once('T')?;
    let day = format!("{}-{}-{}", day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    let time = format!("{}:{}:{}", time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    Some(DateTime::from_str(&format!("{day}T{time}"), Format::DateTime).ok()?.secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(signed: &str, date: &str, expected: bool) {
        assert_eq!(is_off(signed, date), expected, "{signed} {date}");
    }

    #[test]
    fn some_minutes_are_the_way() {
        check("20261122T100000Z", "Sun, 22 Nov 2026 10:00:00 GMT", false);
        check("20261122T100000Z", "Sun, 22 Nov 2026 10:04:00 GMT", false);
        check("20261122T100400Z", "Sun, 22 Nov 2026 10:00:00 GMT", false);
    }

    #[test]
    fn more_are_another_time_before_or_after() {
        check("20261122T100000Z", "Sun, 22 Nov 2026 10:04:01 GMT", true);
        check("20261123T000000Z", "Sun, 22 Nov 2026 23:55:59 GMT", true);
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        check("", "Sun, 22 Nov 2026 10:00:00 GMT", false);
        check("20201122T1é", "Sun, 22 Nov 2026 10:00:00 GMT", false);
        check("20201122T100000Z", "now", false);
    }
}
