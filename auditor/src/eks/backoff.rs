//! How fast requests are made, and how long to wait before the next attempt.

use std::time::Duration;

/// Injected, so that tests need not wait.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Between the beginnings of two Describes: AWS publishes no limit for them, and shares the one there is with everybody
    /// in the account.
    pub describe_every: Duration,
    /// How many Describes may be under way at a time.
    pub concurrency: usize,
    /// Every association is described again within this time: only so is a changed role seen.
    pub describe_again_within: Duration,
    /// How long one reading may describe. What is left is described by the next one.
    pub describe_for: Duration,
    /// Where describing takes longer than this, what is known already is told first.
    pub tell_first: Duration,
    /// From the request to the last byte of the answer.
    pub timeout: Duration,
    /// Of one request, the first one included.
    pub attempts: u32,
    /// Doubled by each attempt.
    pub backoff: Duration,
    pub backoff_limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            describe_every: Duration::from_millis(100),
            concurrency: 4,
            describe_again_within: Duration::from_secs(600),
            describe_for: Duration::from_secs(50),
            tell_first: Duration::from_secs(2),
            timeout: Duration::from_secs(10),
            attempts: 6,
            backoff: Duration::from_millis(500),
            backoff_limit: Duration::from_secs(20),
        }
    }
}

impl Pace {
    /// Before attempt `attempt`, counted from 1 (the first repetition): exponential with full jitter (AWS Architecture Blog,
    /// "Exponential Backoff And Jitter"), and no less than the server asked for. `jitter` gives a time from zero to the one it is
    /// given.
    #[must_use]
    pub fn wait(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        jitter: impl Fn(Duration) -> Duration,
    ) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1));
        let ceiling = doubled
            .and_then(|factor| self.backoff.checked_mul(factor))
            .map_or(self.backoff_limit, |wait| wait.min(self.backoff_limit));
        // A server that asks for more than this is asked again by the next reading.
        let asked = retry_after.map_or(Duration::ZERO, |asked| asked.min(self.backoff_limit * 3));
        asked + jitter(ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_limit_and_spread() {
        let pace = Pace::default();
        let most = |attempt| pace.wait(attempt, None, |most| most).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7, 40].map(most),
            [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]
        );
        assert_eq!(pace.wait(5, None, |_| Duration::ZERO), Duration::ZERO);
        assert_eq!(pace.wait(5, None, |most| most / 2), Duration::from_secs(4));
    }

    #[test]
    fn a_server_that_says_when_is_heard_within_reason() {
        let pace = Pace::default();
        let after = |seconds| pace.wait(1, Some(Duration::from_secs(seconds)), |_| Duration::ZERO);
        assert_eq!(after(7), Duration::from_secs(7));
        assert_eq!(after(86_400), Duration::from_secs(60));
        // Jitter comes on top: all who were told the same do not come back at once.
        let seven = Some(Duration::from_secs(7));
        assert!(pace.wait(1, seven, |most| most / 2) > Duration::from_secs(7));
    }
}
