//! The clock of an endpoint whose clock is off. Pure but for what it is off from.

use anyhow::{Context, Result};
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};

use super::http::Message;
use crate::cloud::moment::Moment;

/// How far a signature may be from it: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.
const TOLERANCE_SECONDS: i64 = 5 * 60;

/// What it shows if it is so far ahead.
pub(super) fn shown(ahead_seconds: i64) -> Result<DateTime> {
    let millis = i64::try_from(Moment::now().to_millis())?;
    Ok(DateTime::from_millis(millis + ahead_seconds * 1000))
}

/// The same as the header `Date` has it.
pub(super) fn date(shown: DateTime) -> Result<String> {
    Ok(shown.fmt(DateTimeFormat::HttpDate)?)
}

/// Whether a request was signed too long before or after.
pub(super) fn is_off(request: &Message, shown: DateTime) -> Result<bool> {
    let signed = request.header("x-amz-date").context("a request without its time")?;
    let signed = signed_at(signed).with_context(|| format!("`{signed}` is no time"))?;
    Ok((shown.secs() - signed.secs()).abs() > TOLERANCE_SECONDS)
}

/// Reads `20261122T100000Z`.
fn signed_at(text: &str) -> Option<DateTime> {
    let part = |from: usize, to: usize| text.get(from..to);
    let day = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let time = format!("{}:{}:{}", part(8, 11)?, part(11, 13)?, part(13, 16)?);
    let text = day + &time;
    DateTime::from_str(&text, DateTimeFormat::DateTime).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(signed_at(text).map(|time| time.secs()), expected);
    }

    #[test]
    fn the_time_of_a_signature_is_read() {
        check("19700101T000001Z", Some(1));
        check("20261122T100000Z", Some(1_795_341_600));
        check("20261122", None);
        check("", None);
    }
}
