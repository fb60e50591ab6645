//! How long an invocation may take.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use tokio::time::Instant;

/// What is left for telling the runtime the answer.
const MARGIN: Duration = Duration::from_millis(250);
/// The end of an invocation that has none: longer than any function may run.
const FOR_EVER: Duration = Duration::from_hours(1);

/// When an invocation's work has to be done: a moment before the runtime ends it.
pub(crate) fn end(context: &Context) -> Instant {
    // Not told; the runtime always tells.
    if context.deadline == 0 {
        return Instant::now() + FOR_EVER;
    }
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(MARGIN).min(FOR_EVER)
}
