//! Why a queue or a topic has not taken something.

use std::fmt;

#[cfg(not(feature = "sqs"))]
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
#[cfg(feature = "sqs")]
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

/// Names the queue or topic, what happened and what to do; nothing of the event, and no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    destination: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The service has refused it, with this code.
    Code(String),
    /// The service did not answer in time, or in part.
    Unanswered,
    /// The service was not spoken to.
    Unreachable,
    /// An event alone is more than a call may carry.
    TooLarge,
    /// The event cannot be written.
    Unwritten,
}

impl Refusal {
    pub(crate) fn new(destination: &str, why: Why) -> Self {
        Self { destination: destination.to_owned(), why }
    }

    /// What the SDK's error comes to. What else it says is not shown: it may name who asked, and what.
    pub(crate) fn of<E, R>(destination: &str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let why = match error {
            SdkError::ServiceError(error) => Why::Code(error.err().code().unwrap_or("no code").to_owned()),
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Why::Unanswered,
            _ => Why::Unreachable,
        };
        Self::new(destination, why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, why } = self;
        match why {
            Why::Code(code) => write!(f, "{destination} refused it with {code}: {}", remedy(code)),
            Why::Unanswered => write!(f, "{destination} did not answer in time; what was sent may have arrived"),
            Why::Unreachable => {
                let remedy = "give the function a way to the service (a NAT or a VPC endpoint), and credentials";
                write!(f, "{destination} could not be asked: {remedy}")
            }
            Why::TooLarge => write!(f, "the event alone is more than {destination} takes, 256 KiB"),
            Why::Unwritten => f.write_str("the event cannot be written as JSON"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What to do about a code of SQS or SNS.
fn remedy(code: &str) -> &'static str {
    // Codes come with and without the name of the service, or of the kind of error.
    let is = |part: &str| code.contains(part);
    if is("KMS") || is("Kms") {
        "allow the function's role to use the key that it is encrypted with (kms:GenerateDataKey, kms:Decrypt)"
    } else if is("AccessDenied") || is("AuthorizationError") {
        "allow the function's role to send to it (sqs:SendMessage, sns:Publish)"
    } else if is("NonExistentQueue") || is("QueueDoesNotExist") || is("NotFound") {
        "make it, or correct its name and the region"
    } else if is("Token") || is("Signature") || is("UnrecognizedClient") || is("InvalidClientTokenId") {
        "correct the function's credentials"
    } else if is("Throttl") {
        "it takes no more just now; the events come again"
    } else {
        "the service's documentation tells what the code means; the events come again"
    }
}
