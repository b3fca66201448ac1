//! Waiting longer after each failure, at random, so that thousands of nodes do not come back together.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::{Failure, Timing};

/// A time from zero to below `most`, evenly spread.
#[must_use]
pub fn jitter(most: Duration) -> Duration {
    // Fresh keys each time: as random as is needed here.
    let random = RandomState::new().hash_one(0_u8);
    // The upper 32 bits as a fraction.
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit")]
    let fraction = (random >> 32) as f64 / 4_294_967_296.0;
    most.mul_f64(fraction)
}

/// Exponential, with full jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    #[must_use]
    pub fn new(least: Duration, most: Duration) -> Self {
        Self {
            least,
            most,
            next: least,
        }
    }

    /// How long to wait now.
    pub fn wait(&mut self) -> Duration {
        let most = self.next;
        self.next = (most * 2).min(self.most);
        // Never nothing at all: that would be a busy loop now and then.
        most / 20 + jitter(most - most / 20)
    }

    /// How long to wait after that failure: longer where somebody must change something first, and never shorter than
    /// the server asks for. A first refusal counts as any failure: kube-apiserver forbids everything for a moment after
    /// its start, until it has read its roles (`clusterrole … not found`).
    pub fn wait_after(&mut self, failure: &Failure, timing: &Timing) -> Duration {
        let is_lasting = self.next >= self.most;
        let mut wait = self.wait();
        if failure.is_refusal() && is_lasting {
            wait += timing.refused / 2 + jitter(timing.refused / 2);
        }
        if let Some(asked) = failure.retry_after() {
            wait += asked + jitter(asked / 5);
        }
        wait
    }

    /// It went well.
    pub fn reset(&mut self) {
        self.next = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_lasting_only_after_others() {
        let timing = Timing::default();
        let mut backoff = Backoff::new(timing.backoff_least, timing.backoff_most);
        let refusal = Failure::Status {
            code: 403,
            message: "clusterrole \"credential-auditor\" not found".to_owned(),
            retry_after: None,
        };
        // 0.8, 1.6, 3.2, 6.4, 12.8 and 25.6 s at most: a server that starts has read its roles by then.
        for _ in 0..6 {
            assert!(backoff.wait_after(&refusal, &timing) < timing.backoff_most);
        }
        assert!(backoff.wait_after(&refusal, &timing) > timing.refused / 2);
    }

    #[test]
    fn doubles_up_to_its_limit_and_spreads() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 30 * second);
        for most in [1, 2, 4, 8, 16, 30, 30, 30].map(|factor| factor * second) {
            let wait = backoff.wait();
            assert!(wait >= most / 20 && wait < most, "{wait:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.wait() < second);

        let waits: Vec<Duration> = (0..1000).map(|_| jitter(second)).collect();
        let low = waits.iter().filter(|wait| **wait < second / 2).count();
        assert!((400..600).contains(&low), "{low} of 1000 in the lower half");
        assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
    }
}
