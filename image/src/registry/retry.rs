//! Trying again.

use std::future::Future;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use super::{Error, Result, backoff};

/// Does `attempt` until it succeeds, fails for good, or has failed too often in a row.
pub async fn persist<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut failures = 0;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => {
                failures += 1;
                pause(failures, error).await?;
            }
        }
    }
}

/// Waits before the next attempt; the error comes back if there should be none.
pub async fn pause(failures: u32, error: Error) -> Result<()> {
    let Some(wait) = error.is_passing().then(|| backoff::wait(failures, error.retry_after(), jitter())).flatten()
    else {
        return Err(error);
    };
    tracing::info!(%error, failures, ?wait, "trying again");
    tokio::time::sleep(wait).await;
    Ok(())
}

/// How long [`pause`] would wait at most, for whoever is told of it.
pub fn outlook(failures: u32, error: &Error) -> Option<Duration> {
    error.is_passing().then(|| backoff::wait(failures, error.retry_after(), 1.0)).flatten()
}

fn jitter() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness, clients merely come back at once.
    let _ = SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
