//! Which programs use the credentials of each ServiceAccount on this node: what `unexpected-executable` rests on where policy
//! lists none.
//!
//! What an attacker does while this is learned is learned. So what a program cannot have of its image, and what another
//! finding counts against, is left out; nothing is added once the learning time is over; and `auditor policy suggest` shows
//! what was learned, with the pod that brought it in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    cluster::Pod,
    event::{Finding, Process, Severity},
};

/// Far more than a node has. One more, and the one that used its credentials the longest time ago is forgotten, and learned anew.
const ACCOUNTS: usize = 512;
/// Of one ServiceAccount. One that runs more is not judged by what was learned.
const EXECUTABLES: usize = 32;

/// What is learned of one ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    pub namespace: Arc<str>,
    pub service_account: Arc<str>,
    /// Its first use: learning ends policy's `learn.for` later.
    pub since: Timestamp,
    /// Its last use.
    pub seen: Timestamp,
    /// It ran more programs than are kept: nothing that it runs is unexpected.
    #[serde(default)]
    pub full: bool,
    pub executables: Vec<LearnedExecutable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedExecutable {
    /// As `process.exe`: within the process's own root, at most 384 bytes.
    pub path: Arc<str>,
    pub first_seen: Timestamp,
    /// Name of the pod that ran it first.
    pub pod: Arc<str>,
}

/// What the baseline says of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Familiarity {
    /// Nothing: it is not kept, still learned, or the ServiceAccount runs too many.
    #[default]
    Unjudged,
    Known,
    /// It was not seen while the ServiceAccount's programs were learned.
    New {
        learned_since: Timestamp,
    },
}

/// All ServiceAccounts', bounded. Lives on in the state directory.
#[derive(Debug, Default)]
pub struct Baselines {
    accounts: HashMap<(Arc<str>, Arc<str>), Learned>,
}

impl Baselines {
    /// As an earlier run left them; of what is too much, the rest.
    #[must_use]
    pub fn new(kept: Vec<Learned>) -> Self {
        let mut baselines = Self::default();
        for mut kept in kept {
            kept.full |= kept.executables.len() > EXECUTABLES;
            kept.executables.truncate(EXECUTABLES);
            let key = (kept.namespace.clone(), kept.service_account.clone());
            if !baselines.accounts.contains_key(&key) {
                baselines.make_room();
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

    /// What is known of the process's program at `time`. Null `learn_for`: policy does not ask for learning.
    #[must_use]
    pub fn familiarity(
        &self,
        pod: &Pod,
        process: &Process,
        time: Timestamp,
        learn_for: Option<SignedDuration>,
    ) -> Familiarity {
        let (Some(learn_for), Some(path)) = (learn_for, program(process)) else {
            return Familiarity::Unjudged;
        };
        let key = (pod.namespace.clone(), pod.service_account.clone());
        let Some(learned) = self.accounts.get(&key) else {
            return Familiarity::Unjudged;
        };
        if learned.executables.iter().any(|known| *known.path == *path) {
            Familiarity::Known
        } else if learned.full || learned.is_learning(time, learn_for) {
            Familiarity::Unjudged
        } else {
            Familiarity::New {
                learned_since: learned.since,
            }
        }
    }

    /// Takes note that a pod's process used the pod's own credentials; see [`teaches`]. True where the ServiceAccount has
    /// just become one that runs too many programs.
    pub fn note(
        &mut self,
        pod: &Pod,
        process: &Process,
        time: Timestamp,
        learn_for: SignedDuration,
    ) -> bool {
        let Some(path) = program(process) else {
            return false;
        };
        let key = (pod.namespace.clone(), pod.service_account.clone());
        if !self.accounts.contains_key(&key) {
            self.make_room();
        }
        let learned = self.accounts.entry(key).or_insert_with(|| Learned {
            namespace: pod.namespace.clone(),
            service_account: pod.service_account.clone(),
            since: time,
            seen: time,
            full: false,
            executables: Vec::new(),
        });
        learned.seen = learned.seen.max(time);
        if learned.full
            || !learned.is_learning(time, learn_for)
            || learned.executables.iter().any(|known| *known.path == *path)
        {
            return false;
        }
        if learned.executables.len() >= EXECUTABLES {
            learned.full = true;
            return true;
        }
        learned.executables.push(LearnedExecutable {
            path: path.into(),
            first_seen: time,
            pod: pod.name.clone(),
        });
        false
    }

    fn make_room(&mut self) {
        while self.accounts.len() >= ACCOUNTS {
            let oldest = self.accounts.iter().min_by_key(|(_, learned)| learned.seen);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.accounts.remove(&oldest);
        }
    }
}

impl Learned {
    fn is_learning(&self, time: Timestamp, learn_for: SignedDuration) -> bool {
        time.duration_since(self.since) < learn_for
    }
}

/// Whether what somebody did may be learned: nothing counts against it, and nobody doubts who it was.
#[must_use]
pub fn teaches(findings: &[Finding], undetermined: &[String]) -> bool {
    let counts = |f: &Finding| f.exempted_by.is_none() && f.severity > Severity::Info;
    let doubted = |lacking: &String| matches!(lacking.as_str(), "namespaces" | "process");
    !findings.iter().any(counts) && !undetermined.iter().any(doubted)
}

/// The path of a program that may be of the image; null for those that are certainly not, which are another finding, and for
/// paths that the kernel half could not write whole.
fn program(process: &Process) -> Option<&str> {
    let path = process.exe.as_deref()?;
    let may_be_of_image = !process.exe_unlinked && process.exe_upper_layer != Some(true);
    (path.starts_with('/') && may_be_of_image).then_some(path)
}

#[cfg(test)]
mod tests;
