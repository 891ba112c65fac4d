//! Waiting longer after each failure, and saying why.

use std::time::Duration;

use crate::error::Error;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// The failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Something has succeeded.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Logs the failure and waits.
    pub async fn wait(&mut self, what: &str, error: &Error) {
        let delay = self.next();
        tracing::warn!(%error, retry_in = ?delay, "{what}");
        tokio::time::sleep(delay).await;
    }

    fn next(&mut self) -> Duration {
        let delay = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures += 1;
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(waits.is_sorted() && waits[0] == FIRST && waits[39] == LONGEST);
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }
}
