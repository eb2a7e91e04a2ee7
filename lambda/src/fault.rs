//! Why a service did not do what it was asked, and what is to be done about it. Pure.
//!
//! Does not know which service was asked for what: the codes of all that we call are sorted here. A call whose answer
//! never came may have been obeyed all the same, and says so.
//!
//! Sources: <https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html>.

use std::error::Error;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// A call of a service that failed as a whole.
#[derive(Debug, thiserror::Error)]
#[error("the call failed ({code})")]
pub struct Fault {
    /// What is to be done about it.
    pub remedy: Remedy,
    /// Whether the service may have obeyed all the same.
    pub outcome: Outcome,
    /// The service's name of the error, or ours.
    pub code: String,
    /// What happened.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// What is to be done about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Ask again soon: too much was asked, or the service or the network is in trouble.
    Again,
    /// Never ask for the same again: a part of it, or all of it, is not what the service takes.
    Split,
    /// Asking again is no use before someone has acted, as where access is denied.
    Act,
}

/// Whether a service may have obeyed a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It said no, or was never asked.
    NotTaken,
    /// Nobody knows.
    Unknown,
}

impl Fault {
    /// Sorts what the SDK says of a call that failed.
    pub fn of<E>(error: SdkError<E>) -> Fault
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().map_or_else(|| format!("HTTP {status}"), str::to_owned);
                let message = service.err().message().unwrap_or("no message").to_owned();
                Fault::of_service(code, status, message.into())
            }
            SdkError::ConstructionFailure(_) => Fault {
                remedy: Remedy::Act,
                outcome: Outcome::NotTaken,
                code: "Construction".to_owned(),
                source: error.into(),
            },
            SdkError::TimeoutError(_) => Fault::unanswered("Timeout", error.into()),
            SdkError::DispatchFailure(_) => Fault::unanswered("Connection", error.into()),
            SdkError::ResponseError(_) => Fault::unanswered("Response", error.into()),
            // The SDK's enum is open; what it adds is treated as what is known least about.
            _ => Fault::unanswered("Unknown", error.into()),
        }
    }

    /// A call that nobody has answered, or not in a way that can be understood.
    pub fn unanswered(code: &str, source: Box<dyn Error + Send + Sync>) -> Fault {
        Fault { remedy: Remedy::Again, outcome: Outcome::Unknown, code: code.to_owned(), source }
    }

    /// A call that was cut short by the end of the time.
    pub fn out_of_time() -> Fault {
        Fault::unanswered("OutOfTime", "the time of the function ended before the answer came".into())
    }

    /// What the service calls `code` in an answer with HTTP `status`.
    fn of_service(code: String, status: u16, source: Box<dyn Error + Send + Sync>) -> Fault {
        let (remedy, outcome) = match code.as_str() {
            "ProvisionedThroughputExceededException"
            | "LimitExceededException"
            | "KMSThrottlingException"
            | "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "SlowDown"
            | "TooManyRequestsException" => (Remedy::Again, Outcome::NotTaken),
            "RequestTimeout" | "RequestTimeoutException" => (Remedy::Again, Outcome::Unknown),
            "InvalidArgumentException"
            | "InvalidParameterValue"
            | "InvalidParameterValueException"
            | "InvalidParameterCombination"
            | "InvalidParameterCombinationException"
            | "MissingParameter"
            | "MissingRequiredParameterException"
            | "SerializationException"
            | "ValidationError"
            | "ValidationException" => (Remedy::Split, Outcome::NotTaken),
            _ if status == 408 => (Remedy::Again, Outcome::Unknown),
            _ if status == 413 => (Remedy::Split, Outcome::NotTaken),
            _ if status == 429 => (Remedy::Again, Outcome::NotTaken),
            _ if status >= 500 => (Remedy::Again, Outcome::Unknown),
            // Everything else says no for a reason that someone may mend.
            _ => (Remedy::Act, Outcome::NotTaken),
        };
        Fault { remedy, outcome, code, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, status: u16, remedy: Remedy, outcome: Outcome) {
        let fault = Fault::of_service(code.to_owned(), status, "said so".into());
        assert_eq!((fault.remedy, fault.outcome), (remedy, outcome), "{code}");
    }

    #[test]
    fn throttling_was_not_taken_and_is_asked_again() {
        check("ProvisionedThroughputExceededException", 400, Remedy::Again, Outcome::NotTaken);
        check("Throttling", 400, Remedy::Again, Outcome::NotTaken);
        check("SlowDown", 503, Remedy::Again, Outcome::NotTaken);
        check("HTTP 429", 429, Remedy::Again, Outcome::NotTaken);
    }

    #[test]
    fn a_service_in_trouble_may_have_obeyed() {
        check("InternalServiceFault", 500, Remedy::Again, Outcome::Unknown);
        check("ServiceUnavailable", 503, Remedy::Again, Outcome::Unknown);
        check("HTTP 408", 408, Remedy::Again, Outcome::Unknown);
        check("RequestTimeout", 400, Remedy::Again, Outcome::Unknown);
    }

    #[test]
    fn what_can_never_be_taken_is_split() {
        check("InvalidParameterValue", 400, Remedy::Split, Outcome::NotTaken);
        check("InvalidParameterCombinationException", 400, Remedy::Split, Outcome::NotTaken);
        check("RequestEntityTooLarge", 413, Remedy::Split, Outcome::NotTaken);
    }

    #[test]
    fn what_someone_can_mend_waits_for_someone() {
        for code in
            ["AccessDenied", "AccessDeniedException", "ResourceNotFoundException", "ExpiredToken", "New"]
        {
            check(code, 400, Remedy::Act, Outcome::NotTaken);
        }
    }

    #[test]
    fn a_call_without_an_answer_may_have_been_obeyed() {
        let fault = Fault::of(
            SdkError::<aws_sdk_kinesis::operation::put_records::PutRecordsError>::timeout_error("slow"),
        );
        assert_eq!((fault.remedy, fault.outcome), (Remedy::Again, Outcome::Unknown));
        assert_eq!(fault.code, "Timeout");
    }
}
