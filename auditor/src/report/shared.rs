//! What the emitting side and the writing thread both touch.

use std::{
    collections::HashMap,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::is_event;
use crate::event::{Body, Loss};

/// Counts of lines since the start. `events` are the lines that stand for a use of a credential; the others are the
/// auditor's words about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkTotals {
    pub written: u64,
    pub written_events: u64,
    pub lost: u64,
    pub lost_events: u64,
}

/// Lines lost and not announced yet.
#[derive(Clone, Copy, Debug)]
struct Unannounced {
    count: u64,
    from: Timestamp,
    to: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    totals: SinkTotals,
    unannounced: Option<Unannounced>,
    failing: Option<String>,
    /// A write(2) has not come back since.
    writing: Option<Instant>,
    stop_by: Option<Instant>,
}

/// A reader that takes nothing for so long is out of order.
pub(super) const STALL: Duration = Duration::from_secs(3);
/// Of the places that are kept for the grave, one party gets a further one only while it has less than an eighth of what is free: who
/// comes next always finds some.
const SHARE: usize = 8;

/// One in the queue.
#[derive(Debug)]
pub(super) struct Place {
    /// Whose share of the reserve it counts to.
    share_of: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Lines in the queue.
    depth: AtomicUsize,
    /// A wake-up is in the queue; a second one would take a line's place.
    woken: AtomicBool,
    /// The last attempt to write got nothing out.
    stalled: AtomicBool,
    /// Lines in the queue that took a place of the reserve, by party.
    shares: Mutex<HashMap<u64, usize>>,
    state: Mutex<State>,
    stop: Condvar,
}

impl Shared {
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Takes a place in the queue, if fewer than `common` are taken, or fewer than `limit` and the party's share is not used up. `None`
    /// has no share that could be.
    pub fn enter(&self, common: usize, limit: usize, party: Option<u64>) -> Option<Place> {
        let place = |share_of| Place { share_of };
        if self.take(common) {
            return Some(place(None));
        }
        let Some(party) = party else {
            return self.take(limit).then(|| place(None));
        };
        let mut shares = lock(&self.shares);
        let held = shares.get(&party).copied().unwrap_or_default();
        if SHARE * held >= limit.saturating_sub(self.depth()) || !self.take(limit) {
            return None;
        }
        shares.insert(party, held + 1);
        Some(place(Some(party)))
    }

