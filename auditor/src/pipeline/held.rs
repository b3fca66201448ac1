//! Events whose judgement may become clear: of pods that the cluster has not told of yet, of bindings that a later snapshot
//! may hold. They wait, bounded in time and number, and hold up nobody else.

use std::time::{Duration, Instant};

use auditor_common::OpenRecord;

use super::{
    Pipeline,
    actor::Attributed,
    fair::{Class, Fair, about},
    files::inode_of,
};
use crate::{
    audit::Judgement,
    event::{OtherProcess, Verdict, Via},
    node::{Clock, OwnerSource, VolumeOwner},
};

/// 2.7 MB of records. One more, and one of whoever has most goes out as it is.
const CAPACITY: usize = 1024;
/// Between looks at one event; doubled each time.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Which look at an event this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    First,
    Again,
    /// It goes out now, come what may.
    Last,
}

impl Attempt {
    pub fn again(last: bool) -> Self {
        if last { Self::Last } else { Self::Again }
    }

    pub fn waited_ms(self, boot_ns: u64) -> Option<u64> {
        let waited = || u64::try_from(Clock::since(boot_ns).as_millis()).unwrap_or(u64::MAX);
        (self != Self::First).then(waited)
    }
}

/// When to look again.
#[derive(Clone, Copy, Debug)]
pub struct NextLook {
    at: Instant,
    after: Duration,
}

impl NextLook {
    pub fn first(now: Instant) -> Self {
        Self {
            at: now + FIRST_LOOK,
            after: FIRST_LOOK,
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.at
    }

    pub fn later(&self, now: Instant) -> Self {
        let after = (2 * self.after).min(LAST_LOOK);
        Self {
            at: now + after,
            after,
        }
    }
}

/// What was found out at the first look stays so: processes, cgroups and volumes go away meanwhile.
#[derive(Debug, Default)]
pub struct Found {
    pub via: Via,
    /// Of a descriptor that was taken from another process.
    pub from: Option<Box<OtherProcess>>,
    pub owner: Option<(VolumeOwner, OwnerSource)>,
    pub attributed: Option<Attributed>,
    pub next_look: Option<NextLook>,
}

#[derive(Debug)]
struct HeldOpen {
    record: Box<OpenRecord>,
    found: Found,
}

/// Opens, and tokens received.
#[derive(Debug)]
pub struct Held {
    opens: Fair<HeldOpen>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            opens: Fair::new(CAPACITY),
        }
    }
}

/// What was read of it after the event would decide.
pub fn lacks_service_account(judgement: &Judgement) -> bool {
    let mut lacking = judgement.undetermined.iter();
    lacking.any(|lacking| lacking == "serviceaccount")
}

impl Pipeline {
    /// Whether a later look may change the verdict of something of that time. A theft never waits.
    pub(super) fn may_become_clear(&self, judgement: &Judgement, boot_ns: u64) -> bool {
        judgement.verdict == Verdict::Undetermined
            && judgement
                .undetermined
                .iter()
                .filter_map(|lacking| self.sources.patience(lacking))
                .max()
                .is_some_and(|patience| Clock::since(boot_ns) < patience)
    }

    pub(super) fn hold(&mut self, record: &OpenRecord, mut found: Found, class: Class) {
        let now = Instant::now();
        found.next_look = Some(match found.next_look {
            Some(look) => look.later(now),
            None => NextLook::first(now),
        });
        let party = self.party(record.task.cgroup_id, class);
        let task = &record.task;
        let about = about((
            inode_of(&record.file),
            task.exe_dev,
            task.exe_ino,
            found.via,
        ));
        let record = Box::new(*record);
        let held = HeldOpen { record, found };
        if let Some(spare) = self.held.opens.hold(party, about, held) {
            self.consider_open(&spare.record, spare.found, Attempt::Last);
        }
    }

    /// Looks at the held opens whose time has come; `last`: nothing may wait any longer.
    pub(super) fn retry_held(&mut self, last: bool) {
        let now = Instant::now();
        let is_due =
            |held: &HeldOpen| last || held.found.next_look.is_none_or(|look| look.is_due(now));
        let most = self.room_for_retries(last);
        for held in self.held.opens.take(most, is_due) {
            self.consider_open(&held.record, held.found, Attempt::again(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer() {
        let start = Instant::now();
        let mut look = NextLook::first(start);
        assert!(!look.is_due(start));
        assert!(look.is_due(start + FIRST_LOOK));
        let mut waits = Vec::new();
        for _ in 0..7 {
            look = look.later(start);
            waits.push(look.after.as_millis());
        }
        assert_eq!(waits, [400, 800, 1600, 3200, 5000, 5000, 5000]);
    }
}
