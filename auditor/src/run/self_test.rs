//! When each hook's canary is played while the auditor runs, and what follows from it. Pure: playing is the caller's.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{event::Health, probe::Hook};

/// A canary that misses once may have met a loaded machine; one that misses again is told.
const ATTEMPTS: u32 = 2;
/// Until a hook that failed is tried again: a machine that stood still for a moment must not cost a node its readiness for a whole
/// interval.
const AGAIN: Duration = Duration::from_secs(10);
/// Rounds after which a canary that is lost among other events for ever counts as silent.
const UNCLEAR_ATTEMPTS: u32 = 20;

/// What playing a hook's canary came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Fired,
    /// The hook has no canary.
    Untested,
    /// Why it did not fire, or could not be played.
    Failed(String),
    /// Records were lost, or too many: it may have fired. Why.
    Unclear(String),
}

/// A hook began or ceased to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub hook: Hook,
    /// Null: it fires again.
    pub failure: Option<String>,
    /// When it last fired.
    pub fired_at: Timestamp,
}

impl Change {
    /// As the stream has it.
    pub fn health(&self) -> Health {
        let name = self.hook.name();
        let (state, message) = match &self.failure {
            Some(why) => (
                "degraded",
                // To the second, as a human reads it.
                format!(
                    "the probe {name} does not prove itself any more: {why}; {} may go unseen since {:.0}: {}",
                    self.hook.unseen(),
                    self.fired_at,
                    match self.hook {
                        Hook::OpenBefore =>
                            "look for processes in state D on this node, then restart this pod",
                        _ =>
                            "restart this pod; if it recurs, look for who unloads BPF programs on this node",
                    },
                ),
            ),
            None => ("ok", format!("the probe {name} fires again")),
        };
        Health {
            component: "self-test".to_owned(),
            state: state.to_owned(),
            message,
        }
    }
}

/// One canary at a time, all hooks each `interval`, and those that fail more often.
#[derive(Debug)]
pub struct SelfTest {
    interval: Duration,
    hooks: Vec<Hook>,
    next_round: Instant,
    next_retry: Instant,
    /// Doubles with each retry that does not help: a canary that stays silent keeps the auditor from its work for a second.
    retry: Duration,
    /// Still to be played in this round, and how often each was tried before.
    waiting: VecDeque<(Hook, Tries)>,
    failing: BTreeMap<Hook, String>,
    tested: BTreeSet<Hook>,
    started_at: Timestamp,
    fired_at: BTreeMap<Hook, Timestamp>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    failed: u32,
    unclear: u32,
}

impl SelfTest {
    /// `hooks`: those in use, which were proven just now.
    pub fn new(
        hooks: impl IntoIterator<Item = Hook>,
        interval: Duration,
        now: Instant,
        started_at: Timestamp,
    ) -> Self {
        Self {
            started_at,
            fired_at: BTreeMap::new(),
            interval,
            hooks: hooks.into_iter().collect(),
            next_round: now + interval,
            next_retry: now + AGAIN,
            retry: AGAIN,
            waiting: VecDeque::new(),
            failing: BTreeMap::new(),
            tested: BTreeSet::new(),
        }
    }

    /// The hook whose canary is to be played now, if any; [`Self::note`] what came of it.
    pub fn due(&mut self, now: Instant) -> Option<Hook> {
        if self.waiting.is_empty() && now >= self.next_round {
            self.next_round = now + self.interval;
            self.retry = AGAIN.min(self.interval);
            self.next_retry = now + self.retry;
            self.waiting
                .extend(self.hooks.iter().map(|hook| (*hook, Tries::default())));
        } else if self.waiting.is_empty() && now >= self.next_retry {
            self.retry = (2 * self.retry).min(self.interval);
            self.next_retry = now + self.retry;
            let last = Tries {
                failed: ATTEMPTS - 1,
                unclear: 0,
            };
            let failing = self
                .hooks
                .iter()
                .filter(|hook| self.failing.contains_key(hook));
            self.waiting.extend(failing.map(|hook| (*hook, last)));
        }
        self.waiting.front().map(|(hook, _)| *hook)
    }

    /// Of the hook that was due, played at `now`.
    pub fn note(&mut self, outcome: Outcome, now: Timestamp) -> Option<Change> {
        let (hook, mut tries) = self.waiting.pop_front()?;
        let why = match outcome {
            Outcome::Untested => return None,
            Outcome::Fired => return self.fired(hook, now),
            Outcome::Failed(why) => {
                tries.failed += 1;
                why
            }
            Outcome::Unclear(why) => {
                tries.unclear += 1;
                why
            }
        };
        if tries.failed < ATTEMPTS && tries.unclear < UNCLEAR_ATTEMPTS {
            self.waiting.push_back((hook, tries));
            return None;
        }
        self.failed(hook, why)
    }

    /// Of a hook that is tested by its own work, not when it is due: each look at what is open.
    pub fn note_work(
        &mut self,
        hook: Hook,
        result: Result<(), String>,
        now: Timestamp,
    ) -> Option<Change> {
        match result {
            Ok(()) => self.fired(hook, now),
            Err(why) => self.failed(hook, why),
        }
    }

    fn fired(&mut self, hook: Hook, now: Timestamp) -> Option<Change> {
        self.tested.insert(hook);
        self.fired_at.insert(hook, now);
        self.failing.remove(&hook).map(|_| Change {
            hook,
            failure: None,
            fired_at: now,
        })
    }

    fn failed(&mut self, hook: Hook, why: String) -> Option<Change> {
        self.tested.insert(hook);
        let is_new = self.failing.insert(hook, why.clone()).is_none();
        is_new.then(|| Change {
            hook,
            failure: Some(why),
            fired_at: *self.fired_at.get(&hook).unwrap_or(&self.started_at),
        })
    }

    /// Hooks that were tested at least once, and whether they passed the last time.
    pub fn results(&self) -> impl Iterator<Item = (Hook, bool)> {
        self.tested
            .iter()
            .map(|hook| (*hook, !self.failing.contains_key(hook)))
    }

    pub fn is_failing(&self, hook: Hook) -> bool {
        self.failing.contains_key(&hook)
    }

    /// For /readyz; none: all that are tested fire.
    pub fn not_ready(&self) -> Option<String> {
        if self.failing.is_empty() {
            return None;
        }
        let failing: Vec<_> = self
            .failing
            .iter()
            .map(|(hook, why)| format!("{}: {why}", hook.name()))
            .collect();
        Some(format!("the self-test fails: {}", failing.join("; ")))
    }
}

#[cfg(test)]
mod tests;