    fn take(&self, limit: usize) -> bool {
        let entered = self
            .depth
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |d| {
                (d < limit).then_some(d + 1)
            });
        entered.is_ok()
    }

    pub fn leave(&self, place: Place) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
        if let Some(party) = place.share_of {
            let mut shares = lock(&self.shares);
            match shares.get_mut(&party) {
                Some(held) if *held > 1 => *held -= 1,
                _ => {
                    shares.remove(&party);
                }
            }
        }
    }

    /// True when a wake-up is to be sent.
    pub fn wake(&self) -> bool {
        !self.woken.swap(true, Ordering::AcqRel)
    }

    pub fn awake(&self) {
        self.woken.store(false, Ordering::Release);
    }

    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    pub fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    pub fn totals(&self) -> SinkTotals {
        self.lock().totals
    }

    pub fn failing(&self, now: Instant) -> Option<String> {
        let state = self.lock();
        let hangs_since = || {
            let took = now.saturating_duration_since(state.writing?);
            (took >= STALL).then(|| {
                format!(
                    "events cannot be written: one write has not come back for {} s",
                    took.as_secs()
                )
            })
        };
        state.failing.clone().or_else(hangs_since)
    }

    /// What `write` does may hang in the kernel: a disk, a terminal.
    pub fn writing<T>(&self, write: impl FnOnce() -> T) -> T {
        self.lock().writing = Some(Instant::now());
        let result = write();
        self.lock().writing = None;
        result
    }

    pub fn set_failing(&self, why: Option<String>) {
        self.lock().failing = why;
    }

    pub fn count_written(&self, body: &Body) {
        let totals = &mut self.lock().totals;
        totals.written += 1;
        totals.written_events += u64::from(is_event(body));
    }

    /// A line with this time will not be written.
    pub fn count_lost(&self, body: &Body, time: Timestamp) {
        let mut state = self.lock();
        state.totals.lost += 1;
        state.totals.lost_events += u64::from(is_event(body));
        let loss = state.unannounced.get_or_insert(Unannounced {
            count: 0,
            from: time,
            to: time,
        });
        loss.count += 1;
        loss.from = loss.from.min(time);
        loss.to = loss.to.max(time);
    }

    /// What to announce; forgets it.
    pub fn take_loss(&self) -> Option<Loss> {
        let Unannounced { count, from, to } = self.lock().unannounced.take()?;
        Some(Loss {
            reason: "sink".to_owned(),
            ring: None,
            count,
            from,
            to,
        })
    }

    pub fn stop_by(&self, deadline: Instant) {
        self.lock().stop_by = Some(deadline);
        self.stop.notify_all();
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.lock().stop_by
    }

    /// Sleeps, but not into the deadline, and wakes when one is set.
    pub fn sleep(&self, time: Duration) {
        let state = self.lock();
        let time = match state.stop_by {
            Some(deadline) => time.min(deadline.saturating_duration_since(Instant::now())),
            None => time,
        };
        let set_before = state.stop_by.is_some();
        // Early or late makes no difference to the callers, who look again.
        let _ = self
            .stop
            .wait_timeout_while(state, time, |s| s.stop_by.is_some() == set_before);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Every update leaves what is locked whole, so a panic elsewhere has not spoilt it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places_that_are_kept_for_the_grave() {
        let shared = Shared::default();
        let enter = |party| shared.enter(1792, 2048, party);
        let common: Vec<_> = (0..1792).filter_map(|_| enter(Some(1))).collect();
        assert_eq!(common.len(), 1792);
        let kept: Vec<_> = (0..1000).filter_map(|_| enter(Some(1))).collect();
        assert_eq!(kept.len(), 29, "an eighth of what it leaves");
        // A theft in each of thirty pods that all do the same.
        for party in 2..=30 {
            assert!(enter(Some(party)).is_some(), "{party}");
            let more = (0..1000).filter_map(|_| enter(Some(party)));
            assert!(more.count() < 29);
        }
        assert!(enter(None).is_some(), "the auditor's own word");
        // What is written gives its place back.
        common.into_iter().for_each(|place| shared.leave(place));
        kept.into_iter().for_each(|place| shared.leave(place));
        assert!(!lock(&shared.shares).contains_key(&1));
        assert!(lock(&shared.shares).contains_key(&2));
    }

    #[test]
    fn a_write_that_does_not_come_back_is_told_of() {
        let shared = Shared::default();
        let now = Instant::now();
        assert_eq!(shared.failing(now + 2 * STALL), None, "nothing is written");
        shared.writing(|| {
            let begun = Instant::now();
            assert_eq!(shared.failing(begun), None, "it may take a moment");
            let told = shared.failing(begun + STALL);
            assert!(told.is_some_and(|why| why.contains("has not come back for 3 s")));
            shared.set_failing(Some("no space".to_owned()));
            let told = shared.failing(begun + STALL);
            assert_eq!(
                told.as_deref(),
                Some("no space"),
                "what was said goes before what is guessed"
            );
            shared.set_failing(None);
        });
        assert_eq!(shared.failing(now + 2 * STALL), None, "it came back");
    }

    #[test]
    fn the_last_place_is_for_who_has_none() {
        let shared = Shared::default();
        let enter = |party| shared.enter(0, 2, Some(party)).is_some();
        assert!(enter(1));
        assert!(!enter(1));
        assert!(enter(2));
        assert!(!enter(3));
    }
}
