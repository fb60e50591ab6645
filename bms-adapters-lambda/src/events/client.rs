//! Clients that end in time.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;

use super::DestinationError;

/// How long one call may take, with all its attempts.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(8);
/// How long one attempt may take: a connection that died while the function was frozen costs no more.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(3);
/// How long connecting may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// How often a call is tried, with the pauses of the SDK, when it may be for nothing but bad luck.
const ATTEMPTS: u32 = 3;

/// The configuration, with these ends in place of its own.
pub(crate) fn bounded(config: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .operation_attempt_timeout(ATTEMPT_DEADLINE)
        .operation_timeout(CALL_DEADLINE)
        .build();
    config.to_builder().timeout_config(timeouts).retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS)).build()
}

/// Without a region every call would fail, and only then.
pub(crate) fn check_region(config: &SdkConfig) -> Result<(), DestinationError> {
    config.region().map(|_| ()).ok_or(DestinationError::Region)
}
