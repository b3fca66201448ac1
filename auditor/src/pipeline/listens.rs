//! Sockets that listen on credential addresses: the agent's are counted, all others are written.

use std::time::{Duration, Instant};

use auditor_common::{CANARY_ENDPOINT, ListenRecord};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Pipeline,
    actor::{Attributed, Who, doubt},
    agent::Holder,
    fair::{Class, Fair, about},
    knowledge,
    tuple::socket,
};
use crate::{
    audit::{ListenCase, judge_listen},
    event::{Attribution, Body, EndpointKind, InodeId, Listen, ListenSocket, Verdict},
    node::{Clock, FoundListener, Member},
};

/// Listeners whose pod the cluster has not told of yet. One more, and one of whoever has most goes out as it is.
const WAITING: usize = 64;

/// How long the first listing may take: the jitter of its start, and as long again.
const FIRST_LISTING: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Listens {
    waiting: Fair<Waiting>,
    /// Found at start, before the cluster told of any pod.
    older: Vec<FoundListener>,
    older_since: Option<Instant>,
}

impl Default for Listens {
    fn default() -> Self {
        Self {
            waiting: Fair::new(WAITING),
            older: Vec::new(),
            older_since: None,
        }
    }
}

/// A record, and who the last look found it to be.
#[derive(Debug)]
struct Waiting {
    record: Box<ListenRecord>,
    attributed: Attributed,
}

/// A listener, however it was found.
struct Found {
    time: Timestamp,
    attributed: Attributed,
    cgroup_id: u64,
    /// To compare with what was seen of the agent.
    executable: Option<InodeId>,
    endpoint: usize,
    socket: ListenSocket,
    latency_us: u64,
    waited_ms: Option<u64>,
}

impl Pipeline {
    pub(super) fn on_listen(&mut self, record: &ListenRecord) {
        if record.endpoint == CANARY_ENDPOINT {
            return;
        }
        self.consider_listen(record, None, false);
    }

    /// Looks again at those whose pod was not known; `last`: nothing may wait any longer.
    pub(super) fn retry_listens(&mut self, last: bool) {
        self.consider_older(last);
        let most = self.room_for_retries(last);
        for waiting in self.listens.waiting.take(most, |_| true) {
            self.consider_listen(&waiting.record, Some(waiting.attributed), last);
        }
    }

