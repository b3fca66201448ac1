//! Which programs use the credentials of each ServiceAccount on this node: what `unexpected-executable` rests on where policy
//! lists none.
//!
//! What an attacker does while this is learned is learned. So what a program cannot have of its image, what comes from outside
//! the container, and what another finding counts against, is left out; nothing is added once the learning time is over; and
//! `auditor policy suggest` shows what was learned, with the pod that brought it in.

mod learned;
mod teaching;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use self::teaching::{judged_program, learnable_program};
pub use self::{
    learned::{CredentialUse, EXECUTABLES, Learned, LearnedExecutable},
    teaching::{is_from_outside, listable_program, teaches},
};
use crate::{cluster::Pod, event::Process};

/// Far more than a node has.
pub const ACCOUNTS: usize = 512;

/// What the baseline says of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Familiarity {
    /// Nothing: it is not kept, still learned, or no program that the baseline is about.
    #[default]
    Unjudged,
    Known,
    /// It was not seen to do that while the ServiceAccount's programs were learned.
    New {
        learned_since: Timestamp,
    },
}

/// A limit that was reached: to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The ServiceAccount runs more programs than are learned of one: no more are. Told once of each.
    Programs,
    /// More ServiceAccounts than are remembered, and this namespace has the most of them: its own are forgotten. Told once.
    Accounts { namespace: Arc<str> },
}

/// All ServiceAccounts', bounded. Lives on in the state directory.
#[derive(Debug, Default)]
pub struct Baselines {
    accounts: HashMap<(Arc<str>, Arc<str>), Learned>,
    revision: u64,
    has_told_of_forgotten: bool,
}

impl Baselines {
    /// As an earlier run left them; of what is too much, the rest. What they say is later than `now` a clock said that was
    /// ahead, and learning would never end by it.
    #[must_use]
    pub fn new(kept: Vec<Learned>, now: Timestamp) -> Self {
        let mut baselines = Self::default();
        for mut kept in kept {
            kept.truncate();
            kept.not_after(now);
            let key = (kept.namespace.clone(), kept.service_account.clone());
            if !baselines.accounts.contains_key(&key) {
                baselines.make_room(&kept.namespace);
            }
            baselines.accounts.insert(key, kept);
        }
        baselines
    }

    /// To be kept for the next run, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Learned> {
        let sorted: BTreeMap<_, _> = self.accounts.iter().collect();
        sorted.into_values()
    }

    /// Another number: something has changed that is worth keeping.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many ServiceAccounts' programs are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.accounts.len()
    }

    /// What is known of the process's program at `time`. Null `learn_for`: policy does not ask for learning.
    #[must_use]
    pub fn familiarity(
        &self,
        pod: &Pod,
        process: &Process,
        used: CredentialUse,
        time: Timestamp,
        learn_for: Option<SignedDuration>,
    ) -> Familiarity {
        let (Some(learn_for), Some(path)) = (learn_for, judged_program(process)) else {
            return Familiarity::Unjudged;
        };
        let key = (pod.namespace.clone(), pod.service_account.clone());
        let Some(learned) = self.accounts.get(&key) else {
            return Familiarity::Unjudged;
        };
        if learned.knows(path, used) {
            Familiarity::Known
        } else if learned.is_learning(used, time, learn_for) {
            Familiarity::Unjudged
        } else {
            Familiarity::New {
                learned_since: learned.since,
            }
        }
    }

    /// Takes note that a pod's process used the pod's own credentials, and that this [`teaches`].
    pub fn note(
        &mut self,
        pod: &Pod,
        process: &Process,
        used: CredentialUse,
        time: Timestamp,
        learn_for: SignedDuration,
    ) -> Option<Limit> {
        let path = learnable_program(process)?;
        let key = (pod.namespace.clone(), pod.service_account.clone());
        let mut limit = None;
        if !self.accounts.contains_key(&key) {
            limit = self.make_room(&pod.namespace);
            self.revision += 1;
        }
        let learned = self
            .accounts
            .entry(key)
            .or_insert_with(|| Learned::new(pod, time));
        let was_full = learned.full;
        if learned.used_at(time) {
            self.revision += 1;
        }
        if learned.is_learning(used, time, learn_for) && learned.learn(path, used, time, &pod.name)
        {
            self.revision += 1;
        }
        match learned.full && !was_full {
            true => Some(Limit::Programs),
            false => limit,
        }
    }

    /// For one more of that namespace. The namespace that has the most gives one up, of its own the one that was silent for
    /// longest: who makes many ServiceAccounts forgets his own.
    fn make_room(&mut self, newcomer: &Arc<str>) -> Option<Limit> {
        let mut forgotten = None;
        while self.accounts.len() >= ACCOUNTS {
            let mut shares = HashMap::from([(newcomer.clone(), 1_usize)]);
            for (namespace, _) in self.accounts.keys() {
                *shares.entry(namespace.clone()).or_default() += 1;
            }
            let of = |key: &(Arc<str>, Arc<str>)| shares.get(&key.0).copied().unwrap_or(0);
            let first = self
                .accounts
                .iter()
                .max_by_key(|(key, learned)| (of(key), Reverse(learned.seen)));
            let Some((key, _)) = first else {
                break;
            };
            let key = key.clone();
            self.accounts.remove(&key);
            forgotten = Some(key.0);
        }
        let namespace = forgotten.filter(|_| !self.has_told_of_forgotten)?;
        self.has_told_of_forgotten = true;
        Some(Limit::Accounts { namespace })
    }
}

#[cfg(test)]
mod tests;
