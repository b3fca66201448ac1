//! Who took whose tokens lately: what `token-harvest` rests on.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use crate::event::{Finding, FindingId, InodeId, OwnerRef, Relation, Severity};

/// Thefts that lie closer together than this belong to one harvest.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Openers that are remembered. One more, and the one that took nothing for the longest time is forgotten.
const OPENERS: usize = 1024;
/// Victims that are remembered of one opener; far more than a line names.
const VICTIMS: usize = 64;

/// What stays the same when the opener's process is started anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OpenerKey {
    Pod(Arc<str>),
    /// Outside every pod: the cgroup (a service, a login session) and the program in it.
    Host {
        cgroup_id: u64,
        executable: Option<InodeId>,
    },
    /// Whose process it is, is not known.
    Conflict {
        cgroup_id: u64,
    },
}

/// Every opener's thefts, bounded.
#[derive(Debug, Default)]
pub struct Harvests {
    openers: HashMap<OpenerKey, VecDeque<Taken>>,
}

/// The last theft of this owner's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Taken {
    owner: OwnerRef,
    time: Timestamp,
}

impl Harvests {
    /// Whose tokens the opener took within ten minutes of `time`, oldest first.
    #[must_use]
    pub fn taken(&self, opener: &OpenerKey, time: Timestamp) -> Vec<OwnerRef> {
        let taken = self.openers.get(opener).into_iter().flatten();
        taken
            .filter(|taken| taken.time.duration_since(time).abs() <= WINDOW)
            .map(|taken| taken.owner.clone())
            .collect()
    }

    /// Takes note of a theft; see [`is_counted_theft`].
    pub fn note(&mut self, opener: OpenerKey, owner: &OwnerRef, time: Timestamp) {
        if !self.openers.contains_key(&opener) {
            self.make_room(time);
        }
        let taken = self.openers.entry(opener).or_default();
        // Events of one moment come in almost any order.
        let earlier = taken.iter().position(|taken| taken.owner.uid == owner.uid);
        let earlier = earlier.and_then(|at| taken.remove(at));
        let latest = earlier.map_or(time, |earlier| earlier.time.max(time));
        taken.retain(|taken| latest.duration_since(taken.time) <= WINDOW);
        while taken.len() >= VICTIMS {
            taken.pop_front();
        }
        let at = taken.partition_point(|taken| taken.time <= latest);
        let owner = owner.clone();
        taken.insert(
            at,
            Taken {
                owner,
                time: latest,
            },
        );
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.openers.len() < OPENERS {
            return;
        }
        let last = |taken: &VecDeque<Taken>| taken.back().map(|taken| taken.time);
        self.openers
            .retain(|_, taken| last(taken).is_some_and(|at| now.duration_since(at) <= WINDOW));
        while self.openers.len() >= OPENERS {
            let oldest = self.openers.iter().min_by_key(|(_, taken)| last(taken));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.openers.remove(&oldest);
        }
    }
}

/// Whether these findings tell of a theft that counts: one by a pod of the same ServiceAccount does not, and neither does one that policy
/// exempts or makes mere information.
#[must_use]
pub fn is_counted_theft(findings: &[Finding], relation: Relation) -> bool {
    let theft = match relation {
        Relation::OtherPod => FindingId::ForeignTokenOpen,
        Relation::Host => FindingId::HostTokenOpen,
        Relation::Unknown => FindingId::IdentityMismatch,
        Relation::Own | Relation::SameServiceAccount => return false,
    };
    findings
        .iter()
        .any(|f| f.id == theft && f.exempted_by.is_none() && f.severity > Severity::Info)
}

#[cfg(test)]
mod tests;
