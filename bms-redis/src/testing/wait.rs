//! Waiting within async code for another process, with an end.

use std::time::{Duration, Instant};

use bms_domain::testing::servers::Failure;

/// How long real servers may take for what takes them a few seconds, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again, with a pause of some milliseconds, until the answer is yes; `what` says what is waited for.
///
/// # Errors
///
/// [`Failure::Late`] after a minute.
pub async fn eventually<Answer: Future<Output = bool>>(what: &str, mut asks: impl FnMut() -> Answer) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    while !asks().await {
        if Instant::now() >= end {
            return Err(Failure::Late { what: what.to_owned(), limit: PATIENCE, seen: "no".to_owned() });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
