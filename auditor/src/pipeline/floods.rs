//! What flood control folded in the kernel, told of in summaries: how many of what, by whom, on what.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use auditor_common::{FileInfo, FloodKey, FloodState, kind};
use jiff::Timestamp;
use uuid::Uuid;

use super::{LEAVE_FREE, Pipeline, totals};
use crate::{
    event::{Body, InodeId, OwnerRef, Relation, Summary, SummaryToken},
    node::{Clock, Member, VolumeOwner},
    probe::Device,
};

const SWEEP: Duration = Duration::from_secs(1);
/// A flood that goes on is told of at once, and then so often; when it has ended, at once.
const AGAIN: Duration = Duration::from_secs(10);
/// It has ended when nothing was folded for so long.
const ENDED_NS: u64 = 1_000_000_000;
/// A bucket that has been full for so long is as good as a new one.
const IDLE_NS: u64 = 10_000_000_000;
/// Superblocks that are remembered by their address: those of 110 pods, and room for churn.
const VOLUMES: usize = 4096;

/// What was told of a key.
#[derive(Clone, Copy, Debug)]
struct Told {
    folded: u64,
    /// When the last one of them was, CLOCK_BOOTTIME, ns.
    last: u64,
    at: Instant,
}

#[derive(Debug)]
pub struct Floods {
    told: HashMap<FloodKey, Told>,
    /// Sum of all counts that were told.
    total: u64,
    swept: Instant,
    volumes: HashMap<(u32, u64), VolumeOwner>,
    volumes_order: VecDeque<(u32, u64)>,
}

impl Default for Floods {
    fn default() -> Self {
        Self {
            told: HashMap::new(),
            total: 0,
            swept: Instant::now(),
            volumes: HashMap::new(),
            volumes_order: VecDeque::new(),
        }
    }
}

impl Floods {
    /// The superblock's address is in a key, and whose it is in nobody's mountinfo; the first opens of a flood are whole and tell.
    pub fn learn_volume(&mut self, file: &FileInfo, owner: &VolumeOwner) {
        let key = (file.dev, file.identity.superblock);
        if file.identity.superblock == 0 || self.volumes.get(&key) == Some(owner) {
            return;
        }
        if self.volumes.insert(key, owner.clone()).is_some() {
            return;
        }
        self.volumes_order.push_back(key);
        if self.volumes_order.len() > VOLUMES
            && let Some(oldest) = self.volumes_order.pop_front()
        {
            self.volumes.remove(&oldest);
        }
    }

    /// How many were folded since the last summary of the key, and from when on.
    fn news(&self, key: &FloodKey, state: &FloodState) -> Option<(u64, u64)> {
        match self.told.get(key) {
            Some(told) => {
                let count = state.folded.checked_sub(told.folded)?;
                (count > 0).then_some((count, told.last))
            }
            None => (state.folded > 0).then_some((state.folded, state.first)),
        }
    }

    fn is_due(&self, key: &FloodKey, now: Instant) -> bool {
        let told = self.told.get(key);
        told.is_none_or(|told| now.saturating_duration_since(told.at) >= AGAIN)
    }
}

impl Pipeline {
    /// Each second: tells of what was folded, and forgets keys that nothing happens to. `last`: nothing may wait any longer.
    pub(super) fn sweep_floods(&mut self, last: bool) {
        let now = Instant::now();
        if !last && now.saturating_duration_since(self.floods.swept) < SWEEP {
            return;
        }
        self.floods.swept = now;
        let boot = Clock::boot_ns();
        for (key, state) in self.maps.flood() {
            let idle = state.tat.max(state.last).saturating_add(IDLE_NS) < boot;
            // What has ended is told of to its end; and a summary is never refused, but waits for room.
            let may_tell = last || self.reporter.free() > LEAVE_FREE;
            let has_ended = state.last.saturating_add(ENDED_NS) < boot;
            if may_tell && (last || has_ended || self.floods.is_due(&key, now)) {
                self.tell_of_flood(&key, &state, now);
            }
            let is_told = self.floods.news(&key, &state).is_none();
            if idle && is_told && !last {
                // One that came meanwhile is told of here; one that the kernel half is just counting, at the stop.
                if let Some(state) = self.maps.remove_flood(&key) {
                    self.tell_of_flood(&key, &state, now);
                }
                self.floods.told.remove(&key);
            }
        }
        if last {
            self.tell_of_the_rest();
        }
    }

