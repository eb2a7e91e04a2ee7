//! The stream as the sender sees it: one call, one verdict per record.

use std::error::Error;
use std::future::Future;

use super::settle::Answer;
use crate::batch::Batch;

/// Where batches go.
pub trait Stream {
    /// Offers the records of `batch` at `indices`, in one call.
    ///
    /// # Errors
    /// If the call failed as a whole.
    fn offer(&self, batch: &Batch, indices: &[usize]) -> impl Future<Output = Result<Answer, Fault>>;
}

/// What is to be done about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Offer again soon: too much was offered, or the service or the network is in trouble.
    Again,
    /// Offer again, slowly, and say so: it will fail until someone acts (access denied, no such stream, a key that is
    /// disabled, no credentials).
    Act,
    /// Never offer these records unchanged: one of them, or all together, is not what the service takes.
    Split,
}

/// Whether the stream may have taken records of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It said no, or was never asked.
    NotTaken,
    /// Nobody knows.
    Unknown,
}

/// A call that failed as a whole.
#[derive(Debug, thiserror::Error)]
#[error("the call failed ({code})")]
pub struct Fault {
    /// What to do about it.
    pub remedy: Remedy,
    /// Whether records may be in the stream all the same.
    pub outcome: Outcome,
    /// The service's name of the error, or ours.
    pub code: String,
    /// What happened.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Whether a service that says this, of a call or of an entry, was offered too much at a time. Firehose's word for that is
/// the second. Source: as for [`Fault::of_service`], and
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.
pub(super) fn is_throttling(code: &str) -> bool {
    [
        "ProvisionedThroughputExceededException",
        "ServiceUnavailableException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "SlowDown",
        "TooManyRequestsException",
    ]
    .contains(&code)
}

impl Fault {
    /// The fault that the service calls `code` in an answer with HTTP `status`.
    ///
    /// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html> and
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>.
    #[must_use]
    pub fn of_service(code: &str, status: u16, source: Box<dyn Error + Send + Sync>) -> Fault {
        let (remedy, outcome) = match code {
            // A service in trouble may say the same as one that was offered too much.
            _ if is_throttling(code) && status < 500 => (Remedy::Again, Outcome::NotTaken),
            "RequestTimeout" | "RequestTimeoutException" => (Remedy::Again, Outcome::Unknown),
            "InvalidArgumentException" | "ValidationException" | "SerializationException" => {
                (Remedy::Split, Outcome::NotTaken)
            }
            _ if status == 408 => (Remedy::Again, Outcome::Unknown),
            _ if status == 429 => (Remedy::Again, Outcome::NotTaken),
            _ if status == 413 => (Remedy::Split, Outcome::NotTaken),
            _ if status >= 500 => (Remedy::Again, Outcome::Unknown),
            // Everything else says no for a reason that may be mended: nothing is given up for it.
            _ => (Remedy::Act, Outcome::NotTaken),
        };
        Fault { remedy, outcome, code: code.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, status: u16, remedy: Remedy, outcome: Outcome) {
        let fault = Fault::of_service(code, status, "said so".into());
        assert_eq!((fault.remedy, fault.outcome), (remedy, outcome), "{code}");
    }

    #[test]
    fn throttling_is_offered_again() {
        check("ProvisionedThroughputExceededException", 400, Remedy::Again, Outcome::NotTaken);
        check("KMSThrottlingException", 400, Remedy::Again, Outcome::NotTaken);
        check("SlowDown", 400, Remedy::Again, Outcome::NotTaken);
        check("HTTP 429", 429, Remedy::Again, Outcome::NotTaken);
    }

    #[test]
    fn a_service_in_trouble_may_have_taken_the_records() {
        check("InternalFailure", 500, Remedy::Again, Outcome::Unknown);
        check("ServiceUnavailable", 503, Remedy::Again, Outcome::Unknown);
        check("HTTP 408", 408, Remedy::Again, Outcome::Unknown);
    }

    #[test]
    fn what_an_operator_can_mend_waits_for_the_operator() {
        for code in [
            "AccessDeniedException",
            "ResourceNotFoundException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "NeverHeardOfException",
        ] {
            check(code, 400, Remedy::Act, Outcome::NotTaken);
        }
    }

    #[test]
    fn what_can_never_succeed_is_taken_apart() {
        check("InvalidArgumentException", 400, Remedy::Split, Outcome::NotTaken);
        check("RequestEntityTooLarge", 413, Remedy::Split, Outcome::NotTaken);
    }
}
