//! Events of pods that the cluster has not told of yet: they wait, bounded in time and number, and hold up nobody else.

use std::{collections::VecDeque, time::Duration};

use auditor_common::OpenRecord;

use super::Pipeline;
use crate::{audit::Judgement, event::Verdict, node::Clock};

/// How long the cluster may take to tell of a pod.
const PATIENCE: Duration = Duration::from_secs(30);
/// 2.7 MB of records. One more, and the oldest goes out as it is.
const CAPACITY: usize = 1024;

/// Which look at an event this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    First,
    Again,
    /// It goes out now, come what may.
    Last,
}

impl Attempt {
    /// The next look at an event of that time.
    pub fn next(boot_ns: u64, last: bool) -> Self {
        if last || Clock::since(boot_ns) >= PATIENCE {
            Self::Last
        } else {
            Self::Again
        }
    }

    pub fn waited_ms(self, boot_ns: u64) -> Option<u64> {
        let waited = || u64::try_from(Clock::since(boot_ns).as_millis()).unwrap_or(u64::MAX);
        (self != Self::First).then(waited)
    }
}

/// Opens, oldest first.
#[derive(Debug, Default)]
pub struct Held {
    opens: VecDeque<Box<OpenRecord>>,
}

/// Whether a later look at the cluster may change the verdict. A theft never waits.
pub fn may_become_clear(judgement: &Judgement) -> bool {
    judgement.verdict == Verdict::Undetermined
        && judgement
            .undetermined
            .iter()
            .any(|lacking| lacking == "pod")
}

impl Pipeline {
    pub(super) fn hold(&mut self, record: &OpenRecord) {
        if self.held.opens.len() >= CAPACITY
            && let Some(oldest) = self.held.opens.pop_front()
        {
            self.consider_open(&oldest, Attempt::Last);
        }
        self.held.opens.push_back(Box::new(*record));
    }

    /// Looks at every held open once more; `last`: nothing may wait any longer.
    pub(super) fn retry_held(&mut self, last: bool) {
        for _ in 0..self.held.opens.len() {
            if let Some(record) = self.held.opens.pop_front() {
                self.consider_open(&record, Attempt::next(record.header.time, last));
            }
        }
    }
}