    /// `before`: as the last look found, if there was one.
    fn consider_listen(&mut self, record: &ListenRecord, before: Option<Attributed>, last: bool) {
        let endpoint = record.endpoint as usize;
        let Some(name) = self
            .settings
            .endpoints
            .get(endpoint)
            .map(|e| e.name.clone())
        else {
            self.undecodable(&"a listener on an endpoint that was never registered");
            return;
        };
        self.refresh_sources();
        let again = before.is_some();
        let attributed = self.attribute_again(&record.task, before);
        let since = Clock::since(record.header.time);
        let found = Found {
            time: self.clock.wall(record.header.time),
            cgroup_id: record.task.cgroup_id,
            executable: attributed.process.exe_inode,
            attributed: attributed.clone(),
            endpoint,
            socket: ListenSocket {
                endpoint: name.to_string(),
                local: socket(record.addr, record.port),
                net_ns: record.net_ns,
                agent_net_ns: self.agent.is_in(record.net_ns),
            },
            latency_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
            waited_ms: again.then(|| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        };
        if !self.judge_listener(found, (!last).then_some(record.header.time)) {
            let party = self.party(record.task.cgroup_id, Class::Stranger);
            let waiting = Waiting {
                record: Box::new(*record),
                attributed,
            };
            let task = &record.task;
            let about = about((task.exe_dev, task.exe_ino, record.endpoint, record.net_ns));
            if let Some(spare) = self.listens.waiting.hold(party, about, waiting) {
                self.consider_listen(&spare.record, Some(spare.attributed), true);
            }
        }
    }

    /// Listeners that were there before the auditor, as userspace found them: no record tells of these.
    pub fn on_older_listeners(&mut self, listeners: Vec<FoundListener>) {
        self.listens.older = listeners;
        self.listens.older_since = Some(Instant::now());
        self.consider_older(false);
    }

    /// They wait for the first listing of the pods, which says whose they are.
    fn consider_older(&mut self, last: bool) {
        if self.listens.older.is_empty() {
            return;
        }
        self.refresh_sources();
        let may_wait = self
            .listens
            .older_since
            .is_some_and(|since| since.elapsed() < FIRST_LISTING);
        if may_wait && !last && !self.sources.cluster_source().is_told() {
            return;
        }
        for listener in std::mem::take(&mut self.listens.older) {
            let Some(endpoint) = self
                .settings
                .endpoints
                .iter()
                .position(|endpoint| endpoint.address == listener.local)
            else {
                continue;
            };
            let cgroup_id = listener
                .cgroup
                .as_deref()
                .and_then(|path| self.cgroups.id_of_process(path))
                .unwrap_or(0);
            let who = self.who_in_cgroup(cgroup_id);
            let by = match who {
                Who::Host => "host",
                Who::Pod { .. } | Who::UnlistedPod { .. } => "cgroup",
                Who::Conflict { .. } | Who::Unknown { .. } => "unknown",
            };
            let found = Found {
                time: Timestamp::now(),
                cgroup_id,
                // stat's inode of a container's file need not be the kernel's own (fs/overlayfs/inode.c `ovl_map_dev_ino`).
                executable: match who {
                    Who::Host => listener.process.exe_inode,
                    _ => None,
                },
                attributed: Attributed {
                    who,
                    by,
                    process: listener.process,
                },
                endpoint,
                socket: ListenSocket {
                    endpoint: self.settings.endpoints[endpoint].name.to_string(),
                    local: listener.local.to_string(),
                    net_ns: listener.net_ns,
                    agent_net_ns: self.agent.is_in(listener.net_ns),
                },
                latency_us: 0,
                waited_ms: None,
            };
            self.totals.found += 1;
            self.judge_listener(found, None);
        }
    }

    fn who_in_cgroup(&mut self, cgroup_id: u64) -> Who {
        match self.cgroups.member_or_look(cgroup_id) {
            Member::Pod(owner) => match self.sources.cluster().pod(&owner.pod_uid).cloned() {
                Some(pod) => Who::Pod {
                    container: owner
                        .container_id
                        .as_deref()
                        .map(|id| pod.container_ref(id)),
                    pod,
                },
                None => Who::UnlistedPod { owner },
            },
            Member::Host => Who::Host,
            Member::Unknown => Who::Unknown {
                reason: "a cgroup that nothing told of",
            },
        }
    }

    /// Writes or counts it; false where a later look may know more (`may_wait_since`: when it happened, by the boot clock).
    fn judge_listener(&mut self, found: Found, may_wait_since: Option<u64>) -> bool {
        let Found {
            time,
            attributed:
                Attributed {
                    who,
                    by,
                    mut process,
                },
            cgroup_id,
            executable,
            endpoint,
            socket,
            latency_us,
            waited_ms,
        } = found;
        let kind = self
            .settings
            .endpoints
            .get(endpoint)
            .map_or(EndpointKind::Custom, |endpoint| endpoint.kind);
        let holder = self.holder_of_listener(&who, executable, cgroup_id, kind, &socket);
        let mut judgement = judge_listen(&ListenCase {
            time,
            actor: who.actor(),
            process: &process,
            listener: holder.listener(),
            endpoint: kind,
            in_agent_net_ns: socket.agent_net_ns,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(by, &mut judgement);
        if judgement.verdict == Verdict::Allowed && judgement.findings.is_empty() {
            self.count_only();
            return true;
        }
        if may_wait_since.is_some_and(|since| self.may_become_clear(&judgement, since)) {
            return false;
        }
        let index = u32::try_from(endpoint).unwrap_or(u32::MAX);
        // What it accepts is no news then; of whom nothing could be said, it may be.
        if !judgement.findings.is_empty() {
            self.agent.tell((cgroup_id, socket.net_ns, index));
        }
        self.count_unattributed(&who);
        process.args = self.settings.args.apply(process.args);
        let line = Listen {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            findings: judgement.findings,
            process,
            container: who.container(),
            pod: self.pod_ref(&who),
            socket,
            attribution: Attribution {
                process: by.to_owned(),
                owner: None,
                latency_us,
                cluster_age_ms: self.cluster_age_ms(),
                waited_ms,
                reason: who.reason().map(str::to_owned),
            },
        };
        let party = self.party_id(cgroup_id);
        self.emit_of(
            Some(party),
            time,
            Uuid::now_v7(),
            Body::Listen(Box::new(line)),
        );
        true
    }

    /// Only who listens on the agent's own address in its own namespace can be the agent: nobody else is pinned as it.
    fn holder_of_listener(
        &mut self,
        who: &Who,
        executable: Option<InodeId>,
        cgroup_id: u64,
        kind: EndpointKind,
        socket: &ListenSocket,
    ) -> Holder {
        if kind == EndpointKind::PodIdentityAgent && socket.agent_net_ns {
            return self.holder_of_process(who, executable, cgroup_id);
        }
        match who {
            Who::Pod { pod, .. } => Holder::Pod(pod.clone()),
            Who::UnlistedPod { owner } => Holder::UnlistedPod(owner.pod_uid.clone()),
            Who::Host => Holder::Host,
            Who::Conflict { .. } => Holder::Conflict,
            Who::Unknown { .. } => Holder::Unknown,
        }
    }
}