    fn tell_of_flood(&mut self, key: &FloodKey, state: &FloodState, now: Instant) {
        let Some((count, first)) = self.floods.news(key, state) else {
            return;
        };
        let told = Told {
            folded: state.folded,
            last: state.last,
            at: now,
        };
        self.floods.told.insert(*key, told);
        self.floods.total += count;
        let summary = self.summary(key, state, count, first);
        self.emit_of(
            Some(self.party_id(key.cgroup_id)),
            summary.last,
            Uuid::now_v7(),
            Body::Summary(Box::new(summary)),
        );
    }

    /// What was counted in an entry that was just taken away, if anything.
    fn tell_of_the_rest(&mut self) {
        let count = totals::flooded(&self.maps).saturating_sub(self.floods.total);
        if count == 0 {
            return;
        }
        self.floods.total += count;
        let now = Timestamp::now();
        let summary = Summary {
            of: None,
            count,
            total: count,
            first: now,
            last: now,
            stranger: false,
            relation: None,
            cgroup_id: None,
            pod: None,
            exe_inode: None,
            token: None,
            endpoint: None,
        };
        self.emit(now, Uuid::now_v7(), Body::Summary(Box::new(summary)));
    }

    fn summary(&mut self, key: &FloodKey, state: &FloodState, count: u64, first: u64) -> Summary {
        let kind = u16::try_from(key.kind).unwrap_or_default();
        let is_connect = matches!(
            kind,
            kind::CONNECT | kind::OUTCOME | kind::CLOSED | kind::ACCEPT | kind::RECEIVED_SOCKET
        );
        // Without an executable it is a key of the second level, which for a pod's own stands for all objects.
        let has_object = key.exe_ino != 0 || key.object != 0 || key.stranger != 0;
        let member = self.cgroups.member_or_look(key.cgroup_id);
        let volume = self.floods.volumes.get(&(key.dev, key.object)).cloned();
        let cluster = self.sources.cluster();
        let actor = match &member {
            Member::Pod(owner) => cluster.pod(&owner.pod_uid),
            Member::Host | Member::Unknown => None,
        };
        let relation = match (&member, &volume) {
            _ if is_connect => None,
            _ if !has_object => Some(Relation::Own),
            (Member::Host, _) => Some(Relation::Host),
            (Member::Pod(owner), Some(volume)) if *owner.pod_uid == *volume.pod_uid => {
                Some(Relation::Own)
            }
            (Member::Pod(_), Some(volume)) => {
                let account = |pod: &crate::cluster::Pod| {
                    (pod.namespace.clone(), pod.service_account.clone())
                };
                let owner = cluster.pod(&volume.pod_uid).map(|pod| account(pod));
                let is_same = owner.is_some() && owner == actor.map(|pod| account(pod));
                Some(if is_same {
                    Relation::SameServiceAccount
                } else {
                    Relation::OtherPod
                })
            }
            (Member::Pod(_), None) | (Member::Unknown, _) => Some(Relation::Unknown),
        };
        let pod = actor.map(|pod| cluster.pod_ref(pod));
        let token = (!is_connect && has_object).then(|| SummaryToken {
            volume: volume.as_ref().map(|volume| volume.volume.to_string()),
            owner: volume.as_ref().map(|volume| {
                let pod = cluster.pod(&volume.pod_uid);
                pod.map_or_else(
                    || OwnerRef {
                        namespace: None,
                        name: None,
                        uid: volume.pod_uid.clone(),
                        service_account: None,
                    },
                    |pod| pod.owner_ref(),
                )
            }),
        });
        let endpoint = (is_connect && has_object)
            .then(|| u32::try_from(key.object).ok())
            .flatten()
            .and_then(|index| self.endpoint(index))
            .map(|endpoint| endpoint.name.to_string());
        let device = Device::from_kernel(key.exe_dev);
        Summary {
            of: Some(name(kind).to_owned()),
            count,
            total: state.folded,
            first: self.clock.wall(first),
            last: self.clock.wall(state.last),
            stranger: key.stranger != 0,
            relation,
            cgroup_id: Some(key.cgroup_id),
            pod,
            exe_inode: (key.exe_ino != 0).then_some(InodeId {
                major: device.major,
                minor: device.minor,
                ino: key.exe_ino,
            }),
            token,
            endpoint,
        }
    }
}

/// The event that each of them would have been.
fn name(of: u16) -> &'static str {
    match of {
        kind::OPEN => "token_open",
        kind::CONNECT => "credential_connect",
        // Of those that were told, it is part of the connect's line.
        kind::OUTCOME => "connect_outcome",
        kind::CLOSED => "connection_closed",
        kind::ACCEPT => "agent_accept",
        kind::RECEIVED_FILE | kind::RECEIVED_SOCKET => "token_received",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests;
