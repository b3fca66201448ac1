//! What is learned of one ServiceAccount.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cluster::Pod;

/// Of one ServiceAccount that open tokens, and as many that only connect: who connects with many crowds out nobody who opens.
pub const EXECUTABLES: usize = 32;
/// A last use that is that much later is worth keeping.
const HOUR: i64 = 3600;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    pub namespace: Arc<str>,
    pub service_account: Arc<str>,
    /// Its first use: learning ends policy's `learn.for` later.
    pub since: Timestamp,
    /// Its last use.
    pub seen: Timestamp,
    /// It ran more programs than are kept: no more are learned, and those that are not kept are new.
    #[serde(default)]
    pub full: bool,
    pub executables: Vec<LearnedExecutable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedExecutable {
    /// As `process.exe`: in the mount namespace of the process, at most 384 bytes.
    pub path: Arc<str>,
    /// In files of before this was told apart: what was seen most.
    #[serde(default = "open")]
    pub used: CredentialUse,
    /// Of that use.
    pub first_seen: Timestamp,
    /// Name of the pod that ran it first, for that use.
    pub pod: Arc<str>,
}

/// What a program was seen to do with the pod's own credentials. Who opens the token may connect with it, too, but not the other
/// way round: anybody can connect, and that shows nothing of what may read a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialUse {
    /// It connected to the Pod Identity agent.
    Connect,
    /// It opened an IRSA or Pod Identity token.
    Open,
}

fn open() -> CredentialUse {
    CredentialUse::Open
}

impl Learned {
    pub(super) fn new(pod: &Pod, time: Timestamp) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            service_account: pod.service_account.clone(),
            since: time,
            seen: time,
            full: false,
            executables: Vec::new(),
        }
    }

    /// Whether the program was seen to do that, or more.
    pub(super) fn knows(&self, path: &str, used: CredentialUse) -> bool {
        let mut known = self.executables.iter();
        known.any(|known| *known.path == *path && known.used >= used)
    }

    /// Whether one more program may be learned at `time`.
    pub(super) fn is_learning(
        &self,
        used: CredentialUse,
        time: Timestamp,
        learn_for: SignedDuration,
    ) -> bool {
        let has_room = !self.full || self.count(used) < EXECUTABLES;
        time.duration_since(self.since) < learn_for && has_room
    }

    /// Takes note of a use at `time`: if that is before the first one, a clock was set back, and without that learning would go
    /// on until it gets there again. True where it is worth keeping.
    pub(super) fn used_at(&mut self, time: Timestamp) -> bool {
        let hour = |time: Timestamp| time.as_second().div_euclid(HOUR);
        let is_worth = time < self.since || hour(time) > hour(self.seen);
        self.since = self.since.min(time);
        self.seen = self.seen.max(time);
        is_worth
    }

    /// True where something was learned: also that there is no room.
    pub(super) fn learn(
        &mut self,
        path: &str,
        used: CredentialUse,
        time: Timestamp,
        pod: &Arc<str>,
    ) -> bool {
        if self.knows(path, used) {
            return false;
        }
        if self.count(used) >= EXECUTABLES {
            let is_news = !self.full;
            self.full = true;
            return is_news;
        }
        // Of less use than what is learned now.
        self.executables.retain(|known| *known.path != *path);
        self.executables.push(LearnedExecutable {
            path: path.into(),
            used,
            first_seen: time,
            pod: pod.clone(),
        });
        true
    }

    /// To what is kept of one.
    pub(super) fn truncate(&mut self) {
        let before = self.executables.len();
        for used in [CredentialUse::Connect, CredentialUse::Open] {
            let mut room = EXECUTABLES;
            self.executables.retain(|known| {
                if known.used != used {
                    return true;
                }
                let fits = room > 0;
                room = room.saturating_sub(1);
                fits
            });
        }
        self.full |= self.executables.len() < before;
    }

    pub(super) fn not_after(&mut self, now: Timestamp) {
        self.since = self.since.min(now);
        self.seen = self.seen.min(now);
        for known in &mut self.executables {
            known.first_seen = known.first_seen.min(now);
        }
    }

    fn count(&self, used: CredentialUse) -> usize {
        let known = self.executables.iter();
        known.filter(|known| known.used == used).count()
    }
}
